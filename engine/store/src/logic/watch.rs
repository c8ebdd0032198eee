//! Which changes of contacts concern segments with rules.
//!
//! Whoever changes contacts notes them here; the engine looks at them again soon. What no rule looks at is passed over.

use std::collections::BTreeSet;

use dripline_model::{Effect, contact::Needs, id::ContactId, segment::Segment};
use jiff::Timestamp;

use super::ms;
use crate::{
    Advance, AppliedTurn, EventRow, NewEvent, RowResult,
    error::{Raw, from_json},
    sets::Sets,
};

/// What all rules together look at; none where there are no rules.
pub(crate) async fn watched(sets: &mut impl Sets) -> Raw<Option<Needs>> {
    let rules = sets.rules().await?;
    needs(rules.iter().map(|(_, definition)| definition.as_str()))
}

/// What these rules together look at; none where there are no rules.
pub(crate) fn needs<'a>(definitions: impl Iterator<Item = &'a str>) -> Raw<Option<Needs>> {
    let mut watched: Option<Needs> = None;
    for definition in definitions {
        let segment: Segment = from_json("segment", definition)?;
        watched.get_or_insert_default().merge(&segment.needs);
    }
    Ok(watched)
}

/// Whom of a batch's turns an effect changed in what rules look at.
pub(crate) fn changed_by(turns: &[AppliedTurn], watched: &Needs) -> BTreeSet<i64> {
    let concerns = |effect: &Effect| match effect {
        Effect::SetField { field, .. } => watched.all_attributes || watched.attributes.contains(field),
        Effect::AddTag(_) | Effect::RemoveTag(_) => watched.tags,
        Effect::AddScore { .. } | Effect::ClearScore(_) => watched.scores,
        Effect::JoinSegment(_) | Effect::LeaveSegment(_) => watched.segments,
        Effect::AssignOwner { .. } => watched.owner,
        Effect::SendEmail(_) => false,
    };
    let turns =
        turns.iter().filter(|turn| !matches!(turn.advance, Advance::Retry { .. } | Advance::Hold { .. }));
    turns.filter(|turn| turn.effects.iter().any(concerns)).map(|turn| turn.run.contact.0).collect()
}

/// Notes the contacts of an import that are new or changed.
pub(crate) async fn contacts(sets: &mut impl Sets, results: &[RowResult], now: Timestamp) -> Raw<()> {
    let changed: BTreeSet<ContactId> = results
        .iter()
        .filter_map(|result| match result {
            RowResult::Inserted(id) | RowResult::Updated(id) => Some(*id),
            RowResult::Unchanged(_) | RowResult::Rejected(_) => None,
        })
        .collect();
    if changed.is_empty() || watched(sets).await?.is_none() {
        return Ok(());
    }
    let rows: Vec<(i64, i64)> = changed.into_iter().map(|contact| (contact.0, ms(now))).collect();
    sets.note_changed(&rows).await
}

/// Notes the contacts of imported events, each for when the event happens.
pub(crate) async fn events(
    sets: &mut impl Sets,
    rows: &[EventRow],
    results: &[RowResult],
    now: Timestamp,
) -> Raw<()> {
    if !results.iter().any(|result| matches!(result, RowResult::Inserted(_))) {
        return Ok(());
    }
    let Some(watched) = watched(sets).await? else { return Ok(()) };
    let mut changed = BTreeSet::new();
    for (row, result) in rows.iter().zip(results) {
        if let RowResult::Inserted(contact) = result
            && watched.events.contains_key(&row.name)
        {
            changed.insert((contact.0, ms(row.at.max(now))));
        }
    }
    sets.note_changed(&changed.into_iter().collect::<Vec<_>>()).await
}

/// Notes the contacts of events that Dripline itself makes now.
pub(crate) async fn made(sets: &mut impl Sets, made: &[NewEvent], now: Timestamp) -> Raw<()> {
    if made.is_empty() {
        return Ok(());
    }
    let Some(watched) = watched(sets).await? else { return Ok(()) };
    let counted = made.iter().filter(|event| watched.events.contains_key(&event.name));
    let changed: BTreeSet<i64> = counted.map(|event| event.contact.0).collect();
    let rows: Vec<(i64, i64)> = changed.into_iter().map(|contact| (contact, ms(now))).collect();
    sets.note_changed(&rows).await
}
