//! Rows of runs that belong to others.

use async_trait::async_trait;
use sqlx::{query, query_scalar};

use super::{
    rows::{RowsSql, json_ids, json_rows},
    transaction::{RunTuple, SqliteTransaction, one},
    writer::Writer,
};
use crate::{
    ClaimedRun,
    error::Raw,
    logic::{
        kin::{CallRow, ChildRow, HasPending, KinSets, PathRow},
        pending::Pending,
    },
};

/// In the order of their contacts, as batches claim them.
pub(super) const INSERT_PATHS: RowsSql = RowsSql {
    head: "WITH new(parent_id, path, node, turn, hops, now) AS (VALUES",
    row: "(?, ?, ?, ?, ?, ?)",
    tail: ") INSERT INTO runs (workflow_id, version_id, contact_id, due_at, enrolled_at, node, status, turn, attempts,
            hops, parent_id, parent_turn, path, inputs, depth, lane)
        SELECT p.workflow_id, p.version_id, p.contact_id, new.now, p.enrolled_at, new.node, 0, 0, 0,
            new.hops, p.id, new.turn, new.path, p.inputs, p.depth, p.lane
        FROM new CROSS JOIN runs p ON p.id = new.parent_id WHERE true RETURNING id",
};

pub(super) const CHILDREN: &str = "
SELECT json_group_array(json_array(r.parent_id, r.parent_turn, r.id, w.word, r.status) ORDER BY r.id)
FROM json_each(?1) wanted CROSS JOIN runs r INDEXED BY runs_children ON r.parent_id = wanted.value
LEFT JOIN words w ON w.id = r.path";

pub(super) const ACTIVE: &str = "
SELECT json_group_array(json_array(r.id, r.contact_id, r.workflow_id, r.version_id, r.node, r.turn, r.attempts, r.hops,
    coalesce(r.first_due_at, r.due_at), r.waits_for, r.waits_since, r.waits_until, r.parent_id, r.path IS NOT NULL))
FROM json_each(?1) wanted CROSS JOIN runs r ON r.id = wanted.value WHERE r.status = 0";

pub(super) const WAKE_PARENTS: &str = "
UPDATE runs NOT INDEXED SET due_at = ?2 WHERE id IN (SELECT value FROM json_each(?1)) AND waits_for = 2 AND due_at > ?2";

/// Both by what ended at that moment.
pub(super) const ORPHANS: &str = "
SELECT json_group_array(json_array(r.id, r.contact_id, r.workflow_id, r.version_id, r.node, r.turn, r.attempts, r.hops,
    coalesce(r.first_due_at, r.due_at), r.waits_for, r.waits_since, r.waits_until, r.parent_id, r.path IS NOT NULL))
FROM runs ended CROSS JOIN runs r INDEXED BY runs_children ON r.parent_id = ended.id
WHERE ended.ended_at = ?1 AND ended.status = 3 AND r.status = 0";

/// By their ids, and not by walking through the index of all runs that wait.
pub(super) const WAKE_BEREFT: &str = "
UPDATE runs NOT INDEXED SET due_at = ?1 WHERE waits_for = 2 AND due_at > ?1 AND id IN (
    SELECT ended.parent_id FROM runs ended WHERE ended.ended_at = ?1 AND ended.status = 3)";

pub(super) const PUT_CALLS: RowsSql = RowsSql {
    head: "WITH new(id, parent_id, parent_turn, inputs, depth) AS (VALUES",
    row: "(?, ?, ?, ?, ?)",
    tail: ") UPDATE runs SET parent_id = new.parent_id, parent_turn = new.parent_turn, inputs = new.inputs,
        depth = new.depth FROM new WHERE runs.id = new.id",
};

pub(super) const CALLS: &str = "
SELECT json_group_array(json_array(r.id, r.inputs, r.depth))
FROM json_each(?1) wanted CROSS JOIN runs r ON r.id = wanted.value WHERE r.depth IS NOT NULL";

impl HasPending for SqliteTransaction {
    fn parts(&mut self) -> (&mut Writer, &mut Pending) {
        (&mut self.writer, &mut self.pending)
    }
}

#[async_trait]
impl KinSets for Writer {
    async fn insert_paths(&mut self, rows: &[PathRow], now_ms: i64) -> Raw<Vec<i64>> {
        self.batch = None;
        let insert = INSERT_PATHS.over(rows, |binds, (parent, path, node, turn, hops)| {
            binds.add(*parent).add(*path).add(*node).add(*turn).add(*hops).add(now_ms);
        });
        let ids: Vec<(i64,)> = self.put_returning(insert).await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    async fn children_of(&mut self, parents: &[i64]) -> Raw<Vec<ChildRow>> {
        json_rows(self.conn().await?, query_scalar(CHILDREN).bind(json_ids(parents))).await
    }

    async fn active_among(&mut self, runs: &[i64]) -> Raw<Vec<ClaimedRun>> {
        let rows: Vec<RunTuple> =
            json_rows(self.conn().await?, query_scalar(ACTIVE).bind(json_ids(runs))).await?;
        rows.into_iter().map(one).collect()
    }

    async fn wake_parents(&mut self, runs: &[i64], now_ms: i64) -> Raw<()> {
        self.run(query(WAKE_PARENTS).bind(json_ids(runs)).bind(now_ms)).await.map(drop)
    }

    async fn put_calls(&mut self, rows: &[CallRow]) -> Raw<()> {
        let put = PUT_CALLS.over(rows, |binds, (run, parent, turn, inputs, depth)| {
            binds.add(*run).add(*parent).add(*turn).add(inputs.clone()).add(*depth);
        });
        self.put(put).await.map(drop)
    }

    async fn orphans(&mut self, now_ms: i64) -> Raw<Vec<ClaimedRun>> {
        let rows: Vec<RunTuple> = json_rows(self.conn().await?, query_scalar(ORPHANS).bind(now_ms)).await?;
        rows.into_iter().map(one).collect()
    }

    async fn wake_bereft(&mut self, now_ms: i64) -> Raw<()> {
        self.run(query(WAKE_BEREFT).bind(now_ms)).await.map(drop)
    }

    async fn calls_of(&mut self, runs: &[i64]) -> Raw<Vec<(i64, Option<String>, Option<i64>)>> {
        json_rows(self.conn().await?, query_scalar(CALLS).bind(json_ids(runs))).await
    }
}
