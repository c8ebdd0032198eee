//! A workflow's door: who stands before it is let in, or the reason is recorded why not.

use std::collections::BTreeMap;

use dripline_model::{
    Contact,
    contact::{DATE_REACHED, EventView, is_made},
    id::{ContactId, EventId, FiringId, RunId, VersionId, WorkflowId},
    program::{Concurrency, Program},
};
use dripline_store::{
    ClaimedEvent, ClaimedRun, Enrolment, Firing, FiringCause, FiringProgress, HeldEvent, LatestRun, Refusal,
    Store, Transaction, Until,
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use crate::{
    admission::{Admission, NoEntry},
    by_hand::BY_HAND,
    error::{Error, ErrorKind, Result, While, despite},
    held::{Held, Moves},
    inquiry,
    triggers::{Past, Triggers, Verdict},
};

/// A version of a workflow as one who wants to enter sees it.
#[derive(Debug, Clone)]
pub struct Entrance {
    pub(crate) workflow: WorkflowId,
    pub(crate) version: VersionId,
    pub(crate) triggers: Triggers,
    pub(crate) concurrency: Concurrency,
    admission: Admission,
    zone: TimeZone,
}

/// Somebody who may enter a workflow.
pub(crate) struct Candidate<'a> {
    pub(crate) contact: ContactId,
    /// The event that arrived, if it is one.
    pub(crate) event: Option<EventId>,
    /// What the rules see as `event`.
    pub(crate) view: Option<&'a EventView>,
    /// What brought the contact here, for people.
    pub(crate) because: String,
    /// With what another workflow calls this one.
    pub(crate) inputs: Option<&'a Map<String, Value>>,
    /// The event, if it has waited.
    pub(crate) held: Option<&'a HeldEvent>,
}

/// What became of somebody who wanted to enter.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Who, with what the rules look at.
    pub contact: Contact,
    /// Why not; `None` for who entered.
    pub refusal: Option<String>,
    /// The latest run that there was before.
    before: Option<RunId>,
}

impl Entrance {
    /// The entrance of a published program. `zone` is where the days of `again: {after: …}` are counted.
    ///
    /// # Errors
    /// When this program cannot understand the rules.
    pub fn new(program: &Program, workflow: WorkflowId, version: VersionId, zone: &TimeZone) -> Result<Self> {
        let unusable = |reason| Error {
            doing: "prepare a workflow",
            kind: ErrorKind::Unusable { workflow: program.name.clone(), version, reason },
        };
        let admission = Admission::new(program).map_err(unusable)?;
        let triggers = Triggers::new(&program.name, &program.triggers).map_err(unusable)?;
        let concurrency = program.concurrency;
        Ok(Self { workflow, version, triggers, concurrency, admission, zone: zone.clone() })
    }

    /// What `enroll.if` says of a contact now, and why it may not enter again; nobody enters by it. The contact needs what the
    /// condition looks at, `latest` is its active or latest run.
    pub fn consider(
        &self,
        contact: &Contact,
        event: Option<&EventView>,
        latest: Option<&LatestRun>,
        now: Timestamp,
    ) -> (Option<inquiry::Verdict>, Option<String>) {
        self.admission.consider(contact, event, latest, now, &self.zone)
    }

    /// Takes a firing of this workflow one slice further, in a transaction of its own. Answers how far it has come;
    /// `None` where another process is at it right now.
    ///
    /// # Errors
    /// When the store fails; nobody of the slice has entered then.
    pub async fn advance(
        &self,
        store: &dyn Store,
        firing: FiringId,
        slice: usize,
        now: Timestamp,
    ) -> Result<Option<FiringProgress>> {
        despite!(self.try_advance(store, firing, slice, now).await)
    }

