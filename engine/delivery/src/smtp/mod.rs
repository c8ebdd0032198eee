//! SMTP, the client's side (RFC 5321): warm connections to one server.
//!
//! lettre's own connection hides how far a message got when something breaks, and that decides between *try again* and
//! *nobody can know*. So the conversation is held here, in lettre's words for commands and answers.

mod connection;
pub(crate) mod wire;

use std::{sync::Arc, time::Duration};

use dripline_model::Clock;
use jiff::Timestamp;
use lettre::{address::Address, transport::smtp::authentication::Credentials};
use tokio::{net::TcpStream, sync::Mutex, time::Instant};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

pub(crate) use self::connection::{Connection, Verdict};
use self::wire::Stream;
use crate::{
    config::{SmtpConfig, Tls},
    error::{DeliveryError, DeliveryErrorKind},
};

/// A message for the wire.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    /// Where bounces go.
    pub(crate) from: &'a Address,
    /// Who receives it.
    pub(crate) to: &'a Address,
    /// The message, RFC 5322.
    pub(crate) source: &'a [u8],
    /// For how long it is ours.
    pub(crate) terms: Terms<'a>,
}

/// How long a message may be on the wire.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    /// What time it is.
    pub(crate) clock: &'a dyn Clock,
    /// When its lease ends.
    pub(crate) lease_until: Timestamp,
    /// How long the conversation about it may take.
    pub(crate) deadline: Duration,
}

impl Terms<'_> {
    /// Whether a conversation that begins now ends before the lease does.
    fn leave_time(&self) -> bool {
        self.clock.now().saturating_add(self.deadline).is_ok_and(|end| end <= self.lease_until)
    }

    /// Whether the lease has not ended.
    fn hold(&self) -> bool {
        self.clock.now() < self.lease_until
    }
}

/// How long an idle connection is kept: servers wait five minutes for a command (RFC 5321 §4.5.3.2.7), and asking a
/// connection that a router has forgotten takes the whole of its patience.
const IDLE: Duration = Duration::from_secs(4 * 60);

/// One server, and the connections to it that are idle.
pub(crate) struct Server {
    place: String,
    host: String,
    port: u16,
    security: Tls,
    tls: TlsConnector,
    tls_name: ServerName<'static>,
    credentials: Option<Credentials>,
    timeout: Duration,
    /// With the time since when.
    idle: Mutex<Vec<(Connection, Instant)>>,
    idle_limit: Duration,
    connections: usize,
}

impl Server {
    /// The server of this configuration; nothing is connected yet.
    pub(crate) fn new(config: &SmtpConfig) -> Result<Self, DeliveryError> {
        let wrong = |kind| DeliveryError { doing: "prepare the SMTP connection", kind };
        Ok(Self {
            place: format!("{}:{}", config.host, config.port),
            host: config.host.clone(),
            port: config.port,
            security: config.tls,
            tls: TlsConnector::from(Arc::new(trust(config.extra_roots_pem.as_deref()).map_err(wrong)?)),
            tls_name: ServerName::try_from(config.host.clone())
                .map_err(|_| wrong(DeliveryErrorKind::Host(config.host.clone())))?,
            credentials: config
                .credentials
                .as_ref()
                .map(|(user, password)| Credentials::new(user.clone(), password.clone())),
            timeout: Duration::from_millis(config.timeout_ms),
            idle: Mutex::default(),
            idle_limit: IDLE,
            connections: config.connections.max(1),
        })
    }

    /// How many connections may be open at a time.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// An idle connection that still answers, else a new one. The error says, for people, why there is none.
    pub(crate) async fn connection(&self) -> Result<Connection, String> {
        loop {
            let idle = self.idle.lock().await.pop();
            let Some((mut connection, since)) = idle else { break };
            // The youngest is taken first, so the others are older still.
            if since.elapsed() < self.idle_limit && connection.answers().await {
                return Ok(connection);
            }
        }
        self.connect().await.map_err(|reason| format!("no connection to {}: {reason}", self.place))
    }

    /// Takes a connection back for the next time.
    pub(crate) async fn keep(&self, connection: Connection) {
        if !connection.is_broken() {
            self.idle.lock().await.push((connection, Instant::now()));
        }
    }

    /// Ends the idle connections as RFC 5321 §4.1.1.10 asks for.
    pub(crate) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().await);
        for (connection, _) in idle {
            connection.quit().await;
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let tcp = self.limited(TcpStream::connect((self.host.as_str(), self.port))).await?;
        // Nagle's algorithm against delayed acknowledgements costs 40 ms for each message.
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let local = tcp.local_addr().map_err(|error| error.to_string())?.ip();

        let stream: Box<dyn Stream> = match self.security {
            Tls::Tls => self.secure(Box::new(tcp)).await?,
            Tls::None | Tls::StartTls => Box::new(tcp),
        };
        let mut connection = Connection::open(stream, local, self.timeout).await?;
        if self.security == Tls::StartTls {
            let secured = self.secure(connection.start_tls().await?).await?;
            connection = Connection::resume(secured, local, self.timeout).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.authenticate(credentials).await?;
        }
        Ok(connection)
    }

    async fn secure(&self, plain: Box<dyn Stream>) -> Result<Box<dyn Stream>, String> {
        let secured = self.limited(self.tls.connect(self.tls_name.clone(), plain)).await?;
        Ok(Box::new(secured))
    }

    async fn limited<T>(&self, work: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err(format!("it took longer than {} ms", self.timeout.as_millis())),
        }
    }
}

/// Connects to a server, greets it, encrypts and logs in as messages would, and says goodbye. The error says, for people,
/// why it does not take us.
pub async fn probe(config: &SmtpConfig) -> Result<(), String> {
    let server = Server::new(config).map_err(|error| error.kind.to_string())?;
    server.connection().await?.quit().await;
    Ok(())
}

fn trust(extra_pem: Option<&str>) -> Result<ClientConfig, DeliveryErrorKind> {
    let unreadable = |error: &dyn std::fmt::Display| DeliveryErrorKind::Certificates(error.to_string());
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in CertificateDer::pem_slice_iter(extra_pem.unwrap_or_default().as_bytes()) {
        roots.add(certificate.map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?;
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unreadable(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::server::MailServer;

    #[tokio::test]
    async fn a_probe_says_goodbye_and_sends_nothing() {
        let remote = MailServer::good().await;
        probe(&remote.config).await.unwrap();
        let heard = remote.heard();
        assert!(heard.iter().any(|line| line == "QUIT"), "{heard:?}");
        assert!(!heard.iter().any(|line| line.starts_with("MAIL")), "{heard:?}");
        let nobody = SmtpConfig { port: 1, ..remote.config.clone() };
        let said = probe(&nobody).await.unwrap_err();
        assert!(said.starts_with(&format!("no connection to {}:1: ", nobody.host)), "{said}");
    }

    #[tokio::test]
    async fn a_connection_that_was_idle_for_long_is_not_asked() {
        let remote = MailServer::good().await;
        let mut server = Server::new(&remote.config).unwrap();
        server.keep(server.connection().await.unwrap()).await;
        server.keep(server.connection().await.unwrap()).await;
        assert_eq!(remote.connections(), 1);
        server.idle_limit = Duration::ZERO;
        server.connection().await.unwrap();
        assert_eq!(remote.connections(), 2);
        assert_eq!(remote.heard().iter().filter(|line| *line == "NOOP").count(), 1);
    }
}
