//! Opening a database: whose it is, how old it is, and what brings it up to date.

use std::{borrow::Cow, str::FromStr as _, sync::LazyLock};

use dripline_model::pretend;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool,
    SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    query_as, query_scalar,
};

use super::{PostgresConfig, nodelay::send_at_once};
use crate::{ErrorKind, Migrated, error::Raw};

/// The schema, step by step.
static OWN: Migrator = sqlx::migrate!("migrations/postgres");

/// The migrations that this program knows: in a test that has it be one of the next release, one more.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = OWN.iter().cloned().collect::<Vec<_>>();
    if let Some(sql) = pretend::next_migration() {
        let name = Cow::Borrowed("the next release");
        let sql = AssertSqlSafe(sql).into_sql_str();
        migrations.push(Migration::new(newest(&OWN) + 1, name, MigrationType::Simple, sql, false));
    }
    Migrator::with_migrations(migrations)
});

/// Whether the tables of Dripline are there, and how many of anybody else's.
const TABLES: &str = "
SELECT coalesce(bool_or(c.relname = 'dripline'), FALSE), count(*) FILTER (WHERE c.relname <> '_sqlx_migrations'),
    coalesce(min(c.relname) FILTER (WHERE c.relname <> '_sqlx_migrations'), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm')";

pub(super) const VERSION: &str = "
SELECT (SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success), oldest_program FROM dripline";

/// Batches are small beside the tables, and rows are always found by an index. Left alone, the planner hash-joins scans
/// of whole tables for each batch, so that the work grows with the tables. A plan that is kept was made when the tables
/// were small, and joins from the wrong side when they are large; to plan anew costs a fraction of a millisecond. And a claim
/// takes the first of many in the order of its index: where the statistics have not yet heard of a campaign that was just
/// enrolled, the planner sorts all of it for every batch instead.
const WRITER: &str = "
SET plan_cache_mode = force_custom_plan;
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET jit = off";

const READER: &str = "SET jit = off";

/// The pools of an open database.
#[derive(Debug)]
pub(super) struct Pools {
    pub(super) writers: PgPool,
    pub(super) readers: PgPool,
}

/// How a URL begins (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// Whether a text is a URL of PostgreSQL's, as far as its beginning says.
pub fn is_url(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

/// What was being done, without the password: `open the store postgres://db.example.org:5432/dripline`.
pub(super) fn doing(what: &str, config: &PostgresConfig) -> String {
    match PgConnectOptions::from_str(&config.url) {
        Ok(options) => {
            let (host, port) = (options.get_host(), options.get_port());
            let database = options.get_database().unwrap_or(options.get_username());
            format!("{what} the store postgres://{host}:{port}/{database}")
        }
        Err(_) => format!("{what} the store"),
    }
}

/// Opens the database.
pub(super) async fn open(config: &PostgresConfig) -> Raw<Pools> {
    let options = options(config)?;
    let mut conn = connect(config, &options).await?;
    let known = newest(&MIGRATIONS);
    match stored_version(&mut conn).await? {
        Found::Empty => bring_up(&mut conn, &MIGRATIONS).await?,
        Found::Ours { version, .. } if version < known => {
            return Err(ErrorKind::Older { path: name(&options), found: version, known });
        }
        // A newer release has been here, and says that programs like this one may go on.
        Found::Ours { version, oldest_program } if oldest_program > known => {
            return Err(ErrorKind::Newer { path: name(&options), found: version, known });
        }
        Found::Ours { version, .. } => {
            if version > known {
                tracing::info!(version, known, "the store's schema is newer and still serves this release");
            }
        }
    }
    conn.close().await?;
    let port = options.get_port();
    let pool = |set: &'static str| {
        PgPoolOptions::new()
            .max_connections(config.connections)
            .acquire_timeout(config.connect_timeout())
            .after_connect(move |conn, _| {
                Box::pin(async move {
                    send_at_once(port);
                    conn.execute(set).await.map(drop)
                })
            })
            .connect_lazy_with(options.clone())
    };
    Ok(Pools { writers: pool(WRITER), readers: pool(READER) })
}

/// A connection to a database that is left as it is; none where it has no tables yet.
pub(super) async fn to_read(config: &PostgresConfig) -> Raw<Option<PgConnection>> {
    let options = options(config)?;
    let mut conn = connect(config, &options).await?;
    let known = newest(&MIGRATIONS);
    match stored_version(&mut conn).await? {
        Found::Empty => Ok(None),
        Found::Ours { version, .. } if version < known => {
            Err(ErrorKind::Older { path: name(&options), found: version, known })
        }
        Found::Ours { version, oldest_program } if oldest_program > known => {
            Err(ErrorKind::Newer { path: name(&options), found: version, known })
        }
        Found::Ours { .. } => Ok(Some(conn)),
    }
}

/// Brings the database's schema up to date.
pub(super) async fn migrate(config: &PostgresConfig) -> Raw<Migrated> {
    let options = options(config)?;
    let mut conn = connect(config, &options).await?;
    let to = newest(&MIGRATIONS);
    let from = match stored_version(&mut conn).await? {
        Found::Empty => 0,
        Found::Ours { version, .. } if version > to => {
            return Err(ErrorKind::Newer { path: name(&options), found: version, known: to });
        }
        Found::Ours { version, .. } => version,
    };
    if from < to {
        bring_up(&mut conn, &MIGRATIONS).await?;
    }
    conn.close().await?;
    Ok(Migrated { from, to })
}

fn options(config: &PostgresConfig) -> Raw<PgConnectOptions> {
    // The driver takes any scheme, and then asks a server on this machine.
    if !is_url(&config.url) {
        return Err(ErrorKind::BadUrl("it does not begin with postgres://".to_owned()));
    }
    let options = PgConnectOptions::from_str(&config.url).map_err(|error| match error {
        sqlx::Error::Configuration(error) => ErrorKind::BadUrl(error.to_string()),
        error => ErrorKind::BadUrl(error.to_string()),
    })?;
    let timeout = config.statement_timeout_ms.to_string();
    Ok(options
        .application_name("dripline")
        .options([("statement_timeout", timeout.as_str())])
        .statement_cache_capacity(512)
        .disable_statement_logging())
}

fn name(options: &PgConnectOptions) -> String {
    options.get_database().unwrap_or(options.get_username()).to_owned()
}

pub(super) fn newest(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or_default()
}

async fn connect(config: &PostgresConfig, options: &PgConnectOptions) -> Raw<PgConnection> {
    let unreachable = |error: String| ErrorKind::Unreachable(error);
    match tokio::time::timeout(config.connect_timeout(), options.connect()).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(sqlx::Error::Database(error))) => Err(unreachable(error.message().to_owned())),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!("no answer within {} ms", config.connect_timeout_ms))),
    }
}