    async fn try_advance(
        &self,
        store: &dyn Store,
        firing: FiringId,
        slice: usize,
        now: Timestamp,
    ) -> Result<Option<FiringProgress>> {
        let mut tx = store.begin().await.while_doing("begin a slice of a firing")?;
        let Some(firing) = tx.firing(firing).await.while_doing("read a firing")? else { return Ok(None) };
        let progress = self.slice(tx.as_mut(), &firing, slice, now).await?;
        tx.commit().await.while_doing("commit a slice of a firing")?;
        Ok(Some(progress))
    }

    /// Looks at the next contacts of a firing.
    pub(crate) async fn slice(
        &self,
        tx: &mut dyn Transaction,
        firing: &Firing,
        limit: usize,
        now: Timestamp,
    ) -> Result<FiringProgress> {
        let mut progress = firing.progress;
        if progress.done {
            return Ok(progress);
        }
        let contacts = tx
            .contacts_after(firing.new.segment.as_deref(), progress.last, limit)
            .await
            .while_doing("read the contacts of a firing")?;
        tx.lock_contacts(&contacts).await.while_doing("lock contacts")?;
        progress.done = contacts.len() < limit;
        progress.last = contacts.last().copied().unwrap_or(progress.last);
        progress.seen += contacts.len() as u64;
        let (because, is_told) = match firing.new.cause {
            // A schedule looks at everybody each time; whom it passes over is no news.
            FiringCause::Schedule => (format!("schedule, {}", firing.new.at), false),
            FiringCause::Hand => (BY_HAND.to_owned(), true),
        };
        let candidates = contacts.into_iter().map(|contact| Candidate::plain(contact, &because));
        let answers = self.admit(tx, candidates.collect(), is_told, now).await?;
        progress.enrolled += answers.iter().filter(|answer| answer.refusal.is_none()).count() as u64;
        tx.advance_firing(firing.id, &progress).await.while_doing("advance a firing")?;
        Ok(progress)
    }

    /// Enrols those candidates (no contact twice, all locked) that the rules admit; `is_told` says whether it is recorded
    /// why the others were not.
    pub(crate) async fn admit(
        &self,
        tx: &mut dyn Transaction,
        candidates: Vec<Candidate<'_>>,
        is_told: bool,
        now: Timestamp,
    ) -> Result<Vec<Answer>> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids: Vec<_> = candidates.iter().map(|candidate| candidate.contact).collect();
        ids.sort_unstable();
        let mut needs = self.admission.needs();
        needs.merge(&self.triggers.needs());
        let arrived: Vec<_> = candidates
            .iter()
            .filter(|candidate| candidate.held.is_none())
            .filter_map(|candidate| candidate.event.and(candidate.view).map(|view| (candidate.contact, view)))
            .collect();
        let past = self.triggers.past(tx, &arrived, &self.zone).await?;
        let held = if self.concurrency == Concurrency::Queue || self.triggers.any_waits() {
            let contacts: Vec<_> = arrived.iter().map(|(contact, _)| *contact).collect();
            Held::of(tx, self.workflow, &contacts).await?
        } else {
            Held::default()
        };
        let contacts = tx.load_contacts(&ids, &needs, now).await.while_doing("load contacts")?;
        let mut contacts: BTreeMap<_, _> =
            contacts.into_iter().map(|contact| (contact.id, contact)).collect();
        let latest = self.latest(tx, &ids).await?;

