//! What people ask of the store: lists, counts, timelines. Reads only.

use async_trait::async_trait;
use dripline_model::{
    Contact,
    decision::{DecisionKind, RunStatus},
    field::ValueTypes,
    id::{ContactId, MessageId, RunId, VersionId},
    message::MessageStatus,
    program::NodeIndex,
};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{MessageRow, Result};

/// Verbs of lists and summaries. Lists are in the order of their keys; `limit` bounds each.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Contacts, everything known of each.
    async fn list_contacts(&self, filter: &ContactFilter, limit: usize) -> Result<Vec<Contact>>;

    /// Everything that happened to a contact, oldest first.
    async fn timeline(&self, contact: ContactId) -> Result<Vec<TimelineEntry>>;

    /// What starts workflows for a contact unless something comes between: dates, and events that wait. In the order of
    /// their times; what waits for a run to end is last.
    async fn coming(&self, contact: ContactId) -> Result<Vec<Coming>>;

    /// Contacts that have an owner, the latest assignment of each, by representative and then newest first.
    async fn leads(&self, limit: usize) -> Result<Vec<Lead>>;

    /// Runs, newest first.
    async fn list_runs(&self, filter: &RunFilter, limit: usize) -> Result<Vec<RunRow>>;

    /// A run's decisions, in their order.
    async fn run_decisions(&self, run: RunId) -> Result<Vec<TimelineEntry>>;

    /// How many runs of each version stand at each node, by status.
    async fn standing(&self) -> Result<Vec<Standing>>;

    /// Messages, newest first.
    async fn list_messages(&self, filter: &MessageFilter, limit: usize) -> Result<Vec<MessageRow>>;

    /// One message and its exact source, once it was rendered.
    async fn message(&self, message: MessageId) -> Result<Option<(MessageRow, Option<Vec<u8>>)>>;

    /// Messages sent, by template.
    async fn messages_by_template(&self) -> Result<Vec<(String, u64)>>;

    /// Messages sent on each day (UTC), in order.
    async fn messages_by_day(&self) -> Result<Vec<(jiff::civil::Date, u64)>>;

    /// Totals.
    async fn counts(&self) -> Result<Counts>;

    /// What happened since an instant, in sums.
    async fn activity(&self, since: Timestamp) -> Result<Activity>;

    /// The names of attributes that contacts have, and which types their values have had, for the checker.
    async fn known_attributes(&self) -> Result<Vec<(String, ValueTypes)>>;
}

/// Which contacts to list.
#[derive(Debug, Clone, Default)]
pub struct ContactFilter {
    /// Only this one.
    pub id: Option<ContactId>,
    /// Only members of this segment.
    pub segment: Option<String>,
    /// Only with ids above this one.
    pub after: Option<ContactId>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only this one.
    pub run: Option<RunId>,
    /// Only of the workflow with this name.
    pub workflow: Option<String>,
    /// Only of this contact.
    pub contact: Option<ContactId>,
    /// Only in this state.
    pub status: Option<RunStatus>,
}

/// Which messages to list.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// Only to this contact.
    pub contact: Option<ContactId>,
    /// Only in this state.
    pub status: Option<MessageStatus>,
    /// Only of this template.
    pub template: Option<String>,
}

/// A run as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The version.
    pub version_id: VersionId,
    /// The version's number.
    pub version: i64,
    /// The contact.
    pub contact: ContactId,
    /// The contact's address, else its external id.
    pub contact_name: String,
    /// State.
    pub status: RunStatus,
    /// The id of the step where it stands.
    pub step: String,
    /// When it is due, while active.
    pub due_at: Option<Timestamp>,
    /// When it began.
    pub enrolled_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The last decision's reason.
    pub reason: Option<String>,
    /// The run to which it belongs, if it belongs to another.
    pub parent: Option<RunId>,
    /// Which path of that run it is, if it is one.
    pub path: Option<String>,
}

/// How many runs stand at a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The version.
    pub version: VersionId,
    /// The node; for a run that has ended, where it ended.
    pub node: NodeIndex,
    /// State.
    pub status: RunStatus,
    /// Whether they are paths of other runs.
    pub are_paths: bool,
    /// How many.
    pub runs: u64,
}

/// What happened in a time, in sums; for reports over many contacts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// Decisions by version, node and kind.
    pub decisions: Vec<DecisionCount>,
    /// Runs by version and node.
    pub visits: Vec<VisitCount>,
    /// The most frequent reasons of decisions that are no plain progress, the most frequent first: at most
    /// [`MOST_REASONS`].
    pub reasons: Vec<ReasonCount>,
    /// Assignments by representative, in the order of their keys.
    pub assignments: Vec<AssignmentCount>,
}

