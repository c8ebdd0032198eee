//! A version's program, as far as it says which way a run may go.

use serde_json::Value;

/// What a decision's `kind` means; the positions in the store.
pub(crate) mod kind {
    pub(crate) const ENROLLED: i64 = 0;
    pub(crate) const NOT_ENROLLED: i64 = 1;
    pub(crate) const DONE: i64 = 2;
    pub(crate) const BRANCHED: i64 = 3;
    pub(crate) const SKIPPED: i64 = 4;
    pub(crate) const SUPPRESSED: i64 = 5;
    pub(crate) const WAITING: i64 = 6;
    pub(crate) const RETRYING: i64 = 7;
    pub(crate) const FAILED: i64 = 8;
    pub(crate) const ENDED: i64 = 9;
    pub(crate) const CANCELLED: i64 = 10;
    pub(crate) const MOVED: i64 = 11;

    /// The word for it.
    pub(crate) fn name(kind: i64) -> &'static str {
        match kind {
            ENROLLED => "enrolled",
            NOT_ENROLLED => "not_enrolled",
            DONE => "done",
            BRANCHED => "branched",
            SKIPPED => "skipped",
            SUPPRESSED => "suppressed",
            WAITING => "waiting",
            RETRYING => "retrying",
            FAILED => "failed",
            ENDED => "ended",
            CANCELLED => "cancelled",
            MOVED => "moved",
            _ => "unknown",
        }
    }
}

/// Where a run goes on; `None` is the end.
pub(crate) type Way = Option<i64>;

/// How a run ended that its workflow's goals or exits ended, wherever it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    Goal,
    Exit,
}

impl Reached {
    /// What the reason of a run's last decision says; none where a step ended it.
    pub(crate) fn of(reason: &str) -> Option<Self> {
        [("goal reached: ", Self::Goal), ("left the workflow: ", Self::Exit)]
            .into_iter()
            .find_map(|(begins, reached)| reason.starts_with(begins).then_some(reached))
    }
}

/// The nodes of a version, the events that start it, and whether it has goals and exits.
#[derive(Debug)]
pub(crate) struct Program {
    nodes: Vec<Node>,
    events: Vec<String>,
    goals: bool,
    exits: bool,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: String,
    action: Action,
    next: Way,
}

#[derive(Debug)]
enum Action {
    Plugin {
        name: String,
        paths: Vec<Way>,
    },
    Branch {
        otherwise: Way,
    },
    /// A switch, a split or an experiment.
    Many {
        ways: Vec<Way>,
    },
    /// Goes to either, at once or when it has waited.
    WaitFor {
        then: Way,
        otherwise: Way,
    },
    /// Goes all paths at once, each by its name with its first node, and waits for them.
    Parallel {
        paths: Vec<(String, i64)>,
    },
    /// Starts a run of another workflow, and goes on at once or when that has ended.
    Run {
        ways: Vec<Way>,
    },
    Goto,
    Exit,
}

impl Program {
    /// Reads the stored JSON.
    pub(crate) fn of(program: &Value) -> Option<Self> {
        let nodes = program.get("nodes")?.as_array()?.iter().map(Node::of).collect::<Option<_>>()?;
        let triggers = program.get("triggers")?.as_array()?.iter();
        let events = triggers.filter_map(|trigger| {
            let event = trigger.get("event").or_else(|| trigger.pointer("/when/what/event"))?;
            event.as_str().map(str::to_owned)
        });
        let has =
            |pointer| program.pointer(pointer).and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        let (goals, exits) = (has("/policies/goals"), has("/policies/exits"));
        Some(Self { nodes, events: events.collect(), goals, exits })
    }

    /// Whether it has what ended the run.
    pub(crate) fn has(&self, reached: Reached) -> bool {
        match reached {
            Reached::Goal => self.goals,
            Reached::Exit => self.exits,
        }
    }

    pub(crate) fn node(&self, index: i64) -> Option<&Node> {
        self.nodes.get(usize::try_from(index).ok()?)
    }

    /// Where paths of this name begin.
    pub(crate) fn beginnings(&self, path: &str) -> Vec<Way> {
        let paths = self.nodes.iter().flat_map(Node::paths);
        paths.filter(|(name, _)| name == path).map(|(_, first)| Some(*first)).collect()
    }

    /// Whether an event of this name is looked at.
    pub(crate) fn listens_to(&self, event: &str) -> bool {
        self.events.iter().any(|name| name == event)
    }
}

