//! How many get how far in a workflow, and where they end.

use std::collections::{BTreeMap, HashMap};

use dripline_model::{
    decision::{DecisionKind, RunStatus},
    id::VersionId,
    program::{Action, Node, NodeIndex, Program},
};
use dripline_store::{Activity, Standing, Store};
use serde::Serialize;

use crate::error::{Result, While};

/// How many reasons of one kind are named.
const MOST_REASONS: usize = 5;

/// How many get how far in a workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Funnel {
    /// The workflow's name.
    pub workflow: String,
    /// Runs that began.
    pub entered: u64,
    /// Contacts, or visits of theirs, that were not admitted.
    pub refused: u64,
    /// Why not, the most frequent reasons.
    pub refusals: Vec<Reason>,
    /// The steps, in the file's order; those of older versions on which runs still stand come last.
    pub steps: Vec<Step>,
    /// Where runs ended, and where those stand that did not; the most first.
    pub ends: Vec<End>,
}

/// A reason, and how often it was one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// In words.
    pub reason: String,
    /// How often.
    pub times: u64,
}

/// A step of a funnel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The step's id.
    pub id: String,
    /// The author's name for it, else what it does.
    pub name: String,
    /// What it does: the plugin, or the word of the language.
    pub verb: String,
    /// Runs that reached it.
    pub reached: u64,
    /// Times that its `if` did not hold.
    pub skipped: u64,
    /// Times that consent, a missing address or the like forbade what it wanted.
    pub suppressed: u64,
    /// Runs that failed here.
    pub failed: u64,
    /// Runs that stand here at the end.
    pub standing: u64,
    /// Why runs went which way, were skipped, suppressed or failed: the most frequent reasons.
    pub reasons: Vec<Reason>,
}

/// Where runs ended or stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct End {
    /// The status of the runs.
    pub status: &'static str,
    /// The step's id.
    pub step: String,
    /// The reason of an `exit`, else the step's name.
    pub reason: String,
    /// How many.
    pub runs: u64,
}

/// What was counted of one workflow, by the ids of its steps.
#[derive(Default)]
struct Counted {
    funnel: Funnel,
    steps: HashMap<String, Step>,
    ends: BTreeMap<(&'static str, String), u64>,
}

/// The versions of the workflows that were counted.
struct Versions<'s> {
    store: &'s dyn Store,
    known: HashMap<VersionId, Program>,
}

impl Versions<'_> {
    async fn read(&mut self, version: VersionId) -> Result<Option<&Program>> {
        if !self.known.contains_key(&version)
            && let Some(stored) =
                self.store.program(version).await.while_doing("read a workflow's version")?
        {
            self.known.insert(version, stored.program);
        }
        Ok(self.known.get(&version))
    }
}

/// The funnels of all workflows in which something happened, and of all that are published. `before` is where runs stood
/// when it began.
pub(crate) async fn funnels(
    store: &dyn Store,
    activity: &Activity,
    before: &[Standing],
    after: &[Standing],
) -> Result<Vec<Funnel>> {
    let mut versions = Versions { store, known: HashMap::new() };
    let mut counted: BTreeMap<String, Counted> = BTreeMap::new();
    for decision in &activity.decisions {
        let Some(program) = versions.read(decision.version).await? else { continue };
        let workflow = counted.entry(program.name.clone()).or_default();
        match (decision.node, decision.kind) {
            (_, DecisionKind::Enrolled) => workflow.funnel.entered += decision.decisions,
            (None, DecisionKind::NotEnrolled) => workflow.funnel.refused += decision.decisions,
            (Some(node), kind) => {
                let step = workflow.step(program, node);
                match kind {
                    DecisionKind::Skipped => step.skipped += decision.decisions,
                    DecisionKind::Suppressed => step.suppressed += decision.decisions,
                    DecisionKind::Failed => step.failed += decision.decisions,
                    _ => {}
                }
            }
            (None, _) => {}
        }
    }
    for visit in &activity.visits {
        let Some(program) = versions.read(visit.version).await? else { continue };
        let workflow = counted.entry(program.name.clone()).or_default();
        workflow.step(program, visit.node).reached += visit.runs;
    }
    for reason in &activity.reasons {
        let Some(program) = versions.read(reason.version).await? else { continue };
        let workflow = counted.entry(program.name.clone()).or_default();
        let reasons = match reason.node {
            // Where a jump leads, and why an exit ends, stands in the workflow.
            Some(node) if program.node(node).is_some_and(|node| is_fixed(&node.action)) => continue,
            Some(node) => &mut workflow.step(program, node).reasons,
            None if reason.kind == DecisionKind::NotEnrolled => &mut workflow.funnel.refusals,
            None => continue,
        };
        let of = Reason { reason: reason.reason.clone(), times: reason.decisions };
        if let Some(known) = reasons.iter_mut().find(|known| known.reason == of.reason) {
            known.times += of.times;
        } else if reasons.len() < MOST_REASONS {
            reasons.push(of);
        }
    }
    for place in after {
        let Some(program) = versions.read(place.version).await? else { continue };
        let same = |other: &&Standing| {
            (other.version, other.node, other.status, other.are_paths)
                == (place.version, place.node, place.status, place.are_paths)
        };
        let ended_before = match place.status {
            RunStatus::Active => 0,
            _ => before.iter().find(same).map_or(0, |before| before.runs),
        };
        let runs = place.runs.saturating_sub(ended_before);
        if runs == 0 {
            continue;
        }
        let workflow = counted.entry(program.name.clone()).or_default();
        let step = workflow.step(program, place.node);
        if place.status == RunStatus::Active {
            step.standing += runs;
        }
        // The end of a path is none of its run.
        if place.are_paths {
            continue;
        }
        let id = step.id.clone();
        *workflow.ends.entry((place.status.name(), id)).or_default() += runs;
    }
    let programs = store.current_programs().await.while_doing("read the workflows")?;
    for stored in &programs {
        counted.entry(stored.program.name.clone()).or_default();
    }
    Ok(counted
        .into_iter()
        .map(|(name, counted)| {
            let current = programs.iter().find(|stored| stored.program.name == name);
            counted.finish(name, current.map(|stored| &stored.program))
        })
        .collect())
}

