//! What the reading side asks of a backend: the rows from which [`crate::logic`] puts lists, timelines and sums together.

use std::sync::Arc;

use async_trait::async_trait;
use dripline_model::{Contact, contact::Needs, id::VersionId, score::Scores};
use sqlx::FromRow;

use crate::{ContactFilter, MessageFilter, Prunable, RunFilter, error::Raw, versions::Version};

/// A connection that reads. Instants are milliseconds since the epoch; limits are numbers of rows.
#[async_trait]
pub(crate) trait Answers: Send {
    /// What a version is; read once, since versions never change.
    async fn version(&mut self, id: VersionId) -> Raw<Arc<Version>>;
    /// The contacts with these distinct ids, in no particular order; one that is gone is left out.
    async fn contacts(&mut self, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>>;
    /// The contact with this id, else with this external id, else with this address.
    async fn find_contact(&mut self, id: Option<i64>, key: &str, email: &str) -> Raw<Option<i64>>;
    /// The ids of the contacts that a filter lets through, ascending.
    async fn contact_ids(&mut self, filter: &ContactFilter, limit: i64) -> Raw<Vec<i64>>;
    /// Runs, newest first.
    async fn runs(&mut self, filter: &RunFilter, limit: i64) -> Raw<Vec<RunFields>>;
    /// Run, and with what it was called, as JSON.
    async fn inputs_of(&mut self, runs: &[i64]) -> Raw<Vec<(i64, String)>>;
    /// Version, node, status, whether they are paths of others, and how many runs.
    async fn standing(&mut self) -> Raw<Vec<(i64, i64, i64, bool, i64)>>;
    /// Messages, newest first; with an id only that one.
    async fn messages(
        &mut self,
        filter: &MessageFilter,
        id: Option<i64>,
        limit: i64,
    ) -> Raw<Vec<MessageFields>>;
    /// The exact source of a message.
    async fn message_source(&mut self, message: i64) -> Raw<Option<Vec<u8>>>;
    /// Template, and how many messages were sent.
    async fn sent_by_template(&mut self) -> Raw<Vec<(String, i64)>>;
    /// Whole days since the epoch, and how many messages were sent.
    async fn sent_by_day(&mut self) -> Raw<Vec<(i64, i64)>>;
    /// How many rows there are that are older than an instant and may go.
    async fn count_old(&mut self, what: Prunable, before: i64) -> Raw<i64>;
    /// Contacts with an owner, by representative, the newest assignment first.
    async fn leads(&mut self, limit: i64) -> Raw<Vec<LeadFields>>;
    /// Contact, score, points, reason, times; the largest first for each contact.
    async fn lead_reasons(&mut self, contacts: &[i64]) -> Raw<Vec<(i64, String, i64, String, i64)>>;
    /// Contacts, events, events that wait, decisions, owners.
    async fn totals(&mut self) -> Raw<(i64, i64, i64, i64, i64)>;
    /// Status, and how many runs that are no paths of others.
    async fn runs_by_status(&mut self) -> Raw<Vec<(i64, i64)>>;
    /// Status, and how many messages.
    async fn messages_by_status(&mut self) -> Raw<Vec<(i64, i64)>>;
    /// All segments, by name.
    async fn segments(&mut self) -> Raw<Vec<SegmentFields>>;
    /// How many members a segment has.
    async fn count_members(&mut self, segment: &str) -> Raw<i64>;
    /// When the calendar next changes a membership.
    async fn next_calendar_change(&mut self) -> Raw<Option<i64>>;
    /// Names of attributes in their order, and the types that their values had.
    async fn attribute_types(&mut self) -> Raw<Vec<(String, i64)>>;

    /// Since an instant: version, node, kind, how many decisions.
    async fn decision_counts(&mut self, since: i64) -> Raw<Vec<(i64, Option<i64>, i64, i64)>>;
    /// Since an instant: version, node, how many runs.
    async fn visit_counts(&mut self, since: i64) -> Raw<Vec<(i64, i64, i64)>>;
    /// Since an instant: version, node, kind, reason, how many decisions, of all kinds but these three; the most
    /// frequent first.
    async fn reason_counts(
        &mut self,
        since: i64,
        without: [i64; 3],
        limit: i64,
    ) -> Raw<Vec<(i64, Option<i64>, i64, String, i64)>>;
    /// Since an instant: representative's key and name, whole days since the epoch, how many assignments.
    async fn assignment_counts(&mut self, since: i64) -> Raw<Vec<(String, String, i64, i64)>>;

    /// What happened to a contact, except live events that wait for their time; a membership changes at once.
    async fn events(&mut self, contact: i64) -> Raw<Vec<EventLine>>;
    /// What was decided about a contact.
    async fn decisions(&mut self, contact: i64) -> Raw<Vec<DecisionLine>>;
    /// Of a contact's runs those that belong to others: run, to which.
    async fn parents(&mut self, contact: i64) -> Raw<Vec<(i64, i64)>>;
    /// What was decided about a run, in order.
    async fn run_decisions(&mut self, run: i64) -> Raw<Vec<DecisionLine>>;
    /// The declared scores, as this process knows them.
    fn declared_scores(&self) -> Arc<Scores>;
    /// The declared scores as they are stored: name, definition as JSON.
    async fn score_definitions(&mut self) -> Raw<Vec<(String, String)>>;
    /// What bounds kept back of a contact's points.
    async fn score_holds(&mut self, contact: i64) -> Raw<Vec<HoldLine>>;
    /// Points that a contact got.
    async fn score_entries(&mut self, contact: i64) -> Raw<Vec<ScoreLine>>;
    /// Messages to a contact.
    async fn messages_to(&mut self, contact: i64) -> Raw<Vec<MessageLine>>;
    /// Who received a contact.
    async fn assignments(&mut self, contact: i64) -> Raw<Vec<AssignmentLine>>;
    /// The dates of a contact that come next: workflow, when, date, which trigger.
    async fn coming_dates(&mut self, contact: i64) -> Raw<Vec<(String, i64, String, String)>>;
    /// The events of a contact that wait: workflow, when it is their turn, name, when they happened.
    async fn held_events(&mut self, contact: i64) -> Raw<Vec<(String, Option<i64>, String, i64)>>;
    /// What a contact answered: topic's id, when, topic, given.
    async fn consents(&mut self, contact: i64) -> Raw<Vec<(i64, i64, String, bool)>>;
}

/// Points that bounds kept back, as stored.
#[derive(Debug, FromRow)]
pub(crate) struct HoldLine {
    pub(crate) score: String,
    pub(crate) workflow: String,
    pub(crate) step: String,
    pub(crate) because: String,
    pub(crate) held_by: i64,
    pub(crate) times: i64,
    pub(crate) points: i64,
    pub(crate) last_at: i64,
}

/// A segment as stored.
#[derive(Debug, FromRow)]
pub(crate) struct SegmentFields {
    pub(crate) name: String,
    pub(crate) definition: Option<String>,
    pub(crate) published_at: Option<i64>,
    pub(crate) last: Option<i64>,
    pub(crate) done: Option<bool>,
    pub(crate) members: i64,
}

/// A run as stored.
#[derive(Debug, FromRow)]
pub(crate) struct RunFields {
    pub(crate) id: i64,
    pub(crate) version_id: i64,
    pub(crate) contact_id: i64,
    pub(crate) contact_name: String,
    pub(crate) node: i64,
    pub(crate) status: i64,
    pub(crate) due_at: Option<i64>,
    pub(crate) enrolled_at: i64,
    pub(crate) ended_at: Option<i64>,
    pub(crate) reason: Option<String>,
    pub(crate) parent_id: Option<i64>,
    pub(crate) path: Option<String>,
}

/// A message as stored.
#[derive(Debug, FromRow)]
pub(crate) struct MessageFields {
    pub(crate) id: i64,
    pub(crate) run_id: i64,
    pub(crate) contact_id: i64,
    pub(crate) version_id: i64,
    pub(crate) node: i64,
    pub(crate) message_id: Option<String>,
    pub(crate) recipient: String,
    pub(crate) template: String,
    pub(crate) subject: String,
    pub(crate) status: i64,
    pub(crate) attempts: i64,
    pub(crate) queued_at: i64,
    pub(crate) due_at: Option<i64>,
    pub(crate) sent_at: Option<i64>,
    pub(crate) detail: Option<String>,
}

/// A contact with its owner.
#[derive(Debug, FromRow)]
pub(crate) struct LeadFields {
    pub(crate) contact_id: i64,
    pub(crate) rep: String,
    pub(crate) rep_name: String,
    pub(crate) team: Option<String>,
    pub(crate) at: i64,
    pub(crate) because: String,
}

/// An event of a timeline.
#[derive(Debug, FromRow)]
pub(crate) struct EventLine {
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) name: String,
    /// JSON object.
    pub(crate) properties: Option<String>,
    pub(crate) state: i64,
}

