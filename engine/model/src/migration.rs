//! Which step of a workflow's new version stands for which of an older one.

use std::collections::BTreeMap;

use crate::program::{Action, Node, NodeIndex, Program};

/// How the default ids of steps begin, which say only where a step stands in the file.
pub const PLACE: &str = "step-";

/// For each step of `old` the one of `new` to which its runs move: the one that `map` names by their ids, else the one with
/// the same id, if its author gave it one or it does the very same. `None` where there is none, where one waits for
/// something and the other does not, and where only one stands in a path of a `parallel`.
///
/// # Errors
/// A sentence, when `map` names a step that `new` does not have.
pub fn plan(
    old: &Program,
    new: &Program,
    map: &BTreeMap<String, String>,
) -> Result<Vec<Option<NodeIndex>>, String> {
    let by_id: BTreeMap<&str, (NodeIndex, &Node)> =
        (0..).zip(&new.nodes).map(|(index, node)| (node.id.as_str(), (index, node))).collect();
    if let Some(missing) = map.values().find(|id| !by_id.contains_key(id.as_str())) {
        return Err(format!("the new version has no step `{missing}`"));
    }
    let target = |at: NodeIndex, node: &Node| {
        let mapped = map.get(&node.id);
        let (index, other) = by_id.get(mapped.unwrap_or(&node.id).as_str())?;
        let is_meant = mapped.is_some() || !node.id.starts_with(PLACE) || does_the_same(node, other);
        let stays = awaits(node) == awaits(other) && is_same_path(old, at, new, *index, map);
        (is_meant && stays).then_some(*index)
    };
    Ok((0..).zip(&old.nodes).map(|(at, node)| target(at, node)).collect())
}

/// Whether a run stands there until an event comes, or a condition holds. What it waits for moves with it, so that it only
/// moves to a step of the same kind.
fn awaits(node: &Node) -> Option<Stands> {
    match &node.action {
        Action::WaitFor(wait) if wait.event.is_some() => Some(Stands::Event),
        Action::WaitFor(_) => Some(Stands::Condition),
        Action::Parallel(_) => Some(Stands::Paths),
        Action::Run(_) => Some(Stands::Call),
        _ => None,
    }
}

/// For what a run stands still at a step.
#[derive(Debug, PartialEq, Eq)]
enum Stands {
    Event,
    Condition,
    Paths,
    Call,
}

/// Whether both nodes stand in the same path of the same `parallel`, or in none: what a path is a part of waits for it.
fn is_same_path(
    old: &Program,
    from: NodeIndex,
    new: &Program,
    to: NodeIndex,
    map: &BTreeMap<String, String>,
) -> bool {
    let place = |program: &Program, index| {
        let (at, path) = program.path_of(index)?;
        Some((program.node(at)?.id.clone(), path.name.clone()))
    };
    let before = place(old, from).map(|(id, path)| (map.get(&id).cloned().unwrap_or(id), path));
    before == place(new, to)
}

/// Whether two steps do the same, wherever they lead.
fn does_the_same(one: &Node, other: &Node) -> bool {
    let does = |node: &Node| match &node.action {
        Action::Plugin(step) => Some((step.plugin.clone(), step.config.clone(), step.columns.clone())),
        _ => None,
    };
    does(one).is_some() && does(one) == does(other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        Digest,
        policy::{Policies, StepRules},
        program::{Again, Concurrency, FORMAT, PluginStep},
    };

    fn program(steps: &[(&str, &str)]) -> Program {
        let node = |(id, wait): &(&str, &str)| Node {
            id: (*id).into(),
            name: None,
            line: 1,
            condition: None,
            action: Action::Plugin(PluginStep {
                plugin: "wait".into(),
                digest: Digest::of(wait.as_bytes()),
                config: json!({"for": wait}),
                teams: vec![],
                columns: vec![],
                state_key: None,
                paths: BTreeMap::new(),
            }),
            next: None,
            rules: StepRules::default(),
        };
        Program {
            format: FORMAT,
            name: "w".into(),
            description: None,
            triggers: vec![],
            enroll_if: None,
            again: Again::Never,
            inputs: Vec::new(),
            concurrency: Concurrency::One,
            nodes: steps.iter().map(node).collect(),
            templates: BTreeMap::new(),
            share: None,
            policies: Policies::default(),
        }
    }

    #[test]
    fn steps_are_found_by_what_they_are_called_and_not_by_where_they_stand() {
        let old =
            program(&[("step-1", "1d"), ("step-2", "2d"), ("offer", "3d"), ("gone", "4d"), ("old", "5d")]);
        let new = program(&[("offer", "9d"), ("step-1", "1d"), ("step-2", "7d"), ("fresh", "5d")]);
        let map = BTreeMap::from([("old".to_owned(), "fresh".to_owned())]);
        assert_eq!(plan(&old, &new, &map).unwrap(), [Some(1), None, Some(0), None, Some(3)]);
        let wrong = BTreeMap::from([("old".to_owned(), "frsh".to_owned())]);
        assert_eq!(plan(&old, &new, &wrong).unwrap_err(), "the new version has no step `frsh`");
    }
}
