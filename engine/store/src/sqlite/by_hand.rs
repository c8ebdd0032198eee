//! What people do to runs: set them going again, skip, move to another version, end.

use async_trait::async_trait;
use dripline_model::decision::{DecisionKind, RunStatus};
use sqlx::{query, query_as, query_scalar};

use super::{
    held::{NEXT_AFTER_RUN, NEXT_OF_ALL},
    rows::json_rows,
    writer::Writer,
};
use crate::{
    RunMove,
    error::{Raw, to_json},
    logic::by_hand::{ByHand, StandingRun},
};

const FAILED_RUNS: &str = "
SELECT json_group_array(json_array(id, version_id, contact_id, node, turn))
FROM runs WHERE status = 2 AND (?1 IS NULL OR id = ?1)";

/// A contact that is in the workflow again by now stays there once; a path goes on as long as its run does.
const REVIVE: &str = "
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

#[async_trait]
impl ByHand for Writer {
    async fn failed_runs(&mut self, run: Option<i64>) -> Raw<Vec<StandingRun>> {
        json_rows(self.conn().await?, query_scalar(FAILED_RUNS).bind(run)).await
    }

    async fn active_run(&mut self, run: i64) -> Raw<Option<StandingRun>> {
        Ok(query_as(ACTIVE_RUN).bind(run).fetch_optional(self.conn().await?).await?)
    }

    async fn revive(&mut self, run: &StandingRun, node: i64, due_ms: i64) -> Raw<bool> {
        Ok(self.run(query(REVIVE).bind(run.0).bind(due_ms).bind(node)).await? > 0)
    }

    async fn complete(&mut self, run: &StandingRun, now_ms: i64) -> Raw<bool> {
        let is_completed = self.run(query(COMPLETE).bind(run.0)).await? > 0;
        self.run(query(WAKE_PARENT).bind(run.0).bind(now_ms)).await?;
        Ok(is_completed)
    }

    async fn cancel(&mut self, run: i64, now_ms: i64) -> Raw<()> {
        let cancelled = RunStatus::Cancelled.code();
        self.run(query(CANCEL).bind(run).bind(cancelled).bind(now_ms)).await?;
        self.run(query(NEXT_AFTER_RUN).bind(run).bind(now_ms)).await.map(drop)
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
