//! One conversation with a server.

use std::{fmt::Display, io, net::IpAddr, time::Duration};

use lettre::transport::smtp::{
    authentication::{Credentials, Mechanism},
    commands::{Auth, Data, Ehlo, Mail, Noop, Quit, Rcpt, Rset, Starttls},
    extension::{ClientId, Extension, MailBodyParameter, MailParameter, ServerInfo},
    response::Response,
};

use super::{
    Envelope,
    wire::{END_OF_TEXT, Stream, Wire, dot_stuffed},
};

/// What became of a message on the wire, and why, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The server took it.
    Accepted(String),
    /// The server surely does not have it; another time may do.
    Later(String),
    /// The server refused this message for good.
    Refused(String),
    /// The server may have it or not.
    Unknown(String),
    /// The server surely does not have it, and it was too late to hand it over: somebody else may be at it.
    Lapsed(String),
}

impl Verdict {
    /// The words.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Accepted(words)
            | Self::Later(words)
            | Self::Refused(words)
            | Self::Unknown(words)
            | Self::Lapsed(words) => words,
        }
    }
}

/// Why a command was not answered as it should be.
#[derive(Debug)]
enum Fault {
    /// The server said no.
    No(Response),
    /// There is no use in this connection any more.
    Broken(io::Error),
}

/// An open connection, past greeting and EHLO.
pub(crate) struct Connection {
    wire: Wire,
    server: ServerInfo,
    pipelining: bool,
    broken: bool,
    accepted: bool,
    /// Whether the end of the message in hand has left, or may have.
    handed_over: bool,
}

impl Connection {
    /// Waits for the greeting and introduces itself.
    pub(super) async fn open(
        stream: Box<dyn Stream>,
        local: IpAddr,
        timeout: Duration,
    ) -> Result<Self, String> {
        let mut connection = Self::over(stream, timeout);
        connection.answer(2).await.map_err(|fault| fault.to_string())?;
        connection.hello(local).await
    }

    /// Introduces itself anew on a stream that has just been encrypted (RFC 3207 §4.2).
    pub(super) async fn resume(
        stream: Box<dyn Stream>,
        local: IpAddr,
        timeout: Duration,
    ) -> Result<Self, String> {
        Self::over(stream, timeout).hello(local).await
    }

    fn over(stream: Box<dyn Stream>, timeout: Duration) -> Self {
        Self {
            wire: Wire::new(stream, timeout),
            server: ServerInfo::default(),
            pipelining: false,
            broken: false,
            accepted: false,
            handed_over: false,
        }
    }

    async fn hello(mut self, local: IpAddr) -> Result<Self, String> {
        // A machine may not know its own name; its address is always right (RFC 5321 §4.1.3).
        let name = match local {
            IpAddr::V4(address) => ClientId::Ipv4(address),
            IpAddr::V6(address) => ClientId::Ipv6(address),
        };
        let answer = self.command(Ehlo::new(name), 2).await.map_err(|fault| fault.to_string())?;
        self.pipelining = answer.message().any(|line| line.eq_ignore_ascii_case("PIPELINING"));
        self.server = ServerInfo::from_response(&answer).map_err(|error| error.to_string())?;
        Ok(self)
    }

    /// Asks for encryption; the stream that comes back expects the handshake.
    pub(super) async fn start_tls(mut self) -> Result<Box<dyn Stream>, String> {
        if !self.server.supports_feature(Extension::StartTls) {
            return Err("the server does not offer STARTTLS, and without it nothing is sent".to_owned());
        }
        self.command(Starttls, 2).await.map_err(|fault| fault.to_string())?;
        self.wire.into_plain().map_err(|error| error.to_string())
    }

