//! What moves the engine: the machine's clock, or a driven one that leaps from one due moment to the next.

use std::{
    ops::AddAssign,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dripline_delivery::{Abandoned, Delivered};
use dripline_model::DrivenClock;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    engine::Engine,
    error::{Result, While, despite},
    outage::{Outage, Patience},
    step::Order,
};

/// What was done at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Events that arrived.
    pub events: u64,
    /// Runs that began.
    pub enrolled: u64,
    /// Turns that were taken.
    pub turns: u64,
}

/// A moment that [`Engine::fast_forward`] has dealt with.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The clock.
    pub now: Timestamp,
    /// What the engine did.
    pub settled: Settled,
    /// What became of messages.
    pub delivered: Delivered,
}

impl AddAssign for Settled {
    fn add_assign(&mut self, more: Self) {
        let Self { events, enrolled, turns } = more;
        self.events += events;
        self.enrolled += enrolled;
        self.turns += turns;
    }
}

/// What has happened, and the commit of one more step that is under way.
#[derive(Default)]
struct Progress {
    settled: Settled,
    behind: Option<JoinHandle<Result<Settled>>>,
}

impl Progress {
    /// Waits for the commit that is under way; answers whether there was one.
    async fn catch_up(&mut self) -> Result<bool> {
        let Some(commit) = self.behind.take() else { return Ok(false) };
        match commit.await.while_doing("commit a batch").flatten() {
            Ok(settled) => self.settled += settled,
            // Given up for another's sake: nothing has happened, and all of it is still due.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}

/// How often an engine that is never idle looks at its schedules and at what others published.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// How long to leave alone what is due and was not to be had, because another process is at it.
const LEAVE_ALONE: Duration = Duration::from_millis(50);

/// The longest sleep between two looks at the store; only a guard against a machine whose clock is set, or that was
/// suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The longest wait between two looks at whether the engine closes.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

impl Engine {
    /// Does everything that is due at `now`: events, schedules, runs, each workflow in its turn. Messages wait for
    /// [`Engine::deliver`]. After [`Engine::close`] it ends with the batch that is under way.
    ///
    /// # Errors
    /// When the store fails. What was committed stays; calling again goes on from there.
    pub async fn settle(&self, now: Timestamp) -> Result<Settled> {
        Ok(self.settle_in(Order::Fair, || now).await?.0)
    }

    /// Settles at the moments that `clock` gives. Answers what was done, and at which moment nothing was left.
    async fn settle_in(&self, order: Order, clock: impl Fn() -> Timestamp) -> Result<(Settled, Timestamp)> {
        let mut progress = Progress::default();
        let settled = self.settle_behind(order, clock, &mut progress).await;
        // Whatever happened: nothing is under way any more when this returns.
        let ended = progress.catch_up().await;
        let now = settled?;
        ended?;
        Ok((progress.settled, now))
    }

    async fn settle_behind(
        &self,
        order: Order,
        clock: impl Fn() -> Timestamp,
        progress: &mut Progress,
    ) -> Result<Timestamp> {
        let mut looked: Option<Timestamp> = None;
        let mut now = clock();
        while !self.is_closing() {
            if looked.is_none_or(|looked| now.duration_since(looked) >= LOOK_EVERY) {
                self.follow().await?;
                self.fire_schedules(now).await?;
                self.look_at_experiments(now).await?;
                looked = Some(now);
            }
            if !despite!(self.step_in(order, now, progress).await)? {
                break;
            }
            now = clock();
        }
        Ok(now)
    }

    /// Takes a step while the one before it is committed, and leaves its own commit behind if it may. Answers whether there
    /// was anything to do.
    async fn step_in(&self, order: Order, now: Timestamp, progress: &mut Progress) -> Result<bool> {
        let step = self.take_step(order, now).await?;
        let was_behind = progress.catch_up().await?;
        match step {
            Some(step) if step.may_end_behind => progress.behind = Some(tokio::spawn(step.commit())),
            Some(step) => progress.settled += step.commit().await?,
            // What was not to be had may be due, or free, now.
            None => return Ok(was_behind),
        }
        Ok(true)
    }

    /// Delivers the messages that are due, as far as the rate of the server allows.
    ///
    /// # Errors
    /// When the store fails. A server that fails is an outcome of its messages.
    pub async fn deliver(&self) -> Result<Delivered> {
        self.deliverer.deliver_due().await.while_doing("deliver messages")
    }

    /// Settles messages that processes left on the wire when they died; answers how many there were. Call it once, before
    /// anything is delivered: with [`Abandoned::All`] only while no other process delivers.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn recover(&self, which: Abandoned) -> Result<u64> {
        self.deliverer.recover(which).await.while_doing("recover messages")
    }

    /// Ends what is under way: steps after the batch, delivery after the messages that are on the wire. Nothing is done
    /// after it.
    pub async fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.deliverer.close().await;
    }

    /// Does and delivers everything that is due by now, and returns. What the rate of a server holds back is waited for.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn run_until_idle(&self) -> Result<Moment> {
        let now = self.clock.now();
        let settled = self.settle(now).await?;
        let mut delivered = self.deliver().await?;
        while let Some(until) = self.deliverer.held_until()
            && self.wait_until(until).await
        {
            delivered += self.deliver().await?;
        }
        Ok(Moment { now, settled, delivered })
    }

