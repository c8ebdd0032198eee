//! `on`: what starts a run.

use dripline_expression::{Expression, Scope};
use dripline_model::{
    batch::ColumnType,
    contact::RESERVED_FIELDS,
    duration,
    program::{DateTrigger, Debounce, Dedupe, Occasion, Shift, Trigger, When},
    zone,
};
use jiff::{Span, Timestamp, civil::Time, tz::TimeZone};
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
    ("event", &["if", "dedupe", "debounce"]),
    ("segment_joined", &["if"]),
    ("segment_left", &["if"]),
    ("changed", &["from", "to", "if"]),
    ("workflow", &["ends", "if"]),
    ("date", &["before", "after", "every", "at", "if"]),
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
    let debounce = entry(entries, "debounce").and_then(|entry| debounce(&entry.value, report));
    if report.errors() > errors {
        return None;
    }
    // What needs no more than a name stays what it was in older programs.
    Some(match (what?, condition, dedupe, debounce) {
        (Occasion::Event(name), None, None, None) => Trigger::Event(name),
        (Occasion::SegmentJoined(name), None, None, None) => Trigger::SegmentJoined(name),
        (what, condition, dedupe, debounce) => {
            Trigger::When(Box::new(When { what, condition, dedupe, debounce }))
        }
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
        "date" => date(&start.value, entries, environment, report),
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

fn date(
    node: &Node,
    entries: &[Entry],
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Occasion> {
    let scope = Scope { attributes: environment.attributes, event: false, inputs: None };
    let compile = |source: &str, scope: &Scope<'_>| Expression::compile(source, ColumnType::Timestamp, scope);
    let date = report.read_expression(node, "`date`", &scope, compile);
    if date.as_ref().is_some_and(Expression::reads_now) {
        report
            .error(Code::Date, &node.span, "a date that depends on `now` never comes, or always")
            .help("name a date of the contact, and say with `before` or `after` how far from it: {date: contact.renewal_date, before: 30d}");
        return None;
    }
    let shift = match (entry(entries, "before"), entry(entries, "after")) {
        (Some(_), Some(after)) => {
            report
                .error(Code::Date, &after.key_span, "a date trigger has `before` or `after`, not both")
                .help("write a list of two triggers for two moments");
            None
        }
        (Some(before), None) => shift(before, report).map(Shift::Before),
        (None, Some(after)) => shift(after, report).map(Shift::After),
        (None, None) => None,
    };
    let at = entry(entries, "at").and_then(|entry| time_of_day(&entry.value, report));
    let yearly = entry(entries, "every").is_some_and(|entry| yearly(&entry.value, report));
    let date = date?;
    let mut needs = date.needs().clone();
    needs.attributes.extend(zone::ATTRIBUTES.map(str::to_owned));
    let date = date.source().to_owned();
    Some(Occasion::Date(DateTrigger { date, shift, at, yearly, needs }))
}

/// The longest that a trigger may lie before or after its date, in years.
const MOST_YEARS: i64 = 10;

/// A duration as it is written, which is no longer than ten years.
fn shift(entry: &Entry, report: &mut Report<'_>) -> Option<String> {
    let name = format!("`{}`", entry.key);
    let text = report.read_duration(&entry.value, &name)?;
    let epoch = TimeZone::UTC;
    let end = duration::parse(&text).ok().map(|span| duration::after(Timestamp::UNIX_EPOCH, span, &epoch));
    let most = duration::after(Timestamp::UNIX_EPOCH, Span::new().years(MOST_YEARS), &epoch);
    if end.is_none_or(|end| end > most || end == Timestamp::UNIX_EPOCH) {
        let message = format!("{name} cannot be `{text}`");
        report
            .error(Code::Date, &entry.value.span, message)
            .help(format!("write for example 30d or 2w; at most {MOST_YEARS} years"));
        return None;
    }
    // Its words are part of what the trigger is.
    Some(text.trim().to_owned())
}

fn time_of_day(node: &Node, report: &mut Report<'_>) -> Option<String> {
    const HELP: &str = "write for example at: \"09:00\", by the contact's clock";
    let text = report.read_text(node, "`at`")?;
    match text.trim().parse::<Time>() {
        Ok(time) => Some(time.strftime(if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" }).to_string()),
        Err(_) => {
            report.error(Code::Date, &node.span, format!("`{text}` is not a time of day")).help(HELP);
            None
        }
    }
}

/// Whether it says `year`.
fn yearly(node: &Node, report: &mut Report<'_>) -> bool {
    let is_year = node.scalar() == Some("year");
    if !is_year {
        let found = node
            .scalar()
            .filter(|_| !node.is_null())
            .map_or_else(|| node.what().to_owned(), |text| format!("`{text}`"));
        report
            .error(Code::Date, &node.span, format!("`every` cannot be {found}"))
            .help("write `every: year`; for other rhythms there is `schedule`");
    }
    is_year
}

fn debounce(node: &Node, report: &mut Report<'_>) -> Option<Debounce> {
    const EXAMPLE: &str = "{quiet: 30m, at_most: 1d}";
    let (quiet, at_most) = match &node.kind {
        Kind::Mapping(entries) => {
            report.unknown_keys(entries, &["quiet", "at_most"], "`debounce`");
            let quiet = entry(entries, "quiet");
            if quiet.is_none() {
                let help = format!("write for example {EXAMPLE}, or debounce: 30m");
                report.error(Code::Debounce, &node.span, "`debounce` lacks `quiet`").help(help);
            }
            let at_most = entry(entries, "at_most");
            (
                quiet.map(|quiet| (&quiet.value, report.read_duration(&quiet.value, "`quiet`"))),
                at_most.map(|at_most| (&at_most.value, report.read_duration(&at_most.value, "`at_most`"))),
            )
        }
        _ => (Some((node, report.read_duration(node, "`debounce`"))), None),
    };
    let (quiet_node, quiet) = quiet?;
    let quiet = quiet?;
    let length = |text: &str| {
        let span = duration::parse(text).unwrap_or_default();
        duration::after(Timestamp::UNIX_EPOCH, span, &TimeZone::UTC).as_millisecond()
    };
    let quiet_ms = length(&quiet);
    if quiet_ms == 0 || quiet_ms > MOST_QUIET_MS {
        let message = format!("`{quiet}` is no time to wait for another event");
        report
            .error(Code::Debounce, &quiet_node.span, message)
            .help("write for example 30m or 2h, at most 30 days");
        return None;
    }
    let at_most = match at_most {
        None => format!("{}ms", quiet_ms.saturating_mul(TIMES)),
        Some((at_most_node, at_most)) => {
            let at_most = at_most?;
            if length(&at_most) < quiet_ms {
                report
                    .error(
                        Code::Debounce,
                        &at_most_node.span,
                        format!("`at_most` is shorter than `quiet`, {quiet}"),
                    )
                    .help("without it, ten times `quiet` holds");
                return None;
            }
            at_most
        }
    };
    Some(Debounce { quiet, at_most })
}

/// How often the quiet time fits into the longest that a series lasts, where nobody says so.
const TIMES: i64 = 10;

/// Longer than that is no pause any more.
const MOST_QUIET_MS: i64 = 30 * 86_400_000;

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
