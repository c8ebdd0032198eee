//! What a great many sleeping runs cost: nothing, or else something looks at them.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use dripline_model::{Clock, SystemClock, id::WorkflowId};
use dripline_store::{Store, StoredProgram};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use serde_json::json;
use tokio_postgres::{SimpleQueryMessage, types::ToSql};

use crate::{
    Result, campaign,
    place::{Database, Kind, Place},
    process::{Process, TICKS_PER_SECOND},
    report::Report,
    statistics::median,
    workshop::Workshop,
    yardstick::postgres::connect,
};

/// The claim of a batch beside ten thousand and beside ten million sleeping runs, and what the engine uses meanwhile
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the runs are
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite")]
    store: Vec<Kind>,
    /// How many runs sleep
    #[arg(long, value_delimiter = ',', default_value = "10000,10000000")]
    runs: Vec<u32>,
    /// How many are due, and claimed at once
    #[arg(long, default_value_t = 1_000)]
    batch: u32,
    /// How often a batch is claimed
    #[arg(long, default_value_t = 200)]
    repeat: usize,
    /// For how many seconds the engine is watched while it has nothing to do
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
}

/// The smallest run that goes everywhere.
pub(crate) const SMOKE: &[&str] =
    &["--runs", "100,2000", "--batch", "50", "--repeat", "3", "--idle-seconds", "1"];

/// How many rows a transaction inserts.
const SLICE: u32 = 1_000_000;

/// Contacts in order; due times all over a month, as contacts fall asleep whenever they come.
const INSERT: &str = "
WITH RECURSIVE numbers(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?2)
INSERT INTO runs (workflow_id, version_id, contact_id, node, status, due_at, turn, attempts, hops, enrolled_at)
SELECT ?3, ?4, n, 1, 0, ?5 + (n * 2654435761) % ?6, 1, 0, 0, ?7 FROM numbers";

const INSERT_INTO_POSTGRES: &str = "
INSERT INTO runs (workflow_id, version_id, contact_id, node, status, due_at, turn, attempts, hops, enrolled_at)
SELECT $3, $4, n, 1, 0, $5 + (n * 2654435761) % $6, 1, 0, 0, $7 FROM generate_series($1::bigint, $2::bigint) AS n";

/// A claim locks the contacts too, so that they have to be there.
const CONTACTS_INTO_POSTGRES: &str = "
INSERT INTO contacts (id, uid, external_id, attributes, created_at, updated_at)
SELECT n, '', 'sleeper ' || n, '{}', $3, $3 FROM generate_series($1::bigint, $2::bigint) AS n
ON CONFLICT (id) DO NOTHING";

/// The claim as the store has it, taken out of its source so that the plan is of what really runs.
const SQLITE_STORE: &str = include_str!("../../../engine/store/src/sqlite/transaction.rs");
const POSTGRES_STORE: &str = include_str!("../../../engine/store/src/postgres/transaction.rs");

pub(crate) async fn execute(args: &Args, dir: &Path) -> Result<Report> {
    let note = format!(
        "medians of {} claims of {} runs, milliseconds; processor ticks ({TICKS_PER_SECOND} a second) while nothing is due",
        args.repeat, args.batch
    );
    let columns = ["store", "sleeping runs", "claim", "what is due next", "idle s", "ticks", "MiB"];
    let mut report = Report::new("sleeping", note, &columns);
    let workshop = Workshop::open(dir).await?;
    for kind in &args.store {
        let place = Place::new(*kind, dir).await?;
        report.postgres = report.postgres.take().or(place.postgres().await?);
        for runs in &args.runs {
            let database = place.empty().await?;
            let store = database.open().await?;
            let now = SystemClock.now();
            let program = workshop.publish(store.as_ref(), &campaign::sleepers(), now).await?;
            let tomorrow = now + SignedDuration::from_hours(24);
            let bed = Bed { database: &database, program: &program, now };
            bed.put_to_sleep(1, *runs, tomorrow + SignedDuration::from_hours(24), 30 * 24).await?;
            // Due tomorrow: the engine does not touch them while it is watched.
            bed.put_to_sleep(runs + 1, args.batch, tomorrow - SignedDuration::from_secs(1), 0).await?;

            let claim = claims(store.as_ref(), program.workflow, args, tomorrow).await?;
            let next = questions(store.as_ref(), args.repeat).await?;
            let engine = workshop.engine(Arc::clone(&store), Arc::new(SystemClock), 1_000).await?;
            let before = Process::own().ticks()?;
            engine.run_forever(tokio::time::sleep(Duration::from_secs(args.idle_seconds))).await?;
            let ticks = Process::own().ticks()? - before;
            report.row(vec![
                json!(kind.name()),
                json!(runs),
                json!(claim),
                json!(next),
                json!(args.idle_seconds),
                json!(ticks),
                json!(Process::own().resident_kib()? / 1024),
            ]);
            report.text(format!("the claim's plan on {} beside {runs}", kind.name()), bed.plan().await?);
            drop(store);
            place.remove(database).await?;
        }
    }
    Ok(report)
}

