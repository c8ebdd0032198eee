//! Dates of contacts that start workflows.

use dripline_model::id::{ContactId, DateTriggerId, WorkflowId};
use jiff::Timestamp;

/// A date trigger of a workflow's current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDateTrigger {
    /// Its key.
    pub id: DateTriggerId,
    /// Whose it is.
    pub workflow: WorkflowId,
    /// Which it is: the words of the program's trigger.
    pub wording: String,
    /// When it was published first. What was due before is none of its.
    pub published_at: Timestamp,
    /// Up to which contact it has been evaluated first; none when that is done.
    pub evaluated_to: Option<ContactId>,
}

/// What is known of one contact and one date trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactDate {
    /// The trigger.
    pub trigger: DateTriggerId,
    /// The contact.
    pub contact: ContactId,
    /// What is to come next.
    pub next: Option<ComingDate>,
    /// The last date that came, or was missed.
    pub came: Option<String>,
}

/// A date that is to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComingDate {
    /// When the trigger fires for it.
    pub due: Timestamp,
    /// The date.
    pub date: String,
}

/// A contact that has to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// Who.
    pub contact: ContactId,
    /// Since when: when it changed, or its time came.
    pub since: Timestamp,
}
