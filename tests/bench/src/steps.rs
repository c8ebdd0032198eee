//! Steps a second: the engine against the same SQL by hand.

use std::{path::Path, sync::Arc, time::Instant};

use dripline_model::{Clock, SystemClock, id::ContactId};
use dripline_store::StoredProgram;
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    Result,
    campaign::{self, Plan},
    people,
    place::{Database, Kind, Place},
    report::Report,
    statistics::{median, rate},
    tally::Tally,
    workshop::Workshop,
    yardstick,
};

/// Five steps for each contact (score by ten rules, branch, mail to the outbox, owner in turn, end), every batch durable
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the contacts are
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite")]
    store: Vec<Kind>,
    /// How many contacts there are
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    contacts: Vec<u32>,
    /// Turns in a batch
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000")]
    batch: Vec<usize>,
    /// How many engines, or loops of the yardstick, share a store; SQLite has one writer, and so one of them
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    workers: Vec<usize>,
    /// At most so many batches are measured: with fewer contacts enrolled, spread evenly over all; 0 sets no limit
    #[arg(long, default_value_t = 2_000)]
    most_batches: usize,
    /// How often engine and yardstick take turns
    #[arg(long, default_value_t = 3)]
    repeat: usize,
}

/// The smallest run that goes everywhere.
pub(crate) const SMOKE: &[&str] =
    &["--contacts", "60", "--batch", "7,100", "--repeat", "1", "--most-batches", "4"];

/// One combination of sizes.
#[derive(Debug, Clone, Copy)]
struct Case {
    contacts: u32,
    enrolled: usize,
    batch: usize,
    workers: usize,
}

/// Contacts and a published workflow, with nobody in it.
struct Imported {
    database: Database,
    contacts: Vec<ContactId>,
    program: StoredProgram,
    now: Timestamp,
}

pub(crate) async fn execute(args: &Args, dir: &Path) -> Result<Report> {
    let note = format!(
        "engine and yardstick in turn, {} times each; medians, and the median of each pair's ratio. Both wrote the same rows.",
        args.repeat
    );
    let columns = [
        "store",
        "contacts",
        "enrolled",
        "batch",
        "workers",
        "engine steps/s",
        "by hand steps/s",
        "ratio",
        "lowest",
        "highest",
        "rows/contact",
    ];
    let mut report = Report::new("steps", note, &columns);
    let workshop = Workshop::open(dir).await?;
    for kind in &args.store {
        let place = Place::new(*kind, dir).await?;
        report.postgres = report.postgres.take().or(place.postgres().await?);
        for contacts in &args.contacts {
            let imported = import(&workshop, &place, *contacts).await?;
            for batch in &args.batch {
                let limit = if args.most_batches == 0 { usize::MAX } else { args.most_batches };
                let enrolled = limit.saturating_mul(*batch).min(*contacts as usize);
                let queued = enrol(&place, &imported, enrolled).await?;
                for workers in kind.workers(&args.workers) {
                    let case = Case { contacts: *contacts, enrolled, batch: *batch, workers: *workers };
                    let bench = Bench { workshop: &workshop, place: &place, imported: &imported, case };
                    bench.row(&queued, args.repeat, *kind, &mut report).await?;
                }
                place.remove(queued).await?;
            }
            place.remove(imported.database).await?;
        }
    }
    Ok(report)
}

async fn import(workshop: &Workshop, place: &Place, count: u32) -> Result<Imported> {
    let database = place.empty().await?;
    let store = database.open().await?;
    let now = SystemClock.now();
    let program = workshop.publish(store.as_ref(), &campaign::five_steps(), now).await?;
    let contacts = people::import(store.as_ref(), 1, count, now).await?;
    drop(store);
    Ok(Imported { database, contacts, program, now })
}

