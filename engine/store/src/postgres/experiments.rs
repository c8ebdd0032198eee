//! Rows of experiments.

use async_trait::async_trait;
use sqlx::{query, query_as, query_scalar};

use super::{rows::bind_columns, transaction::PostgresTransaction, writer::Writer};
use crate::{
    error::Raw,
    logic::experiments::{ExperimentSets, HasWriter, NewArm, OpenArm, ReachedArm, TrialRow},
};

pub(super) const ARMS: &str = "
SELECT e.contact_id, w.word
FROM unnest($1::int8[]) AS wanted(id) JOIN experiment_entries e
    ON e.contact_id = wanted.id AND e.workflow_id = $2 AND e.step = $3
JOIN words w ON w.id = e.arm";

pub(super) const INSERT_ARMS: &str = "
INSERT INTO experiment_entries (contact_id, workflow_id, step, arm, version_id, entered_at, until)
SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[])
ON CONFLICT DO NOTHING";

pub(super) const OPEN_ARMS: &str = "
SELECT e.contact_id, e.workflow_id, s.word, a.word, e.version_id, e.entered_at, e.until
FROM unnest($1::int8[]) AS wanted(id) JOIN experiment_entries e ON e.contact_id = wanted.id
JOIN words s ON s.id = e.step JOIN words a ON a.id = e.arm
WHERE e.reached_at IS NULL AND e.until >= $2";

pub(super) const MARK_REACHED: &str = "
UPDATE experiment_entries e SET reached_at = t.reached_at
FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[]) AS t(contact_id, workflow_id, step, reached_at)
WHERE e.contact_id = t.contact_id AND e.workflow_id = t.workflow_id AND e.step = t.step AND e.reached_at IS NULL";

pub(super) const TRIAL: &str = "
SELECT looks, next_size, asked_at, winner, decided_at, decided_by, p_value, counts
FROM experiments WHERE workflow_id = $1 AND step = $2";

/// There is one to lock then, whoever comes first.
const MAKE_TRIAL: &str = "
INSERT INTO experiments (workflow_id, step, looks, next_size) VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING";

const LOCK_TRIAL: &str = "
SELECT looks, next_size, asked_at, winner, decided_at, decided_by, p_value, counts
FROM experiments WHERE workflow_id = $1 AND step = $2 FOR UPDATE";

const PUT_TRIAL: &str = "
INSERT INTO experiments (workflow_id, step, looks, next_size, asked_at, winner, decided_at, decided_by, p_value, counts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (workflow_id, step) DO UPDATE SET looks = excluded.looks, next_size = excluded.next_size,
    asked_at = excluded.asked_at, winner = excluded.winner, decided_at = excluded.decided_at,
    decided_by = excluded.decided_by, p_value = excluded.p_value, counts = excluded.counts";

/// It walks over the first entries of an index, as many as are asked for.
pub(super) const ARM_HAS: &str = "
SELECT EXISTS (
    SELECT 1 FROM experiment_entries WHERE workflow_id = $1 AND step = $2 AND arm = $3 AND until < $4
    ORDER BY until LIMIT 1 OFFSET $5)";

pub(super) const COUNT_ARMS: &str = "
SELECT w.word, n.contacts, n.reached
FROM (
    SELECT arm, count(*) AS contacts, count(reached_at) AS reached
    FROM experiment_entries WHERE workflow_id = $1 AND step = $2 AND until < $3 GROUP BY arm) AS n
JOIN words w ON w.id = n.arm";

impl HasWriter for PostgresTransaction {
    type Writer = Writer;

    fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

#[async_trait]
impl ExperimentSets for Writer {
    async fn arms_of(&mut self, workflow: i64, step: i64, contacts: &[i64]) -> Raw<Vec<(i64, String)>> {
        let arms = query_as(ARMS).bind(contacts).bind(workflow).bind(step);
        Ok(arms.fetch_all(self.conn().await?).await?)
    }

    async fn insert_arms(&mut self, rows: &[NewArm]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let insert = bind_columns!(
            query(INSERT_ARMS),
            rows,
            |row| row.contact,
            row.workflow,
            row.step,
            row.arm,
            row.version,
            row.entered_ms,
            row.until_ms,
        );
        self.run_behind(insert).await;
        Ok(())
    }

    async fn arms_open(&mut self, contacts: &[i64], now_ms: i64) -> Raw<Vec<OpenArm>> {
        Ok(query_as(OPEN_ARMS).bind(contacts).bind(now_ms).fetch_all(self.conn().await?).await?)
    }

    async fn mark_reached(&mut self, rows: &[ReachedArm]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let reached =
            bind_columns!(query(MARK_REACHED), rows, |row| row.contact, row.workflow, row.step, row.at_ms);
        self.run_behind(reached).await;
        Ok(())
    }

    async fn trial_row(&mut self, workflow: i64, step: i64) -> Raw<Option<TrialRow>> {
        Ok(query_as(TRIAL).bind(workflow).bind(step).fetch_optional(self.conn().await?).await?)
    }

    async fn lock_trial(&mut self, workflow: i64, step: i64) -> Raw<Option<TrialRow>> {
        self.run(query(MAKE_TRIAL).bind(workflow).bind(step)).await?;
        Ok(query_as(LOCK_TRIAL).bind(workflow).bind(step).fetch_optional(self.conn().await?).await?)
    }

    async fn write_trial(&mut self, workflow: i64, step: i64, row: &TrialRow) -> Raw<()> {
        let put =
            query(PUT_TRIAL).bind(workflow).bind(step).bind(row.looks).bind(row.next_size).bind(row.asked_at);
        let put = put.bind(row.winner.clone()).bind(row.decided_at).bind(row.decided_by).bind(row.p_value);
        self.run(put.bind(row.counts.clone())).await.map(drop)
    }

    async fn arm_has(&mut self, at: (i64, i64, i64), skipped: i64, before_ms: i64) -> Raw<bool> {
        let (workflow, step, arm) = at;
        let has = query_scalar(ARM_HAS).bind(workflow).bind(step).bind(arm).bind(before_ms).bind(skipped);
        Ok(has.fetch_one(self.conn().await?).await?)
    }

    async fn count_arms(&mut self, workflow: i64, step: i64, before_ms: i64) -> Raw<Vec<(String, i64, i64)>> {
        let count = query_as(COUNT_ARMS).bind(workflow).bind(step).bind(before_ms);
        Ok(count.fetch_all(self.conn().await?).await?)
    }
}
