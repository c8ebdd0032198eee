//! Which steps and ways of a workflow its tests went.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dripline_model::{
    decision::RunStatus,
    id::RunId,
    program::{Action, HOLD_OUT, Node, NodeIndex, Program},
};
use dripline_store::{RunRow, TimelineEntry};
use serde::Serialize;

use super::passed::{How, Passed, passed};

/// Where runs came by, of any number of tests.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// By workflow.
    visits: BTreeMap<String, Visits>,
}

#[derive(Debug, Clone, Default)]
struct Visits {
    /// Steps that were taken.
    steps: BTreeSet<String>,
    /// From which step to which next; to none at the end.
    edges: BTreeSet<(String, Option<String>)>,
    /// Where paths of a `parallel` began.
    begun: BTreeSet<String>,
}

/// What of a workflow was covered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkflowCoverage {
    /// Its name.
    pub workflow: String,
    /// Its steps, in the file's order.
    pub steps: Vec<StepCoverage>,
    /// The ways out of the steps that have several.
    pub ways: Vec<WayCoverage>,
}

/// Whether a step was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepCoverage {
    /// Its id.
    pub step: String,
    /// Its line in the workflow's file.
    pub line: u32,
    /// Whether any run took it.
    pub covered: bool,
}

/// Whether a run went this way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WayCoverage {
    /// The step that has several ways.
    pub step: String,
    /// Its line in the workflow's file.
    pub line: u32,
    /// `then`, `else`, the case of a switch (`default` is every other), the way of a split, or a named output.
    pub way: String,
    /// Whether any run went it.
    pub covered: bool,
}

impl Coverage {
    /// Adds what happened to one contact.
    pub(super) fn add(&mut self, timeline: &[TimelineEntry], runs: &[RunRow]) {
        let mut last: HashMap<RunId, Passed<'_>> = HashMap::new();
        for passed in passed(timeline, runs) {
            let visits = self.visits.entry(passed.workflow.to_owned()).or_default();
            if passed.how == How::Taken {
                visits.steps.insert(passed.step.to_owned());
            }
            match last.insert(passed.run, passed) {
                Some(before) => {
                    visits.edges.insert((before.step.to_owned(), Some(passed.step.to_owned())));
                }
                None if runs.iter().any(|run| run.run == passed.run && run.path.is_some()) => {
                    visits.begun.insert(passed.step.to_owned());
                }
                None => {}
            }
        }
        for run in runs.iter().filter(|run| run.status == RunStatus::Completed) {
            if let Some(last) = last.get(&run.run).filter(|last| last.how != How::Untaken) {
                let visits = self.visits.entry(last.workflow.to_owned()).or_default();
                visits.edges.insert((last.step.to_owned(), None));
            }
        }
    }

    /// What of a workflow was covered.
    pub fn of(&self, program: &Program) -> WorkflowCoverage {
        let none = Visits::default();
        let visits = self.visits.get(&program.name).unwrap_or(&none);
        let id_of = |index: Option<NodeIndex>| {
            index.and_then(|index| program.node(index)).map(|node| node.id.clone())
        };
        let steps = program.nodes.iter().map(|node| StepCoverage {
            step: node.id.clone(),
            line: node.line,
            covered: visits.steps.contains(&node.id),
        });
        let ways = program.nodes.iter().flat_map(|node| {
            ways(node).into_iter().map(|(way, target)| WayCoverage {
                step: node.id.clone(),
                line: node.line,
                way,
                covered: match (&node.action, id_of(target)) {
                    (Action::Parallel(_), Some(first)) => visits.begun.contains(&first),
                    (_, target) => visits.edges.contains(&(node.id.clone(), target)),
                },
            })
        });
        WorkflowCoverage { workflow: program.name.clone(), steps: steps.collect(), ways: ways.collect() }
    }
}

impl WorkflowCoverage {
    /// How many steps and ways were covered, of how many.
    pub fn sums(&self) -> [(usize, usize); 2] {
        [
            (self.steps.iter().filter(|step| step.covered).count(), self.steps.len()),
            (self.ways.iter().filter(|way| way.covered).count(), self.ways.len()),
        ]
    }
}

/// The ways out of a step that has several, each with the step to which it leads.
fn ways(node: &Node) -> Vec<(String, Option<NodeIndex>)> {
    match &node.action {
        Action::Branch { otherwise, .. } => {
            vec![("then".to_owned(), node.next), ("else".to_owned(), *otherwise)]
        }
        Action::Switch { cases, otherwise, .. } => {
            cases.iter().cloned().chain([("default".to_owned(), *otherwise)]).collect()
        }
        Action::WaitFor(wait) => vec![("then".to_owned(), wait.then), ("else".to_owned(), wait.otherwise)],
        Action::Split { arms } => arms.iter().map(|arm| (arm.name.clone(), arm.next)).collect(),
        Action::Experiment(experiment) => {
            let held_out = experiment.hold_out.map(|_| (HOLD_OUT.to_owned(), node.next));
            experiment.arms.iter().map(|arm| (arm.name.clone(), arm.next)).chain(held_out).collect()
        }
        Action::Run(call) => call.ways.iter().map(|(end, target)| (end.name().to_owned(), *target)).collect(),
        Action::Parallel(parallel) => {
            parallel.paths.iter().map(|path| (path.name.clone(), Some(path.first))).collect()
        }
        Action::Plugin(step) => step.paths.iter().map(|(output, target)| (output.clone(), *target)).collect(),
        Action::Goto | Action::Exit { .. } => Vec::new(),
    }
}
