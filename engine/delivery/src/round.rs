//! One round over SMTP: rendering, the wires and the records run beside each other.
//!
//! ```text
//!   due ─► render ─► mark sending ─► [jobs] ─► a worker for each connection ─► [results] ─► settle
//! ```
//! Both queues are bounded, so memory is, and so is the number of messages that a crash leaves *sending*.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dripline_store::{Delivery, DeliveryResult, Outgoing};
use jiff::Timestamp;
use lettre::address::Address;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tracing::{debug, warn};

use crate::{
    compose::Composer,
    deliverer::{Delivered, Deliverer, Rules},
    error::{DeliveryError, Doing as _},
    smtp::{Connection, Envelope, Server, Verdict},
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

/// A message that is marked *sending*.
struct Job {
    outgoing: Outgoing,
    to: Address,
    attempts: i64,
}

/// What the workers share.
struct Crew {
    server: Arc<Server>,
    composer: Arc<Composer>,
    rules: Rules,
    now: Timestamp,
    jobs: Mutex<mpsc::Receiver<Job>>,
    results: mpsc::Sender<Delivery>,
    stopping: Arc<AtomicBool>,
}

impl Deliverer {
    /// Sends what is due.
    pub(crate) async fn send_due(
        &self,
        server: &Arc<Server>,
        now: Timestamp,
    ) -> Result<Delivered, DeliveryError> {
        if self.due(now, 1).await?.is_empty() {
            return Ok(Delivered::default());
        }
        let first = match server.connection().await {
            Ok(connection) => connection,
            Err(reason) => return self.put_off(&reason, now).await,
        };

        let (jobs, queue) = mpsc::channel(QUEUE);
        let (results, settled) = mpsc::channel(SETTLED);
        let crew = Arc::new(Crew {
            server: Arc::clone(server),
            composer: Arc::clone(&self.composer),
            rules: self.rules,
            now,
            jobs: Mutex::new(queue),
            results,
            stopping: Arc::clone(&self.stopping),
        });
        let (produced, down, settled) =
            tokio::join!(self.produce(jobs, now), run(crew, first), self.settle_all(settled, now));
        let mut delivered = settled?;
        delivered.add(produced?);
        if let Some(reason) = down? {
            delivered.add(self.put_off(&reason, now).await?);
        }
        Ok(delivered)
    }

    /// Renders and marks what is due, slice by slice, until there is no more or nobody to send it.
    async fn produce(&self, jobs: mpsc::Sender<Job>, now: Timestamp) -> Result<Delivered, DeliveryError> {
        let mut delivered = Delivered::default();
        loop {
            let due = self.due(now, SLICE).await?;
            if due.is_empty() {
                return Ok(delivered);
            }
            let (composed, failed) = self.compose(due).await?;
            delivered.add(self.settle(&failed, now).await?);
            let (outgoing, rest): (Vec<_>, Vec<_>) =
                composed.into_iter().map(|(ready, attempts)| (ready.outgoing, (ready.to, attempts))).unzip();
            // Nothing is marked before there is room for it, so that a marked message soon meets the wire.
            let Ok(room) = jobs.reserve_many(outgoing.len()).await else { return Ok(delivered) };
            if outgoing.is_empty() {
                continue;
            }
            self.outbox.mark_sending(&outgoing, now).await.doing("record that messages are being sent")?;
            for ((place, outgoing), (to, attempts)) in room.zip(outgoing).zip(rest) {
                place.send(Job { outgoing, to, attempts });
            }
        }
    }

    /// Records results, as many at a time as have come in.
    async fn settle_all(
        &self,
        mut results: mpsc::Receiver<Delivery>,
        now: Timestamp,
    ) -> Result<Delivered, DeliveryError> {
        let mut delivered = Delivered::default();
        let mut some = Vec::with_capacity(SETTLED);
        while results.recv_many(&mut some, SETTLED).await > 0 {
            delivered.add(self.settle(&some, now).await?);
            some.clear();
        }
        Ok(delivered)
    }

    /// Puts off everything that is due, because there is no server; nothing of it was marked or rendered.
    async fn put_off(&self, reason: &str, now: Timestamp) -> Result<Delivered, DeliveryError> {
        warn!(reason, "no mail server; messages that are due are put off");
        let mut delivered = Delivered::default();
        loop {
            let due = self.due(now, PUT_OFF).await?;
            if due.is_empty() {
                return Ok(delivered);
            }
            let results: Vec<Delivery> = due
                .iter()
                .map(|message| Delivery {
                    id: message.id,
                    result: self.rules.result(Verdict::Later(reason.to_owned()), message.attempts, now),
                })
                .collect();
            delivered.add(self.settle(&results, now).await?);
        }
    }
}

/// Runs a worker for each connection until the jobs end. Answers why the server is down, if no worker could go on.
async fn run(crew: Arc<Crew>, first: Connection) -> Result<Option<String>, DeliveryError> {
    let mut workers = JoinSet::new();
    workers.spawn(work(Arc::clone(&crew), Some(first)));
    for _ in 1..crew.server.connections() {
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
    // What no worker took was not on any wire.
    let mut jobs = crew.jobs.lock().await;
    jobs.close();
    while let Some(Job { outgoing, attempts, .. }) = jobs.recv().await {
        let result = match &down {
            Some(reason) => crew.rules.result(Verdict::Later(reason.clone()), attempts, crew.now),
            None => {
                DeliveryResult::Retry { due: crew.now, reason: "delivery ended before its turn".to_owned() }
            }
        };
        if crew.results.send(Delivery { id: outgoing.id, result }).await.is_err() {
            break;
        }
    }
    stopped.doing("send messages")?;
    Ok(down.filter(|_| !finished))
}

/// Sends job after job. The error says why there is no connection to go on with.
async fn work(crew: Arc<Crew>, connection: Option<Connection>) -> Result<(), String> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => crew.server.connection().await?,
    };
    let mut fruitless = 0;
    while let Some(Job { outgoing, to, attempts }) = crew.next().await {
        let envelope = Envelope { from: crew.composer.from(), to: &to, source: &outgoing.source };
        let mut verdict = connection.deliver(&envelope).await;
        if let Verdict::Later(_) = verdict
            && connection.is_broken()
            && connection.has_accepted()
        {
            // Servers end connections that have carried enough. This message was not handed over: a new one may have it.
            match crew.server.connection().await {
                Ok(fresh) => {
                    connection = fresh;
                    verdict = connection.deliver(&envelope).await;
                }
                Err(reason) => verdict = Verdict::Later(reason),
            }
        }
        let broken = connection.is_broken().then(|| verdict.reason().to_owned());
        let result = crew.rules.result(verdict, attempts, crew.now);
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
            connection = crew.server.connection().await?;
        }
    }
    crew.server.keep(connection).await;
    Ok(())
}

impl Crew {
    /// The next message to send; none at the end of the round.
    async fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock().await;
        if self.stopping.load(Ordering::Relaxed) { None } else { jobs.recv().await }
    }

    /// Whether there is nothing more to send.
    async fn is_done(&self) -> bool {
        let jobs = self.jobs.lock().await;
        jobs.is_closed() && jobs.is_empty()
    }
}
