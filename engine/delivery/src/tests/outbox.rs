//! An outbox in memory that insists on the order of things.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use dripline_model::{
    Contact, Digest,
    id::{ContactId, MessageId, RunId, VersionId},
    message::MessageStatus,
    team::{Representative, Team},
};
use dripline_store::{
    Catalog, Delivery, DeliveryResult, DueMessage, NewVersion, Outbox, Outgoing, Published, Result,
    StoredProgram,
};
use jiff::Timestamp;
use serde_json::Value;

/// What the outbox holds of a message.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) message: DueMessage,
    pub(crate) status: MessageStatus,
    pub(crate) due: Timestamp,
    pub(crate) outgoing: Option<Outgoing>,
    pub(crate) detail: String,
}

#[derive(Default)]
pub(crate) struct MemoryOutbox {
    rows: Mutex<BTreeMap<MessageId, Row>>,
    templates: Mutex<BTreeMap<Digest, String>>,
    commits: Mutex<usize>,
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
        let outbox = Self::default();
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

    /// How many writes there were.
    pub(crate) fn commits(&self) -> usize {
        *self.commits.lock().unwrap()
    }
}

#[async_trait]
impl Outbox for MemoryOutbox {
    async fn due_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<DueMessage>> {
        let rows = self.rows.lock().unwrap();
        let due = rows.values().filter(|row| row.status == MessageStatus::Queued && row.due <= now);
        Ok(due.take(limit).map(|row| row.message.clone()).collect())
    }

    async fn next_message_due(&self) -> Result<Option<Timestamp>> {
        unreachable!("delivery is told when to deliver")
    }

    async fn mark_sending(&self, messages: &[Outgoing], _now: Timestamp) -> Result<()> {
        assert!(!messages.is_empty(), "a commit for nothing");
        *self.commits.lock().unwrap() += 1;
        let mut rows = self.rows.lock().unwrap();
        for message in messages {
            let row = rows.get_mut(&message.id).unwrap();
            assert_eq!(row.status, MessageStatus::Queued, "only what is queued goes on the wire");
            row.status = MessageStatus::Sending;
            row.outgoing = Some(message.clone());
        }
        Ok(())
    }

    async fn settle(&self, results: &[Delivery], _now: Timestamp) -> Result<()> {
        *self.commits.lock().unwrap() += 1;
        let mut rows = self.rows.lock().unwrap();
        for Delivery { id, result } in results {
            let row = rows.get_mut(id).unwrap();
            row.message.attempts += 1;
            let (status, detail) = match result {
                DeliveryResult::Sent(words) => {
                    assert_eq!(row.status, MessageStatus::Sending, "nothing is sent unrecorded");
                    (MessageStatus::Sent, words)
                }
                DeliveryResult::Retry { due, reason } => {
                    row.due = *due;
                    (MessageStatus::Queued, reason)
                }
                DeliveryResult::Failed(reason) => (MessageStatus::Failed, reason),
                DeliveryResult::Uncertain(reason) => (MessageStatus::Uncertain, reason),
            };
            row.status = status;
            row.detail.clone_from(detail);
        }
        Ok(())
    }

    async fn recover_sending(&self, resend: bool, _now: Timestamp) -> Result<u64> {
        let status = if resend { MessageStatus::Queued } else { MessageStatus::Uncertain };
        let mut rows = self.rows.lock().unwrap();
        let left = rows.values_mut().filter(|row| row.status == MessageStatus::Sending);
        Ok(left.map(|row| row.status = status).count() as u64)
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

    async fn retire_all_but(&self, _: &BTreeSet<&str>, _: Timestamp) -> Result<Vec<String>> {
        unreachable!("delivery only reads templates")
    }

    async fn program(&self, _: VersionId) -> Result<Option<StoredProgram>> {
        unreachable!("delivery only reads templates")
    }

    async fn current_programs(&self) -> Result<Vec<StoredProgram>> {
        unreachable!("delivery only reads templates")
    }

    async fn revision(&self) -> Result<i64> {
        unreachable!("delivery only reads templates")
    }

    async fn plugin(&self, _: &Digest) -> Result<Option<Vec<u8>>> {
        unreachable!("delivery only reads templates")
    }
}
