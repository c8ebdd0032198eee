//! The door: what is due, out.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dripline_store::{Catalog, Delivery, DeliveryResult, DueMessage, Outbox, Outgoing, Store};
use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::{
    compose::{Composed, Composer},
    config::{DeliveryConfig, OnUncertain, RetryPolicy, Transport},
    emails::Emails,
    error::{DeliveryError, Doing as _},
    smtp::{Server, Verdict},
};

/// How many messages one commit keeps in the mailbox.
const MAILBOX_SLICE: usize = 512;

/// What a round of deliveries came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Messages that were accepted, or kept in the mailbox.
    pub sent: u64,
    /// Messages that will be tried again.
    pub retried: u64,
    /// Messages that were given up.
    pub failed: u64,
    /// Messages of which nobody can know whether they arrived.
    pub uncertain: u64,
}

impl Delivered {
    /// Adds what another part of the round came to.
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.retried += other.retried;
        self.failed += other.failed;
        self.uncertain += other.uncertain;
    }
}

/// Delivers what the outbox holds.
///
/// Every message is recorded as *sending* before the wire is touched, so whatever happens to this process, no message
/// goes out twice unless [`OnUncertain::Resend`] says that it may.
pub struct Deliverer {
    pub(crate) outbox: Arc<dyn Outbox>,
    pub(crate) composer: Arc<Composer>,
    pub(crate) rules: Rules,
    pub(crate) stopping: Arc<AtomicBool>,
    catalog: Arc<dyn Catalog>,
    emails: Emails,
    server: Option<Arc<Server>>,
    /// Two rounds at once would take the same messages.
    round: Mutex<()>,
}

impl Deliverer {
    /// A deliverer over `store`; connects to nothing yet.
    ///
    /// # Errors
    /// An address, the place to unsubscribe, the host's name or a certificate in `config` is not what it should be.
    pub fn new(store: Arc<dyn Store>, config: DeliveryConfig) -> Result<Self, DeliveryError> {
        Self::over(Arc::clone(&store) as _, store, &config)
    }

    pub(crate) fn over(
        outbox: Arc<dyn Outbox>,
        catalog: Arc<dyn Catalog>,
        config: &DeliveryConfig,
    ) -> Result<Self, DeliveryError> {
        Ok(Self {
            outbox,
            composer: Arc::new(Composer::new(config)?),
            rules: Rules { retry: config.retry, on_uncertain: config.on_uncertain },
            stopping: Arc::default(),
            catalog,
            emails: Emails::default(),
            server: match &config.transport {
                Transport::Mailbox => None,
                Transport::Smtp(smtp) => Some(Arc::new(Server::new(smtp)?)),
            },
            round: Mutex::default(),
        })
    }

    /// Settles the messages that a dead process left *sending*, as [`DeliveryConfig::on_uncertain`] says; answers how
    /// many there were. Call it once, before the first round, and only while no other process delivers.
    ///
    /// Where messages go into the built-in mailbox there is nothing uncertain: none was on a wire, so they are kept now.
    ///
    /// # Errors
    /// The store failed.
    pub async fn recover(&self, now: Timestamp) -> Result<u64, DeliveryError> {
        let resend = self.server.is_none() || self.rules.on_uncertain == OnUncertain::Resend;
        self.outbox.recover_sending(resend, now).await.doing("recover messages that were being sent")
    }

    /// Delivers until nothing is due at `now`. What goes wrong with a message becomes that message's result.
    ///
    /// Do not drop the future in the middle: what is on the wire then stays *sending* until [`Deliverer::recover`].
    /// [`Deliverer::close`] ends a round early and orderly.
    ///
    /// # Errors
    /// The store failed.
    pub async fn deliver_due(&self, now: Timestamp) -> Result<Delivered, DeliveryError> {
        let _alone = self.round.lock().await;
        match &self.server {
            Some(server) => self.send_due(server, now).await,
            None => self.keep_due(now).await,
        }
    }

