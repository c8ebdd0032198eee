//! A store whose batches fail a few times before they begin.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use dripline_model::{
    Clock, Contact, Digest,
    filter::{Filter, Narrowing},
    id::{ContactId, FiringId, MessageId, RunId, VersionId, WorkflowId},
    score::Scores,
    team::{Representative, Team},
};
use dripline_store::*;
use jiff::Timestamp;
use sqlx::error::{DatabaseError, ErrorKind as SqlKind};

/// A store that answers the next batches with an error of this SQLSTATE.
pub(crate) struct FlakyStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) code: &'static str,
    pub(crate) failures: AtomicU32,
}

/// What PostgreSQL would say.
#[derive(Debug)]
struct Said(&'static str);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the database said {}", self.0)
    }
}

impl std::error::Error for Said {}

impl DatabaseError for Said {
    fn message(&self) -> &str {
        "failed"
    }
    fn code(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.0))
    }
    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }
    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }
    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }
    fn kind(&self) -> SqlKind {
        SqlKind::Other
    }
}

/// Passes verbs on.
macro_rules! pass {
    ($verbs:ident { $($name:ident($($value:ident: $of:ty),*) -> $answer:ty;)* } $($own:item)*) => {
        #[async_trait]
        impl $verbs for FlakyStore {
            $(async fn $name(&self, $($value: $of),*) -> $answer {
                self.store.$name($($value),*).await
            })*
            $($own)*
        }
    };
}

pass! { Scheduling {
    next_due() -> Result<Option<Timestamp>>;
    last_firing(workflow: WorkflowId) -> Result<Option<Timestamp>>;
    begin_firing(new: &NewFiring) -> Result<FiringId>;
    firing(firing: FiringId) -> Result<Option<Firing>>;
    open_firings() -> Result<Vec<Firing>>;
    next_arrival() -> Result<Option<Timestamp>>;
    next_date() -> Result<Option<Timestamp>>;
    changed() -> ();
    retry_runs(run: Option<RunId>, now: Timestamp) -> Result<u64>;
    skip_runs(run: Option<RunId>, now: Timestamp) -> Result<u64>;
    migrate_runs(to: VersionId, moves: &[RunMove], reason: &str, now: Timestamp) -> Result<u64>;
    drain_runs(workflow: WorkflowId, current: VersionId, reason: &str, now: Timestamp) -> Result<u64>;
    cancel_run(run: RunId, reason: &str, now: Timestamp) -> Result<bool>;
}
    fn has_one_writer(&self) -> bool {
        self.store.has_one_writer()
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        let fails = |left: u32| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() {
            let kind = ErrorKind::Database(sqlx::Error::Database(Box::new(Said(self.code))));
            return Err(Error { doing: "begin a batch".into(), kind });
        }
        self.store.begin().await
    }
}

pass! { Segments {
    publish_segments(segments: &[NewSegment<'_>], now: Timestamp) -> Result<SegmentsPublished>;
    segments() -> Result<Vec<StoredSegment>>;
    count_members(segment: &str) -> Result<u64>;
    count_narrowed(filter: &Filter) -> Result<u64>;
    narrowed(filter: &Filter) -> Result<Vec<ContactId>>;
    index_for(rules: &[Narrowing]) -> Result<()>;
    next_calendar_change() -> Result<Option<Timestamp>>;
} }

pass! { Scoring {
    publish_scores(scores: &Scores, now: Timestamp) -> Result<Vec<String>>;
    declared_scores() -> Result<std::sync::Arc<Scores>>;
    standing_points(contacts: &[ContactId]) -> Result<Vec<StandingPoints>>;
    held_points(contact: ContactId) -> Result<Vec<HeldPoints>>;
} }

pass! { Catalog {
    put_teams(reps: &[Representative], teams: &[Team]) -> Result<()>;
    teams() -> Result<Vec<Team>>;
    representatives() -> Result<Vec<Representative>>;
    publish(version: &NewVersion<'_>, now: Timestamp) -> Result<Published>;
    release(release: &Release<'_>, now: Timestamp) -> Result<Released>;
    history(workflow: &str) -> Result<Option<History>>;
    publications(limit: usize) -> Result<Vec<Publication>>;
    retire_all_but(names: &BTreeSet<&str>, now: Timestamp) -> Result<Vec<String>>;
    program(version: VersionId) -> Result<Option<StoredProgram>>;
    current_programs() -> Result<Vec<StoredProgram>>;
    revision() -> Result<i64>;
    any_goals() -> Result<bool>;
    any_experiments() -> Result<bool>;
    pause(workflow: WorkflowId, now: Timestamp) -> Result<bool>;
    resume(workflow: WorkflowId, spread: bool, now: Timestamp) -> Result<bool>;
    pauses() -> Result<Vec<Pause>>;
    plugin(digest: &Digest) -> Result<Option<Vec<u8>>>;
    template(digest: &Digest) -> Result<Option<String>>;
} }

pass! { Ingest {
    begin_import() -> Result<Box<dyn Import>>;
    find_contact(key: &str) -> Result<Option<ContactId>>;
} }

pass! { Outbox {
    claim_messages(claimant: &Claimant, now: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<DueMessage>>;
    next_message_due() -> Result<Option<Timestamp>>;
    mark_sending(claimant: &Claimant, messages: &[Outgoing], now: Timestamp, until: Timestamp) -> Result<()>;
    settle(claimant: &Claimant, results: &[Delivery], now: Timestamp) -> Result<()>;
    recover_sending(rule: UncertainRule, which: Abandoned, now: Timestamp) -> Result<u64>;
    decide(which: &Undecided, decision: Decision, now: Timestamp) -> Result<u64>;
} }

pass! { Reports {
    list_contacts(filter: &ContactFilter, limit: usize) -> Result<Vec<Contact>>;
    timeline(contact: ContactId) -> Result<Vec<TimelineEntry>>;
    coming(contact: ContactId) -> Result<Vec<Coming>>;
    leads(limit: usize) -> Result<Vec<Lead>>;
    activity(since: Timestamp) -> Result<Activity>;
    list_runs(filter: &RunFilter, limit: usize) -> Result<Vec<RunRow>>;
    run_decisions(run: RunId) -> Result<Vec<TimelineEntry>>;
    standing() -> Result<Vec<Standing>>;
    list_messages(filter: &MessageFilter, limit: usize) -> Result<Vec<MessageRow>>;
    message(message: MessageId) -> Result<Option<(MessageRow, Option<Vec<u8>>)>>;
    messages_by_template() -> Result<Vec<(String, u64)>>;
    messages_by_day() -> Result<Vec<(jiff::civil::Date, u64)>>;
    counts() -> Result<Counts>;
    known_attributes() -> Result<Vec<(String, dripline_model::field::ValueTypes)>>;
} }

pass! { Pruning {
    prune(what: Prunable, before: Timestamp, limit: usize) -> Result<Pruned>;
    count_prunable(what: Prunable, before: Timestamp) -> Result<u64>;
} }

pass! { Presence {
    seen(process: &ProcessSeen, clock: &dyn Clock) -> Result<()>;
    gone(claimant: &Claimant) -> Result<()>;
    processes() -> Result<Vec<Process>>;
}
    fn presence_period(&self) -> Option<std::time::Duration> {
        self.store.presence_period()
    }
}

pass! { Health {
    health(clock: &dyn Clock) -> Result<Condition>;
} }
