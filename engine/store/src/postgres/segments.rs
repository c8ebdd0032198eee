//! Whom rules of segments have to look at.

use dripline_model::id::ContactId;
use jiff::Timestamp;
use sqlx::{PgConnection, query, query_as, query_scalar};

use super::writer::Writer;
use crate::{
    Changed,
    error::Raw,
    logic::{limit, ms, watch::Noted},
};

/// With the contacts, so that nobody else decides about them meanwhile; those about whom somebody does are left to the
/// next time.
pub(super) const CHANGED: &str = "
SELECT m.id, m.contact_id, m.due_at FROM segment_changes m JOIN contacts c ON c.id = m.contact_id
WHERE m.due_at <= $1 ORDER BY m.due_at, m.id LIMIT $2 FOR NO KEY UPDATE OF m, c SKIP LOCKED";

pub(super) const FORGET_CHANGED: &str = "DELETE FROM segment_changes WHERE id = ANY($1::int8[])";

pub(super) const TIMED: &str = "
SELECT t.contact_id FROM segment_timers t JOIN contacts c ON c.id = t.contact_id
WHERE t.due_at <= $1 ORDER BY t.due_at LIMIT $2 FOR NO KEY UPDATE OF c SKIP LOCKED";

pub(super) const UNFINISHED: &str = "
SELECT last FROM segment_rules WHERE NOT done ORDER BY last FOR UPDATE SKIP LOCKED";

/// The same of date triggers.
pub(super) const UNFINISHED_DATES: &str = "
SELECT last FROM date_triggers WHERE NOT done ORDER BY last FOR UPDATE SKIP LOCKED";

pub(super) const ADVANCE_DATES: &str = "
UPDATE date_triggers SET last = $2, done = $3 WHERE NOT done AND last >= $1 AND last <= $2";

pub(super) const ADVANCE: &str = "
UPDATE segment_rules SET last = $2, done = $3 WHERE NOT done AND last >= $1 AND last <= $2";

/// Up to `count` contacts that have changed, or whose time has come.
pub(super) async fn claim(writer: &mut Writer, now: Timestamp, count: usize) -> Raw<Vec<Changed>> {
    let claim = query_as(CHANGED).bind(ms(now)).bind(limit(count));
    let rows: Vec<(i64, i64, i64)> = claim.fetch_all(writer.conn().await?).await?;
    let mut changed = Noted::default();
    rows.iter().for_each(|(_, contact, at)| changed.note(*contact, *at));
    if !rows.is_empty() {
        let ids: Vec<i64> = rows.iter().map(|(id, ..)| *id).collect();
        writer.run(query(FORGET_CHANGED).bind(ids)).await?;
    }
    let left = count.saturating_sub(changed.len());
    let timed = query_scalar(TIMED).bind(ms(now)).bind(limit(left));
    let timed: Vec<i64> = timed.fetch_all(writer.conn().await?).await?;
    timed.into_iter().for_each(|contact| changed.note(contact, ms(now)));
    Ok(changed.into_changed())
}

/// The last contact that was looked at for those rules that are furthest from their end.
pub(super) async fn unfinished(conn: &mut PgConnection) -> Raw<Option<ContactId>> {
    let rules: Vec<i64> = query_scalar(UNFINISHED).fetch_all(&mut *conn).await?;
    let dates: Vec<i64> = query_scalar(UNFINISHED_DATES).fetch_all(conn).await?;
    Ok(rules.into_iter().chain(dates).min().map(ContactId))
}

/// Records how far new rules are.
pub(super) async fn advance(writer: &mut Writer, from: ContactId, to: ContactId, done: bool) -> Raw<()> {
    writer.run(query(ADVANCE).bind(from.0).bind(to.0).bind(done)).await?;
    writer.run(query(ADVANCE_DATES).bind(from.0).bind(to.0).bind(done)).await.map(drop)
}
