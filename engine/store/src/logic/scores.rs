//! Points: given within bounds, taken back whole, and fading where the score is declared so.
//!
//! The value of a score that does not fade is the sum of its entries that are not cleared. Of one that fades, it follows
//! from a [`Curve`], which is stored beside that sum. The changes of a batch are worked out here, in order, on values
//! loaded once, so that several turns of one contact add up; only the outcome is written.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use dripline_model::{
    Contact,
    id::ContactId,
    score::{Curve, Law},
};
use foldhash::fast::RandomState;
use jiff::Timestamp;

use super::{apply::Wanted, ms};
use crate::{
    HeldBy, ScoreValue,
    error::{Raw, from_json, to_json},
    sets::{CurveRow, Gift, Hold, ScoreEntry, Sets, StepScore},
};

/// The scores of the contacts that a transaction has loaded: nobody else changes them before it ends.
#[derive(Debug, Default)]
pub(crate) struct Known {
    values: HashMap<i64, BTreeMap<String, i64>, RandomState>,
    /// Of those that fade.
    curves: HashMap<i64, BTreeMap<String, Curve>, RandomState>,
}

impl Known {
    /// Takes in contacts that were loaded with their scores.
    pub(crate) fn take_in(&mut self, contacts: &[Contact]) {
        self.values.extend(contacts.iter().map(|contact| (contact.id.0, contact.scores.clone())));
        for contact in contacts {
            if !contact.fading.is_empty() {
                self.curves.insert(contact.id.0, contact.fading.clone());
            } else if !self.curves.is_empty() {
                self.curves.remove(&contact.id.0);
            }
        }
    }

    fn follow(&mut self, changed: &[ScoreValue]) {
        for ScoreValue { contact, score, value, curve } in changed {
            let Some(scores) = self.values.get_mut(&contact.0) else { continue };
            scores.insert(score.to_string(), *value);
            match curve {
                Some(curve) => {
                    self.curves.entry(contact.0).or_default().insert(score.to_string(), curve.clone());
                }
                None => {
                    if let Some(curves) = self.curves.get_mut(&contact.0) {
                        curves.remove(&**score);
                    }
                }
            }
        }
    }
}

/// What a turn does to a score.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// Gives points.
    Add { score: &'a str, points: i64, because: &'a str, bounds: Bounds },
    /// Takes back what the same step of the same workflow gave before.
    Clear { score: &'a str },
}

impl<'a> Change<'a> {
    fn score(self) -> &'a str {
        let (Self::Add { score, .. } | Self::Clear { score }) = self;
        score
    }
}

/// Within what a score is kept, and how much of it may come from one reason at one step.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    pub(crate) min: Option<i64>,
    pub(crate) max: Option<i64>,
    pub(crate) at_most: Option<i64>,
}

/// A step's part in a contact's score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Part {
    contact: i64,
    of: StepScore,
}

/// What is declared of a score that a batch changes.
#[derive(Debug, Clone, Copy, Default)]
struct Declared {
    min: Option<i64>,
    max: Option<i64>,
    law: Option<Law>,
}

/// The scores that a batch changes.
#[derive(Debug, Default)]
struct Ledger {
    now_ms: i64,
    /// By score; empty where none of them is declared.
    declared: BTreeMap<i64, Declared>,
    /// By contact and score.
    values: HashMap<(i64, i64), i64, RandomState>,
    /// Of those that fade.
    curves: HashMap<(i64, i64), Curve, RandomState>,
    /// Those that faded and do not any more: their rows still say so.
    was_fading: BTreeSet<(i64, i64)>,
    /// Stored entries that stand.
    standing: HashMap<Part, Vec<Gift>, RandomState>,
    /// Contact and id.
    cleared: Vec<(i64, i64)>,
    entries: Vec<ScoreEntry>,
    /// Positions in `entries` of those that stand.
    new: HashMap<Part, Vec<usize>, RandomState>,
    /// In the order of the table.
    changed: BTreeSet<(i64, i64)>,
    holds: Vec<Hold>,
}

impl Ledger {
    /// The values that changed.
    fn changed(&self, names: &BTreeMap<i64, Arc<str>>) -> Vec<ScoreValue> {
        let changed = self.changed.iter().filter_map(|key| {
            let score = Arc::clone(names.get(&key.1)?);
            let curve = self.curves.get(key).cloned();
            Some(ScoreValue { contact: ContactId(key.0), score, value: self.value(*key), curve })
        });
        changed.collect()
    }

