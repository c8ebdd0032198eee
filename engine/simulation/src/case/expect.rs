//! What was expected, held against what happened.

use dripline_model::decision::{DecisionKind, RunStatus};
use dripline_store::{RunRow, TimelineEntry, TimelineWhat};
use dripline_workflow::campaign_test::{
    Comparison, Expectation, Expected, ExpectedEnd, ExpectedMail, StepName,
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::Value;

use super::{
    Facts, Failure,
    passed::{How, Passed, passed},
};
use crate::play::Mail;

/// How many decisions explain a failure at most.
const MOST_REASONS: usize = 8;

/// How exact `at` is.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// What of the expectations, all of one contact, did not come true.
pub(super) fn compare<'e>(facts: &Facts<'_>, expected: impl Iterator<Item = &'e Expected>) -> Vec<Failure> {
    let (mails, others): (Vec<&Expected>, Vec<&Expected>) =
        expected.partition(|expected| matches!(expected.what, Expectation::Mail(_)));
    let mut failures = Vec::new();
    let mut left: Vec<&Mail> = facts.mails.clone();
    for expected in mails {
        let Expectation::Mail(wanted) = &expected.what else { continue };
        match left.iter().position(|mail| fits(wanted, mail)) {
            Some(place) => drop(left.remove(place)),
            None => failures.push(facts.fail(
                expected,
                format!("mail {}", describe(wanted, facts.zone)),
                facts.mails(),
                facts.why(|_| true),
            )),
        }
    }
    failures.extend(others.into_iter().filter_map(|expected| facts.check(expected, &left)));
    failures
}

