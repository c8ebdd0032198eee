//! What can be said of the way through the steps: loops that never rest, steps that nobody reaches.

use dripline_model::program::NodeIndex;

use crate::{
    Code,
    source::Report,
    steps::{Kind, Steps},
};

/// Complains of loops without a step that waits, and warns of steps that no run reaches.
pub(crate) fn check(steps: &Steps, report: &mut Report<'_>) {
    let next = steps.next();
    let ways: Vec<Vec<NodeIndex>> =
        (0..steps.steps.len()).map(|index| ways(steps, index, next.get(index).copied().flatten())).collect();
    let rests = |index: NodeIndex| {
        matches!(
            steps.steps.get(index as usize).map(|step| &step.kind),
            Some(Kind::Plugin { may_wait: true, .. } | Kind::WaitFor { .. })
        )
    };
    for (index, step) in steps.steps.iter().enumerate() {
        // Every other way leads down the file: a loop is closed by a jump up.
        let Kind::Goto { to, to_span, target: Some(target) } = &step.kind else { continue };
        if *target as usize > index {
            continue;
        }
        if reach(*target, &ways, rests).get(index).copied().unwrap_or(false) {
            report
                .error(Code::Loop, to_span, format!("this loop back to `{to}` never waits"))
                .help("put a step between that waits, for example `wait: 1d`, or leave the loop with `exit`");
        }
    }
    let reached = reach(0, &ways, |_| false);
    let is_reached = |index: NodeIndex| reached.get(index as usize).copied().unwrap_or(true);
    let mut blocks = vec![&steps.top];
    while let Some(block) = blocks.pop() {
        if let Some(first) = block.iter().find(|index| !is_reached(**index))
            && let Some(step) = steps.steps.get(*first as usize)
        {
            report
                .warning(Code::Unreachable, &step.span, format!("no run reaches the step `{}`", step.id))
                .help("every way above it ends or jumps elsewhere; remove it, or `goto` it");
        }
        // Inside a step that is not reached, nothing is: once is enough.
        let reached_steps = block.iter().filter(|index| is_reached(**index));
        blocks.extend(
            reached_steps.filter_map(|index| steps.steps.get(*index as usize)).flat_map(|step| step.blocks()),
        );
    }
}

/// Where a run may go from the step at `index`; `next` is the step below it.
fn ways(steps: &Steps, index: usize, next: Option<NodeIndex>) -> Vec<NodeIndex> {
    let Some(step) = steps.steps.get(index) else { return Vec::new() };
    let first = |block: &Vec<NodeIndex>| block.first().copied().or(next);
    match &step.kind {
        Kind::Branch { then, otherwise } => [first(then), first(otherwise)].into_iter().flatten().collect(),
        Kind::WaitFor { then, otherwise, .. } => {
            let skipped = next.filter(|_| step.guarded);
            [first(then), first(otherwise), skipped].into_iter().flatten().collect()
        }
        Kind::Plugin { paths, .. } => paths.values().filter_map(first).chain(next).collect(),
        Kind::Goto { target, .. } => target.iter().copied().chain(next.filter(|_| step.guarded)).collect(),
        Kind::Exit { .. } => next.filter(|_| step.guarded).into_iter().collect(),
        // A step that could not be read may have been anything: what follows it is reached.
        Kind::Broken => next.into_iter().collect(),
    }
}

/// Which steps are reached from `start` over `ways`, not going on from steps at which `stops` holds.
fn reach(start: NodeIndex, ways: &[Vec<NodeIndex>], stops: impl Fn(NodeIndex) -> bool) -> Vec<bool> {
    let mut reached = vec![false; ways.len()];
    let mut open = vec![start];
    while let Some(index) = open.pop() {
        match reached.get_mut(index as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        if !stops(index) {
            open.extend(ways.get(index as usize).into_iter().flatten());
        }
    }
    reached
}
