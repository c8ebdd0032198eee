//! `on`: what starts a run.

use dripline_expression::Scope;
use dripline_model::{
    batch::ColumnType,
    contact::RESERVED_FIELDS,
    program::{Dedupe, Occasion, Trigger, When},
};
use serde_json::Value;

use crate::{
    Code, Environment, config,
    diagnostic::one_of,
    read::entry,
    schedule::{self, Schedule},
    source::Report,
    yaml::{Entry, Kind, Node},
};

/// What a trigger may begin with, and the keys that go with each.
pub(crate) const STARTS: &[(&str, &[&str])] = &[
    ("event", &["if", "dedupe"]),
    ("segment_joined", &["if"]),
    ("segment_left", &["if"]),
    ("changed", &["from", "to", "if"]),
    ("workflow", &["ends", "if"]),
    ("schedule", &["time_zone"]),
];

const EXAMPLE: &str = "{event: trial.started}";

/// Reads one trigger, or a list of them.
pub(crate) fn read(node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) -> Vec<Trigger> {
    match &node.kind {
        Kind::List(items) if items.is_empty() => {
            report
                .error(Code::Trigger, &node.span, "nothing starts this workflow")
                .help(format!("write for example {EXAMPLE}, or `on: manual`"));
            Vec::new()
        }
        Kind::List(items) => items.iter().filter_map(|item| trigger(item, environment, report)).collect(),
        _ => trigger(node, environment, report).into_iter().collect(),
    }
}

fn is_start(key: &str) -> bool {
    STARTS.iter().any(|(start, _)| *start == key)
}

/// Every key that a trigger may have.
pub(crate) fn keys() -> Vec<&'static str> {
    let mut keys: Vec<&str> = STARTS.iter().map(|(start, _)| *start).collect();
    for key in STARTS.iter().flat_map(|(_, keys)| keys.iter()) {
        if !keys.contains(key) {
            keys.push(key);
        }
    }
    keys
}

fn trigger(node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) -> Option<Trigger> {
    let entries = match &node.kind {
        Kind::Scalar(text, _) if text == "manual" => return Some(Trigger::Manual),
        Kind::Scalar(text, _) if text == "called" => return Some(Trigger::Called),
        Kind::Scalar(text, _) if !node.is_null() => {
            let diagnostic = report.error(Code::Trigger, &node.span, format!("`{text}` is no trigger"));
            diagnostic.help(match dripline_model::suggest::closest(text, ["manual", "called"]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write {{event: {text}}} for an event, or `manual`"),
            });
            return None;
        }
        _ => report.read_mapping(node, "a trigger", EXAMPLE)?,
    };
    let known = keys();
    report.unknown_keys(entries, &known, "a trigger");
    let starts: Vec<&Entry> = entries.iter().filter(|entry| is_start(&entry.key)).collect();
    let [start] = starts.as_slice() else {
        match starts.get(1) {
            Some(second) => report
                .error(Code::Trigger, &second.key_span, "one trigger names two starts")
                .help("write a list: on: [{event: a}, {event: b}]"),
            None if entries.iter().all(|entry| known.contains(&entry.key.as_str())) => {
                let starts = one_of(STARTS.iter().map(|(start, _)| *start)).unwrap_or_default();
                report
                    .error(Code::Trigger, &node.span, format!("a trigger needs {starts}"))
                    .help(format!("write for example {EXAMPLE}"))
            }
            // The unknown key has been complained of.
            None => return None,
        };
        return None;
    };
    foreign_keys(entries, start, report);
    if start.key == "schedule" {
        return schedule(&start.value, entry(entries, "time_zone"), environment, report);
    }
    let errors = report.errors();
    let what = occasion(start, entries, environment, report);
    let scope = Scope { attributes: environment.attributes, event: true, inputs: None };
    let condition = entry(entries, "if")
        .and_then(|entry| report.read_cel(&entry.value, "`if`", ColumnType::Boolean, &scope));
    let dedupe = entry(entries, "dedupe").and_then(|entry| dedupe(&entry.value, &scope, report));
    if report.errors() > errors {
        return None;
    }
    // What needs no more than a name stays what it was in older programs.
    Some(match (what?, condition, dedupe) {
        (Occasion::Event(name), None, None) => Trigger::Event(name),
        (Occasion::SegmentJoined(name), None, None) => Trigger::SegmentJoined(name),
        (what, condition, dedupe) => Trigger::When(When { what, condition, dedupe }),
    })
}

/// Complains of keys that go with other starts.
fn foreign_keys(entries: &[Entry], start: &Entry, report: &mut Report<'_>) {
    let own = STARTS.iter().find(|(key, _)| *key == start.key).map_or(&[][..], |(_, keys)| keys);
    for entry in entries.iter().filter(|entry| entry.key != start.key && !own.contains(&entry.key.as_str())) {
        let whose: Vec<&str> = STARTS
            .iter()
            .filter(|(_, keys)| keys.contains(&entry.key.as_str()))
            .map(|(start, _)| *start)
            .collect();
        if let Some(whose) = one_of(whose) {
            let message = format!("`{}` goes with {whose} only", entry.key);
            report.error(Code::Trigger, &entry.key_span, message).help("remove it");
        }
    }
}

