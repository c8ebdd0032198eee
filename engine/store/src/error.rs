//! What can go wrong with a store.

use std::fmt::Display;

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{error::DatabaseError, postgres::PgDatabaseError, sqlite::SqliteError};
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

impl Error {
    /// Whether the same again may succeed, with nothing mended: the store is away, busy or coming back, or the
    /// transaction was given up for another's sake ([`Error::is_conflict`]).
    pub fn is_transient(&self) -> bool {
        let error = match &self.kind {
            ErrorKind::Database(error) => error,
            // There will be room again. Whether a disk that failed to sync will ever have it is another matter.
            ErrorKind::NoRoom(error) => {
                let code = error.as_database_error().and_then(|error| error.code());
                return code.is_none_or(|code| code != FAILED_TO_SYNC);
            }
            _ => return false,
        };
        match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::BeginFailed => true,
            error if is_busy(error) => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                code.starts_with(CONNECTION) || AWAY.contains(&&*code) || CONFLICT.contains(&&*code)
            }),
            _ => false,
        }
    }

    /// Whether another process wrote to the file for longer than anybody waits.
    pub fn is_busy(&self) -> bool {
        matches!(&self.kind, ErrorKind::Database(error) if is_busy(error))
    }

    /// Whether the database ended the transaction because it was in another's way. Nothing of it happened, and the same
    /// at once will most likely succeed.
    pub fn is_conflict(&self) -> bool {
        let ErrorKind::Database(sqlx::Error::Database(error)) = &self.kind else { return false };
        error.code().is_some_and(|code| CONFLICT.contains(&&*code))
    }
}

/// Whether another process is at the file. Codes of SQLite's (numbers) and of PostgreSQL's (five characters) are told
/// apart by whose error it is.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.try_downcast_ref::<SqliteError>().is_some()
        && error.code().is_some_and(|code| code.parse::<u32>().is_ok_and(|code| code & 0xff == SQLITE_BUSY))
}

/// `SQLITE_IOERR_FSYNC` (<https://www.sqlite.org/rescode.html#ioerr_fsync>).
const FAILED_TO_SYNC: &str = "1034";

/// The primary code of "somebody else writes" (<https://www.sqlite.org/rescode.html#busy>).
const SQLITE_BUSY: u32 = 5;

// PostgreSQL's codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

/// The class of broken connections.
const CONNECTION: &str = "08";

/// Shut down by the administrator, shut down after a crash, cannot connect now, too many connections, out of memory, read
/// only: a server that was the first until another took its place.
const AWAY: [&str; 6] = ["57P01", "57P02", "57P03", "53300", "53200", "25006"];

/// Serialization failure, deadlock.
const CONFLICT: [&str; 2] = ["40001", "40P01"];

/// Why a store failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The database said so.
    #[error("{}", said(.0))]
    Database(#[source] sqlx::Error),
    /// The disk is full, as far as the database can tell.
    #[error("there is no room for it on the disk, or the disk cannot be written: {}", said(.0))]
    NoRoom(#[source] sqlx::Error),
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
    /// The database has the schema of an older Dripline.
    #[error(
        "`{path}` has schema version {found}, older than this program's {known}; `dripline migrate` brings it up to date"
    )]
    Older {
        /// The database.
        path: String,
        /// Its schema version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The database's URL is none.
    #[error("its URL cannot be read: {0}")]
    BadUrl(String),
    /// There is no server, or it does not let us in.
    #[error("{0}")]
    Unreachable(String),
    /// Tables are to be made, and may not be.
    #[error("{0}; give the user the right to create tables, or let one who may run `dripline migrate`")]
    NoRights(String),
    /// A stored value does not read back as what it was.
    #[error("stored {what} is damaged: {detail}")]
    Damaged {
        /// What was read.
        what: &'static str,
        /// How it does not fit.
        detail: String,
    },
    /// Messages were to be sent that are not queued (any more), or that somebody else claimed.
    #[error("only {queued} of {of} messages are queued and claimed by this process")]
    NotQueued {
        /// How many were to be sent.
        of: u64,
        /// How many of them are queued and the claimant's.
        queued: u64,
    },
    /// What was to be published was worked out for a catalog that is another by now.
    #[error("somebody else has published meanwhile")]
    Superseded,
    /// The file system said so.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What an error says. PostgreSQL's names a line of the server's own source, which everybody would take for one of theirs.
fn said(error: &sqlx::Error) -> String {
    match error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()) {
        Some(error) => format!("error returned from database: {}", error.message()),
        None => error.to_string(),
    }
}

impl From<sqlx::Error> for ErrorKind {
    fn from(error: sqlx::Error) -> Self {
        if let Some(said) = error.as_database_error().filter(|said| is_damage(*said)) {
            return damaged("database", said);
        }
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            Some(code) if NO_ROOM.contains(&code) => Self::NoRoom(error),
            _ => Self::Database(error),
        }
    }
}

/// What databases say of pages that are not what was written. SQLite: `SQLITE_CORRUPT` in all its forms. PostgreSQL: data
/// corrupted, index corrupted.
fn is_damage(said: &dyn DatabaseError) -> bool {
    const SQLITE_CORRUPT: u32 = 11;
    let code = said.code().unwrap_or_default();
    match said.try_downcast_ref::<SqliteError>() {
        Some(_) => code.parse::<u32>().is_ok_and(|code| code & 0xff == SQLITE_CORRUPT),
        None => ["XX001", "XX002"].contains(&&*code),
    }
}

/// What databases say when a file cannot grow. SQLite: `SQLITE_FULL`, and the `SQLITE_IOERR`s of writing, syncing and of
/// sizing the file that its processes share (<https://www.sqlite.org/rescode.html>). PostgreSQL: `disk_full`.
const NO_ROOM: &[&str] = &["13", "778", "1034", "4874", "53100"];

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
