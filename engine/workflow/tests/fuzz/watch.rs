//! Ends the process when an input takes too long, and says which.

use std::{
    fs,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// An answer that takes longer never comes: the slowest take some milliseconds.
const TOO_LONG: Duration = Duration::from_secs(60);

/// The input that is being answered.
type Current = Option<(Instant, &'static str, String)>;

/// Watches over one input at a time.
pub(crate) struct Watch(Arc<Mutex<Current>>);

impl Watch {
    /// Begins to watch, for as long as the process lives.
    pub(crate) fn start() -> Self {
        let current: Arc<Mutex<Current>> = Arc::default();
        let watched = Arc::clone(&current);
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_secs(1));
                if let Some((since, target, input)) = watched.lock().unwrap().as_ref()
                    && since.elapsed() > TOO_LONG
                {
                    eprintln!("{target} hangs over this input:\n{input:?}");
                    std::process::abort();
                }
            }
        });
        Self(current)
    }

    /// An input is given.
    pub(crate) fn begin(&self, target: &'static str, input: &str) {
        *self.0.lock().unwrap() = Some((Instant::now(), target, input.to_owned()));
    }

    /// Nothing is being answered.
    pub(crate) fn end(&self) {
        *self.0.lock().unwrap() = None;
    }
}

/// The most memory that this process has taken so far, where the system tells.
pub(crate) fn most_memory_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}
