//! What a guest writes to its standard error: kept for the one who looks for the cause, bounded.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// How much of the end is kept, in bytes.
const KEPT: usize = 4 << 10;

/// The end of everything that was written; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn write(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default();
        let surplus = (kept.len() + bytes.len()).saturating_sub(KEPT);
        kept.drain(..surplus);
        kept.extend_from_slice(bytes);
    }

    /// The kept end as text, without the standard library's hint on backtraces, which no plugin can have.
    pub(crate) fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.starts_with("note: run with `RUST_BACKTRACE")).collect();
        lines.join("\n").trim().to_owned()
    }
}

impl AsyncWrite for Log {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let log = Log::default();
        for number in 0..1_000 {
            log.write(format!("line {number}\n").as_bytes());
        }
        log.write(b"note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n");
        let text = log.text();
        assert!(text.len() <= KEPT && text.ends_with("line 999"), "{text}");
        log.write(&vec![b'x'; 3 * KEPT]);
        assert_eq!(log.text(), "x".repeat(KEPT));
    }
}
