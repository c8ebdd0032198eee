//! What can go wrong with a server for tests.

use std::{io, path::PathBuf};

use thiserror::Error;

/// There is no PostgreSQL to test with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Missing {
    /// Nothing is installed and nothing was named.
    #[error("neither `initdb` and `postgres` nor TEST_DATABASE_URL were found")]
    NotInstalled,
    /// `TEST_DATABASE_URL` does not name a database.
    #[error("TEST_DATABASE_URL is not of the form postgres://user@host:port/database")]
    Url,
    /// It is installed, and does not start.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// Something could not be done with a server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failed {
    /// The system said so.
    #[error("failed to {doing}: {source}")]
    Io {
        /// What was being done, as it reads after "failed to".
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A program of PostgreSQL's said so.
    #[error("`{}` failed: {said}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// What it said.
        said: String,
    },
    /// The server was started and does not answer.
    #[error("the server did not get ready: {said}")]
    NotReady {
        /// The end of its log.
        said: String,
    },
    /// The server was not started here, and is not ours to stop.
    #[error("the server of TEST_DATABASE_URL is not started or stopped by tests")]
    NotOurs,
    /// The server said so.
    #[error("failed to {doing}: {source}")]
    Database {
        /// What was being done, as it reads after "failed to".
        doing: &'static str,
        /// Why it failed.
        source: tokio_postgres::Error,
    },
}

impl Failed {
    /// Names what was being done.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
