//! One batch is one transaction: claim, load, apply, commit.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use dripline_model::{
    Contact, Effect,
    contact::{EventView, Needs},
    decision::{Awaited, DecisionKind, RunStatus},
    id::{ContactId, EventId, FiringId, HeldId, RunId, VersionId, WorkflowId},
    program::NodeIndex,
    score::Curve,
};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    Arrived, Changed, ContactDate, Experiments, HeldEvent, Kin, Membership, NewHeld, Parent, Requests,
    Result, StoredDateTrigger, Timer,
};

/// Verbs of the scheduler.
#[async_trait]
pub trait Scheduling: Send + Sync {
    /// Begins a batch.
    async fn begin(&self) -> Result<Box<dyn Transaction>>;

    /// Whether a batch begins only when the one before it is committed.
    fn has_one_writer(&self) -> bool;

    /// The earliest instant at which an event arrives, or one that was held waits no more, a run is due, a firing began that
    /// is not done, or a segment changes, or a date of a contact comes, otherwise than by the calendar.
    async fn next_due(&self) -> Result<Option<Timestamp>>;

    /// The time of the latest firing of the workflow's schedules.
    async fn last_firing(&self, workflow: WorkflowId) -> Result<Option<Timestamp>>;

    /// Begins a firing, unless there is one already: of a schedule for the same time, or by hand for the same contacts
    /// and not done yet. Answers which it is.
    async fn begin_firing(&self, new: &NewFiring) -> Result<FiringId>;

    /// The firing as it stands, whoever is at it.
    async fn firing(&self, firing: FiringId) -> Result<Option<Firing>>;

    /// The firings that are not done, in the order of their beginning.
    async fn open_firings(&self) -> Result<Vec<Firing>>;

    /// The earliest instant at which a live event arrives that has not arrived yet.
    async fn next_arrival(&self) -> Result<Option<Timestamp>>;

    /// The earliest instant at which a date of a contact comes that starts a workflow, the calendar's included.
    async fn next_date(&self) -> Result<Option<Timestamp>>;

    /// Resolves when something was written to the store, by this process or another, since the last call.
    async fn changed(&self);

    /// Sets failed runs (of `run`, or all) going again at `now`, from the step that failed. Answers how many.
    async fn retry_runs(&self, run: Option<RunId>, now: Timestamp) -> Result<u64>;

    /// Lets failed runs (of `run`, or all) go on at `now` with the step below the one that failed; where there is none they
    /// are completed. Answers how many.
    async fn skip_runs(&self, run: Option<RunId>, now: Timestamp) -> Result<u64>;

    /// Moves the active runs that stand at these steps to others, of the version `to` of the same workflow, in one
    /// transaction; what they wait for stays. Answers how many.
    async fn migrate_runs(
        &self,
        to: VersionId,
        moves: &[RunMove],
        reason: &str,
        now: Timestamp,
    ) -> Result<u64>;

    /// Ends the active runs of a workflow that stand on other versions than `current`. Answers how many.
    async fn drain_runs(
        &self,
        workflow: WorkflowId,
        current: VersionId,
        reason: &str,
        now: Timestamp,
    ) -> Result<u64>;

    /// Ends an active run. Answers whether there was one.
    async fn cancel_run(&self, run: RunId, reason: &str, now: Timestamp) -> Result<bool>;
}

/// One batch; dropped without [`Transaction::commit`], it never was.
#[async_trait]
pub trait Transaction: Experiments + Kin + Requests + Send {
    /// Up to `limit` live events that have arrived by `now`, in the order of their times, locked to the commit.
    async fn claim_events(&mut self, now: Timestamp, limit: usize) -> Result<Vec<ClaimedEvent>>;

    /// Marks the claimed events as dealt with.
    async fn finish_events(&mut self, events: &[EventId]) -> Result<()>;

