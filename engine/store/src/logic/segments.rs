//! Static segments: who joins and who leaves, and the events that say so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use dripline_model::{contact::SEGMENT_JOINED, contact::SEGMENT_LEFT, id::ContactId};
use jiff::Timestamp;
use serde_json::json;

use super::ms;
use crate::{
    error::Raw,
    sets::{EventFields, EventState, Sets},
};

/// A contact that shall join or leave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) contact: ContactId,
    pub(crate) segment: &'a str,
    pub(crate) joins: bool,
}

/// Applies the changes, in order. A segment that somebody joins is made if need be. Only a real change is an event, and
/// a live one: it triggers workflows.
pub(crate) async fn change(sets: &mut impl Sets, changes: &[Change<'_>], now: Timestamp) -> Raw<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let names = |joins: bool| -> BTreeSet<&str> {
        changes.iter().filter(|change| change.joins == joins).map(|change| change.segment).collect()
    };
    let mut segments: HashMap<String, i64> = sets.segments(&names(true), true, ms(now)).await?;
    segments.extend(sets.segments(&names(false), false, ms(now)).await?);
    let contacts: BTreeSet<i64> = changes.iter().map(|change| change.contact.0).collect();
    let contacts: Vec<i64> = contacts.into_iter().collect();
    let mut members: HashSet<(i64, i64)> = sets.memberships(&contacts).await?.into_iter().collect();
    sets.intern(vec![SEGMENT_JOINED, SEGMENT_LEFT]).await?;

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
            events.push(EventFields {
                key: None,
                contact: contact.0,
                name: sets.word(if joins { SEGMENT_JOINED } else { SEGMENT_LEFT })?,
                at_ms: ms(now),
                state: EventState::Pending,
                properties: Some(json!({ "segment": segment }).to_string()),
            });
        }
    }
    let of = |joins: bool| -> Vec<(i64, i64)> {
        outcome.iter().filter(move |(_, joined)| **joined == joins).map(|(member, _)| *member).collect()
    };
    sets.join(&of(true), ms(now)).await?;
    sets.leave(&of(false)).await?;
    sets.insert_events(&events).await
}