    /// Logs in.
    pub(super) async fn authenticate(&mut self, credentials: &Credentials) -> Result<(), String> {
        let mechanism = self
            .server
            .get_auth_mechanism(&[Mechanism::Plain, Mechanism::Login])
            .ok_or("the server offers neither AUTH PLAIN nor AUTH LOGIN")?;
        let mut command = Auth::new(mechanism, credentials.clone(), None);
        // LOGIN asks twice, for the name and for the password.
        for _ in 0..3 {
            let line = command.map_err(|error| error.to_string())?.to_string();
            self.write(line.as_bytes()).await.map_err(|fault| fault.to_string())?;
            let answer = self.read().await.map_err(|fault| fault.to_string())?;
            match u16::from(answer.code()) {
                235 => return Ok(()),
                334 => command = Auth::new_from_response(mechanism, credentials.clone(), &answer),
                _ => return Err(format!("the login was refused: {}", words(&answer))),
            }
        }
        Err("the server keeps asking for more to log in".to_owned())
    }

    /// Whether no more messages can go this way.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a message was accepted on this connection.
    pub(crate) fn has_accepted(&self) -> bool {
        self.accepted
    }

    /// Whether the server is still there.
    pub(super) async fn answers(&mut self) -> bool {
        self.command(Noop, 2).await.is_ok()
    }

    /// Says goodbye.
    pub(super) async fn quit(mut self) {
        // Whatever the answer is, the connection ends.
        let _ = self.command(Quit, 2).await;
    }

    /// Sends one message, within its terms.
    pub(crate) async fn deliver(&mut self, message: &Envelope<'_>) -> Verdict {
        self.handed_over = false;
        let deadline = message.terms.deadline;
        let Ok(verdict) = tokio::time::timeout(deadline, self.converse(message)).await else {
            self.broken = true;
            let why = format!("the conversation took longer than {} ms", deadline.as_millis());
            return if self.handed_over { unacknowledged(&why) } else { Verdict::Later(why) };
        };
        verdict
    }

    async fn converse(&mut self, message: &Envelope<'_>) -> Verdict {
        let parameters = match self.parameters(message) {
            Ok(parameters) => parameters,
            Err(refused) => return refused,
        };
        // A process that was suspended comes back here and everywhere; whatever the wires still carry, it begins nothing.
        if !message.terms.leave_time() {
            return Verdict::Lapsed("its lease would have ended before it was sent".to_owned());
        }
        if let Err(verdict) = self.announce(message, parameters).await {
            if !self.broken {
                // What is left of the refused message must not meet the next one.
                let _ = self.command(Rset, 2).await.inspect_err(|_| self.broken = true);
            }
            return verdict;
        }
        dripline_model::crash::point("wire.text.before");
        if let Err(error) = self.wire.write(&dot_stuffed(message.source)).await {
            self.broken = true;
            return Verdict::Later(error.to_string());
        }
        if !message.terms.hold() {
            // Without its end the server drops the text.
            self.broken = true;
            return Verdict::Lapsed("its lease ended before it was handed over".to_owned());
        }
        dripline_model::crash::point("wire.text.after");
        self.handed_over = true;
        if let Err(error) = self.wire.write(END_OF_TEXT).await {
            self.broken = true;
            // What failed may be the flush: the end may have left before.
            return unacknowledged(&error);
        }
        dripline_model::crash::point("wire.ended");
        // The final dot has left: from here on silence means that the server may have the message.
        match self.answer(2).await {
            Ok(answer) => {
                dripline_model::crash::point("wire.answered");
                self.accepted = true;
                Verdict::Accepted(words(&answer))
            }
            Err(Fault::No(answer)) => refusal(&answer),
            Err(Fault::Broken(error)) => unacknowledged(&error),
        }
    }

