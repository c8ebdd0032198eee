//! What the counts of an experiment say: rates, how sure they are, and whether one arm is better.
//!
//! Two arms are compared by the two-proportion z-test with the pooled variance (NIST/SEMATECH e-Handbook of Statistical
//! Methods, §7.3.3). Looking again and again until a test says yes would say yes to nothing at all sooner or later, so each
//! look may only err with a part of the probability that the author allows: the k-th with 1/(k(k+1)) of it, which adds up to the
//! whole however often it is looked (Boole's inequality; spending an error over looks is Lan and DeMets, "Discrete sequential
//! boundaries for clinical trials", Biometrika 70, 1983). The pairs of arms share that part in equal terms (Bonferroni).

use serde::{Deserialize, Serialize};

/// The quantile of the normal distribution below which 97.5% lie: intervals are those of 95%.
const Z_95: f64 = 1.959_963_984_540_054;

/// How many contacts were in an arm, and how many of them reached the goal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Contacts.
    pub contacts: u64,
    /// Those of them who reached the goal.
    pub reached: u64,
}

/// What a look at the arms found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// The arm with the highest rate: its place. Of equal ones the first.
    pub best: usize,
    /// The largest p-value of the best arm against each of the others.
    pub p_value: f64,
    /// Below which value of it the best arm has won at this look.
    pub threshold: f64,
}

impl Finding {
    /// Whether the best arm has won.
    pub fn is_significant(&self) -> bool {
        self.p_value < self.threshold
    }
}

impl Tally {
    /// The part that reached the goal; `None` where nobody is.
    pub fn rate(self) -> Option<f64> {
        (self.contacts > 0).then(|| number(self.reached) / number(self.contacts))
    }

    /// Between which rates the true one lies with 95% confidence: the score interval (Wilson, "Probable inference, the law of
    /// succession, and statistical inference", 1927). `None` where nobody is.
    pub fn interval(self) -> Option<(f64, f64)> {
        let (rate, n) = (self.rate()?, number(self.contacts));
        let z2 = Z_95 * Z_95;
        let middle = (rate + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z_95 / (1.0 + z2 / n) * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
        Some(((middle - half).max(0.0), (middle + half).min(1.0)))
    }
}

/// How likely rates as different as these are where there is no difference: two-sided, from 0 to 1. It is 1 where
/// nothing can be said.
pub fn p_value(one: Tally, other: Tally) -> f64 {
    let (Some(first), Some(second)) = (one.rate(), other.rate()) else { return 1.0 };
    let pooled = number(one.reached + other.reached) / number(one.contacts + other.contacts);
    let variance = pooled * (1.0 - pooled) * (1.0 / number(one.contacts) + 1.0 / number(other.contacts));
    // Where all or none reached it, the rates are the same.
    if variance <= 0.0 {
        return 1.0;
    }
    let z = (first - second) / variance.sqrt();
    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// Looks at the arms for the `look`-th time (from 1), where one in `significance` (0.95) may be said to have won by chance
/// only in the rest. `None` where there are fewer than two arms.
pub fn find(arms: &[Tally], significance: f64, look: u32) -> Option<Finding> {
    let best = best(arms)?;
    let winner = *arms.get(best)?;
    let others = arms.iter().enumerate().filter(|(place, _)| *place != best);
    let p_value = others.map(|(_, other)| p_value(winner, *other)).reduce(f64::max)?;
    let (look, count) = (f64::from(look.max(1)), number(arms.len() as u64));
    let pairs = count * (count - 1.0) / 2.0;
    let threshold = (1.0 - significance) / (look * (look + 1.0)) / pairs;
    Some(Finding { best, p_value, threshold })
}

/// The arm with the highest rate; of equal ones the first, and one in which nobody is has none.
pub fn best(arms: &[Tally]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (place, arm) in arms.iter().enumerate() {
        let rate = arm.rate().unwrap_or(-1.0);
        if best.is_none_or(|(_, highest)| rate > highest) {
            best = Some((place, rate));
        }
    }
    best.map(|(place, _)| place)
}

/// A count; beyond 2^53 the nearest that there is.
#[expect(clippy::cast_precision_loss, reason = "no campaign has 2^53 contacts")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(reached: u64, contacts: u64) -> Tally {
        Tally { contacts, reached }
    }

    fn is_near(found: f64, wanted: f64) -> bool {
        (found - wanted).abs() <= 1e-9 * wanted.abs().max(1e-3)
    }

