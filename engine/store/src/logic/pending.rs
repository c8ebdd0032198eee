//! What a transaction owes to the tables and nobody reads before it ends: where runs have gone, and why; and what it knows of
//! them.
//!
//! A batch that runs on through several steps moves the same runs again and again, and only the last place counts; its
//! decisions are only ever appended. Both are written once, as large sets, at the latest at the commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dripline_model::{
    Contact,
    contact::Needs,
    decision::{Awaited, DecisionKind},
    id::{ContactId, EventId, RunId, VersionId},
};
use foldhash::fast::RandomState;
use jiff::Timestamp;

use super::{ms, scores, watch};
use crate::{
    Advance, AppliedTurn, ClaimedRun, Waiting,
    error::Raw,
    sets::{Decision, EndedRun, MovedRun, Onlookers, Sets, WaitingRun},
};

/// How many decisions are not kept back any longer.
const AT_ONCE: usize = 1024;

/// Moves and decisions that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    runs: HashMap<RunId, Place, RandomState>,
    decisions: Vec<Decision>,
    /// What rules of segments look at, if there are any; read once.
    watched: Option<Option<Needs>>,
    /// Whether runs of claimed contacts may wait for a condition; read again after each claim.
    waits: Option<bool>,
    /// The addresses of contacts that were loaded: nobody else changes them before the transaction ends.
    addresses: HashMap<ContactId, String, RandomState>,
    /// Contacts that they have to look at, and when.
    unsettled: BTreeMap<i64, i64>,
    /// What it knows without reading.
    pub(crate) scores: scores::Known,
    /// Contacts that were changed: their runs that wait for a condition are looked at again.
    changed: BTreeSet<ContactId>,
    /// The latest of these changes.
    changed_ms: i64,
    /// Of the runs above those that wait for a condition.
    watching: BTreeMap<ContactId, BTreeSet<RunId>>,
    /// The states of plugins that were read or written, by plugin and key: nobody else has them before the end.
    states: BTreeMap<(String, String), State>,
}

/// The state of a plugin.
#[derive(Debug)]
struct State {
    value: Option<Vec<u8>>,
    /// Whether it is to be written.
    is_owed: bool,
}

/// Where a run has gone.
#[derive(Debug, Clone, Copy)]
enum Place {
    At {
        run: MovedRun,
        /// Whether it waited for something before.
        waited: bool,
    },
    Ended(EndedRun),
}

/// A decision to record.
#[derive(Debug)]
pub(crate) struct NewDecision<'a> {
    pub(crate) run: Option<RunId>,
    pub(crate) version: VersionId,
    pub(crate) contact: ContactId,
    pub(crate) node: Option<i64>,
    pub(crate) turn: i64,
    pub(crate) kind: DecisionKind,
    pub(crate) reason: &'a str,
    pub(crate) event: Option<EventId>,
}

/// Records decisions in a transaction in which nothing else is pending.
pub(crate) async fn record(sets: &mut impl Sets, decisions: Vec<NewDecision<'_>>, now: Timestamp) -> Raw<()> {
    let mut pending = Pending::default();
    pending.decide(sets, decisions, now).await?;
    pending.flush(sets).await
}

impl Pending {
    /// Takes in contacts that were loaded.
    pub(crate) fn know(&mut self, contacts: &[Contact], needs: &Needs) {
        if needs.scores {
            self.scores.take_in(contacts);
        }
    }

    /// Takes in the addresses of contacts that were loaded whole.
    pub(crate) fn know_addresses(&mut self, contacts: &[Contact]) {
        let addresses = contacts.iter().filter_map(|contact| Some((contact.id, contact.email.clone()?)));
        self.addresses.extend(addresses);
    }

    /// The contact's address, if it was loaded.
    pub(crate) fn address(&self, contact: ContactId) -> Option<&str> {
        self.addresses.get(&contact).map(String::as_str)
    }

    /// More contacts are locked now: until then others may have made their runs wait for a condition.
    pub(crate) fn others_may_wait(&mut self) {
        self.waits = None;
    }

