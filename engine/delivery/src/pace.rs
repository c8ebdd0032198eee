//! How many messages a server may be given now: a bucket of tokens that the engine's clock fills.

use dripline_model::clock::from_ms;
use jiff::Timestamp;

use crate::config::Rate;

/// A bucket that holds a second's worth of messages, at least one, and fills evenly.
#[derive(Debug)]
pub(crate) struct Pace {
    /// How long one token takes, in microseconds.
    interval: i64,
    /// How many tokens the bucket holds.
    size: i64,
    /// When it is full again, in microseconds since the epoch.
    full_at: i64,
}

impl Pace {
    /// A full bucket.
    pub(crate) fn new(rate: Rate) -> Self {
        let (messages, period) = (i64::from(rate.messages.max(1)), rate.per.micros());
        // Rounded up: never faster than was asked for.
        let interval = (period + messages - 1) / messages;
        Self { interval, size: (1_000_000 / interval).max(1), full_at: i64::MIN / 2 }
    }

    /// Takes up to `wanted` tokens; answers how many there were.
    pub(crate) fn take(&mut self, wanted: usize, now: Timestamp) -> usize {
        let taken = self.tokens(now).min(i64::try_from(wanted).unwrap_or(i64::MAX));
        self.full_at = self.full_at.max(now.as_microsecond()) + taken * self.interval;
        usize::try_from(taken).unwrap_or(0)
    }

    /// Puts back tokens that were taken and not used.
    pub(crate) fn put_back(&mut self, unused: usize) {
        self.full_at -= i64::try_from(unused).unwrap_or(0) * self.interval;
    }

    /// When it is worth going on, if it is not now: with half a bucket. Message by message, each would cost its commits.
    pub(crate) fn pause_until(&self, now: Timestamp) -> Option<Timestamp> {
        let worth = (self.size / 2).max(1);
        if self.tokens(now) >= worth {
            return None;
        }
        let at = self.full_at - (self.size - worth) * self.interval;
        // In whole milliseconds, as all instants, and never too early.
        Some(from_ms((at + 999).div_euclid(1_000)))
    }

    fn tokens(&self, now: Timestamp) -> i64 {
        let missing = self.full_at.saturating_sub(now.as_microsecond()).max(0);
        (self.size * self.interval - missing).max(0) / self.interval
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::RatePeriod;

    const PERIODS: [RatePeriod; 3] = [RatePeriod::Second, RatePeriod::Minute, RatePeriod::Hour];

    #[test]
    fn a_bucket_empties_and_fills() {
        let mut pace = Pace::new(Rate { messages: 10, per: RatePeriod::Second });
        assert_eq!(pace.take(100, from_ms(0)), 10);
        assert_eq!(pace.take(100, from_ms(99)), 0);
        assert_eq!(pace.take(100, from_ms(100)), 1);
        pace.put_back(1);
        assert_eq!(pace.pause_until(from_ms(100)), Some(from_ms(500)));
        assert_eq!((pace.pause_until(from_ms(500)), pace.take(3, from_ms(500))), (None, 3));
        assert_eq!(pace.take(100, from_ms(60_000)), 10, "it holds no more than a second's worth");
    }

    #[test]
    fn a_slow_rate_gives_one_at_a_time() {
        let mut pace = Pace::new(Rate { messages: 30, per: RatePeriod::Hour });
        assert_eq!((pace.take(9, from_ms(0)), pace.take(9, from_ms(119_999))), (1, 0));
        assert_eq!(pace.pause_until(from_ms(0)), Some(from_ms(120_000)));
        assert_eq!(pace.take(9, from_ms(120_000)), 1);
    }

    proptest! {
        #[test]
        fn the_rate_holds_over_any_time(
            messages in 1..5_000_u32,
            period in 0..3_usize,
            steps in proptest::collection::vec((0..5_000_i64, 0..200_usize), 1..50),
        ) {
            let rate = Rate { messages, per: PERIODS[period] };
            let mut pace = Pace::new(rate);
            let (mut now, mut taken) = (0, 0);
            for (pause, wanted) in steps {
                now += pause;
                taken += pace.take(wanted, from_ms(now)) as i64;
                let allowed = now * 1_000 * i64::from(messages) / rate.per.micros();
                prop_assert!(taken <= allowed + i64::from(messages).max(1), "{taken} by {now} ms");
                if let Some(until) = pace.pause_until(from_ms(now)) {
                    prop_assert!(until > from_ms(now) && pace.pause_until(until).is_none());
                }
            }
        }
    }
}
