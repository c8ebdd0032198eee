//! Where databases are made, copied and removed.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use clap::ValueEnum;
use dripline_store::{
    Store,
    postgres::{PostgresConfig, PostgresStore},
    sqlite::SqliteStore,
};
use dripline_test_postgres::{Durability, Server};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::{Result, yardstick::postgres::connect};

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Sqlite,
    /// The server of TEST_DATABASE_URL, or one of its own with the defaults of production
    #[value(name = "postgresql", alias = "postgres")]
    Postgres,
}

impl Kind {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// How many of `wanted` workers make sense: SQLite has one writer.
    pub(crate) fn workers(self, wanted: &[usize]) -> &[usize] {
        match self {
            Self::Sqlite => &[1],
            Self::Postgres => wanted,
        }
    }
}

/// A folder or a server that databases are made in; everything goes with it.
pub(crate) enum Place {
    Sqlite { folder: TempDir, made: AtomicU32 },
    Postgres { server: Box<Server>, admin: Client, made: AtomicU32 },
}

/// A database: where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Database {
    /// The file.
    Sqlite(PathBuf),
    /// The URL, and the name that it ends in.
    Postgres { url: String, name: String },
}

impl Place {
    /// A place for databases of this kind; those of SQLite are made under `dir`.
    pub(crate) async fn new(kind: Kind, dir: &Path) -> Result<Self> {
        match kind {
            Kind::Sqlite => {
                let folder = tempfile::Builder::new().prefix("dripline-bench-").tempdir_in(dir)?;
                Ok(Self::Sqlite { folder, made: AtomicU32::new(0) })
            }
            Kind::Postgres => {
                let server = Box::new(Server::start_with(Durability::Full)?);
                let admin = connect(&server.url("postgres")).await?;
                Ok(Self::Postgres { server, admin, made: AtomicU32::new(0) })
            }
        }
    }

    /// The version of the PostgreSQL server, if this is one.
    pub(crate) async fn postgres(&self) -> Result<Option<String>> {
        match self {
            Self::Sqlite { .. } => Ok(None),
            Self::Postgres { admin, .. } => Ok(admin.query_one("SHOW server_version", &[]).await?.get(0)),
        }
    }

    /// A name for a database, and where it will be.
    fn next(&self) -> Database {
        match self {
            Self::Sqlite { folder, made } => {
                let number = made.fetch_add(1, Ordering::Relaxed);
                Database::Sqlite(folder.path().join(format!("{number}/dripline.db")))
            }
            Self::Postgres { server, made, .. } => {
                let number = made.fetch_add(1, Ordering::Relaxed);
                let name = format!("dripline_bench_{}_{number}", std::process::id());
                Database::Postgres { url: server.url(&name), name }
            }
        }
    }

    /// A database with nothing in it.
    pub(crate) async fn empty(&self) -> Result<Database> {
        let database = self.next();
        if let (Self::Postgres { admin, .. }, Database::Postgres { name, .. }) = (self, &database) {
            admin
                .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"))
                .await?;
        }
        Ok(database)
    }

    /// A copy of a database that nobody uses, on disk when this returns, so that no write of it falls into a measurement.
    pub(crate) async fn copy(&self, original: &Database) -> Result<Database> {
        let copy = self.next();
        match (self, original, &copy) {
            (_, Database::Sqlite(from), Database::Sqlite(to)) => {
                // Everything into the one file that is copied.
                Connection::open(from)?.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
                if let Some(folder) = to.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                std::fs::copy(from, to)?;
                std::fs::File::open(to)?.sync_all()?;
            }
            (
                Self::Postgres { admin, .. },
                Database::Postgres { url, name: from },
                Database::Postgres { name: to, .. },
            ) => {
                // Vacuumed once, so that no measurement pays for what the import left.
                connect(url).await?.batch_execute("VACUUM (ANALYZE)").await?;
                leave(admin, from).await?;
                admin
                    .batch_execute(&format!("CREATE DATABASE {to} TEMPLATE {from} STRATEGY file_copy"))
                    .await?;
                admin.batch_execute("CHECKPOINT").await?;
            }
            _ => return Err("a database of another kind cannot be copied here".into()),
        }
        Ok(copy)
    }

    /// Removes a database that nobody uses any more.
    pub(crate) async fn remove(&self, database: Database) -> Result<()> {
        match (self, &database) {
            (Self::Postgres { admin, .. }, Database::Postgres { name, .. }) => {
                admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
            }
            (_, Database::Sqlite(path)) => {
                if let Some(folder) = path.parent() {
                    std::fs::remove_dir_all(folder)?;
                }
            }
            (Self::Sqlite { .. }, Database::Postgres { .. }) => {}
        }
        Ok(())
    }
}

/// Ends what connections there are to a database: those of a store close themselves some time after it.
async fn leave(admin: &Client, name: &str) -> Result<()> {
    const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    while !admin.query(END, &[&name]).await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

impl Database {
    /// Opens it as the engine does, and makes its tables if need be.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>> {
        match self {
            Self::Sqlite(path) => Ok(Arc::new(SqliteStore::open(path).await?)),
            Self::Postgres { url, .. } => Ok(Arc::new(PostgresStore::open(&PostgresConfig::new(url)).await?)),
        }
    }
}