    /// Notes where a turn sends its run.
    pub(crate) fn advance(&mut self, AppliedTurn { run, advance, .. }: &AppliedTurn, now: Timestamp) {
        let id = run.run.0;
        let (node, turn) = (i64::from(run.node), run.turn + 1);
        let moved = match *advance {
            Advance::To { node, due, waited } => MovedRun {
                run: id,
                node: node.into(),
                due_ms: ms(due),
                turn,
                attempts: 0,
                hops: if waited { 0 } else { run.hops + 1 },
                first_due_ms: None,
                waiting: None,
            },
            Advance::Wait { waiting, due } => MovedRun {
                run: id,
                node,
                due_ms: ms(due),
                turn,
                attempts: 0,
                hops: run.hops + 1,
                first_due_ms: None,
                waiting: Some(row(waiting)),
            },
            Advance::Retry { due } => MovedRun {
                run: id,
                node,
                due_ms: ms(due),
                turn: run.turn,
                attempts: run.attempts + 1,
                hops: run.hops,
                first_due_ms: Some(ms(run.due)),
                waiting: run.waiting.map(row),
            },
            Advance::Hold { due } => MovedRun {
                run: id,
                node,
                due_ms: ms(due),
                turn,
                attempts: run.attempts,
                hops: 0,
                first_due_ms: Some(ms(run.due)),
                waiting: None,
            },
            Advance::End(status) | Advance::Leave(status) => {
                let ended = EndedRun { run: id, node, status: status.code(), turn, ended_ms: ms(now) };
                self.put(run, Place::Ended(ended));
                return;
            }
        };
        self.put(run, Place::At { run: moved, waited: run.waiting.is_some() });
    }

    /// Notes that a run goes on waiting, to be looked at again at `due`.
    pub(crate) fn put_back(&mut self, run: &ClaimedRun, due: Timestamp) {
        let moved = MovedRun {
            run: run.run.0,
            node: run.node.into(),
            due_ms: ms(due),
            turn: run.turn,
            attempts: run.attempts,
            hops: run.hops,
            first_due_ms: Some(ms(run.due)),
            waiting: run.waiting.map(row),
        };
        self.put(run, Place::At { run: moved, waited: true });
    }

    fn put(&mut self, run: &ClaimedRun, mut place: Place) {
        // What was known of it in this transaction and is not written: whether the row says that it waits.
        if let (Place::At { waited, .. }, Some(Place::At { waited: before, run: old })) =
            (&mut place, self.runs.get(&run.run))
        {
            *waited |= *before || old.waiting.is_some();
        }
        let watches = matches!(&place, Place::At { run, .. } if run.waiting.is_some_and(is_condition));
        if watches {
            self.watching.entry(run.contact).or_default().insert(run.run);
        } else if let Some(watching) = self.watching.get_mut(&run.contact) {
            watching.remove(&run.run);
        }
        self.runs.insert(run.run, place);
    }

    /// Notes that contacts have changed, so that their runs which wait for a condition are looked at again. A run that
    /// comes to such a step afterwards has seen the change.
    pub(crate) fn change(&mut self, contacts: impl IntoIterator<Item = ContactId>, now: Timestamp) {
        for contact in contacts {
            // Where nobody waits there is nobody to wake.
            if self.waits != Some(false) {
                self.changed.insert(contact);
            }
            for run in self.watching.get(&contact).into_iter().flatten() {
                if let Some(Place::At { run, .. }) = self.runs.get_mut(run) {
                    run.due_ms = run.due_ms.min(ms(now));
                }
            }
        }
        self.changed_ms = self.changed_ms.max(ms(now));
    }

    /// Notes decisions.
    pub(crate) async fn decide(
        &mut self,
        sets: &mut impl Sets,
        decisions: Vec<NewDecision<'_>>,
        now: Timestamp,
    ) -> Raw<()> {
        sets.intern(decisions.iter().map(|decision| decision.reason).collect()).await?;
        self.decisions.reserve(decisions.len());
        for decision in decisions {
            self.decisions.push(Decision {
                run: decision.run.map(|run| run.0),
                version: decision.version.0,
                contact: decision.contact.0,
                node: decision.node,
                turn: decision.turn,
                at_ms: ms(now),
                kind: decision.kind.code(),
                reason: sets.word(decision.reason)?,
                event: decision.event.map(|event| event.0),
            });
        }
        // Large sets at once: they are written behind, while the next step is worked out.
        let whole = self.decisions.len() - self.decisions.len() % AT_ONCE;
        if whole > 0 {
            let rest = self.decisions.split_off(whole);
            sets.insert_decisions(&std::mem::replace(&mut self.decisions, rest)).await?;
        }
        Ok(())
    }

