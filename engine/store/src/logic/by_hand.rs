//! What people do to runs: set them going again, skip, move to another version, end. Each in a transaction of its own.

use async_trait::async_trait;
use dripline_model::{
    decision::DecisionKind,
    id::{ContactId, RunId, VersionId, WorkflowId},
};
use jiff::Timestamp;

use super::{
    catalog,
    kin::{self, KinSets},
    ms,
    pending::{NewDecision, record},
    word,
};
use crate::{RunMove, backend::Commit, error::Raw, publishing::Publishing};

/// The decision to set a run going again.
const RETRIED: &str = "set going again by hand";

/// The decision to let a run go on below the step that failed.
const SKIPPED: &str = "skipped by hand, for it failed";

/// What people's verbs ask of a write transaction. Instants are milliseconds since the epoch.
#[async_trait]
pub(crate) trait ByHand: KinSets {
    /// The failed runs, or only this one.
    async fn failed_runs(&mut self, run: Option<i64>) -> Raw<Vec<StandingRun>>;
    /// The run, if it is active.
    async fn active_run(&mut self, run: i64) -> Raw<Option<StandingRun>>;
    /// Sets a failed run going again at `node`; answers whether it could be: a contact that is in the workflow again by now
    /// stays there once, and a path goes on as long as its run does.
    async fn revive(&mut self, run: &StandingRun, node: i64, due_ms: i64) -> Raw<bool>;
    /// Takes a failed run for completed; the one that waits for it looks again.
    async fn complete(&mut self, run: &StandingRun, now_ms: i64) -> Raw<bool>;
    /// Ends an active run; it is the turn of the event that waits behind it.
    async fn cancel(&mut self, run: i64, now_ms: i64) -> Raw<()>;
}

/// A run as people act on it: id, version, contact, node, turn.
pub(crate) type StandingRun = (i64, i64, i64, i64, i64);

/// Sets failed runs going again where they failed. Answers how many.
pub(crate) async fn retry(mut writer: impl ByHand + Commit, run: Option<RunId>, now: Timestamp) -> Raw<u64> {
    let mut decisions = Vec::new();
    for run in writer.failed_runs(run.map(|run| run.0)).await? {
        if writer.revive(&run, run.3, ms(now)).await? {
            decisions.push(decision(run, DecisionKind::Retrying, RETRIED));
        }
    }
    keep(writer, decisions, now).await
}

/// Lets failed runs go on below the step that failed; where nothing is below, they are completed. Answers how many.
pub(crate) async fn skip(mut writer: impl ByHand + Commit, run: Option<RunId>, now: Timestamp) -> Raw<u64> {
    let mut decisions = Vec::new();
    for run in writer.failed_runs(run.map(|run| run.0)).await? {
        let goes_on = match writer.version(VersionId(run.1)).await?.below(run.3) {
            Some(below) => writer.revive(&run, below.into(), ms(now)).await?,
            None => writer.complete(&run, ms(now)).await?,
        };
        if goes_on {
            decisions.push(decision(run, DecisionKind::Skipped, SKIPPED));
        }
    }
    keep(writer, decisions, now).await
}

/// Ends an active run; answers whether there was one.
pub(crate) async fn cancel(
    mut writer: impl ByHand + Commit,
    run: RunId,
    reason: &str,
    now: Timestamp,
) -> Raw<bool> {
    let Some(active) = writer.active_run(run.0).await? else { return Ok(false) };
    writer.cancel(run.0, ms(now)).await?;
    record(&mut writer, vec![decision(active, DecisionKind::Cancelled, reason)], now).await?;
    kin::settle_ended(&mut writer, now).await?;
    writer.commit().await?;
    Ok(true)
}

/// Moves active runs to steps of another version. Answers how many.
pub(crate) async fn move_over(
    mut writer: impl Publishing + Commit,
    to: VersionId,
    moves: &[RunMove],
    reason: &str,
    now: Timestamp,
) -> Raw<u64> {
    let reason = word(&mut writer, reason).await?;
    let moved = writer.move_runs_over(to.0, moves, reason, ms(now)).await?;
    writer.commit().await?;
    Ok(moved)
}

/// Ends the active runs of a workflow that stand on other versions than `current`. Answers how many.
pub(crate) async fn drain(
    mut writer: impl Publishing + Commit,
    workflow: WorkflowId,
    current: VersionId,
    reason: &str,
    now: Timestamp,
) -> Raw<u64> {
    let reason = word(&mut writer, reason).await?;
    let ended = catalog::end_runs(&mut writer, workflow.0, Some(current.0), reason, now).await?;
    writer.commit().await?;
    Ok(ended)
}

async fn keep(mut writer: impl ByHand + Commit, decisions: Vec<NewDecision<'_>>, now: Timestamp) -> Raw<u64> {
    let changed = decisions.len() as u64;
    record(&mut writer, decisions, now).await?;
    writer.commit().await?;
    Ok(changed)
}

fn decision(
    (run, version, contact, node, turn): StandingRun,
    kind: DecisionKind,
    reason: &str,
) -> NewDecision<'_> {
    NewDecision {
        run: Some(RunId(run)),
        version: VersionId(version),
        contact: ContactId(contact),
        node: Some(node),
        turn,
        kind,
        reason,
        event: None,
    }
}
