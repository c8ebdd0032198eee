//! Events arrive and start runs.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use dripline_model::{
    contact::EventView,
    id::{ContactId, EventId},
    program::Trigger,
};
use dripline_store::{ClaimedEvent, Enrolment, LatestRun, Refusal, Transaction};
use jiff::Timestamp;

use crate::{
    compiled::CompiledProgram,
    engine::Engine,
    error::{Result, While},
};

/// The event that the store makes when a step puts a contact into a segment.
const JOINED: &str = "segment.joined";

/// Somebody who may enter a workflow.
pub(crate) struct Candidate<'a> {
    pub(crate) contact: ContactId,
    pub(crate) event: Option<(EventId, &'a EventView)>,
    /// What brought the contact here, for people.
    pub(crate) because: String,
}

/// Events and enrolments of one slice.
pub(crate) struct Arrived {
    pub(crate) events: u64,
    pub(crate) enrolled: u64,
}

impl Engine {
    /// Lets one slice of arrived events start runs. Answers how many events there were; 0 when none had arrived.
    ///
    /// Of several events of one contact that may start a run, a slice holds the first: the next is looked at when that
    /// run has gone as far as it goes at once, whether they came in one after the other or all together.
    pub(crate) async fn run_arrivals(&self, now: Timestamp) -> Result<Arrived> {
        let mut tx = self.store.begin().await.while_doing("begin a slice of events")?;
        let mut events = tx.claim_events(now, self.options.batch_size).await.while_doing("claim events")?;
        let mut seen = HashSet::with_capacity(events.len());
        events.retain(|event| !self.listens_to(&event.event) || seen.insert(event.contact));
        let mut enrolled = 0;
        if events.is_empty() {
            return Ok(Arrived { events: 0, enrolled });
        }
        for program in self.current() {
            let candidates: Vec<_> = events
                .iter()
                .filter(|event| program.listens_to(&event.event))
                .map(|ClaimedEvent { id, contact, event }| Candidate {
                    contact: *contact,
                    event: Some((*id, event)),
                    because: format!("event {}", event.name),
                })
                .collect();
            enrolled += self.admit(tx.as_mut(), program, candidates, now).await?;
        }
        let ids: Vec<_> = events.iter().map(|event| event.id).collect();
        tx.finish_events(&ids).await.while_doing("finish events")?;
        tx.commit().await.while_doing("commit a slice of events")?;
        Ok(Arrived { events: events.len() as u64, enrolled })
    }

    fn listens_to(&self, event: &EventView) -> bool {
        self.current().iter().any(|program| program.listens_to(event))
    }

    /// Enrols those candidates (no contact twice) that the workflow admits and records why the others were not. Answers how many entered.
    pub(crate) async fn admit(
        &self,
        tx: &mut dyn Transaction,
        program: &Arc<CompiledProgram>,
        candidates: Vec<Candidate<'_>>,
        now: Timestamp,
    ) -> Result<u64> {
        if candidates.is_empty() {
            return Ok(0);
        }
        let mut ids: Vec<_> = candidates.iter().map(|candidate| candidate.contact).collect();
        ids.sort_unstable();
        let contacts =
            tx.load_contacts(&ids, &program.admission.needs()).await.while_doing("load contacts")?;
        let contacts: BTreeMap<_, _> = contacts.into_iter().map(|contact| (contact.id, contact)).collect();
        let latest = tx
            .latest_runs(program.workflow, &ids)
            .await
            .while_doing("read the runs that contacts had before")?;

        let (mut enrolments, mut refusals) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let Some(contact) = contacts.get(&candidate.contact) else { continue };
            let (event, view) = candidate.event.unzip();
            let latest = latest.get(&contact.id);
            let refusal = restarted(view, latest, now)
                .or_else(|| program.admission.refusal(contact, view, latest, now, &self.options.time_zone));
            match refusal {
                // A schedule looks at everybody each time; whom it passes over is no news.
                Some(_) if view.is_none() => {}
                Some(reason) => refusals.push(Refusal {
                    workflow: program.workflow,
                    version: program.version,
                    contact: contact.id,
                    event,
                    reason: format!("{}: {reason}", candidate.because),
                }),
                None => enrolments.push(Enrolment {
                    workflow: program.workflow,
                    version: program.version,
                    contact: contact.id,
                    event,
                    reason: candidate.because,
                }),
            }
        }
        tx.enroll(&enrolments, now).await.while_doing("enrol contacts")?;
        tx.refuse(&refusals, now).await.while_doing("record who was not enrolled")?;
        Ok(enrolments.len() as u64)
    }
}

impl CompiledProgram {
    fn listens_to(&self, event: &EventView) -> bool {
        self.triggers.iter().any(|trigger| fires(trigger, event))
    }
}

/// Workflows that start each other by what their steps do, all at one moment, would never come to an end.
fn restarted(event: Option<&EventView>, latest: Option<&LatestRun>, now: Timestamp) -> Option<String> {
    let by_a_step = event.is_some_and(|event| event.name == JOINED && event.at == now);
    (by_a_step && latest.is_some_and(|run| run.enrolled_at == now)).then(|| {
        "entered at this very moment already; workflows that start each other would never rest".to_owned()
    })
}

/// Whether the event is what the trigger waits for.
fn fires(trigger: &Trigger, event: &EventView) -> bool {
    match trigger {
        Trigger::Event(name) => *name == event.name,
        Trigger::SegmentJoined(segment) => {
            event.name == JOINED
                && event.properties.get("segment").and_then(serde_json::Value::as_str) == Some(segment)
        }
        Trigger::Schedule { .. } | Trigger::Manual => false,
    }
}
