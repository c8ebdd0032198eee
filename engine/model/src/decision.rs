//! The durable record of why a turn ended as it did.

use serde::{Deserialize, Serialize};

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecisionKind {
    /// The contact entered the workflow.
    Enrolled,
    /// The contact did not enter, and the reason says why.
    NotEnrolled,
    /// The step did its work.
    Done,
    /// A branch was taken.
    Branched,
    /// The step's own `if` did not hold.
    Skipped,
    /// The step wanted something that consent, a missing address or the like forbade.
    Suppressed,
    /// The run waits.
    Waiting,
    /// The turn failed and will be tried again.
    Retrying,
    /// The turn failed for good, and the run with it.
    Failed,
    /// The run ended.
    Ended,
    /// A person ended the run.
    Cancelled,
}

impl DecisionKind {
    /// All kinds; the position is the code in the store, so new kinds go at the end.
    pub const ALL: &[Self] = &[
        Self::Enrolled,
        Self::NotEnrolled,
        Self::Done,
        Self::Branched,
        Self::Skipped,
        Self::Suppressed,
        Self::Waiting,
        Self::Retrying,
        Self::Failed,
        Self::Ended,
        Self::Cancelled,
    ];

    /// The code in the store.
    pub fn code(self) -> i64 {
        self as i64
    }

    /// The kind with this code.
    pub fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code).ok().and_then(|index| Self::ALL.get(index)).copied()
    }

    /// The name for people and for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::NotEnrolled => "not_enrolled",
            Self::Done => "done",
            Self::Branched => "branched",
            Self::Skipped => "skipped",
            Self::Suppressed => "suppressed",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where a run stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// On its way; due at its due time.
    Active,
    /// Came to its end.
    Completed,
    /// Stopped by a failure; `dripline runs retry` sets it going again.
    Failed,
    /// Ended by a person.
    Cancelled,
}

impl RunStatus {
    /// All states; the position is the code in the store.
    pub const ALL: &[Self] = &[Self::Active, Self::Completed, Self::Failed, Self::Cancelled];

    /// The code in the store.
    pub fn code(self) -> i64 {
        self as i64
    }

    /// The state with this code.
    pub fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code).ok().and_then(|index| Self::ALL.get(index)).copied()
    }

    /// The name for people and for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