impl Counted {
    fn step(&mut self, program: &Program, node: NodeIndex) -> &mut Step {
        let id = id_of(program, node);
        self.steps.entry(id.clone()).or_insert_with(|| match program.node(node) {
            Some(node) => Step::of(node, program),
            None => Step { id, ..Step::default() },
        })
    }

    fn finish(mut self, workflow: String, program: Option<&Program>) -> Funnel {
        let nodes = program.map(|program| program.nodes.as_slice()).unwrap_or_default();
        let mut steps: Vec<Step> = nodes
            .iter()
            .filter_map(|node| {
                let step = self.steps.remove(&node.id);
                step.or_else(|| Some(Step::of(node, program?)))
            })
            .collect();
        let mut older: Vec<Step> = self.steps.into_values().collect();
        older.sort_by(|one, other| one.id.cmp(&other.id));
        steps.append(&mut older);
        let reason = |id: &str| {
            let node = nodes.iter().find(|node| node.id == id);
            match node.map(|node| &node.action) {
                Some(Action::Exit { reason }) if !reason.is_empty() => reason.clone(),
                _ => {
                    steps.iter().find(|step| step.id == id).map(|step| step.name.clone()).unwrap_or_default()
                }
            }
        };
        let mut ends: Vec<End> = self
            .ends
            .into_iter()
            .map(|((status, step), runs)| End { status, reason: reason(&step), step, runs })
            .collect();
        ends.sort_by(|one, other| other.runs.cmp(&one.runs).then_with(|| one.step.cmp(&other.step)));
        Funnel { workflow, steps, ends, ..self.funnel }
    }
}

impl Step {
    fn of(node: &Node, program: &Program) -> Self {
        let verb = verb(node);
        let name = node.name.clone().unwrap_or_else(|| what(node, program, &verb));
        Self { id: node.id.clone(), name, verb, ..Self::default() }
    }
}

/// The plugin, or the word of the language.
fn verb(node: &Node) -> String {
    match &node.action {
        Action::Plugin(step) => step.plugin.clone(),
        Action::Branch { .. } => "if".to_owned(),
        other => match serde_json::to_value(other) {
            Ok(serde_json::Value::String(word)) => word,
            Ok(serde_json::Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
            _ => String::new(),
        },
    }
}

/// What a step does, in a few words.
fn what(node: &Node, program: &Program, verb: &str) -> String {
    match &node.action {
        Action::Plugin(step) => {
            let plain = ["template", "name", "for", "until", "weekday"]
                .into_iter()
                .find_map(|key| step.config.get(key)?.as_str());
            let worded = ["join", "leave", "check"]
                .into_iter()
                .find_map(|key| Some((key, step.config.get(key)?.as_str()?)));
            match (plain, worded, step.teams.first()) {
                (Some(value), ..) => format!("{verb} {value}"),
                (None, Some((key, value)), _) => format!("{verb} {key} {value}"),
                (None, None, Some(_)) => {
                    let team = step.config.get("team").and_then(|team| team.as_str()).unwrap_or_default();
                    format!("{verb} {team}").trim_end().to_owned()
                }
                _ => verb.to_owned(),
            }
        }
        Action::Branch { condition, .. } => format!("if {condition}"),
        Action::Switch { value, .. } => format!("{verb} {value}"),
        Action::WaitFor(wait) => match wait.event.as_ref().or(wait.condition.as_ref()) {
            Some(awaited) => format!("{verb} {awaited}"),
            None => verb.to_owned(),
        },
        Action::Run(call) => format!("{verb} {}", call.workflow),
        Action::Exit { reason } if !reason.is_empty() => format!("exit: {reason}"),
        Action::Goto => match node.next {
            Some(next) => format!("{verb} {}", id_of(program, next)),
            None => verb.to_owned(),
        },
        _ => verb.to_owned(),
    }
}

/// Whether a step does the same for everybody.
fn is_fixed(action: &Action) -> bool {
    matches!(action, Action::Goto | Action::Exit { .. })
}

fn id_of(program: &Program, node: NodeIndex) -> String {
    program.node(node).map_or_else(|| format!("#{node}"), |node| node.id.clone())
}
