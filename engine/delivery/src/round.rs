//! One round over SMTP: rendering, the wires and the records run beside each other.
//!
//! ```text
//!   claim ─► render ─► mark sending ─► [jobs] ─► a worker for each connection ─► [results] ─► settle
//! ```
//! Both queues are bounded, so memory is, and so is the number of messages that a crash leaves *sending*.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dripline_model::{Clock, id::MessageId};
use dripline_store::{Abandoned, Delivery, DeliveryResult, Outgoing};
use jiff::Timestamp;
use lettre::address::Address;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tracing::{debug, warn};

use crate::{
    compose::Composer,
    deliverer::{Delivered, Deliverer, Past, Rules},
    error::{DeliveryError, Doing as _},
    fleet::{Choice, Fleet, Line},
    smtp::{Connection, Envelope, Terms, Verdict},
};

/// How many messages one commit marks. While half of the queue is on the wires, the other half is made ready.
const SLICE: usize = 64;
/// How many messages wait, marked, for a worker.
const QUEUE: usize = 2 * SLICE;
/// How many results one commit settles.
const SETTLED: usize = 256;
/// How many messages a single statement puts off when there is no server.
const PUT_OFF: usize = 1024;
/// After how many connections in a row that broke before they accepted anything the server counts as down. One message
/// that makes a server hang up must not stop the others.
const FRUITLESS: u32 = 3;
/// Why a message is queued again without a try.
const NOT_ITS_TURN: &str = "delivery ended before its turn";

/// A message that is marked *sending*.
struct Job {
    outgoing: Outgoing,
    to: Address,
    past: Past,
    lease_until: Timestamp,
}

/// What the workers share.
struct Crew {
    line: Arc<Line>,
    composer: Arc<Composer>,
    rules: Rules,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    jobs: Mutex<mpsc::Receiver<Job>>,
    results: mpsc::Sender<Delivery>,
    stopping: Arc<AtomicBool>,
}

impl Deliverer {
    /// Sends what is due: to the preferred server, and when that goes down, what is left to the next.
    pub(crate) async fn send_due(&self, fleet: &Fleet) -> Result<Delivered, DeliveryError> {
        let mut delivered = Delivered::default();
        while !self.is_stopping() {
            self.recover(Abandoned::LeaseEnded).await?;
            let next = self.outbox.next_message_due().await.doing("look for messages that are due")?;
            if next.is_none_or(|next| next > self.clock.now()) {
                break;
            }
            match fleet.choose().await {
                Choice::Go(line, first) => delivered += self.send_through(fleet, line, first).await?,
                Choice::Wait(until) => {
                    self.hold_until(Some(until));
                    break;
                }
                Choice::Down { reason, until } => {
                    delivered += self.put_off(&reason, until).await?;
                    break;
                }
            }
        }
        Ok(delivered)
    }

    /// Sends through one server until nothing is due, the server is down or has had enough, or a better one may be back.
    async fn send_through(
        &self,
        fleet: &Fleet,
        line: Arc<Line>,
        first: Connection,
    ) -> Result<Delivered, DeliveryError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (results, settled) = mpsc::channel(SETTLED);
        let crew = Arc::new(Crew {
            line: Arc::clone(&line),
            composer: Arc::clone(&self.composer),
            rules: self.rules,
            clock: Arc::clone(&self.clock),
            deadline: self.limits.deadline,
            jobs: Mutex::new(queue),
            results,
            stopping: Arc::clone(&self.stopping),
        });
        let (produced, down, settled) =
            tokio::join!(self.produce(jobs, fleet, &line), run(crew, first), self.settle_all(settled));
        let mut delivered = settled?;
        delivered += produced?;
        match down? {
            Some(reason) => line.rest(&reason, self.clock.now()),
            None => line.works(),
        }
        Ok(delivered)
    }

    /// Claims, renders and marks what is due, slice by slice, until there is no more or nobody to send it.
    async fn produce(
        &self,
        jobs: mpsc::Sender<Job>,
        fleet: &Fleet,
        line: &Line,
    ) -> Result<Delivered, DeliveryError> {
        let mut delivered = Delivered::default();
        while !fleet.has_better(line) {
            let allowed = line.take(SLICE, self.clock.now());
            let due = if allowed == 0 { Vec::new() } else { self.claim(allowed).await? };
            if due.is_empty() {
                line.put_back(allowed);
                break;
            }
            dripline_model::crash::point("mail.claimed");
            let (composed, failed) = self.compose(due).await?;
            line.put_back(allowed - composed.len());
            delivered += self.settle(&failed).await?;
            let (outgoing, rest): (Vec<_>, Vec<_>) =
                composed.into_iter().map(|(ready, past)| (ready.outgoing, (ready.to, past))).unzip();
            // Nothing is marked before there is room for it, so that a marked message soon meets the wire.
            let Ok(room) = jobs.reserve_many(outgoing.len()).await else {
                line.put_back(outgoing.len());
                self.let_go(&outgoing).await?;
                break;
            };
            if outgoing.is_empty() {
                continue;
            }
            dripline_model::crash::point("mail.mark.before");
            let Some(lease_until) = self.mark(&outgoing).await? else {
                line.put_back(outgoing.len());
                continue;
            };
            dripline_model::crash::point("mail.mark.after");
            for ((place, outgoing), (to, past)) in room.zip(outgoing).zip(rest) {
                place.send(Job { outgoing, to, past, lease_until });
            }
        }
        Ok(delivered)
    }

    /// Gives up the claim on messages that nobody is there to send.
    async fn let_go(&self, messages: &[Outgoing]) -> Result<(), DeliveryError> {
        let due = self.clock.now();
        let untried = |message: &Outgoing| Delivery {
            id: message.id,
            result: DeliveryResult::Untried { due, reason: NOT_ITS_TURN.to_owned() },
        };
        let results: Vec<Delivery> = messages.iter().map(untried).collect();
        self.settle(&results).await.map(drop)
    }

    /// Records results, as many at a time as have come in.
    async fn settle_all(&self, mut results: mpsc::Receiver<Delivery>) -> Result<Delivered, DeliveryError> {
        let mut delivered = Delivered::default();
        let mut some = Vec::with_capacity(SETTLED);
        while results.recv_many(&mut some, SETTLED).await > 0 {
            delivered += self.settle(&some).await?;
            some.clear();
        }
        Ok(delivered)
    }

    /// Puts off everything that is due, because there is no server before `until`; nothing of it was marked or rendered.
    async fn put_off(&self, reason: &str, until: Timestamp) -> Result<Delivered, DeliveryError> {
        warn!(reason, "no mail server; messages that are due are put off");
        let mut delivered = Delivered::default();
        loop {
            let due = self.claim(PUT_OFF).await?;
            if due.is_empty() {
                return Ok(delivered);
            }
            let now = self.clock.now();
            let results: Vec<Delivery> = due
                .iter()
                .map(|message| Delivery {
                    id: message.id,
                    result: self.rules.put_off(reason, Past::of(message), now, until),
                })
                .collect();
            delivered += self.settle(&results).await?;
        }
    }
}

