//! Who waits for a change hears of it, whichever process made it, without anybody polling.

use std::{path::Path, sync::Arc, thread, time::Duration};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::ModifyKind};

use crate::changes::Changes;

/// A commit is hundreds of writes, and the system tells of each, at the cost of a twentieth of a batch. After one of them the others
/// may wait so long: the system makes one of them.
const REST: Duration = Duration::from_millis(5);

/// Counts every write to the write-ahead log of the database at `path`, by any process, for as long as the answer lives.
/// Where the system cannot watch files, changes by other processes go unheard until something else wakes those who wait.
pub(super) fn watch(path: &Path, changes: Arc<Changes>) -> Option<RecommendedWatcher> {
    watch_log(path, changes)
        .inspect_err(|error| {
            tracing::warn!(%error, path = %path.display(), "cannot watch the store for other processes' changes");
        })
        .ok()
}

fn watch_log(path: &Path, changes: Arc<Changes>) -> notify::Result<RecommendedWatcher> {
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
            changes.bump();
            thread::sleep(REST);
        }
    })?;
    watcher.watch(Path::new(&log), RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
