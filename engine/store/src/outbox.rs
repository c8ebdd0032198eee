//! Messages on their way out.

use async_trait::async_trait;
use dripline_model::{
    Contact, Digest,
    id::{ContactId, MessageId, RunId},
    message::MessageStatus,
};
use jiff::Timestamp;

use crate::{Claimant, Result};

/// Verbs of the delivery workers, of any number of processes over one store.
///
/// A message that is worked on has a *claimant*. A queued message is claimed until an instant, which is its due time, so
/// that the claim of a process that died ends by itself. A message that is *sending* has a lease: until it ends nobody
/// else touches the message, and its claimant lets nothing of it on the wire afterwards. Every verb is one transaction;
/// `now` is the caller's clock.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Claims up to `limit` queued messages that are due at `now`, oldest first (by due time, then by id), and answers
    /// them with what rendering needs. They stay *queued*, with `until`, which must lie after `now`, as their new due
    /// time. So until then nobody is answered them again, this claimant included; afterwards whoever asks first.
    ///
    /// Two claimants at once are never answered the same message: the second is answered the next ones, or none.
    async fn claim_messages(
        &self,
        claimant: &Claimant,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueMessage>>;

    /// The earliest instant at which there is something to do: a queued message is due, or a lease ends and
    /// [`Outbox::recover_sending`] has work.
    async fn next_message_due(&self) -> Result<Option<Timestamp>>;

    /// Records, durably, that these messages go on the wire from `now` on and at the latest until `until`, with the exact
    /// bytes. Call before the wire is touched.
    ///
    /// All of them or none. A message may go if it is *queued* and claimed by `claimant`, also when the claim has ended
    /// and nobody else has taken it. If one may not, because another claimant took it or a person decided about it,
    /// nothing changes and the error is [`NotQueued`](crate::ErrorKind::NotQueued): the caller lets go of them all, and
    /// those that are still its own come due when their claim ends.
    async fn mark_sending(
        &self,
        claimant: &Claimant,
        messages: &[Outgoing],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<()>;

    /// Records what became of messages that `claimant` has: *queued* and claimed by it, or *sending*, or *uncertain*
    /// because its lease ended before it could say what it knows. A truth that comes late replaces the guess. Messages
    /// that it no longer has (another claimant claimed them, a person decided about them, they are sent) are passed over.
    ///
    /// The message then has no claimant any more, unless it becomes *uncertain*. A try is counted once, here or by
    /// [`Outbox::recover_sending`], and not for [`DeliveryResult::Untried`].
    async fn settle(&self, claimant: &Claimant, results: &[Delivery], now: Timestamp) -> Result<()>;

    /// Settles what other processes left *sending*, by `rule`: *uncertain*, still with its claimant, who may yet say what
    /// it knows; or *queued*, due at `now` and nobody's. Answers how many there were. Called by several at once, each
    /// message is recovered by one of them.
    async fn recover_sending(&self, rule: UncertainRule, which: Abandoned, now: Timestamp) -> Result<u64>;

    /// Does with messages of which nobody can know whether they arrived, or which failed, what a person decided. Answers
    /// how many messages changed; those that do not stand as `which` says are passed over. They then have no claimant,
    /// so that what an old one says later changes nothing.
    async fn decide(&self, which: &Undecided, decision: Decision, now: Timestamp) -> Result<u64>;
}

/// What becomes of a message of which nobody can know whether it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUncertain {
    /// It is held as *uncertain* for a person to decide.
    #[default]
    Hold,
    /// It is sent again; it may arrive twice, with the same Message-ID.
    Resend,
}

/// What becomes of uncertain messages, by what they are. By default they are all held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UncertainRule {
    /// Messages that need consent: twice is worse than never.
    pub marketing: OnUncertain,
    /// Messages that answer something that the contact did: never may be worse than twice.
    pub transactional: OnUncertain,
}

impl UncertainRule {
    /// The same for all messages.
    pub fn all(on_uncertain: OnUncertain) -> Self {
        Self { marketing: on_uncertain, transactional: on_uncertain }
    }

    /// What holds for a message.
    pub fn of(&self, transactional: bool) -> OnUncertain {
        if transactional { self.transactional } else { self.marketing }
    }
}

/// Which messages [`Outbox::recover_sending`] settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// Those whose lease has ended by `now`, whoever has them.
    LeaseEnded,
    /// All that are *sending*, and queued messages are nobody's and due again where they were claimed. Only for a process
    /// that knows that no other one delivers, and before it claims anything itself.
    All,
}

/// Messages about which a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    /// *Uncertain* or *failed*; of any other state no message is changed.
    pub status: MessageStatus,
    /// Only these; without it, all that stand so.
    pub ids: Option<Vec<MessageId>>,
}

/// What a person decides about messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They are *queued*, due now, and their tries are counted anew.
    Resend,
    /// They did arrive: they are *sent*, as of now. Of failed messages none is changed.
    Sent,
    /// They are *dropped*: never sent again.
    Drop,
}

impl Decision {
    /// What the message's detail says afterwards.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Resend => "sent again by hand",
            Self::Sent => "found by hand to have arrived",
            Self::Drop => "dropped by hand",
        }
    }
}

/// Why a message that was found *sending* is not any more: its detail after [`Outbox::recover_sending`].
pub const INTERRUPTED: &str = "the process ended before the server's answer";

/// A message to render and send.
#[derive(Debug, Clone, PartialEq)]
pub struct DueMessage {
    /// The message.
    pub id: MessageId,
    /// The unique key from which its Message-ID is made: run, turn and effect.
    pub key: String,
    /// The run that wants it sent.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The step's id.
    pub step: String,
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
    /// It was not tried: nothing of it was on a wire. It is queued again, due at `due`, and no try is counted.
    Untried {
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
    /// When it is tried next, while it is queued; while somebody is at it, when it is anybody's again.
    pub due_at: Option<Timestamp>,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// The server's words, or why it failed.
    pub detail: Option<String>,
}