    /// What there is to do at `now`, at one look.
    async fn look(&mut self, now: Timestamp) -> Result<Look> {
        let arrived = self.arrived(now).await?;
        Ok(Look {
            firings: !self.open_firings().await?.is_empty(),
            workflows: self.due_workflows(now).await?,
            arrivals: arrived.events,
            held: arrived.held,
            segments: self.has_segment_work(now).await?,
        })
    }

    /// Whether a live event has arrived by `now` that is not dealt with yet, and whether one that was held waits no more.
    async fn arrived(&mut self, now: Timestamp) -> Result<Arrived>;

    /// What a workflow holds of these contacts, in the order in which it came.
    async fn held(&mut self, workflow: WorkflowId, contacts: &[ContactId]) -> Result<Vec<HeldEvent>>;

    /// Up to `limit` held events that wait no more by `now`, the longest due first, with their contacts locked to the
    /// commit.
    async fn claim_held(&mut self, now: Timestamp, limit: usize) -> Result<Vec<HeldEvent>>;

    /// Holds events of contacts that are locked.
    async fn hold(&mut self, events: &[NewHeld]) -> Result<()>;

    /// Holds these no longer.
    async fn let_go(&mut self, held: &[HeldId]) -> Result<()>;

    /// Lets these, whose turn it was, wait for a run of their contact once more.
    async fn wait_again(&mut self, held: &[HeldId]) -> Result<()>;

    /// Makes it the turn, at `now`, of the first event of each of these contacts that waits for a run of the workflow.
    async fn next_in_line(
        &mut self,
        workflow: WorkflowId,
        contacts: &[ContactId],
        now: Timestamp,
    ) -> Result<()>;

    /// The workflows that have a run due at `now`, retired ones too, in the order of their ids. It looks at one run of
    /// each workflow, however many are due.
    async fn due_workflows(&mut self, now: Timestamp) -> Result<Vec<WorkflowId>>;

