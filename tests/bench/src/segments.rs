//! Segments over many contacts and events: to count whom a rule admits, to evaluate a new rule for everybody, and to keep
//! one contact up to date, beside a bare scan of the table by the fastest driver.

use std::{path::Path, sync::Arc, time::Instant};

use dripline_model::{Clock as _, SystemClock};
use dripline_runtime::Rules;
use dripline_store::{ContactRow, EventRow, NewSegment, Store};
use dripline_workflow::Source;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use serde_json::{Map, json};
use tokio_postgres::types::ToSql;

use crate::{
    Result, people,
    place::{Database, Kind, Place},
    report::Report,
    statistics::median,
    workshop::Workshop,
    yardstick::postgres::connect,
};

/// Counting whom a rule admits, the first evaluation of a new rule, and keeping one contact up to date
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the contacts are
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite")]
    store: Vec<Kind>,
    /// How many contacts
    #[arg(long, default_value_t = 1_000_000)]
    contacts: u32,
    /// How many events each
    #[arg(long, default_value_t = 5)]
    events: u32,
    /// How often everything is counted
    #[arg(long, default_value_t = 9)]
    repeat: usize,
}

/// The smallest run that goes everywhere.
pub(crate) const SMOKE: &[&str] = &["--contacts", "300", "--repeat", "1"];

