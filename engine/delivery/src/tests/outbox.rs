//! An outbox in memory that insists on the order of things.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use dripline_model::{
    Contact, Digest, DrivenClock,
    id::{ContactId, MessageId, RunId, VersionId, WorkflowId},
    message::MessageStatus,
    team::{Representative, Team},
};
use dripline_store::{
    Abandoned, Catalog, Claimant, Decision, Delivery, DeliveryResult, DueMessage, Error, ErrorKind, History,
    NewVersion, OnUncertain, Outbox, Outgoing, Pause, Publication, Published, Release, Released, Result,
    StoredProgram, UncertainRule, Undecided,
};
use jiff::Timestamp;
use serde_json::Value;

/// What the outbox holds of a message.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) message: DueMessage,
    pub(crate) status: MessageStatus,
    pub(crate) due: Timestamp,
    pub(crate) claimant: Option<Claimant>,
    pub(crate) lease_until: Timestamp,
    pub(crate) sent_at: Option<Timestamp>,
    pub(crate) outgoing: Option<Outgoing>,
    pub(crate) detail: String,
}

pub(crate) struct MemoryOutbox {
    /// What the deliverers over this outbox tell the time by.
    pub(crate) clock: Arc<DrivenClock>,
    rows: Mutex<BTreeMap<MessageId, Row>>,
    templates: Mutex<BTreeMap<Digest, String>>,
    commits: Mutex<usize>,
    /// Whether messages count as sent that nobody sent.
    pub(crate) rehearses: AtomicBool,
}

/// When every message of the tests is queued.
pub(crate) fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A message to `ada-ID@example.com`, queued at noon.
pub(crate) fn message(id: i64) -> DueMessage {
    let mut contact = Contact::new(ContactId(id));
    contact.attributes.insert("first_name".into(), Value::from("Ada"));
    contact.consents.insert("email".into(), true);
    contact.attributes.insert("last_name".into(), Value::from("Lovelace"));
    DueMessage {
        id: MessageId(id),
        key: format!("{id}-0-0"),
        workflow: "welcome".into(),
        step: "step-1".into(),
        run: RunId(id),
        contact,
        template: "welcome".into(),
        templates: Arc::default(),
        subject: "Welcome, Ada".into(),
        to: format!("ada-{id}@example.com"),
        topic: Some("news".into()),
        transactional: false,
        attempts: 0,
        queued_at: noon(),
    }
}

impl MemoryOutbox {
    /// An outbox with `count` messages that share these templates.
    pub(crate) fn with(count: i64, templates: &[(&str, &str)]) -> Arc<Self> {
        let outbox = Self {
            clock: Arc::new(DrivenClock::starting_at(noon())),
            rows: Mutex::default(),
            templates: Mutex::default(),
            commits: Mutex::default(),
            rehearses: AtomicBool::default(),
        };
        let mut digests = BTreeMap::new();
        for (path, source) in templates {
            let digest = Digest::of(source.as_bytes());
            digests.insert((*path).to_owned(), digest.clone());
            outbox.templates.lock().unwrap().insert(digest, (*source).to_owned());
        }
        let digests = Arc::new(digests);
        for id in 1..=count {
            outbox.queue(DueMessage { templates: Arc::clone(&digests), ..message(id) });
        }
        Arc::new(outbox)
    }

    pub(crate) fn queue(&self, message: DueMessage) {
        let row = Row {
            due: message.queued_at,
            status: MessageStatus::Queued,
            claimant: None,
            lease_until: noon(),
            sent_at: None,
            outgoing: None,
            detail: String::new(),
            message,
        };
        self.rows.lock().unwrap().insert(row.message.id, row);
    }

    pub(crate) fn change(&self, id: i64, change: impl FnOnce(&mut DueMessage)) {
        change(&mut self.rows.lock().unwrap().get_mut(&MessageId(id)).unwrap().message);
    }

    pub(crate) fn row(&self, id: i64) -> Row {
        self.rows.lock().unwrap()[&MessageId(id)].clone()
    }

    /// How many messages stand so.
    pub(crate) fn count(&self, status: MessageStatus) -> usize {
        self.rows.lock().unwrap().values().filter(|row| row.status == status).count()
    }

    /// What a store does with leases that have ended, as another process asks for it.
    pub(crate) fn recover(&self, rule: UncertainRule, which: Abandoned, now: Timestamp) -> u64 {
        let mut recovered = 0;
        for row in self.rows.lock().unwrap().values_mut() {
            let ended = which == Abandoned::All || row.lease_until <= now;
            if row.status == MessageStatus::Sending && ended {
                recovered += 1;
                row.message.attempts += 1;
                match rule.of(row.message.transactional) {
                    OnUncertain::Hold => row.status = MessageStatus::Uncertain,
                    OnUncertain::Resend => {
                        (row.status, row.due, row.claimant) = (MessageStatus::Queued, now, None);
                    }
                }
            }
        }
        recovered
    }

    /// How many writes there were.
    pub(crate) fn commits(&self) -> usize {
        *self.commits.lock().unwrap()
    }
}

