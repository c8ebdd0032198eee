//! Events on their way in.

use std::collections::{HashMap, HashSet};

use dripline_model::id::ContactId;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    ms,
    nul::{has_nul, nul, nul_in},
};
use crate::{
    EventRow, RowResult,
    error::{Raw, to_json},
    sets::{EventFields, EventState, Sets},
};

/// The contacts that events named so far, by what they were named by; none where there is no such contact.
#[derive(Debug, Default)]
pub(crate) struct Named(HashMap<String, Option<ContactId>>);

/// Properties as JSON; none where there are none.
fn properties(properties: &Map<String, Value>) -> Raw<Option<String>> {
    if properties.is_empty() { Ok(None) } else { to_json("event's properties", properties).map(Some) }
}

/// Inserts a slice of events; answers what became of each.
pub(crate) async fn insert(
    sets: &mut impl Sets,
    named: &mut Named,
    rows: &[EventRow],
    now: Timestamp,
) -> Raw<Vec<RowResult>> {
    named.find(sets, rows).await?;
    let keys: Vec<&str> = rows.iter().filter_map(|row| row.key.as_deref()).collect();
    let known: HashSet<String> = sets.known_event_keys(&keys).await?.into_iter().collect();
    sets.intern(rows.iter().map(|row| row.name.as_str()).collect()).await?;
    let mut taken: HashSet<&str> = known.iter().map(String::as_str).collect();
    let mut results = Vec::with_capacity(rows.len());
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(reason) = nul_in_event(row) {
            results.push(RowResult::Rejected(reason));
            continue;
        }
        let Some(contact) = named.0.get(&row.contact).copied().flatten() else {
            results.push(RowResult::Rejected(format!("there is no contact {}", row.contact)));
            continue;
        };
        if row.key.as_deref().is_some_and(|key| !taken.insert(key)) {
            results.push(RowResult::Unchanged(contact));
            continue;
        }
        events.push(EventFields {
            key: row.key.as_deref(),
            contact: contact.0,
            name: sets.word(&row.name)?,
            at_ms: ms(row.at),
            state: if row.live { EventState::Pending } else { EventState::History },
            properties: properties(&row.properties)?,
        });
        results.push(RowResult::Inserted(contact));
    }
    sets.insert_events(&events).await?;
    // A live event wakes when it arrives; history may be what a condition counts.
    let history = events.iter().filter(|event| event.state == EventState::History);
    super::wake(sets, history.map(|event| ContactId(event.contact)), now).await?;
    Ok(results)
}

/// Which field of a row has a NUL, which not every database keeps.
fn nul_in_event(row: &EventRow) -> Option<String> {
    let texts = [("contact", Some(&row.contact)), ("name", Some(&row.name)), ("key", row.key.as_ref())];
    let text = texts.into_iter().find(|(_, text)| text.is_some_and(|text| has_nul(text)));
    text.map(|(what, _)| nul(what)).or_else(|| nul_in(&row.properties))
}

impl Named {
    /// Forgets what is known: what was not there may be there now, and addresses may have moved.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Finds the contacts that rows name, by external id and else by address.
    async fn find(&mut self, sets: &mut impl Sets, rows: &[EventRow]) -> Raw<()> {
        let mut names: Vec<&str> = rows.iter().map(|row| row.contact.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !self.0.contains_key(*name));
        let found: HashMap<String, i64> = sets.contacts_by_external_id(&names).await?.into_iter().collect();
        names.retain(|name| !found.contains_key(*name));
        let emails: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let emails: Vec<&str> = emails.iter().map(String::as_str).collect();
        let by_email: HashMap<String, i64> = sets.contacts_by_email(&emails).await?.into_iter().collect();
        for (name, email) in names.into_iter().zip(emails) {
            self.0.insert(name.to_owned(), by_email.get(email).copied().map(ContactId));
        }
        self.0.extend(found.into_iter().map(|(name, id)| (name, Some(ContactId(id)))));
        Ok(())
    }
}
