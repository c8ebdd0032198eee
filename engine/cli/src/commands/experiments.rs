//! `dripline experiments`

use std::{collections::BTreeMap, io::Write};

use dripline_model::{
    Clock, SystemClock,
    decision::DecidedBy,
    program::{Action, Experiment, HOLD_OUT},
    statistics::{self, Tally},
};
use dripline_store::{Store, StoredProgram, Trial, Verdict};
use serde_json::{Value, json};

use super::live;
use crate::{
    args::{Format, Global},
    output::{FAINT, GOOD, HEADING, Out, cell, clean, count, json, table, time, write_table},
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// See what experiments have found so far, and decide them by hand
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the experiments of the published workflows
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Show an experiment: its arms, how many entered each, how many reached the goal, and how sure that is
    Show {
        /// The workflow's name
        workflow: String,
        /// The step's id; may be left out where the workflow has one experiment
        step: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Decide an experiment: everybody who comes later takes this arm, except those held out
    Decide {
        /// The workflow's name
        workflow: String,
        /// The step's id
        step: String,
        /// The arm that wins
        arm: String,
    },
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    match &args.command {
        Command::List { format } => list(store.as_ref(), *format, out).await?,
        Command::Show { workflow, step, format } => {
            let stored = live::find(store.as_ref(), workflow).await?;
            for found in found(store.as_ref(), &stored, step.as_deref()).await? {
                if format.json {
                    json(out, &found.json())?;
                } else {
                    found.print(out)?;
                }
            }
        }
        Command::Decide { workflow, step, arm } => {
            decide(store.as_ref(), workflow, step, arm, out).await?;
        }
    }
    Ok(Exit::Success)
}

/// An experiment, and what is known of it.
struct Found {
    workflow: String,
    step: String,
    experiment: Experiment,
    trial: Trial,
    /// All who entered.
    all: BTreeMap<String, Tally>,
    /// Those for whom the time of the goal is over: they are compared.
    ripe: BTreeMap<String, Tally>,
}

/// The experiments of a workflow, or the one that is meant.
async fn found(store: &dyn Store, stored: &StoredProgram, step: Option<&str>) -> Result<Vec<Found>, Problem> {
    let name = &stored.program.name;
    let all: Vec<(&str, &Experiment)> = stored
        .program
        .nodes
        .iter()
        .filter_map(|node| match &node.action {
            Action::Experiment(experiment) => Some((node.id.as_str(), experiment)),
            _ => None,
        })
        .collect();
    let ids: Vec<&str> = all.iter().map(|(id, _)| *id).collect();
    let wanted: Vec<_> = all.into_iter().filter(|(id, _)| step.is_none_or(|step| step == *id)).collect();
    let problem = match (step, wanted.as_slice(), ids.as_slice()) {
        (_, [], []) => Problem::input(format!("`{name}` has no experiment")),
        (Some(step), [], ids) => Problem::input(format!("`{name}` has no experiment `{step}`"))
            .with_help(format!("it has {}", ids.join(", "))),
        _ => {
            let mut found = Vec::with_capacity(wanted.len());
            for (step, experiment) in wanted {
                found.push(read(store, stored, step, experiment).await?);
            }
            return Ok(found);
        }
    };
    Err(problem)
}

/// Reads what is known of an experiment, as of one moment.
async fn read(
    store: &dyn Store,
    stored: &StoredProgram,
    step: &str,
    experiment: &Experiment,
) -> Result<Found, Problem> {
    let mut tx = store.begin().await?;
    let (workflow, now) = (stored.workflow, SystemClock.now());
    Ok(Found {
        trial: tx.trial(workflow, step).await?,
        all: tx.tallies(workflow, step, None).await?,
        ripe: tx.tallies(workflow, step, Some(now)).await?,
        workflow: stored.program.name.clone(),
        step: step.to_owned(),
        experiment: experiment.clone(),
    })
}

async fn list(store: &dyn Store, format: Format, out: &mut Out) -> Result<(), Problem> {
    let mut all = Vec::new();
    for stored in store.current_programs().await? {
        if stored.program.nodes.iter().any(|node| matches!(node.action, Action::Experiment(_))) {
            all.extend(found(store, &stored, None).await?);
        }
    }
    if format.json {
        return Ok(json(out, &all.iter().map(Found::json).collect::<Vec<_>>())?);
    }
    if all.is_empty() {
        writeln!(out, "No experiments. They are steps of workflows: `experiment: {{arms: …, goal: …}}`.")?;
        return Ok(());
    }
    let mut rows = table(["workflow", "experiment", "arms", "contacts", "reached the goal", "winner"]);
    for found in &all {
        let arms: Vec<&str> = found.experiment.arms.iter().map(|arm| arm.name.as_str()).collect();
        let sum = |of: fn(&Tally) -> u64| found.all.values().map(of).sum::<u64>();
        rows.add_row([
            cell(&found.workflow),
            cell(&found.step),
            cell(arms.join(", ")),
            cell(count(sum(|tally| tally.contacts))),
            cell(count(sum(|tally| tally.reached))),
            cell(found.trial.verdict.as_ref().map_or("", |verdict| verdict.winner.as_str())),
        ]);
    }
    Ok(write_table(out, &rows)?)
}

async fn decide(
    store: &dyn Store,
    workflow: &str,
    step: &str,
    arm: &str,
    out: &mut Out,
) -> Result<(), Problem> {
    let stored = live::find(store, workflow).await?;
    let found = found(store, &stored, Some(step)).await?;
    let arms: Vec<String> =
        found.iter().flat_map(|found| found.experiment.arms.iter().map(|arm| arm.name.clone())).collect();
    if !arms.iter().any(|known| known == arm) {
        let problem = Problem::input(format!("the experiment `{step}` has no arm `{arm}`"));
        return Err(problem.with_help(format!("it has {}", arms.join(", "))));
    }
    let now = SystemClock.now();
    let mut tx = store.begin().await?;
    let mut trial = tx.trial(stored.workflow, step).await?;
    let counts = tx.tallies(stored.workflow, step, None).await?;
    let before = trial.verdict.take();
    trial.verdict =
        Some(Verdict { winner: arm.to_owned(), at: now, by: DecidedBy::Hand, p_value: None, counts });
    tx.put_trial(stored.workflow, step, &trial).await?;
    tx.commit().await?;
    match before {
        Some(before) => writeln!(
            out,
            "Whoever comes to {step} from now on goes by {arm}; until now {} had won ({}).",
            clean(&before.winner),
            why(&before)
        )?,
        None => writeln!(out, "Whoever comes to {step} from now on goes by {arm}.")?,
    }
    Ok(())
}

/// By what something was decided.
fn why(verdict: &Verdict) -> &'static str {
    match verdict.by {
        DecidedBy::Test => "the difference is none of chance",
        DecidedBy::Date => "the date had come",
        DecidedBy::Hand => "by hand",
    }
}

