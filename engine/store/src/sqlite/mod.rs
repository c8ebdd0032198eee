//! The SQLite backend.
//!
//! One connection writes, one transaction at a time (`BEGIN IMMEDIATE`), a few others read beside it (WAL). A commit is
//! on disk when it returns (`synchronous=FULL`). The tables and why they are cut as they are:
//! `migrations/sqlite/0001_store.sql`. How rows go in and out fast: `rows`.

mod ahead;
mod by_hand;
mod catalog;
mod changes;
mod contacts;
mod copy;
mod dates;
mod experiments;
mod firings;
mod health;
mod held;
mod kin;
mod narrow;
mod open;
mod outbox;
#[cfg(test)]
mod plans;
mod presence;
mod prune;
mod reader;
mod requests;
mod rows;
mod segments;
mod sets;
mod statements;
mod transaction;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use dripline_model::{
    filter::{Filter, Narrowing},
    id::{ContactId, VersionId},
};
use notify::RecommendedWatcher;
use sqlx::{SqliteConnection, SqlitePool, migrate::Migrator, query_as, sqlite::SqliteSynchronous};
use tempfile::TempDir;

pub(crate) use self::copy::Table;
use self::{ahead::Ahead, reader::Reader, writer::Writer};
use crate::{
    Migrated, Result, Scoring as _,
    backend::Backend,
    changes::Changes,
    declared::Declared,
    error::{Doing as _, Raw},
    versions::{Version, VersionRow, Versions},
    words::Dictionary,
};

const VERSION: &str = "
SELECT w.name, v.number, v.program
FROM workflow_versions v JOIN workflows w ON w.id = v.workflow_id
WHERE v.id = ?1";

/// The contact store in one SQLite file.
///
/// Clones share the connections. Each remembers for itself which changes it has seen
/// ([`Scheduling::changed`](crate::Scheduling::changed)): give each loop that waits for changes a clone of its own.
#[derive(Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    seen: AtomicU64,
}

/// What all clones of a store have in common.
#[derive(Debug)]
struct Shared {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
    changes: Arc<Changes>,
    /// Watches for as long as it lives.
    _watcher: Option<RecommendedWatcher>,
    dictionary: Dictionary,
    /// Their ids by key: nobody who was named once is ever deleted.
    representatives: Dictionary,
    versions: Versions,
    declared: Declared,
    ahead: Ahead,
    /// Goes with the store, if there is one.
    _directory: Option<TempDir>,
}

impl SqliteStore {
    /// Opens the database at `path`; the file and its directory are made where they are missing. A database with an
    /// older schema is first copied to a file beside it (`NAME.vVERSION.backup`) and then brought up to date.
    ///
    /// # Errors
    /// [`NotOurs`](crate::ErrorKind::NotOurs) or [`Damaged`](crate::ErrorKind::Damaged) for a file that is something
    /// else, [`Newer`](crate::ErrorKind::Newer) for one that a newer Dripline wrote; such a file is left as it is.
    pub async fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, SqliteSynchronous::Full, &open::MIGRATIONS, None).await?.ready().await
    }

    /// Brings the schema of the database at `path` up to date, which opening it does as well.
    ///
    /// # Errors
    /// As for [`SqliteStore::open`].
    pub async fn migrate(path: &Path) -> Result<Migrated> {
        let versions = open::versions(path, &open::MIGRATIONS).await;
        let (from, to) = versions.doing(format!("open the store `{}`", path.display()))?;
        Self::open(path).await?;
        Ok(Migrated { from, to })
    }

    /// An empty store that goes when its last clone is dropped, for tests and simulations.
    ///
    /// It is a temporary file without waiting for the disk: a database that is really in memory cannot be read by one
    /// connection while another writes, and so would behave otherwise than the store that it stands for.
    ///
    /// # Errors
    /// Where no temporary file can be made.
    pub async fn in_memory() -> Result<Self> {
        let directory = tempfile::tempdir().doing("make a temporary store")?;
        let path = directory.path().join("dripline.db");
        Self::open_with(&path, SqliteSynchronous::Off, &open::MIGRATIONS, Some(directory))
            .await?
            .ready()
            .await
    }

    /// Reads what has to be known of a store with today's schema before it is used.
    async fn ready(self) -> Result<Self> {
        self.declared_scores().await?;
        Ok(self)
    }

    async fn open_with(
        path: &Path,
        synchronous: SqliteSynchronous,
        migrations: &Migrator,
        directory: Option<TempDir>,
    ) -> Result<Self> {
        let connections = open::open(path, synchronous, migrations)
            .await
            .doing(format!("open the store `{}`", path.display()))?;
        let changes = Changes::new();
        let shared = Shared {
            path: path.to_owned(),
            writer: connections.writer,
            readers: connections.readers,
            _watcher: changes::watch(path, Arc::clone(&changes)),
            changes,
            dictionary: Dictionary::default(),
            representatives: Dictionary::default(),
            versions: Versions::default(),
            declared: Declared::default(),
            ahead: Ahead::default(),
            _directory: directory,
        };
        Ok(Self { shared: Arc::new(shared), seen: AtomicU64::new(0) })
    }
}

#[async_trait]
impl Backend for SqliteStore {
    type Reader = Reader;
    type Writer = Writer;

    async fn reader(&self) -> Raw<Reader> {
        let conn = self.shared.readers.acquire().await?;
        Ok(Reader { conn, shared: Arc::clone(&self.shared) })
    }

    async fn writer(&self) -> Raw<Writer> {
        Writer::begin(&self.shared).await
    }

