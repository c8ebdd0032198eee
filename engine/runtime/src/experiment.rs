//! Experiments: contacts go several ways by chance, what becomes of them is counted, and in the end one way wins.
//!
//! What is counted are rows of the store, written in the transactions of the turns and events that they are about. The arms are
//! compared by [`dripline_model::statistics`], at most once an hour, and by those contacts alone for whom the time of the goal
//! is over, so that an arm that works sooner is not taken for one that works better.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::{EventView, Needs},
    decision::{DecidedBy, DecisionKind},
    duration,
    id::{ContactId, WorkflowId},
    program::{Experiment, HOLD_OUT, NodeIndex, SplitArm},
    statistics::{self, Tally},
    zone,
};
use dripline_store::{AppliedTurn, ArmEntry, ClaimedEvent, ClaimedRun, Transaction, Trial, Verdict};
use jiff::{SignedDuration, Span, Timestamp, civil::DateTime, tz::TimeZone};

use crate::{
    compiled::{CompiledAction, CompiledProgram},
    engine::{Engine, Versions},
    error::{Result, While},
    policy::{plain, to},
    split::Split,
};

/// How often it is asked whether the arms can be compared.
const ASK_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// An experiment, ready to send contacts on and to count what becomes of them.
pub(crate) struct CompiledExperiment {
    /// The id of its step.
    pub(crate) step: Arc<str>,
    split: Split,
    arms: Vec<SplitArm>,
    /// Who goes on below without an arm.
    held_out: Option<Split>,
    event: Option<String>,
    condition: Option<Expression>,
    within: Span,
    significance: Option<f64>,
    minimum: u64,
    until: Option<Timestamp>,
    /// The zone of contacts that have none.
    zone: TimeZone,
}

impl CompiledExperiment {
    /// Prepares a step of a workflow.
    ///
    /// # Errors
    /// A sentence, when an expression, a duration or a date is not one that this program understands.
    pub(crate) fn new(
        workflow: &str,
        step: &str,
        experiment: Experiment,
        zone: &TimeZone,
    ) -> std::result::Result<Self, String> {
        let scope = Scope { event: experiment.goal.event.is_some(), ..Scope::default() };
        let compile = |source: &String| {
            Expression::compile(source, ColumnType::Boolean, &scope)
                .map_err(|_| format!("the goal of an experiment does not compile: {source}"))
        };
        let percent = |percent: u32| {
            let arm = |name: &str, weight| SplitArm { name: name.to_owned(), weight, next: None };
            let arms = vec![arm(HOLD_OUT, percent), arm("", 100_u32.saturating_sub(percent))];
            // Of its own, so that another part moves nobody from one arm to another.
            Split::new(workflow, &format!("{step}\n{HOLD_OUT}"), arms)
        };
        Ok(Self {
            step: step.into(),
            split: Split::new(workflow, step, experiment.arms.clone()),
            arms: experiment.arms,
            held_out: experiment.hold_out.map(percent),
            condition: experiment.goal.condition.as_ref().map(compile).transpose()?,
            event: experiment.goal.event,
            within: duration::parse(&experiment.within)?,
            significance: experiment.significance,
            minimum: experiment.minimum.unwrap_or_default(),
            until: experiment.until.as_deref().map(|text| moment(text, zone)).transpose()?,
            zone: zone.clone(),
        })
    }

    /// What of a contact it looks at when one comes.
    pub(crate) fn needs(&self) -> Needs {
        Needs {
            attributes: zone::ATTRIBUTES.iter().map(|name| (*name).to_owned()).collect(),
            ..Needs::default()
        }
    }

    fn arm(&self, name: &str) -> Option<&SplitArm> {
        self.arms.iter().find(|arm| arm.name == name)
    }

    /// Whether the goal may be reached without an event of its own.
    fn is_watched(&self) -> bool {
        self.event.is_none()
    }

    /// Whether the goal is reached, by this event or by how the contact is.
    fn is_reached(&self, contact: Option<&Contact>, event: Option<&EventView>, now: Timestamp) -> bool {
        if let Some(name) = &self.event
            && event.is_none_or(|event| event.name != *name)
        {
            return false;
        }
        let event = event.filter(|_| self.event.is_some());
        self.condition.as_ref().is_none_or(|condition| {
            contact.is_some_and(|contact| condition.test(&Subject::new(contact, event, now)) == Ok(true))
        })
    }
}

/// The beginning of a day, or a moment, in `zone`.
fn moment(text: &str, zone: &TimeZone) -> std::result::Result<Timestamp, String> {
    let at: DateTime = text.parse().map_err(|_| format!("`{text}` is no date"))?;
    zone.to_timestamp(at).map_err(|error| error.to_string())
}

