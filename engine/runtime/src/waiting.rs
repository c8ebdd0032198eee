//! `wait_for`: a run stands still until an event arrives, or a condition holds, or the time for that is over.
//!
//! A run that waits costs nothing until something happens to its contact: the store leads from a contact to the runs that
//! wait for it. An event is looked at in its own transaction ([`Standing::hear`]); a contact that changed makes its runs due, and
//! they look again ([`take`]).

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::{EventView, Needs},
    decision::{Awaited, DecisionKind},
    duration,
    id::{ContactId, RunId, VersionId},
    program::{NodeIndex, WaitFor},
    zone,
};
use dripline_store::{Advance, AppliedTurn, ClaimedEvent, ClaimedRun, Transaction, Waiting};
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};

use crate::{
    batch::carried_on,
    call::with_inputs,
    compiled::{CompiledAction, CompiledNode, CompiledProgram},
    engine::Engine,
    error::{ErrorKind, Result, While},
    kin::Followed,
    policy::{plain, to},
};

/// How often a condition that reads the time is looked at although nothing happened to the contact.
const LOOK_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// How long a wait whose time is over is put off while an event that came in time has not been dealt with.
const PATIENCE: SignedDuration = SignedDuration::from_secs(1);

/// What is waited for, ready to be looked at.
pub(crate) struct CompiledWait {
    event: Option<String>,
    condition: Option<Expression>,
    within: Span,
    /// As it was written.
    within_text: String,
    then: Option<NodeIndex>,
    otherwise: Option<NodeIndex>,
    /// The zone of contacts that have none.
    zone: TimeZone,
}

impl CompiledWait {
    /// Prepares a step; `zone` is that of contacts who have none.
    ///
    /// # Errors
    /// A sentence, when an expression or duration is not one that this program understands.
    pub(crate) fn new(
        wait: WaitFor,
        inputs: Option<&BTreeMap<String, ColumnType>>,
        zone: &TimeZone,
    ) -> std::result::Result<Self, String> {
        let scope = Scope { event: wait.event.is_some(), inputs, ..Scope::default() };
        let compile = |source: &String| {
            Expression::compile(source, ColumnType::Boolean, &scope)
                .map_err(|_| format!("the condition of `wait_for` does not compile: {source}"))
        };
        Ok(Self {
            condition: wait.condition.as_ref().map(compile).transpose()?,
            event: wait.event,
            within: duration::parse(&wait.within)?,
            within_text: wait.within,
            then: wait.then,
            otherwise: wait.otherwise,
            zone: zone.clone(),
        })
    }

    /// What of a contact it looks at.
    pub(crate) fn needs(&self) -> Needs {
        let mut needs = self.condition.as_ref().map_or_else(Needs::default, |cel| cel.needs().clone());
        needs.attributes.extend(zone::ATTRIBUTES.map(str::to_owned));
        needs
    }

    /// Whether the event may end the wait: it has the name, or what is waited for is a condition, which any event may
    /// have made true.
    pub(crate) fn hears(&self, event: &EventView) -> bool {
        self.event.as_ref().is_none_or(|name| *name == event.name)
    }

    /// Whether it has happened; the sentence that says so.
    fn happened(&self, contact: &Contact, event: Option<&EventView>, now: Timestamp) -> Option<String> {
        let holds = |condition: &Expression| {
            condition.test(&Subject::new(contact, event, now)).is_ok_and(|holds| holds)
        };
        match (&self.event, &self.condition) {
            (Some(name), Some(condition)) => {
                holds(condition).then(|| format!("`{name}` arrived, and `{}` holds", condition.source()))
            }
            (Some(name), None) => Some(format!("`{name}` arrived")),
            (None, Some(condition)) => holds(condition).then(|| format!("`{}` holds", condition.source())),
            (None, None) => None,
        }
    }

    /// What it waits for, in words.
    fn what(&self) -> String {
        match (&self.event, &self.condition) {
            (Some(name), Some(condition)) => format!("`{name}` with `{}`", condition.source()),
            (Some(name), None) => format!("`{name}`"),
            (None, condition) => {
                format!("`{}`", condition.as_ref().map_or("nothing", |condition| condition.source()))
            }
        }
    }

    fn in_vain(&self, run: ClaimedRun, now: Timestamp) -> AppliedTurn {
        let did = if self.event.is_some() { "did not arrive" } else { "did not hold" };
        let reason = format!("{} {did} within {}", self.what(), self.within_text);
        plain(run, DecisionKind::Branched, reason, to(self.otherwise, now, true))
    }

