//! What people do to runs: set them going again, skip, move to another version, end.

use dripline_model::{
    decision::{DecisionKind, RunStatus},
    id::{RunId, VersionId, WorkflowId},
};
use jiff::Timestamp;
use sqlx::{query, query_as, query_scalar};

use super::{
    SqliteStore,
    held::{NEXT_AFTER_RUN, NEXT_OF_ALL},
    rows::json_rows,
    writer::Writer,
};
use crate::{
    RunMove,
    backend::{Backend as _, Commit as _},
    error::{Raw, to_json},
    logic::{
        catalog,
        enroll::{self, StandingRun},
        kin, ms,
    },
    sets::Sets as _,
};

const FAILED_RUNS: &str = "
SELECT json_group_array(json_array(id, version_id, contact_id, node, turn))
FROM runs WHERE status = 2 AND (?1 IS NULL OR id = ?1)";

/// A contact that is in the workflow again by now stays there once; a path goes on as long as its run does.
const REVIVE: &str = "
UPDATE OR IGNORE runs SET status = 0, due_at = ?2, first_due_at = NULL, ended_at = NULL, attempts = 0, hops = 0
WHERE id = ?1
    AND (path IS NULL OR EXISTS (SELECT 1 FROM runs parent WHERE parent.id = runs.parent_id AND parent.status = 0))";

/// As above, from another step.
const REVIVE_AT: &str = "
UPDATE OR IGNORE runs SET status = 0, due_at = ?2, first_due_at = NULL, ended_at = NULL, attempts = 0, hops = 0,
    node = ?3
WHERE id = ?1
    AND (path IS NULL OR EXISTS (SELECT 1 FROM runs parent WHERE parent.id = runs.parent_id AND parent.status = 0))";

const COMPLETE: &str = "UPDATE runs SET status = 1 WHERE id = ?1";

/// The one that waits for it looks again.
const WAKE_PARENT: &str = "
UPDATE runs SET due_at = ?2 WHERE waits_for = 2 AND due_at > ?2 AND id = (SELECT parent_id FROM runs WHERE id = ?1)";

/// The moves, once: version, node, where to.
const MIGRATED: &str = "
WITH moves (version, node, target) AS MATERIALIZED (
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))
INSERT INTO decisions (run_id, version_id, contact_id, node, turn, at, kind, reason)
SELECT r.id, ?2, r.contact_id, moves.target, r.turn, ?3, ?4, ?5
FROM runs r JOIN moves ON moves.version = r.version_id AND moves.node = r.node
WHERE r.due_at IS NOT NULL AND r.workflow_id = (SELECT workflow_id FROM workflow_versions WHERE id = ?2)";

const MIGRATE: &str = "
WITH moves (version, node, target) AS MATERIALIZED (
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))
UPDATE runs SET version_id = ?2, node = moves.target
FROM moves
WHERE runs.due_at IS NOT NULL AND runs.version_id = moves.version AND runs.node = moves.node
    AND runs.workflow_id = (SELECT workflow_id FROM workflow_versions WHERE id = ?2)";

const DRAINED: &str = "
INSERT INTO decisions (run_id, version_id, contact_id, node, turn, at, kind, reason)
SELECT id, version_id, contact_id, node, turn, ?3, ?4, ?5
FROM runs WHERE workflow_id = ?1 AND due_at IS NOT NULL AND version_id IS NOT ?2";

const DRAIN: &str = "
UPDATE runs SET status = ?4, due_at = NULL, ended_at = ?3, waits_for = NULL, waits_since = NULL, waits_until = NULL
WHERE workflow_id = ?1 AND due_at IS NOT NULL AND version_id IS NOT ?2";

const ACTIVE_RUN: &str =
    "SELECT id, version_id, contact_id, node, turn FROM runs WHERE id = ?1 AND status = 0";

const CANCEL: &str = "
UPDATE runs SET status = ?2, due_at = NULL, ended_at = ?3, waits_for = NULL, waits_since = NULL, waits_until = NULL
WHERE id = ?1";

impl SqliteStore {
    pub(super) async fn revive(&self, run: Option<RunId>, now: Timestamp) -> Raw<u64> {
        let mut writer = self.writer().await?;
        let failed: Vec<StandingRun> =
            json_rows(writer.conn().await?, query_scalar(FAILED_RUNS).bind(run.map(|run| run.0))).await?;
        let mut decisions = Vec::new();
        for run in failed {
            if writer.run(query(REVIVE).bind(run.0).bind(ms(now))).await? > 0 {
                decisions.push(enroll::by_hand(run, DecisionKind::Retrying, None));
            }
        }
        let revived = decisions.len() as u64;
        enroll::record(&mut writer, decisions, now).await?;
        writer.commit().await?;
        Ok(revived)
    }

