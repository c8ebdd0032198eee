//! What happens to a contact in Dripline itself, as live events: only what a workflow waits for.

use dripline_model::{contact::CONTACT_CHANGED, id::ContactId};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{ms, watch};
use crate::{
    NewEvent,
    error::{Raw, to_json},
    sets::{EventFields, EventState, Sets},
};

/// An attribute that got another value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) contact: i64,
    pub(crate) attribute: String,
    pub(crate) from: Option<Value>,
    pub(crate) to: Option<Value>,
}

impl Change {
    fn event(&self) -> NewEvent {
        let mut properties = Map::new();
        properties.insert("field".to_owned(), Value::from(self.attribute.as_str()));
        for (name, value) in [("from", &self.from), ("to", &self.to)] {
            if let Some(value) = value {
                properties.insert(name.to_owned(), value.clone());
            }
        }
        NewEvent { contact: ContactId(self.contact), name: CONTACT_CHANGED.to_owned(), properties }
    }
}

/// Makes live events of the changes, in their order.
pub(crate) async fn announce(sets: &mut impl Sets, changes: &[Change], now: Timestamp) -> Raw<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let events: Vec<NewEvent> = changes.iter().map(Change::event).collect();
    emit(sets, &events, now).await
}

/// Makes live events, in order.
pub(crate) async fn emit(sets: &mut impl Sets, made: &[NewEvent], now: Timestamp) -> Raw<()> {
    sets.intern(made.iter().map(|event| event.name.as_str()).collect()).await?;
    let mut events = Vec::with_capacity(made.len());
    for NewEvent { contact, name, properties } in made {
        events.push(EventFields {
            key: None,
            contact: contact.0,
            name: sets.word(name)?,
            at_ms: ms(now),
            state: EventState::Pending,
            properties: Some(to_json("event's properties", properties)?),
        });
    }
    sets.insert_events(&events).await?;
    watch::made(sets, made, now).await
}
