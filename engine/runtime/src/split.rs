//! Which way of a split a contact goes.

use dripline_model::{Digest, id::ContactId, program::SplitArm, random};

/// A split, ready to decide. The same contact goes the same way each time that it comes to the step, also in a later
/// version and when the run begins anew; other weights send another way only those between the old and the new bounds.
#[derive(Debug)]
pub(crate) struct Split {
    arms: Vec<SplitArm>,
    total: u64,
    /// Of the workflow and the step, so that two splits have nothing to do with each other.
    seed: u64,
}

impl Split {
    pub(crate) fn new(workflow: &str, step: &str, arms: Vec<SplitArm>) -> Self {
        let digest = Digest::of(format!("{workflow}\n{step}").as_bytes());
        let seed = digest.as_str().get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let total = arms.iter().map(|arm| u64::from(arm.weight)).sum();
        Self { arms, total, seed: seed.unwrap_or_default() }
    }

    /// The contact's way.
    pub(crate) fn of(&self, contact: ContactId) -> Option<&SplitArm> {
        let chance =
            random::mix(self.seed ^ random::mix(contact.0.cast_unsigned().wrapping_add(random::GAMMA)));
        // The upper half of the product is uniform in 0..total (Lemire, "Fast random integer generation in an interval",
        // 2019); what its bias is for totals this small is below one in 2^43.
        let mut point = (u128::from(chance) * u128::from(self.total)) >> 64;
        self.arms.iter().find(|arm| {
            let weight = u128::from(arm.weight);
            let is_here = point < weight;
            point = point.saturating_sub(weight);
            is_here
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(workflow: &str, weights: &[(&str, u32)]) -> Split {
        let arm =
            |(name, weight): &(&str, u32)| SplitArm { name: (*name).into(), weight: *weight, next: None };
        Split::new(workflow, "offer", weights.iter().map(arm).collect())
    }

    fn ways(split: &Split) -> Vec<String> {
        (1..=100_000).map(|contact| split.of(ContactId(contact)).unwrap().name.clone()).collect()
    }

    #[test]
    fn contacts_go_in_proportion_to_the_weights_and_always_the_same_way() {
        let (few, more) =
            (split("w", &[("a", 10), ("b", 90), ("c", 0)]), split("w", &[("a", 20), ("b", 80)]));
        let (few, more) = (ways(&few), ways(&more));
        let share = |all: &[String], name: &str| all.iter().filter(|way| *way == name).count();
        // Within four standard deviations, which are 95 and 126.
        assert!((9_620..10_380).contains(&share(&few, "a")), "{}", share(&few, "a"));
        assert!((19_494..20_506).contains(&share(&more, "a")), "{}", share(&more, "a"));
        assert_eq!(share(&few, "c"), 0);
        assert_eq!(
            few[..6],
            ["b", "b", "b", "b", "b", "b"],
            "the same on every machine and in every version"
        );
        assert!(few.iter().zip(&more).all(|(before, after)| before == after || after == "a"));
    }

    #[test]
    fn two_splits_have_nothing_to_do_with_each_other() {
        let weights = [("a", 50), ("b", 50)];
        let (one, other) = (ways(&split("one", &weights)), ways(&split("other", &weights)));
        let same = one.iter().zip(&other).filter(|(one, other)| one == other).count();
        assert!((49_368..50_632).contains(&same), "{same}");
    }
}
