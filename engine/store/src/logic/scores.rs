//! Points: given within bounds, taken back whole.
//!
//! A score's value is the sum of its entries that are not cleared. The changes of a batch are worked out here, in order,
//! on values loaded once, so that several turns of one contact add up; only the outcome is written.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use dripline_model::{Contact, id::ContactId};

use foldhash::fast::RandomState;
use jiff::Timestamp;

use super::{apply::Wanted, ms};
use crate::{
    ScoreValue,
    error::Raw,
    sets::{ScoreEntry, Sets, StepScore},
};

/// The scores of the contacts that a transaction has loaded: nobody else changes them before it ends.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<i64, BTreeMap<String, i64>, RandomState>);

impl Known {
    /// Takes in contacts that were loaded with their scores.
    pub(crate) fn take_in(&mut self, contacts: &[Contact]) {
        self.0.extend(contacts.iter().map(|contact| (contact.id.0, contact.scores.clone())));
    }

    fn follow(&mut self, changed: &[ScoreValue]) {
        for ScoreValue { contact, score, value } in changed {
            if let Some(scores) = self.0.get_mut(&contact.0) {
                scores.insert(score.to_string(), *value);
            }
        }
    }
}

/// What a turn does to a score.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// Gives points.
    Add { score: &'a str, points: i64, because: &'a str, min: Option<i64>, max: Option<i64> },
    /// Takes back what the same step of the same workflow gave before.
    Clear { score: &'a str },
}

/// A step's part in a contact's score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Part {
    contact: i64,
    of: StepScore,
}

/// The scores that a batch changes.
#[derive(Debug, Default)]
struct Ledger {
    /// By contact and score.
    values: HashMap<(i64, i64), i64, RandomState>,
    /// Stored entries that stand: id and points.
    standing: HashMap<Part, Vec<(i64, i64)>, RandomState>,
    /// Contact and id.
    cleared: Vec<(i64, i64)>,
    entries: Vec<ScoreEntry>,
    /// Positions in `entries` of those that stand.
    new: HashMap<Part, Vec<usize>, RandomState>,
    /// In the order of the table.
    changed: BTreeSet<(i64, i64)>,
}

impl Ledger {
    /// The values that changed.
    fn changed(&self, names: &BTreeMap<i64, Arc<str>>) -> Vec<ScoreValue> {
        let changed = self.changed.iter().filter_map(|key| {
            let value = self.values.get(key).copied().unwrap_or_default();
            let score = Arc::clone(names.get(&key.1)?);
            Some(ScoreValue { contact: ContactId(key.0), score, value })
        });
        changed.collect()
    }

    fn clear(&mut self, part: Part) {
        let mut points = 0_i64;
        for (id, given) in self.standing.remove(&part).unwrap_or_default() {
            self.cleared.push((part.contact, id));
            points = points.saturating_add(given);
        }
        for position in self.new.remove(&part).unwrap_or_default() {
            if let Some(entry) = self.entries.get_mut(position) {
                entry.is_cleared = true;
                points = points.saturating_add(entry.points);
            }
        }
        if points != 0 {
            let value = self.values.entry((part.contact, part.of.score)).or_default();
            *value = value.saturating_sub(points);
            self.changed.insert((part.contact, part.of.score));
        }
    }

    /// The entry holds what was really added; where the bounds left nothing to add there is none.
    fn add(&mut self, mut entry: ScoreEntry, min: Option<i64>, max: Option<i64>) {
        let key = (entry.contact, entry.of.score);
        let value = self.values.entry(key).or_default();
        let bounded =
            value.saturating_add(entry.points).min(max.unwrap_or(i64::MAX)).max(min.unwrap_or(i64::MIN));
        entry.points = bounded.saturating_sub(*value);
        entry.total = bounded;
        if entry.points == 0 {
            return;
        }
        *value = bounded;
        self.changed.insert(key);
        self.new.entry(Part { contact: entry.contact, of: entry.of }).or_default().push(self.entries.len());
        self.entries.push(entry);
    }
}

