//! Events that a workflow has taken and that wait: until none of their kind follows (`debounce`), or until the contact's run
//! before has ended (`concurrency: queue`).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use dripline_model::{
    contact::EventView,
    id::{ContactId, HeldId, VersionId, WorkflowId},
};
use dripline_store::{AppliedTurn, ClaimedEvent, HeldEvent, NewHeld, Refusal, Transaction, Until};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    batch::Yields,
    drive::Settled,
    engine::Engine,
    entrance::Candidate,
    error::{Result, While},
    triggers::Quiet,
};

/// How many events of a contact wait for their turn in one workflow, at most.
const LONGEST_LINE: usize = 100;

/// What a workflow holds of some contacts, in the order in which it came.
#[derive(Debug, Default)]
pub(crate) struct Held(BTreeMap<ContactId, Vec<HeldEvent>>);

impl Held {
    /// Loads it.
    pub(crate) async fn of(
        tx: &mut dyn Transaction,
        workflow: WorkflowId,
        contacts: &[ContactId],
    ) -> Result<Self> {
        let mut all = BTreeMap::<ContactId, Vec<HeldEvent>>::new();
        if !contacts.is_empty() {
            for held in tx.held(workflow, contacts).await.while_doing("look for held events")? {
                all.entry(held.contact()).or_default().push(held);
            }
        }
        Ok(Self(all))
    }

    /// The series to which an event of this name belongs.
    fn series(&self, contact: ContactId, name: &str) -> Option<(&HeldEvent, Timestamp, Timestamp)> {
        self.0.get(&contact)?.iter().find_map(|held| match held.held.until {
            Until::Quiet { first, due } if held.held.event.event.name == name => Some((held, first, due)),
            _ => None,
        })
    }

    /// How many events of the contact wait for their turn.
    pub(crate) fn in_line(&self, contact: ContactId) -> usize {
        let held = self.0.get(&contact).into_iter().flatten();
        held.filter(|held| held.held.until == Until::Turn).count()
    }
}

/// What becomes of held events while contacts stand before an entrance.
#[derive(Debug)]
pub(crate) struct Moves {
    workflow: WorkflowId,
    version: VersionId,
    hold: Vec<NewHeld>,
    let_go: Vec<HeldId>,
    wait_again: Vec<HeldId>,
    next: Vec<ContactId>,
}

impl Moves {
    pub(crate) fn new(workflow: WorkflowId, version: VersionId) -> Self {
        let (hold, let_go, wait_again, next) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { workflow, version, hold, let_go, wait_again, next }
    }

    /// Lets an event wait for others of its kind. Answers why it does, and the event of a series before that has ended with
    /// what comes now.
    pub(crate) fn wait_for_quiet<'h>(
        &mut self,
        held: &'h Held,
        event: ClaimedEvent,
        quiet: Quiet,
        zone: &TimeZone,
    ) -> (String, Option<&'h HeldEvent>) {
        let at = event.event.at;
        let series = held.series(event.contact, &event.event.name);
        let (first, over, instead) = match series {
            None => (at, None, String::new()),
            Some((held, _, due)) if due <= at => (at, Some(held), String::new()),
            Some((held, first, _)) => {
                self.let_go.push(held.id);
                (first, None, format!(", instead of that of {}", held.held.event.event.at))
            }
        };
        let due = quiet.end(first, at, zone);
        self.hold.push(self.new_held(event, Until::Quiet { first, due }));
        (format!("waits until {due}, whether another follows{instead}"), over)
    }

    /// Lets an event wait for its turn, or says why not.
    pub(crate) fn wait_in_line(
        &mut self,
        held: &Held,
        event: ClaimedEvent,
    ) -> std::result::Result<String, String> {
        let before = held.in_line(event.contact);
        if before >= LONGEST_LINE {
            return Err(format!("is in the workflow already, and {LONGEST_LINE} events wait for their turn"));
        }
        self.hold.push(self.new_held(event, Until::Turn));
        Ok(match before {
            0 => "waits until the run before has ended".to_owned(),
            1 => "waits until the runs before have ended; 1 event is before it".to_owned(),
            _ => format!("waits until the runs before have ended; {before} events are before it"),
        })
    }

    /// Is done with an event, which has begun a run or never will.
    pub(crate) fn let_go(&mut self, held: &HeldEvent, has_entered: bool) {
        self.let_go.push(held.id);
        if held.held.until == Until::Turn && !has_entered {
            self.next.push(held.contact());
        }
    }

    /// Lets an event whose turn it was wait on, because a run is there again.
    pub(crate) fn wait_again(&mut self, held: &HeldEvent) {
        self.wait_again.push(held.id);
    }

    fn new_held(&self, event: ClaimedEvent, until: Until) -> NewHeld {
        NewHeld { workflow: self.workflow, version: self.version, event, until }
    }

    /// Writes it all.
    pub(crate) async fn write(self, tx: &mut dyn Transaction, now: Timestamp) -> Result<()> {
        const DOING: &str = "hold events";
        if !self.let_go.is_empty() {
            tx.let_go(&self.let_go).await.while_doing(DOING)?;
        }
        if !self.hold.is_empty() {
            tx.hold(&self.hold).await.while_doing(DOING)?;
        }
        if !self.wait_again.is_empty() {
            tx.wait_again(&self.wait_again).await.while_doing(DOING)?;
        }
        if !self.next.is_empty() {
            tx.next_in_line(self.workflow, &self.next, now).await.while_doing(DOING)?;
        }
        Ok(())
    }
}