/// The rules, by what they are like.
const RULES: &[(&str, &str)] = &[
    (
        "three-fields-and-events",
        r#"contact.country == "DE" && contact.plan == "trial" && contact.employees >= 1500 && events("visit.pricing_page").last("30d").count() >= 1"#,
    ),
    ("three-fields", r#"contact.country == "DE" && contact.plan == "trial" && contact.employees >= 1500"#),
    ("events", r#"events("visit.pricing_page").last("30d").count() >= 2"#),
    ("no-index", r#"contact.title.contains("VP")"#),
];

/// The same as the last of the rules, by hand.
const BARE_SCAN: &str = "SELECT count(*) FROM contacts WHERE attributes ->> 'title' LIKE '%VP%'";

/// Times all over a year, one name in two.
const EVENTS: &str = "
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?1 * ?2)
INSERT INTO events (contact_id, name, at, state)
SELECT 1 + n % ?1, CASE WHEN n % 2 = 0 THEN ?3 ELSE ?4 END, ?5 - (n * 2654435761) % 31536000000, 0 FROM numbers";

const EVENTS_INTO_POSTGRES: &str = "
INSERT INTO events (contact_id, name, at, state)
SELECT 1 + n % $1::int8, CASE WHEN n % 2 = 0 THEN $3::int8 ELSE $4::int8 END, $5::int8 - (n * 2654435761) % 31536000000, 0
FROM generate_series(0, $1::int8 * $2::int8 - 1) AS n";

const NAMES: [&str; 2] = ["visit.pricing_page", "email.opened"];

pub(crate) async fn execute(args: &Args, dir: &Path) -> Result<Report> {
    let note = format!(
        "{} contacts, {} events; medians of {}, milliseconds",
        args.contacts,
        u64::from(args.contacts) * u64::from(args.events),
        args.repeat
    );
    let mut report = Report::new("segments", note, &["store", "what", "contacts", "ms"]);
    let workshop = Workshop::open(dir).await?;
    for kind in &args.store {
        let place = Place::new(*kind, dir).await?;
        report.postgres = report.postgres.take().or(place.postgres().await?);
        let database = place.empty().await?;
        let store = database.open().await?;
        let now = SystemClock.now();
        people::import(store.as_ref(), 1, args.contacts, now).await?;
        insert_events(store.as_ref(), &database, args, now).await?;

        let mut row = |what: &str, contacts: u64, ms: f64| {
            report.row(vec![json!(kind.name()), json!(what), json!(contacts), json!(ms)]);
        };
        let rules = publish(store.as_ref(), now).await?;
        let started = Instant::now();
        store.index_for(&rules.narrowings(now)).await?;
        row("making the indexes", u64::from(args.contacts), ms_since(started));
        analyze(&database).await?;
        for (name, _) in RULES {
            let mut times = Vec::with_capacity(args.repeat);
            let mut admitted = 0;
            for _ in 0..args.repeat {
                let started = Instant::now();
                admitted = rules.count(store.as_ref(), name, now).await?.unwrap_or_default();
                times.push(ms_since(started));
            }
            row(&format!("count {name}"), admitted, median(&times));
        }
        let (scanned, ms) = bare_scan(&database, args.repeat).await?;
        row("bare scan of no-index", scanned, ms);

        let engine = workshop.engine(Arc::clone(&store), Arc::new(SystemClock), 1_000).await?;
        let started = Instant::now();
        engine.settle(SystemClock.now()).await?;
        row("first evaluation, with what it starts", u64::from(args.contacts), ms_since(started));
        let mut times = Vec::with_capacity(args.repeat);
        for number in 0..args.repeat {
            let employees = if number % 2 == 0 { 2_000 } else { 1 };
            let attributes: Map<_, _> =
                [("country", json!("DE")), ("plan", json!("trial")), ("employees", json!(employees))]
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect();
            let contact =
                ContactRow { external_id: Some(people::key(7)), attributes, ..ContactRow::default() };
            let started = Instant::now();
            let mut import = store.begin_import().await?;
            import.upsert_contacts(&[contact], SystemClock.now()).await?;
            import.commit().await?;
            engine.settle(SystemClock.now()).await?;
            times.push(ms_since(started));
        }
        row("one contact changed and up to date", 1, median(&times));
        drop(engine);
        drop(store);
        place.remove(database).await?;
    }
    Ok(report)
}

fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1_000.0
}

/// Publishes the rules.
async fn publish(store: &dyn Store, now: Timestamp) -> Result<Rules> {
    let sources = RULES.iter().map(|(name, rule)| Source {
        path: format!("segments/{name}.yaml"),
        text: format!("name: {name}\nif: '{rule}'\n"),
    });
    let (files, diagnostics) = dripline_workflow::segments::check(sources.collect(), None);
    let said: String = diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
    let segments: Vec<_> = files.iter().filter_map(|file| file.segment.clone()).collect();
    if segments.len() < RULES.len() {
        return Err(said.into());
    }
    let new: Vec<_> = segments.iter().map(|segment| NewSegment { segment, source: "" }).collect();
    store.publish_segments(&new, now).await?;
    Ok(Rules::new(segments, Default::default())?)
}

/// Events by SQL: through an import, five million would take longer than all that is measured.
async fn insert_events(store: &dyn Store, database: &Database, args: &Args, now: Timestamp) -> Result<()> {
    // So that their names are words of the dictionary.
    let rows: Vec<_> = NAMES
        .iter()
        .map(|name| EventRow {
            key: None,
            contact: people::key(1),
            name: (*name).to_owned(),
            at: now - SignedDuration::from_hours(1),
            properties: Map::new(),
            live: false,
        })
        .collect();
    let mut import = store.begin_import().await?;
    import.insert_events(&rows, now).await?;
    import.commit().await?;
    let word = "SELECT id FROM words WHERE word = ";
    let (contacts, events) = (i64::from(args.contacts), i64::from(args.events));
    let [visit, opened] = NAMES;
    match database {
        Database::Sqlite(path) => {
            let connection = Connection::open(path)?;
            connection.pragma_update(None, "cache_size", -524_288)?;
            let id = |name: &str| -> rusqlite::Result<i64> {
                connection.query_row(&format!("{word}?1"), [name], |row| row.get(0))
            };
            let (visit, opened) = (id(visit)?, id(opened)?);
            connection.execute(EVENTS, params![contacts, events, visit, opened, now.as_millisecond()])?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Database::Postgres { url, .. } => {
            let client = connect(url).await?;
            let visit: i64 = client.query_one(&format!("{word}$1"), &[&visit]).await?.get(0);
            let opened: i64 = client.query_one(&format!("{word}$1"), &[&opened]).await?.get(0);
            let at = now.as_millisecond();
            let values: &[&(dyn ToSql + Sync)] = &[&contacts, &events, &visit, &opened, &at];
            client.execute(EVENTS_INTO_POSTGRES, values).await?;
        }
    }
    Ok(())
}

/// What autovacuum would have done meanwhile. SQLite is left as the store leaves it.
async fn analyze(database: &Database) -> Result<()> {
    if let Database::Postgres { url, .. } = database {
        connect(url).await?.batch_execute("VACUUM (ANALYZE)").await?;
    }
    Ok(())
}

/// How many contacts a bare scan finds, and the median of its milliseconds.
async fn bare_scan(database: &Database, repeat: usize) -> Result<(u64, f64)> {
    let mut times = Vec::with_capacity(repeat);
    let mut found = 0_i64;
    for _ in 0..repeat {
        match database {
            Database::Sqlite(path) => {
                let connection = Connection::open(path)?;
                let started = Instant::now();
                found = connection.query_row(BARE_SCAN, [], |row| row.get(0))?;
                times.push(ms_since(started));
            }
            Database::Postgres { url, .. } => {
                let client = connect(url).await?;
                let started = Instant::now();
                found = client.query_one(BARE_SCAN, &[]).await?.get(0);
                times.push(ms_since(started));
            }
        }
    }
    Ok((found.unsigned_abs(), median(&times)))
}
