//! Every run took exactly the turns that its program allows, in order, each once, and came to its end.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Expected, Facts, Report, Step,
    facts::{Decision, Run, Version},
    program::{Reached, Way, kind},
};

/// What a run's `status` means; the positions in the store.
const ACTIVE: i64 = 0;
const COMPLETED: i64 = 1;
pub(crate) const FAILED: i64 = 2;
const CANCELLED: i64 = 3;
const WON: i64 = 4;

/// How a step that mails ended as long as it was put off.
const HELD: &str = "held";

/// Compares runs with their decisions.
pub(crate) fn check(facts: &Facts, report: &mut Report) {
    let mut decisions: BTreeMap<i64, Vec<&Decision>> = BTreeMap::new();
    for decision in &facts.decisions {
        match decision.run {
            Some(run) if facts.runs.contains_key(&run) => decisions.entry(run).or_default().push(decision),
            Some(run) => report.loss(format!("decision {} belongs to run {run}, which is gone", decision.id)),
            // An event that waits before it starts a run, or for ever because another followed.
            None if [kind::NOT_ENROLLED, kind::WAITING].contains(&decision.kind) => {}
            None => report.wrong(format!("decision {} belongs to no run", decision.id)),
        }
    }
    for run in facts.runs.values() {
        let taken = decisions.remove(&run.id).unwrap_or_default();
        // It began on the version that is named first, and was moved to others.
        let first = taken.first().map_or(run.version, |first| first.version);
        let (Some(version), true) = (facts.versions.get(&first), facts.versions.contains_key(&run.version))
        else {
            report.loss(format!("version {} of run {} is gone", run.version, run.id));
            continue;
        };
        check_state(facts, run, report);
        check_paths(facts, run, version, &taken, report);
        let ways = match &run.path {
            Some(path) => version.program.beginnings(path),
            None => vec![Some(0)],
        };
        let mut walk = Walk {
            facts,
            run,
            on: first,
            version,
            turn: 0,
            ways,
            is_retried: false,
            last: None,
            reached: None,
        };
        walk.check(&taken, report);
    }
}

/// Whether a run that came to a `parallel` has each of its paths once, and has gone on only when they were over.
fn check_paths(facts: &Facts, run: &Run, version: &Version, taken: &[&Decision], report: &mut Report) {
    let who = format!("run {} of {}", run.id, facts.contact(run.contact));
    for decision in taken.iter().filter(|decision| decision.kind == kind::WAITING) {
        let node = decision.node.and_then(|node| version.program.node(node));
        for (path, _) in node.map(|node| node.paths()).unwrap_or_default() {
            let is_it = |other: &&Run| {
                other.parent == Some((run.id, decision.turn)) && other.path.as_deref() == Some(path)
            };
            let paths: Vec<&Run> = facts.runs.values().filter(is_it).collect();
            match paths.as_slice() {
                [] => report.loss(format!("{who} has no path `{path}`")),
                [one] if run.has_ended && !one.has_ended => {
                    report.wrong(format!("{who} has ended, and its path `{path}` has not"));
                }
                [_] => {}
                more => report.duplicate(format!("{who} goes the path `{path}` {} times", more.len())),
            }
        }
    }
}

/// Whether a run's columns fit each other.
fn check_state(facts: &Facts, run: &Run, report: &mut Report) {
    let who = format!("run {} of {}", run.id, facts.contact(run.contact));
    if !facts.contacts.contains_key(&run.contact) {
        report.loss(format!("the contact of run {} is gone", run.id));
    }
    match run.status {
        ACTIVE if !run.is_due => report.loss(format!("{who} is stuck: active and never due")),
        ACTIVE => report.loss(format!("{who} has not come to its end")),
        FAILED => report.wrong(format!("{who} failed")),
        COMPLETED | CANCELLED | WON => {}
        other => report.wrong(format!("{who} has the unknown state {other}")),
    }
    if (run.status == ACTIVE) == run.has_ended {
        report.wrong(format!("{who} has state {} and an end that does not fit it", run.status));
    }
    if run.status != ACTIVE && run.is_due {
        report.wrong(format!("{who} has ended and is due"));
    }
}

/// A run's way through its program, decision by decision.
struct Walk<'a> {
    facts: &'a Facts,
    run: &'a Run,
    /// The version on which it stands.
    on: i64,
    version: &'a Version,
    /// The number of the turn that comes next.
    turn: i64,
    /// Where it may be taken.
    ways: Vec<Way>,
    /// Whether the turn was tried and put off.
    is_retried: bool,
    /// How the last turn ended, and where.
    last: Option<(i64, i64)>,
    /// What ended it, if that was no step.
    reached: Option<Reached>,
}