/// A decision of a timeline.
#[derive(Debug, FromRow)]
pub(crate) struct DecisionLine {
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) run_id: Option<i64>,
    pub(crate) turn: i64,
    pub(crate) version_id: i64,
    pub(crate) node: Option<i64>,
    pub(crate) kind: i64,
    pub(crate) reason: String,
}

/// Points of a timeline.
#[derive(Debug, FromRow)]
pub(crate) struct ScoreLine {
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) run_id: i64,
    pub(crate) turn: i64,
    pub(crate) score: String,
    pub(crate) points: i64,
    pub(crate) total: i64,
    pub(crate) because: String,
    pub(crate) cleared_at: Option<i64>,
    pub(crate) workflow: String,
    pub(crate) step: String,
}

/// A message of a timeline.
#[derive(Debug, FromRow)]
pub(crate) struct MessageLine {
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) run_id: i64,
    pub(crate) turn: i64,
    pub(crate) subject: String,
    pub(crate) template: String,
    pub(crate) status: i64,
    pub(crate) detail: Option<String>,
}

/// An assignment of a timeline.
#[derive(Debug, FromRow)]
pub(crate) struct AssignmentLine {
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) run_id: i64,
    pub(crate) turn: i64,
    pub(crate) rep: String,
    pub(crate) team: Option<String>,
    pub(crate) because: String,
}