impl Engine {
    /// Lets up to `limit` held events that wait no more start runs, and takes those as far as they go at once. Answers what
    /// was done and for how many, if any could be claimed.
    pub(crate) async fn take_held(
        &self,
        tx: &mut dyn Transaction,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<(Settled, usize)>> {
        let claimed = tx.claim_held(now, limit).await.while_doing("claim held events")?;
        let claimed = without_followers(tx, claimed, now).await?;
        if claimed.is_empty() {
            return Ok(None);
        }
        self.follow().await?;
        let published = self.published();
        let size = claimed.len();
        let mut by_workflow = BTreeMap::<WorkflowId, Vec<&HeldEvent>>::new();
        for held in &claimed {
            by_workflow.entry(held.held.workflow).or_default().push(held);
        }
        let mut begun = Vec::new();
        for (workflow, held) in by_workflow {
            let program = published.program(workflow);
            let listens = |view: &EventView| {
                program.as_ref().is_some_and(|program| program.entrance.triggers.listens_to(view))
            };
            let (heard, unheard): (Vec<&HeldEvent>, Vec<&HeldEvent>) =
                held.into_iter().partition(|held| listens(&held.held.event.event));
            forget(tx, workflow, &unheard, program.is_none(), now).await?;
            let Some(program) = &program else { continue };
            let candidates = heard.into_iter().map(Candidate::held).collect();
            let answers = program.entrance.admit(tx, candidates, true, now).await?;
            begun.extend(program.entrance.begun(tx, &answers).await?);
        }
        let mut settled = Settled { enrolled: begun.len() as u64, ..Settled::default() };
        begun.retain(|run| !published.is_paused(run.workflow));
        settled.turns = self.carry_on(tx, begun, usize::MAX, Yields::Never, now).await?;
        Ok(Some((settled, size)))
    }

    /// Where runs end behind which events wait, it is the turn of the next.
    pub(crate) async fn let_next_in(
        &self,
        tx: &mut dyn Transaction,
        applied: &[AppliedTurn],
        now: Timestamp,
    ) -> Result<()> {
        let published = self.published();
        if published.queues.is_empty() {
            return Ok(());
        }
        let mut ended = BTreeMap::<WorkflowId, Vec<ContactId>>::new();
        for turn in applied.iter().filter(|turn| turn.advance.ended().is_some() && !turn.run.is_path()) {
            if published.queues.contains(&turn.run.workflow) {
                ended.entry(turn.run.workflow).or_default().push(turn.run.contact);
            }
        }
        for (workflow, contacts) in ended {
            tx.next_in_line(workflow, &contacts, now)
                .await
                .while_doing("let the next event have its turn")?;
        }
        Ok(())
    }
}

/// Of each contact and workflow the first, and none whose series an event goes on that came in time and has not been dealt
/// with: after the engine was away, such events may stand behind.
async fn without_followers(
    tx: &mut dyn Transaction,
    mut claimed: Vec<HeldEvent>,
    now: Timestamp,
) -> Result<Vec<HeldEvent>> {
    let mut names = BTreeMap::<String, BTreeSet<ContactId>>::new();
    for held in claimed.iter().filter(|held| held.held.until != Until::Turn) {
        let contacts = names.entry(held.held.event.event.name.clone()).or_default();
        contacts.insert(held.contact());
    }
    let mut follow = BTreeMap::<(String, ContactId), Timestamp>::new();
    if !names.is_empty() && tx.arrived(now).await.while_doing("look for events")?.events {
        for (name, contacts) in names {
            let contacts: Vec<ContactId> = contacts.into_iter().collect();
            for (contact, at) in
                tx.pending_events(&contacts, &name, now).await.while_doing("look for events")?
            {
                let earliest = follow.entry((name.clone(), contact)).or_insert(at);
                *earliest = at.min(*earliest);
            }
        }
    }
    let mut seen = HashSet::new();
    claimed.retain(|held| {
        let event = &held.held.event;
        let goes_on = match held.held.until {
            Until::Quiet { due, .. } => {
                follow.get(&(event.event.name.clone(), event.contact)).is_some_and(|at| *at < due)
            }
            Until::Turn => false,
        };
        !goes_on && seen.insert((held.held.workflow, event.contact))
    });
    Ok(claimed)
}

/// Lets events go that nobody waits for any more, and says so.
async fn forget(
    tx: &mut dyn Transaction,
    workflow: WorkflowId,
    held: &[&HeldEvent],
    is_retired: bool,
    now: Timestamp,
) -> Result<()> {
    if held.is_empty() {
        return Ok(());
    }
    let why = if is_retired {
        "the workflow was retired while it waited"
    } else {
        "the workflow starts by no such event any more"
    };
    let refusals: Vec<Refusal> = held
        .iter()
        .map(|held| Refusal {
            workflow,
            version: held.held.version,
            contact: held.contact(),
            event: Some(held.event_id()),
            waits: false,
            reason: format!("event {}: {why}", held.held.event.event.name),
        })
        .collect();
    tx.refuse(&refusals, now).await.while_doing("record who was not enrolled")?;
    let ids: Vec<HeldId> = held.iter().map(|held| held.id).collect();
    tx.let_go(&ids).await.while_doing("let held events go")?;
    let next: Vec<ContactId> =
        held.iter().filter(|held| held.held.until == Until::Turn).map(|held| held.contact()).collect();
    tx.next_in_line(workflow, &next, now).await.while_doing("let the next event have its turn")
}