    /// A plugin's state; read once.
    pub(crate) async fn state(
        &mut self,
        sets: &mut impl Sets,
        plugin: &str,
        key: &str,
    ) -> Raw<Option<Vec<u8>>> {
        let place = (plugin.to_owned(), key.to_owned());
        if let Some(state) = self.states.get(&place) {
            return Ok(state.value.clone());
        }
        let value = sets.plugin_state(plugin, key).await?;
        self.states.insert(place, State { value: value.clone(), is_owed: false });
        Ok(value)
    }

    /// Notes a plugin's state.
    pub(crate) fn put_state(&mut self, plugin: &str, key: &str, value: &[u8]) {
        let state = State { value: Some(value.to_owned()), is_owed: true };
        self.states.insert((plugin.to_owned(), key.to_owned()), state);
    }

    /// Learns who looks at contacts that change. Before anything is written, which would have to be waited for.
    pub(crate) async fn look_who_looks(&mut self, sets: &mut impl Sets) -> Raw<()> {
        if self.watched.is_none() || self.waits.is_none() {
            let Onlookers { rules, dates, waits } = sets.onlookers().await?;
            self.watched = Some(watch::needs(&rules, &dates)?);
            self.waits = Some(waits);
        }
        Ok(())
    }

    /// What rules of segments look at, if there are any; [`Pending::look_who_looks`] was called.
    pub(crate) fn watched(&self) -> Option<&Needs> {
        self.watched.as_ref().and_then(Option::as_ref)
    }

    /// Notes contacts that rules have to look at.
    pub(crate) fn note_changed(&mut self, contacts: BTreeSet<i64>, now: Timestamp) {
        self.unsettled.extend(contacts.into_iter().map(|contact| (contact, ms(now))));
    }

    /// Whether all of these runs are on their way, none of them due by `now`, as far as is not written yet.
    pub(crate) fn have_gone(&self, mut runs: impl Iterator<Item = RunId>, now: Timestamp) -> bool {
        runs.all(|run| match self.runs.get(&run) {
            Some(Place::At { run, .. }) => run.due_ms > ms(now),
            Some(Place::Ended(_)) => true,
            None => false,
        })
    }

    /// Writes where runs have gone, so that they can be read.
    pub(crate) async fn flush_runs(&mut self, sets: &mut impl Sets) -> Raw<()> {
        // Woken first: what is written after it knows better when it is due.
        let changed: Vec<i64> =
            std::mem::take(&mut self.changed).into_iter().map(|contact| contact.0).collect();
        sets.wake_runs(&changed, self.changed_ms).await?;
        if self.watching.values().any(|runs| !runs.is_empty()) {
            self.waits = Some(true);
        }
        self.watching.clear();
        let (mut moved, mut waiting, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        // In the order of the table.
        let mut runs: Vec<(RunId, Place)> = std::mem::take(&mut self.runs).into_iter().collect();
        runs.sort_unstable_by_key(|(run, _)| *run);
        for (_, place) in runs {
            match place {
                Place::At { run, waited } if waited || run.waiting.is_some() => waiting.push(run),
                Place::At { run, .. } => moved.push(run),
                Place::Ended(run) => ended.push(run),
            }
        }
        sets.move_runs(&moved).await?;
        sets.move_waiting_runs(&waiting).await?;
        sets.end_runs(&ended).await
    }

    /// Writes everything.
    pub(crate) async fn flush(&mut self, sets: &mut impl Sets) -> Raw<()> {
        self.flush_runs(sets).await?;
        let unsettled: Vec<(i64, i64)> = std::mem::take(&mut self.unsettled).into_iter().collect();
        sets.note_changed(&unsettled).await?;
        let mut states = Vec::new();
        for ((plugin, key), state) in &mut self.states {
            if std::mem::take(&mut state.is_owed)
                && let Some(value) = &state.value
            {
                states.push((plugin.as_str(), key.as_str(), value.as_slice()));
            }
        }
        sets.put_plugin_states(&states).await?;
        sets.insert_decisions(&std::mem::take(&mut self.decisions)).await
    }
}

fn is_condition(waiting: WaitingRun) -> bool {
    waiting.what == Awaited::Condition.code()
}

fn row(Waiting { what, since, until }: Waiting) -> WaitingRun {
    WaitingRun { what: what.code(), since_ms: ms(since), until_ms: ms(until) }
}