    fn declared(&self) -> &Declared {
        &self.shared.declared
    }

    async fn count_selected(&self, filter: &Filter) -> Raw<u64> {
        self.count_by(filter).await
    }

    async fn selected(&self, filter: &Filter) -> Raw<Vec<ContactId>> {
        self.select_by(filter).await
    }

    async fn make_indexes(&self, rules: &[Narrowing]) -> Raw<()> {
        self.index_by(rules).await
    }

    async fn importer(&self) -> Raw<Writer> {
        let _waiting = self.shared.changes.importer();
        self.writer().await
    }

    async fn publisher(&self, concerns_imports: bool) -> Raw<Writer> {
        if concerns_imports { self.importer().await } else { self.writer().await }
    }
}

impl Shared {
    /// What a version is.
    async fn version(&self, conn: &mut SqliteConnection, id: VersionId) -> Raw<Arc<Version>> {
        if let Some(version) = self.versions.known(id) {
            return Ok(version);
        }
        let row: Option<VersionRow> = query_as(VERSION).bind(id.0).fetch_optional(conn).await?;
        self.versions.read(id, row)
    }
}

impl Clone for SqliteStore {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), seen: AtomicU64::new(self.seen.load(Ordering::Acquire)) }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use dripline_model::{
        clock::from_ms,
        id::{ContactId, WorkflowId},
        message::MessageStatus,
    };
    use jiff::Timestamp;
    use sqlx::{
        Executor as _, SqlSafeStr as _,
        migrate::{Migration, MigrationType},
        query_scalar,
    };

    use super::*;
    use crate::{Abandoned, Catalog as _, Decision, Outbox as _, Scheduling as _, UncertainRule, Undecided};

    #[tokio::test]
    async fn an_older_database_is_copied_before_it_is_brought_up_to_date() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dripline.db");
        drop(SqliteStore::open(&path).await.unwrap());
        let mut migrations: Vec<Migration> = open::MIGRATIONS.iter().cloned().collect();
        let last = migrations.last().unwrap().version;
        let next = last + 1;
        let sql = "CREATE TABLE later (x INTEGER) STRICT".into_sql_str();
        migrations.push(Migration::new(next, Cow::Borrowed("later"), MigrationType::Simple, sql, false));
        let newer = Migrator::with_migrations(migrations);
        let store = SqliteStore::open_with(&path, SqliteSynchronous::Off, &newer, None).await.unwrap();
        let later = "SELECT count(*) FROM sqlite_schema WHERE name = 'later'";
        let count: i64 = query_scalar(later).fetch_one(&store.shared.readers).await.unwrap();
        assert_eq!(count, 1);

        let backup = directory.path().join(format!("dripline.db.v{last}.backup"));
        let store = SqliteStore::open(&backup).await.unwrap();
        let count: i64 = query_scalar(later).fetch_one(&store.shared.readers).await.unwrap();
        assert_eq!(count, 0, "the copy is as the database was");
        drop(store);
        assert_eq!(
            std::fs::read_dir(directory.path())
                .unwrap()
                .filter(|file| { file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".backup") })
                .count(),
            1,
            "one copy, and none where nothing changes"
        );
    }

    #[tokio::test]
    async fn messages_of_a_database_without_claims_and_leases_are_delivered_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dripline.db");
        let first = open::MIGRATIONS.iter().filter(|migration| migration.version < 3).cloned().collect();
        let older = Migrator::with_migrations(first);
        let store = SqliteStore::open_with(&path, SqliteSynchronous::Off, &older, None).await.unwrap();
        let written = "
            INSERT INTO words VALUES (1, 'welcome');
            INSERT INTO messages (id, run_id, turn, effect, contact_id, version_id, node, template, transactional,
                status, due_at, queued_at, recipient, subject)
            SELECT value, value, 0, 0, 1, 1, 0, 1, 0, value, iif(value = 0, 7, NULL), 7, 'a@b.example', 'Hi'
            FROM json_each('[0, 1, 4]')";
        sqlx::raw_sql(written).execute(&store.shared.writer).await.unwrap();
        drop(store);

        let store = SqliteStore::open(&path).await.unwrap();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(store.next_message_due().await.unwrap(), Some(now), "an old lease has ended");
        let rule = UncertainRule::default();
        assert_eq!(store.recover_sending(rule, Abandoned::LeaseEnded, now).await.unwrap(), 1);
        assert_eq!(store.next_message_due().await.unwrap(), Some(from_ms(7)));
        let all = Undecided { status: MessageStatus::Uncertain, ids: None };
        assert_eq!(store.decide(&all, Decision::Resend, now).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn firings_of_the_first_schema_go_on_where_they_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dripline.db");
        let first = Migrator::with_migrations(open::MIGRATIONS.iter().take(1).cloned().collect());
        let store = SqliteStore::open_with(&path, SqliteSynchronous::Off, &first, None).await.unwrap();
        let old = "INSERT INTO workflows (id, name, created_at) VALUES (1, 'w', 0);
            INSERT INTO firings VALUES (1, 1000, 7, 1), (1, 2000, 5, 0)";
        store.shared.writer.execute(old).await.unwrap();
        drop(store);
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(store.last_firing(WorkflowId(1)).await.unwrap(), Some(from_ms(2000)));
        let open = store.open_firings().await.unwrap();
        assert_eq!((open.len(), open[0].new.at, open[0].progress.last), (1, from_ms(2000), ContactId(5)));
        assert_eq!(store.revision().await.unwrap(), 0);
    }
}
