//! Messages on their way out.

use async_trait::async_trait;
use dripline_model::{
    Contact, Digest,
    id::{ContactId, MessageId, RunId},
    message::MessageStatus,
};
use jiff::Timestamp;

use crate::Result;

/// Verbs of the delivery workers.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Up to `limit` queued messages that are due at `now`, oldest first, with what rendering them needs. They stay
    /// *queued*.
    async fn due_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<DueMessage>>;

    /// The earliest instant at which a queued message is due.
    async fn next_message_due(&self) -> Result<Option<Timestamp>>;

    /// Records, durably, that these messages go on the wire now, with the exact bytes. Call before the wire is touched.
    async fn mark_sending(&self, messages: &[Outgoing], now: Timestamp) -> Result<()>;

    /// Records what became of messages.
    async fn settle(&self, results: &[Delivery], now: Timestamp) -> Result<()>;

    /// Makes every message that a dead process left *sending* either *uncertain* (`resend` false) or *queued* again.
    /// Call only while no other process delivers. Answers how many there were.
    async fn recover_sending(&self, resend: bool, now: Timestamp) -> Result<u64>;
}

/// A message to render and send.
#[derive(Debug, Clone, PartialEq)]
pub struct DueMessage {
    /// The message.
    pub id: MessageId,
    /// The unique key from which its Message-ID is made: run, turn and effect.
    pub key: String,
    /// The run that wants it sent.
    pub run: RunId,
    /// Who receives it: everything known, for the template.
    pub contact: Contact,
    /// Template name.
    pub template: String,
    /// The templates of the version that queued it, by name: the one to send and its partials.
    pub templates: std::sync::Arc<std::collections::BTreeMap<String, Digest>>,
    /// The rendered subject.
    pub subject: String,
    /// Where it goes, as known when it was queued.
    pub to: String,
    /// Consent topic.
    pub topic: Option<String>,
    /// Whether it needs no consent.
    pub transactional: bool,
    /// Tries so far.
    pub attempts: i64,
    /// When it was queued; its `Date`.
    pub queued_at: Timestamp,
}

/// A message about to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The message.
    pub id: MessageId,
    /// The Message-ID header, without angle brackets.
    pub message_id: String,
    /// The exact message, RFC 5322.
    pub source: Vec<u8>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub id: MessageId,
    /// Its state.
    pub result: DeliveryResult,
}

/// How an attempt to deliver ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryResult {
    /// Accepted, and by whom or with which words.
    Sent(String),
    /// Not now; try again at `due`.
    Retry {
        /// When.
        due: Timestamp,
        /// Why.
        reason: String,
    },
    /// Never.
    Failed(String),
    /// The connection ended after the message was handed over and before the answer.
    Uncertain(String),
}

/// A message as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRow {
    /// The message.
    pub id: MessageId,
    /// The run that queued it.
    pub run: RunId,
    /// The contact.
    pub contact: ContactId,
    /// The workflow's name.
    pub workflow: String,
    /// The step's id.
    pub step: String,
    /// Message-ID, once it was rendered.
    pub message_id: Option<String>,
    /// Receiver.
    pub to: String,
    /// Template name.
    pub template: String,
    /// Subject.
    pub subject: String,
    /// Where it stands.
    pub status: MessageStatus,
    /// Tries so far.
    pub attempts: i64,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// The server's words, or why it failed.
    pub detail: Option<String>,
}
