//! A copy of a store in which one may try things out.

use std::path::Path;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, query, query_as, query_scalar,
    sqlite::SqliteSynchronous,
};

use super::{SqliteStore, open};
use crate::{
    Result,
    error::{Doing as _, Raw},
};

/// Tables that mean nothing in a copy: who runs the store, and the bytes of messages that were sent.
pub(crate) const LEFT_OUT: [&str; 2] = ["processes", "message_sources"];

const TABLES: &str = "
SELECT name FROM sqlite_schema
WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_sqlx%' ESCAPE '\\'
ORDER BY name";

/// Generated columns are not among them.
const COLUMNS: &str = "SELECT name, type FROM pragma_table_xinfo(?1) WHERE hidden = 0";

/// A table, and its columns with their types.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: String,
    /// Name and type (`INTEGER`, `TEXT`, `REAL`, `BLOB`) of each column.
    pub(crate) columns: Vec<(String, String)>,
}

impl SqliteStore {
    /// A copy of the database at `path`, which is only read, whatever its schema's version: a store as
    /// [`SqliteStore::in_memory`] makes it.
    ///
    /// # Errors
    /// As for [`SqliteStore::open`]; and where there is no file.
    pub async fn copy_of(path: &Path) -> Result<Self> {
        let doing = || format!("copy the store `{}`", path.display());
        let directory = tempfile::tempdir().doing("make a temporary store")?;
        let copy = directory.path().join("dripline.db");
        copy_file(path, &copy).await.doing(doing())?;
        Self::open_with(&copy, SqliteSynchronous::Off, &open::MIGRATIONS, Some(directory))
            .await?
            .ready()
            .await
    }

    /// The tables that a copy has.
    pub(crate) async fn tables(&self) -> Raw<Vec<Table>> {
        let names: Vec<String> = query_scalar(TABLES).fetch_all(&self.shared.readers).await?;
        let mut tables = Vec::with_capacity(names.len());
        for name in names.into_iter().filter(|name| !LEFT_OUT.contains(&name.as_str())) {
            let columns = query_as(COLUMNS).bind(&name).fetch_all(&self.shared.readers).await?;
            tables.push(Table { name, columns });
        }
        Ok(tables)
    }

    /// Puts rows into the tables in place of what is there: of each table statements that put them, each with its rows as
    /// a JSON array.
    pub(crate) async fn fill(&self, table: &Table, insert: &str, rows: &[String], is_first: bool) -> Raw<()> {
        let mut conn = self.shared.writer.acquire().await?;
        query("PRAGMA foreign_keys = OFF").execute(&mut *conn).await?;
        let mut tx = conn.begin().await?;
        if is_first {
            // The names come from the schema.
            query(AssertSqlSafe(format!("DELETE FROM {}", table.name))).execute(&mut *tx).await?;
        }
        if !rows.is_empty() {
            let rows = format!("[{}]", rows.join(","));
            query(AssertSqlSafe(insert.to_owned())).bind(rows).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        query("PRAGMA foreign_keys = ON").execute(&mut *conn).await?;
        Ok(())
    }
}

async fn copy_file(path: &Path, copy: &Path) -> Raw<()> {
    // Says whose file it is before anything is read, and refuses what a newer program wrote.
    open::versions(path, &open::MIGRATIONS).await?;
    let mut conn = open::plain(path).connect().await?;
    query("VACUUM INTO ?1").bind(copy.display().to_string()).execute(&mut conn).await?;
    conn.close().await?;
    Ok(())
}
