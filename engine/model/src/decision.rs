//! The durable record of why a turn ended as it did.

use crate::coded::coded;

coded! {
    /// How a turn ended.
    #[non_exhaustive]
    pub enum DecisionKind {
        /// The contact entered the workflow.
        Enrolled = "enrolled",
        /// The contact did not enter, and the reason says why.
        NotEnrolled = "not_enrolled",
        /// The step did its work.
        Done = "done",
        /// A branch was taken.
        Branched = "branched",
        /// The step's own `if` did not hold.
        Skipped = "skipped",
        /// The step wanted something that consent, a missing address or the like forbade.
        Suppressed = "suppressed",
        /// The run waits.
        Waiting = "waiting",
        /// The turn failed and will be tried again.
        Retrying = "retrying",
        /// The turn failed for good, and the run with it.
        Failed = "failed",
        /// The run ended.
        Ended = "ended",
        /// A person ended the run.
        Cancelled = "cancelled",
        /// A person moved the run to another version of its workflow.
        Moved = "moved",
    }
}

coded! {
    /// Where a run stands as a whole.
    pub enum RunStatus {
        /// On its way; due at its due time.
        Active = "active",
        /// Came to its end.
        Completed = "completed",
        /// Stopped by a failure; `dripline runs retry` sets it going again.
        Failed = "failed",
        /// Ended by a person.
        Cancelled = "cancelled",
        /// Reached a goal of its workflow.
        Won = "won",
    }
}

coded! {
    /// What a run that stands still waits for.
    pub enum Awaited {
        /// An event of the contact.
        Event = "event",
        /// A condition on the contact.
        Condition = "condition",
        /// Other runs: its own paths, or one of a workflow that it called.
        Runs = "runs",
    }
}

coded! {
    /// By what an experiment was decided.
    pub enum DecidedBy {
        /// The test said that the difference is none of chance.
        Test = "test",
        /// The date came by which it had to be decided.
        Date = "date",
        /// A person.
        Hand = "hand",
    }
}

impl DecisionKind {
    /// Its name for people: with a space where programs have an underscore.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotEnrolled => "not enrolled",
            kind => kind.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_as_what_was_written() {
        for kind in DecisionKind::ALL {
            assert_eq!(DecisionKind::from_code(kind.code()), Some(*kind));
        }
        assert_eq!((RunStatus::Failed.code(), RunStatus::from_code(5)), (2, None));
        assert_eq!(serde_json::to_string(&RunStatus::Failed).unwrap(), "\"failed\"");
    }
}
