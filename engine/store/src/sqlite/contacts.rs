//! Loading contacts: a statement for each part that is needed, and one row from each.
//!
//! A thousand contacts as one JSON array cost about 1 µs each to load, as rows of four columns 3 µs, as rows with
//! subqueries for the parts 4 to 20 µs.

use std::collections::BTreeMap;

use dripline_model::{Contact, clock::from_ms, contact::Needs, id::ContactId};
use serde::{
    Deserializer,
    de::{DeserializeSeed, SeqAccess, Visitor},
};
use sqlx::{SqliteConnection, query_scalar};

use super::rows::{json_ids, json_rows};
use crate::{
    error::{Raw, damaged},
    logic::{CONTACTS_AT_ONCE, attributes::SelectedAttributes, limit, scores::read_curve},
};

pub(super) const CONTACTS: &str = "
SELECT json_group_array(json_array(
    c.id, c.external_id, c.email, c.created_at, CASE WHEN ?2 THEN c.attributes END))
FROM json_each(?1) wanted CROSS JOIN contacts c ON c.id = wanted.value";

pub(super) const SCORES: &str = "
SELECT json_group_array(json_array(s.contact_id, w.word, s.value, s.curve))
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

/// The contacts with these distinct ids; one that is gone is left out.
pub(super) async fn load(conn: &mut SqliteConnection, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>> {
    let mut contacts = BTreeMap::new();
    for ids in ids.chunks(CONTACTS_AT_ONCE) {
        load_some(conn, json_ids(ids), needs, &mut contacts).await?;
    }
    Ok(contacts.into_values().collect())
}

/// Of these contacts, which are there, the parts beside their attributes.
pub(super) async fn load_parts(conn: &mut SqliteConnection, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>> {
    let mut contacts = ids.iter().map(|id| (*id, Contact::new(ContactId(*id)))).collect();
    for ids in ids.chunks(CONTACTS_AT_ONCE) {
        add_parts(conn, &json_ids(ids), needs, &mut contacts).await?;
    }
    Ok(contacts.into_values().collect())
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
    add_parts(conn, &ids, needs, contacts).await
}

async fn add_parts(
    conn: &mut SqliteConnection,
    ids: &str,
    needs: &Needs,
    contacts: &mut BTreeMap<i64, Contact>,
) -> Raw<()> {
    if needs.scores {
        type Row = (i64, String, i64, Option<String>);
        for (id, score, value, curve) in json_rows::<Row>(conn, query_scalar(SCORES).bind(ids)).await? {
            if let Some(contact) = contacts.get_mut(&id) {
                match curve {
                    Some(json) => {
                        let curve = read_curve(&json, value)?;
                        contact.scores.insert(score.clone(), curve.latest());
                        contact.fading.insert(score, curve);
                    }
                    None => _ = contact.scores.insert(score, value),
                }
            }
        }
    }
    if needs.tags {
        for (id, tag) in json_rows::<(i64, String)>(conn, query_scalar(TAGS).bind(ids)).await? {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.tags.insert(tag);
            }
        }
    }
    if needs.consents {
        for (id, topic, given) in
            json_rows::<(i64, String, i64)>(conn, query_scalar(CONSENTS).bind(ids)).await?
        {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.consents.insert(topic, given != 0);
            }
        }
    }
    if needs.segments {
        for (id, segment) in json_rows::<(i64, String)>(conn, query_scalar(SEGMENTS).bind(ids)).await? {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.segments.insert(segment);
            }
        }
    }
    if needs.owner {
        for (id, owner) in json_rows::<(i64, String)>(conn, query_scalar(OWNERS).bind(ids)).await? {
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
        contact.attributes = row.next_element_seed(SelectedAttributes(self.0))?.unwrap_or_default();
        Ok(contact)
    }
}
