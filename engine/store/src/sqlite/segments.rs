//! Static segments: who joins and who leaves, and the events that say so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use dripline_model::id::ContactId;
use jiff::Timestamp;
use serde_json::json;
use sqlx::query_scalar;

use super::{
    import_events::{EventState, NewEvent, insert_events},
    rows::{Raw, RowsSql, json_ids, json_rows, ms},
    writer::Writer,
};

/// The event of a contact that became a member; its property `segment` is the segment's name.
pub(super) const JOINED: &str = "segment.joined";
/// The event of a contact that ceased to be a member.
pub(super) const LEFT: &str = "segment.left";

const CREATE: RowsSql =
    RowsSql { head: "INSERT OR IGNORE INTO segments (name, created_at) VALUES", row: "(?, ?)", tail: "" };

pub(super) const FIND: RowsSql = RowsSql {
    head: "WITH wanted(name) AS (VALUES",
    row: "(?)",
    tail: ") SELECT s.name, s.id FROM wanted CROSS JOIN segments s ON s.name = wanted.name",
};

pub(super) const MEMBERS: &str = "
SELECT json_group_array(json_array(m.contact_id, m.segment_id))
FROM json_each(?1) wanted CROSS JOIN segment_members m ON m.contact_id = wanted.value";

const JOIN: RowsSql = RowsSql {
    head: "INSERT OR IGNORE INTO segment_members (contact_id, segment_id, joined_at) VALUES",
    row: "(?, ?, ?)",
    tail: "",
};

pub(super) const LEAVE: RowsSql = RowsSql {
    head: "DELETE FROM segment_members WHERE (contact_id, segment_id) IN (VALUES",
    row: "(?, ?)",
    tail: ")",
};

/// A contact that shall join or leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) contact: ContactId,
    pub(super) segment: &'a str,
    pub(super) joins: bool,
}

/// Applies the changes, in order. A segment that somebody joins is made if need be. Only a real change is an event, and
/// a live one: it triggers workflows.
pub(super) async fn change(writer: &mut Writer, changes: &[Change<'_>], now: Timestamp) -> Raw<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let joined: BTreeSet<&str> =
        changes.iter().filter(|change| change.joins).map(|change| change.segment).collect();
    let create = CREATE.over(joined, |binds, name| {
        binds.add(name).add(ms(now));
    });
    writer.put(create).await?;
    let names: BTreeSet<&str> = changes.iter().map(|change| change.segment).collect();
    let find = FIND.over(names, |binds, name| {
        binds.add(name);
    });
    let segments: HashMap<String, i64> =
        find.fetch::<(String, i64)>(writer.conn()).await?.into_iter().collect();
    let contacts: BTreeSet<i64> = changes.iter().map(|change| change.contact.0).collect();
    let members = query_scalar(MEMBERS).bind(json_ids(contacts));
    let mut members: HashSet<(i64, i64)> = json_rows(writer.conn(), members).await?.into_iter().collect();

    // The last word on each membership that changed, and an event for every change on the way there.
    let mut outcome = BTreeMap::new();
    let mut events = Vec::new();
    for Change { contact, segment, joins } in changes.iter().copied() {
        // Nobody is in a segment that does not exist.
        let Some(id) = segments.get(segment).copied() else { continue };
        let member = (contact.0, id);
        let is_change = if joins { members.insert(member) } else { members.remove(&member) };
        if is_change {
            outcome.insert(member, joins);
            events.push(NewEvent {
                key: None,
                contact,
                name: if joins { JOINED } else { LEFT },
                at_ms: ms(now),
                state: EventState::Pending,
                properties: Some(json!({ "segment": segment }).to_string()),
            });
        }
    }
    let of =
        |joins: bool| outcome.iter().filter(move |(_, joined)| **joined == joins).map(|(member, _)| *member);
    let join = JOIN.over(of(true), |binds, (contact, segment)| {
        binds.add(contact).add(segment).add(ms(now));
    });
    let leave = LEAVE.over(of(false), |binds, (contact, segment)| {
        binds.add(contact).add(segment);
    });
    writer.put(join).await?;
    writer.put(leave).await?;
    insert_events(writer, events).await
}
