//! Events that wait before they start a run.

use dripline_model::id::{ContactId, HeldId, WorkflowId};
use jiff::Timestamp;
use sqlx::{query, query_as};

use super::{
    rows::{bind_columns, json, text},
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
SELECT h.id, h.workflow_id, h.version_id, h.contact_id, h.queued::int4::int8, h.first_at, h.due_at, h.event_id, h.name, h.at,
    h.properties
FROM unnest($1::int8[]) AS wanted(id) JOIN held_events h ON h.contact_id = wanted.id AND h.workflow_id = $2
ORDER BY h.id + 0";

/// With their contacts, so that nobody else decides about them meanwhile.
pub(super) const CLAIM: &str = "
SELECT h.id, h.workflow_id, h.version_id, h.contact_id, h.queued::int4::int8, h.first_at, h.due_at, h.event_id, h.name, h.at,
    h.properties
FROM held_events h JOIN contacts c ON c.id = h.contact_id
WHERE h.due_at <= $1 ORDER BY h.due_at, h.id LIMIT $2 FOR NO KEY UPDATE OF h, c SKIP LOCKED";

const HOLD: &str = "
INSERT INTO held_events (workflow_id, version_id, contact_id, queued, first_at, due_at, event_id, name, at, properties)
SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::bool[], $5::int8[], $6::int8[], $7::int8[], $8::text[],
    $9::int8[], $10::text[])";

pub(super) const LET_GO: &str = "DELETE FROM held_events WHERE id = ANY($1::int8[])";

pub(super) const WAIT_AGAIN: &str =
    "UPDATE held_events SET due_at = NULL WHERE id = ANY($1::int8[]) AND queued";

/// `+ 0`: else the planner would rather walk over the ids of all than look at those of a contact.
pub(super) const NEXT_IN_LINE: &str = "
UPDATE held_events SET due_at = $3
FROM unnest($1::int8[]) AS wanted(id) CROSS JOIN LATERAL (
    SELECT min(h.id + 0) AS id FROM held_events h
    WHERE h.contact_id = wanted.id AND h.workflow_id = $2 AND h.queued) AS first
WHERE held_events.id = first.id AND held_events.due_at IS NULL";

/// Behind a run that a person ended.
pub(super) const NEXT_AFTER_RUN: &str = "
UPDATE held_events SET due_at = $2 WHERE due_at IS NULL AND id = (
    SELECT min(h.id) FROM runs r JOIN held_events h ON h.contact_id = r.contact_id AND h.workflow_id = r.workflow_id
    WHERE r.id = $1 AND h.queued)";

/// Behind all runs of a workflow that a person ended; whose contact has another one waits on.
pub(super) const NEXT_OF_ALL: &str = "
UPDATE held_events SET due_at = $2 WHERE due_at IS NULL AND id IN (
    SELECT min(id) FROM held_events WHERE workflow_id = $1 AND queued GROUP BY contact_id)";

/// What a workflow holds of these contacts.
pub(super) async fn of(
    writer: &mut Writer,
    workflow: WorkflowId,
    contacts: &[ContactId],
) -> Raw<Vec<HeldEvent>> {
    let ids: Vec<i64> = contacts.iter().map(|contact| contact.0).collect();
    let rows: Vec<HeldRow> = query_as(OF).bind(ids).bind(workflow.0).fetch_all(writer.conn().await?).await?;
    held::from_rows(rows)
}

/// Up to `count` that wait no more.
pub(super) async fn claim(writer: &mut Writer, now: Timestamp, count: usize) -> Raw<Vec<HeldEvent>> {
    let claim = query_as(CLAIM).bind(ms(now)).bind(limit(count));
    let rows: Vec<HeldRow> = claim.fetch_all(writer.conn().await?).await?;
    // Locking may bring rows out of their order.
    let mut held = held::from_rows(rows)?;
    held.sort_by_key(|held| held.id);
    Ok(held)
}

/// Holds events.
pub(super) async fn hold(writer: &mut Writer, events: &[NewHeld]) -> Raw<()> {
    if events.is_empty() {
        return Ok(());
    }
    writer.wakes_others = true;
    let rows = held::fields(events)?;
    let hold = bind_columns!(
        query(HOLD),
        rows,
        |row| row.workflow,
        row.version,
        row.contact,
        row.queued,
        row.first_ms,
        row.due_ms,
        row.event,
        text(row.name),
        row.at_ms,
        row.properties.as_deref().map(json),
    );
    writer.run(hold).await.map(drop)
}

/// Runs a statement over some of them.
pub(super) async fn change(writer: &mut Writer, sql: &'static str, held: &[HeldId]) -> Raw<()> {
    if held.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = held.iter().map(|held| held.0).collect();
    writer.run(query(sql).bind(ids)).await.map(drop)
}