/// Sends contacts that come to the experiment on, and records who entered which arm.
pub(crate) async fn take(
    tx: &mut dyn Transaction,
    experiment: &CompiledExperiment,
    runs: Vec<(ClaimedRun, &Contact)>,
    next: Option<NodeIndex>,
    now: Timestamp,
) -> Result<Vec<AppliedTurn>> {
    let Some((first, _)) = runs.first() else { return Ok(Vec::new()) };
    let workflow = first.workflow;
    let verdict = verdict(tx, experiment, workflow, now).await?;
    let winner = verdict.as_ref().and_then(|verdict| experiment.arm(&verdict.winner).zip(Some(verdict)));
    let contacts: Vec<ContactId> = runs.iter().map(|(run, _)| run.contact).collect();
    let known =
        tx.arms(workflow, &experiment.step, &contacts).await.while_doing("look who is in an experiment")?;
    let mut entries = Vec::new();
    let mut applied = Vec::with_capacity(runs.len());
    for (run, contact) in runs {
        let before = known.get(&run.contact).map(|arm| &**arm);
        let is_held_out = match before {
            Some(arm) => arm == HOLD_OUT,
            None => experiment.holds_out(run.contact),
        };
        // One who is in an arm that is not there any more goes as by chance.
        let by_chance =
            || before.and_then(|arm| experiment.arm(arm)).or_else(|| experiment.split.of(run.contact));
        let (arm, target, why) = match (is_held_out, winner, by_chance()) {
            (true, ..) => (HOLD_OUT, next, "goes on below: held out of the experiment".to_owned()),
            (false, Some((arm, verdict)), _) => {
                let why = format!("goes by `{}`, which won on {}", arm.name, verdict.at);
                applied.push(plain(run, DecisionKind::Branched, why, to(arm.next, now, false)));
                continue;
            }
            (false, None, Some(arm)) => (arm.name.as_str(), arm.next, format!("goes by `{}`", arm.name)),
            (false, None, None) => ("", next, "goes on".to_owned()),
        };
        if before.is_none() && winner.is_none() && !arm.is_empty() {
            let own = zone::of_contact(contact);
            entries.push(ArmEntry {
                contact: run.contact,
                workflow,
                step: Arc::clone(&experiment.step),
                arm: arm.into(),
                version: run.version,
                entered_at: now,
                until: duration::after(now, experiment.within, own.as_ref().unwrap_or(&experiment.zone)),
            });
        }
        applied.push(plain(run, DecisionKind::Branched, why, to(target, now, false)));
    }
    tx.enter_arms(&entries).await.while_doing("record who enters an experiment")?;
    Ok(applied)
}

impl CompiledExperiment {
    fn holds_out(&self, contact: ContactId) -> bool {
        let arm = self.held_out.as_ref().and_then(|held_out| held_out.of(contact));
        arm.is_some_and(|arm| arm.name == HOLD_OUT)
    }

    /// Its arms' counts, in the order of the file.
    fn in_order(&self, counts: &BTreeMap<String, Tally>) -> Vec<Tally> {
        self.arms.iter().map(|arm| counts.get(&arm.name).copied().unwrap_or_default()).collect()
    }
}

/// What was decided about the experiment. Where the date has come by which it has to be, that is decided now.
async fn verdict(
    tx: &mut dyn Transaction,
    experiment: &CompiledExperiment,
    workflow: WorkflowId,
    now: Timestamp,
) -> Result<Option<Verdict>> {
    const DOING: &str = "read an experiment";
    let verdict = tx.verdict(workflow, &experiment.step).await.while_doing(DOING)?;
    if verdict.is_some() || experiment.until.is_none_or(|until| now < until) {
        return Ok(verdict);
    }
    let mut trial = tx.trial(workflow, &experiment.step).await.while_doing(DOING)?;
    decide_by_date(tx, experiment, workflow, &mut trial, now).await?;
    Ok(trial.verdict)
}

