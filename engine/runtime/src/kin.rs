//! Runs that belong to another: paths of a `parallel`, and runs of a workflow that a step called and waits for.
//!
//! A path is a run of its own, so that it waits, fails and is tried again like any other. What makes it a part is here: who leaves
//! the workflow takes all paths along, who ends leaves nobody behind who belonged to it, and who waited for it looks again.

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{
    decision::{Awaited, DecisionKind, RunStatus},
    id::RunId,
    program::{Join, NodeIndex, Parallel, Path},
};
use dripline_store::{Advance, AppliedTurn, ChildRun, ClaimedRun, NEVER, NewPath, Transaction, Waiting};
use jiff::Timestamp;

use crate::{
    engine::Engine,
    error::{Result, While},
    policy::{plain, to},
    turn::Taken,
};

/// What followed from the ends of runs for those that belong to them, or to which they belong. It is applied already.
#[derive(Default)]
pub(crate) struct Followed {
    /// How many further turns that were.
    pub(crate) turns: u64,
    /// The runs that have ended; what is known of them elsewhere is not so any more.
    pub(crate) gone: BTreeSet<RunId>,
    /// The runs that waited for some of these, and look again.
    pub(crate) woken: Vec<ClaimedRun>,
}

impl Followed {
    /// Takes in what followed from something else.
    pub(crate) fn merge(&mut self, other: Self) {
        self.turns += other.turns;
        self.gone.extend(other.gone);
        self.woken.retain(|run| !other.woken.iter().any(|woken| woken.run == run.run));
        self.woken.extend(other.woken);
        self.woken.retain(|run| !self.gone.contains(&run.run));
    }
}

/// Whether other runs have to do with this one.
fn has_kin(run: &ClaimedRun) -> bool {
    run.parent.is_some() || run.waits_for_runs()
}

impl Engine {
    /// Does what follows from the turns, which are applied, for runs that belong together.
    pub(crate) async fn follow_ends(
        &self,
        tx: &mut dyn Transaction,
        applied: &[AppliedTurn],
        now: Timestamp,
    ) -> Result<Followed> {
        if !applied.iter().any(|turn| turn.advance.ended().is_some() && has_kin(&turn.run)) {
            return Ok(Followed::default());
        }
        let mut gone: BTreeSet<RunId> =
            applied.iter().filter(|turn| turn.advance.ended().is_some()).map(|turn| turn.run.run).collect();
        let mut turns = leave_all(tx, applied, &mut gone).await?;
        let ended = applied.iter().chain(&turns).filter(|turn| turn.advance.ended().is_some());
        let parents = ended.map(|turn| turn.run).filter(ClaimedRun::waits_for_runs).collect();
        turns.extend(end_children(tx, parents, &mut gone).await?);

        // A path that failed stays where it is until a person decides, and so does the run that waits for it.
        let is_over = |turn: &&AppliedTurn| {
            turn.advance.ended().is_some_and(|status| status != RunStatus::Failed || !turn.run.is_path())
        };
        let over = applied.iter().chain(&turns).filter(is_over);
        let waiting: BTreeSet<RunId> = over
            .filter_map(|turn| turn.run.parent.map(|parent| parent.run))
            .filter(|parent| !gone.contains(parent))
            .collect();
        if !turns.is_empty() {
            let roots: Vec<AppliedTurn> =
                turns.iter().filter(|turn| matches!(turn.advance, Advance::Leave(_))).cloned().collect();
            self.announce_ends(tx, &roots, now).await?;
            tx.apply(&turns, now).await.while_doing("end the runs that belong to others")?;
        }
        let waiting: Vec<RunId> = waiting.into_iter().collect();
        let mut woken = Vec::new();
        if !waiting.is_empty() {
            const DOING: &str = "wake the runs that wait for others";
            tx.wake(&waiting, now).await.while_doing(DOING)?;
            woken = tx.active(&waiting).await.while_doing(DOING)?;
            let published = self.published();
            woken.retain(|run| run.waits_for_runs() && !published.is_paused(run.workflow));
        }
        Ok(Followed { turns: turns.len() as u64, gone, woken })
    }
}

/// Ends the runs to which paths belong that left the workflow, up to the run that is none.
async fn leave_all(
    tx: &mut dyn Transaction,
    applied: &[AppliedTurn],
    gone: &mut BTreeSet<RunId>,
) -> Result<Vec<AppliedTurn>> {
    let mut leaving: BTreeMap<RunId, (RunStatus, String)> = BTreeMap::new();
    for turn in applied {
        if let Advance::Leave(status) = turn.advance
            && let Some(parent) = turn.run.parent.filter(|parent| parent.is_path)
        {
            leaving.entry(parent.run).or_insert((status, turn.reason.clone()));
        }
    }
    let mut turns = Vec::new();
    while !leaving.is_empty() {
        let ids: Vec<RunId> = leaving.keys().copied().collect();
        let mut above = BTreeMap::new();
        for run in tx.active(&ids).await.while_doing("load the runs of paths")? {
            let Some((status, reason)) = leaving.remove(&run.run) else { continue };
            if !gone.insert(run.run) {
                continue;
            }
            if let Some(parent) = run.parent.filter(|parent| parent.is_path) {
                above.entry(parent.run).or_insert((status, reason.clone()));
            }
            turns.push(plain(run, DecisionKind::Ended, reason, Advance::Leave(status)));
        }
        leaving = above;
    }
    Ok(turns)
}

