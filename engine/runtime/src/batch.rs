//! One batch: claimed, and carried on as far as it goes.

use std::collections::{BTreeMap, HashMap};

use dripline_model::{
    Failure, FailureKind,
    id::{VersionId, WorkflowId},
    program::NodeIndex,
};
use dripline_store::{Advance, AppliedTurn, ClaimedRun, Transaction};
use foldhash::fast::RandomState;
use jiff::Timestamp;

use crate::{
    drive::Settled,
    engine::{Engine, Versions},
    error::{ErrorKind, Result, While},
    failing::{self, Rules},
    kin::Followed,
    people::People,
    triggers,
    turn::{self, Taken},
};

/// Steps that one transaction carries its runs through; past that they are claimed again, so that a long workflow
/// does not hold the store for long.
const ROUNDS: usize = 64;

/// Runs for which a plugin is called at a time, where it may be called several times for a batch: while one call is under
/// way, what came of the one before is written.
const SLICE: usize = 256;

/// So many runs are through sooner than anybody notices.
const SMALL: usize = 64;

/// Whether a batch ends early, between two steps, for who should not wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yields {
    /// For an import, and for events that have come.
    ToTheUrgent,
    /// For nobody.
    Never,
}

impl Engine {
    /// Claims up to `limit` due runs of a workflow and takes them on until every one waits or has ended. Answers what was
    /// done and for how many, if any could be claimed.
    pub(crate) async fn take_runs(
        &self,
        tx: &mut dyn Transaction,
        workflow: WorkflowId,
        now: Timestamp,
        limit: usize,
        yields: Yields,
    ) -> Result<Option<(Settled, usize)>> {
        let claimed = tx.claim_runs(workflow, now, limit).await.while_doing("claim due runs")?;
        if claimed.is_empty() {
            return Ok(None);
        }
        dripline_model::crash::point("batch.claimed");
        let size = claimed.len();
        let yields = if size > SMALL { yields } else { Yields::Never };
        let turns = self.carry_on(tx, claimed, ROUNDS, yields, now).await?;
        Ok(Some((Settled { turns, ..Settled::default() }, size)))
    }

    /// Takes the runs on for up to `rounds` steps, or until it yields; of several runs of a contact in one workflow each when
    /// the one before has gone as far as it goes. Answers the number of turns.
    pub(crate) async fn carry_on(
        &self,
        tx: &mut dyn Transaction,
        claimed: Vec<ClaimedRun>,
        rounds: usize,
        yields: Yields,
        now: Timestamp,
    ) -> Result<u64> {
        let mut turns = 0;
        let mut followed = Followed::default();
        for claimed in one_after_the_other(claimed) {
            if turns > 0 && yields == Yields::ToTheUrgent && tx.is_wanted() {
                break;
            }
            turns += self.carry(tx, claimed, &mut followed, rounds, yields, now).await?;
        }
        Ok(turns + followed.turns)
    }

    async fn carry(
        &self,
        tx: &mut dyn Transaction,
        claimed: Vec<ClaimedRun>,
        followed: &mut Followed,
        rounds: usize,
        yields: Yields,
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
            // Those that waited for others look again when these are as far as they go.
            if frontier.is_empty() {
                for run in std::mem::take(&mut followed.woken) {
                    frontier.entry((run.version, run.node)).or_default().push(run);
                }
            }
            let Some(((version, index), mut runs)) = frontier.pop_first() else { break };
            if !followed.gone.is_empty() {
                runs.retain(|run| !followed.gone.contains(&run.run));
            }
            let program = match self.version(version).await {
                Err(error) if matches!(error.kind, ErrorKind::Store(_)) => return Err(error),
                program => program,
            };
            let step = match &program {
                Ok(program) => {
                    let node = program.node(index).map(|node| (program, node));
                    node.ok_or_else(|| format!("the workflow's version has no step {index}"))
                }
                // One version that this program cannot run holds up no other.
                Err(error) => Err(error.to_string()),
            };
            turns += runs.len() as u64;
            if let Ok((_, node)) = &step {
                people.load(tx, runs.iter().map(|run| run.contact), &node.ahead, now).await?;
            }
            let mut reached = Vec::with_capacity(runs.len());
            let slice =
                if step.as_ref().is_ok_and(|(_, node)| node.goes_in_slices()) { SLICE } else { runs.len() };
            for runs in runs.chunks(slice.max(1)) {
                let Taken { applied, begun } = match &step {
                    Ok((program, node)) => {
                        let step = turn::Step { engine: self, program, node };
                        turn::take(tx, &people, &step, runs, now).await?
                    }
                    Err(why) => Taken { applied: missing(runs, why, now), begun: Vec::new() },
                };
                self.announce_ends(tx, &applied, now).await?;
                let scores = tx.apply(&applied, now).await.while_doing("apply a batch")?;
                dripline_model::crash::point("batch.applied");
                people.follow(&applied, scores);
                followed.merge(self.follow_ends(tx, &applied, now).await?);
                for run in applied.iter().filter_map(|turn| carried_on(turn, now)).chain(begun) {
                    frontier.entry((run.version, run.node)).or_default().push(run);
                }
                reached.extend(applied);
            }
            self.count_goals_by_changes(tx, &reached, now).await?;
            let moving = || frontier.values().flatten().map(|run| run.run).collect();
            followed.merge(self.reach_by_changes(tx, &reached, moving, now).await?);
            // The runs stand where they are, due, and are claimed again.
            if yields == Yields::ToTheUrgent && tx.is_wanted() {
                break;
            }
        }
        Ok(turns)
    }
}

