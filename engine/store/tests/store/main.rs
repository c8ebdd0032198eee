//! What every store has to do, whichever database it is on.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod apply;
mod catalog;
mod dates;
mod held;
mod ingest;
mod live;
mod mailed;
mod model;
mod narrowing;
mod outbox;
mod postgres;
mod presence;
mod prune;
mod release;
mod report;
mod requests;
mod runs;
mod scores;
mod segments;
mod workspace;

/// Runs each body once for every backend, on an empty store.
macro_rules! stores {
    ($($(#[$attribute:meta])* async fn $name:ident($store:ident: $stored:ty) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn body($store: $stored) $body

            #[tokio::test]
            async fn sqlite() {
                let store = dripline_store::sqlite::SqliteStore::in_memory().await.unwrap();
                body(Arc::new(store)).await;
            }

            #[tokio::test]
            async fn postgres() {
                if let Some(store) = crate::postgres::empty_store().await {
                    body(Arc::new(store)).await;
                }
            }
        }
    )*};
}
use stores;
