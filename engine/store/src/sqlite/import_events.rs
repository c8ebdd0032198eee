//! Events on their way in.

use std::collections::{HashMap, HashSet};

use dripline_model::id::ContactId;
use serde_json::{Map, Value};

use super::{
    import_contacts::{BY_EMAIL, BY_EXTERNAL_ID},
    ingest::SqliteImport,
    rows::{Raw, RowsSql, ms, to_json},
    writer::Writer,
};
use crate::{EventRow, RowResult};

pub(super) const KNOWN_KEYS: RowsSql = RowsSql {
    head: "WITH wanted(key) AS (VALUES",
    row: "(?)",
    tail: ") SELECT e.key FROM wanted CROSS JOIN events e ON e.key = wanted.key",
};

const INSERT: RowsSql = RowsSql {
    head: "INSERT INTO events (key, contact_id, name, at, state, properties) VALUES",
    row: "(?, ?, ?, ?, ?, jsonb(?))",
    tail: "",
};

/// Where an event stands, as its `state`.
#[derive(Debug, Clone, Copy)]
pub(super) enum EventState {
    /// Triggers nothing.
    History = 0,
    /// Arrives at its time and then triggers workflows.
    Pending = 1,
}

/// An event to insert.
#[derive(Debug)]
pub(super) struct NewEvent<'a> {
    pub(super) key: Option<&'a str>,
    pub(super) contact: ContactId,
    pub(super) name: &'a str,
    pub(super) at_ms: i64,
    pub(super) state: EventState,
    /// JSON; none where there are no properties.
    pub(super) properties: Option<String>,
}

/// Inserts events whose keys are new.
pub(super) async fn insert_events(writer: &mut Writer, events: Vec<NewEvent<'_>>) -> Raw<()> {
    writer.intern(events.iter().map(|event| event.name).collect()).await?;
    let mut rows = Vec::with_capacity(events.len());
    for event in events {
        rows.push((writer.word(event.name)?, event));
    }
    let insert = INSERT.over(rows, |binds, (name, event)| {
        binds.add(event.key).add(event.contact.0).add(name).add(event.at_ms);
        binds.add(event.state as i64).add(event.properties);
    });
    writer.put(insert).await?;
    Ok(())
}

/// Properties as JSON; none where there are none.
pub(super) fn properties(properties: &Map<String, Value>) -> Raw<Option<String>> {
    if properties.is_empty() { Ok(None) } else { to_json("event's properties", properties).map(Some) }
}

impl SqliteImport {
    pub(super) async fn insert(&mut self, rows: &[EventRow]) -> Raw<Vec<RowResult>> {
        self.find_contacts(rows).await?;
        let keys = KNOWN_KEYS.over(rows.iter().filter_map(|row| row.key.as_deref()), |binds, key| {
            binds.add(key);
        });
        let known: Vec<(String,)> = keys.fetch(self.writer.conn()).await?;
        let known: HashSet<String> = known.into_iter().map(|(key,)| key).collect();
        let mut taken: HashSet<&str> = known.iter().map(String::as_str).collect();
        let mut results = Vec::with_capacity(rows.len());
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(contact) = self.named.get(&row.contact).copied().flatten() else {
                results.push(RowResult::Rejected(format!("there is no contact {}", row.contact)));
                continue;
            };
            if row.key.as_deref().is_some_and(|key| !taken.insert(key)) {
                results.push(RowResult::Unchanged(contact));
                continue;
            }
            events.push(NewEvent {
                key: row.key.as_deref(),
                contact,
                name: &row.name,
                at_ms: ms(row.at),
                state: if row.live { EventState::Pending } else { EventState::History },
                properties: properties(&row.properties)?,
            });
            results.push(RowResult::Inserted(contact));
        }
        insert_events(&mut self.writer, events).await?;
        Ok(results)
    }

    /// Finds the contacts that rows name, by external id and else by address.
    async fn find_contacts(&mut self, rows: &[EventRow]) -> Raw<()> {
        let mut names: Vec<&str> = rows.iter().map(|row| row.contact.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !self.named.contains_key(*name));
        let by_key = BY_EXTERNAL_ID.over(&names, |binds, name| {
            binds.add(*name);
        });
        let mut found: HashMap<String, i64> =
            by_key.fetch::<(String, i64)>(self.writer.conn()).await?.into_iter().collect();
        names.retain(|name| !found.contains_key(*name));
        let by_email = BY_EMAIL.over(&names, |binds, name| {
            binds.add(name.to_lowercase());
        });
        let by_email: HashMap<String, i64> =
            by_email.fetch::<(String, i64)>(self.writer.conn()).await?.into_iter().collect();
        for name in names {
            let id = by_email.get(&name.to_lowercase()).copied();
            self.named.insert(name.to_owned(), id.map(ContactId));
        }
        self.named.extend(found.drain().map(|(name, id)| (name, Some(ContactId(id)))));
        Ok(())
    }
}
