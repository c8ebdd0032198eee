//! Whom rules of segments have to look at.

use std::collections::BTreeSet;

use dripline_model::id::ContactId;
use jiff::Timestamp;
use sqlx::{PgConnection, query, query_as, query_scalar};

use super::writer::Writer;
use crate::{
    error::Raw,
    logic::{limit, ms},
};

/// With the contacts, so that nobody else decides about them meanwhile; those about whom somebody does are left to the
/// next time.
pub(super) const CHANGED: &str = "
SELECT m.id, m.contact_id FROM segment_changes m JOIN contacts c ON c.id = m.contact_id
WHERE m.due_at <= $1 ORDER BY m.due_at, m.id LIMIT $2 FOR NO KEY UPDATE OF m, c SKIP LOCKED";

pub(super) const FORGET_CHANGED: &str = "DELETE FROM segment_changes WHERE id = ANY($1::int8[])";

pub(super) const TIMED: &str = "
SELECT t.contact_id FROM segment_timers t JOIN contacts c ON c.id = t.contact_id
WHERE t.due_at <= $1 ORDER BY t.due_at LIMIT $2 FOR NO KEY UPDATE OF c SKIP LOCKED";

pub(super) const UNFINISHED: &str = "
SELECT last FROM segment_rules WHERE NOT done ORDER BY last FOR UPDATE SKIP LOCKED";

pub(super) const ADVANCE: &str = "
UPDATE segment_rules SET last = $2, done = $3 WHERE NOT done AND last >= $1 AND last <= $2";

/// Up to `count` contacts that have changed, or whose time has come.
pub(super) async fn claim(writer: &mut Writer, now: Timestamp, count: usize) -> Raw<Vec<ContactId>> {
    let claim = query_as(CHANGED).bind(ms(now)).bind(limit(count));
    let rows: Vec<(i64, i64)> = claim.fetch_all(writer.conn().await?).await?;
    let mut contacts: BTreeSet<i64> = rows.iter().map(|(_, contact)| *contact).collect();
    if !rows.is_empty() {
        let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
        writer.run(query(FORGET_CHANGED).bind(ids)).await?;
    }
    let left = count.saturating_sub(contacts.len());
    let timed = query_scalar(TIMED).bind(ms(now)).bind(limit(left));
    contacts.extend(timed.fetch_all(writer.conn().await?).await? as Vec<i64>);
    Ok(contacts.into_iter().map(ContactId).collect())
}

/// The last contact that was looked at for those rules that are furthest from their end.
pub(super) async fn unfinished(conn: &mut PgConnection) -> Raw<Option<ContactId>> {
    let last: Vec<i64> = query_scalar(UNFINISHED).fetch_all(conn).await?;
    Ok(last.first().copied().map(ContactId))
}

/// Records how far new rules are.
pub(super) async fn advance(writer: &mut Writer, from: ContactId, to: ContactId, done: bool) -> Raw<()> {
    writer.run(query(ADVANCE).bind(from.0).bind(to.0).bind(done)).await.map(drop)
}