/// Runs a worker for each connection until the jobs end. Answers why the server is down, if no worker could go on.
async fn run(crew: Arc<Crew>, first: Connection) -> Result<Option<String>, DeliveryError> {
    let mut workers = JoinSet::new();
    workers.spawn(work(Arc::clone(&crew), Some(first)));
    for _ in 1..crew.line.server.connections() {
        workers.spawn(work(Arc::clone(&crew), None));
    }
    let mut down = None;
    let mut finished = false;
    let mut stopped = Ok(());
    while let Some(worker) = workers.join_next().await {
        match worker {
            Ok(Ok(())) => finished = true,
            Ok(Err(reason)) => {
                debug!(reason, "a connection is given up");
                down = Some(reason);
            }
            Err(error) => stopped = Err(error),
        }
    }
    // What no worker took was not on any wire: the next server may have it at once.
    let mut jobs = crew.jobs.lock().await;
    jobs.close();
    while let Some(Job { outgoing, .. }) = jobs.recv().await {
        let reason = down.as_deref().unwrap_or(NOT_ITS_TURN);
        if !crew.untried(outgoing.id, reason).await {
            break;
        }
    }
    stopped.doing("send messages")?;
    Ok(down.filter(|_| !finished))
}

/// Sends job after job. The error says why there is no connection to go on with.
async fn work(crew: Arc<Crew>, connection: Option<Connection>) -> Result<(), String> {
    let server = &crew.line.server;
    let mut connection = match connection {
        Some(connection) => connection,
        None => server.connection().await?,
    };
    let mut fruitless = 0;
    while let Some(Job { outgoing, to, past, lease_until }) = crew.next().await {
        let terms = Terms { clock: crew.clock.as_ref(), lease_until, deadline: crew.deadline };
        let envelope = Envelope { from: crew.composer.from(), to: &to, source: &outgoing.source, terms };
        let mut verdict = connection.deliver(&envelope).await;
        if let Verdict::Later(_) = verdict
            && connection.is_broken()
            && connection.has_accepted()
        {
            // Servers end connections that have carried enough. This message was not handed over: a new one may have it.
            match server.connection().await {
                Ok(fresh) => {
                    connection = fresh;
                    verdict = connection.deliver(&envelope).await;
                }
                Err(reason) => {
                    crew.untried(outgoing.id, &reason).await;
                    return Err(reason);
                }
            }
        }
        let broken = connection.is_broken().then(|| verdict.reason().to_owned());
        let result = crew.rules.result(verdict, past, crew.clock.now());
        if crew.results.send(Delivery { id: outgoing.id, result }).await.is_err() {
            // Results can no longer be recorded, so nothing more may be sent.
            break;
        }
        if let Some(reason) = broken {
            fruitless = if connection.has_accepted() { 0 } else { fruitless + 1 };
            if fruitless == FRUITLESS {
                return Err(reason);
            }
            if crew.is_done().await {
                return Ok(());
            }
            connection = server.connection().await?;
        }
    }
    server.keep(connection).await;
    Ok(())
}

impl Crew {
    /// The next message to send; none at the end of the round.
    async fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock().await;
        if self.stopping.load(Ordering::Relaxed) { None } else { jobs.recv().await }
    }

    /// Gives back a message that was not handed over; answers whether that can still be recorded.
    async fn untried(&self, id: MessageId, reason: &str) -> bool {
        let result = DeliveryResult::Untried { due: self.clock.now(), reason: reason.to_owned() };
        self.results.send(Delivery { id, result }).await.is_ok()
    }

    /// Whether there is nothing more to send.
    async fn is_done(&self) -> bool {
        let jobs = self.jobs.lock().await;
        jobs.is_closed() && jobs.is_empty()
    }
}
