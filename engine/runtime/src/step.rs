//! One step of the engine: whose turn it is, one transaction of that, and what it cost.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use dripline_model::program::DEFAULT_SHARE;
use dripline_store::Transaction;
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::{
    batch::Yields,
    drive::Settled,
    engine::Engine,
    error::{Result, While, despite},
    shares::{Flow, Shares},
};

/// Events come from somebody who waits for what they start.
const SHARE_OF_ARRIVALS: u32 = 100;

/// Within a second a contact that has changed is a member of what it should be.
const SHARE_OF_SEGMENTS: u32 = 50;

/// In which order the flows are served that have something to do at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// By their shares, in turns that are small while others wait.
    Fair,
    /// By what they are, in whole turns. It follows from the store alone, so that a process that dies and comes back
    /// takes the same order, and the same contacts come to the same end each time.
    Fixed,
}

/// A flow that has something to do.
struct Busy {
    flow: Flow,
    share: u32,
}

/// A step that was taken. Nothing of it has happened before it is committed.
pub(crate) struct Uncommitted {
    tx: Box<dyn Transaction>,
    settled: Settled,
    /// Whether the next may be taken while this one is committed: nobody else waits for a turn, the order is free, and the
    /// store does both at once.
    pub(crate) may_end_behind: bool,
    turn: Option<Turn>,
    outbox: Arc<Notify>,
}

/// Whose turn it was, and how it went.
struct Turn {
    flow: Flow,
    share: u32,
    limit: usize,
    size: usize,
    started: Instant,
    shares: Arc<Mutex<Shares>>,
}

impl Uncommitted {
    /// Makes it happen, and answers what it was.
    ///
    /// # Errors
    /// When the store fails; nothing has happened then.
    pub(crate) async fn commit(self) -> Result<Settled> {
        dripline_model::crash::point("batch.commit.before");
        self.tx.commit().await.while_doing("commit a batch")?;
        dripline_model::crash::point("batch.commit.after");
        self.outbox.notify_one();
        if let Some(Turn { flow, share, limit, size, started, shares }) = self.turn {
            lock(&shares).end(flow, share, limit, size, started.elapsed());
        }
        Ok(self.settled)
    }
}

impl Engine {
    /// Does what is due at `now` of that workflow (or of the events) whose turn it is, in one transaction. `None` when
    /// there was nothing to do.
    ///
    /// # Errors
    /// When the store fails; nothing has happened then.
    pub async fn step(&self, now: Timestamp) -> Result<Option<Settled>> {
        despite!(self.step_once(now).await)
    }

    async fn step_once(&self, now: Timestamp) -> Result<Option<Settled>> {
        let Some(done) = self.take_step(Order::Fair, now).await? else { return Ok(None) };
        done.commit().await.map(Some)
    }

    /// The step that [`Engine::step`] takes, up to its commit.
    pub(crate) async fn take_step(&self, order: Order, now: Timestamp) -> Result<Option<Uncommitted>> {
        // The look waits for the store's writer, because what woke us may be another process's transaction that has not
        // ended yet, and would be seen by nobody else.
        let mut tx = self.store.begin().await.while_doing("begin a batch")?;
        let busy = self.busy(tx.as_mut(), now).await?;
        let turns = match order {
            Order::Fair => {
                let flows: Vec<_> = busy.iter().map(|busy| busy.flow).collect();
                self.shares().order(&flows, Instant::now())
            }
            Order::Fixed => {
                let mut flows: Vec<_> = busy.iter().map(|busy| busy.flow).collect();
                flows.sort_unstable();
                flows
            }
        };
        let full = self.options.batch_size;
        let yields = match order {
            Order::Fair => Yields::ToTheUrgent,
            Order::Fixed => Yields::Never,
        };
        let may_end_behind = order == Order::Fair && busy.len() == 1 && !self.store.has_one_writer();
        for flow in turns {
            let started = Instant::now();
            let limit = match order {
                Order::Fair => self.shares().begin(flow, full, started),
                Order::Fixed => full,
            };
            let done = match flow {
                Flow::Firing(firing) => self.take_firing(tx.as_mut(), firing, now, limit).await?,
                Flow::Runs(workflow) => self.take_runs(tx.as_mut(), workflow, now, limit, yields).await?,
                Flow::Segments => self.take_segments(tx.as_mut(), now, limit).await?,
                Flow::Arrivals => self.take_arrivals(tx.as_mut(), now, limit).await?,
                Flow::Held => self.take_held(tx.as_mut(), now, limit).await?,
            };
            // Others are at all of it.
            let Some((settled, size)) = done else { continue };
            let turn = (order == Order::Fair).then(|| Turn {
                flow,
                share: busy.iter().find(|busy| busy.flow == flow).map_or(DEFAULT_SHARE, |busy| busy.share),
                limit,
                size,
                started,
                shares: Arc::clone(&self.shares),
            });
            let outbox = Arc::clone(&self.outbox);
            return Ok(Some(Uncommitted { tx, settled, may_end_behind, turn, outbox }));
        }
        Ok(None)
    }

    async fn busy(&self, tx: &mut dyn Transaction, now: Timestamp) -> Result<Vec<Busy>> {
        let look = tx.look(now).await.while_doing("look for what is due")?;
        let firings = match look.firings {
            true => tx.open_firings().await.while_doing("read the open firings")?,
            false => Vec::new(),
        };
        let published = self.published();
        // A retired workflow has the share of one that says nothing.
        let share = |workflow| published.program(workflow).map_or(DEFAULT_SHARE, |program| program.share);
        let mut busy = Vec::with_capacity(firings.len() + look.workflows.len() + 3);
        busy.extend(
            firings
                .into_iter()
                .map(|firing| Busy { flow: Flow::Firing(firing.id), share: share(firing.new.workflow) }),
        );
        busy.extend(
            look.workflows
                .into_iter()
                .map(|workflow| Busy { flow: Flow::Runs(workflow), share: share(workflow) }),
        );
        if look.segments {
            busy.push(Busy { flow: Flow::Segments, share: SHARE_OF_SEGMENTS });
        }
        if look.arrivals {
            busy.push(Busy { flow: Flow::Arrivals, share: SHARE_OF_ARRIVALS });
        }
        if look.held {
            busy.push(Busy { flow: Flow::Held, share: SHARE_OF_ARRIVALS });
        }
        Ok(busy)
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        lock(&self.shares)
    }
}

/// A poisoned lock holds nothing half-made that matters: shares say only who is next.
fn lock(shares: &Mutex<Shares>) -> MutexGuard<'_, Shares> {
    shares.lock().unwrap_or_else(PoisonError::into_inner)
}
