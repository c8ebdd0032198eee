//! Contacts on their way in: a slice is compared with what is stored, and only differences are written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dripline_model::{Contact, contact::Needs, id::ContactId};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::{SqliteConnection, query, query_scalar};
use ulid::Ulid;

use super::{
    contacts,
    ingest::SqliteImport,
    rows::{Raw, RowsSql, json_ids, ms, to_json},
    writer::Writer,
};
use crate::{ContactRow, RowResult};

pub(super) const BY_EXTERNAL_ID: RowsSql = RowsSql {
    head: "WITH wanted(key) AS (VALUES",
    row: "(?)",
    tail: ") SELECT wanted.key, c.id FROM wanted CROSS JOIN contacts c ON c.external_id = wanted.key",
};

pub(super) const BY_EMAIL: RowsSql = RowsSql {
    head: "WITH wanted(key) AS (VALUES",
    row: "(?)",
    tail: ") SELECT wanted.key, c.id FROM wanted CROSS JOIN contacts c ON c.email = wanted.key",
};

const LAST_ID: &str = "SELECT coalesce(max(id), 0) FROM contacts";

/// Addresses may go round between contacts; none may stand twice while they do.
/// A row is never without both, not even between two statements; the update that follows writes the real ones.
const RELEASE_EMAILS: &str = "
UPDATE contacts SET email = NULL, external_id = coalesce(external_id, char(0) || id)
WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const UPDATE: RowsSql = RowsSql {
    head: "WITH new(id, external_id, email, attributes, created_at, updated_at) AS (VALUES",
    row: "(?, ?, ?, ?, ?, ?)",
    tail: ") UPDATE contacts SET external_id = new.external_id, email = new.email,
        attributes = jsonb(new.attributes), created_at = new.created_at, updated_at = new.updated_at
        FROM new WHERE contacts.id = new.id",
};

const INSERT: RowsSql = RowsSql {
    head: "INSERT INTO contacts (id, uid, external_id, email, attributes, created_at, updated_at) VALUES",
    row: "(?, ?, ?, ?, jsonb(?), ?, ?)",
    tail: "",
};

const PUT_CONSENTS: RowsSql = RowsSql {
    head: "INSERT INTO consents (contact_id, topic, given, at) VALUES",
    row: "(?, ?, ?, ?)",
    tail: "ON CONFLICT (contact_id, topic) DO UPDATE SET given = excluded.given, at = excluded.at",
};

pub(super) const ADD_TAGS: RowsSql =
    RowsSql { head: "INSERT OR IGNORE INTO contact_tags (contact_id, tag) VALUES", row: "(?, ?)", tail: "" };

pub(super) const ADD_ATTRIBUTE_NAMES: RowsSql =
    RowsSql { head: "INSERT OR IGNORE INTO attribute_names (name) VALUES", row: "(?)", tail: "" };

impl SqliteImport {
    pub(super) async fn upsert(&mut self, rows: &[ContactRow], now: Timestamp) -> Raw<Vec<RowResult>> {
        let mut book = Book::load(self.writer.conn(), rows).await?;
        let results = rows.iter().map(|row| book.take(row, now)).collect();
        let names: BTreeSet<&str> =
            rows.iter().flat_map(|row| row.attributes.keys().map(String::as_str)).collect();
        put_attribute_names(&mut self.writer, names).await?;
        book.write(&mut self.writer, now).await?;
        Ok(results)
    }
}

/// Remembers that contacts have attributes of these names.
pub(super) async fn put_attribute_names(writer: &mut Writer, names: BTreeSet<&str>) -> Raw<()> {
    let names = ADD_ATTRIBUTE_NAMES.over(names, |binds, name| {
        binds.add(name);
    });
    writer.put(names).await?;
    Ok(())
}