/// The best arm wins, for the date has come.
async fn decide_by_date(
    tx: &mut dyn Transaction,
    experiment: &CompiledExperiment,
    workflow: WorkflowId,
    trial: &mut Trial,
    now: Timestamp,
) -> Result<()> {
    const DOING: &str = "decide an experiment";
    if trial.verdict.is_some() {
        return Ok(());
    }
    let mut counts = tx.tallies(workflow, &experiment.step, Some(now)).await.while_doing(DOING)?;
    let reached =
        |counts: &BTreeMap<String, Tally>| experiment.in_order(counts).iter().any(|tally| tally.reached > 0);
    if !reached(&counts) {
        // Better something than nothing.
        counts = tx.tallies(workflow, &experiment.step, None).await.while_doing(DOING)?;
    }
    let arms = experiment.in_order(&counts);
    let best = statistics::best(&arms).and_then(|best| experiment.arms.get(best));
    let Some(best) = best else { return Ok(()) };
    let p_value = statistics::find(&arms, 0.95, 1).map(|finding| finding.p_value);
    trial.verdict =
        Some(Verdict { winner: best.name.clone(), at: now, by: DecidedBy::Date, p_value, counts });
    tx.put_trial(workflow, &experiment.step, trial).await.while_doing(DOING)
}

/// When an engine next looks at each experiment.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<HashMap<(WorkflowId, Arc<str>), Timestamp>>);

impl Looks {
    fn is_due(&self, key: &(WorkflowId, Arc<str>), now: Timestamp) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).is_none_or(|due| *due <= now)
    }

    fn put(&self, key: (WorkflowId, Arc<str>), due: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, due);
    }
}

impl Engine {
    /// Compares the arms of experiments that can be decided by it, and decides those whose date has come.
    pub(crate) async fn look_at_experiments(&self, now: Timestamp) -> Result<()> {
        let published = self.published();
        for program in &published.programs {
            for experiment in program.experiments() {
                if experiment.significance.is_none() && experiment.until.is_none() {
                    continue;
                }
                let key = (program.entrance.workflow, Arc::clone(&experiment.step));
                if self.looks.is_due(&key, now) {
                    let due = self.look_at(experiment, program.entrance.workflow, now).await?;
                    self.looks.put(key, due);
                }
            }
        }
        Ok(())
    }

    /// Answers when to look again.
    async fn look_at(
        &self,
        experiment: &CompiledExperiment,
        workflow: WorkflowId,
        now: Timestamp,
    ) -> Result<Timestamp> {
        const DOING: &str = "look at an experiment";
        let step = &*experiment.step;
        let later = now.saturating_add(ASK_EVERY).unwrap_or(Timestamp::MAX);
        let mut tx = self.store.begin().await.while_doing(DOING)?;
        let mut trial = tx.trial(workflow, step).await.while_doing(DOING)?;
        if trial.verdict.is_some() {
            return Ok(later);
        }
        if experiment.until.is_some_and(|until| until <= now) {
            decide_by_date(tx.as_mut(), experiment, workflow, &mut trial, now).await?;
            tx.commit().await.while_doing(DOING)?;
            return Ok(later);
        }
        let again = |at: Timestamp| at.saturating_add(ASK_EVERY).unwrap_or(Timestamp::MAX);
        // Also by another process, or by this one before it was started anew.
        let next = trial.asked_at.map_or(now, again);
        let due = if next <= now { later } else { next };
        let due = experiment.until.map_or(due, |until| due.min(until));
        let Some(significance) = experiment.significance.filter(|_| next <= now) else { return Ok(due) };
        let size = trial.next_size.max(experiment.minimum);
        let mut is_ripe = true;
        for arm in experiment.arms.iter().filter(|arm| arm.weight > 0) {
            is_ripe =
                is_ripe && tx.has_ripened(workflow, step, &arm.name, size, now).await.while_doing(DOING)?;
        }
        trial.asked_at = Some(now);
        if is_ripe {
            let counts = tx.tallies(workflow, step, Some(now)).await.while_doing(DOING)?;
            let going: Vec<&SplitArm> = experiment.arms.iter().filter(|arm| arm.weight > 0).collect();
            let arms: Vec<Tally> =
                going.iter().map(|arm| counts.get(&arm.name).copied().unwrap_or_default()).collect();
            trial.looks += 1;
            let smallest = arms.iter().map(|arm| arm.contacts).min().unwrap_or(size);
            trial.next_size = smallest.saturating_add(smallest / 2).saturating_add(1);
            let found =
                statistics::find(&arms, significance, trial.looks).filter(|found| found.is_significant());
            if let Some((found, best)) = found.and_then(|found| Some((found, going.get(found.best)?))) {
                tracing::info!(workflow = %workflow, step, winner = best.name, "an experiment is decided");
                trial.verdict = Some(Verdict {
                    winner: best.name.clone(),
                    at: now,
                    by: DecidedBy::Test,
                    p_value: Some(found.p_value),
                    counts,
                });
            }
        }
        tx.put_trial(workflow, step, &trial).await.while_doing(DOING)?;
        tx.commit().await.while_doing(DOING)?;
        Ok(due)
    }

