//! How long the program takes to be ready, and what it uses while there is nothing to do.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    Result,
    process::{Process, TICKS_PER_SECOND},
    report::Report,
    statistics::median,
};

/// Time from the start of the process to ready, and what `dripline run --forever` uses while nothing is due
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program; build it with `cargo build --release`
    #[arg(long, default_value = "target/release/dripline")]
    pub(crate) binary: PathBuf,
    /// How often each command is started
    #[arg(long, default_value_t = 20)]
    repeat: usize,
    /// For how many seconds it is watched while it has nothing to do
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
}

/// The smallest run that goes everywhere.
pub(crate) const SMOKE: &[&str] = &["--repeat", "1", "--idle-seconds", "1"];

/// What it says when it is ready.
const READY: &str = "Running.";

pub(crate) fn execute(args: &Args, dir: &Path) -> Result<Report> {
    let note = format!("each started {} times after once to warm up; milliseconds", args.repeat);
    let mut report =
        Report::new("startup", note, &["what", "median", "fastest", "slowest", "ticks", "peak MiB"]);
    let folder = tempfile::Builder::new().prefix("dripline-bench-").tempdir_in(dir)?;
    let workspace = folder.path().join("campaigns");
    let binary = std::path::absolute(&args.binary)?;
    done(Command::new(&binary).arg("init").arg(&workspace))?;

    for words in [&["--version"][..], &["runs", "list"], &["check"], &["run"]] {
        let started = || done(Command::new(&binary).args(words).current_dir(&workspace));
        started()?;
        let times = (0..args.repeat).map(|_| started()).collect::<Result<Vec<_>>>()?;
        report.row(row(&format!("dripline {}", words.join(" ")), &times));
    }
    let times = (0..args.repeat).map(|_| Running::start(&binary, &workspace).map(|(_, ms)| ms));
    let times = times.collect::<Result<Vec<_>>>()?;
    report.row(row("dripline run --forever, until it is ready", &times));

    let (running, _) = Running::start(&binary, &workspace)?;
    let process = Process::of(running.0.id());
    thread::sleep(Duration::from_millis(500));
    let before = process.ticks()?;
    thread::sleep(Duration::from_secs(args.idle_seconds));
    let ticks = process.ticks()? - before;
    let what = format!("ticks ({TICKS_PER_SECOND} a second) of {} s idle", args.idle_seconds);
    let peak = process.peak_kib()? / 1024;
    report.row(vec![json!(what), json!(null), json!(null), json!(null), json!(ticks), json!(peak)]);
    Ok(report)
}

fn row(what: &str, times: &[f64]) -> Vec<serde_json::Value> {
    let [fastest, slowest] = [f64::min, f64::max].map(|pick| times.iter().copied().reduce(pick));
    vec![json!(what), json!(median(times)), json!(fastest), json!(slowest), json!(null), json!(null)]
}

/// Runs it to its end; answers how many milliseconds that took.
pub(crate) fn done(command: &mut Command) -> Result<f64> {
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let ms = started.elapsed().as_secs_f64() * 1_000.0;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(ms)
}

/// A `dripline run --forever` that is ended when it is dropped.
struct Running(Child);

impl Running {
    /// Starts it and waits until it is ready; answers how many milliseconds that took.
    fn start(binary: &Path, workspace: &Path) -> Result<(Self, f64)> {
        let mut command = Command::new(binary);
        command.args(["run", "--forever"]).current_dir(workspace).stdin(Stdio::null()).stdout(Stdio::piped());
        let started = Instant::now();
        let mut running = Self(command.spawn().map_err(|error| format!("{command:?}: {error}"))?);
        let said = running.0.stdout.take().ok_or("its standard output")?;
        for line in BufReader::new(said).lines() {
            if line?.starts_with(READY) {
                return Ok((running, started.elapsed().as_secs_f64() * 1_000.0));
            }
        }
        Err(format!("{command:?} ended before it was ready").into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing is under way in it, so nothing is lost.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
