//! Loading contacts: a statement for each part that is needed.

use std::collections::BTreeMap;

use dripline_model::{Contact, clock::from_ms, contact::Needs, id::ContactId};
use serde::de::DeserializeSeed as _;
use sqlx::{PgConnection, query_as};

use crate::{
    error::{Raw, damaged},
    logic::{CONTACTS_AT_ONCE, attributes::SelectedAttributes, scores::read_curve},
};

pub(super) const CONTACTS: &str = "
SELECT c.id, c.external_id, c.email, c.created_at, CASE WHEN $2 THEN c.attributes::text END
FROM unnest($1::int8[]) AS wanted(id) JOIN contacts c ON c.id = wanted.id";

pub(super) const SCORES: &str = "
SELECT s.contact_id, w.word, s.value, s.curve
FROM unnest($1::int8[]) AS wanted(id) JOIN contact_scores s ON s.contact_id = wanted.id
JOIN words w ON w.id = s.score";

pub(super) const TAGS: &str = "
SELECT t.contact_id, w.word
FROM unnest($1::int8[]) AS wanted(id) JOIN contact_tags t ON t.contact_id = wanted.id
JOIN words w ON w.id = t.tag";

pub(super) const CONSENTS: &str = "
SELECT n.contact_id, w.word, n.given
FROM unnest($1::int8[]) AS wanted(id) JOIN consents n ON n.contact_id = wanted.id
JOIN words w ON w.id = n.topic";

pub(super) const SEGMENTS: &str = "
SELECT m.contact_id, g.name
FROM unnest($1::int8[]) AS wanted(id) JOIN segment_members m ON m.contact_id = wanted.id
JOIN segments g ON g.id = m.segment_id";

pub(super) const OWNERS: &str = "
SELECT o.contact_id, r.key
FROM unnest($1::int8[]) AS wanted(id) JOIN owners o ON o.contact_id = wanted.id
JOIN representatives r ON r.id = o.rep_id";

/// The contacts with these distinct ids; one that is gone is left out.
pub(super) async fn load(conn: &mut PgConnection, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>> {
    let mut contacts = BTreeMap::new();
    for ids in ids.chunks(CONTACTS_AT_ONCE) {
        load_some(conn, ids, needs, &mut contacts).await?;
    }
    Ok(contacts.into_values().collect())
}

/// Of these contacts, which are there, the parts beside their attributes.
pub(super) async fn load_parts(conn: &mut PgConnection, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>> {
    let mut contacts = ids.iter().map(|id| (*id, Contact::new(ContactId(*id)))).collect();
    add_parts(conn, ids, needs, &mut contacts).await?;
    Ok(contacts.into_values().collect())
}

async fn load_some(
    conn: &mut PgConnection,
    ids: &[i64],
    needs: &Needs,
    contacts: &mut BTreeMap<i64, Contact>,
) -> Raw<()> {
    type Base = (i64, Option<String>, Option<String>, i64, Option<String>);
    let rows: Vec<Base> =
        query_as(CONTACTS).bind(ids).bind(needs.any_attribute()).fetch_all(&mut *conn).await?;
    for (id, external_id, email, created_at, attributes) in rows {
        let mut contact = Contact::new(ContactId(id));
        contact.external_id = external_id;
        contact.email = email;
        contact.created_at = from_ms(created_at);
        if let Some(json) = attributes {
            let attributes =
                SelectedAttributes(needs).deserialize(&mut serde_json::Deserializer::from_str(&json));
            contact.attributes = attributes.map_err(|error| damaged("contact's attributes", error))?;
        }
        contacts.insert(id, contact);
    }
    add_parts(conn, ids, needs, contacts).await
}

async fn add_parts(
    conn: &mut PgConnection,
    ids: &[i64],
    needs: &Needs,
    contacts: &mut BTreeMap<i64, Contact>,
) -> Raw<()> {
    if needs.scores {
        type Row = (i64, String, i64, Option<String>);
        let rows: Vec<Row> = query_as(SCORES).bind(ids).fetch_all(&mut *conn).await?;
        for (id, score, value, curve) in rows {
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
        let rows: Vec<(i64, String)> = query_as(TAGS).bind(ids).fetch_all(&mut *conn).await?;
        for (id, tag) in rows {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.tags.insert(tag);
            }
        }
    }
    if needs.consents {
        let rows: Vec<(i64, String, bool)> = query_as(CONSENTS).bind(ids).fetch_all(&mut *conn).await?;
        for (id, topic, given) in rows {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.consents.insert(topic, given);
            }
        }
    }
    if needs.segments {
        let rows: Vec<(i64, String)> = query_as(SEGMENTS).bind(ids).fetch_all(&mut *conn).await?;
        for (id, segment) in rows {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.segments.insert(segment);
            }
        }
    }
    if needs.owner {
        let rows: Vec<(i64, String)> = query_as(OWNERS).bind(ids).fetch_all(conn).await?;
        for (id, owner) in rows {
            if let Some(contact) = contacts.get_mut(&id) {
                contact.owner = Some(owner);
            }
        }
    }
    Ok(())
}