fn occasion(
    start: &Entry,
    entries: &[Entry],
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Occasion> {
    match start.key.as_str() {
        "event" => report.read_name(&start.value, "`event`").map(Occasion::Event),
        "segment_joined" => segment(start, environment, report).map(Occasion::SegmentJoined),
        "segment_left" => segment(start, environment, report).map(Occasion::SegmentLeft),
        "changed" => changed(&start.value, entries, environment, report),
        _ => workflow(&start.value, entry(entries, "ends"), report),
    }
}

fn changed(
    node: &Node,
    entries: &[Entry],
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Occasion> {
    let from = entry(entries, "from").and_then(|entry| value(entry, report));
    let to = entry(entries, "to").and_then(|entry| value(entry, report));
    let written = report.read_name(node, "`changed`")?;
    let attribute = written.strip_prefix("contact.").unwrap_or(&written).to_owned();
    let is_name = |name: &str| {
        name.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    if attribute.len() == written.len() || !is_name(&attribute) || attribute.is_empty() {
        let diagnostic =
            report.error(Code::Changed, &node.span, format!("`{written}` is no attribute of a contact"));
        match is_name(&written).then_some(&written) {
            Some(name) => diagnostic.help(format!("write changed: contact.{name}")),
            None => diagnostic.help("write for example changed: contact.plan"),
        };
        return None;
    }
    if RESERVED_FIELDS.contains(&attribute.as_str()) {
        report
            .error(Code::Changed, &node.span, format!("`{written}` is no attribute, and its changes start nothing"))
            .help("only attributes, as imports and steps set them, can be watched; `segment_joined` and `wait_for: {if: …}` look at more");
        return None;
    }
    if let Some(known) = environment.attributes
        && !known.contains(&attribute)
    {
        let near = dripline_model::suggest::closest(&attribute, known.names());
        let message = format!("no contact has an attribute `{attribute}`");
        match near {
            Some(near) => {
                report
                    .error(Code::Changed, &node.span, message)
                    .help(format!("did you mean `contact.{near}`?"));
                return None;
            }
            None => {
                let help = "until an import brings it, nothing starts";
                report.warning(Code::NoSuchAttribute, &node.span, message).help(help);
            }
        }
    }
    Some(Occasion::Changed { attribute, from, to })
}

/// A value of an attribute.
fn value(entry: &Entry, report: &mut Report<'_>) -> Option<Value> {
    match entry.value.value() {
        value @ (Value::String(_) | Value::Number(_) | Value::Bool(_)) => Some(value),
        _ => {
            let name = format!("`{}`", entry.key);
            report
                .wrong_type(&entry.value, &name, "a text, a number, true or false")
                .help("ask for a value that is missing with `if`: '!has(event.properties.from)'");
            None
        }
    }
}

fn workflow(node: &Node, ends: Option<&Entry>, report: &mut Report<'_>) -> Option<Occasion> {
    let any = match ends.map(|ends| (ends, ends.value.scalar())) {
        None | Some((_, Some("completed"))) => Some(false),
        Some((_, Some("any"))) => Some(true),
        Some((ends, found)) => {
            let found = found.map_or_else(|| ends.value.what().to_owned(), |found| format!("`{found}`"));
            report
                .error(Code::Ends, &ends.value.span, format!("`ends` cannot be {found}"))
                .help("write completed, which holds without it, or any");
            None
        }
    };
    Some(Occasion::WorkflowEnded { workflow: report.read_name(node, "`workflow`")?, any: any? })
}

fn dedupe(node: &Node, scope: &Scope<'_>, report: &mut Report<'_>) -> Option<Dedupe> {
    const EXAMPLE: &str = "{key: event.properties.order, within: 30d}";
    let entries = report.read_mapping(node, "`dedupe`", EXAMPLE)?;
    report.unknown_keys(entries, &["key", "within"], "`dedupe`");
    let (key, within) = (entry(entries, "key"), entry(entries, "within"));
    if key.is_none() || within.is_none() {
        let missing = if key.is_none() { "key" } else { "within" };
        let message = format!("`dedupe` lacks `{missing}`");
        report.error(Code::Dedupe, &node.span, message).help(format!("write for example {EXAMPLE}"));
    }
    let key = key.and_then(|key| report.read_cel(&key.value, "`key`", ColumnType::Text, scope));
    let within = within.and_then(|within| report.read_duration(&within.value, "`within`"));
    Some(Dedupe { key: key?, within: within? })
}

fn schedule(
    node: &Node,
    zone: Option<&Entry>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Trigger> {
    let cron = report.read_text(node, "`schedule`");
    let time_zone = match zone {
        Some(zone) => report.read_text(&zone.value, "`time_zone`")?,
        None => environment.default_time_zone.to_owned(),
    };
    if let Err(error) = schedule::zone(&time_zone) {
        let place = zone.map_or(&node.span, |zone| &zone.value.span);
        report.error(Code::TimeZone, place, error).help("write an IANA name such as Europe/Berlin or UTC");
        return None;
    }
    let cron = cron?;
    match Schedule::parse(&cron, &time_zone) {
        Ok(_) => Some(Trigger::Schedule { cron, time_zone }),
        Err(message) => {
            report
                .error(Code::Schedule, &node.span, message)
                .help("five fields: minute hour day-of-month month day-of-week; \"30 9 * * 1-5\" is 9:30 on workdays");
            None
        }
    }
}

/// The name of a segment that somebody joins or leaves.
fn segment(start: &Entry, environment: &Environment<'_>, report: &mut Report<'_>) -> Option<String> {
    let name = report.read_name(&start.value, &format!("`{}`", start.key))?;
    config::segment(&name, &start.value, environment, report);
    Some(name)
}
