//! The contact store: what Dripline knows, behind coarse, set-based verbs.
//!
//! [`Store`] is the door; [`Transaction`] is one batch: what it does is committed whole or not at all. Nothing here
//! asks for the time: every verb that needs "now" takes it. [`sqlite`] is the store that needs no set-up, [`postgres`]
//! the one that several processes share. What a verb means is decided once, in `logic`; a backend knows the statements.

mod answers;
mod backend;
mod catalog;
mod claimant;
mod error;
mod ingest;
mod logic;
mod outbox;
pub mod postgres;
mod report;
mod sets;
pub mod sqlite;
mod transaction;
mod versions;
mod words;

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
