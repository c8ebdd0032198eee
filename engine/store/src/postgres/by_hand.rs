//! What people do to runs: set them going again, skip, move to another version, end.

use dripline_model::{
    decision::{DecisionKind, RunStatus},
    id::{RunId, VersionId, WorkflowId},
};
use jiff::Timestamp;
use sqlx::{query, query_as, query_scalar};

use super::{
    PostgresStore,
    held::{NEXT_AFTER_RUN, NEXT_OF_ALL},
    rows::{bind_columns, small},
    writer::Writer,
};
use crate::{
    RunMove,
    backend::{Backend as _, Commit as _},
    error::Raw,
    logic::{
        catalog,
        enroll::{self, StandingRun},
        kin, ms,
    },
    sets::Sets as _,
};

const FAILED_RUNS: &str = "
SELECT id, version_id, contact_id, node::int8, turn::int8
FROM runs WHERE status = 2 AND ($1::int8 IS NULL OR id = $1) ORDER BY id FOR UPDATE";

/// A contact that is in the workflow again by now stays there once; a path goes on as long as its run does.
const REVIVE: &str = "
UPDATE runs SET status = 0, due_at = $2, first_due_at = NULL, ended_at = NULL, attempts = 0, hops = 0
WHERE id = $1 AND CASE WHEN path IS NULL THEN NOT EXISTS (
    SELECT 1 FROM runs other
    WHERE other.contact_id = runs.contact_id AND other.workflow_id = runs.workflow_id AND other.status = 0
        AND other.lane = runs.lane AND other.path IS NULL)
    ELSE EXISTS (SELECT 1 FROM runs parent WHERE parent.id = runs.parent_id AND parent.status = 0) END";

/// As above, from another step.
const REVIVE_AT: &str = "
UPDATE runs SET status = 0, due_at = $2, first_due_at = NULL, ended_at = NULL, attempts = 0, hops = 0, node = $3
WHERE id = $1 AND CASE WHEN path IS NULL THEN NOT EXISTS (
    SELECT 1 FROM runs other
    WHERE other.contact_id = runs.contact_id AND other.workflow_id = runs.workflow_id AND other.status = 0
        AND other.lane = runs.lane AND other.path IS NULL)
    ELSE EXISTS (SELECT 1 FROM runs parent WHERE parent.id = runs.parent_id AND parent.status = 0) END";

const COMPLETE: &str = "UPDATE runs SET status = 1 WHERE id = $1";

/// The one that waits for it looks again.
const WAKE_PARENT: &str = "
UPDATE runs SET due_at = $2 WHERE waits_for = 2 AND due_at > $2 AND id = (SELECT parent_id FROM runs WHERE id = $1)";

/// Together, so that a run that a batch has moved on meanwhile is neither moved nor said to be.
const MIGRATE: &str = "
WITH moved AS (
    UPDATE runs SET version_id = $4, node = moves.target
    FROM unnest($1::int8[], $2::int4[], $3::int4[]) AS moves(version, node, target)
    WHERE runs.due_at IS NOT NULL AND runs.version_id = moves.version AND runs.node = moves.node
        AND runs.workflow_id = (SELECT workflow_id FROM workflow_versions WHERE id = $4)
    RETURNING runs.id, runs.contact_id, runs.node, runs.turn)
INSERT INTO decisions (run_id, version_id, contact_id, node, turn, at, kind, reason)
SELECT id, $4, contact_id, node, turn, $5, $6, $7 FROM moved";

const DRAIN: &str = "
WITH ended AS (
    UPDATE runs SET status = $3, due_at = NULL, ended_at = $4,
        waits_for = NULL, waits_since = NULL, waits_until = NULL
    WHERE workflow_id = $1 AND due_at IS NOT NULL AND version_id IS DISTINCT FROM $2
    RETURNING id, version_id, contact_id, node, turn)
INSERT INTO decisions (run_id, version_id, contact_id, node, turn, at, kind, reason)
SELECT id, version_id, contact_id, node, turn, $4, $5, $6 FROM ended";

/// Nobody may start or end a run of the contact meanwhile.
const LOCK_CONTACT: &str = "SELECT id FROM contacts WHERE id = $1 FOR NO KEY UPDATE";

const ACTIVE_RUN: &str = "
SELECT id, version_id, contact_id, node::int8, turn::int8 FROM runs WHERE id = $1 AND status = 0 FOR UPDATE";

const CANCEL: &str = "
UPDATE runs SET status = $2, due_at = NULL, ended_at = $3, waits_for = NULL, waits_since = NULL, waits_until = NULL
WHERE id = $1";

impl PostgresStore {
    pub(super) async fn revive(&self, run: Option<RunId>, now: Timestamp) -> Raw<u64> {
        let mut writer = self.writer().await?;
        let failed: Vec<StandingRun> =
            query_as(FAILED_RUNS).bind(run.map(|run| run.0)).fetch_all(writer.conn().await?).await?;
        let mut decisions = Vec::new();
        for run in failed {
            let _: Option<i64> =
                query_scalar(LOCK_CONTACT).bind(run.2).fetch_optional(writer.conn().await?).await?;
            if writer.run(query(REVIVE).bind(run.0).bind(ms(now))).await? > 0 {
                decisions.push(enroll::by_hand(run, DecisionKind::Retrying, None));
            }
        }
        let revived = decisions.len() as u64;
        writer.wakes_others = revived > 0;
        enroll::record(&mut writer, decisions, now).await?;
        writer.commit().await?;
        Ok(revived)
    }

    pub(super) async fn skip(&self, run: Option<RunId>, now: Timestamp) -> Raw<u64> {
        let mut writer = self.writer().await?;
        let failed: Vec<StandingRun> =
            query_as(FAILED_RUNS).bind(run.map(|run| run.0)).fetch_all(writer.conn().await?).await?;
        let mut decisions = Vec::new();
        for run in failed {
            let _: Option<i64> =
                query_scalar(LOCK_CONTACT).bind(run.2).fetch_optional(writer.conn().await?).await?;
            let below = writer.version(VersionId(run.1)).await?.below(run.3);
            let on = match below {
                Some(below) => query(REVIVE_AT).bind(run.0).bind(ms(now)).bind(small(below.into())),
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
        writer.wakes_others = skipped > 0;
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
        writer.wakes_others = true;
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
        let migrate = bind_columns!(
            query(MIGRATE),
            moves,
            |one| one.from.0,
            small(one.node.into()),
            small(one.to.into()),
        );
        let kind = small(DecisionKind::Moved.code());
        self.run(migrate.bind(to).bind(now_ms).bind(kind).bind(reason)).await
    }

    /// Ends the active runs of a workflow on all versions, `except` on one. Answers how many.
    pub(super) async fn end_older(
        &mut self,
        workflow: i64,
        except: Option<i64>,
        reason: i64,
        now_ms: i64,
    ) -> Raw<u64> {
        let drain = query(DRAIN).bind(workflow).bind(except).bind(small(RunStatus::Cancelled.code()));
        let drain = drain.bind(now_ms).bind(small(DecisionKind::Cancelled.code())).bind(reason);
        let ended = self.run(drain).await?;
        self.wakes_others = true;
        self.run(query(NEXT_OF_ALL).bind(workflow).bind(now_ms)).await?;
        Ok(ended)
    }
}
