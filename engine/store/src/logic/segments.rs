//! Segments: what the files say of them, who joins and who leaves, and the events that say so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use dripline_model::{
    clock::from_ms,
    contact::{SEGMENT_JOINED, SEGMENT_LEFT},
    id::ContactId,
    segment::Segment,
};
use jiff::Timestamp;
use serde_json::json;

use super::ms;
use crate::{
    Membership, NewSegment, SegmentsPublished, StoredSegment, Timer,
    answers::{Answers, SegmentFields},
    error::{Raw, from_json, to_json},
    sets::{Definition, EventFields, EventState, Sets},
};

/// A contact that shall join or leave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) contact: ContactId,
    pub(crate) segment: &'a str,
    pub(crate) joins: bool,
}

/// Who decides about a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A step: only members of static segments.
    Step,
    /// The rule of a dynamic segment.
    Rule,
}

/// Applies the changes, in order; those of segments about which somebody else decides are none. A segment that somebody joins is made if need be. Only a real change is an event, and
/// a live one: it triggers workflows.
pub(crate) async fn change(sets: &mut impl Sets, changes: &[Change<'_>], by: By, now: Timestamp) -> Raw<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let names = |joins: bool| -> BTreeSet<&str> {
        changes.iter().filter(|change| change.joins == joins).map(|change| change.segment).collect()
    };
    let mut segments: HashMap<String, i64> = sets.segments(&names(true), true, ms(now)).await?;
    segments.extend(sets.segments(&names(false), false, ms(now)).await?);
    let ruled: HashSet<i64> = sets.rules().await?.into_iter().map(|(segment, _)| segment).collect();
    segments.retain(|_, segment| ruled.contains(segment) == (by == By::Rule));
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

/// Makes the definitions those of the files.
pub(crate) async fn publish(
    sets: &mut impl Sets,
    segments: &[NewSegment<'_>],
    now: Timestamp,
) -> Raw<SegmentsPublished> {
    let mut stored: HashMap<String, (i64, String)> = sets
        .definitions()
        .await?
        .into_iter()
        .map(|(id, name, definition)| (name, (id, definition)))
        .collect();
    let names: BTreeSet<&str> = segments.iter().map(|new| new.segment.name.as_str()).collect();
    let ids = sets.segments(&names, true, ms(now)).await?;
    let mut done = SegmentsPublished::default();
    for NewSegment { segment, source } in segments {
        let Some(id) = ids.get(&segment.name).copied() else { continue };
        let json = to_json("segment", segment)?;
        let before = stored.remove(&segment.name).map(|(_, definition)| definition);
        if before.as_deref() == Some(json.as_str()) {
            continue;
        }
        let before: Option<Segment> = before.map(|json| from_json("segment", &json)).transpose()?;
        let is_new_rule = before.is_none_or(|before| before.rule != segment.rule);
        let is_dynamic = segment.rule.is_some();
        sets.put_definition(
            &Definition { segment: id, json: &json, source, is_dynamic, is_new_rule },
            ms(now),
        )
        .await?;
        done.published.push(segment.name.clone());
    }
    for (name, (id, _)) in stored {
        sets.drop_definition(id).await?;
        done.withdrawn.push(name);
    }
    done.withdrawn.sort();
    if done != SegmentsPublished::default() {
        sets.next_revision().await?;
    }
    Ok(done)
}

/// All segments, by name.
pub(crate) async fn list(answers: &mut impl Answers) -> Raw<Vec<StoredSegment>> {
    let rows = answers.segments().await?;
    rows.into_iter()
        .map(|SegmentFields { name, definition, published_at, last, done, members }| {
            Ok(StoredSegment {
                name,
                definition: definition.map(|json| from_json("segment", &json)).transpose()?,
                published_at: published_at.map(from_ms),
                evaluated_to: last.filter(|_| done == Some(false)).map(ContactId),
                members: members.unsigned_abs(),
            })
        })
        .collect()
}

/// Applies what rules say of contacts, and when to look at them again.
pub(crate) async fn settle(
    sets: &mut impl Sets,
    memberships: &[Membership<'_>],
    timers: &[Timer],
    now: Timestamp,
) -> Raw<()> {
    let changes: Vec<Change<'_>> = memberships
        .iter()
        .map(|Membership { contact, segment, joins }| Change { contact: *contact, segment, joins: *joins })
        .collect();
    change(sets, &changes, By::Rule, now).await?;
    let (mut set, mut cleared) = (Vec::new(), Vec::new());
    for timer in timers {
        match timer.due {
            Some(due) => set.push((timer.contact.0, ms(due), timer.repeats)),
            None => cleared.push(timer.contact.0),
        }
    }
    sets.put_timers(&set).await?;
    sets.clear_timers(&cleared).await
}
