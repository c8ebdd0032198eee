//! Goals and exits: what ends a run wherever it stands.

use std::collections::{BTreeMap, BTreeSet};

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::{EventView, Needs},
    decision::{DecisionKind, RunStatus},
    id::{ContactId, RunId},
    policy::{self, Policies},
};
use dripline_store::{ActiveRun, Advance, AppliedTurn, ClaimedEvent, ClaimedRun, Transaction};
use jiff::Timestamp;

use crate::{
    engine::{Engine, Versions},
    error::{Result, While},
    kin::Followed,
    policy::plain,
};

/// How the reason begins of a run that reached a goal.
const WON: &str = "goal reached: ";
/// How the reason begins of a run that reached an exit.
const LEFT: &str = "left the workflow: ";

/// Whether a run that ended for this reason reached a goal or an exit of its workflow where it stood, and no step that ends
/// it.
pub fn is_reached_anywhere(reason: &str) -> bool {
    reason.starts_with(WON) || reason.starts_with(LEFT)
}

/// The goals and exits of one version, in the order of the file, goals first.
#[derive(Debug, Default)]
pub(crate) struct Goals(Vec<Goal>);

#[derive(Debug)]
struct Goal {
    wins: bool,
    event: Option<String>,
    condition: Option<Expression>,
}

impl Goals {
    /// # Errors
    /// A sentence, when a condition does not compile.
    pub(crate) fn new(policies: &Policies) -> std::result::Result<Self, String> {
        let compile = |goal: &policy::Goal, wins| -> std::result::Result<Goal, String> {
            let scope = Scope { event: goal.event.is_some(), ..Scope::default() };
            let condition = goal.condition.as_ref().map(|source| {
                Expression::compile(source, ColumnType::Boolean, &scope)
                    .map_err(|_| format!("a goal's condition does not compile: {source}"))
            });
            Ok(Goal { wins, event: goal.event.clone(), condition: condition.transpose()? })
        };
        let goals = policies.goals.iter().map(|goal| compile(goal, true));
        goals
            .chain(policies.exits.iter().map(|exit| compile(exit, false)))
            .collect::<std::result::Result<_, _>>()
            .map(Self)
    }

    /// What of a contact its conditions read: all, or only those without an event.
    pub(crate) fn needs(&self, event: Option<&EventView>) -> Needs {
        let mut needs = Needs::default();
        for condition in self.concerned(event).filter_map(|goal| goal.condition.as_ref()) {
            needs.merge(condition.needs());
        }
        needs
    }

    /// Whether something may be reached without an event, or by this one.
    pub(crate) fn listens(&self, event: Option<&EventView>) -> bool {
        self.concerned(event).next().is_some()
    }

    /// Whether one names the event.
    pub(crate) fn hears(&self, event: &EventView) -> bool {
        self.0.iter().any(|goal| goal.event.as_deref() == Some(&event.name))
    }

    fn concerned(&self, event: Option<&EventView>) -> impl Iterator<Item = &Goal> {
        let name = event.map(|event| event.name.as_str());
        self.0.iter().filter(move |goal| goal.event.is_none() || goal.event.as_deref() == name)
    }

    /// How the run ends, if a goal or an exit is reached now, and why. A condition that cannot be evaluated is no match.
    pub(crate) fn reached(
        &self,
        contact: &Contact,
        event: Option<&EventView>,
        now: Timestamp,
    ) -> Option<(RunStatus, String)> {
        let goal = self.concerned(event).find(|goal| {
            let event = event.filter(|_| goal.event.is_some());
            let holds =
                |condition: &Expression| condition.test(&Subject::new(contact, event, now)) == Ok(true);
            goal.condition.as_ref().is_none_or(holds)
        })?;
        let what = match (&goal.event, &goal.condition) {
            (Some(event), Some(condition)) => format!("event {event}, and `{}` holds", condition.source()),
            (Some(event), None) => format!("event {event}"),
            (None, Some(condition)) => format!("`{}` holds", condition.source()),
            // Nothing to reach; the checker lets none through.
            (None, None) => return None,
        };
        Some(if goal.wins {
            (RunStatus::Won, format!("{WON}{what}"))
        } else {
            (RunStatus::Completed, format!("{LEFT}{what}"))
        })
    }
}

/// The turn that ends a run.
pub(crate) fn ended(run: ClaimedRun, (status, reason): (RunStatus, String)) -> AppliedTurn {
    plain(run, DecisionKind::Ended, reason, Advance::Leave(status))
}

/// The runs of contacts, and the versions on which they stand.
#[derive(Default)]
pub(crate) struct UnderWay {
    runs: BTreeMap<ContactId, Vec<ClaimedRun>>,
    versions: Versions,
}

