//! Events that wait before they start a run, from their rows.

use dripline_model::{
    clock::from_ms,
    contact::EventView,
    id::{ContactId, EventId, HeldId, VersionId, WorkflowId},
};

use crate::{
    ClaimedEvent, HeldEvent, NewHeld, Until,
    error::{Raw, from_json, to_json},
};

/// Id, workflow, version, contact, whether it queues, the first of its series, when it is due, and the event: id, name,
/// time, properties.
pub(crate) type HeldRow = (i64, i64, i64, i64, i64, i64, Option<i64>, i64, String, i64, Option<String>);

/// What the rows say.
pub(crate) fn from_rows(rows: Vec<HeldRow>) -> Raw<Vec<HeldEvent>> {
    rows.into_iter().map(from_row).collect()
}

fn from_row(row: HeldRow) -> Raw<HeldEvent> {
    let (id, workflow, version, contact, queued, first, due, event, name, at, properties) = row;
    let properties = properties.map(|json| from_json("event's properties", &json)).transpose()?;
    let view = EventView { name, at: from_ms(at), properties: properties.unwrap_or_default() };
    let until = if queued != 0 {
        Until::Turn
    } else {
        Until::Quiet { first: from_ms(first), due: from_ms(due.unwrap_or(first)) }
    };
    let event = ClaimedEvent { id: EventId(event), contact: ContactId(contact), event: view };
    let (workflow, version) = (WorkflowId(workflow), VersionId(version));
    Ok(HeldEvent { id: HeldId(id), held: NewHeld { workflow, version, event, until } })
}

/// An event as a row keeps it.
#[derive(Debug)]
pub(crate) struct HeldFields<'a> {
    pub(crate) workflow: i64,
    pub(crate) version: i64,
    pub(crate) contact: i64,
    pub(crate) queued: bool,
    pub(crate) first_ms: i64,
    pub(crate) due_ms: Option<i64>,
    pub(crate) event: i64,
    pub(crate) name: &'a str,
    pub(crate) at_ms: i64,
    pub(crate) properties: Option<String>,
}

/// The rows of events to hold.
pub(crate) fn fields(events: &[NewHeld]) -> Raw<Vec<HeldFields<'_>>> {
    fn fields(new: &NewHeld) -> Raw<HeldFields<'_>> {
        let ClaimedEvent { id, contact, event } = &new.event;
        let (queued, first_ms, due_ms) = match new.until {
            Until::Quiet { first, due } => (false, super::ms(first), Some(super::ms(due))),
            Until::Turn => (true, super::ms(event.at), None),
        };
        let properties = if event.properties.is_empty() {
            None
        } else {
            Some(to_json("event's properties", &event.properties)?)
        };
        Ok(HeldFields {
            workflow: new.workflow.0,
            version: new.version.0,
            contact: contact.0,
            queued,
            first_ms,
            due_ms,
            event: id.0,
            name: &event.name,
            at_ms: super::ms(event.at),
            properties,
        })
    }
    events.iter().map(fields).collect()
}
