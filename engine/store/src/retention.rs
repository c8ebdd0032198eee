//! What may be forgotten: rows that nothing needs any more, once they are old.

use async_trait::async_trait;
use dripline_model::duration;
use jiff::{Span, Timestamp, tz::TimeZone};

use crate::Result;

/// Verbs of forgetting.
#[async_trait]
pub trait Pruning: Send + Sync {
    /// Deletes the next slice of what is older than `before`, in one transaction that looks at no more than about
    /// `limit` rows. Several processes may do so at once: each row goes once.
    ///
    /// Nobody who waits for changes is told: what goes was over long ago.
    async fn prune(&self, what: Prunable, before: Timestamp, limit: usize) -> Result<Pruned>;

    /// How many rows [`Pruning::prune`] would delete, slice after slice. It looks at all of them.
    async fn count_prunable(&self, what: Prunable, before: Timestamp) -> Result<u64>;
}

/// Rows that may be forgotten. What is not named here is kept for ever: contacts, runs, messages, the score entries that
/// stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prunable {
    /// Events by their time, history and those that were dealt with; never one that waits.
    Events,
    /// The decisions of runs that have ended, by the run's end: what happened to a run goes as a whole.
    Decisions,
    /// The decisions that a contact was not enrolled, by their time.
    Refusals,
    /// Score entries that a step took back, by the time when it did.
    ScoreEntries,
    /// The exact sources of messages that are sent, failed or dropped, by the time when the message was queued.
    MailBodies,
}

impl Prunable {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Events, Self::Decisions, Self::Refusals, Self::ScoreEntries, Self::MailBodies];

    /// In words, as it reads after a number.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Decisions => "decisions",
            Self::Refusals => "refused enrolments",
            Self::ScoreEntries => "score entries taken back",
            Self::MailBodies => "mail bodies",
        }
    }
}

/// What became of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Rows that were deleted.
    pub rows: u64,
    /// Whether nothing is left that is old enough.
    pub is_last: bool,
}

/// How long what is kept. Without a duration: for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention {
    /// Events.
    pub events: Option<Span>,
    /// Decisions of runs that have ended, refusals, and score entries that were taken back.
    pub decisions: Option<Span>,
    /// The sources of messages.
    pub mail_bodies: Option<Span>,
}

impl Retention {
    /// What may go at `now`, and before which instant; days are those of `zone`.
    pub fn due(&self, now: Timestamp, zone: &TimeZone) -> Vec<(Prunable, Timestamp)> {
        let kept = |what| match what {
            Prunable::Events => self.events,
            Prunable::Decisions | Prunable::Refusals | Prunable::ScoreEntries => self.decisions,
            Prunable::MailBodies => self.mail_bodies,
        };
        let before = |what| kept(what).map(|span| (what, duration::before(now, span, zone)));
        Prunable::ALL.into_iter().filter_map(before).collect()
    }
}
