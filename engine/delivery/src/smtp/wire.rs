//! Lines in, lines out, each within its time.

use std::{fmt::Display, io, time::Duration};

use lettre::transport::smtp::response::Response;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
    BufReader,
};

/// The longest line of an answer; RFC 5321 §4.5.3.1.5 allows 512 bytes.
const MAX_LINE_BYTES: u64 = 4 * 1024;
/// The longest answer, all of its lines.
const MAX_REPLY_BYTES: usize = 64 * 1024;

/// A byte stream, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A byte stream that speaks SMTP's lines.
pub(crate) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    timeout: Duration,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn Stream>, timeout: Duration) -> Self {
        Self { stream: BufReader::new(stream), timeout }
    }

    /// Hands all of `bytes` over; an error means that the last of them never left.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let work = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        tokio::time::timeout(self.timeout, work).await.unwrap_or_else(|_| Err(silence(self.timeout)))
    }

    /// The server's next answer.
    pub(crate) async fn read(&mut self) -> io::Result<Response> {
        let work = read_reply(&mut self.stream);
        tokio::time::timeout(self.timeout, work).await.unwrap_or_else(|_| Err(silence(self.timeout)))
    }

    /// The stream, to be encrypted. What the server said too early was said by nobody knows whom (CVE-2011-0411), so
    /// there must be none.
    pub(crate) fn into_plain(self) -> io::Result<Box<dyn Stream>> {
        if self.stream.buffer().is_empty() {
            Ok(self.stream.into_inner())
        } else {
            Err(nonsense("the server spoke before the encryption began"))
        }
    }
}

async fn read_reply(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Response> {
    let mut reply = String::new();
    loop {
        let mut line = Vec::new();
        (&mut *stream).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await?;
        if !line.ends_with(b"\n") {
            return Err(if line.len() as u64 == MAX_LINE_BYTES {
                nonsense("the server's answer has a line without an end")
            } else {
                io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
            });
        }
        // Lines may end in a bare LF; the parser wants what the RFC wants.
        let text = String::from_utf8_lossy(&line);
        reply.push_str(text.trim_end_matches(['\r', '\n']));
        reply.push_str("\r\n");
        if line.get(3) != Some(&b'-') {
            return reply
                .parse()
                .map_err(|_| nonsense(format!("the server's answer is not SMTP: {:?}", text.trim_end())));
        }
        if reply.len() > MAX_REPLY_BYTES {
            return Err(nonsense("the server's answer has no end"));
        }
    }
}

fn silence(timeout: Duration) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("the server did not answer within {} ms", timeout.as_millis()),
    )
}

fn nonsense(what: impl Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

/// The line that ends the message's text, and hands it over.
pub(crate) const END_OF_TEXT: &[u8] = b".\r\n";

/// The message as DATA wants it (RFC 5321 §4.5.2): a dot before each leading dot. [`END_OF_TEXT`] comes after it.
pub(crate) fn dot_stuffed(source: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(source.len() + source.len() / 64 + 8);
    for line in source.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    if !stuffed.is_empty() && !stuffed.ends_with(b"\r\n") {
        stuffed.extend_from_slice(b"\r\n");
    }
    stuffed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn reply(text: &[u8]) -> Result<String, String> {
        let mut stream = text;
        match read_reply(&mut stream).await {
            Ok(response) => {
                Ok(format!("{} {}", response.code(), response.message().collect::<Vec<_>>().join("|")))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn answers_have_one_line_or_several_and_an_end() {
        assert_eq!(reply(b"250 ok\r\n").await.unwrap(), "250 ok");
        assert_eq!(
            reply(b"250-a.example\r\n250-8BITMIME\r\n250 HELP\r\n").await.unwrap(),
            "250 a.example|8BITMIME|HELP"
        );
        assert_eq!(reply(b"220 bare line feed\n").await.unwrap(), "220 bare line feed");
        insta::assert_snapshot!(reply(b"250-more\r\n").await.unwrap_err(), @"the server closed the connection");
        insta::assert_snapshot!(reply(b"HTTP/1.1 200 OK\r\n").await.unwrap_err(), @r#"the server's answer is not SMTP: "HTTP/1.1 200 OK""#);
        insta::assert_snapshot!(reply(&vec![b'x'; 10_000]).await.unwrap_err(), @"the server's answer has a line without an end");
        insta::assert_snapshot!(reply(&b"250-again\r\n".repeat(10_000)).await.unwrap_err(), @"the server's answer has no end");
    }

    /// What a server does with the lines of DATA (RFC 5321 §4.5.2).
    fn received(stuffed: &[u8]) -> (Vec<u8>, usize) {
        let mut message = Vec::new();
        let mut read = 0;
        for line in stuffed.split_inclusive(|byte| *byte == b'\n') {
            read += line.len();
            match line.strip_prefix(b".") {
                Some(b"\r\n") => break,
                Some(rest) => message.extend_from_slice(rest),
                None => message.extend_from_slice(line),
            }
        }
        (message, read)
    }

    proptest! {
        #[test]
        fn a_server_reads_back_what_was_stuffed(lines in proptest::collection::vec("[.a-c]{0,4}", 0..8)) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let stuffed = [&dot_stuffed(message.as_bytes()), END_OF_TEXT].concat();
            let (read_back, read) = received(&stuffed);
            prop_assert_eq!(read_back, message.as_bytes());
            prop_assert_eq!(read, stuffed.len(), "the end comes once, at the end");
        }
    }
}