#[async_trait]
impl Outbox for MemoryOutbox {
    async fn claim_messages(
        &self,
        claimant: &Claimant,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueMessage>> {
        let mut rows = self.rows.lock().unwrap();
        let due = rows.values_mut().filter(|row| row.status == MessageStatus::Queued && row.due <= now);
        let claimed = due.take(limit).map(|row| {
            (row.due, row.claimant) = (until, Some(claimant.clone()));
            row.message.clone()
        });
        let claimed: Vec<DueMessage> = claimed.collect();
        *self.commits.lock().unwrap() += usize::from(!claimed.is_empty());
        Ok(claimed)
    }

    async fn next_message_due(&self) -> Result<Option<Timestamp>> {
        let rows = self.rows.lock().unwrap();
        let next = rows.values().filter_map(|row| match row.status {
            MessageStatus::Queued => Some(row.due),
            MessageStatus::Sending => Some(row.lease_until),
            _ => None,
        });
        Ok(next.min())
    }

    async fn mark_sending(
        &self,
        claimant: &Claimant,
        messages: &[Outgoing],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<()> {
        assert!(!messages.is_empty(), "a commit for nothing");
        assert!(until > now, "a lease of no time");
        let mut rows = self.rows.lock().unwrap();
        let is_ours = |message: &&Outgoing| {
            let row = &rows[&message.id];
            row.status == MessageStatus::Queued && row.claimant.as_ref() == Some(claimant)
        };
        let (of, queued) = (messages.len() as u64, messages.iter().filter(is_ours).count() as u64);
        if of != queued {
            return Err(Error { doing: "mark".into(), kind: ErrorKind::NotQueued { of, queued } });
        }
        *self.commits.lock().unwrap() += 1;
        for message in messages {
            let row = rows.get_mut(&message.id).unwrap();
            (row.status, row.lease_until) = (MessageStatus::Sending, until);
            row.outgoing = Some(message.clone());
        }
        Ok(())
    }

    async fn settle(&self, claimant: &Claimant, results: &[Delivery], now: Timestamp) -> Result<()> {
        *self.commits.lock().unwrap() += 1;
        let mut rows = self.rows.lock().unwrap();
        for Delivery { id, result } in results {
            let row = rows.get_mut(id).unwrap();
            if row.claimant.as_ref() != Some(claimant) {
                continue;
            }
            let was = row.status;
            let (status, detail) = match result {
                DeliveryResult::Sent(words) => {
                    let is_recorded = was != MessageStatus::Queued || self.rehearses.load(Ordering::Relaxed);
                    assert!(is_recorded, "nothing is sent unrecorded");
                    row.sent_at = Some(now);
                    (MessageStatus::Sent, words)
                }
                DeliveryResult::Retry { due, reason } | DeliveryResult::Untried { due, reason } => {
                    row.due = *due;
                    (MessageStatus::Queued, reason)
                }
                DeliveryResult::Failed(reason) => (MessageStatus::Failed, reason),
                DeliveryResult::Uncertain(reason) => (MessageStatus::Uncertain, reason),
            };
            let counts = !matches!(result, DeliveryResult::Untried { .. }) && was != MessageStatus::Uncertain;
            row.message.attempts += i64::from(counts);
            if status != MessageStatus::Uncertain {
                row.claimant = None;
            }
            row.status = status;
            row.detail.clone_from(detail);
        }
        Ok(())
    }

    async fn recover_sending(&self, rule: UncertainRule, which: Abandoned, now: Timestamp) -> Result<u64> {
        Ok(self.recover(rule, which, now))
    }

    async fn decide(&self, _: &Undecided, _: Decision, _: Timestamp) -> Result<u64> {
        unreachable!("only people decide")
    }
}

#[async_trait]
impl Catalog for MemoryOutbox {
    async fn template(&self, digest: &Digest) -> Result<Option<String>> {
        Ok(self.templates.lock().unwrap().get(digest).cloned())
    }

    async fn put_teams(&self, _: &[Representative], _: &[Team]) -> Result<()> {
        unreachable!("delivery only reads templates")
    }

    async fn teams(&self) -> Result<Vec<Team>> {
        unreachable!("delivery only reads templates")
    }

    async fn representatives(&self) -> Result<Vec<Representative>> {
        unreachable!("delivery only reads templates")
    }

    async fn publish(&self, _: &NewVersion<'_>, _: Timestamp) -> Result<Published> {
        unreachable!("delivery only reads templates")
    }

    async fn release(&self, _: &Release<'_>, _: Timestamp) -> Result<Released> {
        unreachable!("delivery only reads templates")
    }

    async fn history(&self, _: &str) -> Result<Option<History>> {
        unreachable!("delivery only reads templates")
    }

    async fn publications(&self, _: usize) -> Result<Vec<Publication>> {
        unreachable!("delivery only reads templates")
    }

    async fn retire_all_but(&self, _: &BTreeSet<&str>, _: Timestamp) -> Result<Vec<String>> {
        unreachable!("delivery only reads templates")
    }

    async fn program(&self, _: VersionId) -> Result<Option<StoredProgram>> {
        unreachable!("delivery only reads templates")
    }

    async fn current_programs(&self) -> Result<Vec<StoredProgram>> {
        unreachable!("delivery only reads templates")
    }

    async fn pause(&self, _: WorkflowId, _: Timestamp) -> Result<bool> {
        unreachable!("delivery only reads templates")
    }

    async fn resume(&self, _: WorkflowId, _: bool, _: Timestamp) -> Result<bool> {
        unreachable!("delivery only reads templates")
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        unreachable!("delivery only reads templates")
    }

    async fn any_goals(&self) -> Result<bool> {
        unreachable!("delivery only reads templates")
    }

    async fn any_experiments(&self) -> Result<bool> {
        unreachable!("delivery only reads templates")
    }

    async fn revision(&self) -> Result<i64> {
        unreachable!("delivery only reads templates")
    }

    async fn plugin(&self, _: &Digest) -> Result<Option<Vec<u8>>> {
        unreachable!("delivery only reads templates")
    }
}
