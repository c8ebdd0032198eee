//! The contact store: what Dripline knows, behind coarse, set-based verbs.
//!
//! [`Store`] is the door; [`Transaction`] is one batch: what it does is committed whole or not at all. Nothing here
//! asks for the time: every verb that needs "now" takes it. [`sqlite`] is the store that needs no set-up, [`postgres`]
//! the one that several processes share. What a verb means is decided once, in `logic`; a backend knows the statements.

mod answers;
mod backend;
mod behind;
mod catalog;
mod changes;
mod claimant;
mod dates;
mod declared;
mod error;
mod experiments;
mod health;
mod held;
mod ingest;
mod kin;
mod logic;
mod outbox;
pub mod postgres;
mod presence;
mod publishing;
mod release;
mod report;
mod requests;
mod retention;
mod scoring;
mod segments;
mod sets;
pub mod sqlite;
mod timeline_text;
mod transaction;
mod versions;
mod words;

pub use catalog::*;
pub use claimant::Claimant;
pub use dates::*;
pub use error::{Error, ErrorKind, Result};
pub use experiments::*;
pub use health::*;
pub use held::*;
pub use ingest::*;
pub use kin::*;
pub use outbox::*;
pub use presence::*;
pub use release::{
    ChangedWorkflow, Changes, History, NewRelease, OlderRuns, Publication, Release, Released,
    ReleasedVersion, Retirement, Shared, VersionSummary, catalog_state,
};
pub use report::*;
pub use requests::*;
pub use retention::*;
pub use scoring::{HeldBy, HeldPoints, Scoring, StandingPoints};
pub use segments::{Membership, NewSegment, Segments, SegmentsPublished, StoredSegment, Timer};
pub use transaction::*;

/// What bringing a schema up to date did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The schema's version before; 0 for an empty database.
    pub from: i64,
    /// The schema's version now.
    pub to: i64,
}

/// Everything that a backend offers.
pub trait Store:
    Catalog + Segments + Scoring + Ingest + Scheduling + Outbox + Reports + Pruning + Presence + Health
{
}

impl<T> Store for T where
    T: Catalog + Segments + Scoring + Ingest + Scheduling + Outbox + Reports + Pruning + Presence + Health
{
}
