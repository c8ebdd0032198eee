//! The servers, in order of preference: which of them are down, and which are given no more for now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dripline_model::Clock;
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::{
    config::SmtpConfig,
    error::{DeliveryError, DeliveryErrorKind},
    pace::Pace,
    smtp::{Connection, Server},
};

/// How long a server that was found down is left alone. Each time that it still is, twice as long, up to the longest.
const FIRST_REST: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_REST: SignedDuration = SignedDuration::from_mins(10);

/// All servers, the preferred one first.
pub(crate) struct Fleet {
    lines: Vec<Arc<Line>>,
    clock: Arc<dyn Clock>,
}

/// A server, and what is known of it.
pub(crate) struct Line {
    /// The server.
    pub(crate) server: Server,
    name: String,
    /// Its place in the order.
    rank: usize,
    state: Mutex<State>,
}

struct State {
    pace: Option<Pace>,
    rest: Option<Rest>,
}

/// Why, how long, and until when a server is left alone. It stays when it has ended, so that the next one is longer.
struct Rest {
    reason: String,
    pause: SignedDuration,
    until: Timestamp,
}

/// Where the next messages go.
pub(crate) enum Choice {
    /// To this server; here is a connection.
    Go(Arc<Line>, Connection),
    /// To a server that must not be given any before this instant.
    Wait(Timestamp),
    /// Nowhere: all servers are down.
    Down {
        /// Why, server by server.
        reason: String,
        /// When the first of them is called again.
        until: Timestamp,
    },
}

impl Fleet {
    /// The servers of this configuration; nothing is connected yet.
    pub(crate) fn new(configs: &[SmtpConfig], clock: Arc<dyn Clock>) -> Result<Self, DeliveryError> {
        if configs.is_empty() {
            let kind = DeliveryErrorKind::NoServer;
            return Err(DeliveryError { doing: "prepare the SMTP connection", kind });
        }
        let lines = configs.iter().enumerate().map(|(rank, config)| {
            let state = State { pace: config.rate.map(Pace::new), rest: None };
            let server = Server::new(config)?;
            Ok(Arc::new(Line { server, name: config.name.clone(), rank, state: Mutex::new(state) }))
        });
        Ok(Self { lines: lines.collect::<Result<_, DeliveryError>>()?, clock })
    }

    /// The first server that is up. One that may be given nothing for now is waited for and not passed over: who named
    /// it first wants it used, and a limit is no failure.
    pub(crate) async fn choose(&self) -> Choice {
        let mut reasons = Vec::new();
        let mut until = Timestamp::MAX;
        for line in &self.lines {
            let now = self.clock.now();
            if line.is_up(now) {
                if let Some(until) = line.pause_until(now) {
                    return Choice::Wait(until);
                }
                match line.server.connection().await {
                    Ok(connection) => return Choice::Go(Arc::clone(line), connection),
                    Err(reason) => line.rest(&reason, self.clock.now()),
                }
            }
            if let Some(rest) = &line.state().rest {
                reasons.push(rest.reason.clone());
                until = until.min(rest.until);
            }
        }
        Choice::Down { reason: reasons.join("; "), until }
    }

    /// Whether a server that is preferred to this one may be tried again.
    pub(crate) fn has_better(&self, line: &Line) -> bool {
        let now = self.clock.now();
        self.lines.iter().take(line.rank).any(|better| better.is_up(now))
    }

    /// Ends all idle connections.
    pub(crate) async fn close(&self) {
        for line in &self.lines {
            line.server.close().await;
        }
    }
}

impl Line {
    /// Takes up to `wanted` messages' worth of its rate.
    pub(crate) fn take(&self, wanted: usize, now: Timestamp) -> usize {
        self.state().pace.as_mut().map_or(wanted, |pace| pace.take(wanted, now))
    }

    /// Gives back what was taken and not used.
    pub(crate) fn put_back(&self, unused: usize) {
        if let Some(pace) = &mut self.state().pace {
            pace.put_back(unused);
        }
    }

    /// The server was found down.
    pub(crate) fn rest(&self, reason: &str, now: Timestamp) {
        let mut state = self.state();
        let pause = match &state.rest {
            Some(rest) => rest.pause.checked_mul(2).unwrap_or(LONGEST_REST).min(LONGEST_REST),
            None => FIRST_REST,
        };
        let until = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
        warn!(server = self.name, reason, %until, "a mail server is down; it is left alone for a while");
        state.rest = Some(Rest { reason: reason.to_owned(), pause, until });
    }

    /// The server did its work.
    pub(crate) fn works(&self) {
        if self.state().rest.take().is_some() {
            info!(server = self.name, "a mail server is back");
        }
    }

    fn is_up(&self, now: Timestamp) -> bool {
        self.state().rest.as_ref().is_none_or(|rest| rest.until <= now)
    }

    fn pause_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.state().pace.as_ref().and_then(|pace| pace.pause_until(now))
    }

    /// What is known is replaced whole, so a panic leaves nothing half-made.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
