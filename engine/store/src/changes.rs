//! What a store counts for those who wait for it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::sync::watch;

/// Counts changes, whoever makes them, and what cannot wait.
#[derive(Debug)]
pub(crate) struct Changes {
    count: watch::Sender<u64>,
    arrivals: AtomicU64,
    importers: AtomicUsize,
}

impl Changes {
    pub(crate) fn new() -> Arc<Self> {
        let (arrivals, importers) = (AtomicU64::new(0), AtomicUsize::new(0));
        Arc::new(Self { count: watch::Sender::new(0), arrivals, importers })
    }

    /// Counts a change.
    pub(crate) fn bump(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    /// Waits until the count is not `seen` any more, and then makes it that.
    pub(crate) async fn after(&self, seen: &AtomicU64) {
        let before = seen.load(Ordering::Acquire);
        let mut count = self.count.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        if let Ok(now) = count.wait_for(|now| *now != before).await {
            seen.store(*now, Ordering::Release);
        }
    }

    /// Counts live events that have come.
    pub(crate) fn arrived(&self) {
        self.arrivals.fetch_add(1, Ordering::AcqRel);
    }

    /// How often live events have come.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Acquire)
    }

    /// Somebody waits to import, until the answer is dropped.
    pub(crate) fn importer(self: &Arc<Self>) -> Importer {
        self.importers.fetch_add(1, Ordering::AcqRel);
        Importer(Arc::clone(self))
    }

    /// Whether somebody waits to import.
    pub(crate) fn has_importers(&self) -> bool {
        self.importers.load(Ordering::Acquire) > 0
    }
}

/// Somebody who waits to import.
#[derive(Debug)]
pub(crate) struct Importer(Arc<Changes>);

impl Drop for Importer {
    fn drop(&mut self) {
        self.0.importers.fetch_sub(1, Ordering::AcqRel);
    }
}