/// The contacts that a slice concerns, as they are and then as they shall be.
struct Book {
    entries: Vec<Entry>,
    by_external_id: HashMap<String, usize>,
    by_email: HashMap<String, usize>,
    last_id: i64,
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
    async fn load(conn: &mut SqliteConnection, rows: &[ContactRow]) -> Raw<Self> {
        let external_ids =
            BY_EXTERNAL_ID.over(rows.iter().filter_map(|row| row.external_id.as_deref()), |binds, key| {
                binds.add(key);
            });
        let emails = BY_EMAIL.over(rows.iter().filter_map(|row| row.email.as_deref()), |binds, key| {
            binds.add(key);
        });
        let mut found: BTreeSet<i64> = BTreeSet::new();
        found.extend(external_ids.fetch::<(String, i64)>(conn).await?.into_iter().map(|(_, id)| id));
        found.extend(emails.fetch::<(String, i64)>(conn).await?.into_iter().map(|(_, id)| id));
        let needs = Needs { all_attributes: true, tags: true, consents: true, ..Needs::default() };
        let ids: Vec<ContactId> = found.into_iter().map(ContactId).collect();
        let mut book = Self {
            entries: Vec::new(),
            by_external_id: HashMap::new(),
            by_email: HashMap::new(),
            last_id: query_scalar(LAST_ID).fetch_one(&mut *conn).await?,
        };
        for contact in contacts::load(conn, &ids, &needs).await? {
            book.add(Entry::new(contact, false));
        }
        Ok(book)
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
        let place = match self.place(row) {
            Ok(place) => place,
            Err(reason) => return RowResult::Rejected(reason),
        };
        let Some((place, entry)) = place.and_then(|place| Some((place, self.entries.get_mut(place)?))) else {
            self.last_id += 1;
            let mut contact = Contact::new(ContactId(self.last_id));
            contact.external_id.clone_from(&row.external_id);
            contact.email.clone_from(&row.email);
            contact.created_at = now;
            let mut entry = Entry::new(contact, true);
            entry.merge(row);
            self.add(entry);
            return RowResult::Inserted(ContactId(self.last_id));
        };
        let id = entry.contact.id;
        let email = entry.contact.email.clone();
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

    async fn write(&self, writer: &mut Writer, now: Timestamp) -> Raw<()> {
        let words = self.entries.iter().flat_map(|entry| entry.new_consents.keys().chain(&entry.new_tags));
        writer.intern(words.map(String::as_str).collect()).await?;
        let mut known = Vec::new();
        let mut new = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.is_changed) {
            let attributes = to_json("contact's attributes", &entry.contact.attributes)?;
            if entry.is_new { &mut new } else { &mut known }.push((entry, attributes));
        }
        let released: Vec<i64> = known
            .iter()
            .filter_map(|(entry, _)| entry.has_other_email.then_some(entry.contact.id.0))
            .collect();
        if !released.is_empty() {
            writer.run(query(RELEASE_EMAILS).bind(json_ids(released))).await?;
        }
        let update = UPDATE.over(known, |binds, (Entry { contact, .. }, attributes)| {
            binds.add(contact.id.0).add(contact.external_id.as_deref()).add(contact.email.as_deref());
            binds.add(attributes).add(ms(contact.created_at)).add(ms(now));
        });
        writer.put(update).await?;
        let insert = INSERT.over(new, |binds, (Entry { contact, .. }, attributes)| {
            binds.add(contact.id.0).add(Ulid::from_datetime(now.into()).to_bytes().to_vec());
            binds.add(contact.external_id.as_deref()).add(contact.email.as_deref());
            binds.add(attributes).add(ms(contact.created_at)).add(ms(now));
        });
        writer.put(insert).await?;
        let mut consents = Vec::new();
        let mut tags = Vec::new();
        for Entry { contact, new_consents, new_tags, .. } in &self.entries {
            for (topic, given) in new_consents {
                consents.push((contact.id.0, writer.word(topic)?, *given));
            }
            for tag in new_tags {
                tags.push((contact.id.0, writer.word(tag)?));
            }
        }
        let consents = PUT_CONSENTS.over(consents, |binds, (contact, topic, given)| {
            binds.add(contact).add(topic).add(given).add(ms(now));
        });
        writer.put(consents).await?;
        let tags = ADD_TAGS.over(tags, |binds, (contact, tag)| {
            binds.add(contact).add(tag);
        });
        writer.put(tags).await?;
        Ok(())
    }
}

impl Entry {
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
pub(super) fn set_attribute(attributes: &mut Map<String, Value>, name: &str, value: &Value) -> bool {
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
