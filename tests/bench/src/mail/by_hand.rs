//! A sender that has everything ready and only pushes it: one write and one wait for each message, which is as few as
//! SMTP allows, since no server may be sent a text before it has asked for it (RFC 2920 §3.1).

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::Result;

/// A message, ready for the wire.
#[derive(Debug)]
pub(crate) struct Letter {
    /// What is said before the text.
    envelope: String,
    /// The text with its end.
    text: Vec<u8>,
}

impl Letter {
    /// Doubles the dots (RFC 5321 §4.5.2).
    pub(crate) fn new(to: &str, source: &[u8]) -> Self {
        let envelope = format!("MAIL FROM:<bench@dripline.example>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
        let mut text = Vec::with_capacity(source.len() + 8);
        for line in source.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                text.push(b'.');
            }
            text.extend_from_slice(line);
        }
        text.extend_from_slice(if text.ends_with(b"\r\n") { b".\r\n" } else { b"\r\n.\r\n" });
        Self { envelope, text }
    }

    /// The length of the text.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }
}

/// Sends the letters, shared out evenly, and ends every conversation.
pub(crate) async fn send(letters: Vec<Letter>, port: u16, connections: usize) -> Result<()> {
    let connections = connections.max(1);
    let mut shares: Vec<Vec<Letter>> = (0..connections).map(|_| Vec::new()).collect();
    for (share, letter) in (0..connections).cycle().zip(letters) {
        if let Some(share) = shares.get_mut(share) {
            share.push(letter);
        }
    }
    let mut work = JoinSet::new();
    for share in shares {
        work.spawn(converse(share, port));
    }
    while let Some(done) = work.join_next().await {
        done??;
    }
    Ok(())
}

async fn converse(letters: Vec<Letter>, port: u16) -> io::Result<()> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let mut wire = Wire { socket, input: Vec::with_capacity(4_096) };
    wire.answers(1).await?;
    wire.socket.write_all(b"EHLO [127.0.0.1]\r\n").await?;
    wire.answers(3).await?;
    let mut waiting = 0;
    let mut output = Vec::new();
    for letter in &letters {
        // The end of the message before and the envelope of this one in one write.
        output.extend_from_slice(letter.envelope.as_bytes());
        wire.socket.write_all(&output).await?;
        wire.answers(waiting + 3).await?;
        output.clear();
        output.extend_from_slice(&letter.text);
        waiting = 1;
    }
    output.extend_from_slice(b"QUIT\r\n");
    wire.socket.write_all(&output).await?;
    wire.answers(waiting + 1).await
}

struct Wire {
    socket: TcpStream,
    input: Vec<u8>,
}

impl Wire {
    /// Waits for this many lines, none of which may be a refusal.
    async fn answers(&mut self, lines: usize) -> io::Result<()> {
        loop {
            let mut complete =
                self.input.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
            if complete.clone().count() >= lines {
                let refused = complete.any(|line| !matches!(line.first(), Some(b'2' | b'3')));
                self.input.clear();
                return if refused { Err(io::Error::other("the server refused something")) } else { Ok(()) };
            }
            if self.socket.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