impl Node {
    fn of(node: &Value) -> Option<Self> {
        let action = node.get("action")?;
        let action = if let Some(plugin) = action.get("plugin") {
            let paths = plugin.get("paths")?.as_object()?.values().map(Value::as_i64).collect();
            Action::Plugin { name: plugin.get("plugin")?.as_str()?.to_owned(), paths }
        } else if let Some(branch) = action.get("branch") {
            Action::Branch { otherwise: branch.get("otherwise")?.as_i64() }
        } else if let Some(switch) = action.get("switch") {
            let cases =
                switch.get("cases")?.as_array()?.iter().map(|case| case.get(1).and_then(Value::as_i64));
            Action::Many { ways: cases.chain([switch.get("otherwise")?.as_i64()]).collect() }
        } else if let Some(split) = action.get("split") {
            let arms = split.get("arms")?.as_array()?.iter();
            Action::Many { ways: arms.map(|arm| arm.get("next").and_then(Value::as_i64)).collect() }
        } else if let Some(experiment) = action.get("experiment") {
            let arms = experiment.get("arms")?.as_array()?.iter();
            let arms = arms.map(|arm| arm.get("next").and_then(Value::as_i64));
            // Who is held out goes on below.
            let held_out = experiment.get("hold_out").map(|_| node.get("next").and_then(Value::as_i64));
            Action::Many { ways: arms.chain(held_out).collect() }
        } else if let Some(parallel) = action.get("parallel") {
            let path =
                |path: &Value| Some((path.get("name")?.as_str()?.to_owned(), path.get("first")?.as_i64()?));
            let paths = parallel.get("paths")?.as_array()?.iter().map(path);
            Action::Parallel { paths: paths.collect::<Option<_>>()? }
        } else if let Some(call) = action.get("run") {
            Action::Run { ways: call.get("ways")?.as_object()?.values().map(Value::as_i64).collect() }
        } else if let Some(wait) = action.get("wait_for") {
            let way = |key| wait.get(key).and_then(Value::as_i64);
            Action::WaitFor { then: way("then"), otherwise: way("otherwise") }
        } else if action.get("exit").is_some() {
            Action::Exit
        } else if action.as_str() == Some("goto") {
            Action::Goto
        } else {
            return None;
        };
        Some(Self { id: node.get("id")?.as_str()?.to_owned(), action, next: node.get("next")?.as_i64() })
    }

    /// The paths that begin here, if any do.
    pub(crate) fn paths(&self) -> &[(String, i64)] {
        match &self.action {
            Action::Parallel { paths } => paths,
            _ => &[],
        }
    }

    /// Whether the node is a step of this plugin.
    pub(crate) fn calls(&self, plugin: &str) -> bool {
        matches!(&self.action, Action::Plugin { name, .. } if name == plugin)
    }

    /// Where a run may go on that a person lets go on below this step.
    pub(crate) fn below(&self) -> Way {
        self.next
    }

    /// Where a run may go on after a turn here, at `index`, that ended so; nowhere if it cannot have ended so.
    pub(crate) fn ways(&self, index: i64, kind: i64) -> Vec<Way> {
        match (kind, &self.action) {
            (kind::SKIPPED, _) | (kind::BRANCHED, Action::Goto) => vec![self.next],
            // A step that mails is put off, and comes again; one that waits is done with that.
            (kind::WAITING, Action::Plugin { name, .. }) => match name.as_str() {
                "email" => vec![Some(index)],
                "wait" => vec![self.next],
                _ => vec![Some(index), self.next],
            },
            // What it waits for is decided at the same step, by the turn after.
            (kind::WAITING, Action::WaitFor { .. } | Action::Parallel { .. } | Action::Run { .. }) => {
                vec![Some(index)]
            }
            (kind::BRANCHED, Action::Run { ways }) => ways.iter().copied().chain([self.next]).collect(),
            (kind::BRANCHED, Action::Parallel { .. }) => vec![self.next],
            // A path has left the workflow, and taken all with it.
            (kind::ENDED, Action::Parallel { .. }) => vec![None],
            (kind::BRANCHED, Action::WaitFor { then, otherwise }) => vec![*then, *otherwise],
            (kind::BRANCHED, Action::Branch { otherwise }) => vec![self.next, *otherwise],
            (kind::BRANCHED, Action::Many { ways }) => ways.clone(),
            (kind::DONE | kind::SUPPRESSED, Action::Plugin { paths, .. }) => {
                let mut ways = paths.clone();
                ways.push(self.next);
                ways
            }
            (kind::ENDED, Action::Exit | Action::Plugin { .. }) => vec![None],
            _ => Vec::new(),
        }
    }
}
