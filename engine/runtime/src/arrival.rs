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
use dripline_store::{ClaimedEvent, Enrolment, Refusal, Transaction};
use jiff::Timestamp;

use crate::{
    compiled::CompiledProgram,
    engine::Engine,
    error::{Result, While},
};

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
    /// A slice holds no contact twice: of several events of one contact the next is looked at when the run that the one
    /// before started has gone as far as it goes at once, whether they came in one after the other or all together.
    pub(crate) async fn run_arrivals(&self, now: Timestamp) -> Result<Arrived> {
        let mut tx = self.store.begin().await.while_doing("begin a slice of events")?;
        let mut events = tx.claim_events(now, self.options.batch_size).await.while_doing("claim events")?;
        let mut seen = HashSet::with_capacity(events.len());
        events.retain(|event| seen.insert(event.contact));
        let mut enrolled = 0;
        if events.is_empty() {
            return Ok(Arrived { events: 0, enrolled });
        }
        for program in self.current() {
            let candidates: Vec<_> = events
                .iter()
                .filter(|event| program.triggers.iter().any(|trigger| fires(trigger, &event.event)))
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
            match program.admission.refusal(contact, view, latest, now, &self.options.time_zone) {
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

/// Whether the event is what the trigger waits for.
fn fires(trigger: &Trigger, event: &EventView) -> bool {
    match trigger {
        Trigger::Event(name) => *name == event.name,
        Trigger::SegmentJoined(segment) => {
            event.name == "segment.joined"
                && event.properties.get("segment").and_then(serde_json::Value::as_str) == Some(segment)
        }
        Trigger::Schedule { .. } | Trigger::Manual => false,
    }
}
