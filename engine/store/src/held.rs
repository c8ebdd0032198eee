//! Events that a workflow has taken and that wait before they start a run.

use dripline_model::id::{ContactId, EventId, HeldId, VersionId, WorkflowId};
use jiff::Timestamp;

use crate::ClaimedEvent;

/// An event to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct NewHeld {
    /// The workflow that took it.
    pub workflow: WorkflowId,
    /// The version that did.
    pub version: VersionId,
    /// The event. It is kept as a whole, so that it outlives what is forgotten.
    pub event: ClaimedEvent,
    /// Until when, and for what.
    pub until: Until,
}

/// For what an event waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// That none of its kind follows.
    Quiet {
        /// When the first of the series came.
        first: Timestamp,
        /// When it has been quiet for long enough.
        due: Timestamp,
    },
    /// That the contact's run before it has ended.
    Turn,
}

/// An event that is held.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldEvent {
    /// Its place; who came later has a larger one.
    pub id: HeldId,
    /// What it is.
    pub held: NewHeld,
}

impl HeldEvent {
    /// Whose it is.
    pub fn contact(&self) -> ContactId {
        self.held.event.contact
    }

    /// The event's id.
    pub fn event_id(&self) -> EventId {
        self.held.event.id
    }
}

/// What has arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Live events.
    pub events: bool,
    /// Events that were held and wait no more.
    pub held: bool,
}
