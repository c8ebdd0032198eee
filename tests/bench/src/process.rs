//! What the kernel knows of a process (proc(5)).

use std::{fs, process};

use crate::Result;

/// Kernel ticks a second as `/proc` counts them: `USER_HZ`, 100 on every Linux that Rust runs on.
pub(crate) const TICKS_PER_SECOND: u64 = 100;

/// A process of which one may ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    /// This one.
    pub(crate) fn own() -> Self {
        Self(process::id())
    }

    /// The one with this id.
    pub(crate) fn of(id: u32) -> Self {
        Self(id)
    }

    /// The most memory that it has had at a time, in KiB.
    pub(crate) fn peak_kib(self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// The memory that it has, in KiB.
    pub(crate) fn resident_kib(self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// Lets the peak begin anew at what is resident now.
    pub(crate) fn forget_peak(self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.0), "5")?)
    }

    /// The processor time that it has used, in ticks.
    pub(crate) fn ticks(self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The name, in parentheses, may hold anything; behind it utime and stime are the 12th and 13th.
        let (_, rest) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        Ok(ticks.sum::<std::result::Result<u64, _>>()?)
    }

    fn status(self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix(field)).ok_or("a field of /proc/PID/status")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_time_and_memory() {
        let own = Process::own();
        let before = own.ticks().unwrap();
        let started = std::time::Instant::now();
        while started.elapsed().as_millis() < 100 {}
        assert!(own.ticks().unwrap() > before);
        assert!(own.peak_kib().unwrap() >= own.resident_kib().unwrap() / 2);
    }
}