    fn value(&self, key: (i64, i64)) -> i64 {
        match self.curves.get(&key) {
            Some(curve) => curve.at(self.now_ms),
            None => self.values.get(&key).copied().unwrap_or_default(),
        }
    }

    fn law(&self, score: i64) -> Option<Law> {
        self.declared.get(&score)?.law
    }

    fn clear(&mut self, part: Part) {
        let key = (part.contact, part.of.score);
        let (now, mut points) = (self.now_ms, 0_i64);
        let mut taken = Vec::new();
        for gift in self.standing.remove(&part).unwrap_or_default() {
            self.cleared.push((part.contact, gift.id));
            points = points.saturating_add(gift.points);
            taken.push((gift.points, gift.at_ms));
        }
        for position in self.new.remove(&part).unwrap_or_default() {
            if let Some(entry) = self.entries.get_mut(position) {
                entry.is_cleared = true;
                points = points.saturating_add(entry.points);
                taken.push((entry.points, now));
            }
        }
        if self.law(part.of.score).is_some() {
            if let Some(curve) = self.curves.get_mut(&key).filter(|_| !taken.is_empty()) {
                taken.into_iter().for_each(|(points, at)| curve.take_back(points, at));
                self.changed.insert(key);
            }
        } else if points != 0 {
            let value = self.values.entry(key).or_default();
            *value = value.saturating_sub(points);
            self.changed.insert(key);
        }
    }

    /// How many of the points that a part gave for one reason count now.
    fn counted(&self, part: Part, because: i64) -> i64 {
        let stored = self.standing.get(&part).into_iter().flatten();
        let stored = stored.filter(|gift| gift.because == because).map(|gift| (gift.points, gift.at_ms));
        let new = self.new.get(&part).into_iter().flatten().filter_map(|place| self.entries.get(*place));
        let new = new.filter(|entry| entry.because == because).map(|entry| (entry.points, self.now_ms));
        let gifts = stored.chain(new);
        match self.law(part.of.score) {
            Some(law) => {
                let mut gifts: Vec<(i64, i64)> = gifts.collect();
                gifts.sort_by_key(|(_, at)| *at);
                Curve::of(Law { min: None, max: None, ..law }, gifts).at(self.now_ms)
            }
            None => gifts.fold(0, |sum, (points, _)| sum.saturating_add(points)),
        }
    }