    /// What MAIL has to say about the message (RFC 6152, RFC 6531).
    fn parameters(&self, message: &Envelope<'_>) -> Result<Vec<MailParameter>, Verdict> {
        let mut parameters = Vec::new();
        let international =
            [message.from, message.to].iter().any(|address| !AsRef::<str>::as_ref(address).is_ascii());
        if international {
            if !self.server.supports_feature(Extension::SmtpUtfEight) {
                return Err(Verdict::Refused(format!(
                    "`{}` to `{}` has letters beyond ASCII, and the server does not take those (SMTPUTF8)",
                    message.from, message.to
                )));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !message.source.is_ascii() && self.server.supports_feature(Extension::EightBitMime) {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        Ok(parameters)
    }

    /// Says MAIL, RCPT and DATA: all at once where the server can take it (RFC 2920), else one after the other.
    async fn announce(
        &mut self,
        message: &Envelope<'_>,
        parameters: Vec<MailParameter>,
    ) -> Result<(), Verdict> {
        let mail = Mail::new(Some(message.from.clone()), parameters).to_string();
        let rcpt = Rcpt::new(message.to.clone(), Vec::new()).to_string();
        let steps = [(Step::Mail, mail), (Step::Rcpt, rcpt), (Step::Data, Data.to_string())];
        if !self.pipelining {
            for (step, line) in steps {
                self.command(line, step.class()).await.map_err(|fault| step.verdict(&fault))?;
            }
            return Ok(());
        }

        let all: String = steps.iter().map(|(_, line)| line.as_str()).collect();
        self.write(all.as_bytes()).await.map_err(|fault| Step::Mail.verdict(&fault))?;
        let mut refused = Ok(());
        for (step, _) in steps {
            match self.answer(step.class()).await {
                // It wants a text for nobody; no text is safe, not even an empty one.
                Ok(_) if refused.is_err() && step == Step::Data => self.broken = true,
                Ok(_) => {}
                Err(fault) => refused = refused.and(Err(step.verdict(&fault))),
            }
            if self.broken {
                break;
            }
        }
        refused
    }

    async fn command(&mut self, command: impl Display, class: u16) -> Result<Response, Fault> {
        self.write(command.to_string().as_bytes()).await?;
        self.answer(class).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.wire.write(bytes).await.map_err(|error| self.broke(error))
    }

    async fn read(&mut self) -> Result<Response, Fault> {
        let answer = self.wire.read().await.map_err(|error| self.broke(error))?;
        // 421: the server closes the connection, whatever was asked (RFC 5321 §3.8).
        self.broken |= answer.has_code(421);
        Ok(answer)
    }

    /// The next answer, which must be of this class (2: done, 3: go on) or a refusal.
    async fn answer(&mut self, class: u16) -> Result<Response, Fault> {
        let answer = self.read().await?;
        match u16::from(answer.code()) / 100 {
            found if found == class => Ok(answer),
            4 | 5 => Err(Fault::No(answer)),
            _ => {
                Err(self
                    .broke(io::Error::other(format!("the server answered out of turn: {}", words(&answer)))))
            }
        }
    }

    fn broke(&mut self, error: io::Error) -> Fault {
        self.broken = true;
        Fault::Broken(error)
    }
}

/// What is said before the text of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Mail,
    Rcpt,
    Data,
}

impl Step {
    /// The class of the answer that lets the message go on.
    fn class(self) -> u16 {
        match self {
            Self::Mail | Self::Rcpt => 2,
            Self::Data => 3,
        }
    }

    /// What a fault here means for the message.
    fn verdict(self, fault: &Fault) -> Verdict {
        match (self, fault) {
            (_, Fault::Broken(error)) => Verdict::Later(error.to_string()),
            // A server that takes no mail from this sender or session is a matter of configuration, which somebody may
            // repair; it is not the fault of one message.
            (Self::Mail, Fault::No(answer)) => Verdict::Later(words(answer)),
            (Self::Rcpt | Self::Data, Fault::No(answer)) => refusal(answer),
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::No(answer) => f.write_str(&words(answer)),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

/// What silence after the final dot means.
fn unacknowledged(why: &dyn Display) -> Verdict {
    Verdict::Unknown(format!("the message was handed over, but not acknowledged: {why}"))
}

/// What a refusal of the message itself means (RFC 5321 §4.2.1): 4 for now, 5 for good.
fn refusal(answer: &Response) -> Verdict {
    if u16::from(answer.code()) < 500 {
        Verdict::Later(words(answer))
    } else {
        Verdict::Refused(words(answer))
    }
}

/// The server's words, on one line.
fn words(answer: &Response) -> String {
    let mut words = answer.code().to_string();
    for line in answer.message().map(str::trim).filter(|line| !line.is_empty()) {
        words.push(' ');
        words.push_str(line);
    }
    words
}