impl Facts<'_> {
    fn fail(&self, expected: &Expected, what: String, happened: Vec<String>, why: Vec<String>) -> Failure {
        Failure { line: expected.line, contact: expected.contact.clone(), expected: what, happened, why }
    }

    /// `left` are the mails that no expectation speaks of.
    fn check(&self, expected: &Expected, left: &[&Mail]) -> Option<Failure> {
        let fail = |what: String, happened: Vec<String>, why: Vec<String>| {
            Some(self.fail(expected, what, happened, why))
        };
        match &expected.what {
            Expectation::Mail(_) => None,
            Expectation::NoMails(templates) => {
                let is_unwanted = |mail: &&&Mail| templates.is_empty() || templates.contains(&mail.template);
                let unwanted: Vec<&&Mail> = self.mails.iter().filter(is_unwanted).collect();
                let what = if templates.is_empty() {
                    "no mails".to_owned()
                } else {
                    format!("no mail {}", quoted(templates))
                };
                self.unless(unwanted.is_empty(), || {
                    fail(what, self.shown(&unwanted), self.sent_by(&unwanted))
                })
            }
            Expectation::NoOtherMails => {
                let others: Vec<&&Mail> = left.iter().collect();
                self.unless(others.is_empty(), || {
                    fail("no other mails".to_owned(), self.shown(&others), self.sent_by(&others))
                })
            }
            Expectation::Score(name, wanted) => self.score(name, *wanted, expected),
            Expectation::Attribute(name, wanted) => {
                let found = self.contact.attributes.get(name).unwrap_or(&Value::Null);
                self.unless(found == wanted, || {
                    fail(format!("attribute `{name}` {wanted}"), vec![found.to_string()], self.why(|_| true))
                })
            }
            Expectation::Owner(keys) => {
                let owner = self.contact.owner.as_ref();
                let is_so = owner.map_or(keys.is_empty(), |owner| keys.contains(owner));
                let what =
                    if keys.is_empty() { "no owner".to_owned() } else { format!("owner {}", quoted(keys)) };
                let found = owner.map_or("nobody owns the contact".to_owned(), |owner| format!("`{owner}`"));
                self.unless(is_so, || {
                    let assigned = self.lines(|what| matches!(what, TimelineWhat::Assigned { .. }));
                    fail(what, vec![found], if assigned.is_empty() { self.why(|_| true) } else { assigned })
                })
            }
            Expectation::Tag(tag, wanted) => self.unless(self.contact.tags.contains(tag) == *wanted, || {
                fail(there(*wanted, "tag", tag), vec![list(&self.contact.tags)], self.why(|_| true))
            }),
            Expectation::Segment(segment, wanted) => {
                self.unless(self.contact.segments.contains(segment) == *wanted, || {
                    let moved = self.lines(|what| matches!(what, TimelineWhat::Segment { .. }));
                    let why = if moved.is_empty() { self.why(|_| true) } else { moved };
                    fail(there(*wanted, "segment", segment), vec![list(&self.contact.segments)], why)
                })
            }
            Expectation::Steps(steps) => {
                let taken = self.taken();
                let mut rest = taken.iter();
                let missing = steps.iter().find(|step| !rest.any(|(_, taken)| is_step(step, taken)));
                missing.and_then(|missing| {
                    let names: Vec<String> = steps.iter().map(ToString::to_string).collect();
                    let mut happened = vec![path(&taken)];
                    happened.push(format!("`{missing}` was not taken, or not after those before it"));
                    fail(format!("steps {}", names.join(", ")), happened, self.why(|_| true))
                })
            }
            Expectation::Never(step) => {
                let taken = self.taken();
                let at = taken.iter().find(|(_, taken)| is_step(step, taken));
                at.and_then(|(at, _)| {
                    let happened = vec![format!("taken at {}", time(*at, self.zone))];
                    fail(format!("never step `{step}`"), happened, self.why(|entry| entry.at <= *at))
                })
            }
            Expectation::Enrolled(wanted) => {
                let what = if *wanted { "to be enrolled" } else { "not to be enrolled" };
                let happened = match self.run() {
                    Some(run) => {
                        format!("entered `{}` at {}", run.workflow, time(run.enrolled_at, self.zone))
                    }
                    None => "never entered".to_owned(),
                };
                self.unless(self.run().is_some() == *wanted, || {
                    let entries = [DecisionKind::Enrolled, DecisionKind::NotEnrolled];
                    fail(what.to_owned(), vec![happened], self.decisions(|_, kind| entries.contains(&kind)))
                })
            }
            Expectation::End(wanted) => self.end(wanted, expected),
        }
    }

    fn unless(&self, is_so: bool, fail: impl FnOnce() -> Option<Failure>) -> Option<Failure> {
        if is_so { None } else { fail() }
    }

    fn score(&self, name: &str, wanted: Comparison, expected: &Expected) -> Option<Failure> {
        let found = self.contact.scores.get(name).copied().unwrap_or(0);
        self.unless(wanted.holds(found), || {
            let entries =
                self.lines(|what| matches!(what, TimelineWhat::Score { score, .. } if score == name));
            let why = if entries.is_empty() { self.why(|_| true) } else { entries };
            Some(self.fail(expected, format!("score `{name}` {wanted}"), vec![found.to_string()], why))
        })
    }

    fn end(&self, wanted: &ExpectedEnd, expected: &Expected) -> Option<Failure> {
        let ExpectedEnd { status, reason, step } = wanted;
        let fits = |run: &RunRow| {
            status.as_ref().is_none_or(|status| status == run.status.name())
                && reason.as_ref().is_none_or(|reason| {
                    run.status != RunStatus::Active && run.reason.as_ref() == Some(reason)
                })
                && step.as_ref().is_none_or(|step| is_step(step, &(run.workflow.clone(), run.step.clone())))
        };
        let what: Vec<String> = [
            status.clone(),
            reason.as_ref().map(|reason| format!("with the reason \"{reason}\"")),
            step.as_ref().map(|step| format!("at `{step}`")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let run = self.run();
        self.unless(run.is_some_and(fits), || {
            let happened = match run {
                None => "never entered".to_owned(),
                Some(run) => {
                    let reason = run.reason.as_ref().filter(|reason| !reason.is_empty());
                    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                    format!("{} at `{}`{reason}", run.status.name(), run.step)
                }
            };
            Some(self.fail(expected, format!("end {}", what.join(" ")), vec![happened], self.why(|_| true)))
        })
    }

    /// The first of the contact's runs, paths of runs left out.
    fn run(&self) -> Option<&RunRow> {
        self.runs.iter().find(|run| run.path.is_none())
    }

    /// The steps that were taken, with their times; one that was skipped, or not come to pass yet, was not.
    fn taken(&self) -> Vec<(Timestamp, (String, String))> {
        let is_taken = |passed: &Passed<'_>| {
            passed.how == How::Taken && self.workflows.iter().any(|workflow| workflow == passed.workflow)
        };
        let taken = passed(&self.timeline, &self.runs).into_iter().filter(is_taken);
        taken.map(|passed| (passed.at, (passed.workflow.to_owned(), passed.step.to_owned()))).collect()
    }

    fn mails(&self) -> Vec<String> {
        if self.mails.is_empty() {
            return vec!["no mails".to_owned()];
        }
        self.shown(&self.mails.iter().collect::<Vec<_>>())
    }

    fn shown(&self, mails: &[&&Mail]) -> Vec<String> {
        mails
            .iter()
            .map(|mail| {
                format!("mail `{}` at {} \"{}\"", mail.template, time(mail.at, self.zone), mail.subject)
            })
            .collect()
    }

    /// The decisions of the steps that sent the mails.
    fn sent_by(&self, mails: &[&&Mail]) -> Vec<String> {
        self.why(|entry| mails.iter().any(|mail| entry.at <= mail.at))
    }

    /// What decided about the contact's way: branches, what was skipped or held back, how it ended. Of the rest, the last.
    fn why(&self, of: impl Fn(&TimelineEntry) -> bool) -> Vec<String> {
        let plain = [DecisionKind::Done, DecisionKind::Retrying];
        self.decisions(|entry, kind| of(entry) && !plain.contains(&kind))
    }

    fn decisions(&self, of: impl Fn(&TimelineEntry, DecisionKind) -> bool) -> Vec<String> {
        let is = |entry: &&TimelineEntry| match &entry.what {
            TimelineWhat::Decision { kind, workflow, .. } => {
                self.workflows.contains(workflow) && of(entry, *kind)
            }
            _ => false,
        };
        self.said(self.timeline.iter().filter(is))
    }

    fn lines(&self, of: impl Fn(&TimelineWhat) -> bool) -> Vec<String> {
        self.said(self.timeline.iter().filter(|entry| of(&entry.what)))
    }

    fn said<'t>(&self, entries: impl Iterator<Item = &'t TimelineEntry>) -> Vec<String> {
        let all: Vec<String> = entries
            .map(|entry| {
                let (word, sentence) = entry.line();
                format!("{}  {word:<10} {sentence}", time(entry.at, self.zone))
            })
            .collect();
        let from = all.len().saturating_sub(MOST_REASONS);
        all.into_iter().skip(from).collect()
    }
}

