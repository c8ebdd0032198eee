//! What can be said of the way through the steps: loops that never rest, steps that nobody reaches.

use dripline_model::program::{CallEnd, Join, NodeIndex};

use crate::{
    Code,
    source::Report,
    steps::{Kind, Steps},
};

/// Complains of loops without a step that waits, and warns of steps that no run reaches and of ways that never end.
/// `has_goals` says that runs may also end elsewhere than here.
pub(crate) fn check(steps: &Steps, has_goals: bool, report: &mut Report<'_>) {
    let next = steps.next();
    let ways: Vec<Vec<NodeIndex>> =
        (0..steps.steps.len()).map(|index| ways(steps, index, next.get(index).copied().flatten())).collect();
    let rests = |index: NodeIndex| rests(steps, &next, &ways, index);
    let errors_before = report.errors();
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
    // A loop that never rests is the graver mistake, and most often the reason of the other.
    if !has_goals && report.errors() == errors_before {
        never_ending(steps, &next, &ways, &reached, report);
    }
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

/// Whether a run that comes to the step may wait there.
fn rests(steps: &Steps, next: &[Option<NodeIndex>], ways: &[Vec<NodeIndex>], index: NodeIndex) -> bool {
    match steps.steps.get(index as usize).map(|step| &step.kind) {
        Some(Kind::Plugin { may_wait: true, .. } | Kind::WaitFor { .. }) => true,
        // The other workflow may wait.
        Some(Kind::Run { what, .. }) => what.as_ref().is_none_or(|call| call.waits),
        Some(Kind::Parallel { paths, join }) => {
            // Whether nobody gets through the path without waiting.
            let mut waits = paths.iter().map(|path| {
                let reached = path
                    .block
                    .first()
                    .map(|first| reach(*first, ways, |step| rests(steps, next, ways, step)));
                let is_through = |index: &usize| {
                    let is_reached = reached.as_ref().and_then(|reached| reached.get(*index)) == Some(&true);
                    let leaves = next.get(*index).is_none_or(Option::is_none) && !jumps_always(steps, *index);
                    let is_end = !matches!(
                        steps.steps.get(*index).map(|step| &step.kind),
                        Some(Kind::Exit { .. } | Kind::Goto { .. })
                    );
                    let here = NodeIndex::try_from(*index).unwrap_or(NodeIndex::MAX);
                    is_reached && leaves && is_end && !rests(steps, next, ways, here)
                };
                !(path.inside.start as usize..path.inside.end as usize).any(|index| is_through(&index))
            });
            match join {
                Join::All => waits.any(|waits| waits),
                Join::Any => waits.all(|waits| waits),
            }
        }
        _ => false,
    }
}

/// Warns of the jumps by which runs go round for ever: from where no way leads to an end.
fn never_ending(
    steps: &Steps,
    next: &[Option<NodeIndex>],
    ways: &[Vec<NodeIndex>],
    reached: &[bool],
    report: &mut Report<'_>,
) {
    let ends = |index: usize| {
        let is_last = next.get(index).is_none_or(Option::is_none);
        match steps.steps.get(index).map(|step| (&step.kind, step.guarded)) {
            Some((Kind::Exit { .. } | Kind::Broken, _)) | None => true,
            // A jump whose target is not known was complained of.
            Some((Kind::Goto { target, .. }, guarded)) => target.is_none() || (guarded && is_last),
            // Whoever goes on below the last step has come to the end; a branch also by a side that is not there.
            _ => is_last && !jumps_always(steps, index),
        }
    };
    let mut ending: Vec<bool> = (0..ways.len()).map(ends).collect();
    // Against the ways, until nothing changes; files are short, and jumps up are few.
    let mut changed = true;
    while changed {
        changed = false;
        for index in (0..ways.len()).rev() {
            let leads = |way: &NodeIndex| ending.get(*way as usize).copied().unwrap_or(true);
            let is_ending = ways.get(index).is_some_and(|ways| ways.iter().any(leads));
            if let Some(slot) = ending.get_mut(index).filter(|slot| !**slot && is_ending) {
                *slot = true;
                changed = true;
            }
        }
    }
    for (index, step) in steps.steps.iter().enumerate() {
        let Kind::Goto { to, to_span, target: Some(target) } = &step.kind else { continue };
        let is_up = *target as usize <= index;
        let is_lost = !ending.get(index).copied().unwrap_or(true);
        if is_up && is_lost && reached.get(index).copied().unwrap_or(false) {
            report
                .warning(Code::NeverEnds, to_span, format!("from here back to `{to}` no way leads to an end"))
                .help("leave the loop by a condition, for example with `if` and `exit`");
        }
    }
}

/// Whether every way out of the step at `index`, behind which nothing stands, is one of its blocks' own.
fn jumps_always(steps: &Steps, index: usize) -> bool {
    matches!(
        steps.steps.get(index).map(|step| &step.kind),
        Some(Kind::Branch { then, otherwise }) if !then.is_empty() && !otherwise.is_empty()
    )
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
        Kind::Switch { cases, otherwise, .. } => cases
            .iter()
            .filter_map(|(_, block)| first(block))
            .chain(otherwise.as_ref().map_or(next, first))
            .chain(next.filter(|_| step.guarded))
            .collect(),
        Kind::Split { arms } => {
            // Where no contact goes any way, one complaint is enough.
            let goes = |weight: u32| weight > 0 || arms.iter().all(|(_, weight, _)| *weight == 0);
            let ways =
                arms.iter().filter(|(_, weight, _)| goes(*weight)).filter_map(|(.., block)| first(block));
            ways.chain(next.filter(|_| step.guarded)).collect()
        }
        Kind::Run { what, ways, .. } => {
            let waits = what.as_ref().is_none_or(|call| call.waits);
            let is_whole = CallEnd::of(waits).all(|end| ways.iter().any(|(ends, _)| ends.contains(&end)));
            let firsts = ways.iter().filter_map(|(_, block)| first(block));
            firsts.chain(next.filter(|_| step.guarded || !is_whole)).collect()
        }
        Kind::Parallel { paths, .. } => {
            paths.iter().filter_map(|path| path.block.first().copied()).chain(next).collect()
        }
        // Who is held out, or whom an arm without steps takes, goes on below.
        Kind::Experiment { what, arms } => {
            let is_left = step.guarded || what.as_ref().is_none_or(|what| what.hold_out.is_some());
            let ways =
                arms.iter().filter(|(_, weight, _)| *weight > 0).filter_map(|(.., block)| first(block));
            ways.chain(next.filter(|_| is_left)).collect()
        }
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
