//! Rows of experiments.

use async_trait::async_trait;
use sqlx::{query, query_as, query_scalar};

use super::{
    rows::{RowsSql, json_ids, json_rows},
    transaction::SqliteTransaction,
    writer::Writer,
};
use crate::{
    error::Raw,
    logic::experiments::{ExperimentSets, HasWriter, NewArm, OpenArm, ReachedArm, TrialRow},
};

pub(super) const ARMS: &str = "
SELECT json_group_array(json_array(e.contact_id, w.word))
FROM json_each(?1) wanted CROSS JOIN experiment_entries e
    ON e.contact_id = wanted.value AND e.workflow_id = ?2 AND e.step = ?3
JOIN words w ON w.id = e.arm";

pub(super) const INSERT_ARMS: RowsSql = RowsSql {
    head:
        "INSERT OR IGNORE INTO experiment_entries (contact_id, workflow_id, step, arm, version_id, entered_at,
        until) VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?)",
    tail: "",
};

pub(super) const OPEN_ARMS: &str = "
SELECT json_group_array(json_array(e.contact_id, e.workflow_id, s.word, a.word, e.version_id, e.entered_at, e.until))
FROM json_each(?1) wanted CROSS JOIN experiment_entries e ON e.contact_id = wanted.value
JOIN words s ON s.id = e.step JOIN words a ON a.id = e.arm
WHERE e.reached_at IS NULL AND e.until >= ?2";

pub(super) const MARK_REACHED: RowsSql = RowsSql {
    head: "WITH new(contact_id, workflow_id, step, reached_at) AS (VALUES",
    row: "(?, ?, ?, ?)",
    tail: ") UPDATE experiment_entries SET reached_at = new.reached_at FROM new
        WHERE experiment_entries.contact_id = new.contact_id AND experiment_entries.workflow_id = new.workflow_id
            AND experiment_entries.step = new.step AND experiment_entries.reached_at IS NULL",
};

pub(super) const TRIAL: &str = "
SELECT looks, next_size, asked_at, winner, decided_at, decided_by, p_value, counts
FROM experiments WHERE workflow_id = ?1 AND step = ?2";

const PUT_TRIAL: &str = "
INSERT INTO experiments (workflow_id, step, looks, next_size, asked_at, winner, decided_at, decided_by, p_value, counts)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (workflow_id, step) DO UPDATE SET looks = excluded.looks, next_size = excluded.next_size,
    asked_at = excluded.asked_at, winner = excluded.winner, decided_at = excluded.decided_at,
    decided_by = excluded.decided_by, p_value = excluded.p_value, counts = excluded.counts";

/// It walks over the first entries of an index, as many as are asked for.
pub(super) const ARM_HAS: &str = "
SELECT EXISTS (
    SELECT 1 FROM experiment_entries WHERE workflow_id = ?1 AND step = ?2 AND arm = ?3 AND until < ?4
    ORDER BY until LIMIT 1 OFFSET ?5)";

pub(super) const COUNT_ARMS: &str = "
SELECT w.word, n.contacts, n.reached
FROM (
    SELECT arm, count(*) AS contacts, count(reached_at) AS reached
    FROM experiment_entries INDEXED BY experiment_entries_of
    WHERE workflow_id = ?1 AND step = ?2 AND until < ?3 GROUP BY arm) n
CROSS JOIN words w ON w.id = n.arm";

impl HasWriter for SqliteTransaction {
    type Writer = Writer;

    fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

#[async_trait]
impl ExperimentSets for Writer {
    async fn arms_of(&mut self, workflow: i64, step: i64, contacts: &[i64]) -> Raw<Vec<(i64, String)>> {
        let arms = query_scalar(ARMS).bind(json_ids(contacts)).bind(workflow).bind(step);
        json_rows(self.conn().await?, arms).await
    }

    async fn insert_arms(&mut self, rows: &[NewArm]) -> Raw<()> {
        let insert = INSERT_ARMS.over(rows, |binds, row| {
            binds.add(row.contact).add(row.workflow).add(row.step).add(row.arm).add(row.version);
            binds.add(row.entered_ms).add(row.until_ms);
        });
        self.put_behind(insert).await
    }

    async fn arms_open(&mut self, contacts: &[i64], now_ms: i64) -> Raw<Vec<OpenArm>> {
        let open = query_scalar(OPEN_ARMS).bind(json_ids(contacts)).bind(now_ms);
        json_rows(self.conn().await?, open).await
    }

    async fn mark_reached(&mut self, rows: &[ReachedArm]) -> Raw<()> {
        let reached = MARK_REACHED.over(rows, |binds, row| {
            binds.add(row.contact).add(row.workflow).add(row.step).add(row.at_ms);
        });
        self.put_behind(reached).await
    }

    async fn trial_row(&mut self, workflow: i64, step: i64) -> Raw<Option<TrialRow>> {
        Ok(query_as(TRIAL).bind(workflow).bind(step).fetch_optional(self.conn().await?).await?)
    }

    /// The one writer decides alone.
    async fn lock_trial(&mut self, workflow: i64, step: i64) -> Raw<Option<TrialRow>> {
        self.trial_row(workflow, step).await
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
