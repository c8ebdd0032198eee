//! A store that is away for a while: nothing is claimed, and nobody has to set it going again.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::watch;

use crate::error::{Error, Result};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether the store is away, as all loops of an engine see it; said once.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    is_away: AtomicBool,
}

impl Outage {
    fn begins(&self, error: &Error) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the store is away; waiting until it is back");
        }
    }

    fn ends(&self) {
        if self.is_away.swap(false, Ordering::Relaxed) {
            tracing::warn!("the store is back");
        }
    }
}

/// One loop's way of waiting for the store.
pub(crate) struct Patience<'a> {
    outage: &'a Outage,
    pauses: Option<ExponentialBackoff>,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(outage: &'a Outage) -> Self {
        Self { outage, pauses: None }
    }

    /// What was done; `None` after a pause, if the store is away or was.
    ///
    /// # Errors
    /// What will not go away by itself.
    pub(crate) async fn bear<T>(
        &mut self,
        result: Result<T>,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<Option<T>> {
        match result {
            Ok(done) => {
                self.pauses = None;
                self.outage.ends();
                Ok(Some(done))
            }
            Err(error) if error.is_transient() => {
                self.outage.begins(&error);
                let pause = self.pauses.get_or_insert_with(pauses).next().unwrap_or(LONGEST_PAUSE);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    // An error means that the sender is gone, which ends the loop as well.
                    _ = stopped.changed() => {}
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Each twice as long as the one before, up to [`LONGEST_PAUSE`], and by chance up to twice as long as that, so that
/// processes that lost the same store do not all come back at the same moment.
fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_tenth_of_a_second_and_never_end() {
        let pauses: Vec<_> = pauses().take(40).collect();
        assert!((FIRST_PAUSE..=FIRST_PAUSE * 2).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses[39] >= LONGEST_PAUSE && pauses[39] <= LONGEST_PAUSE * 2, "{pauses:?}");
        assert_ne!(pauses, super::pauses().take(40).collect::<Vec<_>>(), "by chance");
    }
}
