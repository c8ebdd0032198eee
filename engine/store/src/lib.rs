//! The contact store: what Dripline knows, behind coarse, set-based verbs.
//!
//! [`Store`] is the door; [`Transaction`] is one batch: what it does is committed whole or not at all. Nothing here
//! asks for the time: every verb that needs "now" takes it. [`sqlite`] is the store that needs no set-up.

mod catalog;
mod claimant;
mod error;
mod ingest;
mod outbox;
mod report;
pub mod sqlite;
mod transaction;

pub use catalog::*;
pub use claimant::Claimant;
pub use error::{Error, ErrorKind, Result};
pub use ingest::*;
pub use outbox::*;
pub use report::*;
pub use transaction::*;

/// Everything that a backend offers.
pub trait Store: Catalog + Ingest + Scheduling + Outbox + Reports {}

impl<T: Catalog + Ingest + Scheduling + Outbox + Reports> Store for T {}
