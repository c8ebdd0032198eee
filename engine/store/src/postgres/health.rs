//! How the database is, and its server: [`Health`].

use std::collections::HashMap;

use async_trait::async_trait;
use dripline_model::Clock;
use sqlx::{PgConnection, query_as, query_scalar};

use super::{PostgresStore, open};
use crate::{
    Claimant, Condition, Database, Health, IndexFault, Result, Sending, Server,
    error::{Doing as _, Raw},
    logic::{maybe_at, ms},
};

/// What makes each index of the schema, a line each; a test compares it with the migrations.
const INDEXES: &str = include_str!("indexes.sql");

/// The indexes of our tables, without those of partitions, which come and go with their parents'.
const FOUND: &str = "
SELECT i.relname, x.indisvalid FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE i.relnamespace = current_schema()::regnamespace AND NOT i.relispartition";

const SENDING: &str = "
SELECT claimed_by, count(*), max(lease_until) FROM messages WHERE status = 1 GROUP BY 1 ORDER BY 1";

const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8";

const AUTOVACUUM: &str =
    "SELECT current_setting('autovacuum')::bool AND current_setting('track_counts')::bool";

const WITHOUT_AUTOVACUUM: &str = "
SELECT relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
    AND reloptions && ARRAY['autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=0']
ORDER BY relname";

/// For five minutes or more.
const IDLE_IN_TRANSACTION: &str = "
SELECT pid, extract(epoch FROM now() - state_change)::int8 FROM pg_stat_activity
WHERE datname = current_database() AND state LIKE 'idle in transaction%'
    AND state_change < now() - interval '5 minutes'
ORDER BY state_change";

/// The smallest of the limits of server, database and user. -1 is none.
const CONNECTION_LIMIT: &str = "
SELECT least(
    current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
        - coalesce(current_setting('reserved_connections', TRUE)::int8, 0),
    (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()),
    (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user))::int8";

const CONNECTIONS_OF_OTHERS: &str = "
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend'
    AND NOT (application_name = 'dripline' AND datname IS NOT DISTINCT FROM current_database())";

#[async_trait]
impl Health for PostgresStore {
    async fn health(&self, clock: &dyn Clock) -> Result<Condition> {
        self.condition(clock).await.doing("find out how the store is")
    }
}

impl PostgresStore {
    async fn condition(&self, clock: &dyn Clock) -> Raw<Condition> {
        let mut conn = self.shared.readers.acquire().await?;
        let (version, _): (i64, i64) = query_as(open::VERSION).fetch_one(&mut *conn).await?;
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
            database: Database::Server(server(&mut conn, clock).await?),
        })
    }
}

async fn server(conn: &mut PgConnection, clock: &dyn Clock) -> Raw<Server> {
    let before = clock.now();
    let server_ms: i64 = query_scalar(CLOCK).fetch_one(&mut *conn).await?;
    // It said so in the middle of the time that the answer took.
    let skew_ms = ms(before).midpoint(ms(clock.now())) - server_ms;
    let limit: i64 = query_scalar(CONNECTION_LIMIT).fetch_one(&mut *conn).await?;
    let others: i64 = query_scalar(CONNECTIONS_OF_OTHERS).fetch_one(&mut *conn).await?;
    Ok(Server {
        skew_ms,
        autovacuum: query_scalar(AUTOVACUUM).fetch_one(&mut *conn).await?,
        without_autovacuum: query_scalar(WITHOUT_AUTOVACUUM).fetch_all(&mut *conn).await?,
        idle_in_transaction: query_as(IDLE_IN_TRANSACTION).fetch_all(&mut *conn).await?,
        connection_limit: u64::try_from(limit).unwrap_or_default(),
        connections_of_others: others.unsigned_abs(),
    })
}

async fn index_faults(conn: &mut PgConnection) -> Raw<Vec<IndexFault>> {
    let found: HashMap<String, bool> =
        query_as::<_, (String, bool)>(FOUND).fetch_all(conn).await?.into_iter().collect();
    let wanted = INDEXES.lines().filter_map(|sql| Some((name(sql)?, sql)));
    let mut faults: Vec<IndexFault> = wanted
        .filter(|(name, _)| !found.contains_key(*name))
        .map(|(name, sql)| IndexFault { name: name.to_owned(), mend: sql.to_owned(), is_there: false })
        .collect();
    let mut invalid: Vec<_> = found.into_iter().filter(|(_, is_valid)| !is_valid).collect();
    invalid.sort();
    faults.extend(invalid.into_iter().map(|(name, _)| {
        let mend = format!("REINDEX INDEX CONCURRENTLY {name}");
        IndexFault { name, mend, is_there: true }
    }));
    Ok(faults)
}

/// The name in `CREATE INDEX name ON …`.
fn name(sql: &str) -> Option<&str> {
    sql.split_once("INDEX ")?.1.split(' ').next()
}

#[cfg(test)]
mod tests {
    use dripline_test_postgres::Server;

    use super::*;
    use crate::postgres::PostgresConfig;

    const DEFINITIONS: &str = "
    SELECT replace(replace(pg_get_indexdef(x.indexrelid), ' ON ONLY ', ' ON '), ' ON public.', ' ON ')
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    WHERE i.relnamespace = current_schema()::regnamespace AND NOT i.relispartition
        AND i.relname <> '_sqlx_migrations_pkey'
    ORDER BY i.relname COLLATE \"C\"";

    #[tokio::test]
    async fn the_list_of_indexes_is_that_of_the_migrations() {
        let Some(server) = Server::shared() else { return };
        let config = PostgresConfig::new(server.database().await);
        let store = PostgresStore::open(&config).await.unwrap();
        let fresh: Vec<String> = query_scalar(DEFINITIONS).fetch_all(&store.shared.readers).await.unwrap();
        let fresh: String = fresh.iter().map(|line| format!("{line}\n")).collect();
        if fresh != INDEXES {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres/indexes.sql");
            assert!(std::env::var_os("CI").is_none(), "{file} is not what the migrations make:\n{fresh}");
            std::fs::write(file, &fresh).unwrap();
            panic!("{file} was not what the migrations make, and was written anew; look at it and run again");
        }
    }
}
