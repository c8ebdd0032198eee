//! Forgetting, on SQLite. What goes starts nothing, so that nobody is told of it.

use async_trait::async_trait;
use sqlx::{SqliteConnection, query, query_as, query_scalar};

use super::{rows::json_ids, writer::Writer};
use crate::{
    Prunable,
    error::Raw,
    logic::prune::{OldRow, Place, Prune},
};

const PLACE: &str = "SELECT at, id FROM retention WHERE what = ?1";

const PUT_PLACE: &str = "
INSERT INTO retention (what, at, id) VALUES (?1, ?2, ?3)
ON CONFLICT (what) DO UPDATE SET at = excluded.at, id = excluded.id";

/// Not the newest: SQLite would give its id to another event, which might then be taken for one that started a run.
pub(super) const EVENTS: &str = "
SELECT at, id, contact_id, 1 AS goes FROM events
WHERE state <> 1 AND at >= ?1 AND at < ?3 AND id < (SELECT max(id) FROM events)
ORDER BY at LIMIT ?4";

pub(super) const RUNS: &str = "
SELECT ended_at AS at, id, contact_id, 1 AS goes FROM runs
WHERE (ended_at, id) > (?1, ?2) AND ended_at < ?3 ORDER BY ended_at, id LIMIT ?4";

pub(super) const REFUSALS: &str = "
SELECT at, id, contact_id, 1 AS goes FROM decisions
WHERE run_id IS NULL AND at >= ?1 AND at < ?3 ORDER BY at LIMIT ?4";

pub(super) const SCORE_ENTRIES: &str = "
SELECT cleared_at AS at, id, contact_id, 1 AS goes FROM score_entries
WHERE cleared_at >= ?1 AND cleared_at < ?3 ORDER BY cleared_at LIMIT ?4";

pub(super) const MAIL_BODIES: &str = "
SELECT m.queued_at AS at, m.id, m.contact_id, m.queued_at < ?3 AND m.status IN (2, 3, 5) AS goes
FROM message_sources s CROSS JOIN messages m ON m.id = s.message_id
WHERE s.message_id > ?2 ORDER BY s.message_id LIMIT ?4";

pub(super) const DELETE_EVENTS: &str = "DELETE FROM events WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const DELETE_DECISIONS: &str = "
DELETE FROM decisions WHERE id IN (
    SELECT d.id FROM json_each(?1) wanted CROSS JOIN runs r ON r.id = wanted.value
    CROSS JOIN decisions d ON d.contact_id = r.contact_id AND d.run_id = r.id)";

pub(super) const DELETE_REFUSALS: &str =
    "DELETE FROM decisions WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const DELETE_SCORE_ENTRIES: &str =
    "DELETE FROM score_entries WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const DELETE_MAIL_BODIES: &str =
    "DELETE FROM message_sources WHERE message_id IN (SELECT value FROM json_each(?1))";

const COUNT_EVENTS: &str =
    "SELECT count(*) FROM events WHERE state <> 1 AND at < ?1 AND id < (SELECT max(id) FROM events)";

const COUNT_DECISIONS: &str = "
SELECT count(*) FROM runs r CROSS JOIN decisions d ON d.contact_id = r.contact_id AND d.run_id = r.id
WHERE r.ended_at < ?1 AND r.ended_at >= coalesce((SELECT at FROM retention WHERE what = ?2), r.ended_at)";

const COUNT_REFUSALS: &str = "SELECT count(*) FROM decisions WHERE run_id IS NULL AND at < ?1";

const COUNT_SCORE_ENTRIES: &str = "SELECT count(*) FROM score_entries WHERE cleared_at < ?1";

const COUNT_MAIL_BODIES: &str = "
SELECT count(*) FROM message_sources s CROSS JOIN messages m ON m.id = s.message_id
WHERE m.queued_at < ?1 AND m.status IN (2, 3, 5)";

#[async_trait]
impl Prune for Writer {
    async fn place(&mut self, what: Prunable) -> Raw<Place> {
        let place: Option<Place> =
            query_as(PLACE).bind(code(what)).fetch_optional(self.conn().await?).await?;
        Ok(place.unwrap_or(Place::START))
    }

    async fn put_place(&mut self, what: Prunable, place: Place) -> Raw<()> {
        query(PUT_PLACE).bind(code(what)).bind(place.at).bind(place.id).execute(self.conn().await?).await?;
        Ok(())
    }

    async fn old(&mut self, what: Prunable, from: Place, before: i64, limit: i64) -> Raw<Vec<OldRow>> {
        let sql = match what {
            Prunable::Events => EVENTS,
            Prunable::Decisions => RUNS,
            Prunable::Refusals => REFUSALS,
            Prunable::ScoreEntries => SCORE_ENTRIES,
            Prunable::MailBodies => MAIL_BODIES,
        };
        let old = query_as(sql).bind(from.at).bind(from.id).bind(before).bind(limit);
        Ok(old.fetch_all(self.conn().await?).await?)
    }

    async fn delete(&mut self, what: Prunable, rows: &[&OldRow]) -> Raw<u64> {
        let sql = match what {
            Prunable::Events => DELETE_EVENTS,
            Prunable::Decisions => DELETE_DECISIONS,
            Prunable::Refusals => DELETE_REFUSALS,
            Prunable::ScoreEntries => DELETE_SCORE_ENTRIES,
            Prunable::MailBodies => DELETE_MAIL_BODIES,
        };
        let ids = json_ids(rows.iter().map(|row| &row.id));
        Ok(query(sql).bind(ids).execute(self.conn().await?).await?.rows_affected())
    }
}

/// How many rows there are that are older than `before` and may go.
pub(super) async fn count_old(conn: &mut SqliteConnection, what: Prunable, before: i64) -> Raw<i64> {
    let sql = match what {
        Prunable::Events => COUNT_EVENTS,
        Prunable::Decisions => COUNT_DECISIONS,
        Prunable::Refusals => COUNT_REFUSALS,
        Prunable::ScoreEntries => COUNT_SCORE_ENTRIES,
        Prunable::MailBodies => COUNT_MAIL_BODIES,
    };
    let count = query_scalar(sql).bind(before);
    let count = if what == Prunable::Decisions { count.bind(code(what)) } else { count };
    Ok(count.fetch_one(conn).await?)
}

/// The position in [`Prunable::ALL`].
fn code(what: Prunable) -> i64 {
    what as i64
}
