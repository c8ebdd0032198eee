//! What of a workflow's version the store itself looks at, read once; versions never change.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use dripline_model::{
    Digest,
    id::VersionId,
    program::{Action, NodeIndex, Program},
};

use crate::error::{Raw, damaged, from_json};

/// A workflow's version.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) workflow_name: String,
    pub(crate) number: i64,
    pub(crate) templates: Arc<BTreeMap<String, Digest>>,
    /// Whether its runs are called with something.
    pub(crate) has_inputs: bool,
    steps: Vec<(String, Option<NodeIndex>)>,
    /// The paths of its `parallel` steps, those inside others last: name, first node, the node behind the last.
    paths: Vec<(String, NodeIndex, NodeIndex)>,
}

impl Version {
    /// The id of the step at a node; for a node that is not there, its number.
    pub(crate) fn step(&self, node: i64) -> String {
        let step = usize::try_from(node).ok().and_then(|node| self.steps.get(node));
        step.map_or_else(|| format!("#{node}"), |(id, _)| id.clone())
    }

    /// The path in which a node stands, if it stands in one.
    pub(crate) fn path(&self, node: i64) -> Option<&str> {
        let is_inside = |from: &NodeIndex, to: &NodeIndex| (i64::from(*from)..i64::from(*to)).contains(&node);
        let mut around = self.paths.iter().filter(|(_, from, to)| is_inside(from, to));
        around.next_back().map(|(name, ..)| name.as_str())
    }

    /// The node below a node.
    pub(crate) fn below(&self, node: i64) -> Option<NodeIndex> {
        let step = usize::try_from(node).ok().and_then(|node| self.steps.get(node));
        step.and_then(|(_, below)| *below)
    }
}

/// The row from which a version is read: the workflow's name, the number, the program as JSON.
pub(crate) type VersionRow = (String, i64, String);

/// The versions that were read so far.
#[derive(Debug, Default)]
pub(crate) struct Versions(Mutex<HashMap<VersionId, Arc<Version>>>);

impl Versions {
    /// A version that was read before.
    pub(crate) fn known(&self, id: VersionId) -> Option<Arc<Version>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Takes a version in.
    pub(crate) fn read(&self, id: VersionId, row: Option<VersionRow>) -> Raw<Arc<Version>> {
        let (workflow_name, number, program) =
            row.ok_or_else(|| damaged("workflow version", format!("version {id} is missing")))?;
        let program: Program = from_json("program", &program)?;
        let version = Arc::new(Version {
            workflow_name,
            number,
            has_inputs: !program.inputs.is_empty(),
            paths: paths(&program),
            templates: Arc::new(program.templates),
            steps: program.nodes.into_iter().map(|node| (node.id, node.next)).collect(),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&version));
        Ok(version)
    }
}

/// In the order of the file an outer path comes before those inside.
fn paths(program: &Program) -> Vec<(String, NodeIndex, NodeIndex)> {
    let parallels = program.nodes.iter().filter_map(|node| match &node.action {
        Action::Parallel(parallel) => Some(parallel),
        _ => None,
    });
    let paths = parallels.flat_map(|parallel| &parallel.paths);
    paths.map(|path| (path.name.clone(), path.first, path.end)).collect()
}