/// Ends what belongs to runs that have ended.
async fn end_children(
    tx: &mut dyn Transaction,
    mut parents: Vec<ClaimedRun>,
    gone: &mut BTreeSet<RunId>,
) -> Result<Vec<AppliedTurn>> {
    let mut turns = Vec::new();
    while !parents.is_empty() {
        let children = current(tx, &parents).await?;
        parents.clear();
        for run in children.into_iter().filter_map(|child| child.active) {
            if gone.insert(run.run) {
                turns.push(cancelled(run));
                if run.waits_for_runs() {
                    parents.push(run);
                }
            }
        }
    }
    Ok(turns)
}

fn cancelled(run: ClaimedRun) -> AppliedTurn {
    let why = if run.is_path() {
        "the run of which it is a path has ended"
    } else {
        "the run that called it has ended"
    };
    plain(run, DecisionKind::Cancelled, why.to_owned(), Advance::End(RunStatus::Cancelled))
}

/// The runs for which these, which wait, are waiting now: those that belong to them since the turn in which they began to.
pub(crate) async fn current(tx: &mut dyn Transaction, parents: &[ClaimedRun]) -> Result<Vec<ChildRun>> {
    let since: BTreeMap<RunId, i64> = parents.iter().map(|run| (run.run, run.turn - 1)).collect();
    let ids: Vec<RunId> = since.keys().copied().collect();
    let mut children = tx.children(&ids).await.while_doing("load the runs that belong to others")?;
    children.retain(|child| since.get(&child.parent) == Some(&child.turn));
    Ok(children)
}

/// The turn in which a run begins to wait for others.
pub(crate) fn wait_for_runs(run: ClaimedRun, reason: String, now: Timestamp) -> AppliedTurn {
    let waiting = Waiting { what: Awaited::Runs, since: now, until: NEVER };
    plain(run, DecisionKind::Waiting, reason, Advance::Wait { waiting, due: NEVER })
}

/// Sends runs on all paths at once, and on together those whose paths have joined.
pub(crate) async fn take(
    tx: &mut dyn Transaction,
    parallel: &Parallel,
    runs: Vec<ClaimedRun>,
    next: Option<NodeIndex>,
    now: Timestamp,
) -> Result<Taken> {
    let (waiting, coming): (Vec<ClaimedRun>, Vec<ClaimedRun>) =
        runs.into_iter().partition(ClaimedRun::waits_for_runs);
    let mut taken = Taken::default();
    if !coming.is_empty() {
        let paths = coming.iter().flat_map(|run| parallel.paths.iter().map(move |path| begun(run, path)));
        taken.begun =
            tx.begin_paths(&paths.collect::<Vec<_>>(), now).await.while_doing("begin parallel paths")?;
        let names: Vec<String> = parallel.paths.iter().map(|path| format!("`{}`", path.name)).collect();
        let until = match parallel.join {
            Join::All => "all of them have come to their end",
            Join::Any => "one of them has come to its end",
        };
        let reason = format!("goes by {} at once, and waits until {until}", names.join(" and "));
        taken.applied.extend(coming.into_iter().map(|run| wait_for_runs(run, reason.clone(), now)));
    }
    if waiting.is_empty() {
        return Ok(taken);
    }
    let mut paths: BTreeMap<RunId, Vec<ChildRun>> = BTreeMap::new();
    for child in current(tx, &waiting).await? {
        paths.entry(child.parent).or_default().push(child);
    }
    let mut put_back = Vec::new();
    for run in waiting {
        let paths = paths.remove(&run.run).unwrap_or_default();
        let Some(reason) = joined(parallel.join, &paths) else {
            put_back.push((run, NEVER));
            continue;
        };
        let waited = run.waiting.is_some_and(|waiting| now > waiting.since);
        taken.applied.push(plain(run, DecisionKind::Branched, reason, to(next, now, waited)));
        // Of `any` the others.
        let others = paths.iter().filter_map(|path| path.active).map(|path| {
            let why = "another path has come to its end".to_owned();
            plain(path, DecisionKind::Cancelled, why, Advance::End(RunStatus::Cancelled))
        });
        taken.applied.extend(others);
    }
    tx.put_back(&put_back).await.while_doing("let runs wait on")?;
    Ok(taken)
}

fn begun(run: &ClaimedRun, path: &Path) -> NewPath {
    NewPath {
        parent: run.run,
        path: path.name.as_str().into(),
        node: path.first,
        turn: run.turn,
        hops: run.hops + 1,
    }
}

/// Why paths have joined, if they have. One that failed has not come to its end.
fn joined(join: Join, paths: &[ChildRun]) -> Option<String> {
    let named = |path: &ChildRun| format!("`{}`", path.path.as_deref().unwrap_or_default());
    let has_failed = |path: &&ChildRun| path.status == RunStatus::Failed;
    let is_open = |path: &&ChildRun| path.active.is_some() || has_failed(path);
    let first = paths.iter().find(|path| path.status == RunStatus::Completed);
    match (join, first) {
        (Join::Any, Some(first)) => Some(format!("the path {} has come to its end", named(first))),
        _ if paths.iter().any(|path| is_open(&path)) => None,
        _ => {
            let ended: Vec<String> =
                paths.iter().filter(|path| path.status == RunStatus::Cancelled).map(named).collect();
            Some(match ended.as_slice() {
                [] => "all paths have come to their end".to_owned(),
                ended => format!("all paths are over; ended by a person: {}", ended.join(", ")),
            })
        }
    }
}