fn fits(wanted: &ExpectedMail, mail: &Mail) -> bool {
    let ExpectedMail { template, at, by, subject, to } = wanted;
    *template == mail.template
        && at.is_none_or(|at| mail.at >= at && mail.at.duration_since(at) < MINUTE)
        && by.is_none_or(|by| mail.at <= by)
        && subject.as_ref().is_none_or(|subject| *subject == mail.subject)
        && to.as_ref().is_none_or(|to| *to == mail.to)
}

fn describe(ExpectedMail { template, at, by, subject, to }: &ExpectedMail, zone: &TimeZone) -> String {
    let parts = [
        Some(format!("`{template}`")),
        at.map(|at| format!("at {}", time(at, zone))),
        by.map(|by| format!("by {}", time(by, zone))),
        subject.as_ref().map(|subject| format!("\"{subject}\"")),
        to.as_ref().map(|to| format!("to {to}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn is_step(wanted: &StepName, (workflow, step): &(String, String)) -> bool {
    wanted.step == *step && wanted.workflow.as_ref().is_none_or(|name| name == workflow)
}

fn path(taken: &[(Timestamp, (String, String))]) -> String {
    if taken.is_empty() {
        return "no step was taken".to_owned();
    }
    let steps: Vec<&str> = taken.iter().map(|(_, (_, step))| step.as_str()).collect();
    format!("took {}", steps.join(", "))
}

fn there(wanted: bool, what: &str, name: &str) -> String {
    format!("{}{what} `{name}`", if wanted { "" } else { "no " })
}

fn list(names: &std::collections::BTreeSet<String>) -> String {
    if names.is_empty() { "none".to_owned() } else { quoted(names) }
}

fn quoted<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// `2024-01-31 09:30`, in the zone of the tests.
fn time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}
