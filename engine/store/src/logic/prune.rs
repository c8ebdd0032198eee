//! Forgetting: a slice of what is old enough.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::FromRow;

use super::{limit, ms};
use crate::{Prunable, Pruned, error::Raw};

/// How many rows are behind one that is looked at: a run leaves about so many decisions, and a message's source is large.
const ROWS_BEHIND: usize = 8;

/// What a slice needs of a write transaction.
#[async_trait]
pub(crate) trait Prune: Send {
    /// How far it has come, locked to the commit.
    async fn place(&mut self, what: Prunable) -> Raw<Place>;
    /// Records how far it has come.
    async fn put_place(&mut self, what: Prunable, place: Place) -> Raw<()>;
    /// The next rows to look at, in the order of their places.
    async fn old(&mut self, what: Prunable, from: Place, before: i64, limit: i64) -> Raw<Vec<OldRow>>;
    /// Deletes what the rows stand for; answers how many rows went.
    async fn delete(&mut self, what: Prunable, rows: &[&OldRow]) -> Raw<u64>;
}

/// Where a search for old rows stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct Place {
    pub(crate) at: i64,
    pub(crate) id: i64,
}

impl Place {
    /// Before everything.
    pub(crate) const START: Self = Self { at: i64::MIN, id: 0 };
}

/// A row that was looked at: an event, a run, a decision, a score entry, a message.
#[derive(Debug, FromRow)]
pub(crate) struct OldRow {
    pub(crate) at: i64,
    pub(crate) id: i64,
    pub(crate) contact_id: i64,
    /// Whether it may go, or what it stands for.
    pub(crate) goes: bool,
}

/// Deletes the next slice of what is older than `before`.
///
/// Most rows are gone once they were looked at, so that a search that has come to its end begins anew with those that are
/// the oldest then. Runs stay, so that the search for their decisions goes on where it was: who ends later comes later.
pub(crate) async fn slice(
    writer: &mut impl Prune,
    what: Prunable,
    before: Timestamp,
    count: usize,
) -> Raw<Pruned> {
    let count = match what {
        Prunable::Decisions | Prunable::MailBodies => (count / ROWS_BEHIND).max(1),
        Prunable::Events | Prunable::Refusals | Prunable::ScoreEntries => count.max(1),
    };
    let from = writer.place(what).await?;
    let rows = writer.old(what, from, ms(before), limit(count)).await?;
    // Messages are looked at in the order of their ids, which is that of their times.
    let is_last = rows.len() < count || rows.last().is_some_and(|row| row.at >= ms(before));
    let gone: Vec<&OldRow> = rows.iter().filter(|row| row.goes).collect();
    let deleted = if gone.is_empty() { 0 } else { writer.delete(what, &gone).await? };
    let place = if is_last && what != Prunable::Decisions {
        Place::START
    } else {
        rows.last().map_or(from, |row| Place { at: row.at, id: row.id })
    };
    if place != from {
        writer.put_place(what, place).await?;
    }
    Ok(Pruned { rows: deleted, is_last })
}
