//! Firings: how far it has come to offer a workflow to everybody, or to a segment.

use dripline_model::{
    clock::from_ms,
    id::{ContactId, FiringId, WorkflowId},
};
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor, query, query_as, query_scalar};

use super::{PostgresStore, writer::Writer};
use crate::{
    Firing, FiringCause, FiringProgress, NewFiring,
    backend::{Backend as _, Commit as _},
    error::Raw,
    logic::{
        firings::{FiringRow, count},
        limit, ms,
    },
};

/// One begins at a time, so that nobody begins a twin.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('dripline firing', 0))";

const LAST: &str = "SELECT at FROM firings WHERE workflow_id = $1 AND NOT by_hand ORDER BY at DESC LIMIT 1";

const TWIN: &str = "
SELECT id FROM firings WHERE NOT by_hand AND NOT $2 AND workflow_id = $1 AND at = $3
UNION ALL
SELECT id FROM firings WHERE by_hand AND $2 AND workflow_id = $1 AND NOT done AND segment IS NOT DISTINCT FROM $4
LIMIT 1";

const EVERYBODY: &str = "SELECT count(*) FROM contacts";

const MEMBERS: &str = "
SELECT count(*) FROM segments g JOIN segment_members m ON m.segment_id = g.id WHERE g.name = $1";

const BEGIN: &str = "
INSERT INTO firings (workflow_id, by_hand, at, segment, total, last, seen, enrolled, done)
VALUES ($1, $2, $3, $4, $5, 0, 0, 0, FALSE) RETURNING id";

const FIRING: &str = "
SELECT id, workflow_id, by_hand, at, segment, total, last, seen, enrolled, done FROM firings WHERE id = $1";

/// Nothing where another process is at it.
const TAKE: &str = "
SELECT id, workflow_id, by_hand, at, segment, total, last, seen, enrolled, done FROM firings WHERE id = $1
FOR UPDATE SKIP LOCKED";

pub(super) const OPEN: &str = "
SELECT id, workflow_id, by_hand, at, segment, total, last, seen, enrolled, done
FROM firings WHERE NOT done ORDER BY at, id";

const ADVANCE: &str = "UPDATE firings SET last = $2, seen = $3, enrolled = $4, done = $5 WHERE id = $1";

pub(super) const CONTACTS_AFTER: &str = "SELECT id FROM contacts WHERE id > $1 ORDER BY id LIMIT $2";

pub(super) const MEMBERS_AFTER: &str = "
SELECT m.contact_id FROM segment_members m
WHERE m.segment_id = (SELECT id FROM segments WHERE name = $1) AND m.contact_id > $2
ORDER BY m.contact_id LIMIT $3";

impl PostgresStore {
    pub(super) async fn last_schedule(&self, workflow: WorkflowId) -> Raw<Option<Timestamp>> {
        let last: Option<i64> =
            query_scalar(LAST).bind(workflow.0).fetch_optional(&self.shared.readers).await?;
        Ok(last.map(from_ms))
    }

    pub(super) async fn put_firing(&self, new: &NewFiring) -> Raw<FiringId> {
        let mut writer = self.writer().await?;
        query(LOCK).execute(writer.conn().await?).await?;
        let by_hand = new.cause == FiringCause::Hand;
        let segment = new.segment.as_deref();
        let twin = query_scalar(TWIN).bind(new.workflow.0).bind(by_hand).bind(ms(new.at)).bind(segment);
        let id = match twin.fetch_optional(writer.conn().await?).await? {
            Some(twin) => twin,
            None => {
                let total: i64 = match segment {
                    Some(segment) => {
                        query_scalar(MEMBERS).bind(segment).fetch_one(writer.conn().await?).await?
                    }
                    None => query_scalar(EVERYBODY).fetch_one(writer.conn().await?).await?,
                };
                let begin = query_as(BEGIN).bind(new.workflow.0).bind(by_hand).bind(ms(new.at));
                let begun: Vec<(i64,)> = writer.run_returning(begin.bind(segment).bind(total)).await?;
                writer.wakes_others = true;
                begun.first().map(|(id,)| *id).ok_or(sqlx::Error::RowNotFound)?
            }
        };
        writer.commit().await?;
        Ok(FiringId(id))
    }
}

/// The firings that are not done.
pub(super) async fn open(from: impl PgExecutor<'_>) -> Raw<Vec<Firing>> {
    let rows: Vec<FiringRow> = query_as(OPEN).fetch_all(from).await?;
    rows.into_iter().map(FiringRow::into_firing).collect()
}

/// One firing, whoever is at it.
pub(super) async fn one(from: impl PgExecutor<'_>, firing: FiringId) -> Raw<Option<Firing>> {
    let row: Option<FiringRow> = query_as(FIRING).bind(firing.0).fetch_optional(from).await?;
    row.map(FiringRow::into_firing).transpose()
}

/// One firing, locked to the commit; none where another process is at it.
pub(super) async fn take(conn: &mut PgConnection, firing: FiringId) -> Raw<Option<Firing>> {
    let row: Option<FiringRow> = query_as(TAKE).bind(firing.0).fetch_optional(conn).await?;
    row.map(FiringRow::into_firing).transpose()
}

/// Records how far it has come.
pub(super) async fn advance(writer: &mut Writer, firing: FiringId, progress: &FiringProgress) -> Raw<()> {
    let FiringProgress { last, seen, enrolled, done } = progress;
    let advance = query(ADVANCE).bind(firing.0).bind(last.0).bind(count(*seen)?).bind(count(*enrolled)?);
    writer.run(advance.bind(*done)).await?;
    Ok(())
}

/// Up to `count` contacts with ids above `after`, in their order: all, or the members of a segment.
pub(super) async fn contacts_after(
    conn: &mut PgConnection,
    segment: Option<&str>,
    after: ContactId,
    count: usize,
) -> Raw<Vec<ContactId>> {
    let ids: Vec<i64> = match segment {
        Some(segment) => {
            let members = query_scalar(MEMBERS_AFTER).bind(segment.to_owned());
            members.bind(after.0).bind(limit(count)).fetch_all(conn).await?
        }
        None => query_scalar(CONTACTS_AFTER).bind(after.0).bind(limit(count)).fetch_all(conn).await?,
    };
    Ok(ids.into_iter().map(ContactId).collect())
}
