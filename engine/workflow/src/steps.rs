//! Steps as they have been read, and the flat nodes that they become.
//!
//! Every step becomes exactly one node, numbered in the order of the file, so that an index can be given before the
//! blocks inside a step are read; where each goes on is settled when all are there ([`Steps::finish`]).

use std::{collections::BTreeMap, ops::Range};

use dripline_model::{
    Digest,
    policy::StepRules,
    program::{
        Action, Call, CallEnd, Experiment, Join, Node, NodeIndex, Parallel, Path, PluginStep, SplitArm,
        WaitFor,
    },
};

use crate::{PluginConfig, calls::CallPlace};

/// Steps one below the other.
pub(crate) type Block = Vec<NodeIndex>;

/// A step that has been read.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) span: Range<usize>,
    pub(crate) line: u32,
    pub(crate) condition: Option<String>,
    /// Whether it has an `if`, right or wrong.
    pub(crate) guarded: bool,
    pub(crate) rules: StepRules,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Plugin {
        /// None if something is wrong with it.
        step: Option<PluginStep>,
        may_wait: bool,
        /// Where named outputs lead.
        paths: BTreeMap<String, Block>,
    },
    Branch {
        then: Block,
        otherwise: Block,
    },
    Switch {
        /// None if something is wrong with it.
        value: Option<String>,
        cases: Vec<(String, Block)>,
        /// None where the author says nothing: then it is the step below.
        otherwise: Option<Block>,
    },
    Split {
        /// Name, weight, and the steps; an arm without steps goes on below.
        arms: Vec<(String, u32, Block)>,
    },
    Experiment {
        /// None if something is wrong with it; its arms are settled at the end.
        what: Option<Experiment>,
        /// As those of a split.
        arms: Vec<(String, u32, Block)>,
    },
    Run {
        /// None if something is wrong with it.
        what: Option<Call>,
        /// For some ends the steps that follow.
        ways: Vec<(Vec<CallEnd>, Block)>,
        /// JSON pointer to the verb in the file.
        pointer: String,
    },
    Parallel {
        paths: Vec<ParallelPath>,
        join: Join,
    },
    WaitFor {
        /// None if something is wrong with it; where it leads is settled at the end.
        what: Option<WaitFor>,
        then: Block,
        otherwise: Block,
    },
    Goto {
        /// The id as written, and where it leads once that is known.
        to: String,
        to_span: Range<usize>,
        target: Option<NodeIndex>,
    },
    Exit {
        reason: String,
    },
    /// Something is wrong with it.
    Broken,
}

/// A path of a `parallel`.
#[derive(Debug)]
pub(crate) struct ParallelPath {
    pub(crate) name: String,
    pub(crate) block: Block,
    /// All steps in it, those of blocks inside too.
    pub(crate) inside: Range<NodeIndex>,
}

/// All steps of a file.
#[derive(Debug)]
pub(crate) struct Steps {
    pub(crate) steps: Vec<Step>,
    pub(crate) top: Block,
    pub(crate) templates: BTreeMap<String, Digest>,
    pub(crate) configs: Vec<PluginConfig>,
}

/// What steps become.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) nodes: Vec<Node>,
    /// Those that they send.
    pub(crate) templates: BTreeMap<String, Digest>,
    pub(crate) configs: Vec<PluginConfig>,
    /// Those that call other workflows.
    pub(crate) calls: Vec<CallPlace>,
}

