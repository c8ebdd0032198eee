//! What the verbs on runs that belong to others mean, once for both backends.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dripline_model::{
    decision::{DecisionKind, RunStatus},
    id::RunId,
};
use jiff::Timestamp;

use super::{
    experiments::HasWriter,
    ms,
    pending::{NewDecision, Pending, record},
    report::run_status,
};
use crate::{
    Called, ChildRun, ClaimedRun, Kin, NewCall, NewPath, Result,
    error::{Doing as _, Raw, from_json, to_json},
    sets::{EndedRun, Sets},
};

/// What a backend knows of runs that belong to others.
#[async_trait]
pub(crate) trait KinSets: Sets {
    /// Begins paths. Answers their ids.
    async fn insert_paths(&mut self, rows: &[PathRow], now_ms: i64) -> Raw<Vec<i64>>;
    /// The runs that belong to these, in their order.
    async fn children_of(&mut self, parents: &[i64]) -> Raw<Vec<ChildRow>>;
    /// Of these runs those that are active, locked to the commit.
    async fn active_among(&mut self, runs: &[i64]) -> Raw<Vec<ClaimedRun>>;
    /// Makes those of these runs due that wait for others.
    async fn wake_parents(&mut self, runs: &[i64], now_ms: i64) -> Raw<()>;
    /// Records how runs were called.
    async fn put_calls(&mut self, rows: &[CallRow]) -> Raw<()>;
    /// Active runs that belong to one that a person ended at this moment.
    async fn orphans(&mut self, now_ms: i64) -> Raw<Vec<ClaimedRun>>;
    /// Makes those due that wait for a run that a person ended at this moment.
    async fn wake_bereft(&mut self, now_ms: i64) -> Raw<()>;
    /// Run, inputs as JSON, depth; of those that were called.
    async fn calls_of(&mut self, runs: &[i64]) -> Raw<Vec<(i64, Option<String>, Option<i64>)>>;
}

/// A path to begin: parent, path (word), node, the parent's turn, hops.
pub(crate) type PathRow = (i64, i64, i64, i64, i64);

/// How a run was called: the run, who waits for it, in which turn of that, the inputs as JSON, the depth.
pub(crate) type CallRow = (i64, Option<i64>, Option<i64>, String, i64);

/// A run that belongs to another: the parent, its turn, the run, the path, the status.
pub(crate) type ChildRow = (i64, i64, i64, Option<String>, i64);

/// Why a run was ended that belonged to one that a person ended.
const ORPHANED: &str = "the run to which it belonged was ended";

/// After runs were ended by hand: what belongs to them ends with them, and who waits for them looks again.
pub(crate) async fn settle_ended(sets: &mut impl KinSets, now: Timestamp) -> Raw<()> {
    loop {
        let orphans = sets.orphans(ms(now)).await?;
        if orphans.is_empty() {
            return sets.wake_bereft(ms(now)).await;
        }
        let rows: Vec<EndedRun> = orphans
            .iter()
            .map(|run| EndedRun {
                run: run.run.0,
                node: run.node.into(),
                status: RunStatus::Cancelled.code(),
                turn: run.turn,
                ended_ms: ms(now),
            })
            .collect();
        sets.end_runs(&rows).await?;
        let decisions = orphans.iter().map(|run| NewDecision {
            run: Some(run.run),
            version: run.version,
            contact: run.contact,
            node: Some(run.node.into()),
            turn: run.turn,
            kind: DecisionKind::Cancelled,
            reason: ORPHANED,
            event: None,
        });
        record(sets, decisions.collect(), now).await?;
    }
}

/// A transaction whose runs are not all written yet.
pub(crate) trait HasPending: HasWriter {
    fn parts(&mut self) -> (&mut Self::Writer, &mut Pending);
}

#[async_trait]
impl<T> Kin for T
where
    T: HasPending,
    T::Writer: KinSets,
{
    async fn begin_paths(&mut self, paths: &[NewPath], now: Timestamp) -> Result<Vec<ClaimedRun>> {
        let (sets, pending) = self.parts();
        let begin = async {
            pending.flush_runs(sets).await?;
            sets.intern(paths.iter().map(|path| &*path.path).collect()).await?;
            let mut rows = Vec::with_capacity(paths.len());
            for path in paths {
                let row = (path.parent.0, sets.word(&path.path)?, i64::from(path.node), path.turn, path.hops);
                rows.push(row);
            }
            let ids = sets.insert_paths(&rows, ms(now)).await?;
            sets.active_among(&ids).await
        };
        begin.await.doing("begin the paths of runs")
    }

    async fn children(&mut self, parents: &[RunId]) -> Result<Vec<ChildRun>> {
        let (sets, pending) = self.parts();
        let children = async {
            pending.flush_runs(sets).await?;
            let rows = sets.children_of(&ids(parents)).await?;
            let runs: Vec<i64> = rows.iter().map(|(.., run, _, _)| *run).collect();
            let active = sets.active_among(&runs).await?;
            let mut active: BTreeMap<RunId, ClaimedRun> =
                active.into_iter().map(|run| (run.run, run)).collect();
            let children = rows.into_iter().map(|(parent, turn, run, path, status)| {
                let run = RunId(run);
                let (status, active) = (run_status(status)?, active.remove(&run));
                Ok(ChildRun { parent: RunId(parent), turn, run, path, status, active })
            });
            children.collect::<Raw<Vec<_>>>()
        };
        children.await.doing("load the runs that belong to others")
    }

    async fn active(&mut self, runs: &[RunId]) -> Result<Vec<ClaimedRun>> {
        let (sets, pending) = self.parts();
        let active = async {
            pending.flush_runs(sets).await?;
            sets.active_among(&ids(runs)).await
        };
        active.await.doing("load runs")
    }

    async fn wake(&mut self, runs: &[RunId], now: Timestamp) -> Result<()> {
        let (sets, pending) = self.parts();
        let wake = async {
            pending.flush_runs(sets).await?;
            sets.wake_parents(&ids(runs), ms(now)).await
        };
        wake.await.doing("wake the runs that wait for others")
    }

    async fn attach_calls(&mut self, calls: &[NewCall]) -> Result<()> {
        let sets = self.writer();
        let attach = async {
            let mut rows = Vec::with_capacity(calls.len());
            for NewCall { run, parent, called } in calls {
                let (parent, turn) = parent.map(|(run, turn)| (run.0, turn)).unzip();
                let inputs = to_json("run's inputs", &called.inputs)?;
                rows.push((run.0, parent, turn, inputs, i64::from(called.depth)));
            }
            sets.put_calls(&rows).await
        };
        attach.await.doing("record with what runs were called")
    }

    async fn calls(&mut self, runs: &[RunId]) -> Result<BTreeMap<RunId, Called>> {
        let calls = async {
            let rows = self.writer().calls_of(&ids(runs)).await?;
            let called = rows.into_iter().map(|(run, inputs, depth)| {
                let inputs =
                    inputs.map(|json| from_json("run's inputs", &json)).transpose()?.unwrap_or_default();
                let depth = u32::try_from(depth.unwrap_or_default()).unwrap_or(u32::MAX);
                Ok((RunId(run), Called { inputs, depth }))
            });
            called.collect::<Raw<BTreeMap<_, _>>>()
        };
        calls.await.doing("look with what runs were called")
    }
}

fn ids(runs: &[RunId]) -> Vec<i64> {
    runs.iter().map(|run| run.0).collect()
}
