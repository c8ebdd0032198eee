//! Which processes run the workflows of a store.

use std::time::Duration;

use async_trait::async_trait;
use dripline_model::Clock;
use jiff::{SignedDuration, Timestamp};

use crate::{Claimant, Result, error::Raw, error::damaged};

/// A process that was not seen for so long is forgotten.
pub(crate) const FORGET_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Verbs of the processes that run workflows, and of people who want to know which there are. Nothing depends on them:
/// what a process works on is told by its claims and leases.
#[async_trait]
pub trait Presence: Send + Sync {
    /// How often a process says that it is there; none where no other one can run beside it, and saying it once is enough.
    fn presence_period(&self) -> Option<Duration>;

    /// Records that a process is there, and forgets those that were not seen for a day. The clock is read when the store
    /// is ready to be compared with it.
    async fn seen(&self, process: &ProcessSeen, clock: &dyn Clock) -> Result<()>;

    /// Forgets a process that ends in order.
    async fn gone(&self, claimant: &Claimant) -> Result<()>;

    /// The processes that are there or were killed within a day, the oldest first.
    async fn processes(&self) -> Result<Vec<Process>>;
}

/// A process that says that it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSeen {
    /// Its deliverer.
    pub claimant: Claimant,
    /// The program's version.
    pub version: String,
    /// What it does.
    pub work: Work,
    /// When it began.
    pub started_at: Timestamp,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Work {
    /// It publishes a workspace's files at its start, and runs what is published.
    #[default]
    Run,
    /// It runs what others published.
    Worker,
}

impl Work {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Worker => "worker",
        }
    }

    fn named(name: &str) -> Raw<Self> {
        [Self::Run, Self::Worker]
            .into_iter()
            .find(|work| work.name() == name)
            .ok_or_else(|| damaged("process", format!("`{name}` is no work")))
    }
}

/// A process as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// What it said.
    pub said: ProcessSeen,
    /// When it was seen last, by its own clock.
    pub seen_at: Timestamp,
    /// Its clock minus the database server's, when it was seen last; none where there is no server.
    pub skew_ms: Option<i64>,
}

impl Process {
    /// The machine on which it runs.
    pub fn host(&self) -> &str {
        self.said.claimant.host()
    }

    /// For how long it was not seen at `now`, an instant of a clock that goes `skew_ms` before the server's.
    pub fn unseen_for(&self, now: Timestamp, skew_ms: Option<i64>) -> SignedDuration {
        let skew = self.skew_ms.unwrap_or_default().saturating_sub(skew_ms.unwrap_or_default());
        let skew = SignedDuration::from_millis(skew);
        now.duration_since(self.seen_at).checked_add(skew).unwrap_or(SignedDuration::MAX)
    }
}

/// A process's row: claimant, version, work, start, last seen, skew.
pub(crate) type ProcessRow = (String, String, String, i64, i64, Option<i64>);

/// What the rows say.
pub(crate) fn read(rows: Vec<ProcessRow>) -> Raw<Vec<Process>> {
    let read = |(claimant, version, work, started_ms, seen_ms, skew_ms): ProcessRow| {
        let started_at = dripline_model::clock::from_ms(started_ms);
        let said = ProcessSeen {
            claimant: Claimant::named(claimant),
            version,
            work: Work::named(&work)?,
            started_at,
        };
        Ok(Process { said, seen_at: dripline_model::clock::from_ms(seen_ms), skew_ms })
    };
    rows.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use dripline_model::clock::from_ms;

    use super::*;

    #[test]
    fn how_long_a_process_was_not_seen_does_not_depend_on_whose_clock_is_wrong() {
        // At 100 s of the server's time, by a clock that is 5 s ahead of it.
        let said = ProcessSeen {
            claimant: Claimant::named("there/1/x"),
            version: "1".into(),
            work: Work::Worker,
            started_at: from_ms(0),
        };
        let process = Process { said, seen_at: from_ms(105_000), skew_ms: Some(5_000) };
        // At 130 s of the server's time, by a clock that is 2 s behind it.
        assert_eq!(process.unseen_for(from_ms(128_000), Some(-2_000)), SignedDuration::from_secs(30));
        assert_eq!(process.host(), "there");
    }
}