impl Steps {
    /// The nodes, and what goes with them.
    pub(crate) fn finish(self) -> Finished {
        let next = self.next();
        let mut calls = Vec::new();
        let first = |block: &Block, next| block.first().copied().or(next);
        let arms_of = |arms: Vec<(String, u32, Block)>, next| {
            let arm = |(name, weight, block): (String, u32, Block)| SplitArm {
                name,
                weight,
                next: first(&block, next),
            };
            arms.into_iter().map(arm).collect::<Vec<_>>()
        };
        let nodes = self
            .steps
            .into_iter()
            .zip(next)
            .zip(0..)
            .map(|((step, next), index)| {
                let Step { id, name, line, mut condition, rules, kind, .. } = step;
                let (action, next) = match kind {
                    Kind::Plugin { step: Some(mut step), paths, .. } => {
                        step.paths = paths
                            .iter()
                            .map(|(output, block)| (output.clone(), first(block, next)))
                            .collect();
                        (Action::Plugin(step), next)
                    }
                    Kind::Branch { then, otherwise } => {
                        let condition = condition.take().unwrap_or_default();
                        (Action::Branch { condition, otherwise: first(&otherwise, next) }, first(&then, next))
                    }
                    Kind::Switch { value: Some(value), cases, otherwise } => {
                        let cases = cases.iter().map(|(case, block)| (case.clone(), first(block, next)));
                        let otherwise = otherwise.map_or(next, |block| first(&block, next));
                        (Action::Switch { value, cases: cases.collect(), otherwise }, next)
                    }
                    Kind::Split { arms } => (Action::Split { arms: arms_of(arms, next) }, next),
                    Kind::Experiment { what: Some(what), arms } => {
                        (Action::Experiment(Experiment { arms: arms_of(arms, next), ..what }), next)
                    }
                    Kind::Run { what: Some(what), ways, pointer } => {
                        calls.push(CallPlace { node: index, pointer });
                        let of = |(ends, block): (Vec<CallEnd>, Block)| {
                            let target = first(&block, next);
                            ends.into_iter().map(move |end| (end, target)).collect::<Vec<_>>()
                        };
                        let ways = ways.into_iter().flat_map(of).collect();
                        (Action::Run(Call { ways, ..what }), next)
                    }
                    Kind::Parallel { paths, join } => {
                        let path = |ParallelPath { name, inside, .. }| Path {
                            name,
                            first: inside.start,
                            end: inside.end,
                        };
                        let paths = paths.into_iter().map(path).collect();
                        (Action::Parallel(Parallel { paths, join }), next)
                    }
                    Kind::WaitFor { what: Some(what), then, otherwise } => {
                        let (then, otherwise) = (first(&then, next), first(&otherwise, next));
                        (Action::WaitFor(WaitFor { then, otherwise, ..what }), next)
                    }
                    // A jump that is skipped goes on below: `next` and `otherwise` say both ways.
                    Kind::Goto { target, .. } => match condition.take() {
                        Some(condition) => (Action::Branch { condition, otherwise: next }, target),
                        None => (Action::Goto, target),
                    },
                    Kind::Exit { reason } => (Action::Exit { reason }, next),
                    // Never run: there is no program where there is an error.
                    Kind::Plugin { .. }
                    | Kind::Switch { .. }
                    | Kind::Experiment { .. }
                    | Kind::Run { .. }
                    | Kind::WaitFor { .. }
                    | Kind::Broken => (Action::Goto, next),
                };
                Node { id, name, line, condition, action, next, rules }
            })
            .collect();
        Finished { nodes, templates: self.templates, configs: self.configs, calls }
    }

    /// For each step, the one below it, or below the block that it ends.
    pub(crate) fn next(&self) -> Vec<Option<NodeIndex>> {
        let mut next = vec![None; self.steps.len()];
        let mut open: Vec<(&Block, Option<NodeIndex>)> = vec![(&self.top, None)];
        while let Some((block, after)) = open.pop() {
            for (position, index) in block.iter().enumerate() {
                let below = block.get(position + 1).copied().or(after);
                if let Some(slot) = next.get_mut(*index as usize) {
                    *slot = below;
                }
                if let Some(step) = self.steps.get(*index as usize) {
                    // A path ends at its end.
                    let behind = below.filter(|_| !matches!(step.kind, Kind::Parallel { .. }));
                    open.extend(step.blocks().map(|inner| (inner, behind)));
                }
            }
        }
        next
    }
}

impl Step {
    /// The blocks inside the step.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Block> {
        let blocks: Vec<&Block> = match &self.kind {
            Kind::Plugin { paths, .. } => paths.values().collect(),
            Kind::Branch { then, otherwise } | Kind::WaitFor { then, otherwise, .. } => vec![then, otherwise],
            Kind::Switch { cases, otherwise, .. } => {
                cases.iter().map(|(_, block)| block).chain(otherwise).collect()
            }
            Kind::Split { arms } | Kind::Experiment { arms, .. } => {
                arms.iter().map(|(.., block)| block).collect()
            }
            Kind::Parallel { paths, .. } => paths.iter().map(|path| &path.block).collect(),
            Kind::Run { ways, .. } => ways.iter().map(|(_, block)| block).collect(),
            Kind::Goto { .. } | Kind::Exit { .. } | Kind::Broken => Vec::new(),
        };
        blocks.into_iter()
    }
}