    /// Up to `limit` active runs of the workflow that are due at `now`: the longest due first, of one moment in contact
    /// order; locked to the commit.
    async fn claim_runs(
        &mut self,
        workflow: WorkflowId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ClaimedRun>>;

    /// Locks the contacts to the commit, so that nobody else decides about them meanwhile. Call it before
    /// [`Transaction::latest_runs`] for contacts whose events were not claimed here.
    async fn lock_contacts(&mut self, ids: &[ContactId]) -> Result<()>;

    /// The contacts, in the order of `ids`; one that is gone is left out. An id may stand there more than once. Of past
    /// events they have those up to `now`.
    async fn load_contacts(
        &mut self,
        ids: &[ContactId],
        needs: &Needs,
        now: Timestamp,
    ) -> Result<Vec<Contact>>;

    /// Of these contacts, which are there, only the parts beside their attributes: scores, tags, consents, segments, owner.
    /// In no particular order; `ids` has each once. Scores that fade are as they were when they last changed.
    async fn load_parts(&mut self, ids: &[ContactId], needs: &Needs) -> Result<Vec<Contact>>;

    /// The run of each of these contacts in a workflow that began last, where there is one.
    async fn latest_runs(
        &mut self,
        workflow: WorkflowId,
        contacts: &[ContactId],
    ) -> Result<BTreeMap<ContactId, LatestRun>>;

    /// The active runs of these contacts, in whichever workflow, due or not.
    async fn active_runs(&mut self, contacts: &[ContactId]) -> Result<Vec<ActiveRun>>;

    /// The emails to these contacts that were queued after `since`, in the order of the contacts and then of their times,
    /// except those that failed or were dropped.
    async fn mailed(&mut self, contacts: &[ContactId], since: Timestamp) -> Result<Vec<Mailed>>;

    /// Of the active runs of these contacts those that stand at a `wait_for`. What no run waits for costs one look into
    /// an index for each contact.
    async fn waiting_runs(&mut self, contacts: &[ContactId]) -> Result<Vec<ClaimedRun>>;

    /// Of these contacts those for whom an event of this name has arrived by `now` that is not dealt with yet; with the
    /// times of the events.
    async fn pending_events(
        &mut self,
        contacts: &[ContactId],
        name: &str,
        now: Timestamp,
    ) -> Result<Vec<(ContactId, Timestamp)>>;

    /// The events of this name that the contacts had since `since`, live ones that wait for their turn left out.
    async fn past_events(
        &mut self,
        contacts: &[ContactId],
        name: &str,
        since: Timestamp,
    ) -> Result<Vec<ClaimedEvent>>;

    /// Makes live events of contacts that are locked, in this order: they arrive at `now`.
    async fn emit(&mut self, events: &[NewEvent], now: Timestamp) -> Result<()>;

    /// Leaves runs that wait as they are, to be looked at again when they are due. It is no turn, and nothing is recorded.
    async fn put_back(&mut self, runs: &[(ClaimedRun, Timestamp)]) -> Result<()>;

    /// Up to `limit` contacts with ids above `after`, in their order: all, or the members of a segment.
    async fn contacts_after(
        &mut self,
        segment: Option<&str>,
        after: ContactId,
        limit: usize,
    ) -> Result<Vec<ContactId>>;

    /// Starts runs at node 0 and records a decision for each. A twin (same workflow, contact and event) is skipped.
    async fn enroll(&mut self, enrolments: &[Enrolment], now: Timestamp) -> Result<()>;

    /// Records decisions that belong to no run: who was not enrolled, or is not yet, and why.
    async fn refuse(&mut self, refusals: &[Refusal], now: Timestamp) -> Result<()>;

    /// A plugin's state cell.
    async fn state(&mut self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>>;

    /// Writes a plugin's state cell, at the latest at the commit.
    fn put_state(&mut self, plugin: &str, key: &str, value: &[u8]);

    /// Applies what the turns of one batch want, moves their runs on, and records their decisions, set by set. Answers the
    /// scores that changed. What is not read again may be written behind: what fails of it fails a later call, at the
    /// latest the commit.
    async fn apply(&mut self, turns: &[AppliedTurn], now: Timestamp) -> Result<Vec<ScoreValue>>;

    /// The firings that are not done, in the order of their beginning.
    async fn open_firings(&mut self) -> Result<Vec<Firing>>;

    /// How far the firing has come, locked to the commit. `None` where another process is at it right now.
    async fn firing(&mut self, firing: FiringId) -> Result<Option<Firing>>;

    /// Records how far a firing has come.
    async fn advance_firing(&mut self, firing: FiringId, progress: &FiringProgress) -> Result<()>;

    /// Whether there are contacts that rules of segments have to look at by `now`.
    async fn has_segment_work(&mut self, now: Timestamp) -> Result<bool>;

    /// Up to `limit` contacts that have changed, or whose time has come, locked to the commit; not noted any more. A
    /// contact that changed more than once stands there once, with the first of the moments.
    async fn claim_changed(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Changed>>;

    /// The date triggers of all workflows.
    async fn date_triggers(&mut self) -> Result<Vec<StoredDateTrigger>>;

    /// What is known of the dates of these contacts.
    async fn contact_dates(&mut self, contacts: &[ContactId]) -> Result<Vec<ContactDate>>;

    /// Writes what is known of dates.
    async fn put_contact_dates(&mut self, dates: &[ContactDate]) -> Result<()>;

    /// The last contact that was looked at for rules and date triggers that are new, locked to the commit; `None` where all
    /// were, or where another process is at it right now.
    async fn unfinished_rules(&mut self) -> Result<Option<ContactId>>;

    /// Records that for what is new the contacts after `from` were looked at, up to `to`, and whether these were all.
    async fn advance_rules(&mut self, from: ContactId, to: ContactId, done: bool) -> Result<()>;

    /// Applies what rules say of contacts, with an event for each that joins or leaves, and when to look at them again.
    async fn settle_segments(
        &mut self,
        memberships: &[Membership<'_>],
        timers: &[Timer],
        now: Timestamp,
    ) -> Result<()>;

    /// Whether somebody waits for the end of this transaction who should not: an import, or events that have come since it
    /// began.
    fn is_wanted(&self) -> bool;

    /// Keeps everything.
    async fn commit(self: Box<Self>) -> Result<()>;
}

/// What there is to do at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether firings are not done ([`Transaction::open_firings`]).
    pub firings: bool,
    /// The workflows with due runs ([`Transaction::due_workflows`]).
    pub workflows: Vec<WorkflowId>,
    /// Whether events have arrived ([`Transaction::arrived`]).
    pub arrivals: bool,
    /// Whether events that were held wait no more ([`Transaction::arrived`]).
    pub held: bool,
    /// Whether rules of segments have contacts to look at ([`Transaction::has_segment_work`]).
    pub segments: bool,
}

/// A live event that has arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedEvent {
    /// The event.
    pub id: EventId,
    /// Whose.
    pub contact: ContactId,
    /// Name, time and properties.
    pub event: EventView,
}

/// An event that Dripline itself makes.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Whose.
    pub contact: ContactId,
    /// `workflow.ended`
    pub name: String,
    /// What else there is to say.
    pub properties: Map<String, Value>,
}

/// A run that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedRun {
    /// The run.
    pub run: RunId,
    /// Its contact.
    pub contact: ContactId,
    /// Its workflow.
    pub workflow: WorkflowId,
    /// The version that it started on.
    pub version: VersionId,
    /// Where it stands.
    pub node: NodeIndex,
    /// Turns that it has had.
    pub turn: i64,
    /// Tries of this turn that failed.
    pub attempts: i64,
    /// Turns since it last waited.
    pub hops: i64,
    /// When the step where it stands was due first, however often it was put off since.
    pub due: Timestamp,
    /// What it waits for, while it stands at a `wait_for` to which it has come, or waits for other runs.
    pub waiting: Option<Waiting>,
    /// To which run it belongs, if it is a part of another, or was called by one that waits for it.
    pub parent: Option<Parent>,
}

