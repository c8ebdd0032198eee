//! Ends the process when an input takes too long, and says which.

use std::{
    fs,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// An answer that takes more of the processor never comes: the slowest take some milliseconds. The clock on the wall says
/// nothing, because a process may have to wait for its turn.
const TOO_LONG: Duration = Duration::from_secs(60);

/// What is being answered.
#[derive(Default)]
struct Current {
    /// How many inputs there were.
    number: u64,
    input: Option<(&'static str, String)>,
}

/// Watches over one input at a time.
pub(crate) struct Watch(Arc<Mutex<Current>>);

impl Watch {
    /// Begins to watch, for as long as the process lives.
    pub(crate) fn start() -> Self {
        let current: Arc<Mutex<Current>> = Arc::default();
        let watched = Arc::clone(&current);
        thread::spawn(move || {
            let (mut number, mut since) = (0, processor_time());
            loop {
                thread::sleep(Duration::from_secs(1));
                let current = watched.lock().unwrap();
                if current.number != number {
                    (number, since) = (current.number, processor_time());
                }
                if let Some((target, input)) = &current.input
                    && processor_time().saturating_sub(since) > TOO_LONG
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
        let mut current = self.0.lock().unwrap();
        current.number += 1;
        current.input = Some((target, input.to_owned()));
    }

    /// Nothing is being answered.
    pub(crate) fn end(&self) {
        self.0.lock().unwrap().input = None;
    }
}

/// How long this process has had a processor, where the system tells: user and system time of all its threads (proc(5),
/// `/proc/pid/stat`), in hundredths of a second.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in brackets, may hold anything; user time and system time are the 12th and 13th value behind it.
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        behind.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

/// The most memory that this process has taken so far, where the system tells.
pub(crate) fn most_memory_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}
