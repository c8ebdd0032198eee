//! A PostgreSQL server for tests, thrown away after them.
//!
//! The server is the one at `TEST_DATABASE_URL`, or one that is started here from the installed binaries: on the loopback
//! interface and a Unix socket of its own, trusting everybody, in a temporary folder. A watchdog stops it and removes the
//! folder when this process ends, however it ends: it waits for the end of a pipe, and the kernel closes the pipe.

mod error;
mod installed;
mod server;
mod watchdog;

pub use error::{Failed, Missing};
pub use server::{Durability, Server};
