//! Every effect happened exactly once: scores, tags, segments, owners.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ContactExpected, Expected, Facts, Report, program::kind};

/// Where each turn of a run was taken: the version and the node.
type Done = BTreeMap<(i64, i64), (i64, i64)>;

/// Compares effects with each other and with the turns that wanted them.
pub(crate) fn check(facts: &Facts, report: &mut Report) {
    // What people decide about a run is no turn.
    let done: Done = facts
        .decisions
        .iter()
        .filter(|decision| ![kind::RETRYING, kind::MOVED].contains(&decision.kind))
        .filter_map(|decision| Some(((decision.run?, decision.turn), (decision.version, decision.node?))))
        .collect();
    check_scores(facts, &done, report);
    check_owners(facts, &done, report);
}

fn check_scores(facts: &Facts, done: &Done, report: &mut Report) {
    let mut sums: BTreeMap<(i64, &str), i64> = BTreeMap::new();
    for entry in &facts.entries {
        let who =
            format!("{} points of `{}` for {}", entry.points, entry.score, facts.contact(entry.contact));
        if !entry.is_cleared {
            *sums.entry((entry.contact, &entry.score)).or_default() += entry.points;
        }
        let run = facts.runs.get(&entry.run);
        let step = done
            .get(&(entry.run, entry.turn))
            .and_then(|(version, node)| facts.versions.get(version)?.program.node(*node));
        if step.is_none_or(|step| step.id != entry.step) || run.is_none_or(|run| run.contact != entry.contact)
        {
            report.wrong(format!("{who} come from a turn that was never taken at `{}`", entry.step));
        }
    }
    for ((contact, score), value) in &facts.scores {
        let sum = sums.remove(&(*contact, score)).unwrap_or_default();
        if sum != *value {
            let what = format!(
                "the score `{score}` of {} is {value}, and its entries come to {sum}",
                facts.contact(*contact)
            );
            if *value < sum { report.loss(what) } else { report.duplicate(what) }
        }
    }
    for ((contact, score), sum) in sums.into_iter().filter(|(_, sum)| *sum != 0) {
        report.loss(format!("the score `{score}` of {} is gone, and was {sum}", facts.contact(contact)));
    }
}

fn check_owners(facts: &Facts, done: &Done, report: &mut Report) {
    let mut turns = BTreeSet::new();
    let mut latest = BTreeMap::new();
    for assignment in &facts.assignments {
        let who = facts.contact(assignment.contact);
        if !turns.insert((assignment.run, assignment.turn)) {
            report.duplicate(format!(
                "turn {} of run {} assigned {who} again",
                assignment.turn, assignment.run
            ));
        }
        if !done.contains_key(&(assignment.run, assignment.turn)) {
            report.wrong(format!("{who} was assigned in a turn that was never taken"));
        }
        latest.insert(assignment.contact, (assignment.id, assignment.rep));
    }
    if latest == facts.owners {
        return;
    }
    for (contact, owner) in &latest {
        match facts.owners.get(contact) {
            Some(other) if other == owner => {}
            Some(_) => {
                report.wrong(format!("{} is not owned as it was last assigned", facts.contact(*contact)))
            }
            None => report.loss(format!("{} was assigned and has no owner", facts.contact(*contact))),
        }
    }
    for contact in facts.owners.keys().filter(|contact| !latest.contains_key(contact)) {
        report.wrong(format!("{} has an owner and was never assigned", facts.contact(*contact)));
    }
}

/// Compares what became of contacts with what should have.
pub(crate) fn compare(facts: &Facts, expected: &Expected, report: &mut Report) {
    let mut found: BTreeMap<&str, ContactExpected> =
        facts.contacts.values().map(|contact| (contact.as_str(), ContactExpected::default())).collect();
    let mut of = |contact: i64, change: &dyn Fn(&mut ContactExpected)| {
        if let Some(found) = found.get_mut(facts.contact(contact)) {
            change(found);
        }
    };
    for ((contact, score), value) in facts.scores.iter().filter(|(_, value)| **value != 0) {
        of(*contact, &|found| found.scores.extend([(score.clone(), *value)]));
    }
    for (contact, tag) in &facts.tags {
        of(*contact, &|found| found.tags.extend([tag.clone()]));
    }
    for (contact, segment) in &facts.members {
        of(*contact, &|found| found.segments.extend([segment.clone()]));
    }
    for assignment in &facts.assignments {
        of(assignment.contact, &|found| found.assignments += 1);
    }
    for message in &facts.messages {
        of(message.contact, &|found| found.mails.push(message.template.clone()));
    }
    for (contact, expected) in &expected.contacts {
        let Some(found) = found.get(contact.as_str()) else {
            report.loss(format!("{contact} is gone"));
            continue;
        };
        if found == expected {
            continue;
        }
        let what = format!("{contact} has come to {found:?} and should have come to {expected:?}");
        let lost = |has: usize, should: usize| has < should;
        if lost(found.mails.len(), expected.mails.len()) || lost(found.assignments, expected.assignments) {
            report.loss(what);
        } else if lost(expected.mails.len(), found.mails.len())
            || lost(expected.assignments, found.assignments)
        {
            report.duplicate(what);
        } else {
            report.wrong(what);
        }
    }
}
