//! The heartbeat by which guests give way.
//!
//! Compiled code looks at the engine's epoch at every loop and function entry; each tick makes running guests yield to
//! the async runtime, which then sees their timeouts. The thread ticks only while calls are in flight, so that an idle
//! engine uses no processor time.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use wasmtime::Engine;

/// The longest that a guest holds a thread of the runtime before it yields.
const TICK: Duration = Duration::from_millis(10);

/// Owns the thread; dropping it ends the thread.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    calls: usize,
    parked: bool,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticker {
    /// Starts the thread, parked.
    pub(crate) fn start(engine: Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("plugin-ticker".into()).spawn({
            let shared = Arc::clone(&shared);
            move || tick(&shared, &engine)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Ticks until the answer is dropped.
    pub(crate) fn ticking(&self) -> Ticking<'_> {
        let mut state = self.shared.lock();
        state.calls += 1;
        // A thread that still ticks for the call before needs no waking: between batches that follow each other
        // closely there is no system call.
        if state.parked {
            self.shared.wake.notify_one();
        }
        Ticking(&self.shared)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked, and there would be nothing to do about it.
            let _ = thread.join();
        }
    }
}

/// One call in flight.
pub(crate) struct Ticking<'a>(&'a Shared);

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.lock().calls -= 1;
    }
}

fn tick(shared: &Shared, engine: &Engine) {
    let mut state = shared.lock();
    while !state.stop {
        if state.calls == 0 {
            state.parked = true;
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.parked = false;
        } else {
            state = shared.wake.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
            engine.increment_epoch();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_parks_when_no_call_is_in_flight_and_ends_with_its_owner() {
        let ticker = Ticker::start(Engine::default()).unwrap();
        let parked = || {
            for _ in 0..1_000 {
                if ticker.shared.lock().parked {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            false
        };
        assert!(parked());
        let ticking = ticker.ticking();
        drop(ticking);
        assert!(parked());
        let shared = Arc::clone(&ticker.shared);
        drop(ticker);
        assert_eq!(Arc::strong_count(&shared), 1, "the thread has let go");
    }
}
