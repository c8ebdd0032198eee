//! Opening a database: whose it is, how old it is, and what brings it up to date.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    time::{Duration, Instant},
};

use backon::{ConstantBuilder, Retryable as _};
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool,
    migrate::Migrator,
    query, query_as, query_scalar,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::io::AsyncReadExt as _;

use crate::ErrorKind;
use crate::error::{Raw, damaged, is_busy};

/// The schema, step by step.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// "Drip"; the first migration writes it into the file.
const APPLICATION_ID: i64 = 0x4472_6970;

/// The first bytes of every SQLite database (<https://www.sqlite.org/fileformat2.html#magic_header_string>).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Whose database it is, and how many tables it has: asked at once, for somebody may be making it.
const IDENTITY: &str =
    "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id";
pub(super) const VERSION: &str = "SELECT max(version) FROM _sqlx_migrations WHERE success";

/// How long a writer waits for another process's transaction. An import is one, and may take minutes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How long after it was refused without a wait.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// How long it waits without a word.
const SAY_AFTER: Duration = Duration::from_secs(3);

/// Writers of one process queue for its write connection for as long as it takes.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

const READERS: u32 = 4;

/// The connections to an open database.
#[derive(Debug)]
pub(super) struct Connections {
    /// One connection, so that the pool is also the queue of this process's writers.
    pub(super) writer: SqlitePool,
    /// Connections that only read.
    pub(super) readers: SqlitePool,
}

/// Opens the database at `path`, which is made if it is not there, and brings its schema up to date.
pub(super) async fn open(
    path: &Path,
    synchronous: SqliteSynchronous,
    migrations: &Migrator,
) -> Raw<Connections> {
    if let Some(directory) = path.parent() {
        tokio::fs::create_dir_all(directory).await?;
    }
    if let Some(version) = stored_version(path, migrations).await? {
        back_up_if_older(path, version, migrations).await?;
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(512)
        .disable_statement_logging();
    // 48 MiB of pages: the indexes that a batch touches stay in memory.
    let writer = connect(options.clone().pragma("cache_size", "-49152").pragma("temp_store", "MEMORY"));
    let writer = audibly(path, writer).await?;
    // One transaction around all of it: whoever opens the same new file at the same moment waits, and finds it done.
    let mut tx = audibly(path, writer.begin_with("BEGIN IMMEDIATE")).await?;
    // `Migrator::run` does the same, but its future is not known to be `Send`.
    migrations.run_direct(None, &mut *tx, false).await?;
    tx.commit().await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(PATIENCE)
        .acquire_slow_threshold(PATIENCE)
        .connect_lazy_with(options.pragma("query_only", "ON"));
    Ok(Connections { writer, readers })
}

/// The connection that writes. Processes that make a new file write-ahead logged at the same moment are in each other's
/// way, and SQLite refuses all but one of them at once, whatever the timeout: it is not a wait that it could end.
async fn connect(options: SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    let started = Instant::now();
    let pool = || {
        SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(PATIENCE)
            .acquire_slow_threshold(PATIENCE)
            .connect_with(options.clone())
    };
    pool.retry(ConstantBuilder::default().with_delay(AGAIN_AFTER).with_jitter().without_max_times())
        .when(|error| is_busy(error) && started.elapsed() < BUSY_TIMEOUT)
        .await
}

/// Waits, and says so where it takes longer: a command that is silent for minutes looks broken.
pub(super) async fn audibly<T>(path: &Path, wait: impl Future<Output = T>) -> T {
    let mut wait = pin!(wait);
    if let Ok(done) = tokio::time::timeout(SAY_AFTER, &mut wait).await {
        return done;
    }
    let longest = BUSY_TIMEOUT.as_secs() / 60;
    tracing::warn!(
        "waiting for another process that writes to {}, for {longest} minutes at the longest",
        path.display()
    );
    wait.await
}

/// The schema version that the database at `path` has, 0 where it is still to be made, and the one that it will have.
pub(super) async fn versions(path: &Path, migrations: &Migrator) -> Raw<(i64, i64)> {
    let from = stored_version(path, migrations).await?.unwrap_or_default();
    Ok((from, newest(migrations)))
}

/// The schema version that these migrations lead to.
pub(super) fn newest(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// The schema version of the database at `path`; none for a file that is still to be made. A file that is not ours is
/// left as it is.
async fn stored_version(path: &Path, migrations: &Migrator) -> Raw<Option<i64>> {
    let not_ours = |found: &str| ErrorKind::NotOurs { path: path.display().to_string(), found: found.into() };
    match tokio::fs::metadata(path).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(found) if found.is_dir() => return Err(not_ours("it is a directory")),
        Ok(found) if found.len() == 0 => return Ok(None),
        Ok(_) => {}
    }
    let mut start = Vec::new();
    tokio::fs::File::open(path).await?.take(MAGIC.len() as u64).read_to_end(&mut start).await?;
    if start != MAGIC {
        return Err(not_ours("it is not an SQLite database"));
    }
    let mut conn = audibly(path, plain(path).connect()).await?;
    let found = audibly(path, identify(&mut conn)).await.map_err(|error| match error {
        sqlx::Error::Database(error) if is_damage(error.as_ref()) => damaged("database", error),
        error => error.into(),
    });
    conn.close().await?;
    let known = newest(migrations);
    match found? {
        Found::Empty => Ok(None),
        Found::Foreign => Err(not_ours("it is another program's SQLite database")),
        Found::Ours(found) if found > known => {
            Err(ErrorKind::Newer { path: path.display().to_string(), found, known })
        }
        Found::Ours(version) => Ok(Some(version)),
    }
}

enum Found {
    Empty,
    Foreign,
    Ours(i64),
}

async fn identify(conn: &mut SqliteConnection) -> sqlx::Result<Found> {
    let (application, tables): (i64, i64) = query_as(IDENTITY).fetch_one(&mut *conn).await?;
    match application {
        APPLICATION_ID => Ok(Found::Ours(
            query_scalar::<_, Option<i64>>(VERSION).fetch_one(conn).await?.unwrap_or_default(),
        )),
        0 if tables == 0 => Ok(Found::Empty),
        _ => Ok(Found::Foreign),
    }
}

/// Whether the error's primary code is `SQLITE_CORRUPT` or `SQLITE_NOTADB` (<https://www.sqlite.org/rescode.html>).
pub(super) fn is_damage(error: &dyn sqlx::error::DatabaseError) -> bool {
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 11 | 26))
}

/// Copies a database whose schema is older than `migrations` to a new file beside it.
async fn back_up_if_older(path: &Path, version: i64, migrations: &Migrator) -> Raw<()> {
    if migrations.iter().all(|migration| migration.version <= version) {
        return Ok(());
    }
    let backup = free_name(path, version).await?;
    let mut conn = plain(path).connect().await?;
    query("VACUUM INTO ?1").bind(backup.display().to_string()).execute(&mut conn).await?;
    conn.close().await?;
    tracing::info!(backup = %backup.display(), version, "copied the store before its schema is brought up to date");
    Ok(())
}

/// `dripline.db.v1.backup`, or `dripline.db.v1-2.backup` where that is taken, and so on.
async fn free_name(path: &Path, version: i64) -> Raw<PathBuf> {
    let mut copy = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(if copy == 1 {
            format!(".v{version}.backup")
        } else {
            format!(".v{version}-{copy}.backup")
        });
        let name = PathBuf::from(name);
        if !tokio::fs::try_exists(&name).await? {
            return Ok(name);
        }
        copy += 1;
    }
}

/// A connection that changes nothing by being made.
pub(super) fn plain(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
}