impl ClaimedRun {
    /// Whether it waits for other runs.
    pub fn waits_for_runs(&self) -> bool {
        self.waiting.is_some_and(|waiting| waiting.what == Awaited::Runs)
    }

    /// Whether it is a path of another run.
    pub fn is_path(&self) -> bool {
        self.parent.is_some_and(|parent| parent.is_path)
    }
}

/// A run that is on its way, due or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveRun {
    /// The run.
    pub run: ClaimedRun,
    /// When it goes on.
    pub due_at: Timestamp,
    /// When it began.
    pub enrolled_at: Timestamp,
}

/// An email that a contact was sent, or soon will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mailed {
    /// To whom.
    pub contact: ContactId,
    /// When its step queued it.
    pub at: Timestamp,
    /// Whether it answers something that the contact did.
    pub transactional: bool,
}

/// A run's wait for something to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// For what.
    pub what: Awaited,
    /// When it came to the step.
    pub since: Timestamp,
    /// The last moment that counts; after it the wait is in vain.
    pub until: Timestamp,
}

/// The run that a contact had last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestRun {
    /// The run.
    pub run: RunId,
    /// When it began.
    pub enrolled_at: Timestamp,
    /// Whether this one, or an earlier one, is on its way.
    pub is_active: bool,
}

/// A run to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The workflow.
    pub workflow: WorkflowId,
    /// The version to start on.
    pub version: VersionId,
    /// Who.
    pub contact: ContactId,
    /// What triggered it.
    pub event: Option<EventId>,
    /// Nobody has two active runs in one lane of a workflow; 0 where nobody may have two at all.
    pub lane: i64,
    /// Why, for people.
    pub reason: String,
}

