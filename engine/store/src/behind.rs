//! Writes that nobody waits for until something is read.
//!
//! Most of what a batch writes is never read in its transaction: score entries, messages, decisions. The statements go on
//! in a task of their own, in their order, while the engine works out the next step; whoever wants the connection waits
//! until they are done. What fails there fails the next that wants the connection, at the latest the commit.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{sync::mpsc, task::JoinHandle};

use crate::error::{Raw, damaged};

/// A write: answers how many rows changed.
pub(crate) type Write<C> =
    Box<dyn for<'c> FnOnce(&'c mut C) -> Pin<Box<dyn Future<Output = Raw<u64>> + Send + 'c>> + Send>;

/// A connection, or what it is busy with.
pub(crate) struct Behind<C> {
    place: Place<C>,
    /// Rows that changed behind.
    changed: u64,
    /// Whether a write failed: a transaction that lacks it must not be kept.
    failed: bool,
}

enum Place<C> {
    Here(C),
    Away {
        writes: mpsc::UnboundedSender<Write<C>>,
        back: JoinHandle<(C, Raw<u64>)>,
        unwanted: Arc<AtomicBool>,
    },
    /// The task died, and with it the connection.
    Lost,
}

impl<C: Send + 'static> Behind<C> {
    pub(crate) fn new(conn: C) -> Self {
        Self { place: Place::Here(conn), changed: 0, failed: false }
    }

    /// Writes after what was given before.
    pub(crate) async fn write(&mut self, write: Write<C>) {
        self.place = match std::mem::replace(&mut self.place, Place::Lost) {
            Place::Here(conn) => {
                let (writes, queue) = mpsc::unbounded_channel();
                // The receiver is there: it was made this moment.
                drop(writes.send(write));
                let unwanted = Arc::<AtomicBool>::default();
                Place::Away { writes, back: tokio::spawn(work(conn, queue, Arc::clone(&unwanted))), unwanted }
            }
            Place::Away { writes, back, unwanted } => {
                // A task that is gone says so when it is asked for the connection.
                drop(writes.send(write));
                Place::Away { writes, back, unwanted }
            }
            Place::Lost => Place::Lost,
        };
        // Woken by this thread, the task stands behind whoever uses this thread: let it begin before the next long stretch of
        // work.
        tokio::task::yield_now().await;
    }

    /// Whether writes are under way.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self.place, Place::Away { .. })
    }

    /// The connection, once everything is written.
    pub(crate) async fn here(&mut self) -> Raw<&mut C> {
        self.come_back().await?;
        match &mut self.place {
            Place::Here(conn) => Ok(conn),
            Place::Away { .. } | Place::Lost => Err(lost()),
        }
    }

    /// The connection for good, and how many rows changed behind.
    pub(crate) async fn into_inner(mut self) -> Raw<(C, u64)> {
        self.come_back().await?;
        match std::mem::replace(&mut self.place, Place::Lost) {
            Place::Here(conn) => Ok((conn, self.changed)),
            Place::Away { .. } | Place::Lost => Err(lost()),
        }
    }

    async fn come_back(&mut self) -> Raw<()> {
        if let Place::Away { .. } = &self.place
            && let Place::Away { writes, back, .. } = std::mem::replace(&mut self.place, Place::Lost)
        {
            drop(writes);
            let (conn, written) = back.await.map_err(|_| lost())?;
            self.place = Place::Here(conn);
            self.changed += written.inspect_err(|_| self.failed = true)?;
        }
        if self.failed { Err(damaged("transaction", "an earlier write of it failed")) } else { Ok(()) }
    }
}

/// Writes in order. After a failure nothing more is written, nor when nobody wants it: the transaction is not to be kept.
async fn work<C>(
    mut conn: C,
    mut queue: mpsc::UnboundedReceiver<Write<C>>,
    unwanted: Arc<AtomicBool>,
) -> (C, Raw<u64>) {
    let mut changed = Ok(0);
    while let Some(write) = queue.recv().await {
        if unwanted.load(Ordering::Acquire) {
            break;
        }
        if let Ok(so_far) = changed {
            changed = write(&mut conn).await.map(|rows| so_far + rows);
        }
    }
    (conn, changed)
}

fn lost() -> crate::ErrorKind {
    damaged("transaction", "a write ended without an answer")
}

impl<C> Drop for Behind<C> {
    /// What nobody waits for any more is not written, and the transaction goes back with the task. The write that is under way
    /// comes to its end: a connection is left in the middle of nothing.
    fn drop(&mut self) {
        if let Place::Away { unwanted, .. } = &self.place {
            unwanted.store(true, Ordering::Release);
        }
    }
}

impl<C> fmt::Debug for Behind<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.place {
            Place::Here(_) => "Behind(here)",
            Place::Away { .. } => "Behind(away)",
            Place::Lost => "Behind(lost)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::oneshot;

    use super::*;

    fn push(number: u64) -> Write<Vec<u64>> {
        Box::new(move |all| {
            Box::pin(async move {
                tokio::task::yield_now().await;
                all.push(number);
                Ok(1)
            })
        })
    }

    #[tokio::test]
    async fn what_is_read_was_written_before_in_order() {
        let mut behind = Behind::new(Vec::new());
        for number in 0..100 {
            behind.write(push(number)).await;
        }
        assert!(behind.is_away());
        assert!((0..100).eq(behind.here().await.unwrap().iter().copied()));
        behind.write(push(100)).await;
        let (all, changed) = behind.into_inner().await.unwrap();
        assert_eq!((all.len(), changed), (101, 101));
    }

    #[tokio::test]
    async fn a_failure_is_the_next_ones_and_nothing_follows_it() {
        let mut behind = Behind::new(Vec::new());
        behind.write(push(1)).await;
        behind.write(Box::new(|_| Box::pin(async { Err(damaged("row", "wrong")) }))).await;
        behind.write(push(2)).await;
        assert!(behind.here().await.unwrap_err().to_string().contains("wrong"));
        assert!(behind.into_inner().await.unwrap_err().to_string().contains("earlier write"));
    }

    #[tokio::test]
    async fn what_nobody_wants_ends_with_the_write_that_is_under_way() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut behind = Behind::new(Arc::clone(&log));
        let (go_on, wait) = oneshot::channel::<()>();
        behind
            .write(Box::new(move |log| {
                Box::pin(async move {
                    wait.await.unwrap();
                    log.lock().unwrap().push("ended");
                    Ok(1)
                })
            }))
            .await;
        behind
            .write(Box::new(|log| {
                Box::pin(async move {
                    log.lock().unwrap().push("begun");
                    Ok(1)
                })
            }))
            .await;
        drop(behind);
        go_on.send(()).unwrap();
        while Arc::strong_count(&log) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*log.lock().unwrap(), ["ended"]);
    }

    #[tokio::test]
    async fn a_write_that_panics_is_an_error() {
        let mut behind = Behind::new(Vec::<u64>::new());
        behind.write(Box::new(|_| panic!("as a bug would"))).await;
        assert!(behind.here().await.is_err());
        behind.write(push(1)).await;
        assert!(behind.into_inner().await.is_err());
    }
}
