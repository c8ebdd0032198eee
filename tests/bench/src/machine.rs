//! The machine on which the figures were taken.

use std::{fmt, fs, process::Command, thread};

use serde_json::{Value, json};

/// What a reader must know to compare figures.
#[derive(Debug)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    kernel: String,
    rustc: String,
    profile: &'static str,
    sqlite: &'static str,
    postgres: Option<String>,
}

impl Machine {
    /// This machine; `postgres` is the version of the server that took part.
    pub(crate) fn look(postgres: Option<String>) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let processor = processor
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map(|(_, model)| model.trim().to_owned());
        let rustc = Command::new("rustc").arg("--version").output().ok();
        let rustc = rustc.and_then(|output| String::from_utf8(output.stdout).ok());
        let unknown = || "unknown".to_owned();
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            processor: processor.unwrap_or_else(unknown),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: rustc.map_or_else(unknown, |said| said.trim().to_owned()),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            sqlite: rusqlite::version(),
            postgres,
        }
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "cores": self.cores,
            "processor": self.processor,
            "kernel": self.kernel,
            "rustc": self.rustc,
            "profile": self.profile,
            "sqlite": self.sqlite,
            "postgres": self.postgres,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, kernel, rustc, profile, sqlite, postgres } = self;
        writeln!(f, "{cores} cores, {processor}, Linux {kernel}, {rustc}, {profile} build, SQLite {sqlite}")?;
        if let Some(postgres) = postgres {
            writeln!(f, "PostgreSQL {postgres}")?;
        }
        if cfg!(debug_assertions) {
            writeln!(f, "This is a debug build: its figures mean nothing.")?;
        }
        Ok(())
    }
}
