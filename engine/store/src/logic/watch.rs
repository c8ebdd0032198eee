//! Which changes of contacts concern segments with rules, and dates that start workflows.
//!
//! Whoever changes contacts notes them here; the engine looks at them again soon. What none of them looks at is passed over.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dripline_model::{Effect, clock::from_ms, contact::Needs, id::ContactId, segment::Segment};
use jiff::Timestamp;

use super::ms;
use crate::{
    Advance, AppliedTurn, Changed, EventRow, NewEvent, RowResult,
    error::{Raw, from_json},
    sets::Sets,
};

/// Contacts that have to be looked at, each since the first moment that was noted.
#[derive(Debug, Default)]
pub(crate) struct Noted(BTreeMap<i64, i64>);

impl Noted {
    /// Takes in a contact that was noted for `at_ms`.
    pub(crate) fn note(&mut self, contact: i64, at_ms: i64) {
        let since = self.0.entry(contact).or_insert(at_ms);
        *since = at_ms.min(*since);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// In the order of their ids.
    pub(crate) fn into_changed(self) -> Vec<Changed> {
        let changed = |(contact, since)| Changed { contact: ContactId(contact), since: from_ms(since) };
        self.0.into_iter().map(changed).collect()
    }
}

/// What all rules and date triggers together look at; none where there are none.
pub(crate) async fn watched(sets: &mut impl Sets) -> Raw<Option<Needs>> {
    let (rules, dates) = parted(sets.watched().await?);
    needs(&rules, &dates)
}

/// The definitions of rules, and what date triggers need.
pub(crate) fn parted(watched: Vec<(bool, String)>) -> (Vec<String>, Vec<String>) {
    let (rules, dates): (Vec<_>, Vec<_>) = watched.into_iter().partition(|(is_rule, _)| *is_rule);
    let json = |rows: Vec<(bool, String)>| rows.into_iter().map(|(_, json)| json).collect();
    (json(rules), json(dates))
}

/// What these rules and date triggers together look at; none where there are none.
pub(crate) fn needs(rules: &[String], dates: &[String]) -> Raw<Option<Needs>> {
    let mut watched: Option<Needs> = None;
    for definition in rules {
        let segment: Segment = from_json("segment", definition)?;
        watched.get_or_insert_default().merge(&segment.needs);
    }
    for needs in dates {
        let needs: Needs = from_json("needs of a date trigger", needs)?;
        watched.get_or_insert_default().merge(&needs);
    }
    Ok(watched)
}

/// Whom of a batch's turns an effect changed in what rules look at.
pub(crate) fn changed_by(turns: &[AppliedTurn], watched: &Needs) -> BTreeSet<i64> {
    let concerns = |effect: &Arc<Effect>| match &**effect {
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
