//! What can go wrong with the engine itself. What goes wrong with one contact is a decision, not an error.

use dripline_delivery::{DeliveryError, DeliveryErrorKind};
use dripline_model::{Digest, id::VersionId};
use thiserror::Error;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The engine's failure: what it was doing, and why that failed.
#[derive(Debug, Error)]
#[error("failed to {doing}: {kind}")]
pub struct Error {
    /// What was being done, as it reads after "failed to".
    pub doing: &'static str,
    /// Why it failed.
    pub kind: ErrorKind,
}

impl Error {
    /// Whether the same again may succeed, with nothing mended: the store is away, busy or coming back.
    pub fn is_transient(&self) -> bool {
        self.store().is_some_and(dripline_store::Error::is_transient)
    }

    /// Whether the store ended the transaction for another's sake; the same at once will most likely succeed.
    pub(crate) fn is_conflict(&self) -> bool {
        self.store().is_some_and(dripline_store::Error::is_conflict)
    }

    fn store(&self) -> Option<&dripline_store::Error> {
        match &self.kind {
            ErrorKind::Store(error) => Some(error),
            ErrorKind::Delivery(DeliveryError { kind: DeliveryErrorKind::Store(error), .. }) => Some(error),
            _ => None,
        }
    }
}

/// Does a transaction again at once, a few times, while the store ends it for another's sake.
macro_rules! despite {
    ($transaction:expr) => {{
        let mut tries = 1;
        loop {
            match $transaction {
                Err(error) if error.is_conflict() && tries < $crate::error::CONFLICTS => tries += 1,
                done => break done,
            }
        }
    }};
}
pub(crate) use despite;

/// How often a transaction is tried that gets in another's way each time.
pub(crate) const CONFLICTS: u32 = 8;

/// Why the engine failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store said so.
    #[error(transparent)]
    Store(#[from] dripline_store::Error),
    /// A loop of the engine stopped in the middle.
    #[error("a worker stopped: {0}")]
    Worker(#[from] tokio::task::JoinError),
    /// The delivery said so.
    #[error(transparent)]
    Delivery(#[from] dripline_delivery::DeliveryError),
    /// A run stands on a version that the store does not have.
    #[error("version {0} of a workflow is not in the store")]
    NoVersion(VersionId),
    /// A version cannot be run by this program.
    #[error("version {version} of `{workflow}` cannot be run: {reason}")]
    Unusable {
        /// The workflow's name.
        workflow: String,
        /// The version.
        version: VersionId,
        /// Why not.
        reason: String,
    },
    /// A segment's rule cannot be evaluated by this program.
    #[error("the segment `{segment}` cannot be evaluated: {reason}")]
    UnusableSegment {
        /// The segment's name.
        segment: String,
        /// Why not.
        reason: String,
    },
    /// A plugin's code is not in the store.
    #[error("the code of plugin `{plugin}` ({}) is not in the store", digest.short())]
    NoPlugin {
        /// The plugin.
        plugin: String,
        /// Its digest.
        digest: Digest,
    },
    /// A plugin's code cannot be loaded.
    #[error("plugin `{plugin}` cannot be loaded: {reason}")]
    BadPlugin {
        /// The plugin.
        plugin: String,
        /// Why not.
        reason: String,
    },
}

/// Names what was being done when an error came up.
pub(crate) trait While<T> {
    fn while_doing(self, doing: &'static str) -> Result<T>;
}

impl<T, E: Into<ErrorKind>> While<T> for std::result::Result<T, E> {
    fn while_doing(self, doing: &'static str) -> Result<T> {
        self.map_err(|kind| Error { doing, kind: kind.into() })
    }
}