    /// The entry holds what was really added; where the bounds left nothing to add there is none.
    fn add(&mut self, mut entry: ScoreEntry, bounds: Bounds) {
        let key = (entry.contact, entry.of.score);
        let part = Part { contact: entry.contact, of: entry.of };
        let declared = self.declared.get(&entry.of.score).copied();
        let (min, max) = declared.map_or((bounds.min, bounds.max), |declared| {
            let (mins, maxs) = ([bounds.min, declared.min], [bounds.max, declared.max]);
            (mins.into_iter().flatten().max(), maxs.into_iter().flatten().min())
        });
        let (wanted, mut held_by) = (entry.points, None);
        if let Some(at_most) = bounds.at_most {
            let counted = self.counted(part, entry.because);
            let left = at_most.saturating_sub(counted).max(0);
            let down = at_most.saturating_add(counted).max(0).saturating_neg();
            entry.points = wanted.clamp(down, left);
            held_by = (entry.points != wanted).then_some(HeldBy::Reason);
        }
        let value = self.value(key);
        let sum = value.saturating_add(entry.points);
        let bounded = sum.min(max.unwrap_or(i64::MAX)).max(min.unwrap_or(i64::MIN));
        if bounded != sum {
            held_by = Some(if bounded < sum { HeldBy::Highest } else { HeldBy::Lowest });
        }
        entry.points = bounded.saturating_sub(value);
        entry.total = bounded;
        if let Some(by) = held_by.filter(|_| declared.is_some() || bounds.at_most.is_some()) {
            let points = wanted.saturating_sub(entry.points);
            let Part { contact, of } = part;
            self.holds.push(Hold { contact, of, because: entry.because, by, points });
        }
        if entry.points == 0 {
            return;
        }
        match self.law(entry.of.score) {
            Some(law) => {
                let curve = self.curves.entry(key).or_insert_with(|| Curve::new(law));
                curve.give(entry.points, self.now_ms);
            }
            None => _ = self.values.insert(key, bounded),
        }
        self.changed.insert(key);
        self.new.entry(part).or_default().push(self.entries.len());
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
        .filter_map(|change| known.values.get(&change.turn.run.contact.0))
        .flat_map(|scores| scores.keys().map(String::as_str))
        .collect();
    sets.intern(words.chain(steps.values().map(String::as_str)).chain(scored).collect()).await?;

    let mut parts = Vec::with_capacity(changes.len());
    let (mut contacts, mut cleared) = (BTreeSet::new(), BTreeSet::new());
    // Of which steps it has to be known what they gave, and for which reasons.
    let mut capped = BTreeSet::new();
    for change in changes {
        let run = &change.turn.run;
        let step = steps.get(&(run.version, run.node)).map_or("", String::as_str);
        let of = StepScore {
            score: sets.word(change.what.score())?,
            workflow: run.workflow.0,
            step: sets.word(step)?,
        };
        contacts.insert(run.contact.0);
        match change.what {
            Change::Clear { .. } => _ = cleared.insert(of),
            Change::Add { bounds: Bounds { at_most: Some(_), .. }, .. } => _ = capped.insert(of),
            Change::Add { .. } => {}
        }
        parts.push(Part { contact: run.contact.0, of });
    }
    let contacts: Vec<i64> = contacts.into_iter().collect();

    let mut names: BTreeMap<i64, Arc<str>> = BTreeMap::new();
    for change in changes {
        let score = change.what.score();
        names.entry(sets.word(score)?).or_insert_with(|| score.into());
    }
    let mut ledger = Ledger { now_ms: ms(now), declared: declared(sets, &names), ..Ledger::default() };
    load_values(sets, known, &contacts, &names, &mut ledger).await?;
    // A batch is the turns of one step, so there is one round as a rule.
    for of in cleared.union(&capped).copied() {
        // Who never had the score has no entries either; in a first campaign that is nearly everybody.
        let scored: Vec<i64> = contacts
            .iter()
            .copied()
            .filter(|contact| {
                let key = (*contact, of.score);
                ledger.values.contains_key(&key) || ledger.curves.contains_key(&key)
            })
            .collect();
        if scored.is_empty() {
            continue;
        }
        if capped.contains(&of) || ledger.law(of.score).is_some() {
            for gift in sets.standing_gifts(&scored, of).await? {
                ledger.standing.entry(Part { contact: gift.contact, of }).or_default().push(gift);
            }
            continue;
        }
        for (id, contact, points) in sets.standing_entries(&scored, of).await? {
            let gift = Gift { id, contact, points, at_ms: 0, because: 0 };
            ledger.standing.entry(Part { contact, of }).or_default().push(gift);
        }
    }

    for (change, part) in changes.iter().zip(parts) {
        match change.what {
            Change::Clear { .. } => ledger.clear(part),
            Change::Add { points, because, bounds, .. } => {
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
                ledger.add(entry, bounds);
            }
        }
    }
    let changed = ledger.changed(&names);
    known.follow(&changed);
    write(sets, ledger).await?;
    Ok(changed)
}

/// What is declared of the scores that a batch changes.
fn declared(sets: &impl Sets, names: &BTreeMap<i64, Arc<str>>) -> BTreeMap<i64, Declared> {
    let scores = sets.declared_scores();
    if scores.is_empty() {
        return BTreeMap::new();
    }
    let declared = names.iter().filter_map(|(word, name)| {
        let score = scores.get(name)?;
        Some((*word, Declared { min: score.min, max: score.max, law: score.law() }))
    });
    declared.collect()
}

/// Fills in what the contacts have.
async fn load_values(
    sets: &mut impl Sets,
    known: &Known,
    contacts: &[i64],
    names: &BTreeMap<i64, Arc<str>>,
    ledger: &mut Ledger,
) -> Raw<()> {
    let mut unknown = Vec::new();
    for contact in contacts {
        let Some(scores) = known.values.get(contact) else {
            unknown.push(*contact);
            continue;
        };
        for (score, value) in scores {
            ledger.values.insert((*contact, sets.word(score)?), *value);
        }
        for (score, curve) in known.curves.get(contact).into_iter().flatten() {
            let score = sets.word(score)?;
            if names.contains_key(&score) {
                ledger.curves.insert((*contact, score), curve.clone());
            }
        }
    }
    if !unknown.is_empty() {
        for (contact, score, value, curve) in sets.scores(&unknown).await? {
            ledger.values.insert((contact, score), value);
            if let Some(json) = curve.filter(|_| names.contains_key(&score)) {
                ledger.curves.insert((contact, score), read_curve(&json, value)?);
            }
        }
    }
    settle_laws(sets, contacts, names, ledger).await
}

/// Sees to it that each score which a batch changes fades as it is declared now, whatever was declared when its row was
/// written.
async fn settle_laws(
    sets: &mut impl Sets,
    contacts: &[i64],
    names: &BTreeMap<i64, Arc<str>>,
    ledger: &mut Ledger,
) -> Raw<()> {
    if ledger.curves.is_empty() && ledger.declared.is_empty() {
        return Ok(());
    }
    for score in names.keys().copied() {
        let law = ledger.law(score);
        let mut stale = Vec::new();
        for contact in contacts {
            let key = (*contact, score);
            let has_row = ledger.values.contains_key(&key);
            match (law, ledger.curves.get(&key)) {
                (Some(law), Some(curve)) if curve.law() == law => {}
                (Some(_), None) if !has_row => {}
                (Some(_), _) => stale.push(*contact),
                (None, Some(curve)) => {
                    let given = curve.given;
                    ledger.values.insert(key, given);
                    ledger.curves.remove(&key);
                    ledger.was_fading.insert(key);
                }
                (None, None) => {}
            }
        }
        if let Some(law) = law.filter(|_| !stale.is_empty()) {
            for (contact, curve) in anew(sets, &stale, score, law).await? {
                ledger.curves.insert((contact, score), curve);
            }
        }
    }
    Ok(())
}

/// The curves of contacts' scores, worked out from the entries that stand.
async fn anew(sets: &mut impl Sets, contacts: &[i64], score: i64, law: Law) -> Raw<BTreeMap<i64, Curve>> {
    let mut curves: BTreeMap<i64, Curve> =
        contacts.iter().map(|contact| (*contact, Curve::new(law))).collect();
    for (contact, points, at_ms) in sets.gifts_in_order(contacts, score).await? {
        if let Some(curve) = curves.get_mut(&contact) {
            curve.give(points, at_ms);
        }
    }
    Ok(curves)
}

/// A stored curve; `value` is what stands beside it.
pub(crate) fn read_curve(json: &str, value: i64) -> Raw<Curve> {
    let mut curve: Curve = from_json("score's curve", json)?;
    curve.given = value;
    Ok(curve)
}

/// A curve as it is stored.
pub(super) fn curve_row(contact: i64, score: i64, curve: &Curve, now_ms: i64) -> Raw<CurveRow> {
    let (least, most) = curve.bounds(now_ms);
    let json = to_json("score's curve", curve)?;
    Ok(CurveRow {
        contact,
        score,
        value: curve.given,
        curve: Some(json),
        least: Some(least),
        most: Some(most),
    })
}

/// Works out the scores of up to `limit` contacts behind `after` anew, as `law` says. Answers the last of them, if there
/// are any.
pub(crate) async fn rework(
    sets: &mut impl Sets,
    score: i64,
    law: Option<Law>,
    after: i64,
    limit: usize,
    now: Timestamp,
) -> Raw<Option<i64>> {
    let contacts = sets.scored_after(score, after, limit).await?;
    let Some(last) = contacts.last().copied() else { return Ok(None) };
    super::wake(sets, contacts.iter().copied().map(ContactId), now).await?;
    let rows = match law {
        Some(law) => {
            let curves = anew(sets, &contacts, score, law).await?;
            let rows = curves.iter().map(|(contact, curve)| curve_row(*contact, score, curve, ms(now)));
            rows.collect::<Raw<Vec<CurveRow>>>()?
        }
        None => {
            let values = sets.scores(&contacts).await?;
            let values = values.into_iter().filter(|(_, of, ..)| *of == score);
            values.map(|(contact, score, value, _)| CurveRow::plain(contact, score, value)).collect()
        }
    };
    sets.put_curves(&rows).await?;
    Ok(Some(last))
}

async fn write(sets: &mut impl Sets, ledger: Ledger) -> Raw<()> {
    let Ledger { now_ms, values, curves, was_fading, cleared, entries, changed, holds, .. } = ledger;
    sets.clear_entries(&cleared, now_ms).await?;
    let (mut plain, mut fading) = (Vec::with_capacity(changed.len()), Vec::new());
    for key in changed {
        let (contact, score) = key;
        if let Some(curve) = curves.get(&key) {
            fading.push(curve_row(contact, score, curve, now_ms)?);
            continue;
        }
        let value = values.get(&key).copied().unwrap_or_default();
        if was_fading.contains(&key) {
            fading.push(CurveRow::plain(contact, score, value));
        } else {
            plain.push((contact, score, value));
        }
    }
    sets.put_scores(&plain).await?;
    sets.put_curves(&fading).await?;
    sets.insert_entries(&entries, now_ms).await?;
    sets.put_holds(&holds, now_ms).await
}

#[cfg(test)]
mod tests {
    use dripline_model::score::Decay;

