//! An SMTP server that does what a test tells it to, over real sockets.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::{
    config::{SmtpConfig, Tls},
    smtp::wire::Stream,
};

/// What the server has just read. Before the first line `said` is `greeting`; inside a message it is `text`, and `.`
/// at its end.
pub(crate) struct At<'a> {
    /// Counts connections from 0.
    pub(crate) connection: usize,
    pub(crate) said: &'a str,
}

/// What to do instead of what a good server would do.
pub(crate) enum Act {
    Say(&'static str),
    SayAndClose(&'static str),
    Close,
    Hang,
}

type Script = dyn Fn(&At<'_>) -> Option<Act> + Send + Sync;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) connection: usize,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) source: String,
}

pub(crate) struct MailServer {
    pub(crate) config: SmtpConfig,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    extensions: String,
    security: Tls,
    tls: TlsAcceptor,
    connections: AtomicUsize,
    received: Mutex<Vec<Received>>,
    heard: Mutex<Vec<String>>,
}

impl MailServer {
    /// A server that offers `extensions`, one a line, and follows `script` where that has something to say.
    pub(crate) async fn start(
        security: Tls,
        extensions: &str,
        script: impl Fn(&At<'_>) -> Option<Act> + Send + Sync + 'static,
    ) -> Self {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let config = SmtpConfig {
            name: "test".into(),
            host: "localhost".into(),
            port: listener.local_addr().unwrap().port(),
            tls: security,
            credentials: None,
            connections: 1,
            rate: None,
            timeout_ms: 20_000,
            extra_roots_pem: Some(own.cert.pem()),
        };
        let shared = Arc::new(Shared {
            script: Box::new(script),
            extensions: extensions.to_owned(),
            security,
            tls: TlsAcceptor::from(Arc::new(tls)),
            connections: AtomicUsize::new(0),
            received: Mutex::default(),
            heard: Mutex::default(),
        });
        tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    socket.set_nodelay(true).unwrap();
                    let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move { shared.serve(Box::new(socket), connection).await });
                }
            }
        });
        Self { config, shared }
    }

    /// A server without faults.
    pub(crate) async fn good() -> Self {
        Self::start(Tls::None, "PIPELINING\n8BITMIME", |_| None).await
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Every command line, in the order of arrival.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.shared.heard.lock().unwrap().clone()
    }
}

impl Shared {
    /// The end of a conversation is an error, whoever ends it.
    async fn serve(&self, socket: Box<dyn Stream>, connection: usize) -> io::Result<()> {
        let socket: Box<dyn Stream> = match self.security {
            Tls::Tls => Box::new(self.tls.accept(socket).await?),
            Tls::None | Tls::StartTls => socket,
        };
        let mut stream = BufReader::new(socket);
        self.answer(&mut stream, connection, "greeting", "220 mail.example ready").await?;
        let mut encrypted = self.security == Tls::Tls;
        let (mut from, mut to) = (String::new(), String::new());
        loop {
            let line = read(&mut stream).await?;
            self.heard.lock().unwrap().push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let mut lines = vec!["mail.example".to_owned()];
                    lines.extend(self.extensions.lines().map(str::to_owned));
                    if self.security == Tls::StartTls && !encrypted {
                        lines.push("STARTTLS".to_owned());
                    }
                    let last = lines.pop().unwrap();
                    let answer: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
                    self.answer(&mut stream, connection, &line, &format!("{answer}250 {last}")).await?;
                }
                "STARTTLS" => {
                    self.answer(&mut stream, connection, &line, "220 go ahead").await?;
                    stream = BufReader::new(Box::new(self.tls.accept(stream.into_inner()).await?));
                    encrypted = true;
                }
                "MAIL" => {
                    from = between(&line);
                    self.answer(&mut stream, connection, &line, "250 sender ok").await?;
                }
                "RCPT" => {
                    // A recipient that was refused is none.
                    let answer = self.answer(&mut stream, connection, &line, "250 recipient ok").await?;
                    to = if answer.starts_with('2') { between(&line) } else { String::new() };
                }
                "DATA" if to.is_empty() => self.say(&mut stream, "503 no valid recipients").await?,
                "DATA" => {
                    let answer = self.answer(&mut stream, connection, &line, "354 go on").await?;
                    if !answer.starts_with('3') {
                        continue;
                    }
                    let mut source = String::new();
                    loop {
                        let line = read(&mut stream).await?;
                        if line == "." {
                            break;
                        }
                        source.push_str(line.strip_prefix('.').unwrap_or(&line));
                        source.push_str("\r\n");
                        if let Some(act) = (self.script)(&At { connection, said: "text" }) {
                            self.perform(&mut stream, act).await?;
                        }
                    }
                    let queued = format!("250 2.0.0 queued on {connection}");
                    let answer = self.answer(&mut stream, connection, ".", &queued).await?;
                    if answer.starts_with('2') {
                        let (from, to) = (std::mem::take(&mut from), std::mem::take(&mut to));
                        self.received.lock().unwrap().push(Received { connection, from, to, source });
                    }
                }
                "QUIT" => {
                    self.answer(&mut stream, connection, &line, "221 bye").await?;
                    return Ok(());
                }
                "AUTH" => self.answer(&mut stream, connection, &line, "235 welcome").await.map(drop)?,
                _ => self.answer(&mut stream, connection, &line, "250 ok").await.map(drop)?,
            }
        }
    }

    /// Says what the script wants said here, else `usual`; answers with what was said.
    async fn answer(
        &self,
        stream: &mut BufReader<Box<dyn Stream>>,
        connection: usize,
        said: &str,
        usual: &str,
    ) -> io::Result<String> {
        if let Some(act) = (self.script)(&At { connection, said }) {
            return self.perform(stream, act).await;
        }
        self.say(stream, usual).await?;
        Ok(usual.to_owned())
    }

    async fn perform(&self, stream: &mut BufReader<Box<dyn Stream>>, act: Act) -> io::Result<String> {
        match act {
            Act::Say(words) => {
                self.say(stream, words).await?;
                Ok(words.to_owned())
            }
            Act::SayAndClose(words) => {
                self.say(stream, words).await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Act::Close => Err(io::ErrorKind::ConnectionAborted.into()),
            Act::Hang => std::future::pending().await,
        }
    }

    async fn say(&self, stream: &mut BufReader<Box<dyn Stream>>, words: &str) -> io::Result<()> {
        stream.write_all(format!("{words}\r\n").as_bytes()).await?;
        stream.flush().await
    }
}

async fn read(stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.strip_suffix("\r\n").expect("lines end in CRLF").to_owned())
}

fn between(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}
