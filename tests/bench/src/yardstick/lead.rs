//! One contact's way through the five steps, worked out in memory.

use crate::campaign::{Facts, RULES, Rule, words};

/// A contact whose turn it is, and what becomes of it.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) run: i64,
    pub(super) contact: i64,
    pub(super) recipient: String,
    pub(super) subject: String,
    /// Which rules hold, a bit for each.
    pub(super) rules: u16,
    /// The score.
    pub(super) total: i64,
    /// Whether it gets the offer.
    pub(super) hot: bool,
}

impl Lead {
    pub(super) fn new(run: i64, contact: i64, recipient: &str, first_name: &str, facts: &Facts<'_>) -> Self {
        let mut rules = 0;
        let mut total = 0;
        for (bit, rule) in RULES.iter().enumerate() {
            if (rule.holds)(facts) {
                rules |= 1 << bit;
                total += rule.points;
            }
        }
        let hot = words::is_hot(total);
        let subject = words::subject(hot, first_name);
        Self { run, contact, recipient: recipient.to_owned(), subject, rules, total, hot }
    }

    /// Whether any rule gave it points, which may add up to none.
    pub(super) fn has_points(&self) -> bool {
        self.rules != 0
    }
}

/// The rules of a set of bits, with their positions.
pub(super) fn held(rules: u16) -> impl Iterator<Item = (usize, &'static Rule)> {
    RULES.iter().enumerate().filter(move |(bit, _)| rules & (1 << bit) != 0)
}

/// The sentence for a set of rules.
pub(super) fn reason(rules: u16) -> String {
    let total = held(rules).map(|(_, rule)| rule.points).sum();
    words::score(total, held(rules).map(|(_, rule)| rule))
}