/// How many reasons an [`Activity`] has at most.
pub const MOST_REASONS: usize = 2_000;

/// How often something was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionCount {
    /// The version.
    pub version: VersionId,
    /// The node, where one is concerned.
    pub node: Option<NodeIndex>,
    /// How.
    pub kind: DecisionKind,
    /// How many times.
    pub decisions: u64,
}

/// How many runs came by a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitCount {
    /// The version.
    pub version: VersionId,
    /// The node.
    pub node: NodeIndex,
    /// How many runs, each counted once.
    pub runs: u64,
}

/// How often something was decided for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonCount {
    /// The version.
    pub version: VersionId,
    /// The node, where one is concerned.
    pub node: Option<NodeIndex>,
    /// How.
    pub kind: DecisionKind,
    /// Why.
    pub reason: String,
    /// How many times.
    pub decisions: u64,
}

/// What a representative received on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentCount {
    /// Key of the representative.
    pub rep: String,
    /// Name of the representative.
    pub rep_name: String,
    /// The day, UTC.
    pub day: jiff::civil::Date,
    /// How many contacts.
    pub assignments: u64,
}

/// A contact that was handed to a representative.
#[derive(Debug, Clone, PartialEq)]
pub struct Lead {
    /// The contact, with scores.
    pub contact: Contact,
    /// Key of the representative.
    pub rep: String,
    /// Name of the representative.
    pub rep_name: String,
    /// The team for which the assignment was made.
    pub team: Option<String>,
    /// When.
    pub assigned_at: Timestamp,
    /// Why this representative.
    pub because: String,
    /// Where the points come from, the largest first: score, points, reason, how many times.
    pub reasons: Vec<LeadReason>,
}

/// One reason for a lead's score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadReason {
    /// The score's name.
    pub score: String,
    /// Points in total for this reason.
    pub points: i64,
    /// In words.
    pub because: String,
    /// How many times it was given.
    pub times: u64,
}

/// Something that will start a workflow for a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    /// When; none while a run of the contact is before it.
    pub at: Option<Timestamp>,
    /// The workflow's name.
    pub workflow: String,
    /// What it is, for people.
    pub what: String,
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: TimelineWhat,
}

/// What a timeline can hold.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TimelineWhat {
    /// Something happened.
    Event {
        /// Its name.
        name: String,
        /// What else is known.
        properties: Map<String, Value>,
        /// Whether it triggers workflows.
        live: bool,
    },
    /// The engine decided.
    Decision {
        /// The run, unless the contact was not enrolled.
        run: Option<RunId>,
        /// The workflow's name.
        workflow: String,
        /// The step's id, where one is concerned.
        step: Option<String>,
        /// The path of a `parallel` in which the step stands, if it does.
        path: Option<String>,
        /// How.
        kind: DecisionKind,
        /// Why.
        reason: String,
    },
    /// A score changed.
    Score {
        /// Its name.
        score: String,
        /// By how much.
        points: i64,
        /// What it was then.
        total: i64,
        /// Why.
        because: String,
        /// When the step that gave the points took them back, to work the score out anew.
        taken_back: Option<Timestamp>,
        /// The workflow's name.
        workflow: String,
        /// The step's id.
        step: String,
        /// What is left of the points, where they fade and stand ([`TimelineEntry::as_of`]).
        left: Option<i64>,
    },
    /// A message was queued, sent or failed.
    Message {
        /// The message.
        id: MessageId,
        /// Its subject.
        subject: String,
        /// Its template.
        template: String,
        /// Where it stands.
        status: MessageStatus,
        /// The server's words, or why it failed.
        detail: Option<String>,
    },
    /// A representative received the contact.
    Assigned {
        /// Name of the representative.
        rep: String,
        /// The team.
        team: Option<String>,
        /// Why this one.
        because: String,
    },
    /// The contact joined or left a segment.
    Segment {
        /// Its name.
        segment: String,
        /// Joined, or left.
        joined: bool,
    },
    /// The contact answered for a topic.
    Consent {
        /// The topic.
        topic: String,
        /// Given, or withdrawn.
        given: bool,
    },
}

/// Totals of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Contacts.
    pub contacts: u64,
    /// Events that are known: history, and live ones that have arrived.
    pub events: u64,
    /// Live events that have not arrived yet.
    pub pending_events: u64,
    /// Runs by state, in the order of [`RunStatus::ALL`].
    pub runs: Vec<(RunStatus, u64)>,
    /// Messages by state, in the order of [`MessageStatus::ALL`].
    pub messages: Vec<(MessageStatus, u64)>,
    /// Decisions.
    pub decisions: u64,
    /// Contacts with an owner.
    pub leads: u64,
}