impl Engine {
    /// The active runs of these contacts, where any workflow has goals or exits.
    pub(crate) async fn under_way(
        &self,
        tx: &mut dyn Transaction,
        contacts: &[ContactId],
    ) -> Result<UnderWay> {
        let mut found = UnderWay::default();
        if contacts.is_empty() || !self.published().has_goals {
            return Ok(found);
        }
        for ActiveRun { run, .. } in
            tx.active_runs(contacts).await.while_doing("load the runs of contacts")?
        {
            // A path ends with its run.
            if run.is_path() {
                continue;
            }
            if found
                .versions
                .program(self, run.version)
                .await?
                .is_some_and(|program| !program.goals.0.is_empty())
            {
                found.runs.entry(run.contact).or_default().push(run);
            }
        }
        Ok(found)
    }

    /// Ends the runs whose goals the events reach; of each contact at most one event is named by a goal.
    pub(crate) async fn reach_by_events(
        &self,
        tx: &mut dyn Transaction,
        under_way: UnderWay,
        events: &[ClaimedEvent],
        now: Timestamp,
    ) -> Result<Followed> {
        let mut by_contact = BTreeMap::new();
        for ClaimedEvent { contact, event, .. } in events {
            // Any event is an occasion to look at the conditions.
            if under_way.hears(*contact, event) || !by_contact.contains_key(contact) {
                by_contact.insert(*contact, Some(event));
            }
        }
        let events = by_contact;
        self.reach(tx, under_way, &events, now).await
    }

    /// Ends the runs of changed contacts whose goals now hold, except `moving` ones, which are looked at before their next
    /// turn.
    pub(crate) async fn reach_by_changes(
        &self,
        tx: &mut dyn Transaction,
        turns: &[AppliedTurn],
        moving: impl Fn() -> BTreeSet<RunId>,
        now: Timestamp,
    ) -> Result<Followed> {
        if !self.published().has_goals || !turns.iter().any(AppliedTurn::changes_contact) {
            return Ok(Followed::default());
        }
        let moving = moving();
        let changed = turns.iter().filter(|turn| turn.changes_contact()).map(|turn| turn.run.contact);
        let changed: BTreeMap<ContactId, Option<&EventView>> =
            changed.map(|contact| (contact, None)).collect();
        let contacts: Vec<ContactId> = changed.keys().copied().collect();
        let mut under_way = self.under_way(tx, &contacts).await?;
        for runs in under_way.runs.values_mut() {
            runs.retain(|run| !moving.contains(&run.run));
        }
        self.reach(tx, under_way, &changed, now).await
    }

    async fn reach(
        &self,
        tx: &mut dyn Transaction,
        UnderWay { mut runs, mut versions }: UnderWay,
        events: &BTreeMap<ContactId, Option<&EventView>>,
        now: Timestamp,
    ) -> Result<Followed> {
        let mut needs = Needs::default();
        let mut concerned = Vec::new();
        for (contact, event) in events {
            for run in runs.remove(contact).unwrap_or_default() {
                let Some(program) = versions.program(self, run.version).await? else { continue };
                if program.goals.listens(*event) {
                    needs.merge(&program.goals.needs(*event));
                    concerned.push((run, *event));
                }
            }
        }
        if concerned.is_empty() {
            return Ok(Followed::default());
        }
        let ids: BTreeSet<ContactId> = concerned.iter().map(|(run, _)| run.contact).collect();
        let ids: Vec<ContactId> = ids.into_iter().collect();
        let contacts = tx.load_contacts(&ids, &needs, now).await.while_doing("load contacts")?;
        let contacts: BTreeMap<_, _> = contacts.into_iter().map(|contact| (contact.id, contact)).collect();
        let mut turns = Vec::new();
        for (run, event) in concerned {
            let (Some(contact), Some(program)) =
                (contacts.get(&run.contact), versions.program(self, run.version).await?)
            else {
                continue;
            };
            if let Some(end) = program.goals.reached(contact, event, now) {
                turns.push(ended(run, end));
            }
        }
        self.announce_ends(tx, &turns, now).await?;
        tx.apply(&turns, now).await.while_doing("end runs that reached their goal")?;
        let mut followed = self.follow_ends(tx, &turns, now).await?;
        followed.turns += turns.len() as u64;
        followed.gone.extend(turns.iter().map(|turn| turn.run.run));
        Ok(followed)
    }
}

impl UnderWay {
    /// Whether a run of the contact may end by the event.
    pub(crate) fn hears(&self, contact: ContactId, event: &EventView) -> bool {
        let runs = self.runs.get(&contact).into_iter().flatten();
        runs.filter_map(|run| self.versions.known(run.version)).any(|program| program.goals.hears(event))
    }
}
