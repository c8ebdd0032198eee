//! Integer keys, one type for each table, so that a run's id is never taken for a contact's.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// A contact.
    ContactId
    /// An event.
    EventId
    /// A workflow: all versions of one name.
    WorkflowId
    /// One published version of a workflow.
    VersionId
    /// One contact's way through one version.
    RunId
    /// A message of the outbox.
    MessageId
    /// A representative.
    RepId
    /// A team.
    TeamId
    /// A segment.
    SegmentId
    /// A firing: a workflow that is offered to everybody, or to a segment.
    FiringId
    /// An event that waits before it starts a run.
    HeldId
    /// A date trigger of a workflow.
    DateTriggerId
}