    /// A run that comes to the step.
    fn begin(&self, run: ClaimedRun, contact: &Contact, now: Timestamp) -> AppliedTurn {
        if self.then.is_none() && self.otherwise.is_none() {
            let reason =
                format!("does not wait for {}: no step follows, so the run ends at once", self.what());
            return plain(run, DecisionKind::Branched, reason, to(None, now, false));
        }
        if self.event.is_none()
            && let Some(why) = self.happened(contact, None, now)
        {
            return plain(run, DecisionKind::Branched, why, to(self.then, now, false));
        }
        let own = zone::of_contact(contact);
        let until = duration::after(now, self.within, own.as_ref().unwrap_or(&self.zone));
        let what = if self.event.is_some() { Awaited::Event } else { Awaited::Condition };
        let waiting = Waiting { what, since: now, until };
        let reason = format!("waits for {}, until {until}", self.what());
        let advance = Advance::Wait { waiting, due: self.next_look(contact, until, now) };
        plain(run, DecisionKind::Waiting, reason, advance)
    }

    /// When a run is looked at without anything having happened.
    fn next_look(&self, contact: &Contact, until: Timestamp, now: Timestamp) -> Timestamp {
        let Some(condition) = self.condition.as_ref().filter(|_| self.event.is_none()) else { return until };
        let every = condition.reads_now().then(|| now.saturating_add(LOOK_EVERY).unwrap_or(until));
        // A score that fades makes it true, or false, at an instant that is known.
        let fades = if condition.needs().scores && !contact.fading.is_empty() {
            condition.next_change(&Subject::new(contact, None, now)).once
        } else {
            None
        };
        [every, fades].into_iter().flatten().fold(until, Timestamp::min)
    }
}

/// Lets runs wait that come to the step, and looks again at those that wait and are due.
pub(crate) async fn take(
    tx: &mut dyn Transaction,
    wait: &CompiledWait,
    runs: Vec<(ClaimedRun, &Contact)>,
    now: Timestamp,
) -> Result<Vec<AppliedTurn>> {
    let mut applied = Vec::with_capacity(runs.len());
    let (mut put_back, mut over) = (Vec::new(), Vec::new());
    for (run, contact) in runs {
        let Some(waiting) = run.waiting else {
            applied.push(wait.begin(run, contact, now));
            continue;
        };
        let found = if wait.event.is_none() { wait.happened(contact, None, now) } else { None };
        match found {
            Some(why) => {
                applied.push(plain(
                    run,
                    DecisionKind::Branched,
                    why,
                    to(wait.then, now, now > waiting.since),
                ));
            }
            None if now >= waiting.until => over.push((run, waiting.until)),
            None => {
                let due = wait.next_look(contact, waiting.until, now);
                put_back.push((run, due));
            }
        }
    }
    let came = came_in_time(tx, wait, &over, now).await?;
    let later = now.saturating_add(PATIENCE).unwrap_or(now);
    for (run, until) in over {
        if came.get(&run.contact).is_some_and(|at| *at <= until) {
            put_back.push((run, later));
        } else {
            applied.push(wait.in_vain(run, now));
        }
    }
    tx.put_back(&put_back).await.while_doing("let runs wait on")?;
    Ok(applied)
}

/// For contacts whose time is over, the first event that is waited for and has not been dealt with: after the engine was
/// away, events that came in time may stand behind.
async fn came_in_time(
    tx: &mut dyn Transaction,
    wait: &CompiledWait,
    over: &[(ClaimedRun, Timestamp)],
    now: Timestamp,
) -> Result<BTreeMap<ContactId, Timestamp>> {
    let mut first = BTreeMap::new();
    let Some(name) = wait.event.as_deref().filter(|_| !over.is_empty()) else { return Ok(first) };
    if tx.arrived(now).await.while_doing("look for events")?.events {
        let contacts: Vec<ContactId> = over.iter().map(|(run, _)| run.contact).collect();
        for (contact, at) in tx.pending_events(&contacts, name, now).await.while_doing("look for events")? {
            let earliest = first.entry(contact).or_insert(at);
            *earliest = at.min(*earliest);
        }
    }
    Ok(first)
}

/// The runs of contacts that stand at a `wait_for`, with their programs.
#[derive(Default)]
pub(crate) struct Standing {
    runs: BTreeMap<ContactId, Vec<ClaimedRun>>,
    programs: BTreeMap<VersionId, Arc<CompiledProgram>>,
}