/// `12.3%`
fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(String::new, |rate| format!("{:.1}%", rate * 100.0))
}

impl Found {
    /// Names of the arms in their order, and who was held out.
    fn arms(&self) -> impl Iterator<Item = &str> {
        let held_out = self.all.contains_key(HOLD_OUT).then_some(HOLD_OUT);
        self.experiment.arms.iter().map(|arm| arm.name.as_str()).chain(held_out)
    }

    fn of(counts: &BTreeMap<String, Tally>, arm: &str) -> Tally {
        counts.get(arm).copied().unwrap_or_default()
    }

    /// How the arms compare right now, by those who are compared.
    fn finding(&self) -> Option<(String, statistics::Finding)> {
        let arms: Vec<Tally> =
            self.experiment.arms.iter().map(|arm| Self::of(&self.ripe, &arm.name)).collect();
        let significance = self.experiment.significance.unwrap_or(0.95);
        let finding = statistics::find(&arms, significance, self.trial.looks + 1)?;
        let best = self.experiment.arms.get(finding.best)?;
        arms.iter().all(|arm| arm.contacts > 0).then(|| (best.name.clone(), finding))
    }

    fn goal(&self) -> String {
        let Experiment { goal, within, .. } = &self.experiment;
        let what = [goal.event.as_deref(), goal.condition.as_deref()];
        let what: Vec<&str> = what.into_iter().flatten().collect();
        format!("{} within {within}", what.join(" if "))
    }