    use super::*;

    const OF: StepScore = StepScore { score: 1, workflow: 1, step: 1 };
    const PART: Part = Part { contact: 1, of: OF };
    const DAY: i64 = 86_400_000;

    fn entry(points: i64) -> ScoreEntry {
        ScoreEntry { contact: 1, of: OF, points, total: 0, because: 1, run: 1, turn: 0, is_cleared: false }
    }

    fn between(min: i64, max: i64) -> Bounds {
        Bounds { min: Some(min), max: Some(max), at_most: None }
    }

    #[test]
    fn the_value_is_the_sum_of_the_entries_that_stand_whatever_the_bounds() {
        let mut ledger = Ledger::default();
        ledger.add(entry(80), between(0, 100));
        ledger.add(entry(80), between(0, 100));
        ledger.add(entry(10), between(0, 100));
        assert_eq!(ledger.values[&(1, 1)], 100);
        assert_eq!(ledger.entries.iter().map(|entry| entry.points).collect::<Vec<_>>(), [80, 20]);
        assert!(ledger.holds.is_empty(), "nothing was said of the score, so that nothing more is written");
        ledger.clear(PART);
        assert_eq!(ledger.values[&(1, 1)], 0);
    }

    #[test]
    fn bounds_that_contradict_each_other_and_huge_points_do_no_harm() {
        let mut ledger = Ledger::default();
        ledger.add(entry(i64::MAX), Bounds::default());
        ledger.add(entry(i64::MAX), Bounds::default());
        assert_eq!(ledger.values[&(1, 1)], i64::MAX);
        ledger.add(entry(1), between(10, 5));
        assert_eq!(ledger.values[&(1, 1)], 10);
    }