impl Walk<'_> {
    /// Follows the decisions to the first that does not fit.
    fn check(&mut self, decisions: &[&Decision], report: &mut Report) {
        let who = format!("run {} of {}", self.run.id, self.facts.contact(self.run.contact));
        let (enrolled, turns): (Vec<&Decision>, Vec<&Decision>) =
            decisions.iter().partition(|decision| decision.kind == kind::ENROLLED);
        match enrolled.len() {
            // A path begins with its run.
            0 if self.run.path.is_some() => {}
            0 => report.loss(format!("{who} has no decision that began it")),
            1 => {}
            times => report.duplicate(format!("{who} began {times} times")),
        }
        for decision in enrolled.iter().chain(&turns).filter(|decision| decision.contact != self.run.contact)
        {
            report.wrong(format!("decision {} is of another contact than {who}", decision.id));
        }
        for decision in turns {
            if !self.follow(decision, &who, report) {
                return;
            }
        }
        self.arrive(&who, report);
    }

    /// Takes one decision; whether the next can be judged.
    fn follow(&mut self, decision: &Decision, who: &str, report: &mut Report) -> bool {
        if decision.kind == kind::MOVED {
            return self.go_over(decision, who, report);
        }
        if decision.version != self.on {
            report.wrong(format!("decision {} is of another version than {who}", decision.id));
            return false;
        }
        // A turn that was put off because its batch ran out of time is over with that, and the step's next one follows.
        if self.is_retried && decision.turn == self.turn + 1 {
            self.turn += 1;
        }
        if decision.turn < self.turn {
            report.duplicate(format!("turn {} of {who} was decided again", decision.turn));
            return false;
        }
        if decision.turn > self.turn {
            report.loss(format!("turn {} of {who} is missing", self.turn));
            return false;
        }
        let Some((index, node)) =
            decision.node.and_then(|index| Some((index, self.version.program.node(index)?)))
        else {
            report.wrong(format!("turn {} of {who} was taken nowhere", decision.turn));
            return false;
        };
        if !self.ways.contains(&Some(index)) {
            report.wrong(format!(
                "turn {} of {who} was taken at `{}`, where no way led",
                decision.turn, node.id
            ));
            return false;
        }
        // A person lets a run go on that failed: that is no turn.
        let is_by_hand = decision.kind == kind::SKIPPED && self.last == Some((kind::FAILED, index));
        self.is_retried = decision.kind == kind::RETRYING;
        self.last = Some((decision.kind, index));
        self.reached = decision.reason.as_deref().and_then(Reached::of);
        match decision.kind {
            kind::SKIPPED if is_by_hand => self.ways = vec![node.below()],
            // Wherever it stood.
            kind::ENDED if self.reached.is_some_and(|reached| self.version.program.has(reached)) => {
                self.ways = vec![None];
                self.turn += 1;
            }
            kind::RETRYING => self.ways = vec![Some(index)],
            // A person may set it going again from the step that failed.
            kind::FAILED | kind::CANCELLED => {
                self.ways = vec![Some(index)];
                self.turn += 1;
            }
            _ => {
                self.ways = node.ways(index, decision.kind);
                self.turn += 1;
            }
        }
        if self.ways.is_empty() {
            let how = kind::name(decision.kind);
            report.wrong(format!(
                "turn {} of {who} at `{}` cannot have ended as `{how}`",
                decision.turn, node.id
            ));
            return false;
        }
        true
    }

    /// Takes the decision of a person to move the run to another version, which is no turn.
    fn go_over(&mut self, decision: &Decision, who: &str, report: &mut Report) -> bool {
        let there = self.facts.versions.get(&decision.version);
        let known =
            there.filter(|there| decision.node.is_some_and(|node| there.program.node(node).is_some()));
        let Some(version) = known.filter(|version| version.workflow == self.version.workflow) else {
            report.wrong(format!("{who} was moved to where its workflow has no step"));
            return false;
        };
        (self.on, self.version) = (decision.version, version);
        self.ways = vec![decision.node];
        true
    }

    /// Compares where the decisions lead with where the run stands.
    fn arrive(&self, who: &str, report: &mut Report) {
        let last = self.last.map(|(kind, _)| kind);
        if self.on != self.run.version {
            report.wrong(format!("{who} does not stand on the version on which it had its last turn"));
            return;
        }
        let stands = match self.run.status {
            ACTIVE => self.ways.contains(&Some(self.run.node)) && last != Some(kind::FAILED),
            COMPLETED => {
                self.ways.contains(&None)
                    && self.last.is_some_and(|(_, node)| node == self.run.node)
                    && self.reached != Some(Reached::Goal)
            }
            WON => self.reached == Some(Reached::Goal) && self.last == Some((kind::ENDED, self.run.node)),
            FAILED => last == Some(kind::FAILED),
            CANCELLED => last == Some(kind::CANCELLED),
            _ => return,
        };
        // A turn that a person cancels, or that is put off, may or may not be counted.
        let open = self.is_retried || last == Some(kind::CANCELLED);
        let counts = self.run.turn == self.turn || (open && (self.run.turn - self.turn).abs() == 1);
        if !counts && self.run.turn > self.turn {
            report.loss(format!("{who} had {} turns, of which {} are recorded", self.run.turn, self.turn));
        } else if !counts {
            report.duplicate(format!("{who} had {} turns, and {} are recorded", self.run.turn, self.turn));
        } else if !stands {
            report.wrong(format!("{who} does not stand where its last turn led"));
        }
    }
}

