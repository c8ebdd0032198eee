//! What an operator decides about delivery.

use std::time::Duration;

use dripline_store::UncertainRule;
use jiff::{SignedDuration, Timestamp};

use crate::rehearsal::Rehearsal;

/// For how long nobody else touches a message that is about to be sent, and nothing of it leaves afterwards. A message
/// waits for its turn for a part of it; and the rest is what the clocks of several machines may differ by.
const LEASE: SignedDuration = SignedDuration::from_mins(10);

/// How long the whole conversation about one message may take: half of the lease, so that none is on the wire when its
/// lease ends, even if it began late. A server that answers every command just in time is cut off here.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

/// How long each conversation with the server may be silent, unless the operator says otherwise.
///
/// RFC 5321 §4.5.3.2 asks for five minutes; a relay that needs longer than one is better tried again later.
pub const DEFAULT_TIMEOUT_MS: u64 = 60_000;

/// How messages leave.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryConfig {
    /// From whom they come.
    pub sender: Sender,
    /// Where a reader unsubscribes; each message adds `message=ITS-TOKEN` to the query, the part of its Message-ID
    /// before the `@`. Absent, a mail to `unsubscribe@` at the sender's domain does it.
    pub unsubscribe_url: Option<String>,
    /// Where they go.
    pub transport: Transport,
    /// What becomes of a message of which nobody can know whether it arrived.
    pub on_uncertain: UncertainRule,
    /// When a message is tried again.
    pub retry: RetryPolicy,
}

/// From whom messages come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The name that readers see.
    pub name: String,
    /// The address in `From`, also the envelope's, where bounces go.
    pub email: String,
    /// Where answers go, if not to `email`.
    pub reply_to: Option<String>,
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq)]
pub enum Transport {
    /// Nowhere: a message is rendered and counts as sent, and the rehearsal is told of it.
    Rehearsal(Rehearsal),
    /// Into the store: a message counts as sent as soon as its source is kept there.
    Mailbox,
    /// To the first of these SMTP servers, in order of preference, that is not down.
    Smtp(Vec<SmtpConfig>),
}

/// How many messages a server is given at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; 0 counts as 1.
    pub messages: u32,
    /// In what time.
    pub per: RatePeriod,
}

/// The time in which a [`Rate`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatePeriod {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl RatePeriod {
    /// Its length.
    pub(crate) fn micros(self) -> i64 {
        let seconds = match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        };
        seconds * 1_000_000
    }
}

/// How long a message may be somebody's. Tests have less time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long a claim and a lease hold.
    pub(crate) lease: SignedDuration,
    /// How long a conversation about one message may take; shorter than the lease.
    pub(crate) deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lease: LEASE, deadline: DEADLINE }
    }
}

/// An SMTP server and how to speak to it.
#[derive(Clone, PartialEq)]
pub struct SmtpConfig {
    /// What logs and records call it.
    pub name: String,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is secured.
    pub tls: Tls,
    /// User name and password.
    pub credentials: Option<(String, String)>,
    /// How many connections are open at a time; 0 counts as 1.
    pub connections: usize,
    /// How many messages it is given at most, by this process; no limit without it.
    pub rate: Option<Rate>,
    /// How long connecting, and each wait for the server, may take, in milliseconds.
    pub timeout_ms: u64,
    /// Certificates (PEM) to trust beside Mozilla's roots, for a server that has its own authority.
    pub extra_roots_pem: Option<String>,
}

impl std::fmt::Debug for SmtpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpConfig")
            .field("name", &self.name)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("connections", &self.connections)
            .field("rate", &self.rate)
            .field("timeout_ms", &self.timeout_ms)
            .finish_non_exhaustive()
    }
}

/// How a connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: for a relay on the same machine or network.
    None,
    /// By STARTTLS (RFC 3207), and never without it.
    StartTls,
    /// From the first byte on (RFC 8314 §3.3).
    Tls,
}

impl Tls {
    /// The port that is customary.
    pub fn default_port(self) -> u16 {
        match self {
            Self::None => 25,
            Self::StartTls => 587,
            Self::Tls => 465,
        }
    }
}

/// When a message is tried again: after `first_ms`, and each time `factor` times as long, up to `max_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first pause, in milliseconds.
    pub first_ms: u64,
    /// By how much each pause is longer than the one before.
    pub factor: u32,
    /// The longest pause, in milliseconds.
    pub max_ms: u64,
    /// How many tries there are in all.
    pub attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first_ms: 60_000, factor: 2, max_ms: 4 * 60 * 60 * 1000, attempts: 20 }
    }
}

impl RetryPolicy {
    /// When to try again after the try number `attempts` + 1 failed at `now`; `None` if that was the last.
    pub(crate) fn next(&self, attempts: i64, now: Timestamp) -> Option<Timestamp> {
        let failed = u32::try_from(attempts).unwrap_or(0);
        if failed.saturating_add(1) >= self.attempts {
            return None;
        }
        let growth = u64::from(self.factor).saturating_pow(failed);
        // Never at `now` itself, or a round would not end.
        let pause_ms = self.first_ms.saturating_mul(growth).min(self.max_ms).max(1);
        let pause = SignedDuration::from_millis(i64::try_from(pause_ms).unwrap_or(i64::MAX));
        Some(now.saturating_add(pause).unwrap_or(Timestamp::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_end() {
        let policy = RetryPolicy { first_ms: 1_000, factor: 3, max_ms: 10_000, attempts: 5 };
        let pauses: Vec<_> = (0..5)
            .map(|attempts| policy.next(attempts, Timestamp::UNIX_EPOCH).map(Timestamp::as_millisecond))
            .collect();
        assert_eq!(pauses, [Some(1_000), Some(3_000), Some(9_000), Some(10_000), None]);
    }

    #[test]
    fn a_retry_is_never_due_at_once() {
        let policy = RetryPolicy { first_ms: 0, factor: 0, max_ms: 0, attempts: 9 };
        assert_eq!(policy.next(3, Timestamp::UNIX_EPOCH).map(Timestamp::as_millisecond), Some(1));
    }

    #[test]
    fn a_password_is_not_printed() {
        let config = SmtpConfig {
            name: "relay".into(),
            host: "localhost".into(),
            port: 587,
            tls: Tls::StartTls,
            credentials: Some(("me".into(), "hunter2".into())),
            connections: 4,
            rate: None,
            timeout_ms: DEFAULT_TIMEOUT_MS,
            extra_roots_pem: None,
        };
        let printed = format!("{config:?}");
        assert!(printed.contains("me") && !printed.contains("hunter2"), "{printed}");
    }
}
