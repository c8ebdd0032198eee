//! How the file is: [`Health`].

use async_trait::async_trait;
use dripline_model::Clock;
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection, query_as, query_scalar,
    sqlite::SqliteConnectOptions,
};

use super::{SqliteStore, open};
use crate::{
    Claimant, Condition, Database, Health, IndexFault, Result, Sending,
    error::{Doing as _, Raw},
    logic::maybe_at,
};

/// Without those that SQLite makes for itself. With the schema version as the only thing that says that one is there.
const INDEXES: &str =
    "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name";

const SENDING: &str = "
SELECT claimed_by, count(*), max(lease_until) FROM messages WHERE status = 1 GROUP BY 1 ORDER BY 1";

/// Reads every page, and names at most a hundred faults (<https://www.sqlite.org/pragma.html#pragma_quick_check>).
const CHECK: &str = "PRAGMA quick_check";

/// What the check says of a database that is well.
const WELL: &str = "ok";

#[async_trait]
impl Health for SqliteStore {
    async fn health(&self, _clock: &dyn Clock) -> Result<Condition> {
        self.condition().await.doing("find out how the store is")
    }
}

impl SqliteStore {
    async fn condition(&self) -> Raw<Condition> {
        let mut conn = self.shared.readers.acquire().await?;
        let version: i64 = query_scalar(open::VERSION).fetch_one(&mut *conn).await?;
        let damage: Vec<String> = match query_scalar(CHECK).fetch_all(&mut *conn).await {
            Ok(lines) => lines,
            // So damaged that not even the check can go on.
            Err(sqlx::Error::Database(error)) if open::is_damage(error.as_ref()) => {
                vec![error.message().to_owned()]
            }
            Err(error) => return Err(error.into()),
        };
        let sending: Vec<(Option<String>, i64, Option<i64>)> =
            query_as(SENDING).fetch_all(&mut *conn).await?;
        Ok(Condition {
            version,
            known: open::newest(&open::MIGRATIONS),
            index_faults: index_faults(&mut conn).await?,
            sending: sending
                .into_iter()
                .map(|(claimant, messages, lease_until)| Sending {
                    claimant: claimant.map(Claimant::named),
                    messages: messages.unsigned_abs(),
                    lease_until: maybe_at(lease_until),
                })
                .collect(),
            database: Database::File { damage: damage.into_iter().filter(|line| line != WELL).collect() },
        })
    }
}

/// Compares with the indexes of a store that has just been made.
async fn index_faults(conn: &mut SqliteConnection) -> Raw<Vec<IndexFault>> {
    let found: Vec<(String, String)> = query_as(INDEXES).fetch_all(conn).await?;
    let mut fresh = SqliteConnectOptions::new().in_memory(true).disable_statement_logging().connect().await?;
    open::MIGRATIONS.run_direct(None, &mut fresh, false).await?;
    let wanted: Vec<(String, String)> = query_as(INDEXES).fetch_all(&mut fresh).await?;
    fresh.close().await?;
    let missing = wanted.into_iter().filter(|index| !found.contains(index));
    Ok(missing
        .map(|(name, sql)| {
            let is_there = found.iter().any(|(other, _)| *other == name);
            let mend = if is_there { format!("DROP INDEX {name}; {sql}") } else { sql };
            IndexFault { name, mend, is_there }
        })
        .collect())
}
