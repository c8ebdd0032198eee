//! Who looks whether a lead has got an owner, through a connection of its own.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dripline_model::id::ContactId;
use rusqlite::{Connection, OptionalExtension as _};

use crate::{Result, place::Database, yardstick::postgres::connect};

/// Looks in a thread of its own, again and again.
pub(super) struct Watch {
    shared: Arc<Shared>,
    watcher: thread::JoinHandle<Result<()>>,
}

#[derive(Default)]
struct Shared {
    leads: Mutex<Leads>,
    stop: AtomicBool,
}

#[derive(Default)]
struct Leads {
    /// Those that are looked for.
    waiting: BTreeSet<i64>,
    /// When it was seen that somebody owns them.
    seen: HashMap<i64, Instant>,
}

impl Watch {
    /// Begins to look; nobody is looked for yet.
    pub(super) fn start(database: &Database, pause: Duration) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let watched = Arc::clone(&shared);
        let watcher = match database.clone() {
            Database::Sqlite(path) => thread::spawn(move || watched.look_in_sqlite(&path, pause)),
            Database::Postgres { url, .. } => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                thread::spawn(move || runtime.block_on(watched.look_in_postgres(&url, pause)))
            }
        };
        Ok(Self { shared, watcher })
    }

    /// From now on also looks for this contact's owner.
    pub(super) fn look_for(&self, contact: ContactId) {
        self.shared.leads().waiting.insert(contact.0);
    }

    /// Waits until all were seen, or for as long as one has patience; answers when each was seen.
    pub(super) async fn finish(self, patience: Duration) -> Result<HashMap<i64, Instant>> {
        let started = Instant::now();
        while !self.shared.leads().waiting.is_empty()
            && started.elapsed() < patience
            && !self.watcher.is_finished()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.shared.stop.store(true, Ordering::Relaxed);
        self.watcher.join().map_err(|_| "the one who looks for owners panicked")??;
        Ok(mem::take(&mut self.shared.leads().seen))
    }
}

impl Shared {
    fn look_in_sqlite(&self, path: &Path, pause: Duration) -> Result<()> {
        let connection = Connection::open(path)?;
        let mut owner = connection.prepare("SELECT contact_id FROM owners WHERE contact_id = ?1")?;
        while !self.stop.load(Ordering::Relaxed) {
            let waiting = self.leads().waiting.clone();
            for contact in waiting {
                let found: Option<i64> = owner.query_row([contact], |row| row.get(0)).optional()?;
                self.saw(found);
            }
            thread::sleep(pause);
        }
        Ok(())
    }

    async fn look_in_postgres(&self, url: &str, pause: Duration) -> Result<()> {
        let client = connect(url).await?;
        let owners = client.prepare("SELECT contact_id FROM owners WHERE contact_id = ANY ($1)").await?;
        while !self.stop.load(Ordering::Relaxed) {
            let waiting: Vec<i64> = self.leads().waiting.iter().copied().collect();
            if !waiting.is_empty() {
                let found = client.query(&owners, &[&waiting]).await?;
                self.saw(found.iter().map(|row| row.get(0)));
            }
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    fn saw(&self, found: impl IntoIterator<Item = i64>) {
        let at = Instant::now();
        let mut leads = self.leads();
        for contact in found {
            if leads.waiting.remove(&contact) {
                leads.seen.insert(contact, at);
            }
        }
    }

    /// Nothing is ever half done under the lock.
    fn leads(&self) -> MutexGuard<'_, Leads> {
        self.leads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
