//! Who waits for a change hears of it, whichever process made it, without anybody polling: `LISTEN` and `NOTIFY`.

use std::{sync::Arc, time::Duration};

use sqlx::{PgPool, postgres::PgListener};
use tokio::task::JoinHandle;

use crate::changes::Changes;

/// The channel on which processes tell each other that there is something new.
pub(super) const CHANNEL: &str = "dripline";

/// What is said there of live events. Everything else is said without a word.
pub(super) const EVENTS: &str = "events";

/// How long to wait before the next try to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens for as long as it lives.
#[derive(Debug)]
pub(super) struct Listening(JoinHandle<()>);

impl Listening {
    /// Listens on a connection of the pool.
    pub(super) fn on(pool: PgPool, changes: Arc<Changes>) -> Self {
        Self(tokio::spawn(listen(pool, changes)))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(pool: PgPool, changes: Arc<Changes>) {
    loop {
        if let Ok(mut listener) = PgListener::connect_with(&pool).await
            && listener.listen(CHANNEL).await.is_ok()
        {
            // What was notified before is seen by whoever looks now.
            changes.bump();
            // `None` is a connection that was lost and is there again: something may have gone unheard.
            while let Ok(heard) = listener.try_recv().await {
                if heard.is_some_and(|heard| heard.payload() == EVENTS) {
                    changes.arrived();
                }
                changes.bump();
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
