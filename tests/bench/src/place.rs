//! Where databases are made, copied and removed.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use clap::ValueEnum;
use dripline_store::{Store, sqlite::SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::Result;

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Sqlite,
}

impl Kind {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
        }
    }

    /// How many of `wanted` workers make sense: SQLite has one writer.
    pub(crate) fn workers(self, wanted: &[usize]) -> Vec<usize> {
        match self {
            Self::Sqlite => wanted.first().map(|_| 1).into_iter().collect(),
        }
    }
}

/// A folder or a server that databases are made in; everything goes with it.
pub(crate) enum Place {
    Sqlite { folder: TempDir, made: AtomicU32 },
}

/// A database: where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite(PathBuf),
}

impl Place {
    /// A place for databases of this kind; those of SQLite are made under `dir`.
    pub(crate) async fn new(kind: Kind, dir: &Path) -> Result<Self> {
        match kind {
            Kind::Sqlite => {
                let folder = tempfile::Builder::new().prefix("dripline-bench-").tempdir_in(dir)?;
                Ok(Self::Sqlite { folder, made: AtomicU32::new(0) })
            }
        }
    }

    /// The version of the PostgreSQL server, if this is one.
    pub(crate) async fn postgres(&self) -> Result<Option<String>> {
        match self {
            Self::Sqlite { .. } => Ok(None),
        }
    }

    /// A database that is still to be made.
    pub(crate) async fn empty(&self) -> Result<Database> {
        match self {
            Self::Sqlite { folder, made } => {
                let number = made.fetch_add(1, Ordering::Relaxed);
                Ok(Database::Sqlite(folder.path().join(format!("{number}/dripline.db"))))
            }
        }
    }

    /// A copy of a database that nobody uses, on disk when this returns, so that no write of it falls into a measurement.
    pub(crate) async fn copy(&self, original: &Database) -> Result<Database> {
        let copy = self.empty().await?;
        match (original, &copy) {
            (Database::Sqlite(from), Database::Sqlite(to)) => {
                // Everything into the one file that is copied.
                Connection::open(from)?.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
                if let Some(folder) = to.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                std::fs::copy(from, to)?;
                std::fs::File::open(to)?.sync_all()?;
            }
        }
        Ok(copy)
    }

    /// Removes a database that nobody uses any more.
    pub(crate) async fn remove(&self, database: Database) -> Result<()> {
        match &database {
            Database::Sqlite(path) => {
                if let Some(folder) = path.parent() {
                    std::fs::remove_dir_all(folder)?;
                }
            }
        }
        Ok(())
    }
}

impl Database {
    /// Opens it as the engine does, and makes it if need be.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>> {
        match self {
            Self::Sqlite(path) => Ok(Arc::new(SqliteStore::open(path).await?)),
        }
    }

    /// Gives a store back. Its connections close themselves soon after.
    pub(crate) async fn close(&self, store: Arc<dyn Store>) -> Result<()> {
        drop(store);
        match self {
            Self::Sqlite(_) => Ok(()),
        }
    }
}
