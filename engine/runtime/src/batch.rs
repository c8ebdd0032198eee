//! One batch: claimed, carried on as far as it goes, committed.

use std::collections::BTreeMap;

use dripline_model::{Failure, FailureKind, id::VersionId, program::NodeIndex};
use dripline_store::{Advance, AppliedTurn, ClaimedRun};
use jiff::Timestamp;

use crate::{
    engine::Engine,
    error::{ErrorKind, Result, While},
    policy, turn,
};

/// Steps that one transaction carries its runs through; past that they are claimed again, so that a long workflow
/// does not hold the store for long.
const ROUNDS: usize = 64;

impl Engine {
    /// Claims what is due and takes it on until every run of it waits or has ended. Answers the number of turns; 0
    /// when nothing was due.
    pub(crate) async fn run_batch(&self, now: Timestamp) -> Result<u64> {
        let mut tx = self.store.begin().await.while_doing("begin a batch")?;
        let claimed = tx.claim_runs(now, self.options.batch_size).await.while_doing("claim due runs")?;
        if claimed.is_empty() {
            return Ok(0);
        }
        let mut frontier = BTreeMap::<(VersionId, NodeIndex), Vec<ClaimedRun>>::new();
        for run in claimed {
            frontier.entry((run.version, run.node)).or_default().push(run);
        }
        let mut turns = 0;
        // The lowest node first: runs that took different branches meet again below them, and go on together.
        for _ in 0..ROUNDS {
            let Some(((version, index), runs)) = frontier.pop_first() else { break };
            turns += runs.len() as u64;
            let applied = match self.version(version).await {
                Ok(program) => match program.node(index) {
                    Some(node) => turn::take(tx.as_mut(), node, runs, now).await?,
                    None => missing(runs, &format!("the workflow's version has no step {index}"), now),
                },
                // One version that this program cannot run holds up no other.
                Err(error) if !matches!(error.kind, ErrorKind::Store(_)) => {
                    missing(runs, &error.to_string(), now)
                }
                Err(error) => return Err(error),
            };
            tx.apply(&applied, now).await.while_doing("apply a batch")?;
            for turn in applied {
                if let Some(run) = carried_on(&turn, now) {
                    frontier.entry((run.version, run.node)).or_default().push(run);
                }
            }
        }
        tx.commit().await.while_doing("commit a batch")?;
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
            ..turn.run.clone()
        }),
        _ => None,
    }
}

fn missing(runs: Vec<ClaimedRun>, message: &str, now: Timestamp) -> Vec<AppliedTurn> {
    let failure = || Failure { kind: FailureKind::Missing, message: message.to_owned(), retry_at: None };
    runs.into_iter().map(|run| policy::failed(run, failure(), now)).collect()
}