    pub(super) async fn skip(&self, run: Option<RunId>, now: Timestamp) -> Raw<u64> {
        let mut writer = self.writer().await?;
        let failed: Vec<StandingRun> =
            json_rows(writer.conn().await?, query_scalar(FAILED_RUNS).bind(run.map(|run| run.0))).await?;
        let mut decisions = Vec::new();
        for run in failed {
            let below = writer.version(VersionId(run.1)).await?.below(run.3);
            let on = match below {
                Some(below) => query(REVIVE_AT).bind(run.0).bind(ms(now)).bind(i64::from(below)),
                None => query(COMPLETE).bind(run.0),
            };
            if writer.run(on).await? > 0 {
                if below.is_none() {
                    writer.run(query(WAKE_PARENT).bind(run.0).bind(ms(now))).await?;
                }
                decisions.push(enroll::by_hand(run, DecisionKind::Skipped, Some(enroll::SKIPPED)));
            }
        }
        let skipped = decisions.len() as u64;
        enroll::record(&mut writer, decisions, now).await?;
        writer.commit().await?;
        Ok(skipped)
    }

    pub(super) async fn move_to(
        &self,
        to: VersionId,
        moves: &[RunMove],
        reason: &str,
        now: Timestamp,
    ) -> Raw<u64> {
        let mut writer = self.writer().await?;
        let reason = catalog::word(&mut writer, reason).await?;
        let moved = writer.migrate(to.0, moves, reason, ms(now)).await?;
        writer.commit().await?;
        Ok(moved)
    }

    pub(super) async fn drain(
        &self,
        workflow: WorkflowId,
        current: VersionId,
        reason: &str,
        now: Timestamp,
    ) -> Raw<u64> {
        let mut writer = self.writer().await?;
        let reason = catalog::word(&mut writer, reason).await?;
        let ended = writer.end_older(workflow.0, Some(current.0), reason, ms(now)).await?;
        kin::settle_ended(&mut writer, now).await?;
        writer.commit().await?;
        Ok(ended)
    }

    pub(super) async fn cancel(&self, run: RunId, reason: &str, now: Timestamp) -> Raw<bool> {
        let mut writer = self.writer().await?;
        let active: Option<StandingRun> =
            query_as(ACTIVE_RUN).bind(run.0).fetch_optional(writer.conn().await?).await?;
        let Some(active) = active else { return Ok(false) };
        let cancelled = RunStatus::Cancelled.code();
        writer.run(query(CANCEL).bind(run.0).bind(cancelled).bind(ms(now))).await?;
        writer.run(query(NEXT_AFTER_RUN).bind(run.0).bind(ms(now))).await?;
        let decision = enroll::by_hand(active, DecisionKind::Cancelled, Some(reason));
        enroll::record(&mut writer, vec![decision], now).await?;
        kin::settle_ended(&mut writer, now).await?;
        writer.commit().await?;
        Ok(true)
    }
}

impl Writer {
    /// Moves active runs to steps of the version `to`. Answers how many.
    pub(super) async fn migrate(&mut self, to: i64, moves: &[RunMove], reason: i64, now_ms: i64) -> Raw<u64> {
        let moves: Vec<(i64, u32, u32)> = moves.iter().map(|one| (one.from.0, one.node, one.to)).collect();
        let moves = to_json("moves", &moves)?;
        let kind = DecisionKind::Moved.code();
        let decide = query(MIGRATED).bind(moves.clone()).bind(to).bind(now_ms).bind(kind).bind(reason);
        self.run(decide).await?;
        self.run(query(MIGRATE).bind(moves).bind(to)).await
    }

    /// Ends the active runs of a workflow on all versions, `except` on one. Answers how many.
    pub(super) async fn end_older(
        &mut self,
        workflow: i64,
        except: Option<i64>,
        reason: i64,
        now_ms: i64,
    ) -> Raw<u64> {
        let whose = |sql| query(sql).bind(workflow).bind(except).bind(now_ms);
        self.run(whose(DRAINED).bind(DecisionKind::Cancelled.code()).bind(reason)).await?;
        let ended = self.run(whose(DRAIN).bind(RunStatus::Cancelled.code())).await?;
        self.run(query(NEXT_OF_ALL).bind(workflow).bind(now_ms)).await?;
        Ok(ended)
    }
}