/// Milliseconds for the claim of all that is due.
async fn claims(store: &dyn Store, workflow: WorkflowId, args: &Args, at: Timestamp) -> Result<f64> {
    let mut times = Vec::with_capacity(args.repeat);
    for _ in 0..args.repeat {
        let mut transaction = store.begin().await?;
        let started = Instant::now();
        let claimed = transaction.claim_runs(workflow, at, args.batch as usize).await?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
        // The locks are let go of at once, and not some time after the transaction is dropped.
        transaction.commit().await?;
        if claimed.len() != args.batch as usize {
            return Err(format!("{} runs were claimed, not {}", claimed.len(), args.batch).into());
        }
    }
    Ok(median(&times))
}

/// Milliseconds for the question that the engine asks before it goes to sleep.
async fn questions(store: &dyn Store, repeat: usize) -> Result<f64> {
    let mut times = Vec::with_capacity(repeat);
    for _ in 0..repeat {
        let started = Instant::now();
        store.next_due().await?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(median(&times))
}

/// Where runs are put to sleep by SQL: through the engine, ten million would take longer than all that is measured.
struct Bed<'a> {
    database: &'a Database,
    program: &'a StoredProgram,
    now: Timestamp,
}

impl Bed<'_> {
    /// Runs of the contacts from `first` on, due within so many hours after `from`.
    async fn put_to_sleep(&self, first: u32, count: u32, from: Timestamp, hours: i64) -> Result<()> {
        let span_ms = (hours * 3_600_000).max(1);
        match self.database {
            Database::Sqlite(path) => {
                let connection = Connection::open(path)?;
                // The contacts are not there; nobody looks at them.
                connection.pragma_update(None, "foreign_keys", "OFF")?;
                connection.pragma_update(None, "cache_size", -524_288)?;
                for start in (first..first + count).step_by(SLICE as usize) {
                    let end = start.saturating_add(SLICE).min(first + count);
                    let (workflow, version) = (self.program.workflow.0, self.program.version.0);
                    let (from, now) = (from.as_millisecond(), self.now.as_millisecond());
                    connection.execute(INSERT, params![start, end, workflow, version, from, span_ms, now])?;
                }
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            }
            Database::Postgres { url, .. } => {
                let client = connect(url).await?;
                let (first, last) = (i64::from(first), i64::from(first + count) - 1);
                let (workflow, version) = (self.program.workflow.0, self.program.version.0);
                let (from, now) = (from.as_millisecond(), self.now.as_millisecond());
                let values: &[&(dyn ToSql + Sync)] =
                    &[&first, &last, &workflow, &version, &from, &span_ms, &now];
                client.execute(CONTACTS_INTO_POSTGRES, &[&first, &last, &now]).await?;
                client.execute(INSERT_INTO_POSTGRES, values).await?;
                client.batch_execute("VACUUM (ANALYZE) runs").await?;
                client.batch_execute("VACUUM (ANALYZE) contacts").await?;
            }
        }
        Ok(())
    }

    /// How the database goes about the claim.
    async fn plan(&self) -> Result<String> {
        match self.database {
            Database::Sqlite(path) => {
                let claim = constant(SQLITE_STORE, "CLAIM_RUNS")?;
                let connection = Connection::open(path)?;
                let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {claim}"))?;
                let steps = explain.query_map(params![1, 0, 1_000], |row| row.get::<_, String>(3))?;
                Ok(steps.collect::<std::result::Result<Vec<_>, _>>()?.join("\n"))
            }
            Database::Postgres { url, .. } => {
                let claim = constant(POSTGRES_STORE, "CLAIM_RUNS")?;
                let client = connect(url).await?;
                // The plan that is made without looking at the values, and kept.
                client
                    .batch_execute(&format!(
                        "SET plan_cache_mode = force_generic_plan; PREPARE claim AS {claim}"
                    ))
                    .await?;
                let steps = client.simple_query("EXPLAIN EXECUTE claim(1, 0, 1000)").await?;
                let steps = steps.iter().filter_map(|step| match step {
                    SimpleQueryMessage::Row(row) => row.get(0),
                    _ => None,
                });
                Ok(steps.collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

/// The text of `const NAME: &str = "…";` in a source.
fn constant<'s>(source: &'s str, name: &str) -> Result<&'s str> {
    let (_, rest) =
        source.split_once(&format!("const {name}: &str = \"")).ok_or("the store's claim has moved")?;
    Ok(rest.split_once("\";").ok_or("the store's claim has no end")?.0)
}