    /// What statsmodels 0.15.0 (on scipy 1.17.1) says: `proportions_ztest` for two proportions, both sides.
    #[test]
    fn p_values_are_those_of_another_library() {
        for ((reached, of), (others, of_others), wanted) in [
            ((45, 500), (70, 500), 0.013_208_279_888_430_44),
            ((120, 1000), (150, 1010), 0.060_868_746_626_838_77),
            ((1, 20), (9, 25), 0.012_935_884_715_881_469),
            ((5000, 100_000), (5210, 100_500), 0.060_838_016_255_737_36),
            ((0, 50), (3, 50), 0.078_640_179_348_828_42),
            ((300, 600), (180, 600), 1.537_459_794_428_018_2e-12),
        ] {
            let (one, other) = (tally(reached, of), tally(others, of_others));
            let found = p_value(one, other);
            assert!((found - wanted).abs() <= 1e-9 * wanted, "{found} {wanted}");
            assert!(is_near(p_value(other, one), found));
        }
    }

    /// What statsmodels 0.15.0 says: `proportion_confint` with `method="wilson"`.
    #[test]
    fn intervals_are_those_of_another_library() {
        for ((reached, contacts), (low, high)) in [
            ((45, 500), (0.067_942_547_889_139_39, 0.118_309_411_289_333_45)),
            ((0, 20), (0.0, 0.161_125_158_052_819_4)),
            ((20, 20), (0.838_874_841_947_180_4, 1.0)),
            ((1, 3), (0.061_491_944_720_396_26, 0.792_340_399_197_952_3)),
            ((5210, 100_500), (0.050_487_147_536_255_65, 0.053_228_703_594_585_37)),
        ] {
            let found = tally(reached, contacts).interval().unwrap();
            assert!((found.0 - low).abs() < 1e-12 && (found.1 - high).abs() < 1e-12, "{found:?}");
        }
    }

    #[test]
    fn nothing_is_said_where_nothing_can_be() {
        assert!(is_near(p_value(tally(0, 0), tally(5, 10)), 1.0));
        assert!(is_near(p_value(tally(0, 10), tally(0, 20)), 1.0));
        assert!(is_near(p_value(tally(10, 10), tally(20, 20)), 1.0));
        assert_eq!((tally(0, 0).rate(), tally(0, 0).interval()), (None, None));
        assert_eq!((find(&[], 0.95, 1), find(&[tally(1, 2)], 0.95, 1)), (None, None));
        assert_eq!(best(&[tally(0, 0), tally(0, 5), tally(1, 4), tally(2, 8)]), Some(2));
    }

    #[test]
    fn each_further_look_has_to_be_surer_and_all_together_err_as_seldom_as_was_allowed() {
        let arms = [tally(60, 500), tally(90, 500)];
        let threshold = |look| find(&arms, 0.95, look).unwrap().threshold;
        assert!(is_near(threshold(1), 0.025) && is_near(threshold(2), 0.05 / 6.0));
        let all: f64 = (1..=10_000).map(threshold).sum();
        assert!(all < 0.05 && all > 0.0499, "{all}");
        // Three arms are three pairs.
        let three = [arms[0], arms[1], arms[0]];
        assert!(is_near(find(&three, 0.95, 1).unwrap().threshold, 0.025 / 3.0));
    }

    /// Of many experiments in which the arms are the same, looked at as often as an engine looks, hardly more than one in
    /// twenty may find a winner.
    #[test]
    fn looking_again_and_again_finds_no_winner_where_there_is_none() {
        let mut seed = 1_u64;
        let mut chance = || {
            seed = crate::random::mix(seed.wrapping_add(crate::random::GAMMA));
            seed % 1000 < 100
        };
        let (experiments, mut won) = (400, 0);
        for _ in 0..experiments {
            let mut arms = [Tally::default(); 2];
            let (mut look, mut size) = (1, 200);
            for contacts in 1..=20_000_u64 {
                for arm in &mut arms {
                    arm.contacts += 1;
                    arm.reached += u64::from(chance());
                }
                if contacts == size {
                    if find(&arms, 0.95, look).unwrap().is_significant() {
                        won += 1;
                        break;
                    }
                    (look, size) = (look + 1, size + size / 2);
                }
            }
        }
        // 5% of 400 are 20, and three standard deviations above it 33.
        assert!(won <= 33, "{won} of {experiments}");
    }
}
