//! What the logic that both backends share asks of one: sets of rows in, sets of rows out, each a statement or a few.
//!
//! The meaning of a batch (which points stand, who joined, which row means whom) is decided once, in [`crate::logic`];
//! a backend only knows how its database takes and gives many rows at a time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use dripline_model::{Contact, contact::Needs, field::ValueTypes, id::VersionId, score::Scores};

use crate::{HeldBy, error::Raw, versions::Version};

/// One write transaction of a backend. Instants are milliseconds since the epoch, words are ids of the dictionary.
#[async_trait]
pub(crate) trait Sets: Send {
    /// Looks up words, and stores those that are new; [`Sets::word`] then knows them.
    async fn intern(&mut self, words: Vec<&str>) -> Raw<()>;
    /// The id of a word that was interned in this transaction.
    fn word(&self, word: &str) -> Raw<i64>;
    /// What a version is; read once, since versions never change.
    async fn version(&mut self, id: VersionId) -> Raw<Arc<Version>>;

    /// This many new ids for contacts, ascending.
    async fn contact_ids(&mut self, count: usize) -> Raw<Vec<i64>>;
    /// The contacts that have one of these external ids.
    async fn contacts_by_external_id(&mut self, keys: &[&str]) -> Raw<Vec<(String, i64)>>;
    /// The contacts that have one of these addresses.
    async fn contacts_by_email(&mut self, emails: &[&str]) -> Raw<Vec<(String, i64)>>;
    /// The contacts with these distinct ids, in no particular order; one that is gone is left out.
    async fn contacts(&mut self, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>>;
    /// Of these contacts, which are there, the parts beside their attributes.
    async fn contact_parts(&mut self, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>>;
    /// Takes their addresses from contacts that are about to get others, so that none stands twice meanwhile.
    async fn release_emails(&mut self, contacts: &[i64]) -> Raw<()>;
    /// Inserts contacts.
    async fn insert_contacts(&mut self, rows: &[ContactFields<'_>], now_ms: i64) -> Raw<()>;
    /// Writes all fields of known contacts.
    async fn update_contacts(&mut self, rows: &[ContactFields<'_>], now_ms: i64) -> Raw<()>;
    /// Writes the attributes of contacts: JSON objects.
    async fn put_attributes(&mut self, rows: &[(i64, String)], now_ms: i64) -> Raw<()>;
    /// Remembers that contacts have attributes of these names.
    async fn add_attribute_types(&mut self, types: BTreeMap<&str, ValueTypes>) -> Raw<()>;
    /// The attributes whose changes start workflows.
    async fn watched_attributes(&mut self) -> Raw<BTreeSet<String>>;
    /// Says which attributes' changes start a workflow.
    async fn watch_attributes(&mut self, workflow: i64, names: &BTreeSet<&str>) -> Raw<()>;
    /// Records answers: contact, topic, given.
    async fn put_consents(&mut self, rows: &[(i64, i64, bool)], now_ms: i64) -> Raw<()>;
    /// Adds tags that are not there yet: contact, tag.
    async fn add_tags(&mut self, rows: &[(i64, i64)]) -> Raw<()>;
    /// Removes tags: contact, tag.
    async fn remove_tags(&mut self, rows: &[(i64, i64)]) -> Raw<()>;

    /// A plugin's state, locked to the commit.
    async fn plugin_state(&mut self, plugin: &str, key: &str) -> Raw<Option<Vec<u8>>>;
    /// Writes states: plugin, key, value.
    async fn put_plugin_states(&mut self, rows: &[(&str, &str, &[u8])]) -> Raw<()>;

    /// The declared scores, as this process knows them.
    fn declared_scores(&self) -> Arc<Scores>;
    /// The scores of these contacts: contact, score, value, curve as JSON.
    async fn scores(&mut self, contacts: &[i64]) -> Raw<Vec<(i64, i64, i64, Option<String>)>>;
    /// The entries of one step that stand: id, contact, points.
    async fn standing_entries(&mut self, contacts: &[i64], of: StepScore) -> Raw<Vec<(i64, i64, i64)>>;
    /// The same, with when and why they were given; each contact's in the order of their times.
    async fn standing_gifts(&mut self, contacts: &[i64], of: StepScore) -> Raw<Vec<Gift>>;
    /// The entries of a score that stand, from whatever step: contact, points, when; each contact's in the order of their
    /// times.
    async fn gifts_in_order(&mut self, contacts: &[i64], score: i64) -> Raw<Vec<(i64, i64, i64)>>;
    /// Takes entries back: contact, id.
    async fn clear_entries(&mut self, entries: &[(i64, i64)], now_ms: i64) -> Raw<()>;
    /// Writes values: contact, score, value.
    async fn put_scores(&mut self, rows: &[(i64, i64, i64)]) -> Raw<()>;
    /// Writes values with what they follow from.
    async fn put_curves(&mut self, rows: &[CurveRow]) -> Raw<()>;
    /// Counts points that were not given.
    async fn put_holds(&mut self, rows: &[Hold], now_ms: i64) -> Raw<()>;
    /// What the file says of scores, and of which of them contacts are still to be gone through.
    async fn score_definitions(&mut self) -> Raw<Vec<ScoreDefinition>>;
    /// Writes what the file says of a score, and up to which contact its points were worked out anew.
    async fn put_score_definition(
        &mut self,
        score: i64,
        json: Option<&str>,
        last: Option<i64>,
        now_ms: i64,
    ) -> Raw<()>;
    /// Forgets what the file said of a score.
    async fn drop_score_definition(&mut self, score: i64) -> Raw<()>;
    /// Up to `limit` contacts behind `after` that have a score, in the order of their ids.
    async fn scored_after(&mut self, score: i64, after: i64, limit: usize) -> Raw<Vec<i64>>;
    /// Lets rules of segments look at all contacts once more.
    async fn renew_rules(&mut self, segments: &[i64]) -> Raw<()>;
    /// Records points given.
    async fn insert_entries(&mut self, rows: &[ScoreEntry], now_ms: i64) -> Raw<()>;

    /// The ids of segments by name; with `create`, those that are missing are made.
    async fn segments(
        &mut self,
        names: &BTreeSet<&str>,
        create: bool,
        now_ms: i64,
    ) -> Raw<HashMap<String, i64>>;
    /// The memberships of these contacts: contact, segment.
    async fn memberships(&mut self, contacts: &[i64]) -> Raw<Vec<(i64, i64)>>;
    /// Adds memberships: contact, segment.
    async fn join(&mut self, rows: &[(i64, i64)], now_ms: i64) -> Raw<()>;
    /// Removes memberships: contact, segment.
    async fn leave(&mut self, rows: &[(i64, i64)]) -> Raw<()>;

    /// Which of these keys events have already.
    async fn known_event_keys(&mut self, keys: &[&str]) -> Raw<Vec<String>>;
    /// Inserts events.
    async fn insert_events(&mut self, rows: &[EventFields<'_>]) -> Raw<()>;

    /// What of these contacts' past events is asked for: contact, when, properties as JSON; each contact's in the order of
    /// their times.
    async fn past_events(
        &mut self,
        contacts: &[i64],
        asked: &PastEvents<'_>,
    ) -> Raw<Vec<(i64, i64, Option<String>)>>;

    /// What rules of segments and date triggers look at: whether it is a segment, and its definition, or else what the
    /// trigger needs, as JSON.
    async fn watched(&mut self) -> Raw<Vec<(bool, String)>>;
    /// The date triggers of a workflow: id, wording.
    async fn date_triggers_of(&mut self, workflow: i64) -> Raw<Vec<(i64, String)>>;
    /// Adds date triggers of a workflow, which all contacts are looked at for: wording, needs as JSON.
    async fn add_date_triggers(&mut self, workflow: i64, rows: &[(String, String)], now_ms: i64) -> Raw<()>;
    /// Removes date triggers, and what is known of their dates.
    async fn drop_date_triggers(&mut self, triggers: &[i64]) -> Raw<()>;
    /// Makes it the turn of all events that wait for a run of a workflow.
    async fn release_held(&mut self, workflow: i64, now_ms: i64) -> Raw<()>;
    /// Makes it the turn of the first event of each of these contacts that waits for a run of a workflow.
    async fn next_in_line(&mut self, workflow: i64, contacts: &[i64], now_ms: i64) -> Raw<()>;
    /// The segments with rules: id, definition as JSON.
    async fn rules(&mut self) -> Raw<Vec<(i64, String)>>;
    /// Who looks at contacts that change.
    async fn onlookers(&mut self) -> Raw<Onlookers>;
    /// What all files say of segments: id, name, definition as JSON.
    async fn definitions(&mut self) -> Raw<Vec<(i64, String, String)>>;
    /// Writes what a file says of a segment.
    async fn put_definition(&mut self, new: &Definition<'_>, now_ms: i64) -> Raw<()>;
    /// Forgets what a file said of a segment.
    async fn drop_definition(&mut self, segment: i64) -> Raw<()>;
    /// Gives the catalog another revision.
    async fn next_revision(&mut self) -> Raw<()>;
    /// Notes that contacts have to be looked at: contact, when.
    async fn note_changed(&mut self, rows: &[(i64, i64)]) -> Raw<()>;
    /// Sets when contacts have to be looked at again: contact, when, whether it is only by the calendar.
    async fn put_timers(&mut self, rows: &[(i64, i64, bool)]) -> Raw<()>;
    /// Removes these contacts' timers.
    async fn clear_timers(&mut self, contacts: &[i64]) -> Raw<()>;

    /// Makes all representatives inactive that are not written afterwards, and drops all teams.
    async fn clear_teams(&mut self) -> Raw<()>;
    /// Writes representatives: key, name, address; in this order, active.
    async fn put_representatives(&mut self, rows: &[(&str, &str, Option<&str>)]) -> Raw<()>;
    /// Inserts a team with its members: representative, weight.
    async fn insert_team(&mut self, key: &str, name: &str, position: i64, members: &[(i64, i64)]) -> Raw<()>;
    /// The ids of representatives by key. One who is in no file is kept as inactive, so that nothing that names somebody
    /// is lost.
    async fn representatives(&mut self, keys: BTreeSet<&str>) -> Raw<HashMap<String, i64>>;
    /// Records assignments, each of another contact, in this order, and makes the contacts their representatives'.
    async fn assign(&mut self, rows: &[Assignment], now_ms: i64) -> Raw<()>;

    /// Queues messages.
    async fn queue_messages(&mut self, rows: &[NewMessage<'_>], now_ms: i64) -> Raw<()>;

    /// Starts runs that are due now; a twin is skipped. Answers those that were started.
    async fn insert_runs(&mut self, rows: &[NewRun], now_ms: i64) -> Raw<Vec<(i64, NewRun)>>;
    /// Moves runs to where they go on.
    async fn move_runs(&mut self, rows: &[MovedRun]) -> Raw<()>;
    /// Moves runs that wait for something, or did until now.
    async fn move_waiting_runs(&mut self, rows: &[MovedRun]) -> Raw<()>;
    /// Locks contacts to the commit, where others may decide about them meanwhile.
    async fn lock(&mut self, contacts: &[i64]) -> Raw<()>;
    /// Makes the runs of these contacts due now that wait for a condition.
    async fn wake_runs(&mut self, contacts: &[i64], now_ms: i64) -> Raw<()>;
    /// Ends runs.
    async fn end_runs(&mut self, rows: &[EndedRun]) -> Raw<()>;
    /// Records decisions, in this order.
    async fn insert_decisions(&mut self, rows: &[Decision]) -> Raw<()>;
}

/// Which past events are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PastEvents<'a> {
    pub(crate) name: &'a str,
    pub(crate) after_ms: i64,
    pub(crate) until_ms: i64,
    pub(crate) with_properties: bool,
}

/// Who looks at contacts that change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Onlookers {
    /// The definitions of segments with rules, as JSON.
    pub(crate) rules: Vec<String>,
    /// What date triggers need of contacts, as JSON.
    pub(crate) dates: Vec<String>,
    /// Whether any run of anybody's waits for a condition.
    pub(crate) waits: bool,
}

/// What a file says of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Definition<'a> {
    pub(crate) segment: i64,
    /// JSON.
    pub(crate) json: &'a str,
    pub(crate) source: &'a str,
    pub(crate) is_dynamic: bool,
    /// Whether its members are to be worked out anew.
    pub(crate) is_new_rule: bool,
}

/// A contact's own row.
#[derive(Debug, Clone)]
pub(crate) struct ContactFields<'a> {
    pub(crate) id: i64,
    pub(crate) external_id: Option<&'a str>,
    pub(crate) email: Option<&'a str>,
    /// JSON object.
    pub(crate) attributes: String,
    pub(crate) created_ms: i64,
}

/// The part of a score that one step of one workflow gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StepScore {
    pub(crate) score: i64,
    pub(crate) workflow: i64,
    /// Word: the step's id, the same in every version.
    pub(crate) step: i64,
}

/// Points that a turn gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScoreEntry {
    pub(crate) contact: i64,
    pub(crate) of: StepScore,
    pub(crate) points: i64,
    pub(crate) total: i64,
    pub(crate) because: i64,
    pub(crate) run: i64,
    pub(crate) turn: i64,
    /// Taken back in the same batch.
    pub(crate) is_cleared: bool,
}

/// Points that stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gift {
    pub(crate) id: i64,
    pub(crate) contact: i64,
    pub(crate) points: i64,
    pub(crate) at_ms: i64,
    /// Word.
    pub(crate) because: i64,
}

/// A value with what it follows from.
#[derive(Debug, Clone)]
pub(crate) struct CurveRow {
    pub(crate) contact: i64,
    pub(crate) score: i64,
    /// The sum of the entries that stand.
    pub(crate) value: i64,
    /// JSON; none where the score does not fade.
    pub(crate) curve: Option<String>,
    pub(crate) least: Option<i64>,
    pub(crate) most: Option<i64>,
}

impl CurveRow {
    /// The row of a score that does not fade.
    pub(crate) fn plain(contact: i64, score: i64, value: i64) -> Self {
        Self { contact, score, value, curve: None, least: None, most: None }
    }
}

/// Points that bounds kept back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) contact: i64,
    pub(crate) of: StepScore,
    /// Word.
    pub(crate) because: i64,
    pub(crate) by: HeldBy,
    pub(crate) points: i64,
}

/// What the file says of a score.
#[derive(Debug, Clone)]
pub(crate) struct ScoreDefinition {
    pub(crate) score: i64,
    pub(crate) name: String,
    /// None where it says nothing any more.
    pub(crate) json: Option<String>,
    /// The last contact whose points were worked out anew; none where all were.
    pub(crate) last: Option<i64>,
}

/// An event to insert.
#[derive(Debug, Clone)]
pub(crate) struct EventFields<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) contact: i64,
    pub(crate) name: i64,
    pub(crate) at_ms: i64,
    pub(crate) state: EventState,
    /// JSON object; none where there are no properties.
    pub(crate) properties: Option<String>,
}

/// Where an event stands, as its `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventState {
    /// Triggers nothing.
    History = 0,
    /// Arrives at its time and then triggers workflows.
    Pending = 1,
}

