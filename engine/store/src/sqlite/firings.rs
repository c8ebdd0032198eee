//! Firings: how far it has come to offer a workflow to everybody, or to a segment.

use dripline_model::{
    clock::from_ms,
    id::{ContactId, FiringId, WorkflowId},
};
use jiff::Timestamp;
use sqlx::{SqliteConnection, SqliteExecutor, query, query_as, query_scalar};

use super::{SqliteStore, rows::json_rows, writer::Writer};
use crate::{
    Firing, FiringCause, FiringProgress, NewFiring,
    backend::{Backend as _, Commit as _},
    error::Raw,
    logic::{
        firings::{FiringRow, count},
        limit, ms,
    },
};

const LAST: &str = "SELECT at FROM firings WHERE workflow_id = ?1 AND by_hand = 0 ORDER BY at DESC LIMIT 1";

const TWIN: &str = "
SELECT id FROM firings WHERE by_hand = 0 AND ?2 = 0 AND workflow_id = ?1 AND at = ?3
UNION ALL
SELECT id FROM firings WHERE by_hand = 1 AND ?2 = 1 AND workflow_id = ?1 AND done = 0 AND segment IS ?4
LIMIT 1";

const EVERYBODY: &str = "SELECT count(*) FROM contacts";

const MEMBERS: &str = "
SELECT count(*) FROM segments g JOIN segment_members m ON m.segment_id = g.id WHERE g.name = ?1";

const BEGIN: &str = "
INSERT INTO firings (workflow_id, by_hand, at, segment, total, last, seen, enrolled, done)
VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, 0) RETURNING id";

const FIRING: &str = "
SELECT id, workflow_id, by_hand, at, segment, total, last, seen, enrolled, done FROM firings WHERE id = ?1";

pub(super) const OPEN: &str = "
SELECT id, workflow_id, by_hand, at, segment, total, last, seen, enrolled, done
FROM firings WHERE done = 0 ORDER BY at, id";

const ADVANCE: &str = "UPDATE firings SET last = ?2, seen = ?3, enrolled = ?4, done = ?5 WHERE id = ?1";

pub(super) const MEMBERS_AFTER: &str = "
SELECT json_group_array(contact_id) FROM (
    SELECT m.contact_id FROM segment_members m
    WHERE m.segment_id = (SELECT id FROM segments WHERE name = ?1) AND m.contact_id > ?2
    ORDER BY m.contact_id LIMIT ?3)";

impl SqliteStore {
    pub(super) async fn last_schedule(&self, workflow: WorkflowId) -> Raw<Option<Timestamp>> {
        let last: Option<i64> =
            query_scalar(LAST).bind(workflow.0).fetch_optional(&self.shared.readers).await?;
        Ok(last.map(from_ms))
    }

    pub(super) async fn put_firing(&self, new: &NewFiring) -> Raw<FiringId> {
        let mut writer = self.writer().await?;
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
                let (id,) = writer.run_returning(begin.bind(segment).bind(total)).await?;
                id
            }
        };
        writer.commit().await?;
        Ok(FiringId(id))
    }
}

/// The firings that are not done.
pub(super) async fn open(from: impl SqliteExecutor<'_>) -> Raw<Vec<Firing>> {
    let rows: Vec<FiringRow> = query_as(OPEN).fetch_all(from).await?;
    rows.into_iter().map(FiringRow::into_firing).collect()
}

/// One firing.
pub(super) async fn one(from: impl SqliteExecutor<'_>, firing: FiringId) -> Raw<Option<Firing>> {
    let row: Option<FiringRow> = query_as(FIRING).bind(firing.0).fetch_optional(from).await?;
    row.map(FiringRow::into_firing).transpose()
}

/// Records how far it has come.
pub(super) async fn advance(writer: &mut Writer, firing: FiringId, progress: &FiringProgress) -> Raw<()> {
    let FiringProgress { last, seen, enrolled, done } = progress;
    let advance = query(ADVANCE).bind(firing.0).bind(last.0).bind(count(*seen)?).bind(count(*enrolled)?);
    writer.run(advance.bind(*done)).await?;
    Ok(())
}

/// Up to `count` members of the segment with ids above `after`, in their order.
pub(super) async fn members_after(
    conn: &mut SqliteConnection,
    segment: &str,
    after: ContactId,
    count: usize,
) -> Raw<Vec<ContactId>> {
    json_rows(conn, query_scalar(MEMBERS_AFTER).bind(segment).bind(after.0).bind(limit(count))).await
}