    fn print(&self, out: &mut Out) -> Result<(), Problem> {
        writeln!(out, "{HEADING}{}{HEADING:#} of {}", clean(&self.step), clean(&self.workflow))?;
        writeln!(out, "  goal: {}", clean(&self.goal()))?;
        if let Some(hold_out) = self.experiment.hold_out {
            writeln!(out, "  {hold_out}% go on below without any arm")?;
        }
        match (&self.trial.verdict, self.experiment.significance, &self.experiment.until) {
            (Some(verdict), ..) => {
                let p_value = verdict.p_value.map(|p| format!(", p = {p:.4}")).unwrap_or_default();
                writeln!(
                    out,
                    "  {GOOD}{}{GOOD:#} has won since {} UTC: {}{p_value}",
                    clean(&verdict.winner),
                    time(verdict.at),
                    why(verdict)
                )?;
            }
            (None, None, None) => {
                writeln!(out, "  undecided: `dripline experiments decide` decides it, and nothing else")?;
            }
            (None, significance, until) => {
                let test = significance.map(|_| {
                    let least = self.trial.next_size.max(self.experiment.minimum.unwrap_or_default());
                    format!("the arms are compared when each has {} contacts counted", count(least))
                });
                let date = until.as_ref().map(|until| format!("the best arm wins on {until}"));
                let how: Vec<String> = test.into_iter().chain(date).collect();
                writeln!(out, "  undecided: {}", how.join(", and "))?;
            }
        }
        let mut rows =
            table(["arm", "entered", "reached", "counted", "of them reached", "rate", "95% between"]);
        for arm in self.arms() {
            let (all, ripe) = (Self::of(&self.all, arm), Self::of(&self.ripe, arm));
            let between = ripe.interval().map_or_else(String::new, |(low, high)| {
                format!("{} and {}", percent(Some(low)), percent(Some(high)))
            });
            rows.add_row([
                cell(if arm == HOLD_OUT { "(held out)" } else { arm }),
                cell(count(all.contacts)),
                cell(count(all.reached)),
                cell(count(ripe.contacts)),
                cell(count(ripe.reached)),
                cell(percent(ripe.rate())),
                cell(between),
            ]);
        }
        write_table(out, &rows)?;
        writeln!(
            out,
            "{FAINT}Counted are those for whom the time of the goal is over. A later decision changes no count.{FAINT:#}"
        )?;
        if let Some((best, finding)) = self.finding().filter(|_| self.trial.verdict.is_none()) {
            let needed = match self.experiment.significance {
                Some(_) => format!("; it wins below {:.4}", finding.threshold),
                None => String::new(),
            };
            writeln!(out, "{} is ahead: p = {:.4}{needed}", clean(&best), finding.p_value)?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let arms = self.arms().map(|arm| {
            let (all, ripe) = (Self::of(&self.all, arm), Self::of(&self.ripe, arm));
            json!({
                "arm": arm,
                "weight": self.experiment.arms.iter().find(|known| known.name == arm).map(|arm| arm.weight),
                "held_out": arm == HOLD_OUT,
                "entered": all.contacts,
                "reached": all.reached,
                "counted": ripe.contacts,
                "counted_reached": ripe.reached,
                "rate": ripe.rate(),
                "interval": ripe.interval().map(|(low, high)| [low, high]),
            })
        });
        let finding = self.finding();
        json!({
            "workflow": self.workflow,
            "step": self.step,
            "goal": {
                "event": self.experiment.goal.event,
                "if": self.experiment.goal.condition,
                "within": self.experiment.within,
            },
            "hold_out": self.experiment.hold_out,
            "significance": self.experiment.significance,
            "minimum": self.experiment.minimum,
            "until": self.experiment.until,
            "looks": self.trial.looks,
            "arms": arms.collect::<Vec<_>>(),
            "best": finding.as_ref().map(|(best, _)| best),
            "p_value": finding.as_ref().map(|(_, finding)| finding.p_value),
            "threshold": finding.filter(|_| self.experiment.significance.is_some()).map(|(_, finding)| finding.threshold),
            "winner": self.trial.verdict.as_ref().map(|verdict| json!({
                "arm": verdict.winner,
                "at": verdict.at,
                "by": verdict.by.name(),
                "p_value": verdict.p_value,
                "counts": verdict.counts,
            })),
        })
    }
}
