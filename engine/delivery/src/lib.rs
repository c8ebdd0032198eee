//! The outbox's workers for email: render, build, send or keep, record.
//!
//! [`Deliverer::deliver_due`] takes what is due from the store's outbox, renders each message, builds its exact bytes,
//! records durably that it is about to be sent, sends it over SMTP (or keeps it in the built-in mailbox), and records
//! what became of it. It promises:
//! - A message is on the wire at most once for each time that it was recorded as *sending*; one whose fate nobody can
//!   know becomes *uncertain* and follows [`OnUncertain`].
//! - Any number of deliverers, in any number of processes, may share an outbox: each claims what it works on, and no
//!   message is on the wire longer than its lease.
//! - The same message always has the same bytes and the same Message-ID, in every try.
//! - One message's trouble (a template that cannot be rendered for it, a refusal) never stops the others. A server that
//!   is down is called once and then left alone for a while, and the next in the order of preference takes over.
//! - Memory is bounded, however much is due, and no server is given more than its rate.
//!
//! Times are those of the engine's clock. Only waiting for the network is measured by the machine's.

mod compose;
mod config;
mod deliverer;
mod emails;
mod error;
mod fleet;
mod pace;
mod rehearsal;
mod round;
mod smtp;
#[cfg(test)]
mod tests;

pub use config::{
    DEFAULT_TIMEOUT_MS, DeliveryConfig, Rate, RatePeriod, RetryPolicy, Sender, SmtpConfig, Tls, Transport,
};
pub use deliverer::{Delivered, Deliverer};
pub use dripline_store::{Abandoned, OnUncertain, UncertainRule};
pub use error::{DeliveryError, DeliveryErrorKind};
pub use rehearsal::{Rehearsal, Rehearsed};
pub use smtp::probe;
