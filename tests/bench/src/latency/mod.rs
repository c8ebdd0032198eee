//! How long a lead waits: from the commit of an event to the commit of the assignment that it leads to.

mod watch;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use dripline_model::{
    Clock, SystemClock,
    decision::RunStatus,
    id::{ContactId, VersionId},
};
use dripline_store::{EventRow, Store};
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use self::watch::Watch;
use crate::{
    Result, campaign, people,
    place::{Database, Kind, Place},
    report::Report,
    workshop::Workshop,
};

/// From the commit of an event to the commit of the assignment, with an engine that has nothing else to do, and with one
/// that is working off a campaign
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the contacts are
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite")]
    store: Vec<Kind>,
    /// How many events, each of another contact
    #[arg(long, default_value_t = 500)]
    events: u32,
    /// How many of them come in a second
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// How many contacts stand in the campaign beside which it is measured again
    #[arg(long, default_value_t = 1_000_000)]
    campaign: u32,
    /// Turns in a batch
    #[arg(long, default_value_t = 1_000)]
    batch: usize,
    /// How often one looks for new assignments, in microseconds
    #[arg(long, default_value_t = 1_000)]
    poll_us: u64,
    /// How many seconds to wait for assignments after the last event
    #[arg(long, default_value_t = 1_800)]
    patience_seconds: u64,
}

/// The smallest run that goes everywhere.
pub(crate) const SMOKE: &[&str] = &["--events", "8", "--rate", "40", "--campaign", "150", "--batch", "20"];

pub(crate) async fn execute(args: &Args, dir: &Path) -> Result<Report> {
    let note = format!(
        "{} events at {} a second, once; milliseconds, looked for every {} µs",
        args.events, args.rate, args.poll_us
    );
    let columns = [
        "store",
        "campaign",
        "left at the last event",
        "assigned",
        "p50",
        "p90",
        "p99",
        "max",
        "event's own commit p50",
        "p99",
    ];
    let mut report = Report::new("latency", note, &columns);
    let workshop = Workshop::open(dir).await?;
    for kind in &args.store {
        let place = Place::new(*kind, dir).await?;
        report.postgres = report.postgres.take().or(place.postgres().await?);
        for campaign in [0, args.campaign] {
            let database = place.empty().await?;
            let measured = measure(&workshop, &database, args, campaign).await?;
            let waits = histogram(&measured.waits)?;
            let commits = histogram(&measured.commits)?;
            let at = |all: &Histogram<u64>, quantile| json!(milliseconds(all.value_at_quantile(quantile)));
            report.row(vec![
                json!(kind.name()),
                json!(campaign),
                json!(measured.left),
                json!(measured.waits.len()),
                at(&waits, 0.5),
                at(&waits, 0.9),
                at(&waits, 0.99),
                json!(milliseconds(waits.max())),
                at(&commits, 0.5),
                at(&commits, 0.99),
            ]);
            place.remove(database).await?;
        }
    }
    Ok(report)
}

/// What one round measured.
struct Measured {
    waits: Vec<Duration>,
    commits: Vec<Duration>,
    /// How many runs of the campaign were still to be worked off when the last event came.
    left: u64,
}

async fn measure(workshop: &Workshop, database: &Database, args: &Args, campaign: u32) -> Result<Measured> {
    let store = database.open().await?;
    let now = SystemClock.now();
    workshop.publish(store.as_ref(), &campaign::routing(), now).await?;
    let five_steps = workshop.publish(store.as_ref(), &campaign::five_steps(), now).await?;
    let leads = people::import(store.as_ref(), 1, args.events, now).await?;
    if campaign > 0 {
        let others = people::import(store.as_ref(), args.events + 1, campaign, now).await?;
        people::enrol(store.as_ref(), &five_steps, &others, others.len(), now).await?;
    }

    let engine = workshop.engine(Arc::clone(&store), Arc::new(SystemClock), args.batch).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        engine.run_forever(stopped).await
    });
    let watch = Watch::start(database, Duration::from_micros(args.poll_us))?;
    let emitted = emit(store.as_ref(), args, &leads, &watch).await?;
    let left = standing(store.as_ref(), five_steps.version).await?;
    let seen = watch.finish(Duration::from_secs(args.patience_seconds)).await?;
    let _ = stop.send(());
    running.await??;

    let waits = emitted.iter().filter_map(|event| {
        let seen = seen.get(&event.contact.0)?;
        Some(seen.saturating_duration_since(event.committed))
    });
    let waits = waits.collect();
    let commits = emitted.iter().map(|event| event.took).collect();
    drop(store);
    Ok(Measured { waits, commits, left })
}

/// An event that is in the store.
struct Emitted {
    contact: ContactId,
    committed: Instant,
    took: Duration,
}

/// Lets the events come in, each in a transaction of its own, at the rate.
async fn emit(store: &dyn Store, args: &Args, leads: &[ContactId], watch: &Watch) -> Result<Vec<Emitted>> {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / args.rate.max(0.1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut emitted = Vec::with_capacity(leads.len());
    for (number, contact) in (1..).zip(leads) {
        ticks.tick().await;
        let event = EventRow {
            key: Some(format!("visit/{number}")),
            contact: people::key(number),
            name: campaign::VISIT.to_owned(),
            at: SystemClock.now(),
            properties: Map::<String, Value>::new(),
            live: true,
        };
        watch.look_for(*contact);
        let started = Instant::now();
        let mut import = store.begin_import().await?;
        import.insert_events(&[event], SystemClock.now()).await?;
        import.commit().await?;
        emitted.push(Emitted { contact: *contact, committed: Instant::now(), took: started.elapsed() });
    }
    Ok(emitted)
}

/// Active runs of a version.
async fn standing(store: &dyn Store, version: VersionId) -> Result<u64> {
    let standing = store.standing().await?;
    let active = standing.iter().filter(|row| row.version == version && row.status == RunStatus::Active);
    Ok(active.map(|row| row.runs).sum())
}

/// In microseconds.
fn histogram(durations: &[Duration]) -> Result<Histogram<u64>> {
    let mut all = Histogram::new(3)?;
    for duration in durations {
        all.record(u64::try_from(duration.as_micros())?)?;
    }
    Ok(all)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn milliseconds(us: u64) -> f64 {
    us as f64 / 1_000.0
}
