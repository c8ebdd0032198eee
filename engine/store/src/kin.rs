//! Runs that belong to another: the paths of a `parallel`, and the runs of a workflow that a step called and waits for.
//!
//! A run that waits for others stands at its step and is never due by itself ([`NEVER`]). Whoever ends one of those makes it due, in
//! the same transaction; then it looks at them all and decides. So whatever dies in between, nobody waits for what has happened.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use dripline_model::{decision::RunStatus, id::RunId, program::NodeIndex};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{ClaimedRun, Result};

/// When a run is due that waits for others: at the end of all time, as far as stores can tell.
pub const NEVER: Timestamp = Timestamp::constant(253_402_207_200, 0);

/// Verbs on runs that belong to others, within a transaction.
#[async_trait]
pub trait Kin: Send {
    /// Begins paths of runs, due now; each has its run's workflow, version, contact and inputs. Answers their runs.
    async fn begin_paths(&mut self, paths: &[NewPath], now: Timestamp) -> Result<Vec<ClaimedRun>>;

    /// The runs that belong to these, those that have ended too, in the order in which they began.
    async fn children(&mut self, parents: &[RunId]) -> Result<Vec<ChildRun>>;

    /// Of these runs those that are active.
    async fn active(&mut self, runs: &[RunId]) -> Result<Vec<ClaimedRun>>;

    /// Makes those of these runs due that wait for others.
    async fn wake(&mut self, runs: &[RunId], now: Timestamp) -> Result<()>;

    /// Records how runs that have just begun were called, and who waits for them.
    async fn attach_calls(&mut self, calls: &[NewCall]) -> Result<()>;

    /// With what these runs were called; those that were not called are left out.
    async fn calls(&mut self, runs: &[RunId]) -> Result<BTreeMap<RunId, Called>>;
}

/// What a run belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The run that waits for it.
    pub run: RunId,
    /// Whether it is a path of that run; else it is of a workflow that was called.
    pub is_path: bool,
}

/// A path to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPath {
    /// Whose.
    pub parent: RunId,
    /// Which.
    pub path: Arc<str>,
    /// Where it begins.
    pub node: NodeIndex,
    /// The turn of the parent.
    pub turn: i64,
    /// The parent's turns since it last waited.
    pub hops: i64,
}

/// A run that belongs to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildRun {
    /// To which.
    pub parent: RunId,
    /// In which turn of it it began.
    pub turn: i64,
    /// The run.
    pub run: RunId,
    /// Which path it is, if it is one.
    pub path: Option<String>,
    /// How it stands.
    pub status: RunStatus,
    /// Where, while it is active.
    pub active: Option<ClaimedRun>,
}

/// A run that was called.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCall {
    /// The run.
    pub run: RunId,
    /// The run that waits for its end, and in which turn it began to.
    pub parent: Option<(RunId, i64)>,
    /// How.
    pub called: Called,
}

/// How a run was called.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Called {
    /// With what.
    pub inputs: Map<String, Value>,
    /// How many calls inside one another led to it.
    pub depth: u32,
}
