//! What the verbs on experiments mean, once for both backends.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use dripline_model::{
    clock::from_ms,
    decision::DecidedBy,
    id::{ContactId, VersionId, WorkflowId},
    statistics::Tally,
};
use jiff::Timestamp;
use sqlx::FromRow;

use super::{distinct, maybe_at, ms, word};
use crate::{
    ArmEntry, Experiments, Result, Trial, Verdict,
    error::{Doing as _, Raw, damaged, from_json, to_json},
    sets::Sets,
};

/// What a backend knows of experiments: sets of rows in, sets of rows out. Steps and arms are words.
#[async_trait]
pub(crate) trait ExperimentSets: Sets {
    /// Contact and arm of those of the contacts that are in one.
    async fn arms_of(&mut self, workflow: i64, step: i64, contacts: &[i64]) -> Raw<Vec<(i64, String)>>;
    /// Puts contacts into arms; who is in one stays.
    async fn insert_arms(&mut self, rows: &[NewArm]) -> Raw<()>;
    /// Where these contacts may still reach the goal.
    async fn arms_open(&mut self, contacts: &[i64], now_ms: i64) -> Raw<Vec<OpenArm>>;
    /// Records goals that were reached.
    async fn mark_reached(&mut self, rows: &[ReachedArm]) -> Raw<()>;
    /// How an experiment stands.
    async fn trial_row(&mut self, workflow: i64, step: i64) -> Raw<Option<TrialRow>>;
    /// The same, locked to the commit; it is made if it is not there.
    async fn lock_trial(&mut self, workflow: i64, step: i64) -> Raw<Option<TrialRow>>;
    /// Writes how an experiment stands.
    async fn write_trial(&mut self, workflow: i64, step: i64, row: &TrialRow) -> Raw<()>;
    /// Whether more than `skipped` contacts of the arm are past the time of the goal.
    async fn arm_has(&mut self, at: (i64, i64, i64), skipped: i64, before_ms: i64) -> Raw<bool>;
    /// Arm, contacts, and how many of them reached the goal.
    async fn count_arms(&mut self, workflow: i64, step: i64, before_ms: i64) -> Raw<Vec<(String, i64, i64)>>;
}

/// A contact that enters an arm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewArm {
    pub(crate) contact: i64,
    pub(crate) workflow: i64,
    pub(crate) step: i64,
    pub(crate) arm: i64,
    pub(crate) version: i64,
    pub(crate) entered_ms: i64,
    pub(crate) until_ms: i64,
}

/// A contact that may still reach the goal: contact, workflow, step, arm, version, entered, until.
pub(crate) type OpenArm = (i64, i64, String, String, i64, i64, i64);

/// A contact that has reached the goal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReachedArm {
    pub(crate) contact: i64,
    pub(crate) workflow: i64,
    pub(crate) step: i64,
    pub(crate) at_ms: i64,
}

/// How an experiment stands, as stored.
#[derive(Debug, Clone, Default, FromRow)]
pub(crate) struct TrialRow {
    pub(crate) looks: i64,
    pub(crate) next_size: i64,
    pub(crate) asked_at: Option<i64>,
    pub(crate) winner: Option<String>,
    pub(crate) decided_at: Option<i64>,
    pub(crate) decided_by: Option<i64>,
    pub(crate) p_value: Option<f64>,
    /// JSON.
    pub(crate) counts: Option<String>,
}

/// A transaction whose writer knows experiments.
pub(crate) trait HasWriter: Send {
    type Writer: ExperimentSets;
    fn writer(&mut self) -> &mut Self::Writer;
}

#[async_trait]
impl<T: HasWriter> Experiments for T {
    async fn arms(
        &mut self,
        workflow: WorkflowId,
        step: &str,
        contacts: &[ContactId],
    ) -> Result<BTreeMap<ContactId, Arc<str>>> {
        let sets = self.writer();
        let arms = async {
            let step = word(sets, step).await?;
            sets.arms_of(workflow.0, step, &distinct(contacts)).await
        };
        let arms: Vec<(i64, String)> = arms.await.doing("look who is in an experiment")?;
        Ok(arms.into_iter().map(|(contact, arm)| (ContactId(contact), arm.into())).collect())
    }

    async fn enter_arms(&mut self, entries: &[ArmEntry]) -> Result<()> {
        let sets = self.writer();
        let enter = async {
            sets.intern(entries.iter().flat_map(|entry| [&*entry.step, &*entry.arm]).collect()).await?;
            let mut rows = Vec::with_capacity(entries.len());
            for entry in entries {
                rows.push(NewArm {
                    contact: entry.contact.0,
                    workflow: entry.workflow.0,
                    step: sets.word(&entry.step)?,
                    arm: sets.word(&entry.arm)?,
                    version: entry.version.0,
                    entered_ms: ms(entry.entered_at),
                    until_ms: ms(entry.until),
                });
            }
            sets.insert_arms(&rows).await
        };
        enter.await.doing("record who enters an experiment")
    }