/// A contact handed to a representative.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Assignment {
    pub(crate) contact: i64,
    pub(crate) rep: i64,
    pub(crate) team: Option<i64>,
    pub(crate) because: i64,
    pub(crate) run: i64,
    pub(crate) turn: i64,
}

/// A message to queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewMessage<'a> {
    pub(crate) run: i64,
    pub(crate) turn: i64,
    pub(crate) effect: i64,
    pub(crate) contact: i64,
    pub(crate) version: i64,
    pub(crate) node: i64,
    pub(crate) template: i64,
    pub(crate) topic: Option<i64>,
    pub(crate) is_transactional: bool,
    pub(crate) subject: &'a str,
    /// The contact's address, if it was loaded.
    pub(crate) recipient: Option<&'a str>,
}

/// A run to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NewRun {
    pub(crate) workflow: i64,
    pub(crate) version: i64,
    pub(crate) contact: i64,
    pub(crate) event: Option<i64>,
    pub(crate) lane: i64,
}

/// Where a run goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MovedRun {
    pub(crate) run: i64,
    pub(crate) node: i64,
    pub(crate) due_ms: i64,
    pub(crate) turn: i64,
    pub(crate) attempts: i64,
    pub(crate) hops: i64,
    /// When the step was due first, if it was put off.
    pub(crate) first_due_ms: Option<i64>,
    pub(crate) waiting: Option<WaitingRun>,
}

/// What a run waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitingRun {
    /// The code of an [`Awaited`](dripline_model::decision::Awaited).
    pub(crate) what: i64,
    pub(crate) since_ms: i64,
    pub(crate) until_ms: i64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndedRun {
    pub(crate) run: i64,
    pub(crate) node: i64,
    pub(crate) status: i64,
    pub(crate) turn: i64,
    pub(crate) ended_ms: i64,
}

/// A decision to record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decision {
    pub(crate) run: Option<i64>,
    pub(crate) version: i64,
    pub(crate) contact: i64,
    pub(crate) node: Option<i64>,
    pub(crate) turn: i64,
    pub(crate) at_ms: i64,
    pub(crate) kind: i64,
    /// Word.
    pub(crate) reason: i64,
    pub(crate) event: Option<i64>,
}
