//! An SMTP server that keeps what it accepts: the protocol is the `mailin` crate's, the sockets are ours.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use mail_parser::{MessageParser, MimeHeaders};
use mailin::{Action, Handler, Response, SessionBuilder, response};

/// A message as the server accepted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) to: String,
    pub(crate) source: Vec<u8>,
}

impl Received {
    pub(crate) fn message_id(&self) -> String {
        let message = MessageParser::default().parse(&self.source).expect("readable mail");
        message.message_id().expect("a Message-ID").to_owned()
    }

    /// Subject, text part, and whether there is an HTML part.
    pub(crate) fn read(&self) -> (String, String, bool) {
        let message = MessageParser::default().parse(&self.source).expect("readable mail");
        let text = message.body_text(0).expect("a text part").into_owned();
        let html = message
            .html_bodies()
            .any(|part| part.content_type().is_some_and(|kind| kind.subtype() == Some("html")));
        (message.subject().expect("a subject").to_owned(), text, html)
    }
}

/// What was accepted so far, and a bell for each.
#[derive(Default)]
struct Kept {
    mails: Mutex<Vec<Received>>,
    bell: Condvar,
}

/// What a server does with a message once it has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Answer,
    /// Keeps it and dies before it says so.
    KeepAndDie,
    /// Dies before it keeps it.
    Die,
}

/// How the server ends with the message of this number, from 0.
type Manner = fn(u64) -> Ending;

#[derive(Clone)]
struct Keeper {
    kept: Arc<Kept>,
    manner: Manner,
    count: Arc<AtomicU64>,
    /// Whether this connection is dead.
    died: Arc<AtomicBool>,
    to: String,
    source: Vec<u8>,
}

impl Handler for Keeper {
    fn helo(&mut self, _ip: IpAddr, _domain: &str) -> Response {
        response::OK
    }

    fn data_start(&mut self, _domain: &str, _from: &str, _is8bit: bool, to: &[String]) -> Response {
        self.to = to.join(",");
        self.source.clear();
        response::OK
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.source.extend_from_slice(bytes);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let ending = (self.manner)(self.count.fetch_add(1, Ordering::Relaxed));
        self.died.store(ending != Ending::Answer, Ordering::Relaxed);
        if ending == Ending::Die {
            return response::OK;
        }
        let received = Received { to: self.to.clone(), source: std::mem::take(&mut self.source) };
        self.kept.mails.lock().unwrap().push(received);
        self.kept.bell.notify_all();
        response::OK
    }
}

/// A server on a free port, running until the test process ends.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    kept: Arc<Kept>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::with_manner(|_| Ending::Answer)
    }

    pub(crate) fn with_manner(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::<Kept>::default();
        let count = Arc::default();
        let keeper = Keeper {
            kept: Arc::clone(&kept),
            manner,
            count,
            died: Arc::default(),
            to: String::new(),
            source: Vec::new(),
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let keeper = Keeper { died: Arc::default(), ..keeper.clone() };
                thread::spawn(move || converse(stream, keeper));
            }
        });
        Self { port, kept }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.kept.mails.lock().unwrap().clone()
    }

    /// How often each Message-ID was accepted.
    pub(crate) fn accepted(&self) -> BTreeMap<String, u64> {
        let mut accepted = BTreeMap::new();
        for mail in self.kept.mails.lock().unwrap().iter() {
            *accepted.entry(mail.message_id()).or_default() += 1;
        }
        accepted
    }

    /// Returns as soon as `count` mails were accepted.
    pub(crate) fn wait_for(&self, count: usize) {
        let mails = self.kept.mails.lock().unwrap();
        let (mails, waited) = self
            .kept
            .bell
            .wait_timeout_while(mails, Duration::from_secs(60), |mails| mails.len() < count)
            .unwrap();
        assert!(!waited.timed_out(), "only {} of {count} mails came in a minute", mails.len());
    }
}

/// One connection, until either side has enough. A client that was killed just goes away.
fn converse(mut stream: TcpStream, keeper: Keeper) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let died = Arc::clone(&keeper.died);
    let mut session = SessionBuilder::new("localhost").build(IpAddr::V4(Ipv4Addr::LOCALHOST), keeper);
    session.greeting().write_to(&mut stream)?;
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let answer = session.process(&line);
        if died.load(Ordering::Relaxed) {
            break;
        }
        if !matches!(answer.action, Action::NoReply) {
            answer.write_to(&mut stream)?;
        }
        if matches!(answer.action, Action::Close) {
            break;
        }
        line.clear();
    }
    Ok(())
}