    #[test]
    fn points_for_one_reason_count_up_to_a_limit() {
        let mut ledger = Ledger::default();
        let at_most = |at_most| Bounds { at_most: Some(at_most), ..Bounds::default() };
        for points in [8, 8, 8] {
            ledger.add(entry(points), at_most(20));
        }
        ledger.add(ScoreEntry { because: 2, ..entry(8) }, at_most(20));
        assert_eq!(ledger.values[&(1, 1)], 28);
        assert_eq!(ledger.holds.len(), 1);
        assert_eq!((ledger.holds[0].points, ledger.holds[0].by), (4, HeldBy::Reason));
        ledger.add(entry(-50), at_most(20));
        assert_eq!(ledger.values[&(1, 1)], -12, "from +20 down to -20, and no further");
    }

    #[test]
    fn what_has_faded_makes_room() {
        let law = Law { decay: Some(Decay::HalfLife(14 * DAY)), expires_ms: None, min: None, max: Some(100) };
        let declared = Declared { min: None, max: Some(100), law: Some(law) };
        let mut ledger = Ledger { declared: BTreeMap::from([(1, declared)]), ..Ledger::default() };
        let capped = Bounds { at_most: Some(80), ..Bounds::default() };
        ledger.add(entry(80), capped);
        ledger.add(ScoreEntry { because: 2, ..entry(80) }, capped);
        assert_eq!((ledger.value((1, 1)), ledger.entries[1].points), (100, 20));
        assert_eq!((ledger.holds[0].points, ledger.holds[0].by), (60, HeldBy::Highest));

        // Two weeks later, in another batch.
        let gifts = vec![Gift { id: 7, contact: 1, points: 80, at_ms: 0, because: 1 }];
        let mut later = Ledger { now_ms: 14 * DAY, declared: ledger.declared.clone(), ..Ledger::default() };
        later.curves.insert((1, 1), ledger.curves[&(1, 1)].clone());
        later.standing.insert(PART, gifts);
        assert_eq!(later.value((1, 1)), 50);
        later.add(entry(80), capped);
        assert_eq!((later.value((1, 1)), later.entries[0].points, later.entries[0].total), (90, 40, 90));
        later.clear(PART);
        assert_eq!(later.value((1, 1)), 10, "what is left of the second twenty");
        assert_eq!(later.cleared, [(1, 7)]);
    }
}
