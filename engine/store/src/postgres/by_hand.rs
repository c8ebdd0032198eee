//! What people do to runs: set them going again, skip, move to another version, end.

use async_trait::async_trait;
use dripline_model::decision::{DecisionKind, RunStatus};
use sqlx::{query, query_as};

use super::{
    held::{NEXT_AFTER_RUN, NEXT_OF_ALL},
    rows::{bind_columns, small},
    writer::Writer,
};
use crate::{
    RunMove,
    error::Raw,
    logic::by_hand::{ByHand, StandingRun},
};

const FAILED_RUNS: &str = "
SELECT id, version_id, contact_id, node::int8, turn::int8
FROM runs WHERE status = 2 AND ($1::int8 IS NULL OR id = $1) ORDER BY id FOR UPDATE";

/// A contact that is in the workflow again by now stays there once; a path goes on as long as its run does.
const REVIVE: &str = "
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

#[async_trait]
impl ByHand for Writer {
    async fn failed_runs(&mut self, run: Option<i64>) -> Raw<Vec<StandingRun>> {
        Ok(query_as(FAILED_RUNS).bind(run).fetch_all(self.conn().await?).await?)
    }

    async fn active_run(&mut self, run: i64) -> Raw<Option<StandingRun>> {
        Ok(query_as(ACTIVE_RUN).bind(run).fetch_optional(self.conn().await?).await?)
    }

    async fn revive(&mut self, run: &StandingRun, node: i64, due_ms: i64) -> Raw<bool> {
        query(LOCK_CONTACT).bind(run.2).execute(self.conn().await?).await?;
        let revived = self.run(query(REVIVE).bind(run.0).bind(due_ms).bind(small(node))).await?;
        self.wakes_others |= revived > 0;
        Ok(revived > 0)
    }

    async fn complete(&mut self, run: &StandingRun, now_ms: i64) -> Raw<bool> {
        query(LOCK_CONTACT).bind(run.2).execute(self.conn().await?).await?;
        let is_completed = self.run(query(COMPLETE).bind(run.0)).await? > 0;
        self.run(query(WAKE_PARENT).bind(run.0).bind(now_ms)).await?;
        self.wakes_others |= is_completed;
        Ok(is_completed)
    }

    async fn cancel(&mut self, run: i64, now_ms: i64) -> Raw<()> {
        let cancelled = small(RunStatus::Cancelled.code());
        self.run(query(CANCEL).bind(run).bind(cancelled).bind(now_ms)).await?;
        self.run(query(NEXT_AFTER_RUN).bind(run).bind(now_ms)).await?;
        self.wakes_others = true;
        Ok(())
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
