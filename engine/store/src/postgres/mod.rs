//! The PostgreSQL backend: one database, any number of processes, all alike.
//!
//! What is claimed is locked to the commit (`FOR NO KEY UPDATE SKIP LOCKED`), runs and events together with their
//! contacts, so that two processes never decide about one contact at a time. Rows go in as one array for each column
//! (`unnest`). What only ever grows and harms nobody when it is there too early (words, segments' names, representatives
//! whom somebody names) is written beside the batch, in a transaction of its own, so that batches never wait for each
//! other's new words. The tables: `migrations/postgres/0001_store.sql`.

mod append;
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
mod nodelay;
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
#[cfg(test)]
mod upgrades;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dripline_model::{
    filter::{Filter, Narrowing},
    id::{ContactId, VersionId},
};
use sqlx::{PgConnection, PgPool, query, query_as};

pub use self::open::is_url;
use self::{changes::Listening, reader::Reader, writer::Writer};
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
WHERE v.id = $1";

/// One import at a time: it compares what comes with what is there.
const LOCK_IMPORTS: &str = "SELECT pg_advisory_xact_lock(hashtextextended('dripline import', 0))";

/// How to reach a database.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/database?sslmode=…`
    /// (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).
    pub url: String,
    /// Connections that write at a time; as many again read.
    pub connections: u32,
    /// How long to wait for a connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a single statement may take, in milliseconds; the server ends it then. 0 is for ever.
    pub statement_timeout_ms: u64,
}

impl PostgresConfig {
    /// A database with what is usual for the rest.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections: 8,
            connect_timeout_ms: 10_000,
            statement_timeout_ms: 10 * 60_000,
        }
    }

    fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

/// Without the URL, in which there may be a password.
impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresConfig").field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// The contact store in a PostgreSQL database.
///
/// Clones share the connections. Each remembers for itself which changes it has seen
/// ([`Scheduling::changed`](crate::Scheduling::changed)): give each loop that waits for changes a clone of its own.
#[derive(Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    seen: AtomicU64,
}

/// What all clones of a store have in common.
#[derive(Debug)]
struct Shared {
    writers: PgPool,
    /// Also for what is written beside a batch: its connections are never held while another is waited for.
    readers: PgPool,
    changes: Arc<Changes>,
    /// Hears of other processes' changes for as long as it lives.
    _listening: Listening,
    dictionary: Dictionary,
    /// Their ids by key: nobody who was named once is ever deleted.
    representatives: Dictionary,
    versions: Versions,
    declared: Declared,
}

impl PostgresStore {
    /// Opens a database. An empty one gets its tables; one with an older schema is left as it is, for
    /// [`PostgresStore::migrate`].
    ///
    /// # Errors
    /// [`NotOurs`](crate::ErrorKind::NotOurs) for another program's database, [`Newer`](crate::ErrorKind::Newer) and
    /// [`Older`](crate::ErrorKind::Older) for another schema, [`Unreachable`](crate::ErrorKind::Unreachable) where there
    /// is no server or it refuses us, [`NoRights`](crate::ErrorKind::NoRights) where tables are to be made and may not.
    pub async fn open(config: &PostgresConfig) -> Result<Self> {
        let pools = open::open(config).await.doing(open::doing("open", config))?;
        let changes = Changes::new();
        let shared = Shared {
            _listening: Listening::on(pools.readers.clone(), Arc::clone(&changes)),
            changes,
            writers: pools.writers,
            readers: pools.readers,
            dictionary: Dictionary::default(),
            representatives: Dictionary::default(),
            versions: Versions::default(),
            declared: Declared::default(),
        };
        let store = Self { shared: Arc::new(shared), seen: AtomicU64::new(0) };
        store.declared_scores().await?;
        Ok(store)
    }

    /// Brings the schema up to date; one process at a time, the others wait and find it done. Processes of the release
    /// before go on working meanwhile and afterwards.
    ///
    /// # Errors
    /// As for [`PostgresStore::open`].
    pub async fn migrate(config: &PostgresConfig) -> Result<Migrated> {
        open::migrate(config).await.doing(open::doing("migrate", config))
    }
}

impl Clone for PostgresStore {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), seen: AtomicU64::new(self.seen.load(Ordering::Acquire)) }
    }
}

#[async_trait]
impl Backend for PostgresStore {
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
        let mut writer = self.writer().await?;
        query(LOCK_IMPORTS).execute(writer.conn().await?).await?;
        Ok(writer)
    }

    async fn publisher(&self, concerns_imports: bool) -> Raw<Writer> {
        let writer = if concerns_imports { self.importer().await? } else { self.writer().await? };
        writer.publishing().await
    }
}

impl Shared {
    /// What a version is.
    async fn version(&self, conn: &mut PgConnection, id: VersionId) -> Raw<Arc<Version>> {
        if let Some(version) = self.versions.known(id) {
            return Ok(version);
        }
        let row: Option<VersionRow> = query_as(VERSION).bind(id.0).fetch_optional(conn).await?;
        self.versions.read(id, row)
    }
}
