//! What can go wrong with a simulation itself.

use thiserror::Error;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A simulation's failure: what it was doing, and why that failed.
#[derive(Debug, Error)]
#[error("failed to {doing}: {kind}")]
pub struct Error {
    /// What was being done, as it reads after "failed to".
    pub doing: &'static str,
    /// Why it failed.
    pub kind: ErrorKind,
}

/// Why a simulation failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store said so.
    #[error("{0}")]
    Store(#[source] Box<dripline_store::Error>),
    /// The engine said so.
    #[error("{0}")]
    Engine(#[source] Box<dripline_runtime::Error>),
    /// The sender's settings are not what they should be.
    #[error("{0}")]
    Delivery(#[source] Box<dripline_delivery::DeliveryError>),
    /// A workflow that was to be simulated is not published.
    #[error("there is no workflow `{0}`")]
    NoWorkflow(String),
    /// Something that was given cannot be taken.
    #[error("{0}")]
    Given(String),
    /// The page could not be made.
    #[error("{0}")]
    Page(String),
}

impl From<dripline_store::Error> for ErrorKind {
    fn from(error: dripline_store::Error) -> Self {
        Self::Store(Box::new(error))
    }
}

impl From<dripline_runtime::Error> for ErrorKind {
    fn from(error: dripline_runtime::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<dripline_delivery::DeliveryError> for ErrorKind {
    fn from(error: dripline_delivery::DeliveryError) -> Self {
        Self::Delivery(Box::new(error))
    }
}

/// Says what was being done when something failed.
pub(crate) trait While<T> {
    /// `doing` reads after "failed to".
    fn while_doing(self, doing: &'static str) -> Result<T>;
}

impl<T, E: Into<ErrorKind>> While<T> for std::result::Result<T, E> {
    fn while_doing(self, doing: &'static str) -> Result<T> {
        self.map_err(|kind| Error { doing, kind: kind.into() })
    }
}
