//! Loading contacts: a statement for each part that is needed, and one row from each.
//!
//! A thousand contacts as one JSON array cost about 1 µs each to load, as rows of four columns 3 µs, as rows with
//! subqueries for the parts 4 to 20 µs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dripline_model::{Contact, clock::from_ms, contact::Needs, id::ContactId};
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use sqlx::{SqliteConnection, query_scalar};

use super::rows::{Raw, damaged, json_ids, json_rows, limit};

pub(super) const CONTACTS: &str = "
SELECT json_group_array(json_array(
    c.id, c.external_id, c.email, c.created_at, CASE WHEN ?2 THEN c.attributes END))
FROM json_each(?1) wanted CROSS JOIN contacts c ON c.id = wanted.value";

pub(super) const SCORES: &str = "
SELECT json_group_array(json_array(s.contact_id, w.word, s.value))
FROM json_each(?1) wanted CROSS JOIN contact_scores s ON s.contact_id = wanted.value
CROSS JOIN words w ON w.id = s.score";

pub(super) const TAGS: &str = "
SELECT json_group_array(json_array(t.contact_id, w.word))
FROM json_each(?1) wanted CROSS JOIN contact_tags t ON t.contact_id = wanted.value
CROSS JOIN words w ON w.id = t.tag";

pub(super) const CONSENTS: &str = "
SELECT json_group_array(json_array(n.contact_id, w.word, n.given))
FROM json_each(?1) wanted CROSS JOIN consents n ON n.contact_id = wanted.value
CROSS JOIN words w ON w.id = n.topic";

pub(super) const SEGMENTS: &str = "
SELECT json_group_array(json_array(m.contact_id, g.name))
FROM json_each(?1) wanted CROSS JOIN segment_members m ON m.contact_id = wanted.value
CROSS JOIN segments g ON g.id = m.segment_id";

pub(super) const OWNERS: &str = "
SELECT json_group_array(json_array(o.contact_id, r.key))
FROM json_each(?1) wanted CROSS JOIN owners o ON o.contact_id = wanted.value
CROSS JOIN representatives r ON r.id = o.rep_id";

const AFTER: &str = "
SELECT json_group_array(id) FROM (SELECT id FROM contacts WHERE id > ?1 ORDER BY id LIMIT ?2)";

/// How many contacts are loaded as one row.
const AT_ONCE: usize = 1000;

/// Everything that there is to know.
pub(super) fn everything() -> Needs {
    Needs {
        attributes: BTreeSet::new(),
        all_attributes: true,
        scores: true,
        tags: true,
        consents: true,
        segments: true,
        owner: true,
    }
}

/// The contacts in the order of `ids`, as often as they stand there; one that is gone is left out.
pub(super) async fn load(conn: &mut SqliteConnection, ids: &[ContactId], needs: &Needs) -> Raw<Vec<Contact>> {
    // In their own order, which is that of their pages, and each once.
    let distinct: Vec<i64> = ids.iter().map(|id| id.0).collect::<BTreeSet<_>>().into_iter().collect();
    let mut contacts = BTreeMap::new();
    for ids in distinct.chunks(AT_ONCE) {
        load_some(conn, json_ids(ids.iter().copied()), needs, &mut contacts).await?;
    }
    if ids.len() == distinct.len() {
        return Ok(ids.iter().filter_map(|id| contacts.remove(&id.0)).collect());
    }
    Ok(ids.iter().filter_map(|id| contacts.get(&id.0).cloned()).collect())
}