    /// Ends a round that is in progress after the messages that are on the wire, and says goodbye to the server. Later
    /// rounds deliver nothing.
    pub async fn close(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let _alone = self.round.lock().await;
        if let Some(server) = &self.server {
            server.close().await;
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Up to `limit` messages that are due, none if the deliverer is closing.
    pub(crate) async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<DueMessage>, DeliveryError> {
        if self.is_stopping() {
            return Ok(Vec::new());
        }
        self.outbox.due_messages(now, limit).await.doing("look for messages that are due")
    }

    /// Renders and builds messages; the second list has those for which that cannot be done.
    pub(crate) async fn compose(
        &self,
        due: Vec<DueMessage>,
    ) -> Result<(Vec<(Composed, i64)>, Vec<Delivery>), DeliveryError> {
        let mut composed = Vec::with_capacity(due.len());
        let mut failed = Vec::new();
        for message in due {
            // Days may lie between the step and this try, and a withdrawal holds from the moment it is known.
            if !message.transactional && !message.contact.consents_to_email(message.topic.as_deref()) {
                let why = "not sent: consent was withdrawn after it was queued".to_owned();
                failed.push(Delivery { id: message.id, result: DeliveryResult::Failed(why) });
                continue;
            }
            let email = self.emails.of(self.catalog.as_ref(), &message).await.doing("read a template")?;
            match email.and_then(|email| self.composer.compose(&message, &email)) {
                Ok(ready) => composed.push((ready, message.attempts)),
                Err(why) => failed.push(Delivery { id: message.id, result: DeliveryResult::Failed(why) }),
            }
            // Rendering is work; the wires get their turn in between.
            tokio::task::yield_now().await;
        }
        Ok((composed, failed))
    }

    /// Records what became of messages.
    pub(crate) async fn settle(
        &self,
        results: &[Delivery],
        now: Timestamp,
    ) -> Result<Delivered, DeliveryError> {
        if results.is_empty() {
            return Ok(Delivered::default());
        }
        self.outbox.settle(results, now).await.doing("record what became of messages")?;
        let mut delivered = Delivered::default();
        for delivery in results {
            *match delivery.result {
                DeliveryResult::Sent(_) => &mut delivered.sent,
                DeliveryResult::Retry { .. } => &mut delivered.retried,
                DeliveryResult::Failed(_) => &mut delivered.failed,
                DeliveryResult::Uncertain(_) => &mut delivered.uncertain,
            } += 1;
        }
        Ok(delivered)
    }

    /// Keeps what is due in the mailbox.
    async fn keep_due(&self, now: Timestamp) -> Result<Delivered, DeliveryError> {
        let mut delivered = Delivered::default();
        loop {
            let due = self.due(now, MAILBOX_SLICE).await?;
            if due.is_empty() {
                return Ok(delivered);
            }
            let (composed, mut results) = self.compose(due).await?;
            let kept: Vec<Outgoing> = composed.into_iter().map(|(ready, _)| ready.outgoing).collect();
            if !kept.is_empty() {
                self.outbox.mark_sending(&kept, now).await.doing("keep messages in the mailbox")?;
            }
            results.extend(kept.iter().map(|message| Delivery {
                id: message.id,
                result: DeliveryResult::Sent("kept in the built-in mailbox".to_owned()),
            }));
            delivered.add(self.settle(&results, now).await?);
        }
    }
}

/// What becomes of a message that did not get through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    retry: RetryPolicy,
    on_uncertain: OnUncertain,
}

impl Rules {
    /// What a verdict from the wire means at `now` for a message that was tried `attempts` times before.
    pub(crate) fn result(&self, verdict: Verdict, attempts: i64, now: Timestamp) -> DeliveryResult {
        match verdict {
            Verdict::Accepted(words) => DeliveryResult::Sent(words),
            Verdict::Refused(reason) => DeliveryResult::Failed(reason),
            Verdict::Unknown(reason) if self.on_uncertain == OnUncertain::Hold => {
                DeliveryResult::Uncertain(reason)
            }
            Verdict::Later(reason) | Verdict::Unknown(reason) => match self.retry.next(attempts, now) {
                Some(due) => DeliveryResult::Retry { due, reason },
                None => {
                    DeliveryResult::Failed(format!("{reason} (given up after {} tries)", self.retry.attempts))
                }
            },
        }
    }
}