/// Applies the changes, in order.
pub(crate) async fn change(
    sets: &mut impl Sets,
    known: &mut Known,
    changes: &[Wanted<'_, Change<'_>>],
    now: Timestamp,
) -> Raw<Vec<ScoreValue>> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let places: BTreeSet<_> =
        changes.iter().map(|change| (change.turn.run.version, change.turn.run.node)).collect();
    let mut steps = BTreeMap::new();
    for (version, node) in places {
        steps.insert((version, node), sets.version(version).await?.step(node.into()));
    }
    let words = changes.iter().flat_map(|change| match change.what {
        Change::Add { score, because, .. } => [score, because],
        Change::Clear { score } => [score, score],
    });
    let scored: BTreeSet<&str> = changes
        .iter()
        .filter_map(|change| known.0.get(&change.turn.run.contact.0))
        .flat_map(|scores| scores.keys().map(String::as_str))
        .collect();
    sets.intern(words.chain(steps.values().map(String::as_str)).chain(scored).collect()).await?;

    let mut parts = Vec::with_capacity(changes.len());
    let (mut contacts, mut cleared) = (BTreeSet::new(), BTreeSet::new());
    for change in changes {
        let run = &change.turn.run;
        let (Change::Add { score, .. } | Change::Clear { score }) = change.what;
        let step = steps.get(&(run.version, run.node)).map_or("", String::as_str);
        let of = StepScore { score: sets.word(score)?, workflow: run.workflow.0, step: sets.word(step)? };
        contacts.insert(run.contact.0);
        if matches!(change.what, Change::Clear { .. }) {
            cleared.insert(of);
        }
        parts.push(Part { contact: run.contact.0, of });
    }
    let contacts: Vec<i64> = contacts.into_iter().collect();

    let mut ledger = Ledger::default();
    let mut unknown = Vec::new();
    for contact in &contacts {
        let Some(scores) = known.0.get(contact) else {
            unknown.push(*contact);
            continue;
        };
        for (score, value) in scores {
            ledger.values.insert((*contact, sets.word(score)?), *value);
        }
    }
    if !unknown.is_empty() {
        let values = sets.scores(&unknown).await?;
        ledger.values.extend(values.into_iter().map(|(contact, score, value)| ((contact, score), value)));
    }
    // A batch is the turns of one step, so there is one round as a rule.
    for of in cleared {
        // Who never had the score has no entries either; in a first campaign that is nearly everybody.
        let scored: Vec<i64> = contacts
            .iter()
            .copied()
            .filter(|contact| ledger.values.contains_key(&(*contact, of.score)))
            .collect();
        if scored.is_empty() {
            continue;
        }
        for (id, contact, points) in sets.standing_entries(&scored, of).await? {
            ledger.standing.entry(Part { contact, of }).or_default().push((id, points));
        }
    }

    for (change, part) in changes.iter().zip(parts) {
        match change.what {
            Change::Clear { .. } => ledger.clear(part),
            Change::Add { points, because, min, max, .. } => {
                let entry = ScoreEntry {
                    contact: part.contact,
                    of: part.of,
                    points,
                    total: 0,
                    because: sets.word(because)?,
                    run: change.turn.run.run.0,
                    turn: change.turn.run.turn,
                    is_cleared: false,
                };
                ledger.add(entry, min, max);
            }
        }
    }
    let mut names: BTreeMap<i64, Arc<str>> = BTreeMap::new();
    for change in changes {
        let (Change::Add { score, .. } | Change::Clear { score }) = change.what;
        names.entry(sets.word(score)?).or_insert_with(|| score.into());
    }
    let changed = ledger.changed(&names);
    known.follow(&changed);
    write(sets, ledger, now).await?;
    Ok(changed)
}

async fn write(sets: &mut impl Sets, ledger: Ledger, now: Timestamp) -> Raw<()> {
    let Ledger { values, cleared, entries, changed, .. } = ledger;
    sets.clear_entries(&cleared, ms(now)).await?;
    let values: Vec<_> = changed
        .into_iter()
        .map(|key| (key.0, key.1, values.get(&key).copied().unwrap_or_default()))
        .collect();
    sets.put_scores(&values).await?;
    sets.insert_entries(&entries, ms(now)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: StepScore = StepScore { score: 1, workflow: 1, step: 1 };

    fn entry(points: i64) -> ScoreEntry {
        ScoreEntry { contact: 1, of: OF, points, total: 0, because: 1, run: 1, turn: 0, is_cleared: false }
    }

    #[test]
    fn the_value_is_the_sum_of_the_entries_that_stand_whatever_the_bounds() {
        let mut ledger = Ledger::default();
        ledger.add(entry(80), Some(0), Some(100));
        ledger.add(entry(80), Some(0), Some(100));
        ledger.add(entry(10), Some(0), Some(100));
        assert_eq!(ledger.values[&(1, 1)], 100);
        assert_eq!(ledger.entries.iter().map(|entry| entry.points).collect::<Vec<_>>(), [80, 20]);
        ledger.clear(Part { contact: 1, of: OF });
        assert_eq!(ledger.values[&(1, 1)], 0);
    }

    #[test]
    fn bounds_that_contradict_each_other_and_huge_points_do_no_harm() {
        let mut ledger = Ledger::default();
        ledger.add(entry(i64::MAX), None, None);
        ledger.add(entry(i64::MAX), None, None);
        assert_eq!(ledger.values[&(1, 1)], i64::MAX);
        ledger.add(entry(1), Some(10), Some(5));
        assert_eq!(ledger.values[&(1, 1)], 10);
    }
}
