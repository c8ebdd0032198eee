//! Driving the clock: from one moment to the next, with what contacts do in between.

use std::collections::BTreeMap;

use dripline_delivery::Rehearsed;
use dripline_model::id::{ContactId, MessageId};
use dripline_runtime::{Answer, Entrance, Settled};
use dripline_store::{ContactRow, EventRow, FiringCause, NewFiring, RowResult, StoredProgram};
use dripline_workflow::behaviour::Behaviour;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{
    error::{Error, ErrorKind, Result, While},
    reactions::{GivenEvent, Reaction, Reactions},
    stage::Stage,
};

/// How far time goes on where something is due that cannot be done.
pub(crate) const STUCK: SignedDuration = SignedDuration::from_mins(1);

/// What a simulation is told.
#[derive(Debug, Clone)]
pub struct Plan {
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// Nothing is looked at more often than that: what falls due within a tick is done at its end. Zero takes every moment
    /// for itself.
    pub tick: SignedDuration,
    /// The seed of what is left to chance.
    pub seed: u64,
    /// What contacts do.
    pub behaviour: Behaviour,
    /// What the names of contacts in the behaviour mean: their external ids.
    pub names: BTreeMap<String, String>,
    /// Events that are in the store and still to arrive, for rules about events.
    pub events: Vec<GivenEvent>,
    /// Workflows that are offered to everybody at the start.
    pub enroll_all: Vec<String>,
    /// Contacts that are enrolled by hand.
    pub enrolments: Vec<Enrolment>,
}

/// A contact that is enrolled by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Who.
    pub contact: ContactId,
    /// In which workflow.
    pub workflow: String,
    /// When.
    pub at: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Played {
    /// Every mail, in the order of sending.
    pub mails: Vec<Mail>,
    /// What the engine did.
    pub settled: Settled,
    /// Events that followed from the behaviour.
    pub reactions: u64,
}

/// A mail that would have been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// The message in the simulation's store.
    #[serde(skip)]
    pub id: MessageId,
    /// The contact in the simulation's store.
    #[serde(skip)]
    pub contact: ContactId,
    /// The receiver's address.
    pub to: String,
    /// The workflow's name.
    pub workflow: String,
    /// The step's id.
    pub step: String,
    /// The template.
    pub template: String,
    /// The subject.
    pub subject: String,
    /// When.
    pub at: Timestamp,
    /// Why it could not have been sent.
    pub failure: Option<String>,
    /// When it was opened.
    pub opened: Option<Timestamp>,
    /// When it was clicked.
    pub clicked: Option<Timestamp>,
    /// When it was answered.
    pub replied: Option<Timestamp>,
    /// When its receiver unsubscribed.
    pub unsubscribed: Option<Timestamp>,
}

/// How far a simulation has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The clock.
    pub now: Timestamp,
    /// Turns so far.
    pub turns: u64,
    /// Mails so far.
    pub mails: u64,
}

/// What people do at a moment.
enum Act {
    Withdraw(ContactRow),
    Enroll { contact: ContactId, workflow: String },
}

impl Stage {
    /// Plays from the plan's beginning to its end, and calls `observe` after each moment.
    ///
    /// # Errors
    /// When the store or the engine fails, or the plan names a workflow that is not published.
    pub async fn play(&self, plan: &Plan, mut observe: impl FnMut(Progress)) -> Result<Played> {
        let mut reactions = Reactions::new(&plan.behaviour, plan.names.clone(), plan.seed, plan.until)?;
        let mut played = Played::default();
        let mut acts: BTreeMap<Timestamp, Vec<Act>> = BTreeMap::new();
        for Enrolment { contact, workflow, at } in &plan.enrolments {
            let act = Act::Enroll { contact: *contact, workflow: workflow.clone() };
            acts.entry(*at).or_default().push(act);
        }
        let following: Vec<EventRow> =
            plan.events.iter().flat_map(|given| reactions.after_event(given)).collect();
        played.reactions += self.insert(&following, plan.from).await?;
        for workflow in &plan.enroll_all {
            self.offer_to_all(workflow, plan.from).await?;
        }

        let mut now = plan.from;
        let mut is_stuck = false;
        loop {
            let upcoming = self.engine.upcoming(now).await.while_doing("ask what is due next")?;
            let act = acts.first_key_value().map(|(at, _)| *at);
            let Some(next) = [upcoming, act].into_iter().flatten().min() else { break };
            let next =
                if is_stuck { now.saturating_add(STUCK).unwrap_or(plan.until).max(next) } else { next };
            if next > plan.until {
                break;
            }
            now = now.max(end_of_tick(next, plan.tick)).min(plan.until);
            self.clock.advance_to(now);
            let did_act = self.act(&mut acts, now).await?;
            let moment = self.engine.settle_moment(now).await.while_doing("run what is due")?;
            played.settled.events += moment.settled.events;
            played.settled.enrolled += moment.settled.enrolled;
            played.settled.turns += moment.settled.turns;
            let mails = self.rehearsal.take();
            is_stuck = !did_act && mails.is_empty() && moment.settled == Settled::default() && next <= now;
            let mut following = Vec::new();
            for mail in mails {
                let mut reaction =
                    if mail.failure.is_none() { reactions.after_mail(&mail) } else { Reaction::default() };
                following.append(&mut reaction.events);
                if let Some((at, row)) = reaction.withdrawal.take() {
                    acts.entry(at).or_default().push(Act::Withdraw(row));
                }
                played.mails.push(Mail::new(mail, &reaction));
            }
            played.reactions += self.insert(&following, now).await?;
            observe(Progress { now, turns: played.settled.turns, mails: played.mails.len() as u64 });
        }
        self.clock.advance_to(plan.until);
        Ok(played)
    }

