//! One batch: claimed, and carried on as far as it goes.

use std::collections::BTreeMap;

use dripline_model::{
    Failure, FailureKind,
    id::{VersionId, WorkflowId},
    program::NodeIndex,
};
use dripline_store::{Advance, AppliedTurn, ClaimedRun, Transaction};
use jiff::Timestamp;

use crate::{
    drive::Settled,
    engine::Engine,
    error::{ErrorKind, Result, While},
    failing::{self, Rules},
    people::People,
    turn,
};

/// Steps that one transaction carries its runs through; past that they are claimed again, so that a long workflow
/// does not hold the store for long.
const ROUNDS: usize = 64;

impl Engine {
    /// Claims up to `limit` due runs of a workflow and takes them on until every one waits or has ended. Answers what was
    /// done and for how many, if any could be claimed.
    pub(crate) async fn take_runs(
        &self,
        tx: &mut dyn Transaction,
        workflow: WorkflowId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<(Settled, usize)>> {
        let claimed = tx.claim_runs(workflow, now, limit).await.while_doing("claim due runs")?;
        if claimed.is_empty() {
            return Ok(None);
        }
        dripline_model::crash::point("batch.claimed");
        let size = claimed.len();
        let turns = self.carry_on(tx, claimed, ROUNDS, now).await?;
        Ok(Some((Settled { turns, ..Settled::default() }, size)))
    }

    /// Takes the runs on for up to `rounds` steps. Answers the number of turns.
    pub(crate) async fn carry_on(
        &self,
        tx: &mut dyn Transaction,
        claimed: Vec<ClaimedRun>,
        rounds: usize,
        now: Timestamp,
    ) -> Result<u64> {
        let mut frontier = BTreeMap::<(VersionId, NodeIndex), Vec<ClaimedRun>>::new();
        for run in claimed {
            frontier.entry((run.version, run.node)).or_default().push(run);
        }
        let mut turns = 0;
        let mut people = People::default();
        // The lowest node first: runs that took different branches meet again below them, and go on together.
        for _ in 0..rounds {
            let Some(((version, index), runs)) = frontier.pop_first() else { break };
            turns += runs.len() as u64;
            let applied = match self.version(version).await {
                Ok(program) => match program.node(index) {
                    Some(node) => {
                        let step = turn::Step { engine: self, program: &program, node };
                        turn::take(tx, &mut people, &step, runs, now).await?
                    }
                    None => missing(runs, &format!("the workflow's version has no step {index}"), now),
                },
                // One version that this program cannot run holds up no other.
                Err(error) if !matches!(error.kind, ErrorKind::Store(_)) => {
                    missing(runs, &error.to_string(), now)
                }
                Err(error) => return Err(error),
            };
            let scores = tx.apply(&applied, now).await.while_doing("apply a batch")?;
            dripline_model::crash::point("batch.applied");
            people.follow(&applied, scores);
            for turn in &applied {
                if let Some(run) = carried_on(turn, now) {
                    frontier.entry((run.version, run.node)).or_default().push(run);
                }
            }
            let moving = || frontier.values().flatten().map(|run| run.run).collect();
            turns += self.reach_by_changes(tx, &applied, moving, now).await?;
        }
        Ok(turns)
    }
}

/// The run as the turn left it, if it goes on at once.
fn carried_on(turn: &AppliedTurn, now: Timestamp) -> Option<ClaimedRun> {
    match turn.advance {
        Advance::To { node, due, waited } if due <= now => Some(ClaimedRun {
            node,
            turn: turn.run.turn + 1,
            attempts: 0,
            hops: if waited { 0 } else { turn.run.hops + 1 },
            due: now,
            ..turn.run
        }),
        _ => None,
    }
}

fn missing(runs: Vec<ClaimedRun>, message: &str, now: Timestamp) -> Vec<AppliedTurn> {
    let failure = || Failure { kind: FailureKind::Missing, message: message.to_owned(), retry_at: None };
    let rules = Rules::default();
    runs.into_iter().map(|run| failing::failed(run, failure(), &rules, None, now)).collect()
}
