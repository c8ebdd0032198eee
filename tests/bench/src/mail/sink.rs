//! An SMTP server that takes everything at once and only counts it (RFC 5321, with PIPELINING of RFC 2920).

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Builder,
    sync::oneshot,
};

use crate::Result;

const END_OF_TEXT: &[u8] = b"\r\n.\r\n";

/// The server; it stops when it is dropped.
pub(crate) struct Sink {
    port: u16,
    received: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

impl Sink {
    /// Starts it, in a thread of its own.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let received = Arc::<AtomicU64>::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let counter = Arc::clone(&received);
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => Ok(()),
                    ended = accept(listener, counter) => ended,
                }
            })
        });
        Ok(Self { port, received, _stop: stop })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many messages it has taken.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, received: Arc<AtomicU64>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(serve(socket, Arc::clone(&received)));
    }
}

/// Answers all that has come in with one write.
async fn serve(mut socket: TcpStream, received: Arc<AtomicU64>) -> std::io::Result<()> {
    socket.write_all(b"220 sink.example ready\r\n").await?;
    let mut conversation = Conversation::default();
    loop {
        if socket.read_buf(&mut conversation.input).await? == 0 {
            return Ok(());
        }
        let messages = conversation.answer();
        // Before the answer goes out: who counts after it must find it counted.
        received.fetch_add(messages, Ordering::SeqCst);
        socket.write_all(&conversation.output).await?;
        conversation.output.clear();
        if conversation.is_over {
            return Ok(());
        }
    }
}

/// What one client has said, and what it is answered.
#[derive(Default)]
struct Conversation {
    input: Vec<u8>,
    output: Vec<u8>,
    is_text: bool,
    is_over: bool,
}

impl Conversation {
    /// Answers what is complete; says how many messages ended in it.
    fn answer(&mut self) -> u64 {
        let mut at = 0;
        let mut messages = 0;
        loop {
            let rest = self.input.get(at..).unwrap_or_default();
            let end = if self.is_text { END_OF_TEXT } else { b"\r\n".as_slice() };
            let Some(found) = rest.windows(end.len()).position(|window| window == end) else { break };
            if self.is_text {
                self.is_text = false;
                messages += 1;
                self.output.extend_from_slice(b"250 2.0.0 taken\r\n");
            } else {
                let line = rest.get(..found.min(4)).unwrap_or_default().to_ascii_uppercase();
                self.command(&line);
            }
            at += found + end.len();
        }
        self.input.drain(..at);
        messages
    }

    fn command(&mut self, verb: &[u8]) {
        let answer: &[u8] = match verb {
            b"EHLO" => b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            b"DATA" => {
                self.is_text = true;
                b"354 go on\r\n"
            }
            b"QUIT" => {
                self.is_over = true;
                b"221 2.0.0 bye\r\n"
            }
            _ => b"250 2.0.0 ok\r\n",
        };
        self.output.extend_from_slice(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_pieces_every_message_is_counted_once() {
        let said = b"EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nHello\r\n..\r\n.\r\nMAIL FROM:<a@b>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
        let mut whole = Conversation { input: said.to_vec(), ..Conversation::default() };
        assert_eq!(whole.answer(), 2);
        let mut pieces = Conversation::default();
        let counted: u64 = said
            .chunks(3)
            .map(|piece| {
                pieces.input.extend_from_slice(piece);
                pieces.answer()
            })
            .sum();
        assert_eq!((counted, &pieces.output), (2, &whole.output));
        assert!(whole.is_over && whole.output.ends_with(b"221 2.0.0 bye\r\n"));
    }
}