    /// Does what people do up to now; answers whether there was anything.
    async fn act(&self, acts: &mut BTreeMap<Timestamp, Vec<Act>>, now: Timestamp) -> Result<bool> {
        let mut did = false;
        while let Some(entry) = acts.first_entry().filter(|entry| *entry.key() <= now) {
            let at = *entry.key();
            let mut rows = Vec::new();
            for act in entry.remove() {
                match act {
                    Act::Withdraw(row) => rows.push(row),
                    Act::Enroll { contact, workflow } => {
                        self.enroll(&[contact], &workflow, now).await?;
                    }
                }
            }
            if !rows.is_empty() {
                const DOING: &str = "record that contacts unsubscribed";
                let mut import = self.store.begin_import().await.while_doing(DOING)?;
                import.upsert_contacts(&rows, at).await.while_doing(DOING)?;
                import.commit().await.while_doing(DOING)?;
            }
            did = true;
        }
        Ok(did)
    }

    /// Puts events in that follow from the behaviour; answers how many were taken.
    async fn insert(&self, events: &[EventRow], now: Timestamp) -> Result<u64> {
        const DOING: &str = "let contacts react";
        if events.is_empty() {
            return Ok(0);
        }
        let mut import = self.store.begin_import().await.while_doing(DOING)?;
        let results = import.insert_events(events, now).await.while_doing(DOING)?;
        import.commit().await.while_doing(DOING)?;
        Ok(results.iter().filter(|result| matches!(result, RowResult::Inserted(_))).count() as u64)
    }

    /// Enrols contacts, none twice, by hand.
    pub(crate) async fn enroll(
        &self,
        contacts: &[ContactId],
        workflow: &str,
        now: Timestamp,
    ) -> Result<Vec<Answer>> {
        const DOING: &str = "enrol a contact";
        let stored = self.published(workflow).await?;
        let entrance = Entrance::new(&stored.program, stored.workflow, stored.version, &self.zone);
        let entrance = entrance.while_doing(DOING)?;
        let answers = entrance.enroll_by_hand(self.store.as_ref(), contacts, None, now).await;
        answers.while_doing(DOING)
    }

    async fn offer_to_all(&self, workflow: &str, now: Timestamp) -> Result<()> {
        let workflow = self.published(workflow).await?.workflow;
        let new = NewFiring { workflow, cause: FiringCause::Hand, at: now, segment: None };
        self.store.begin_firing(&new).await.while_doing("offer a workflow to everybody").map(drop)
    }

    async fn published(&self, workflow: &str) -> Result<StoredProgram> {
        const DOING: &str = "read the workflows";
        let programs = self.store.current_programs().await.while_doing(DOING)?;
        let found = programs.into_iter().find(|stored| stored.program.name == workflow);
        found.ok_or_else(|| Error { doing: DOING, kind: ErrorKind::NoWorkflow(workflow.to_owned()) })
    }
}

impl Mail {
    fn new(Rehearsed { message, at, failure }: Rehearsed, reaction: &Reaction) -> Self {
        Self {
            id: message.id,
            contact: message.contact.id,
            to: message.to,
            workflow: message.workflow,
            step: message.step,
            template: message.template,
            subject: message.subject,
            at,
            failure,
            opened: reaction.opened,
            clicked: reaction.clicked,
            replied: reaction.replied,
            unsubscribed: reaction.unsubscribed,
        }
    }
}

/// The end of the tick in which `at` lies; ticks are counted from the epoch, so that they end with the hours of all zones
/// if they divide a quarter of an hour.
fn end_of_tick(at: Timestamp, tick: SignedDuration) -> Timestamp {
    let tick = i64::try_from(tick.as_millis()).unwrap_or(0);
    if tick <= 0 {
        return at;
    }
    let over = at.as_millisecond().rem_euclid(tick);
    if over == 0 {
        return at;
    }
    at.saturating_add(SignedDuration::from_millis(tick - over)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_moves_to_the_end_of_its_tick() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let tick = SignedDuration::from_mins(15);
        assert_eq!(end_of_tick(at("2024-01-01T09:00:00Z"), tick), at("2024-01-01T09:00:00Z"));
        assert_eq!(end_of_tick(at("2024-01-01T09:00:01Z"), tick), at("2024-01-01T09:15:00Z"));
        assert_eq!(end_of_tick(at("2024-01-01T09:00:01Z"), SignedDuration::ZERO), at("2024-01-01T09:00:01Z"));
    }
}
