//! One call of a guest: a fresh store, its limits, and what went wrong.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::error::Elapsed;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use crate::{
    bindings::{StepPre, wit},
    error::{CallErrorKind, cause},
    guest::Guest,
    host::Shared,
    limits::Limits,
};

/// A linked component, ready to be instantiated for each call.
pub(crate) struct Sandbox {
    host: Arc<Shared>,
    step: StepPre<Guest>,
}

/// A call that failed, and what the guest said before it did.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) kind: CallErrorKind,
    pub(crate) log: String,
}

impl From<CallErrorKind> for Failed {
    fn from(kind: CallErrorKind) -> Self {
        Self { kind, log: String::new() }
    }
}

impl Sandbox {
    pub(crate) fn new(host: Arc<Shared>, step: StepPre<Guest>) -> Self {
        Self { host, step }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.host.limits
    }

    /// The time of one call.
    pub(crate) fn call_time(&self) -> Duration {
        Duration::from_millis(self.host.limits.call_timeout_ms)
    }

    /// Calls `describe`.
    pub(crate) async fn describe(&self) -> Result<wit::Manifest, Failed> {
        let _ticking = self.host.ticker.ticking();
        let (mut store, time) = (self.store(Timestamp::UNIX_EPOCH, 0), self.call_time());
        let call = async { self.step.instantiate_async(&mut store).await?.call_describe(&mut store).await };
        let answer = tokio::time::timeout(time, call).await;
        self.answered(&store, time, answer)
    }

    /// Calls `check`.
    pub(crate) async fn check(&self, config: &str) -> Result<Vec<wit::Problem>, Failed> {
        let _ticking = self.host.ticker.ticking();
        let (mut store, time) = (self.store(Timestamp::UNIX_EPOCH, 0), self.call_time());
        let call =
            async { self.step.instantiate_async(&mut store).await?.call_check(&mut store, config).await };
        let answer = tokio::time::timeout(time, call).await;
        self.answered(&store, time, answer)
    }

    /// Calls `run` at the instant `now` with randomness from `seed`, for at most `time`.
    pub(crate) async fn run(
        &self,
        config: &str,
        batch: wit::Batch<'_>,
        (now, seed): (Timestamp, u64),
        time: Duration,
    ) -> Result<wit::Outcomes, Failed> {
        let _ticking = self.host.ticker.ticking();
        let mut store = self.store(now, seed);
        let call = async {
            self.step.instantiate_async(&mut store).await?.call_run(&mut store, config, batch).await
        };
        let answer = tokio::time::timeout(time, call).await;
        self.answered(&store, time, answer)?.map_err(|words| Failed {
            kind: CallErrorKind::Plugin(shortened(words)),
            log: store.data().log.text(),
        })
    }

    /// A store that nobody used before, so that nothing leaks from one call into another.
    fn store(&self, now: Timestamp, seed: u64) -> Store<Guest> {
        let limits = &self.host.limits;
        let mut store = Store::new(self.host.engine(), Guest::new(now, seed, limits.memory_bytes));
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(limits.output_bytes);
        store.set_epoch_deadline(1);
        // Tokio's own way to yield lets its timers run before the guest goes on; the timeout depends on that.
        store.epoch_deadline_callback(|_| {
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store
    }

    fn answered<T>(
        &self,
        store: &Store<Guest>,
        time: Duration,
        answer: Result<wasmtime::Result<T>, Elapsed>,
    ) -> Result<T, Failed> {
        let guest = store.data();
        let kind = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Err(_elapsed) => {
                CallErrorKind::Time { limit_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) }
            }
            // Running out of memory ends in whatever the guest's allocator does about it; the limit is the cause.
            Ok(Err(_)) if guest.memory.denied => CallErrorKind::Memory { limit_bytes: guest.memory.limit },
            Ok(Err(error)) => self.diagnose(&error),
        };
        Err(Failed { kind, log: guest.log.text() })
    }

    fn diagnose(&self, error: &wasmtime::Error) -> CallErrorKind {
        if let Some(trap) = error.downcast_ref::<Trap>() {
            let trap = trap.to_string();
            return CallErrorKind::Trap(trap.trim_start_matches("wasm trap: ").to_owned());
        }
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return CallErrorKind::Trap(format!("it ended the process with code {code}"));
        }
        let cause = cause(error);
        // wasmtime has no type for this error.
        if cause.contains("fuel allocated for hostcalls") {
            let limit = self.host.limits.output_bytes;
            return CallErrorKind::BadOutput(format!("it hands over more than {limit} bytes at once"));
        }
        CallErrorKind::BadOutput(cause)
    }
}

/// A plugin's own words, of which each turn of a batch may get a copy.
fn shortened(mut words: String) -> String {
    const MOST: usize = 4 << 10;
    if words.len() > MOST {
        words.truncate(words.floor_char_boundary(MOST));
        words.push('…');
    }
    words
}
