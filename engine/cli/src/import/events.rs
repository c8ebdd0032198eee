//! Rows of events.

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
#[derive(Debug)]
pub(crate) struct Events {
    /// Whether they arrive at their own times and trigger workflows.
    pub(crate) live: bool,
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
        Ok(EventRow {
            key,
            contact: contact.ok_or("the row names no contact")?,
            name: name.ok_or("the row names no event")?,
            at: at.ok_or("the row has no time")?,
            properties,
            live: self.live,
        })
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