impl Engine {
    /// Makes events of the runs that end, where that starts another workflow, and lets in who waits for that.
    pub(crate) async fn announce_ends(
        &self,
        tx: &mut dyn Transaction,
        applied: &[AppliedTurn],
        now: Timestamp,
    ) -> Result<()> {
        if applied.iter().all(|turn| turn.advance.ended().is_none()) {
            return Ok(());
        }
        self.let_next_in(tx, applied, now).await?;
        let published = self.published();
        let listeners = published.programs.iter().map(|program| &program.entrance.triggers);
        let mut versions = Versions::default();
        let mut events = Vec::new();
        for turns in applied.chunk_by(|one, other| one.run.version == other.run.version) {
            let Some(first) = turns.first() else { continue };
            if let Some(program) = versions.program(self, first.run.version).await? {
                events.extend(triggers::ends(&program.name, turns, listeners.clone()));
            }
        }
        if events.is_empty() {
            return Ok(());
        }
        tx.emit(&events, now).await.while_doing("make events of ended runs")
    }
}

/// The first runs of each contact in a workflow, then the second ones, and so on: what one does the next shall see. Only
/// workflows that let runs go side by side have second ones.
fn one_after_the_other(claimed: Vec<ClaimedRun>) -> Vec<Vec<ClaimedRun>> {
    let mut seen: HashMap<_, usize, RandomState> =
        HashMap::with_capacity_and_hasher(claimed.len(), RandomState::default());
    let place = |run: &ClaimedRun, seen: &mut HashMap<_, usize, RandomState>| {
        // Paths of one run go together.
        if run.is_path() {
            return 0;
        }
        let count = seen.entry((run.workflow, run.contact)).or_default();
        *count += 1;
        *count - 1
    };
    let places: Vec<usize> = claimed.iter().map(|run| place(run, &mut seen)).collect();
    let most = places.iter().copied().max().unwrap_or_default();
    if most == 0 {
        return vec![claimed];
    }
    let mut layers = vec![Vec::new(); most + 1];
    for (run, place) in claimed.into_iter().zip(places) {
        layers.get_mut(place).into_iter().for_each(|layer| layer.push(run));
    }
    layers
}

/// The run as the turn left it, if it goes on at once.
pub(crate) fn carried_on(turn: &AppliedTurn, now: Timestamp) -> Option<ClaimedRun> {
    match turn.advance {
        Advance::To { node, due, waited } if due <= now => Some(ClaimedRun {
            node,
            turn: turn.run.turn + 1,
            attempts: 0,
            hops: if waited { 0 } else { turn.run.hops + 1 },
            due: now,
            waiting: None,
            ..turn.run
        }),
        _ => None,
    }
}

fn missing(runs: &[ClaimedRun], message: &str, now: Timestamp) -> Vec<AppliedTurn> {
    let failure = || Failure { kind: FailureKind::Missing, message: message.to_owned(), retry_at: None };
    let rules = Rules::default();
    runs.iter().map(|run| failing::failed(*run, failure(), &rules, None, now)).collect()
}
