//! A PostgreSQL store for each test, on a server that they share.

use dripline_store::postgres::{PostgresConfig, PostgresStore};
use dripline_test_postgres::Server;

/// An empty store; none where there is no PostgreSQL.
pub(crate) async fn empty_store() -> Option<PostgresStore> {
    let url = Server::shared()?.database().await;
    let config = PostgresConfig { connections: 4, ..PostgresConfig::new(url) };
    Some(PostgresStore::open(&config).await.unwrap())
}
