//! What can go wrong with a store.

use std::fmt::Display;

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A store's failure: what it was doing, and why that failed.
#[derive(Debug, Error)]
#[error("failed to {doing}: {kind}")]
pub struct Error {
    /// What was being done, as it reads after "failed to".
    pub doing: String,
    /// Why it failed.
    pub kind: ErrorKind,
}

/// Why a store failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The database said so.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("{0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The file is not one of Dripline's databases.
    #[error("`{path}` is not a Dripline database: {found}")]
    NotOurs {
        /// The file.
        path: String,
        /// What it is instead.
        found: String,
    },
    /// The database was written by a newer Dripline.
    #[error("`{path}` has schema version {found}, newer than this program's {known}; use the newer dripline")]
    Newer {
        /// The file.
        path: String,
        /// Its schema version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// A stored value does not read back as what it was.
    #[error("stored {what} is damaged: {detail}")]
    Damaged {
        /// What was read.
        what: &'static str,
        /// How it does not fit.
        detail: String,
    },
    /// Messages were to be sent that are not queued (any more), such as by two processes at once.
    #[error("only {queued} of {of} messages are queued")]
    NotQueued {
        /// How many were to be sent.
        of: u64,
        /// How many of them are queued.
        queued: u64,
    },
    /// The file system said so.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A result that does not say yet what was being done.
pub(crate) type Raw<T> = std::result::Result<T, ErrorKind>;

/// Says what was being done when something failed.
pub(crate) trait Doing<T> {
    /// `doing` reads after "failed to".
    fn doing(self, doing: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<ErrorKind>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl Into<String>) -> Result<T> {
        self.map_err(|kind| Error { doing: doing.into(), kind: kind.into() })
    }
}

/// The failure to read back a stored value.
pub(crate) fn damaged(what: &'static str, detail: impl Display) -> ErrorKind {
    ErrorKind::Damaged { what, detail: detail.to_string() }
}

/// Reads stored JSON.
pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, json: &str) -> Raw<T> {
    serde_json::from_str(json).map_err(|error| damaged(what, error))
}

/// Writes JSON to store.
pub(crate) fn to_json(what: &'static str, value: &impl Serialize) -> Raw<String> {
    serde_json::to_string(value).map_err(|error| damaged(what, error))
}