/// Every live event was looked at once by every workflow that listens to it.
pub(crate) fn check_events(facts: &Facts, report: &mut Report) {
    let mut looked_at: BTreeMap<(i64, &str), usize> = BTreeMap::new();
    let mut waited: BTreeSet<(i64, &str)> = BTreeSet::new();
    for decision in &facts.decisions {
        let Some(event) = decision.event else { continue };
        let what = (event, facts.workflow(decision.version));
        if decision.run.is_none() && decision.kind == kind::WAITING {
            waited.insert(what);
        } else {
            *looked_at.entry(what).or_default() += 1;
        }
    }
    // A version that was published later may listen to what an earlier one did not.
    let mut listening: BTreeMap<&str, Vec<&Version>> = BTreeMap::new();
    for version in facts.versions.values() {
        listening.entry(version.workflow.as_str()).or_default().push(version);
    }
    for event in &facts.events {
        let who = format!("event {} (`{}`) of {}", event.id, event.name, facts.contact(event.contact));
        if event.state == 1 {
            report.loss(format!("{who} was not dealt with"));
            continue;
        }
        for (workflow, versions) in &listening {
            let times = looked_at.remove(&(event.id, *workflow)).unwrap_or_default();
            if times > 1 {
                report.duplicate(format!("{who} was looked at by `{workflow}` {times} times"));
            } else if times == 0
                && !waited.contains(&(event.id, *workflow))
                && versions.iter().all(|version| version.program.listens_to(&event.name))
            {
                report.loss(format!("{who} was not looked at by `{workflow}`"));
            }
        }
    }
}

/// Compares the runs with those that should have been.
pub(crate) fn compare(facts: &Facts, expected: &Expected, report: &mut Report) {
    let mut runs: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
    for run in facts.runs.values().filter(|run| run.path.is_none()) {
        let key = (facts.workflow(run.version), facts.contact(run.contact));
        runs.entry(key).or_default().push(run.id);
    }
    let mut turns: BTreeMap<i64, Vec<Step>> = BTreeMap::new();
    let mut refused: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for decision in &facts.decisions {
        let version = facts.versions.get(&decision.version);
        let node = decision.node.and_then(|node| version?.program.node(node));
        match (decision.run, node) {
            (Some(run), Some(node)) if decision.kind != kind::RETRYING => {
                let is_held = decision.kind == kind::WAITING && node.calls("email");
                let how = if is_held { HELD } else { kind::name(decision.kind) };
                let step = (node.id.clone(), how.to_owned());
                let turns = turns.entry(run).or_default();
                // How often depends on the moments at which it was looked at.
                if !is_held || turns.last() != Some(&step) {
                    turns.push(step);
                }
            }
            (None, _) if decision.kind != kind::WAITING => {
                let key = (facts.workflow(decision.version), facts.contact(decision.contact));
                *refused.entry(key).or_default() += 1;
            }
            _ => {}
        }
    }
    for ((workflow, contact), steps) in &expected.runs {
        let ids = runs.remove(&(workflow.as_str(), contact.as_str())).unwrap_or_default();
        let [id] = ids.as_slice() else {
            let what = format!("{contact} entered `{workflow}` {} times and not once", ids.len());
            if ids.is_empty() {
                report.loss(what)
            } else {
                report.duplicate(what)
            }
            continue;
        };
        let taken = turns.remove(id).unwrap_or_default();
        if taken != *steps {
            let place = taken.iter().zip(steps).take_while(|(one, other)| one == other).count();
            report.wrong(format!(
                "{contact} in `{workflow}`: turn {place} was {:?} and should have been {:?}",
                taken.get(place),
                steps.get(place)
            ));
        }
    }
    let workflows: BTreeSet<&str> = expected.runs.keys().map(|(workflow, _)| workflow.as_str()).collect();
    for ((workflow, contact), ids) in
        runs.into_iter().filter(|((workflow, _), _)| workflows.contains(workflow))
    {
        report.duplicate(format!("{contact} entered `{workflow}` {} times and should not have", ids.len()));
    }
    for (workflow, contact) in &expected.refused {
        match refused.get(&(workflow.as_str(), contact.as_str())) {
            Some(1) => {}
            Some(times) => report.duplicate(format!("{contact} was refused by `{workflow}` {times} times")),
            None => report.loss(format!("that `{workflow}` did not admit {contact} is not recorded")),
        }
    }
}
