//! Rows of events.

use std::cell::RefCell;

use dripline_store::{EventRow, Import, RowResult};
use jiff::Timestamp;
use serde_json::Map;

use super::{
    Entity,
    mapping::{Column, Fields, Meaning},
};

/// An event's fields beside its properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventField {
    /// External id or address of the contact.
    Contact,
    /// The event's name.
    Name,
    /// When it happened.
    At,
    /// The caller's key.
    Key,
}

impl Fields for EventField {
    const ROW: &'static str = "event";
    const KEY: &'static str = "the event id";
    const REPEATED: &'static str = "the first one counts";
    const VALUES: &'static str = "event.properties";
    const RESERVED: &'static [&'static str] = &[];

    fn recognise(header: &str) -> Option<(Self, u8)> {
        Some(match header {
            "contact" => (Self::Contact, 0),
            "external_id" => (Self::Contact, 1),
            "email" => (Self::Contact, 2),
            "event" => (Self::Name, 0),
            "name" => (Self::Name, 1),
            "at" => (Self::At, 0),
            "time" => (Self::At, 1),
            "timestamp" => (Self::At, 2),
            "event_id" => (Self::Key, 0),
            "id" => (Self::Key, 1),
            _ => return None,
        })
    }

    fn named(target: &str) -> Option<Self> {
        Some(match target {
            "contact" => Self::Contact,
            "event" => Self::Name,
            "at" => Self::At,
            "event_id" => Self::Key,
            _ => return None,
        })
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn describe(&self) -> String {
        match self {
            Self::Contact => "contact",
            Self::Name => "event",
            Self::At => "at",
            Self::Key => "event_id",
        }
        .into()
    }

    fn missing(present: &[Self]) -> Option<(&'static str, &'static [&'static str])> {
        [
            (Self::Contact, "identifies the contact", &["contact", "external_id", "email"][..]),
            (Self::Name, "names the event", &["event", "name"]),
            (Self::At, "says when it happened", &["at", "time", "timestamp"]),
        ]
        .into_iter()
        .find(|(field, ..)| !present.contains(field))
        .map(|(_, what, targets)| (what, targets))
    }
}

/// Events as what a file holds.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// From when on they arrive at their own times and trigger workflows; without it all are history.
    pub(crate) live_from: Option<Timestamp>,
    /// Contact, name and time of those that arrive, where somebody wants to know.
    pub(crate) arriving: Option<RefCell<Vec<(String, String, Timestamp)>>>,
}

impl Events {
    /// History, or events that all arrive.
    pub(crate) fn all(live: bool) -> Self {
        Self { live_from: live.then_some(Timestamp::MIN), arriving: None }
    }
}

impl Entity for Events {
    type Field = EventField;
    type Row = EventRow;

    fn row(&self, columns: &[Column<EventField>], cells: &[&str]) -> Result<EventRow, String> {
        let (mut key, mut contact, mut name, mut at, mut properties) = (None, None, None, None, Map::new());
        for (column, cell) in columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            match &column.meaning {
                Meaning::Ignored => {}
                Meaning::Field(EventField::Contact) => contact = Some((*cell).to_owned()),
                Meaning::Field(EventField::Name) => name = Some((*cell).to_owned()),
                Meaning::Field(EventField::At) => at = Some(column.time(cell)?),
                Meaning::Field(EventField::Key) => key = Some((*cell).to_owned()),
                Meaning::Value { name, value_type, .. } => {
                    properties.insert(name.clone(), column.value(*value_type, cell)?);
                }
            }
        }
        let at = at.ok_or("the row has no time")?;
        let row = EventRow {
            key,
            contact: contact.ok_or("the row names no contact")?,
            name: name.ok_or("the row names no event")?,
            at,
            properties,
            live: self.live_from.is_some_and(|from| at >= from),
        };
        if let Some(arriving) = self.arriving.as_ref().filter(|_| row.live) {
            arriving.borrow_mut().push((row.contact.clone(), row.name.clone(), at));
        }
        Ok(row)
    }

    fn key(row: &EventRow) -> Option<&str> {
        row.key.as_deref()
    }

    async fn put(
        import: &mut dyn Import,
        rows: &[EventRow],
        now: Timestamp,
    ) -> dripline_store::Result<Vec<RowResult>> {
        import.insert_events(rows, now).await
    }
}
