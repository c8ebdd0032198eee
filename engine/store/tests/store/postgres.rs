//! A PostgreSQL store for each test, on a server that they share.

use std::sync::Arc;

use dripline_model::Effect;
use dripline_store::{
    Store,
    postgres::{PostgresConfig, PostgresStore},
};
use dripline_test_postgres::Server;
use serde_json::json;

use crate::workspace::*;

/// An empty store; none where there is no PostgreSQL.
pub(crate) async fn empty_store() -> Option<PostgresStore> {
    let url = Server::shared()?.database().await;
    let config = PostgresConfig { connections: 4, ..PostgresConfig::new(url) };
    Some(PostgresStore::open(&config).await.unwrap())
}

#[tokio::test]
async fn a_copy_in_a_file_has_everything() {
    let Some(server) = Server::shared() else { return };
    let config = PostgresConfig { connections: 4, ..PostgresConfig::new(server.database().await) };
    let empty = PostgresStore::copy_of(&config).await.unwrap();
    let empty: Arc<dyn Store> = Arc::new(empty);
    assert_eq!(empty.counts().await.unwrap().contacts, 0, "a database without tables is left without them");
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open(&config).await.unwrap());
    let mut imported = row(0);
    imported.attributes = object(json!({"title": "CTO", "deep": {"list": [1, 2.5, null, "ü"]}}));
    imported.consents = [("email".to_owned(), true)].into();
    let ids = contacts(&store, 2).await;
    import_contacts(&store, &[imported]).await;
    import_events(&store, &[event(0, "visit", at(500))]).await;
    let version = publish(&store, "a").await;
    let runs = runs_of(&store, &version, &ids, at(1)).await;
    let effects = vec![
        send_email("Hi"),
        add_score("fit", 20, "senior"),
        assign("anna"),
        Effect::JoinSegment("hot".into()),
        Effect::AddTag("vip".into()),
    ];
    apply(&store, &[turn(&runs[0], effects)], at(1)).await;

    let copy: Arc<dyn Store> = Arc::new(PostgresStore::copy_of(&config).await.unwrap());
    for id in ids {
        assert_eq!(load(&copy, id).await, load(&store, id).await);
        assert_eq!(copy.timeline(id).await.unwrap(), store.timeline(id).await.unwrap());
    }
    assert_eq!(copy.counts().await.unwrap(), store.counts().await.unwrap());
    assert_eq!(copy.next_due().await.unwrap(), store.next_due().await.unwrap());
    assert_eq!(due_messages(&copy, at(1)).await.len(), 1);
    let program = copy.program(version.version).await.unwrap().unwrap();
    assert_eq!(program.digest, store.program(version.version).await.unwrap().unwrap().digest);
    // What comes later has ids of its own.
    import_contacts(&copy, &[row(7)]).await;
    assert_eq!(copy.counts().await.unwrap().contacts, store.counts().await.unwrap().contacts + 1);
}
