//! Points: given within bounds, taken back whole.
//!
//! A score's value is the sum of its entries that are not cleared. The changes of a batch are worked out here, in order,
//! on values loaded once, so that several turns of one contact add up; only the outcome is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use sqlx::{query, query_scalar};

use super::{
    apply::Wanted,
    rows::{Raw, RowsSql, json_ids, json_rows, ms},
    writer::Writer,
};

pub(super) const VALUES: &str = "
SELECT json_group_array(json_array(s.contact_id, s.score, s.value))
FROM json_each(?1) wanted CROSS JOIN contact_scores s ON s.contact_id = wanted.value";

pub(super) const STANDING_ENTRIES: &str = "
SELECT json_group_array(json_array(e.id, e.contact_id, e.points))
FROM json_each(?1) wanted CROSS JOIN score_entries e ON e.contact_id = wanted.value AND e.score = ?2
WHERE e.workflow_id = ?3 AND e.step = ?4 AND e.cleared_at IS NULL";

const CLEAR: &str = "UPDATE score_entries SET cleared_at = ?2 WHERE id IN (SELECT value FROM json_each(?1))";

const PUT_VALUES: RowsSql = RowsSql {
    head: "INSERT INTO contact_scores (contact_id, score, value) VALUES",
    row: "(?, ?, ?)",
    tail: "ON CONFLICT (contact_id, score) DO UPDATE SET value = excluded.value",
};

const INSERT_ENTRIES: RowsSql = RowsSql {
    head: "INSERT INTO score_entries (contact_id, score, points, total, because, at, run_id, turn, workflow_id, step,
        cleared_at) VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    tail: "",
};

/// What a turn does to a score.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'a> {
    /// Gives points.
    Add { score: &'a str, points: i64, because: &'a str, min: Option<i64>, max: Option<i64> },
    /// Takes back what the same step of the same workflow gave before.
    Clear { score: &'a str },
}

/// A step's part in a contact's score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Part {
    contact: i64,
    score: i64,
    workflow: i64,
    step: i64,
}

/// An entry of this batch.
#[derive(Debug)]
struct Entry {
    part: Part,
    points: i64,
    total: i64,
    because: i64,
    run: i64,
    turn: i64,
    is_cleared: bool,
}

/// The scores that a batch changes.
#[derive(Debug, Default)]
struct Ledger {
    /// By contact and score.
    values: HashMap<(i64, i64), i64>,
    /// Stored entries that stand: id and points.
    standing: HashMap<Part, Vec<(i64, i64)>>,
    cleared: Vec<i64>,
    entries: Vec<Entry>,
    /// Positions in `entries` of those that stand.
    new: HashMap<Part, Vec<usize>>,
    /// In the order of the table.
    changed: BTreeSet<(i64, i64)>,
}

impl Ledger {
    fn clear(&mut self, part: Part) {
        let mut points = 0_i64;
        for (id, given) in self.standing.remove(&part).unwrap_or_default() {
            self.cleared.push(id);
            points = points.saturating_add(given);
        }
        for position in self.new.remove(&part).unwrap_or_default() {
            if let Some(entry) = self.entries.get_mut(position) {
                entry.is_cleared = true;
                points = points.saturating_add(entry.points);
            }
        }
        if points != 0 {
            let value = self.values.entry((part.contact, part.score)).or_default();
            *value = value.saturating_sub(points);
            self.changed.insert((part.contact, part.score));
        }
    }

    /// The entry holds what was really added; where the bounds left nothing to add there is none.
    fn add(&mut self, mut entry: Entry, min: Option<i64>, max: Option<i64>) {
        let key = (entry.part.contact, entry.part.score);
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
        self.new.entry(entry.part).or_default().push(self.entries.len());
        self.entries.push(entry);
    }
}

