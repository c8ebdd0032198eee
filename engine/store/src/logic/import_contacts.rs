//! Contacts on their way in: a slice is compared with what is stored, and only differences are written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dripline_model::{Contact, contact::Needs, id::ContactId};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    changes::{self, Change},
    ms,
    nul::{has_nul, nul, nul_in},
};
use crate::{
    ContactRow, RowResult,
    error::{Raw, to_json},
    sets::{ContactFields, Sets},
};

/// Inserts or updates a slice of contacts; answers what became of each row.
pub(crate) async fn upsert(sets: &mut impl Sets, rows: &[ContactRow], now: Timestamp) -> Raw<Vec<RowResult>> {
    let mut book = Book::load(sets, rows).await?;
    book.watched = sets.watched_attributes().await?;
    let mut results: Vec<RowResult> = rows.iter().map(|row| book.take(row, now)).collect();
    book.name_new(sets, &mut results).await?;
    let attributes = rows.iter().flat_map(|row| &row.attributes);
    sets.add_attribute_types(super::attributes::types(attributes)).await?;
    book.write(sets, now).await?;
    let changed = results.iter().filter_map(|result| match result {
        RowResult::Updated(id) => Some(*id),
        _ => None,
    });
    super::wake(sets, changed, now).await?;
    changes::announce(sets, &book.changes, now).await?;
    Ok(results)
}

/// The contacts that a slice concerns, as they are and then as they shall be.
struct Book {
    entries: Vec<Entry>,
    by_external_id: HashMap<String, usize>,
    by_email: HashMap<String, usize>,
    /// The attributes whose changes start workflows.
    watched: BTreeSet<String>,
    /// Those that got other values. What a new contact brings with it is no change.
    changes: Vec<Change>,
    /// New contacts so far; until the store gives them ids, theirs are -1, -2, …
    new: i64,
}

struct Entry {
    contact: Contact,
    is_new: bool,
    /// Whether the contact's own row has to be written.
    is_changed: bool,
    has_other_email: bool,
    new_tags: BTreeSet<String>,
    new_consents: BTreeMap<String, bool>,
}

impl Entry {
    fn new(contact: Contact, is_new: bool) -> Self {
        Self {
            contact,
            is_new,
            is_changed: is_new,
            has_other_email: false,
            new_tags: BTreeSet::new(),
            new_consents: BTreeMap::new(),
        }
    }
}

impl Book {
    async fn load(sets: &mut impl Sets, rows: &[ContactRow]) -> Raw<Self> {
        let keys: Vec<&str> = rows.iter().filter_map(|row| row.external_id.as_deref()).collect();
        let emails: Vec<&str> = rows.iter().filter_map(|row| row.email.as_deref()).collect();
        let mut found: BTreeSet<i64> = BTreeSet::new();
        found.extend(sets.contacts_by_external_id(&keys).await?.into_iter().map(|(_, id)| id));
        found.extend(sets.contacts_by_email(&emails).await?.into_iter().map(|(_, id)| id));
        let needs = Needs { all_attributes: true, tags: true, consents: true, ..Needs::default() };
        let ids: Vec<i64> = found.into_iter().collect();
        let mut book = Self {
            entries: Vec::new(),
            by_external_id: HashMap::new(),
            by_email: HashMap::new(),
            watched: BTreeSet::new(),
            changes: Vec::new(),
            new: 0,
        };
        for contact in sets.contacts(&ids, &needs).await? {
            book.add(Entry::new(contact, false));
        }
        Ok(book)
    }

    /// Gives new contacts their ids.
    async fn name_new(&mut self, sets: &mut impl Sets, results: &mut [RowResult]) -> Raw<()> {
        let ids = sets.contact_ids(usize::try_from(self.new).unwrap_or_default()).await?;
        let real = |id: ContactId| {
            let place = usize::try_from(-1 - id.0).ok();
            place.and_then(|place| ids.get(place)).map_or(id, |id| ContactId(*id))
        };
        for entry in self.entries.iter_mut().filter(|entry| entry.is_new) {
            entry.contact.id = real(entry.contact.id);
        }
        for result in results {
            if let RowResult::Inserted(id) | RowResult::Updated(id) | RowResult::Unchanged(id) = result {
                *id = real(*id);
            }
        }
        Ok(())
    }

    fn add(&mut self, entry: Entry) -> usize {
        let place = self.entries.len();
        if let Some(key) = &entry.contact.external_id {
            self.by_external_id.insert(key.clone(), place);
        }
        if let Some(email) = &entry.contact.email {
            self.by_email.insert(email.clone(), place);
        }
        self.entries.push(entry);
        place
    }

    /// Finds whom a row means. A contact that was known by its address alone is also meant by a row that brings the
    /// same address and a new external id.
    fn place(&self, row: &ContactRow) -> Result<Option<usize>, String> {
        let by_email = row.email.as_deref().and_then(|email| self.by_email.get(email)).copied();
        let Some(key) = &row.external_id else {
            return match row.email {
                Some(_) => Ok(by_email),
                None => Err("has neither an external id nor an email address".into()),
            };
        };
        let by_key = self.by_external_id.get(key).copied();
        match (by_email.and_then(|place| self.entries.get(place)), &row.email) {
            (Some(other), Some(email)) if by_email != by_key => match &other.contact.external_id {
                None if by_key.is_none() => Ok(by_email),
                Some(owner) => Err(format!("email {email} already belongs to contact {owner}")),
                None => Err(format!("email {email} already belongs to contact {}", other.contact.id)),
            },
            _ => Ok(by_key),
        }
    }