/// A contact that was not enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The workflow.
    pub workflow: WorkflowId,
    /// The version that refused.
    pub version: VersionId,
    /// Who.
    pub contact: ContactId,
    /// What would have triggered it.
    pub event: Option<EventId>,
    /// Whether it may trigger a run later.
    pub waits: bool,
    /// Why not, for people.
    pub reason: String,
}

/// What became of one turn.
#[derive(Debug, Clone, PartialEq)]
pub struct AppliedTurn {
    /// The run as it was claimed, or as the turn before left it.
    pub run: ClaimedRun,
    /// What happens to the contact and the outbox, in order; already filtered by grants, consent and the like.
    pub effects: Vec<Arc<Effect>>,
    /// Why the turn ended as it did.
    pub decision: DecisionKind,
    /// For people.
    pub reason: String,
    /// What becomes of the run.
    pub advance: Advance,
}

/// What a contact's score is now.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreValue {
    /// Whose.
    pub contact: ContactId,
    /// The score's name.
    pub score: Arc<str>,
    /// Its value.
    pub value: i64,
    /// What that follows from, where it fades.
    pub curve: Option<Curve>,
}

impl AppliedTurn {
    /// Whether the turn changed something of its contact that a condition may look at.
    pub fn changes_contact(&self) -> bool {
        !matches!(self.advance, Advance::Retry { .. } | Advance::Hold { .. })
            && self.effects.iter().any(|effect| !matches!(**effect, Effect::SendEmail(_)))
    }
}

/// What becomes of a run after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// It stands at `node`, due at `due`.
    To {
        /// The next node.
        node: NodeIndex,
        /// When it goes on there.
        due: Timestamp,
        /// Whether it waited, which sets its hops to 0.
        waited: bool,
    },
    /// It stays where it is and waits for something to happen; looked at again at `due`, or before.
    Wait {
        /// For what.
        waiting: Waiting,
        /// When it is looked at without anything having happened.
        due: Timestamp,
    },
    /// It stays where it is and tries the turn again at `due`; `attempts` rises.
    Retry {
        /// When.
        due: Timestamp,
    },
    /// It stays where it is and comes to the same step again at `due`, as often as it takes: nothing was tried.
    Hold {
        /// When.
        due: Timestamp,
    },
    /// It has ended. Of a path of another run only the path has.
    End(RunStatus),
    /// It has ended wherever it stood, and whatever other paths of it are on their way.
    Leave(RunStatus),
}

impl Advance {
    /// How the run has ended, if it has.
    pub fn ended(&self) -> Option<RunStatus> {
        match self {
            Self::End(status) | Self::Leave(status) => Some(*status),
            Self::To { .. } | Self::Wait { .. } | Self::Retry { .. } | Self::Hold { .. } => None,
        }
    }
}

/// Where runs are moved from one version of a workflow to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunMove {
    /// The version on which they stand.
    pub from: VersionId,
    /// Where.
    pub node: NodeIndex,
    /// Where they shall stand in the other.
    pub to: NodeIndex,
}

/// A firing to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFiring {
    /// The workflow.
    pub workflow: WorkflowId,
    /// Who fires it.
    pub cause: FiringCause,
    /// The time for which a schedule fires, or at which a person asked.
    pub at: Timestamp,
    /// Only the members of this segment; a segment that is not there has none.
    pub segment: Option<String>,
}

/// Who fires a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FiringCause {
    /// One of its schedules.
    Schedule,
    /// A person, who is told of everybody that was not admitted.
    Hand,
}

/// A firing: a workflow is offered to everybody, or to a segment, slice by slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// Its id.
    pub id: FiringId,
    /// What began it.
    pub new: NewFiring,
    /// How many contacts there were to look at when it began.
    pub total: u64,
    /// How far it has come.
    pub progress: FiringProgress,
}

/// How far a firing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FiringProgress {
    /// The last contact that was looked at.
    pub last: ContactId,
    /// How many were looked at.
    pub seen: u64,
    /// How many of them entered.
    pub enrolled: u64,
    /// Whether all were looked at.
    pub done: bool,
}
