//! What moves the engine: the machine's clock, or a driven one that leaps from one due moment to the next.

use std::{pin::pin, sync::atomic::Ordering, time::Duration};

use dripline_delivery::{Abandoned, Delivered};
use dripline_model::DrivenClock;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use crate::{
    engine::Engine,
    error::{Result, While},
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

/// The longest sleep between two looks at the store; only a guard against a machine whose clock is set.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// The longest wait between two looks at whether the engine closes.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

impl Engine {
    /// Does everything that is due at `now`: events, schedules, runs. Messages wait for [`Engine::deliver`]. After
    /// [`Engine::close`] it ends with the batch that is under way.
    ///
    /// # Errors
    /// When the store fails. What was committed stays; calling again goes on from there.
    pub async fn settle(&self, now: Timestamp) -> Result<Settled> {
        let mut settled = Settled { enrolled: self.fire_schedules(now).await?, ..Settled::default() };
        // What is due first, then the next events, always: a process that dies and comes back takes the same order.
        // Each look waits for the store's writer, because what woke us may be another process's transaction that has
        // not ended yet, and would be seen by nobody else.
        while !self.is_closing() {
            match self.run_batch(now).await? {
                0 => {
                    let arrived = self.run_arrivals(now).await?;
                    settled.events += arrived.events;
                    settled.enrolled += arrived.enrolled;
                    if arrived.events == 0 {
                        break;
                    }
                }
                turns => settled.turns += turns,
            }
        }
        Ok(settled)
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
            let settled = self.settle(now).await?;
            observe(&Moment { now, settled, delivered: self.deliver().await? });
        }
        Ok(())
    }

    async fn next_moment(&self) -> Result<Option<Timestamp>> {
        let Some(due) = self.next_due().await? else { return Ok(None) };
        let firing = self.next_firing(self.clock.now())?;
        Ok(Some(firing.map_or(due, |firing| firing.min(due))))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        let run = self.store.next_due().await.while_doing("ask what is due next")?;
        let message = self.deliverer.next_due().await.while_doing("ask which message is due next")?;
        Ok([run, message].into_iter().flatten().min())
    }

    /// Runs until `stop` resolves: sleeps until the next due time or until something new is written, and delivers
    /// beside it, so that a slow server never holds a step up. What is under way when `stop` resolves is finished.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn run_forever(&self, stop: impl Future<Output = ()>) -> Result<()> {
        let (stopping, stopped) = watch::channel(false);
        let stop_all = async || {
            stopping.send_replace(true);
            self.close().await;
        };
        let outbox = Notify::new();
        let mut stop = pin!(stop);
        let mut steps = pin!(self.schedule_forever(&outbox, stopped.clone()));
        let mut mails = pin!(self.deliver_forever(&outbox, stopped));
        // Whichever ends first ends the others, in order: a delivery that is just dropped leaves its mails uncertain.
        tokio::select! {
            () = &mut stop => {
                let ((), steps, mails) = tokio::join!(stop_all(), steps, mails);
                steps.and(mails)
            }
            ended = &mut steps => ended.and(tokio::join!(stop_all(), mails).1),
            ended = &mut mails => ended.and(tokio::join!(stop_all(), steps).1),
        }
    }

    async fn schedule_forever(&self, outbox: &Notify, mut stopped: watch::Receiver<bool>) -> Result<()> {
        while !*stopped.borrow_and_update() {
            let now = self.clock.now();
            let settled = self.settle(now).await?;
            if settled != Settled::default() {
                let Settled { events, enrolled, turns } = settled;
                tracing::info!(events, enrolled, turns, "did what was due");
            }
            outbox.notify_one();
            let due = self.store.next_due().await.while_doing("ask what is due next")?;
            let firing = self.next_firing(now)?;
            let due = [due, firing].into_iter().flatten().min();
            self.sleep_until(due, self.store.changed(), &mut stopped).await;
        }
        Ok(())
    }

    async fn deliver_forever(&self, outbox: &Notify, mut stopped: watch::Receiver<bool>) -> Result<()> {
        while !*stopped.borrow_and_update() {
            let delivered = self.deliver().await?;
            if delivered != Delivered::default() {
                let Delivered { sent, retried, failed, uncertain } = delivered;
                tracing::info!(sent, retried, failed, uncertain, "delivered messages");
            }
            let due = self.deliverer.next_due().await.while_doing("ask which message is due next")?;
            self.sleep_until(due, outbox.notified(), &mut stopped).await;
        }
        Ok(())
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

    async fn sleep_until(
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