    /// Takes a row over; answers what became of it.
    fn take(&mut self, row: &ContactRow, now: Timestamp) -> RowResult {
        if let Some(reason) = nul_in_contact(row) {
            return RowResult::Rejected(reason);
        }
        let place = match self.place(row) {
            Ok(place) => place,
            Err(reason) => return RowResult::Rejected(reason),
        };
        let Some((place, entry)) = place.and_then(|place| Some((place, self.entries.get_mut(place)?))) else {
            self.new += 1;
            let id = ContactId(-self.new);
            let mut contact = Contact::new(id);
            contact.external_id.clone_from(&row.external_id);
            contact.email.clone_from(&row.email);
            contact.created_at = now;
            let mut entry = Entry::new(contact, true);
            entry.merge(row);
            self.add(entry);
            return RowResult::Inserted(id);
        };
        let id = entry.contact.id;
        let email = entry.contact.email.clone();
        if !entry.is_new {
            self.changes.extend(entry.changes(row, &self.watched));
        }
        if !entry.merge(row) {
            return RowResult::Unchanged(id);
        }
        if email != entry.contact.email {
            email.map(|email| self.by_email.remove(&email));
            self.by_email.extend(entry.contact.email.clone().map(|email| (email, place)));
        }
        self.by_external_id.extend(entry.contact.external_id.clone().map(|key| (key, place)));
        RowResult::Updated(id)
    }

    async fn write(&self, sets: &mut impl Sets, now: Timestamp) -> Raw<()> {
        let words = self.entries.iter().flat_map(|entry| entry.new_consents.keys().chain(&entry.new_tags));
        sets.intern(words.map(String::as_str).collect()).await?;
        let (mut known, mut new, mut released) = (Vec::new(), Vec::new(), Vec::new());
        for entry in self.entries.iter().filter(|entry| entry.is_changed) {
            let contact = &entry.contact;
            if entry.has_other_email && !entry.is_new {
                released.push(contact.id.0);
            }
            if entry.is_new { &mut new } else { &mut known }.push(ContactFields {
                id: contact.id.0,
                external_id: contact.external_id.as_deref(),
                email: contact.email.as_deref(),
                attributes: to_json("contact's attributes", &contact.attributes)?,
                created_ms: ms(contact.created_at),
            });
        }
        // Addresses may go round between contacts; none may stand twice while they do.
        sets.release_emails(&released).await?;
        sets.update_contacts(&known, ms(now)).await?;
        sets.insert_contacts(&new, ms(now)).await?;
        let (mut consents, mut tags) = (Vec::new(), Vec::new());
        for Entry { contact, new_consents, new_tags, .. } in &self.entries {
            for (topic, given) in new_consents {
                consents.push((contact.id.0, sets.word(topic)?, *given));
            }
            for tag in new_tags {
                tags.push((contact.id.0, sets.word(tag)?));
            }
        }
        sets.put_consents(&consents, ms(now)).await?;
        sets.add_tags(&tags).await
    }
}

/// Which field of a row has a NUL, which not every database keeps.
fn nul_in_contact(row: &ContactRow) -> Option<String> {
    let ids = [("external id", &row.external_id), ("email", &row.email)];
    let id = ids.into_iter().find(|(_, id)| id.as_deref().is_some_and(has_nul)).map(|(what, _)| what);
    let names = row.consents.keys().chain(&row.tags).any(|name| has_nul(name)).then_some("tag or topic");
    id.or(names).map(nul).or_else(|| nul_in(&row.attributes))
}

impl Entry {
    /// Which of the watched attributes get other values by the row.
    fn changes(&self, row: &ContactRow, watched: &BTreeSet<String>) -> Vec<Change> {
        let attributes = &self.contact.attributes;
        let watched = row.attributes.iter().filter(|(name, _)| watched.contains(*name));
        let changes = watched.map(|(name, value)| Change {
            contact: self.contact.id.0,
            attribute: name.clone(),
            from: attributes.get(name).cloned(),
            to: Some(value.clone()).filter(|value| !value.is_null()),
        });
        changes.filter(|change| change.from != change.to).collect()
    }

    /// Takes over what the row says; answers whether that is anything new.
    fn merge(&mut self, row: &ContactRow) -> bool {
        let contact = &mut self.contact;
        let mut is_changed = false;
        if contact.external_id.is_none() && row.external_id.is_some() {
            contact.external_id.clone_from(&row.external_id);
            is_changed = true;
        }
        if row.email.is_some() && row.email != contact.email {
            contact.email.clone_from(&row.email);
            self.has_other_email = true;
            is_changed = true;
        }
        if let Some(created_at) = row.created_at
            && ms(created_at) != ms(contact.created_at)
        {
            contact.created_at = created_at;
            is_changed = true;
        }
        for (name, value) in &row.attributes {
            is_changed |= set_attribute(&mut contact.attributes, name, value);
        }
        self.is_changed |= is_changed;
        for (topic, given) in &row.consents {
            if contact.consents.insert(topic.clone(), *given) != Some(*given) {
                self.new_consents.insert(topic.clone(), *given);
                is_changed = true;
            }
        }
        for tag in &row.tags {
            if contact.tags.insert(tag.clone()) {
                self.new_tags.insert(tag.clone());
                is_changed = true;
            }
        }
        is_changed
    }
}

/// Sets an attribute, or removes it where the value is null; answers whether that changed anything.
pub(crate) fn set_attribute(attributes: &mut Map<String, Value>, name: &str, value: &Value) -> bool {
    if value.is_null() {
        return attributes.shift_remove(name).is_some();
    }
    match attributes.get_mut(name) {
        Some(old) if old == value => return false,
        Some(old) => *old = value.clone(),
        None => drop(attributes.insert(name.to_owned(), value.clone())),
    }
    true
}
