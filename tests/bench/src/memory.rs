//! Memory while a great many runs are asleep, and while they wake.

use std::{path::Path, sync::Arc, time::Instant};

use dripline_model::{Clock, DrivenClock, SystemClock};
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    Result, campaign, people,
    place::{Kind, Place},
    process::Process,
    report::Report,
    statistics::rate,
    workshop::Workshop,
};

/// Peak memory of the engine with a million runs that fall asleep, sleep, and are woken all at once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the contacts are
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Kind,
    /// How many runs
    #[arg(long, default_value_t = 1_000_000)]
    runs: u32,
    /// Turns in a batch
    #[arg(long, default_value_t = 1_000)]
    batch: usize,
}

/// The smallest run that goes everywhere.
pub(crate) const SMOKE: &[&str] = &["--runs", "50", "--batch", "20"];

pub(crate) async fn execute(args: &Args, dir: &Path) -> Result<Report> {
    let note = "once; the peak is that of each phase alone, and of this process alone";
    let columns = ["store", "runs", "phase", "turns", "seconds", "turns/s", "peak MiB", "afterwards MiB"];
    let mut report = Report::new("memory", note, &columns);
    let place = Place::new(args.store, dir).await?;
    report.postgres = place.postgres().await?;
    let database = place.empty().await?;
    let store = database.open().await?;
    let workshop = Workshop::open(dir).await?;
    let clock = Arc::new(DrivenClock::starting_at(SystemClock.now()));
    let now = clock.now();
    let program = workshop.publish(store.as_ref(), &campaign::sleepers(), now).await?;
    {
        let contacts = people::import(store.as_ref(), 1, args.runs, now).await?;
        people::enrol(store.as_ref(), &program, &contacts, contacts.len(), now).await?;
    }
    let engine = workshop.engine(store, Arc::<DrivenClock>::clone(&clock), args.batch).await?;
    for (phase, days) in [("fall asleep", 0), ("sleep", 15), ("wake", 31)] {
        clock.advance_to(now + SignedDuration::from_hours(24 * days));
        let own = Process::own();
        own.forget_peak()?;
        let started = Instant::now();
        let turns = engine.settle(clock.now()).await?.turns;
        let seconds = started.elapsed().as_secs_f64();
        let (peak, afterwards) = (own.peak_kib()? / 1024, own.resident_kib()? / 1024);
        report.row(vec![
            json!(args.store.name()),
            json!(args.runs),
            json!(phase),
            json!(turns),
            json!(seconds),
            json!(rate(turns, seconds)),
            json!(peak),
            json!(afterwards),
        ]);
    }
    Ok(report)
}
