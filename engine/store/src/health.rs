//! What a store says about itself, for people who look after it.

use async_trait::async_trait;
use dripline_model::Clock;
use jiff::Timestamp;

use crate::{Claimant, Result};

/// A question that reads and changes nothing.
#[async_trait]
pub trait Health: Send + Sync {
    /// How the store is. It may read all of a store in a file.
    async fn health(&self, clock: &dyn Clock) -> Result<Condition>;
}

/// How a store is. What of it is a fault, and how grave, others decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The schema's version.
    pub version: i64,
    /// The newest version that this program knows.
    pub known: i64,
    /// Indexes that are not there or not usable.
    pub index_faults: Vec<IndexFault>,
    /// Messages that are *sending*.
    pub sending: Vec<Sending>,
    /// What else there is to say, by the kind of database.
    pub database: Database,
}

impl Condition {
    /// The asker's clock minus the database server's; none where there is no server.
    pub fn skew_ms(&self) -> Option<i64> {
        match &self.database {
            Database::File { .. } => None,
            Database::Server(server) => Some(server.skew_ms),
        }
    }
}

/// An index that does not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFault {
    /// Its name.
    pub name: String,
    /// The statement that mends it.
    pub mend: String,
    /// Whether it is there, and only not usable.
    pub is_there: bool,
}

/// Messages that one process has on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// The process; none where an older Dripline left them.
    pub claimant: Option<Claimant>,
    /// How many.
    pub messages: u64,
    /// When the last of their leases ends.
    pub lease_until: Option<Timestamp>,
}

/// What is particular to a kind of database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file.
    File {
        /// What SQLite found to be damaged, in its words.
        damage: Vec<String>,
    },
    /// A server.
    Server(Server),
}

/// A database server, and who else uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The asker's clock minus the server's.
    pub skew_ms: i64,
    /// Whether old versions of rows are cleared away by themselves.
    pub autovacuum: bool,
    /// Tables of ours where that was switched off.
    pub without_autovacuum: Vec<String>,
    /// Sessions in our database that sit in a transaction and do nothing, as `(process id, seconds)`.
    pub idle_in_transaction: Vec<(i32, i64)>,
    /// How many connections the server, the database and the user leave us at most.
    pub connection_limit: u64,
    /// How many of these others than Dripline have now.
    pub connections_of_others: u64,
}
