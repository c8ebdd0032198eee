//! Who waits for a change hears of it, whichever process made it, without anybody polling.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::ModifyKind};
use tokio::sync::watch;

/// Counts changes: commits of this process and writes to the write-ahead log by any.
#[derive(Debug)]
pub(super) struct Changes {
    count: Arc<watch::Sender<u64>>,
    /// Watches for as long as it lives.
    _watcher: Option<RecommendedWatcher>,
}

impl Changes {
    /// Watches the write-ahead log of the database at `path`. Where the system cannot watch files, changes by other
    /// processes go unheard until something else wakes those who wait.
    pub(super) fn watching(path: &Path) -> Self {
        let count = Arc::new(watch::Sender::new(0));
        let watcher = watch_log(path, Arc::clone(&count))
            .inspect_err(|error| {
                tracing::warn!(%error, path = %path.display(), "cannot watch the store for other processes' changes");
            })
            .ok();
        Self { count, _watcher: watcher }
    }

    /// Counts a commit of this process.
    pub(super) fn bump(&self) {
        self.count.send_modify(|count| *count += 1);
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

fn watch_log(path: &Path, count: Arc<watch::Sender<u64>>) -> notify::Result<RecommendedWatcher> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Readers open and close the log too, and set its owner; only what is written counts. An error means that events
        // were lost.
        let is_written = |kind: EventKind| match kind {
            EventKind::Modify(ModifyKind::Metadata(_)) => false,
            kind => kind.is_modify() || kind.is_create(),
        };
        if event.map_or(true, |event| is_written(event.kind)) {
            count.send_modify(|count| *count += 1);
        }
    })?;
    watcher.watch(Path::new(&log), RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