        let mut door = Door {
            entrance: self,
            held: &held,
            past: &past,
            moves: Moves::new(self.workflow, self.version),
            enrolments: Vec::new(),
            refusals: Vec::new(),
            now,
        };
        let mut answers = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let Some(mut known) = contacts.remove(&candidate.contact) else {
                candidate.held.into_iter().for_each(|held| door.moves.let_go(held, false));
                continue;
            };
            known.inputs = candidate.inputs.cloned().unwrap_or_default();
            let latest = latest.get(&candidate.contact);
            let refusal = door.try_to_enter(&known, candidate, latest, is_told);
            answers.push(Answer { contact: known, refusal, before: latest.map(|run| run.run) });
        }
        let Door { moves, enrolments, refusals, .. } = door;
        tx.enroll(&enrolments, now).await.while_doing("enrol contacts")?;
        tx.refuse(&refusals, now).await.while_doing("record who was not enrolled")?;
        moves.write(tx, now).await?;
        Ok(answers)
    }

    /// The runs of those who have just been let in.
    pub(crate) async fn begun(
        &self,
        tx: &mut dyn Transaction,
        answers: &[Answer],
    ) -> Result<Vec<ClaimedRun>> {
        let before: BTreeMap<ContactId, Option<RunId>> = answers
            .iter()
            .filter(|answer| answer.refusal.is_none())
            .map(|answer| (answer.contact.id, answer.before))
            .collect();
        if before.is_empty() {
            return Ok(Vec::new());
        }
        let entered: Vec<ContactId> = before.keys().copied().collect();
        let latest = self.latest(tx, &entered).await?;
        // The store skips a twin; the latest run is then still the one before.
        let begun = latest.into_iter().filter(|(contact, run)| before.get(contact) != Some(&Some(run.run)));
        Ok(begun
            .map(|(contact, run)| ClaimedRun {
                run: run.run,
                contact,
                workflow: self.workflow,
                version: self.version,
                node: 0,
                turn: 0,
                attempts: 0,
                hops: 0,
                due: run.enrolled_at,
                waiting: None,
                parent: None,
            })
            .collect())
    }

    async fn latest(
        &self,
        tx: &mut dyn Transaction,
        contacts: &[ContactId],
    ) -> Result<BTreeMap<ContactId, LatestRun>> {
        tx.latest_runs(self.workflow, contacts).await.while_doing("read the runs that contacts had before")
    }
}

impl<'a> Candidate<'a> {
    pub(crate) fn plain(contact: ContactId, because: &str) -> Self {
        Self { contact, event: None, view: None, because: because.to_owned(), inputs: None, held: None }
    }

    /// Who comes by an event that has arrived.
    pub(crate) fn arrived(ClaimedEvent { id, contact, event }: &'a ClaimedEvent) -> Self {
        let text = |name: &str| event.properties.get(name).and_then(Value::as_str).unwrap_or_default();
        let because = match event.name.as_str() {
            DATE_REACHED => format!("date {} ({})", text("date"), text("trigger")),
            name => format!("event {name}"),
        };
        Self { contact: *contact, event: Some(*id), view: Some(event), because, inputs: None, held: None }
    }

    /// Who comes by an event that has waited.
    pub(crate) fn held(held: &'a HeldEvent) -> Self {
        let ClaimedEvent { id, contact, event } = &held.held.event;
        Self {
            contact: *contact,
            event: Some(*id),
            view: Some(event),
            because: format!("event {} of {}", event.name, event.at),
            inputs: None,
            held: Some(held),
        }
    }

    /// The event by which it comes.
    fn claimed(&self) -> Option<ClaimedEvent> {
        let (id, event) = self.event.zip(self.view)?;
        Some(ClaimedEvent { id, contact: self.contact, event: event.clone() })
    }
}

/// An entrance while contacts stand before it.
struct Door<'d> {
    entrance: &'d Entrance,
    held: &'d Held,
    past: &'d Past,
    moves: Moves,
    enrolments: Vec<Enrolment>,
    refusals: Vec<Refusal>,
    now: Timestamp,
}