enum Found {
    Empty,
    Ours { version: i64, oldest_program: i64 },
}

async fn stored_version(conn: &mut PgConnection) -> Raw<Found> {
    let (is_ours, others, example): (bool, i64, String) = query_as(TABLES).fetch_one(&mut *conn).await?;
    if is_ours {
        let (version, oldest_program) = query_as(VERSION).fetch_one(conn).await?;
        return Ok(Found::Ours { version, oldest_program });
    }
    if others == 0 {
        return Ok(Found::Empty);
    }
    let path: String = query_scalar("SELECT current_database()").fetch_one(conn).await?;
    let found = format!("it holds {others} tables of another program, such as `{example}`");
    Err(ErrorKind::NotOurs { path, found })
}

/// Applies what is missing. sqlx takes a lock meanwhile, so that of several processes one does it.
async fn bring_up(conn: &mut PgConnection, migrations: &Migrator) -> Raw<()> {
    let mut tries = 0;
    let applied = loop {
        match migrations.run_direct(None, &mut *conn, false).await {
            // Processes at work hold in one order what it wants in another. One of them was to give way, and it was this one.
            Err(error) if is_conflict(&error) && tries < CONFLICTS => tries += 1,
            applied => break applied,
        }
    };
    applied.map_err(|error| match error {
        MigrateError::Execute(sqlx::Error::Database(error))
        | MigrateError::ExecuteMigration(sqlx::Error::Database(error), _)
            if error.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE) =>
        {
            ErrorKind::NoRights(error.message().to_owned())
        }
        error => error.into(),
    })
}

fn is_conflict(error: &MigrateError) -> bool {
    let (MigrateError::Execute(sqlx::Error::Database(error))
    | MigrateError::ExecuteMigration(sqlx::Error::Database(error), _)) = error
    else {
        return false;
    };
    error.code().as_deref() == Some(DEADLOCK)
}

/// How often it is tried again.
const CONFLICTS: u32 = 20;

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
const DEADLOCK: &str = "40P01";

const INSUFFICIENT_PRIVILEGE: &str = "42501";
