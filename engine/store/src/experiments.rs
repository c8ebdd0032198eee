//! Experiments: which contact entered which arm, who reached the goal, and what was decided.
//!
//! An experiment is a step, named by its workflow and its id, and the same in every version. A contact is in one arm of it at most,
//! and stays there. Counts are counts of these rows: nothing is added up that could be lost or counted twice.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use dripline_model::{
    decision::DecidedBy,
    id::{ContactId, VersionId, WorkflowId},
    statistics::Tally,
};
use jiff::Timestamp;

use crate::Result;

/// Verbs on experiments, within a transaction.
#[async_trait]
pub trait Experiments: Send {
    /// The arms in which these contacts are; one who is in none is left out.
    async fn arms(
        &mut self,
        workflow: WorkflowId,
        step: &str,
        contacts: &[ContactId],
    ) -> Result<BTreeMap<ContactId, Arc<str>>>;

    /// Records who entered which arm; who is in one already stays there.
    async fn enter_arms(&mut self, entries: &[ArmEntry]) -> Result<()>;

    /// In which arms these contacts are that have not reached the goal yet, and still may at `now`.
    async fn open_arms(&mut self, contacts: &[ContactId], now: Timestamp) -> Result<Vec<ArmEntry>>;

    /// Records who has reached the goal, and when.
    async fn reach_arms(&mut self, reached: &[(ArmEntry, Timestamp)]) -> Result<()>;

    /// How the experiment stands, locked to the commit.
    async fn trial(&mut self, workflow: WorkflowId, step: &str) -> Result<Trial>;

    /// What was decided about the experiment, if anything; locks nothing.
    async fn verdict(&mut self, workflow: WorkflowId, step: &str) -> Result<Option<Verdict>>;

    /// Writes how the experiment stands.
    async fn put_trial(&mut self, workflow: WorkflowId, step: &str, trial: &Trial) -> Result<()>;

    /// Whether this many contacts have entered the arm for whom the time of the goal was over before `before`.
    async fn has_ripened(
        &mut self,
        workflow: WorkflowId,
        step: &str,
        arm: &str,
        contacts: u64,
        before: Timestamp,
    ) -> Result<bool>;

    /// How many contacts entered each arm, and how many of them reached the goal: all, or those for whom its time was over
    /// before `before`.
    async fn tallies(
        &mut self,
        workflow: WorkflowId,
        step: &str,
        before: Option<Timestamp>,
    ) -> Result<BTreeMap<String, Tally>>;
}

/// A contact in an arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmEntry {
    /// Who.
    pub contact: ContactId,
    /// The experiment's workflow.
    pub workflow: WorkflowId,
    /// The experiment's step.
    pub step: Arc<str>,
    /// The arm.
    pub arm: Arc<str>,
    /// Whose goal it is.
    pub version: VersionId,
    /// When it entered.
    pub entered_at: Timestamp,
    /// The last moment at which the goal counts.
    pub until: Timestamp,
}

/// How an experiment stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trial {
    /// How often the arms were compared.
    pub looks: u32,
    /// How many contacts each arm needs for the next comparison; 0 before the first.
    pub next_size: u64,
    /// When it was last asked whether they are there.
    pub asked_at: Option<Timestamp>,
    /// What was decided.
    pub verdict: Option<Verdict>,
}

/// What was decided about an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The arm that everybody takes from then on.
    pub winner: String,
    /// When.
    pub at: Timestamp,
    /// By what.
    pub by: DecidedBy,
    /// Of the winner against the next best, where there was something to compare.
    pub p_value: Option<f64>,
    /// What was counted then, by arm.
    pub counts: BTreeMap<String, Tally>,
}
