//! Forgetting what is old, beside everything else and slower than it.

use std::time::{Duration, Instant};

use dripline_store::Prunable;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::{
    engine::Engine,
    error::{Result, While, despite},
    outage::{Outage, Patience},
};

/// How long after one round the next begins.
const ROUND: SignedDuration = SignedDuration::from_hours(1);

/// How long a slice may take: a batch may wait so long for the store's writer.
const SLICE: Duration = Duration::from_millis(20);

/// So many times as long as a slice took, nothing is forgotten after it.
const REST: u32 = 4;

/// The first slice's rows, and the fewest and most.
const FIRST_SIZE: usize = 500;
const LEAST_SIZE: usize = 8;
const MOST_SIZE: usize = 5_000;

/// A round over everything that has an end.
#[derive(Debug)]
struct Round {
    /// What is left to do, in reverse.
    left: Vec<(Prunable, Timestamp)>,
    /// Rows that a slice looks at.
    size: usize,
    /// Rows that went of what is first.
    rows: u64,
}

impl Engine {
    /// Forgets what is old until `stopped`: a round an hour, in slices with rests between them, so that it takes no more
    /// than a fifth of the store's writer.
    pub(crate) async fn prune_forever(
        &self,
        outage: &Outage,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<()> {
        let mut patience = Patience::new(outage);
        let mut round = self.begin_round();
        while !*stopped.borrow_and_update() {
            if round.left.is_empty() {
                let next = self.clock.now().saturating_add(ROUND).ok();
                self.sleep_until(next, std::future::pending(), &mut stopped).await;
                round = self.begin_round();
                continue;
            }
            let began = Instant::now();
            let slice = self.prune_slice(&mut round).await;
            if patience.bear(slice, &mut stopped).await?.is_none() {
                continue;
            }
            let elapsed = began.elapsed();
            round.size = fitting(round.size, elapsed);
            tokio::select! {
                () = tokio::time::sleep(elapsed * REST) => {}
                // An error means that the sender is gone, which ends the loop as well.
                _ = stopped.changed() => {}
            }
        }
        Ok(())
    }

    fn begin_round(&self) -> Round {
        let mut left = self.options.retention.due(self.clock.now(), &self.options.time_zone);
        left.reverse();
        Round { left, size: FIRST_SIZE, rows: 0 }
    }

    /// One slice of what is first in the round.
    async fn prune_slice(&self, round: &mut Round) -> Result<()> {
        let Some((what, before)) = round.left.last().copied() else { return Ok(()) };
        let size = round.size;
        let pruned = despite!(self.store.prune(what, before, size).await.while_doing("forget what is old"))?;
        round.rows += pruned.rows;
        if pruned.is_last {
            if round.rows > 0 {
                tracing::info!(rows = round.rows, %before, "forgot old {}", what.name());
            }
            round.left.pop();
            round.rows = 0;
        }
        Ok(())
    }
}

/// How many rows the next slice looks at, after one of `size` took so long.
fn fitting(size: usize, elapsed: Duration) -> usize {
    let used = elapsed.as_micros().max(1);
    let fitting = usize::try_from(size as u128 * SLICE.as_micros() / used).unwrap_or(MOST_SIZE);
    // A larger slice costs less for each of its rows, so it gets there step by step.
    fitting.clamp(LEAST_SIZE, MOST_SIZE.min(size * 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_grows_to_what_fits_into_its_time() {
        let mut size = FIRST_SIZE;
        for _ in 0..20 {
            // 5 ms for the transaction, and 10 µs for each row.
            size = fitting(size, Duration::from_micros(5_000 + 10 * size as u64));
        }
        assert!((1_400..=1_600).contains(&size), "{size}");
        assert_eq!(fitting(size, Duration::from_secs(60)), LEAST_SIZE);
        assert_eq!(fitting(MOST_SIZE, Duration::ZERO), MOST_SIZE);
    }
}