    /// Counts the goals of experiments that these events reach.
    pub(crate) async fn count_goals_by_events(
        &self,
        tx: &mut dyn Transaction,
        events: &[ClaimedEvent],
        now: Timestamp,
    ) -> Result<()> {
        if !self.published().has_experiments {
            return Ok(());
        }
        let contacts: BTreeSet<ContactId> = events.iter().map(|event| event.contact).collect();
        let earliest = events.iter().map(|event| event.event.at).min().unwrap_or(now).min(now);
        let mut of: BTreeMap<ContactId, Vec<&EventView>> = BTreeMap::new();
        for event in events {
            of.entry(event.contact).or_default().push(&event.event);
        }
        self.count_goals(tx, contacts, &of, earliest, now).await
    }

    /// Counts the goals that contacts have reached by what a batch changed of them.
    pub(crate) async fn count_goals_by_changes(
        &self,
        tx: &mut dyn Transaction,
        turns: &[AppliedTurn],
        now: Timestamp,
    ) -> Result<()> {
        if !self.published().has_watched_experiments {
            return Ok(());
        }
        let changed = turns.iter().filter(|turn| turn.changes_contact());
        let contacts: BTreeSet<ContactId> = changed.map(|turn| turn.run.contact).collect();
        self.count_goals(tx, contacts, &BTreeMap::new(), now, now).await
    }

    async fn count_goals(
        &self,
        tx: &mut dyn Transaction,
        contacts: BTreeSet<ContactId>,
        events: &BTreeMap<ContactId, Vec<&EventView>>,
        earliest: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        if contacts.is_empty() {
            return Ok(());
        }
        const DOING: &str = "count the goals of experiments";
        let contacts: Vec<ContactId> = contacts.into_iter().collect();
        let open = tx.open_arms(&contacts, earliest).await.while_doing(DOING)?;
        if open.is_empty() {
            return Ok(());
        }
        let mut versions = Versions::default();
        let mut needs = Needs::default();
        let mut asked = BTreeSet::new();
        for entry in &open {
            versions.program(self, entry.version).await?;
            let Some(experiment) =
                versions.known(entry.version).and_then(|program| program.experiment(&entry.step))
            else {
                continue;
            };
            if let Some(condition) = &experiment.condition {
                needs.merge(condition.needs());
                asked.insert(entry.contact);
            }
        }
        let asked: Vec<ContactId> = asked.into_iter().collect();
        let loaded = match asked.as_slice() {
            [] => Vec::new(),
            asked => tx.load_contacts(asked, &needs, now).await.while_doing(DOING)?,
        };
        let loaded: BTreeMap<ContactId, Contact> =
            loaded.into_iter().map(|contact| (contact.id, contact)).collect();
        let mut reached = Vec::new();
        for entry in open {
            let Some(experiment) =
                versions.known(entry.version).and_then(|program| program.experiment(&entry.step))
            else {
                continue;
            };
            let contact = loaded.get(&entry.contact);
            let at = if experiment.is_watched() {
                (now <= entry.until && experiment.is_reached(contact, None, now)).then_some(now)
            } else {
                let own = events.get(&entry.contact).into_iter().flatten();
                own.filter(|event| event.at >= entry.entered_at && event.at <= entry.until)
                    .find(|event| experiment.is_reached(contact, Some(event), now))
                    .map(|event| event.at)
            };
            if let Some(at) = at {
                reached.push((entry, at));
            }
        }
        tx.reach_arms(&reached).await.while_doing(DOING)
    }
}

impl CompiledProgram {
    /// The experiments among its steps.
    pub(crate) fn experiments(&self) -> impl Iterator<Item = &CompiledExperiment> {
        self.nodes().iter().filter_map(|node| match &node.action {
            CompiledAction::Experiment(experiment) => Some(&**experiment),
            _ => None,
        })
    }

    /// Whether the event may be the goal of an experiment.
    pub(crate) fn counts(&self, event: &EventView) -> bool {
        self.experiments().any(|experiment| experiment.event.as_ref() == Some(&event.name))
    }

    fn experiment(&self, step: &str) -> Option<&CompiledExperiment> {
        self.experiments().find(|experiment| &*experiment.step == step)
    }

    /// Whether an experiment's goal may be reached by a change of the contact alone.
    pub(crate) fn has_watched_experiments(&self) -> bool {
        self.experiments().any(CompiledExperiment::is_watched)
    }
}
