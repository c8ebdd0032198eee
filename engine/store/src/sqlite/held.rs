//! Events that wait before they start a run.

use dripline_model::id::{ContactId, HeldId, WorkflowId};
use jiff::Timestamp;
use sqlx::{query, query_scalar};

use super::{
    rows::{RowsSql, json_ids, json_rows},
    writer::Writer,
};
use crate::{
    HeldEvent, NewHeld,
    error::Raw,
    logic::{
        held::{self, HeldRow},
        limit, ms,
    },
};

pub(super) const OF: &str = "
SELECT json_group_array(json_array(h.id, h.workflow_id, h.version_id, h.contact_id, h.queued, h.first_at, h.due_at,
    h.event_id, h.name, h.at, h.properties) ORDER BY h.id)
FROM json_each(?1) wanted CROSS JOIN held_events h INDEXED BY held_events_of
    ON h.contact_id = wanted.value AND h.workflow_id = ?2";

pub(super) const CLAIM: &str = "
SELECT json_group_array(json_array(id, workflow_id, version_id, contact_id, queued, first_at, due_at, event_id, name, at,
    properties) ORDER BY due_at, id) FROM (
    SELECT * FROM held_events WHERE due_at <= ?1 ORDER BY due_at, id LIMIT ?2)";

const HOLD: RowsSql = RowsSql {
    head: "INSERT INTO held_events (workflow_id, version_id, contact_id, queued, first_at, due_at, event_id, name, at,
        properties) VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    tail: "",
};

pub(super) const LET_GO: &str = "DELETE FROM held_events WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const WAIT_AGAIN: &str =
    "UPDATE held_events SET due_at = NULL WHERE queued = 1 AND id IN (SELECT value FROM json_each(?1))";

pub(super) const NEXT_IN_LINE: &str = "
UPDATE held_events SET due_at = ?3 WHERE due_at IS NULL AND id IN (
    SELECT (SELECT min(h.id) FROM held_events h INDEXED BY held_events_of
        WHERE h.contact_id = wanted.value AND h.workflow_id = ?2 AND h.queued = 1)
    FROM json_each(?1) wanted)";

/// Behind a run that a person ended.
pub(super) const NEXT_AFTER_RUN: &str = "
UPDATE held_events SET due_at = ?2 WHERE due_at IS NULL AND id = (
    SELECT min(h.id) FROM runs r JOIN held_events h INDEXED BY held_events_of
        ON h.contact_id = r.contact_id AND h.workflow_id = r.workflow_id AND h.queued = 1
    WHERE r.id = ?1)";

/// Behind all runs of a workflow that a person ended; whose contact has another one waits on.
pub(super) const NEXT_OF_ALL: &str = "
UPDATE held_events SET due_at = ?2 WHERE due_at IS NULL AND id IN (
    SELECT min(id) FROM held_events WHERE workflow_id = ?1 AND queued = 1 GROUP BY contact_id)";

/// What a workflow holds of these contacts.
pub(super) async fn of(
    writer: &mut Writer,
    workflow: WorkflowId,
    contacts: &[ContactId],
) -> Raw<Vec<HeldEvent>> {
    let ids = json_ids(contacts.iter().map(|contact| &contact.0));
    let rows: Vec<HeldRow> =
        json_rows(writer.conn().await?, query_scalar(OF).bind(ids).bind(workflow.0)).await?;
    held::from_rows(rows)
}

/// Up to `count` that wait no more.
pub(super) async fn claim(writer: &mut Writer, now: Timestamp, count: usize) -> Raw<Vec<HeldEvent>> {
    let claim = query_scalar(CLAIM).bind(ms(now)).bind(limit(count));
    let rows: Vec<HeldRow> = json_rows(writer.conn().await?, claim).await?;
    held::from_rows(rows)
}

/// Holds events.
pub(super) async fn hold(writer: &mut Writer, events: &[NewHeld]) -> Raw<()> {
    let rows = held::fields(events)?;
    let hold = HOLD.over(&rows, |binds, row| {
        binds.add(row.workflow).add(row.version).add(row.contact).add(row.queued).add(row.first_ms);
        binds.add(row.due_ms).add(row.event).add(row.name).add(row.at_ms).add(row.properties.as_deref());
    });
    writer.put(hold).await.map(drop)
}

/// Runs a statement over some of them.
pub(super) async fn change(writer: &mut Writer, sql: &'static str, held: &[HeldId]) -> Raw<()> {
    if held.is_empty() {
        return Ok(());
    }
    writer.run(query(sql).bind(json_ids(held.iter().map(|held| &held.0)))).await.map(drop)
}
