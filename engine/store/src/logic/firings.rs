//! Firings: how far it has come to offer a workflow to everybody, or to a segment.

use dripline_model::{
    clock::from_ms,
    id::{ContactId, FiringId, WorkflowId},
};
use sqlx::FromRow;

use crate::{
    Firing, FiringCause, FiringProgress, NewFiring,
    error::{Raw, damaged},
};

/// A firing as stored.
#[derive(Debug, FromRow)]
pub(crate) struct FiringRow {
    pub(crate) id: i64,
    pub(crate) workflow_id: i64,
    pub(crate) by_hand: bool,
    pub(crate) at: i64,
    pub(crate) segment: Option<String>,
    pub(crate) total: i64,
    pub(crate) last: i64,
    pub(crate) seen: i64,
    pub(crate) enrolled: i64,
    pub(crate) done: bool,
}

impl FiringRow {
    /// What it is.
    pub(crate) fn into_firing(self) -> Raw<Firing> {
        let number = |number| u64::try_from(number).map_err(|error| damaged("firing's count", error));
        Ok(Firing {
            id: FiringId(self.id),
            new: NewFiring {
                workflow: WorkflowId(self.workflow_id),
                cause: if self.by_hand { FiringCause::Hand } else { FiringCause::Schedule },
                at: from_ms(self.at),
                segment: self.segment,
            },
            total: number(self.total)?,
            progress: FiringProgress {
                last: ContactId(self.last),
                seen: number(self.seen)?,
                enrolled: number(self.enrolled)?,
                done: self.done,
            },
        })
    }
}

/// A count as the databases take it.
pub(crate) fn count(number: u64) -> Raw<i64> {
    i64::try_from(number).map_err(|error| damaged("firing's count", error))
}