async fn load_some(
    conn: &mut SqliteConnection,
    ids: String,
    needs: &Needs,
    contacts: &mut BTreeMap<i64, Contact>,
) -> Raw<()> {
    let base: String =
        query_scalar(CONTACTS).bind(&ids).bind(needs.any_attribute()).fetch_one(&mut *conn).await?;
    let loaded = ContactList(needs).deserialize(&mut serde_json::Deserializer::from_str(&base));
    let loaded = loaded.map_err(|error| damaged("contact", error))?;
    contacts.extend(loaded.into_iter().map(|contact| (contact.id.0, contact)));
    if needs.scores {
        for (id, score, value) in
            json_rows::<(i64, String, i64)>(conn, query_scalar(SCORES).bind(&ids)).await?
        {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.scores.insert(score, value);
            }
        }
    }
    if needs.tags {
        for (id, tag) in json_rows::<(i64, String)>(conn, query_scalar(TAGS).bind(&ids)).await? {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.tags.insert(tag);
            }
        }
    }
    if needs.consents {
        for (id, topic, given) in
            json_rows::<(i64, String, i64)>(conn, query_scalar(CONSENTS).bind(&ids)).await?
        {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.consents.insert(topic, given != 0);
            }
        }
    }
    if needs.segments {
        for (id, segment) in json_rows::<(i64, String)>(conn, query_scalar(SEGMENTS).bind(&ids)).await? {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.segments.insert(segment);
            }
        }
    }
    if needs.owner {
        for (id, owner) in json_rows::<(i64, String)>(conn, query_scalar(OWNERS).bind(&ids)).await? {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.owner = Some(owner);
            }
        }
    }
    Ok(())
}

/// Up to `count` ids above `after`, in their order.
pub(super) async fn after(
    conn: &mut SqliteConnection,
    after: ContactId,
    count: usize,
) -> Raw<Vec<ContactId>> {
    json_rows(conn, query_scalar(AFTER).bind(after.0).bind(limit(count))).await
}

/// Contacts by id, each once.
pub(super) fn by_id(contacts: Vec<Contact>) -> HashMap<ContactId, Contact> {
    contacts.into_iter().map(|contact| (contact.id, contact)).collect()
}

/// Reads what [`CONTACTS`] answers.
struct ContactList<'a>(&'a Needs);

impl<'de> DeserializeSeed<'de> for ContactList<'_> {
    type Value = Vec<Contact>;

    fn deserialize<D: Deserializer<'de>>(self, list: D) -> Result<Self::Value, D::Error> {
        list.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ContactList<'_> {
    type Value = Vec<Contact>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("contacts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut contacts = Vec::new();
        while let Some(contact) = list.next_element_seed(OneContact(self.0))? {
            contacts.push(contact);
        }
        Ok(contacts)
    }
}

/// Reads one row of [`CONTACTS`].
struct OneContact<'a>(&'a Needs);

impl<'de> DeserializeSeed<'de> for OneContact<'_> {
    type Value = Contact;

    fn deserialize<D: Deserializer<'de>>(self, row: D) -> Result<Contact, D::Error> {
        row.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OneContact<'_> {
    type Value = Contact;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a contact's id, external id, address, time and attributes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<Contact, A::Error> {
        let mut contact = Contact::new(ContactId(row.next_element()?.unwrap_or_default()));
        contact.external_id = row.next_element()?.flatten();
        contact.email = row.next_element()?.flatten();
        contact.created_at = from_ms(row.next_element()?.unwrap_or_default());
        contact.attributes = row.next_element_seed(Selection(self.0))?.unwrap_or_default();
        Ok(contact)
    }
}

/// Reads the attributes that are needed. To skip the others here is cheaper than a JSON path for each in SQL, and no
/// name is odd.
struct Selection<'a>(&'a Needs);

impl<'de> DeserializeSeed<'de> for Selection<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, attributes: D) -> Result<Self::Value, D::Error> {
        attributes.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Selection<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("attributes")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Map::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let mut attributes = Map::new();
        while let Some(wanted) = all.next_key_seed(Wanted(self.0))? {
            match wanted {
                Some(name) => drop(attributes.insert(name, all.next_value()?)),
                None => drop(all.next_value::<IgnoredAny>()?),
            }
        }
        Ok(attributes)
    }
}

/// Reads a name, if it is needed.
struct Wanted<'a>(&'a Needs);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Wanted<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let is_wanted = self.0.all_attributes || self.0.attributes.contains(name);
        Ok(is_wanted.then(|| name.to_owned()))
    }
}
