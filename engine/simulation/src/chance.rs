//! Draws that follow from what they are about, and from nothing else.

use dripline_model::random;
use dripline_workflow::behaviour::{Act, Delay};
use jiff::{SignedDuration, Timestamp};

/// The 64-bit offset and prime of FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>).
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// What draws are about: the seed, a contact, a mail, what is done with it. The same subject always gives the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject(u64);

impl Subject {
    /// The subject of all draws of a simulation.
    pub(crate) fn new(seed: u64) -> Self {
        Self(random::mix(seed.wrapping_add(random::GAMMA)))
    }

    /// A part of it.
    pub(crate) fn of(self, text: &str) -> Self {
        let hash = text.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
        Self(random::mix(self.0.rotate_left(5) ^ hash))
    }

    /// The one with this number.
    pub(crate) fn number(self, number: u64) -> Self {
        Self(random::mix(self.0.rotate_left(5) ^ number.wrapping_add(random::GAMMA)))
    }

    /// A number from 0 to below 1.
    fn draw(self) -> f64 {
        // 53 bits are what a float holds.
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether, and when, it comes to an act that may follow from something at `at`.
    pub(crate) fn act(self, act: &Act, at: Timestamp) -> Option<Timestamp> {
        (self.of("whether").draw() < act.chance)
            .then(|| at.saturating_add(self.of("when").delay(act.after)).unwrap_or(Timestamp::MAX))
    }

    /// A delay. Its logarithm is spread evenly, because people react early more often than late: of delays from one minute
    /// to a day, half are below 38 minutes. In whole seconds.
    fn delay(self, Delay { least, most }: Delay) -> SignedDuration {
        let (least, most) = (least.as_secs_f64().max(1.0), most.as_secs_f64().max(1.0));
        let seconds = least * (most / least).powf(self.draw());
        // Both bounds are durations that a person wrote, so that this is in range.
        SignedDuration::from_secs(seconds.round() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_and_delays_are_as_they_were_asked_for() {
        let start = Timestamp::UNIX_EPOCH;
        let delay = Delay { least: SignedDuration::from_mins(1), most: SignedDuration::from_hours(24) };
        let act = Act { chance: 0.3, after: delay };
        let drawn: Vec<_> = (0..20_000)
            .filter_map(|number| Subject::new(7).of("ada").number(number).act(&act, start))
            .map(|at| at.duration_since(start))
            .collect();
        let share = drawn.len() as f64 / 20_000.0;
        assert!((share - 0.3).abs() < 0.01, "{share}");
        assert!(drawn.iter().all(|after| *after >= delay.least && *after <= delay.most));
        let early = drawn.iter().filter(|after| **after < SignedDuration::from_mins(38)).count();
        assert!((early as f64 / drawn.len() as f64 - 0.5).abs() < 0.02, "{early} of {}", drawn.len());
    }

    #[test]
    fn certain_is_certain_and_never_is_never() {
        let at = |chance| {
            let after = Delay { least: SignedDuration::from_hours(2), most: SignedDuration::from_hours(2) };
            let act = Act { chance, after };
            let hits =
                (0..500).filter_map(|number| Subject::new(1).number(number).act(&act, Timestamp::UNIX_EPOCH));
            hits.map(|at| at.as_second()).collect::<Vec<_>>()
        };
        assert_eq!(at(1.0), [7_200; 500]);
        assert!(at(0.0).is_empty());
    }

    #[test]
    fn subjects_that_differ_draw_apart() {
        let one = Subject::new(1).of("ab").of("c");
        assert_ne!(one.0, Subject::new(1).of("a").of("bc").0);
        assert_ne!(one.0, Subject::new(2).of("ab").of("c").0);
        assert_eq!(one.0, Subject::new(1).of("ab").of("c").0);
    }
}
