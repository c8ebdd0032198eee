//! What can go wrong with delivery as a whole. What goes wrong with one message is that message's result.

use thiserror::Error;

/// A failure of delivery: what was being done, and why it failed.
#[derive(Debug, Error)]
#[error("failed to {doing}: {kind}")]
pub struct DeliveryError {
    /// What was being done, as it reads after "failed to".
    pub doing: &'static str,
    /// Why it failed.
    pub kind: DeliveryErrorKind,
}

/// Why delivery failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeliveryErrorKind {
    /// The store said so.
    #[error("{0}")]
    Store(#[from] dripline_store::Error),
    /// A configured address is none.
    #[error("`{address}` is not an email address: {source}")]
    Address {
        /// What was configured.
        address: String,
        /// What is wrong with it.
        source: lettre::address::AddressError,
    },
    /// The sender's domain is not ASCII.
    #[error("the sender's domain `{0}` must be written in its ASCII form (xn--…)")]
    Domain(String),
    /// The configured place to unsubscribe is not a plain web address.
    #[error("`{0}` is not a plain web address: https:// or http://, printable ASCII, no fragment")]
    UnsubscribeUrl(String),
    /// The configured server's name cannot stand in a certificate.
    #[error("`{0}` is not a host name")]
    Host(String),
    /// Messages are to go to servers, and there is none.
    #[error("no SMTP server is configured")]
    NoServer,
    /// The configured certificates cannot be read.
    #[error("the extra root certificates cannot be read: {0}")]
    Certificates(String),
    /// A part of delivery stopped in the middle.
    #[error("a delivery worker stopped: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

/// Says what was being done when something failed.
pub(crate) trait Doing<T> {
    /// Adds what was being done, as it reads after "failed to".
    fn doing(self, what: &'static str) -> Result<T, DeliveryError>;
}

impl<T, E: Into<DeliveryErrorKind>> Doing<T> for Result<T, E> {
    fn doing(self, what: &'static str) -> Result<T, DeliveryError> {
        self.map_err(|error| DeliveryError { doing: what, kind: error.into() })
    }
}
