//! Who waits for a change hears of it, whichever process made it, without anybody polling: `LISTEN` and `NOTIFY`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{PgPool, postgres::PgListener};
use tokio::{sync::watch, task::JoinHandle};

/// The channel on which processes tell each other that there is something new.
pub(super) const CHANNEL: &str = "dripline";

/// How long to wait before the next try to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts changes: commits of this process, and what others notify.
#[derive(Debug)]
pub(super) struct Changes {
    count: Arc<watch::Sender<u64>>,
    listening: JoinHandle<()>,
}

impl Changes {
    /// Listens for as long as it lives, on a connection of the pool.
    pub(super) fn listening(pool: PgPool) -> Self {
        let count = Arc::new(watch::Sender::new(0));
        let listening = tokio::spawn(listen(pool, Arc::clone(&count)));
        Self { count, listening }
    }

    /// Counts a commit of this process.
    pub(super) fn bump(&self) {
        bump(&self.count);
    }

    /// Waits until the count is not `seen` any more, and then makes it that.
    pub(super) async fn after(&self, seen: &AtomicU64) {
        let before = seen.load(Ordering::Acquire);
        let mut count = self.count.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        if let Ok(now) = count.wait_for(|now| *now != before).await {
            seen.store(*now, Ordering::Release);
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn bump(count: &watch::Sender<u64>) {
    count.send_modify(|count| *count += 1);
}

async fn listen(pool: PgPool, count: Arc<watch::Sender<u64>>) {
    loop {
        if let Ok(mut listener) = PgListener::connect_with(&pool).await
            && listener.listen(CHANNEL).await.is_ok()
        {
            // What was notified before is seen by whoever looks now.
            bump(&count);
            // `None` is a connection that was lost and is there again: something may have gone unheard.
            while listener.try_recv().await.is_ok() {
                bump(&count);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