impl Standing {
    /// The runs of these contacts, which are locked. One whose program cannot be read is left to its own turn, which
    /// says so.
    pub(crate) async fn of(
        engine: &Engine,
        tx: &mut dyn Transaction,
        contacts: &[ContactId],
    ) -> Result<Self> {
        let mut standing = Self::default();
        for run in tx.waiting_runs(contacts).await.while_doing("find the runs that wait")? {
            if let Entry::Vacant(program) = standing.programs.entry(run.version) {
                match engine.version(run.version).await {
                    Ok(prepared) => drop(program.insert(prepared)),
                    Err(error) if !matches!(error.kind, ErrorKind::Store(_)) => continue,
                    Err(error) => return Err(error),
                }
            }
            standing.runs.entry(run.contact).or_default().push(run);
        }
        Ok(standing)
    }

    /// Whether a run of the contact waits for the event.
    pub(crate) fn hears(&self, contact: ContactId, event: &EventView) -> bool {
        self.runs
            .get(&contact)
            .into_iter()
            .flatten()
            .any(|run| self.wait(run).is_some_and(|(_, wait)| wait.hears(event)))
    }

    /// Whether a version on which one of the runs stands may wait for the event later.
    pub(crate) fn may_await(&self, event: &EventView) -> bool {
        self.programs.values().any(|program| program.awaits(event))
    }

    fn wait(&self, run: &ClaimedRun) -> Option<(&CompiledNode, &CompiledWait)> {
        let node = self.programs.get(&run.version)?.node(run.node)?;
        match &node.action {
            CompiledAction::WaitFor(wait) => Some((node, wait)),
            _ => None,
        }
    }

    /// Ends the waits for which the events are what was waited for; of each contact at most one is heard. `gone` have ended
    /// since. Answers the runs that go on at once, and what followed.
    pub(crate) async fn hear(
        &self,
        engine: &Engine,
        tx: &mut dyn Transaction,
        events: &[ClaimedEvent],
        gone: &BTreeSet<RunId>,
        now: Timestamp,
    ) -> Result<(Vec<ClaimedRun>, Followed)> {
        let mut heard = Vec::new();
        let mut needs = Needs::default();
        for event in events {
            let runs = self.runs.get(&event.contact).into_iter().flatten();
            for run in runs.filter(|run| !gone.contains(&run.run)) {
                // What came after the last moment does not count, however late the wait's end is dealt with.
                let in_time = run.waiting.is_some_and(|waiting| event.event.at <= waiting.until);
                if let Some((node, _)) =
                    self.wait(run).filter(|(_, wait)| in_time && wait.hears(&event.event))
                {
                    needs.merge(&node.ahead);
                    heard.push((run, &event.event));
                }
            }
        }
        if heard.is_empty() {
            return Ok((Vec::new(), Followed::default()));
        }
        let mut ids: Vec<ContactId> = heard.iter().map(|(run, _)| run.contact).collect();
        ids.sort_unstable();
        ids.dedup();
        let contacts = tx.load_contacts(&ids, &needs, now).await.while_doing("load contacts")?;
        let contacts: BTreeMap<_, _> = contacts.into_iter().map(|contact| (contact.id, contact)).collect();
        let mut applied = Vec::new();
        let mut called = BTreeMap::new();
        for (version, program) in self.programs.iter().filter(|(_, program)| !program.inputs.is_empty()) {
            let of = heard.iter().filter(|(run, _)| run.version == *version);
            let of = of.filter_map(|(run, _)| Some((run.run, contacts.get(&run.contact)?.clone())));
            called.extend(with_inputs(tx, program, of.collect()).await?);
        }
        for (run, event) in heard {
            let contact = called.get(&run.run).or_else(|| contacts.get(&run.contact));
            let Some((contact, (_, wait))) = contact.zip(self.wait(run)) else { continue };
            let event = wait.event.is_some().then_some(event);
            if let Some(why) = wait.happened(contact, event, now) {
                let waited = run.waiting.is_some_and(|waiting| now > waiting.since);
                applied.push(plain(*run, DecisionKind::Branched, why, to(wait.then, now, waited)));
            }
        }
        engine.announce_ends(tx, &applied, now).await?;
        tx.apply(&applied, now).await.while_doing("apply a batch")?;
        let mut followed = engine.follow_ends(tx, &applied, now).await?;
        followed.turns += applied.len() as u64;
        Ok((applied.iter().filter_map(|turn| carried_on(turn, now)).collect(), followed))
    }
}
