//! Whom rules of segments have to look at.

use dripline_model::id::ContactId;
use jiff::Timestamp;
use sqlx::{SqliteConnection, query, query_scalar};

use super::{
    rows::{json_ids, json_rows},
    writer::Writer,
};
use crate::{
    Changed,
    error::Raw,
    logic::{limit, ms, watch::Noted},
};

pub(super) const HAS_WORK: &str = "
SELECT EXISTS (SELECT 1 FROM segment_changes WHERE due_at <= ?1)
    OR EXISTS (SELECT 1 FROM segment_timers WHERE due_at <= ?1)
    OR EXISTS (SELECT 1 FROM segment_rules INDEXED BY segment_rules_new WHERE done = 0)
    OR EXISTS (SELECT 1 FROM date_triggers INDEXED BY date_triggers_new WHERE done = 0)";

pub(super) const CHANGED: &str = "
SELECT json_group_array(json_array(id, contact_id, due_at)) FROM (
    SELECT id, contact_id, due_at FROM segment_changes WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2)";

pub(super) const FORGET_CHANGED: &str =
    "DELETE FROM segment_changes WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const TIMED: &str = "
SELECT json_group_array(contact_id) FROM (
    SELECT contact_id FROM segment_timers WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2)";

pub(super) const UNFINISHED: &str = "
SELECT last FROM segment_rules INDEXED BY segment_rules_new WHERE done = 0
UNION ALL SELECT last FROM date_triggers INDEXED BY date_triggers_new WHERE done = 0 ORDER BY last";

pub(super) const ADVANCE: &str = "
UPDATE segment_rules INDEXED BY segment_rules_new SET last = ?2, done = ?3 WHERE done = 0 AND last >= ?1 AND last <= ?2";

pub(super) const ADVANCE_DATES: &str = "
UPDATE date_triggers INDEXED BY date_triggers_new SET last = ?2, done = ?3 WHERE done = 0 AND last >= ?1 AND last <= ?2";

/// Whether there is anybody to look at.
pub(super) async fn has_work(conn: &mut SqliteConnection, now: Timestamp) -> Raw<bool> {
    Ok(query_scalar(HAS_WORK).bind(ms(now)).fetch_one(conn).await?)
}

/// Up to `count` contacts that have changed, or whose time has come.
pub(super) async fn claim(writer: &mut Writer, now: Timestamp, count: usize) -> Raw<Vec<Changed>> {
    let rows: Vec<(i64, i64, i64)> =
        json_rows(writer.conn().await?, query_scalar(CHANGED).bind(ms(now)).bind(limit(count))).await?;
    let mut changed = Noted::default();
    rows.iter().for_each(|(_, contact, at)| changed.note(*contact, *at));
    if !rows.is_empty() {
        let ids = json_ids(rows.iter().map(|(id, ..)| id));
        writer.run(query(FORGET_CHANGED).bind(ids)).await?;
    }
    let left = count.saturating_sub(changed.len());
    let timed: Vec<i64> =
        json_rows(writer.conn().await?, query_scalar(TIMED).bind(ms(now)).bind(limit(left))).await?;
    timed.into_iter().for_each(|contact| changed.note(contact, ms(now)));
    Ok(changed.into_changed())
}

/// The last contact that was looked at for those rules that are furthest from their end.
pub(super) async fn unfinished(conn: &mut SqliteConnection) -> Raw<Option<ContactId>> {
    let last: Vec<i64> = query_scalar(UNFINISHED).fetch_all(conn).await?;
    Ok(last.first().copied().map(ContactId))
}

/// Records how far new rules are.
pub(super) async fn advance(writer: &mut Writer, from: ContactId, to: ContactId, done: bool) -> Raw<()> {
    writer.run(query(ADVANCE).bind(from.0).bind(to.0).bind(done)).await?;
    writer.run(query(ADVANCE_DATES).bind(from.0).bind(to.0).bind(done)).await.map(drop)
}
