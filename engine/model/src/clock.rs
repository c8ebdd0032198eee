//! Where "now" comes from. Nothing else in Dripline asks the machine or the database for the time.

use std::sync::Mutex;

use jiff::Timestamp;

use crate::pretend;

/// A source of the current instant.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The current instant, UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, cut to milliseconds, the store's unit.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        from_ms(Timestamp::now().as_millisecond().saturating_add(pretend::clock_is_ahead_by_ms()))
    }
}

/// A clock that stands still until it is told to move; simulations and tests drive it.
#[derive(Debug)]
pub struct DrivenClock(Mutex<Timestamp>);

impl DrivenClock {
    /// A clock that stands at `at`.
    pub fn starting_at(at: Timestamp) -> Self {
        Self(Mutex::new(at))
    }

    /// Moves the clock to `at`. It never moves back: an earlier instant leaves it where it is.
    pub fn advance_to(&self, at: Timestamp) {
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = (*now).max(at);
    }
}

impl Clock for DrivenClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The instant `ms` milliseconds after the Unix epoch, held within what a timestamp can represent.
pub fn from_ms(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