async fn enrol(place: &Place, imported: &Imported, count: usize) -> Result<Database> {
    let database = place.copy(&imported.database).await?;
    let store = database.open().await?;
    people::enrol(store.as_ref(), &imported.program, &imported.contacts, count, imported.now).await?;
    drop(store);
    Ok(database)
}

/// What one combination is measured with.
struct Bench<'a> {
    workshop: &'a Workshop,
    place: &'a Place,
    imported: &'a Imported,
    case: Case,
}

impl Bench<'_> {
    async fn row(&self, queued: &Database, repeat: usize, kind: Kind, report: &mut Report) -> Result<()> {
        let Case { contacts, enrolled, batch, workers } = self.case;
        let (mut engine, mut by_hand, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = 0.0;
        for _ in 0..repeat.max(1) {
            let ours = self.place.copy(queued).await?;
            let (turns, seconds) = self.engine(&ours).await?;
            self.all_taken("engine", turns)?;
            let tally = Tally::of(&ours).await?;
            self.place.remove(ours).await?;
            rows = tally.rows_for_each(enrolled);

            let theirs = self.place.copy(queued).await?;
            let (turns, hand_seconds) = self.by_hand(&theirs).await?;
            self.all_taken("yardstick", turns)?;
            tally.must_equal(&Tally::of(&theirs).await?, "the yardstick")?;
            self.place.remove(theirs).await?;

            engine.push(rate(turns, seconds));
            by_hand.push(rate(turns, hand_seconds));
            ratios.push(hand_seconds / seconds);
        }
        let [lowest, highest] = [f64::min, f64::max].map(|pick| ratios.iter().copied().reduce(pick));
        report.row(vec![
            json!(kind.name()),
            json!(contacts),
            json!(enrolled),
            json!(batch),
            json!(workers),
            json!(median(&engine)),
            json!(median(&by_hand)),
            json!(median(&ratios)),
            json!(lowest),
            json!(highest),
            json!(rows),
        ]);
        Ok(())
    }

    fn all_taken(&self, who: &str, turns: u64) -> Result<()> {
        let expected = 5 * self.case.enrolled as u64;
        if turns == expected {
            Ok(())
        } else {
            Err(format!("the {who} took {turns} turns, not {expected}").into())
        }
    }

    /// The engines are ready before the clock starts: plugins compiled, connections open.
    async fn engine(&self, database: &Database) -> Result<(u64, f64)> {
        let mut engines = Vec::new();
        for _ in 0..self.case.workers {
            let store = database.open().await?;
            let clock = Arc::new(SystemClock);
            engines.push(self.workshop.engine(store, clock, self.case.batch).await?);
        }
        let now = SystemClock.now();
        let started = Instant::now();
        let mut work = JoinSet::new();
        for engine in engines {
            work.spawn(async move { engine.settle(now).await });
        }
        let mut turns = 0;
        while let Some(settled) = work.join_next().await {
            turns += settled??.turns;
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok((turns, seconds))
    }

    /// Connections are open before the clock starts, as above.
    async fn by_hand(&self, database: &Database) -> Result<(u64, f64)> {
        let plan = Plan::of(&self.imported.program)?;
        let now_ms = SystemClock.now().as_millisecond();
        let batch = self.case.batch;
        let mut work = JoinSet::new();
        let mut workers = Vec::new();
        if let Database::Postgres { url, .. } = database {
            for _ in 0..self.case.workers {
                workers.push(yardstick::postgres::Worker::new(url, plan.clone()).await?);
            }
        }
        let started = Instant::now();
        if let Database::Sqlite(path) = database {
            let path = path.clone();
            work.spawn_blocking(move || yardstick::sqlite::run(&path, &plan, batch, now_ms));
        }
        for worker in workers {
            work.spawn(worker.run(batch, now_ms));
        }
        let mut turns = 0;
        while let Some(taken) = work.join_next().await {
            turns += taken??;
        }
        Ok((turns, started.elapsed().as_secs_f64()))
    }
}
