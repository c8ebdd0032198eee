//! Rows of runs that belong to others.

use async_trait::async_trait;
use sqlx::{query, query_as};

use super::{
    rows::{bind_columns, json, small},
    transaction::{PostgresTransaction, RunRow, one},
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

pub(super) const INSERT_PATHS: &str = "
INSERT INTO runs (workflow_id, version_id, contact_id, due_at, enrolled_at, node, status, turn, attempts, hops, parent_id,
    parent_turn, path, inputs, depth, lane)
SELECT p.workflow_id, p.version_id, p.contact_id, $6::int8, p.enrolled_at, t.node, 0, 0, 0, t.hops, p.id,
    t.turn, t.path, p.inputs, p.depth, p.lane
FROM unnest($1::int8[], $2::int8[], $3::int4[], $4::int4[], $5::int4[]) AS t(parent_id, path, node, turn, hops)
JOIN runs p ON p.id = t.parent_id
RETURNING id";

/// `+ 0`: else the planner would rather walk over all runs in their order than sort these.
pub(super) const CHILDREN: &str = "
SELECT r.parent_id, r.parent_turn::int8, r.id, w.word, r.status::int8
FROM unnest($1::int8[]) AS wanted(id) JOIN runs r ON r.parent_id = wanted.id AND r.parent_id IS NOT NULL
LEFT JOIN words w ON w.id = r.path
ORDER BY r.id + 0";

/// Their contact is locked already; a person who ends one of them is waited for.
pub(super) const ACTIVE: &str = "
SELECT r.id, r.contact_id, r.workflow_id, r.version_id, r.node, r.turn, r.attempts, r.hops,
    coalesce(r.first_due_at, r.due_at), r.waits_for::int8, r.waits_since, r.waits_until, r.parent_id, r.path IS NOT NULL
FROM runs r WHERE r.id = ANY($1::int8[]) AND r.status = 0 ORDER BY r.id FOR NO KEY UPDATE OF r";

pub(super) const WAKE_PARENTS: &str = "
UPDATE runs SET due_at = $2 WHERE id = ANY($1::int8[]) AND waits_for = 2 AND due_at > $2";

/// Both by what ended at that moment.
pub(super) const ORPHANS: &str = "
SELECT r.id, r.contact_id, r.workflow_id, r.version_id, r.node, r.turn, r.attempts, r.hops,
    coalesce(r.first_due_at, r.due_at), r.waits_for::int8, r.waits_since, r.waits_until, r.parent_id, r.path IS NOT NULL
FROM runs r JOIN runs ended ON ended.id = r.parent_id
WHERE r.parent_id IS NOT NULL AND r.status = 0 AND ended.ended_at = $1 AND ended.status = 3
FOR NO KEY UPDATE OF r";

pub(super) const WAKE_BEREFT: &str = "
UPDATE runs SET due_at = $1 FROM runs ended
WHERE runs.waits_for = 2 AND runs.due_at > $1 AND ended.parent_id = runs.id AND ended.ended_at = $1 AND ended.status = 3";

pub(super) const PUT_CALLS: &str = "
UPDATE runs SET parent_id = t.parent_id, parent_turn = t.parent_turn, inputs = t.inputs, depth = t.depth
FROM unnest($1::int8[], $2::int8[], $3::int4[], $4::text[], $5::int4[]) AS t(id, parent_id, parent_turn, inputs, depth)
WHERE runs.id = t.id";

pub(super) const CALLS: &str = "
SELECT id, inputs, depth::int8 FROM runs WHERE id = ANY($1::int8[]) AND depth IS NOT NULL";

impl HasPending for PostgresTransaction {
    fn parts(&mut self) -> (&mut Writer, &mut Pending) {
        (&mut self.writer, &mut self.pending)
    }
}

#[async_trait]
impl KinSets for Writer {
    async fn insert_paths(&mut self, rows: &[PathRow], now_ms: i64) -> Raw<Vec<i64>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.wakes_others = true;
        let insert = bind_columns!(
            query_as(INSERT_PATHS),
            rows,
            |row| row.0,
            row.1,
            small(row.2),
            small(row.3),
            small(row.4)
        );
        let ids: Vec<(i64,)> = self.run_returning(insert.bind(now_ms)).await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    async fn children_of(&mut self, parents: &[i64]) -> Raw<Vec<ChildRow>> {
        Ok(query_as(CHILDREN).bind(parents).fetch_all(self.conn().await?).await?)
    }

    async fn active_among(&mut self, runs: &[i64]) -> Raw<Vec<ClaimedRun>> {
        let rows: Vec<RunRow> = query_as(ACTIVE).bind(runs).fetch_all(self.conn().await?).await?;
        rows.into_iter().map(one).collect()
    }

    async fn wake_parents(&mut self, runs: &[i64], now_ms: i64) -> Raw<()> {
        let woken = self.run(query(WAKE_PARENTS).bind(runs.to_vec()).bind(now_ms)).await?;
        self.wakes_others |= woken > 0;
        Ok(())
    }

    async fn put_calls(&mut self, rows: &[CallRow]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let put = bind_columns!(
            query(PUT_CALLS),
            rows,
            |row| row.0,
            row.1,
            row.2.map(small),
            json(&row.3),
            small(row.4),
        );
        self.run(put).await.map(drop)
    }

    async fn orphans(&mut self, now_ms: i64) -> Raw<Vec<ClaimedRun>> {
        let rows: Vec<RunRow> = query_as(ORPHANS).bind(now_ms).fetch_all(self.conn().await?).await?;
        rows.into_iter().map(one).collect()
    }

    async fn wake_bereft(&mut self, now_ms: i64) -> Raw<()> {
        let woken = self.run(query(WAKE_BEREFT).bind(now_ms)).await?;
        self.wakes_others |= woken > 0;
        Ok(())
    }

    async fn calls_of(&mut self, runs: &[i64]) -> Raw<Vec<(i64, Option<String>, Option<i64>)>> {
        Ok(query_as(CALLS).bind(runs).fetch_all(self.conn().await?).await?)
    }
}
