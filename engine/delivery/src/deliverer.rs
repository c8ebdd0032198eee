//! The door: what is due, out.

use std::{
    ops::AddAssign,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use dripline_model::Clock;
use dripline_store::{
    Abandoned, Catalog, Claimant, Delivery, DeliveryResult, DueMessage, ErrorKind, OnUncertain, Outbox,
    Outgoing, Store, UncertainRule,
};
use dripline_template::Email;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tracing::debug;

use crate::{
    compose::{Composed, Composer},
    config::{DeliveryConfig, Limits, RetryPolicy, Transport},
    emails::Emails,
    error::{DeliveryError, Doing as _},
    fleet::Fleet,
    rehearsal::{Rehearsal, Rehearsed},
    smtp::Verdict,
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

impl AddAssign for Delivered {
    fn add_assign(&mut self, other: Self) {
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
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) composer: Arc<Composer>,
    pub(crate) rules: Rules,
    pub(crate) limits: Limits,
    pub(crate) stopping: Arc<AtomicBool>,
    claimant: Claimant,
    catalog: Arc<dyn Catalog>,
    emails: Emails,
    fleet: Option<Fleet>,
    /// Where nothing is sent and nothing is kept.
    rehearsal: Option<Rehearsal>,
    /// Until when the rate of a server holds back what is due.
    held_until: std::sync::Mutex<Option<Timestamp>>,
    /// Two rounds at once would share the connections and the claims.
    round: Mutex<()>,
}

impl Deliverer {
    /// A deliverer over `store` that tells the time by `clock`; connects to nothing yet.
    ///
    /// # Errors
    /// An address, the place to unsubscribe, a host's name or a certificate in `config` is not what it should be.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        config: DeliveryConfig,
    ) -> Result<Self, DeliveryError> {
        Self::over(Arc::clone(&store) as _, store, clock, &config)
    }

    pub(crate) fn over(
        outbox: Arc<dyn Outbox>,
        catalog: Arc<dyn Catalog>,
        clock: Arc<dyn Clock>,
        config: &DeliveryConfig,
    ) -> Result<Self, DeliveryError> {
        Ok(Self {
            outbox,
            composer: Arc::new(Composer::new(config)?),
            rules: Rules { retry: config.retry, on_uncertain: config.on_uncertain },
            limits: Limits::default(),
            stopping: Arc::default(),
            claimant: Claimant::unique(),
            catalog,
            emails: Emails::default(),
            fleet: match &config.transport {
                Transport::Mailbox | Transport::Rehearsal(_) => None,
                Transport::Smtp(servers) => Some(Fleet::new(servers, Arc::clone(&clock))?),
            },
            rehearsal: match &config.transport {
                Transport::Rehearsal(rehearsal) => Some(rehearsal.clone()),
                Transport::Mailbox | Transport::Smtp(_) => None,
            },
            clock,
            held_until: std::sync::Mutex::default(),
            round: Mutex::default(),
        })
    }

    /// Who it is in the store.
    pub fn claimant(&self) -> &Claimant {
        &self.claimant
    }

    /// Settles the messages that dead processes left *sending*, as [`DeliveryConfig::on_uncertain`] says; answers how
    /// many there were. [`Abandoned::All`] is for the start of a process that knows that it is alone; those whose lease
    /// has ended are recovered in every round anyhow.
    ///
    /// Where messages go into the built-in mailbox there is nothing uncertain: none was on a wire, so they are kept now.
    ///
    /// # Errors
    /// The store failed.
    pub async fn recover(&self, which: Abandoned) -> Result<u64, DeliveryError> {
        let rule = match self.fleet {
            Some(_) => self.rules.on_uncertain,
            None => UncertainRule::all(OnUncertain::Resend),
        };
        let recovered = self.outbox.recover_sending(rule, which, self.clock.now()).await;
        recovered.doing("recover messages that were being sent")
    }

    /// Delivers until nothing is due, or until the rate of the server holds it back. What goes wrong with a message
    /// becomes that message's result.
    ///
    /// Do not drop the future in the middle: what is on the wire then stays *sending* until its lease ends.
    /// [`Deliverer::close`] ends a round early and orderly.
    ///
    /// # Errors
    /// The store failed.
    pub async fn deliver_due(&self) -> Result<Delivered, DeliveryError> {
        let _alone = self.round.lock().await;
        self.hold_until(None);
        match (&self.fleet, &self.rehearsal) {
            (Some(fleet), _) => self.send_due(fleet).await,
            (None, Some(rehearsal)) => self.rehearse_due(rehearsal).await,
            (None, None) => self.keep_due().await,
        }
    }

    /// When there is something to deliver next: when a message is due or a lease ends, and not before the rate of the
    /// server allows it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, DeliveryError> {
        let due = self.outbox.next_message_due().await.doing("ask which message is due next")?;
        Ok(due.map(|due| self.held_until().map_or(due, |until| due.max(until))))
    }

    /// Until when the rate of a server holds back messages that are due; none if the last round left none.
    pub fn held_until(&self) -> Option<Timestamp> {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hold_until(&self, until: Option<Timestamp>) {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Ends a round that is in progress after the messages that are on the wire, and says goodbye to the servers. Later
    /// rounds deliver nothing.
    pub async fn close(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let _alone = self.round.lock().await;
        if let Some(fleet) = &self.fleet {
            fleet.close().await;
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Claims up to `limit` messages that are due, none if the deliverer is closing.
    pub(crate) async fn claim(&self, limit: usize) -> Result<Vec<DueMessage>, DeliveryError> {
        if self.is_stopping() {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let claimed = self.outbox.claim_messages(&self.claimant, now, self.lease_from(now), limit).await;
        claimed.doing("look for messages that are due")
    }

    /// Records that messages are being sent; answers when their lease ends, or nothing if somebody else has them.
    pub(crate) async fn mark(&self, messages: &[Outgoing]) -> Result<Option<Timestamp>, DeliveryError> {
        let now = self.clock.now();
        let until = self.lease_from(now);
        match self.outbox.mark_sending(&self.claimant, messages, now, until).await {
            Ok(()) => Ok(Some(until)),
            Err(error) if matches!(error.kind, ErrorKind::NotQueued { .. }) => {
                debug!(%error, "somebody else has these messages");
                Ok(None)
            }
            Err(error) => Err(error).doing("record that messages are being sent"),
        }
    }

    fn lease_from(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.limits.lease).unwrap_or(Timestamp::MAX)
    }

    /// Renders and builds messages; the second list has those for which that cannot be done.
    pub(crate) async fn compose(
        &self,
        due: Vec<DueMessage>,
    ) -> Result<(Vec<(Composed, Past)>, Vec<Delivery>), DeliveryError> {
        let mut composed = Vec::with_capacity(due.len());
        let mut failed = Vec::new();
        for message in due {
            match self.email(&message).await?.and_then(|email| self.composer.compose(&message, &email)) {
                Ok(ready) => composed.push((ready, Past::of(&message))),
                Err(why) => failed.push(Delivery { id: message.id, result: DeliveryResult::Failed(why) }),
            }
            // Rendering is work; the wires get their turn in between.
            tokio::task::yield_now().await;
        }
        Ok((composed, failed))
    }

    /// The email that a message is to be; the inner error says why it may not or cannot be sent.
    async fn email(&self, message: &DueMessage) -> Result<Result<Arc<Email>, String>, DeliveryError> {
        // Days may lie between the step and this try, and a withdrawal holds from the moment it is known.
        if !message.transactional && !message.contact.consents_to_email(message.topic.as_deref()) {
            return Ok(Err("not sent: consent was withdrawn after it was queued".to_owned()));
        }
        self.emails.of(self.catalog.as_ref(), message).await.doing("read a template")
    }

    /// Renders what is due, and tells the rehearsal.
    async fn rehearse_due(&self, rehearsal: &Rehearsal) -> Result<Delivered, DeliveryError> {
        self.recover(Abandoned::LeaseEnded).await?;
        let mut delivered = Delivered::default();
        loop {
            let due = self.claim(MAILBOX_SLICE).await?;
            if due.is_empty() {
                return Ok(delivered);
            }
            let mut results = Vec::with_capacity(due.len());
            let mut rehearsed = Vec::with_capacity(due.len());
            for message in due {
                let rendered =
                    self.email(&message).await?.and_then(|email| self.composer.rehearse(&message, &email));
                results.push(Delivery {
                    id: message.id,
                    result: match &rendered {
                        Ok(()) => DeliveryResult::Sent("rehearsed, and not sent".to_owned()),
                        Err(why) => DeliveryResult::Failed(why.clone()),
                    },
                });
                rehearsed.push(Rehearsed { message, at: self.clock.now(), failure: rendered.err() });
            }
            delivered += self.settle(&results).await?;
            rehearsal.add(rehearsed);
        }
    }

    /// Records what became of messages.
    pub(crate) async fn settle(&self, results: &[Delivery]) -> Result<Delivered, DeliveryError> {
        if results.is_empty() {
            return Ok(Delivered::default());
        }
        dripline_model::crash::point("mail.settle.before");
        let settled = self.outbox.settle(&self.claimant, results, self.clock.now()).await;
        settled.doing("record what became of messages")?;
        dripline_model::crash::point("mail.settle.after");
        let mut delivered = Delivered::default();
        for delivery in results {
            *match delivery.result {
                DeliveryResult::Untried { .. } => continue,
                DeliveryResult::Sent(_) => &mut delivered.sent,
                DeliveryResult::Retry { .. } => &mut delivered.retried,
                DeliveryResult::Failed(_) => &mut delivered.failed,
                DeliveryResult::Uncertain(_) => &mut delivered.uncertain,
            } += 1;
        }
        Ok(delivered)
    }

    /// Keeps what is due in the mailbox.
    async fn keep_due(&self) -> Result<Delivered, DeliveryError> {
        self.recover(Abandoned::LeaseEnded).await?;
        let mut delivered = Delivered::default();
        loop {
            let due = self.claim(MAILBOX_SLICE).await?;
            if due.is_empty() {
                return Ok(delivered);
            }
            let (composed, mut results) = self.compose(due).await?;
            let kept: Vec<Outgoing> = composed.into_iter().map(|(ready, _)| ready.outgoing).collect();
            if !kept.is_empty() && self.mark(&kept).await?.is_some() {
                results.extend(kept.iter().map(|message| Delivery {
                    id: message.id,
                    result: DeliveryResult::Sent("kept in the built-in mailbox".to_owned()),
                }));
            }
            delivered += self.settle(&results).await?;
        }
    }
}

/// What a message's result depends on, beside the verdict.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past {
    /// How often it was tried before.
    pub(crate) attempts: i64,
    /// Whether it needs no consent.
    pub(crate) transactional: bool,
}

impl Past {
    /// What is known of a message.
    pub(crate) fn of(message: &DueMessage) -> Self {
        Self { attempts: message.attempts, transactional: message.transactional }
    }
}

/// What becomes of a message that did not get through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    retry: RetryPolicy,
    on_uncertain: UncertainRule,
}

impl Rules {
    /// What a verdict from the wire means at `now` for a message with this past.
    pub(crate) fn result(&self, verdict: Verdict, past: Past, now: Timestamp) -> DeliveryResult {
        match verdict {
            Verdict::Accepted(words) => DeliveryResult::Sent(words),
            Verdict::Refused(reason) => DeliveryResult::Failed(reason),
            Verdict::Lapsed(reason) => DeliveryResult::Untried { due: now, reason },
            Verdict::Unknown(reason) if self.on_uncertain.of(past.transactional) == OnUncertain::Hold => {
                DeliveryResult::Uncertain(reason)
            }
            Verdict::Later(reason) | Verdict::Unknown(reason) => match self.retry.next(past.attempts, now) {
                Some(due) => DeliveryResult::Retry { due, reason },
                None => {
                    DeliveryResult::Failed(format!("{reason} (given up after {} tries)", self.retry.attempts))
                }
            },
        }
    }

    /// What becomes of a message for which there is no server before `until`.
    pub(crate) fn put_off(
        &self,
        reason: &str,
        past: Past,
        now: Timestamp,
        until: Timestamp,
    ) -> DeliveryResult {
        match self.result(Verdict::Later(reason.to_owned()), past, now) {
            DeliveryResult::Retry { due, reason } => DeliveryResult::Retry { due: due.max(until), reason },
            result => result,
        }
    }
}