    /// Leaps from one due moment to the next until nothing is left to do, and calls `observe` after each. Schedules
    /// fire at their moments on the way, but do not keep it going by themselves: they never end.
    ///
    /// What falls on one moment is done in an order that follows from the store alone, so that the same store comes to the
    /// same end each time. Nobody waits on such a clock, so that it need not be fair.
    ///
    /// `clock` is the clock that the engine was started with. It never moves back, so a second call goes on where a
    /// first one, or a process that died, stopped.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn fast_forward(&self, clock: &DrivenClock, mut observe: impl FnMut(&Moment)) -> Result<()> {
        while !self.is_closing()
            && let Some(due) = self.next_moment().await?
        {
            clock.advance_to(due);
            let now = self.clock.now();
            let (settled, _) = self.settle_in(Order::Fixed, || now).await?;
            observe(&Moment { now, settled, delivered: self.deliver().await? });
        }
        Ok(())
    }

    /// Does and delivers everything that is due at `now`, in the order that [`Engine::fast_forward`] takes. For who drives
    /// the clock and has something to do between two moments.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn settle_moment(&self, now: Timestamp) -> Result<Moment> {
        let (settled, _) = self.settle_in(Order::Fixed, || now).await?;
        let due = self.deliverer.next_due().await.while_doing("ask which message is due next")?;
        let delivered =
            if due.is_some_and(|due| due <= now) { self.deliver().await? } else { Delivered::default() };
        Ok(Moment { now, settled, delivered })
    }

    /// When there is something to do next, a schedule's firing after `now` included. It may lie in the past.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn upcoming(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let due = self.next_due().await?;
        let date = self.store.next_date().await.while_doing("ask which date comes next")?;
        Ok([due, date, self.next_firing(now)?].into_iter().flatten().min())
    }

    async fn next_moment(&self) -> Result<Option<Timestamp>> {
        let Some(due) = self.next_due().await? else { return Ok(None) };
        // What the calendar brings, again and again, goes on only as long as there is something else to do.
        let firing = self.next_firing(self.clock.now())?;
        let calendar = self.next_calendar_change().await?;
        Ok([Some(due), firing, calendar].into_iter().flatten().min())
    }

    async fn next_calendar_change(&self) -> Result<Option<Timestamp>> {
        self.store.next_calendar_change().await.while_doing("ask when the calendar changes a segment")
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        let run = self.store.next_due().await.while_doing("ask what is due next")?;
        let message = self.deliverer.next_due().await.while_doing("ask which message is due next")?;
        Ok([run, message].into_iter().flatten().min())
    }

    /// Runs until `stop` resolves: sleeps until the next due time or until something new is written, and delivers
    /// beside it, so that a slow server never holds a step up. What is under way when `stop` resolves is finished. A
    /// store that is away for a while is waited for. Beside it, what is older than [`Options::retention`](crate::Options) says
    /// is forgotten.
    ///
    /// # Errors
    /// When the store fails for good, or somebody publishes what this program cannot run: to pass its contacts over
    /// would be worse.
    pub async fn run_forever(self: &Arc<Self>, stop: impl Future<Output = ()>) -> Result<()> {
        let (stopping, stopped) = watch::channel(false);
        let outage = Arc::<Outage>::default();
        let mut loops = JoinSet::new();
        for _ in 0..self.options.workers.max(1) {
            let (engine, outage, stopped) = (Arc::clone(self), Arc::clone(&outage), stopped.clone());
            loops.spawn(async move { engine.schedule_forever(&outage, stopped).await });
        }
        let (engine, lost, ended) = (Arc::clone(self), Arc::clone(&outage), stopped.clone());
        loops.spawn(async move { engine.prune_forever(&lost, ended).await });
        let (engine, away, until) = (Arc::clone(self), Arc::clone(&outage), stopped.clone());
        loops.spawn(async move { engine.be_seen_forever(&away, until).await });
        let engine = Arc::clone(self);
        loops.spawn(async move { engine.deliver_forever(&outage, stopped).await });
        // Whichever ends first ends the others, in order: a delivery that is just dropped leaves its mails uncertain.
        let first = tokio::select! {
            () = stop => Ok(()),
            Some(ended) = loops.join_next() => ended.while_doing("run").flatten(),
        };
        stopping.send_replace(true);
        let rest = async {
            let mut rest = Ok(());
            while let Some(ended) = loops.join_next().await {
                rest = rest.and(ended.while_doing("run").flatten());
            }
            rest
        };
        let ended = first.and(tokio::join!(self.close(), rest).1);
        self.be_gone().await;
        ended
    }

    async fn schedule_forever(&self, outage: &Outage, mut stopped: watch::Receiver<bool>) -> Result<()> {
        let mut patience = Patience::new(outage);
        while !*stopped.borrow_and_update() {
            let round = self.schedule_round().await;
            if let Some(next) = patience.bear(round, &mut stopped).await? {
                self.sleep_until(next, self.store.changed(), &mut stopped).await;
            }
        }
        Ok(())
    }

    /// Does what is due; answers when something is next.
    async fn schedule_round(&self) -> Result<Option<Timestamp>> {
        let (settled, now) = self.settle_in(Order::Fair, || self.clock.now()).await?;
        if settled != Settled::default() {
            let Settled { events, enrolled, turns } = settled;
            tracing::info!(events, enrolled, turns, "did what was due");
        }
        let due = self.store.next_due().await.while_doing("ask what is due next")?;
        let taken = due.is_some_and(|due| due <= now);
        let due = if taken { now.saturating_add(LEAVE_ALONE).ok() } else { due };
        let calendar = self.next_calendar_change().await?;
        Ok([due, calendar, self.next_firing(now)?].into_iter().flatten().min())
    }

    async fn deliver_forever(&self, outage: &Outage, mut stopped: watch::Receiver<bool>) -> Result<()> {
        let mut patience = Patience::new(outage);
        while !*stopped.borrow_and_update() {
            let round = self.deliver_round().await;
            if let Some(next) = patience.bear(round, &mut stopped).await? {
                self.sleep_until(next, self.outbox.notified(), &mut stopped).await;
            }
        }
        Ok(())
    }

    /// Delivers what is due; answers when something is next.
    async fn deliver_round(&self) -> Result<Option<Timestamp>> {
        let delivered = self.deliver().await?;
        if delivered != Delivered::default() {
            let Delivered { sent, retried, failed, uncertain } = delivered;
            tracing::info!(sent, retried, failed, uncertain, "delivered messages");
        }
        self.deliverer.next_due().await.while_doing("ask which message is due next")
    }

    /// Waits for an instant; answers whether it came. It does not when the engine closes, or on a driven clock, which
    /// stands still.
    async fn wait_until(&self, until: Timestamp) -> bool {
        loop {
            let now = self.clock.now();
            if now >= until {
                return true;
            }
            let pause: Duration = until.duration_since(now).try_into().unwrap_or(Duration::ZERO);
            tokio::time::sleep(pause.clamp(Duration::from_millis(2), LONGEST_WAIT)).await;
            if self.is_closing() || self.clock.now() == now {
                return false;
            }
        }
    }

    pub(crate) async fn sleep_until(
        &self,
        due: Option<Timestamp>,
        woken: impl Future<Output = ()>,
        stopped: &mut watch::Receiver<bool>,
    ) {
        let pause = due.map_or(LONGEST_SLEEP, |due| {
            let pause = due.duration_since(self.clock.now());
            pause.try_into().unwrap_or(Duration::ZERO).min(LONGEST_SLEEP)
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = woken => {}
            // An error means that the sender is gone, which ends the loop as well.
            _ = stopped.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use dripline_model::id::VersionId;

    use super::*;
    use crate::error::{Error, ErrorKind};

    #[tokio::test]
    async fn what_a_commit_says_that_was_left_behind_is_heard() {
        let done = Settled { turns: 3, ..Settled::default() };
        let mut progress = Progress { settled: done, behind: None };
        assert!(!progress.catch_up().await.unwrap());
        progress.behind = Some(tokio::spawn(async move { Ok(done) }));
        assert!(progress.catch_up().await.unwrap());
        assert_eq!(progress.settled.turns, 6);
        let fails = async { Err(Error { doing: "commit", kind: ErrorKind::NoVersion(VersionId(1)) }) };
        progress.behind = Some(tokio::spawn(fails));
        progress.catch_up().await.unwrap_err();
        assert_eq!((progress.settled.turns, progress.behind.is_none()), (6, true));
    }
}
