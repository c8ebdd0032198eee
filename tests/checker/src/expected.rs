//! What a campaign should have come to: a test's own model, made from the contacts alone.

use std::collections::{BTreeMap, BTreeSet};

/// A turn: the step's id and how it ended, `("welcome", "done")`. One that mails and was put off, however often, is `held`.
pub type Step = (String, String);

/// What should have happened. Contacts go by their external ids.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The turns of each contact's one run, by workflow and contact. Nobody else may have entered these workflows.
    pub runs: BTreeMap<(String, String), Vec<Step>>,
    /// Who was looked at once and not admitted, by workflow and contact.
    pub refused: BTreeSet<(String, String)>,
    /// What became of each contact.
    pub contacts: BTreeMap<String, ContactExpected>,
}

/// What should have become of a contact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactExpected {
    /// Scores that are not 0.
    pub scores: BTreeMap<String, i64>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// Segments.
    pub segments: BTreeSet<String>,
    /// How often it was assigned.
    pub assignments: usize,
    /// Templates of its messages, in their order.
    pub mails: Vec<String>,
}