/// Applies the changes, in order.
pub(super) async fn change(
    writer: &mut Writer,
    changes: &[Wanted<'_, Change<'_>>],
    now: Timestamp,
) -> Raw<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let places: BTreeSet<_> =
        changes.iter().map(|change| (change.turn.run.version, change.turn.run.node)).collect();
    let mut steps = BTreeMap::new();
    for (version, node) in places {
        steps.insert((version, node), writer.version(version).await?.step(node.into()));
    }
    let words = changes.iter().flat_map(|change| match change.what {
        Change::Add { score, because, .. } => [score, because],
        Change::Clear { score } => [score, score],
    });
    writer.intern(words.chain(steps.values().map(String::as_str)).collect()).await?;

    let part = |writer: &Writer, change: &Wanted<'_, Change<'_>>| {
        let run = &change.turn.run;
        let (Change::Add { score, .. } | Change::Clear { score }) = change.what;
        let step = steps.get(&(run.version, run.node)).map_or("", String::as_str);
        Ok::<_, crate::ErrorKind>(Part {
            contact: run.contact.0,
            score: writer.word(score)?,
            workflow: run.workflow.0,
            step: writer.word(step)?,
        })
    };

    let mut ledger = Ledger::default();
    let contacts: BTreeSet<i64> = changes.iter().map(|change| change.turn.run.contact.0).collect();
    let contacts = json_ids(contacts);
    let mut cleared = BTreeSet::new();
    for change in changes.iter().filter(|change| matches!(change.what, Change::Clear { .. })) {
        let part = part(writer, change)?;
        cleared.insert((part.score, part.workflow, part.step));
    }
    // A batch is the turns of one step, so there is one round as a rule.
    for (score, workflow, step) in cleared {
        let query = query_scalar(STANDING_ENTRIES).bind(&contacts).bind(score).bind(workflow).bind(step);
        for (id, contact, points) in json_rows::<(i64, i64, i64)>(writer.conn(), query).await? {
            ledger.standing.entry(Part { contact, score, workflow, step }).or_default().push((id, points));
        }
    }
    let values = json_rows::<(i64, i64, i64)>(writer.conn(), query_scalar(VALUES).bind(&contacts)).await?;
    ledger.values.extend(values.into_iter().map(|(contact, score, value)| ((contact, score), value)));

    for change in changes {
        let part = part(writer, change)?;
        match change.what {
            Change::Clear { .. } => ledger.clear(part),
            Change::Add { points, because, min, max, .. } => {
                let entry = Entry {
                    part,
                    points,
                    total: 0,
                    because: writer.word(because)?,
                    run: change.turn.run.run.0,
                    turn: change.turn.run.turn,
                    is_cleared: false,
                };
                ledger.add(entry, min, max);
            }
        }
    }
    write(writer, ledger, now).await
}

async fn write(writer: &mut Writer, ledger: Ledger, now: Timestamp) -> Raw<()> {
    let Ledger { values, cleared, entries, changed, .. } = ledger;
    if !cleared.is_empty() {
        writer.run(query(CLEAR).bind(json_ids(cleared)).bind(ms(now))).await?;
    }
    let values = PUT_VALUES.over(changed, |binds, key| {
        binds.add(key.0).add(key.1).add(values.get(&key).copied().unwrap_or_default());
    });
    writer.put(values).await?;
    let entries = INSERT_ENTRIES.over(entries, |binds, entry| {
        let Entry { part, points, total, because, run, turn, is_cleared } = entry;
        binds.add(part.contact).add(part.score).add(points).add(total).add(because).add(ms(now));
        binds.add(run).add(turn).add(part.workflow).add(part.step).add(is_cleared.then(|| ms(now)));
    });
    writer.put(entries).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(points: i64) -> Entry {
        let part = Part { contact: 1, score: 1, workflow: 1, step: 1 };
        Entry { part, points, total: 0, because: 1, run: 1, turn: 0, is_cleared: false }
    }

    #[test]
    fn the_value_is_the_sum_of_the_entries_that_stand_whatever_the_bounds() {
        let mut ledger = Ledger::default();
        ledger.add(entry(80), Some(0), Some(100));
        ledger.add(entry(80), Some(0), Some(100));
        ledger.add(entry(10), Some(0), Some(100));
        assert_eq!(ledger.values[&(1, 1)], 100);
        assert_eq!(ledger.entries.iter().map(|entry| entry.points).collect::<Vec<_>>(), [80, 20]);
        ledger.clear(entry(0).part);
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