impl<'d> Door<'d> {
    /// Lets a contact whose latest run is `latest` in, or answers why not.
    fn try_to_enter(
        &mut self,
        contact: &Contact,
        candidate: Candidate<'d>,
        latest: Option<&LatestRun>,
        is_told: bool,
    ) -> Option<String> {
        let candidate = match self.by_trigger(contact, candidate) {
            Ok(candidate) => candidate,
            Err(reason) => return Some(reason),
        };
        let Entrance { workflow, version, admission, concurrency, .. } = self.entrance;
        let refusal = restarted(candidate.view, latest, self.now)
            .map(NoEntry::Because)
            .or_else(|| admission.refusal(contact, candidate.view, latest, self.now, &self.entrance.zone));
        let queues = *concurrency == Concurrency::Queue && candidate.event.is_some();
        let has_turn = candidate.held.is_some_and(|held| held.held.until == Until::Turn);
        // Who comes now does not pass those who wait already.
        let is_behind = queues && !has_turn && self.held.in_line(candidate.contact) > 0;
        match refusal {
            None if !is_behind => {
                candidate.held.into_iter().for_each(|held| self.moves.let_go(held, true));
                let lane = match concurrency {
                    Concurrency::Parallel => latest.map_or(1, |run| run.run.0.saturating_add(1)),
                    Concurrency::One | Concurrency::Queue => 0,
                };
                self.enrolments.push(Enrolment {
                    workflow: *workflow,
                    version: *version,
                    contact: candidate.contact,
                    event: candidate.event,
                    lane,
                    reason: candidate.because,
                });
                None
            }
            None | Some(NoEntry::Busy) if queues => Some(self.queue(candidate)),
            None => None,
            Some(refusal) => {
                candidate.held.into_iter().for_each(|held| self.moves.let_go(held, false));
                let reason = refusal.reason();
                if is_told {
                    self.refuse(&candidate, &reason, false);
                }
                Some(reason)
            }
        }
    }

    /// What the triggers say of who comes by an event: who tries to enter now, else why nobody does.
    fn by_trigger(
        &mut self,
        contact: &Contact,
        candidate: Candidate<'d>,
    ) -> std::result::Result<Candidate<'d>, String> {
        let Some((id, view)) = candidate.event.zip(candidate.view).filter(|_| candidate.held.is_none())
        else {
            return Ok(candidate);
        };
        match self.entrance.triggers.verdict(contact, view, id, self.past, self.now) {
            Verdict::Starts => Ok(candidate),
            Verdict::Refused(reason) => {
                self.refuse(&candidate, &reason, false);
                Err(reason)
            }
            Verdict::Waits(quiet) => {
                let event = ClaimedEvent { id, contact: candidate.contact, event: view.clone() };
                let (reason, over) = self.moves.wait_for_quiet(self.held, event, quiet, &self.entrance.zone);
                self.refuse(&candidate, &reason, true);
                over.map(Candidate::held).ok_or(reason)
            }
        }
    }

    /// Lets who comes by an event wait for its turn; answers why, or why not.
    fn queue(&mut self, candidate: Candidate<'d>) -> String {
        match candidate.held {
            Some(held) if held.held.until == Until::Turn => {
                self.moves.wait_again(held);
                return NoEntry::Busy.reason();
            }
            Some(held) => self.moves.let_go(held, false),
            None => {}
        }
        let Some(event) = candidate.claimed() else { return NoEntry::Busy.reason() };
        let queued = self.moves.wait_in_line(self.held, event);
        let waits = queued.is_ok();
        let reason = queued.unwrap_or_else(|reason| reason);
        self.refuse(&candidate, &reason, waits);
        reason
    }

    fn refuse(&mut self, candidate: &Candidate<'_>, reason: &str, waits: bool) {
        self.refusals.push(Refusal {
            workflow: self.entrance.workflow,
            version: self.entrance.version,
            contact: candidate.contact,
            event: candidate.event,
            waits,
            reason: format!("{}: {reason}", candidate.because),
        });
    }
}

/// Workflows that start each other by what their steps do, all at one moment, would never come to an end.
fn restarted(event: Option<&EventView>, latest: Option<&LatestRun>, now: Timestamp) -> Option<String> {
    let by_a_step =
        event.is_some_and(|event| is_made(&event.name) && event.name != DATE_REACHED && event.at == now);
    (by_a_step && latest.is_some_and(|run| run.enrolled_at == now)).then(|| {
        "entered at this very moment already; workflows that start each other would never rest".to_owned()
    })
}
