//! `experiment`: ways by chance that are compared, and when one of them has won.

use dripline_expression::Scope;
use dripline_model::{
    batch::ColumnType,
    duration,
    policy::Goal,
    program::{Experiment, HOLD_OUT},
};
use jiff::civil::{Date, DateTime};

use crate::{
    Code, Environment,
    read::{entry, misspelt},
    source::Report,
    step_reader::{Parts, Reader},
    steps::Kind,
    yaml::{self, Entry, Node},
};

const KEYS: &[&str] = &["arms", "hold_out", "goal", "minimum", "significance", "until"];
const EXAMPLE: &str = "{arms: {short: 1, long: 1}, goal: {event: email.clicked, within: 3d}}";
const GOAL: &str = "{event: email.clicked, within: 3d}";

/// How many contacts of each arm the first look at an experiment waits for, where its author does not say.
const MINIMUM: u64 = 500;

impl Reader<'_> {
    pub(crate) fn experiment(
        &mut self,
        verb: &Entry,
        parts: &Parts<'_>,
        paths: Option<&Entry>,
        report: &mut Report<'_>,
    ) -> Kind {
        let errors = report.errors();
        let entries = report.read_mapping(&verb.value, "`experiment`", EXAMPLE).unwrap_or_default();
        report.unknown_keys(entries, KEYS, "`experiment`");
        let lacks = |key: &str| {
            entry(entries, key).is_none()
                && !misspelt(key, KEYS, entries.iter().map(|entry| entry.key.as_str()))
        };
        if entry(parts.entries, "id").is_none() {
            report
                .error(Code::ExperimentId, &verb.key_span, "an experiment needs an `id`")
                .help("add for example `id: subject-line`; its counts belong to that name, in every version");
        }
        let arms = match entry(entries, "arms") {
            Some(arms) => self.arms(&arms.value, "`arms`", "experiment", report),
            None => Vec::new(),
        };
        if lacks("arms") && report.errors() == errors {
            report
                .error(Code::Experiment, &verb.key_span, "this `experiment` has no `arms`")
                .help(format!("write for example {EXAMPLE}"));
        }
        if let Some(arms) = entry(entries, "arms")
            && let yaml::Kind::Mapping(arms) = &arms.value.kind
            && let Some(taken) = arms.iter().find(|arm| arm.key == HOLD_OUT)
        {
            report
                .error(Code::Experiment, &taken.key_span, format!("no arm can be called `{HOLD_OUT}`"))
                .help("that is what those are called who are held out of the experiment");
        }
        let goal = match entry(entries, "goal") {
            Some(found) => goal(&found.value, self.environment, report),
            None => {
                if lacks("goal") {
                    report
                        .error(Code::ExperimentGoal, &verb.key_span, "this `experiment` has no `goal`")
                        .help(format!("say by what the arms are compared: goal: {GOAL}"));
                }
                None
            }
        };
        let hold_out = entry(entries, "hold_out").and_then(|entry| percent(&entry.value, report));
        let significance =
            entry(entries, "significance").and_then(|entry| significance(&entry.value, report));
        let minimum = entry(entries, "minimum").and_then(|found| minimum(found, entries, report));
        let until = entry(entries, "until").and_then(|entry| date(&entry.value, report));
        let arms = self.arm_paths(arms, verb, paths, parts, "experiment", report);
        let what = goal.filter(|_| report.errors() == errors).map(|(goal, within)| Experiment {
            arms: Vec::new(),
            hold_out,
            goal,
            within,
            significance,
            minimum: significance.map(|_| minimum.unwrap_or(MINIMUM)),
            until,
        });
        Kind::Experiment { what, arms }
    }
}

/// What counts as success, and within which time.
fn goal(node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) -> Option<(Goal, String)> {
    const KEYS: &[&str] = &["event", "if", "within"];
    let entries = report.read_mapping(node, "`goal`", GOAL)?;
    let errors = report.errors();
    report.unknown_keys(entries, KEYS, "`goal`");
    let says = |key: &str| entry(entries, key).is_some();
    let slipped = |key: &str| misspelt(key, KEYS, entries.iter().map(|entry| entry.key.as_str()));
    if !says("event") && !says("if") && !slipped("event") && !slipped("if") {
        report
            .error(Code::ExperimentGoal, &node.span, "`goal` names neither an event nor a condition")
            .help(format!("write for example goal: {GOAL}"));
    }
    if !says("within") && !slipped("within") {
        report
            .error(Code::ExperimentGoal, &node.span, "`goal` does not say within which time it counts")
            .help("add `within: 3d`; contacts are compared when that is over for them");
    }
    let event = entry(entries, "event").and_then(|entry| report.read_name(&entry.value, "`event`"));
    let scope = Scope { attributes: environment.attributes, event: says("event"), ..Scope::default() };
    let condition = entry(entries, "if")
        .and_then(|entry| report.read_cel(&entry.value, "`if`", ColumnType::Boolean, &scope));
    let within = entry(entries, "within").and_then(|entry| {
        let text = report.read_duration(&entry.value, "`within`")?;
        if duration::parse(&text).is_ok_and(|span| span.is_zero()) {
            report
                .error(
                    Code::ExperimentGoal,
                    &entry.value.span,
                    format!("`{text}` is no time in which a goal is reached"),
                )
                .help("write for example 4h, 3d or 2w");
        }
        Some(text)
    });
    (report.errors() == errors).then_some((Goal { event, condition }, within?))
}

fn percent(node: &Node, report: &mut Report<'_>) -> Option<u32> {
    let number = node.value().as_u64().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| (1..=90).contains(number));
    if number.is_none() {
        report
            .error(Code::Experiment, &node.span, "`hold_out` is not a whole number from 1 to 90")
            .help("it is how many of a hundred contacts go on below without any arm: hold_out: 10");
    }
    number
}

fn significance(node: &Node, report: &mut Report<'_>) -> Option<f64> {
    let number = node.value().as_f64().filter(|number| (0.5..1.0).contains(number));
    if number.is_none() {
        report
            .error(Code::ExperimentEnd, &node.span, "`significance` is not a number from 0.5 to below 1")
            .help("0.95 means that in at most one of twenty experiments without any difference an arm is said to have won");
    }
    number
}

fn minimum(found: &Entry, entries: &[Entry], report: &mut Report<'_>) -> Option<u64> {
    let number = found.value.value().as_u64().filter(|number| (10..=1_000_000_000).contains(number));
    if number.is_none() {
        report
            .error(Code::ExperimentEnd, &found.value.span, "`minimum` is not a whole number of 10 or more")
            .help("it is how many contacts each arm needs before anything is decided");
    } else if entry(entries, "significance").is_none() {
        report
            .error(Code::ExperimentEnd, &found.key_span, "`minimum` goes with `significance`")
            .help("add `significance: 0.95`, or remove it");
    }
    number
}

/// A day, from whose beginning on, or a moment, from which on the best arm has won.
fn date(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let text = node.scalar().filter(|_| !node.is_null()).unwrap_or_default();
    let is_date = text.parse::<Date>().is_ok() || text.parse::<DateTime>().is_ok();
    if !is_date {
        report
            .error(Code::ExperimentEnd, &node.span, "`until` is neither a date nor a date and time")
            .help("write for example until: 2026-12-31, or until: 2026-12-31T18:00");
        return None;
    }
    Some(text.to_owned())
}
