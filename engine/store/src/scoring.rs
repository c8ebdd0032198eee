//! Scores: what `scores.yaml` says of them, and what their bounds kept back.

use std::sync::Arc;

use async_trait::async_trait;
use dripline_model::{id::ContactId, score::Scores};
use jiff::Timestamp;

use crate::Result;

/// Verbs on scores.
#[async_trait]
pub trait Scoring: Send + Sync {
    /// Makes the declared scores those of the file, and the catalog's revision another where that changes anything. Where
    /// points fade otherwise than before, all contacts' are worked out anew from their history, slice by slice; a slice
    /// that is missing because the process died is made up for by the next call. Answers the names of the scores of which
    /// something changed.
    async fn publish_scores(&self, scores: &Scores, now: Timestamp) -> Result<Vec<String>>;

    /// The declared scores as they are stored; from then on what this store loads has the grades of these.
    async fn declared_scores(&self) -> Result<Arc<Scores>>;

    /// For what these contacts have points that no step took back: the largest first for each contact.
    async fn standing_points(&self, contacts: &[ContactId]) -> Result<Vec<StandingPoints>>;

    /// What bounds kept back of a contact's points.
    async fn held_points(&self, contact: ContactId) -> Result<Vec<HeldPoints>>;
}

/// Points of a contact for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingPoints {
    /// Whose.
    pub contact: ContactId,
    /// The score.
    pub score: String,
    /// How many were given, whatever is left of them.
    pub points: i64,
    /// For what.
    pub because: String,
    /// In how many gifts.
    pub times: u64,
}

/// What kept points back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HeldBy {
    /// The score's lowest value.
    Lowest,
    /// The score's highest value.
    Highest,
    /// The most that may count for one reason.
    Reason,
}

impl HeldBy {
    /// As it is stored.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Lowest => 0,
            Self::Highest => 1,
            Self::Reason => 2,
        }
    }

    /// From what is stored.
    pub(crate) fn from_code(code: i64) -> Option<Self> {
        [Self::Lowest, Self::Highest, Self::Reason].into_iter().find(|by| by.code() == code)
    }

    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lowest => "min",
            Self::Highest => "max",
            Self::Reason => "at_most",
        }
    }
}

/// Points of one step and one reason that were not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPoints {
    /// The score.
    pub score: String,
    /// The workflow's name.
    pub workflow: String,
    /// The step's id.
    pub step: String,
    /// For what they would have been.
    pub because: String,
    /// What kept them back.
    pub by: HeldBy,
    /// How often.
    pub times: u64,
    /// How many in all.
    pub points: i64,
    /// When last.
    pub last_at: Timestamp,
}