    async fn open_arms(&mut self, contacts: &[ContactId], now: Timestamp) -> Result<Vec<ArmEntry>> {
        let open = self.writer().arms_open(&distinct(contacts), ms(now)).await;
        let entry = |(contact, workflow, step, arm, version, entered, until): OpenArm| ArmEntry {
            contact: ContactId(contact),
            workflow: WorkflowId(workflow),
            step: step.into(),
            arm: arm.into(),
            version: VersionId(version),
            entered_at: from_ms(entered),
            until: from_ms(until),
        };
        Ok(open.doing("look who is in experiments")?.into_iter().map(entry).collect())
    }

    async fn reach_arms(&mut self, reached: &[(ArmEntry, Timestamp)]) -> Result<()> {
        let sets = self.writer();
        let reach = async {
            sets.intern(reached.iter().map(|(entry, _)| &*entry.step).collect()).await?;
            let mut rows = Vec::with_capacity(reached.len());
            for (entry, at) in reached {
                rows.push(ReachedArm {
                    contact: entry.contact.0,
                    workflow: entry.workflow.0,
                    step: sets.word(&entry.step)?,
                    at_ms: ms(*at),
                });
            }
            sets.mark_reached(&rows).await
        };
        reach.await.doing("record who reached the goal of an experiment")
    }

    async fn trial(&mut self, workflow: WorkflowId, step: &str) -> Result<Trial> {
        let sets = self.writer();
        let trial = async {
            let step = word(sets, step).await?;
            sets.lock_trial(workflow.0, step).await?.map(trial).transpose()
        };
        Ok(trial.await.doing("read an experiment")?.unwrap_or_default())
    }

    async fn verdict(&mut self, workflow: WorkflowId, step: &str) -> Result<Option<Verdict>> {
        let sets = self.writer();
        let verdict = async {
            let step = word(sets, step).await?;
            sets.trial_row(workflow.0, step).await?.map(trial).transpose()
        };
        Ok(verdict.await.doing("read an experiment")?.and_then(|trial| trial.verdict))
    }

    async fn put_trial(&mut self, workflow: WorkflowId, step: &str, trial: &Trial) -> Result<()> {
        let sets = self.writer();
        let put = async {
            let step = word(sets, step).await?;
            let verdict = trial.verdict.as_ref();
            let row = TrialRow {
                looks: trial.looks.into(),
                next_size: i64::try_from(trial.next_size).unwrap_or(i64::MAX),
                asked_at: trial.asked_at.map(ms),
                winner: verdict.map(|verdict| verdict.winner.clone()),
                decided_at: verdict.map(|verdict| ms(verdict.at)),
                decided_by: verdict.map(|verdict| verdict.by.code()),
                p_value: verdict.and_then(|verdict| verdict.p_value),
                counts: verdict.map(|verdict| to_json("counts", &verdict.counts)).transpose()?,
            };
            sets.write_trial(workflow.0, step, &row).await
        };
        put.await.doing("write an experiment")
    }

    async fn has_ripened(
        &mut self,
        workflow: WorkflowId,
        step: &str,
        arm: &str,
        contacts: u64,
        before: Timestamp,
    ) -> Result<bool> {
        let Some(skipped) = contacts.checked_sub(1) else { return Ok(true) };
        let sets = self.writer();
        let has = async {
            sets.intern(vec![step, arm]).await?;
            let at = (workflow.0, sets.word(step)?, sets.word(arm)?);
            sets.arm_has(at, i64::try_from(skipped).unwrap_or(i64::MAX), ms(before)).await
        };
        has.await.doing("look how many are in an experiment")
    }

    async fn tallies(
        &mut self,
        workflow: WorkflowId,
        step: &str,
        before: Option<Timestamp>,
    ) -> Result<BTreeMap<String, Tally>> {
        let sets = self.writer();
        let counts = async {
            let step = word(sets, step).await?;
            sets.count_arms(workflow.0, step, before.map_or(i64::MAX, ms)).await
        };
        let tally = |(arm, contacts, reached): (String, i64, i64)| {
            (arm, Tally { contacts: contacts.unsigned_abs(), reached: reached.unsigned_abs() })
        };
        Ok(counts.await.doing("count an experiment")?.into_iter().map(tally).collect())
    }
}

fn trial(row: TrialRow) -> Raw<Trial> {
    let verdict = match (row.winner, row.decided_at, row.decided_by) {
        (Some(winner), Some(at), Some(by)) => Some(Verdict {
            winner,
            at: from_ms(at),
            by: DecidedBy::from_code(by).ok_or_else(|| damaged("experiment's decision", by))?,
            p_value: row.p_value,
            counts: row.counts.map_or_else(|| Ok(BTreeMap::new()), |json| from_json("counts", &json))?,
        }),
        _ => None,
    };
    Ok(Trial {
        looks: u32::try_from(row.looks).unwrap_or(u32::MAX),
        next_size: row.next_size.unsigned_abs(),
        asked_at: maybe_at(row.asked_at),
        verdict,
    })
}
