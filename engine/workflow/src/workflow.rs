//! The top of a workflow file: name, triggers, enrolment.

use dripline_expression::Scope;
use dripline_model::{
    batch::ColumnType,
    policy::Policies,
    program::{Again, FORMAT, Program, Trigger},
};

use crate::{
    Checked, Code, Environment, Source, config, flow, policies,
    read::{entry, misspelt},
    schedule::Schedule,
    source::Report,
    step_reader,
    yaml::{self, Entry, Kind, Node},
};

pub(crate) const KEYS: &[&str] =
    &["name", "description", "on", "enroll", "goals", "exits", "settings", "steps"];
pub(crate) const TRIGGER_KEYS: &[&str] = &["event", "segment_joined", "schedule", "time_zone"];
const TRIGGER_EXAMPLE: &str = "{event: trial.started}";

/// Checks a workflow file: everything that can be known without running it.
///
/// What a plugin alone can say of its configuration is the caller's to ask, with [`Checked::configs`].
pub fn check(source: &Source, environment: &Environment<'_>) -> Checked {
    let mut report = Report::new(source);
    let (program, configs) = yaml::parse(source, &mut report)
        .map_or_else(Default::default, |tree| document(&tree, environment, &mut report));
    let program = program.filter(|_| report.errors() == 0);
    Checked { program, diagnostics: report.into_diagnostics(), configs }
}

fn document(
    tree: &Node,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> (Option<Program>, Vec<crate::PluginConfig>) {
    let Kind::Mapping(entries) = &tree.kind else {
        report
            .error(
                Code::NotMapping,
                &tree.span,
                format!("a workflow is a mapping, but this is {}", tree.what()),
            )
            .help("begin with `name: my-workflow`; `dripline explain E0105` shows a whole one");
        return (None, Vec::new());
    };
    report.unknown_keys(entries, KEYS, "a workflow");
    let start = tree.span.start..tree.span.start;
    let required = |key: &str, example: &str, report: &mut Report<'_>| {
        let found = entry(entries, key);
        if found.is_none() && !misspelt(key, KEYS, entries.iter().map(|entry| entry.key.as_str())) {
            report
                .error(Code::MissingKey, &start, format!("`{key}` is missing"))
                .help(format!("add {example}"));
        }
        found
    };
    let name =
        required("name", "`name: my-workflow`", report).and_then(|entry| workflow_name(&entry.value, report));
    let on = required("on", "`on: {event: trial.started}`, or `on: manual`", report);
    let triggers = on.map(|entry| triggers(&entry.value, environment, report)).unwrap_or_default();
    let description =
        entry(entries, "description").and_then(|entry| report.read_text(&entry.value, "`description`"));
    let (enroll_if, again) = entry(entries, "enroll")
        .map_or((None, Again::Never), |entry| enrolment(&entry.value, environment, report));
    let (share, mut policies) =
        entry(entries, "settings").map(|entry| settings(&entry.value, report)).unwrap_or_default();
    for (key, goals) in [("goals", &mut policies.goals), ("exits", &mut policies.exits)] {
        if let Some(entry) = entry(entries, key) {
            *goals = policies::goals(&entry.value, key, environment, report);
        }
    }
    let Some(steps) = required("steps", "`steps:` with at least one step", report) else {
        return (None, Vec::new());
    };
    let compiled = step_reader::read(&steps.value, name.as_deref().unwrap_or_default(), environment, report);
    flow::check(&compiled, entry(entries, "goals").is_some(), report);
    let (nodes, templates, configs) = compiled.finish();
    let mut program = name.map(|name| Program {
        format: FORMAT,
        name,
        description,
        triggers,
        enroll_if,
        again,
        nodes,
        templates,
        share,
        policies,
    });
    if let Some(program) = &mut program {
        program.format = program.needed_format();
    }
    (program, configs)
}

fn workflow_name(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let name = report.read_text(node, "`name`")?;
    let fits =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    if !name.is_empty() && name.len() <= 100 && name.chars().all(fits) {
        return Some(name);
    }
    let diagnostic = report.error(
        Code::Name,
        &node.span,
        format!("`{name}` is no workflow name: small letters, digits and `-`, at most 100"),
    );
    let slug = slug(&name, '-');
    if !slug.is_empty() {
        diagnostic.help(format!("write `{slug}`"));
    }
    None
}

/// What is left of `text` as a name.
pub(crate) fn slug(text: &str, joiner: char) -> String {
    let words: Vec<String> = text
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join(&joiner.to_string()).chars().take(100).collect()
}

fn triggers(node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) -> Vec<Trigger> {
    match &node.kind {
        Kind::List(items) if items.is_empty() => {
            report
                .error(Code::Trigger, &node.span, "nothing starts this workflow")
                .help(format!("write for example {TRIGGER_EXAMPLE}, or `on: manual`"));
            Vec::new()
        }
        Kind::List(items) => items.iter().filter_map(|item| trigger(item, environment, report)).collect(),
        _ => trigger(node, environment, report).into_iter().collect(),
    }
}

fn trigger(node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) -> Option<Trigger> {
    let entries = match &node.kind {
        Kind::Scalar(text, _) if text == "manual" => return Some(Trigger::Manual),
        Kind::Scalar(text, _) if !node.is_null() => {
            let diagnostic = report.error(Code::Trigger, &node.span, format!("`{text}` is no trigger"));
            diagnostic.help(match dripline_model::suggest::closest(text, ["manual"]) {
                Some(_) => "did you mean `manual`?".to_owned(),
                None => format!("write {{event: {text}}} for an event, or `manual`"),
            });
            return None;
        }
        _ => report.read_mapping(node, "a trigger", TRIGGER_EXAMPLE)?,
    };
    report.unknown_keys(entries, TRIGGER_KEYS, "a trigger");
    let starts: Vec<&Entry> = entries
        .iter()
        .filter(|entry| matches!(entry.key.as_str(), "event" | "segment_joined" | "schedule"))
        .collect();
    let time_zone = entry(entries, "time_zone");
    let [start] = starts.as_slice() else {
        match starts.get(1) {
            Some(second) => report
                .error(Code::Trigger, &second.key_span, "one trigger names two starts")
                .help("write a list: on: [{event: a}, {event: b}]"),
            None if entries.iter().all(|entry| TRIGGER_KEYS.contains(&entry.key.as_str())) => report
                .error(Code::Trigger, &node.span, "a trigger needs `event`, `segment_joined` or `schedule`")
                .help(format!("write for example {TRIGGER_EXAMPLE}")),
            // The unknown key has been complained of.
            None => return None,
        };
        return None;
    };
    if let Some(zone) = time_zone.filter(|_| start.key != "schedule") {
        report
            .error(Code::Trigger, &zone.key_span, "`time_zone` goes with `schedule` only")
            .help("remove it");
    }
    match start.key.as_str() {
        "event" => report.read_name(&start.value, "`event`").map(Trigger::Event),
        "segment_joined" => {
            let name = report.read_name(&start.value, "`segment_joined`")?;
            config::segment(&name, &start.value, environment, report);
            Some(Trigger::SegmentJoined(name))
        }
        _ => schedule(&start.value, time_zone, environment, report),
    }
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
    if let Err(error) = crate::schedule::zone(&time_zone) {
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

/// The workflow's share, if it says one, and what bounds it.
fn settings(node: &Node, report: &mut Report<'_>) -> (Option<u32>, Policies) {
    let Some(entries) = report.read_mapping(node, "`settings`", "{share: 20}") else {
        return Default::default();
    };
    let known: Vec<&str> = ["share"].iter().chain(policies::SETTINGS).copied().collect();
    report.unknown_keys(entries, &known, "`settings`");
    let share = entry(entries, "share").and_then(|entry| share(&entry.value, report));
    (share, policies::settings(entries, report))
}

fn share(share: &Node, report: &mut Report<'_>) -> Option<u32> {
    let number = share.value().as_u64().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| (1..=100).contains(number));
    if number.is_none() {
        let found = share
            .scalar()
            .filter(|_| !share.is_null())
            .map_or(share.what().to_owned(), |text| format!("`{text}`"));
        report
            .error(Code::Share, &share.span, format!("`share` cannot be {found}"))
            .help("write a whole number from 1 to 100; without it the share is 10");
    }
    number
}

fn enrolment(node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) -> (Option<String>, Again) {
    let Some(entries) = report.read_mapping(node, "`enroll`", "{if: contact.consent.email}") else {
        return (None, Again::Never);
    };
    report.unknown_keys(entries, &["if", "again"], "`enroll`");
    let scope = Scope { attributes: environment.attributes, event: true };
    let condition = entry(entries, "if")
        .and_then(|entry| report.read_cel(&entry.value, "`enroll.if`", ColumnType::Boolean, &scope));
    let again = entry(entries, "again").and_then(|entry| again(&entry.value, report)).unwrap_or(Again::Never);
    (condition, again)
}

fn again(node: &Node, report: &mut Report<'_>) -> Option<Again> {
    const FORMS: &str = "write never, always or {after: 90d}";
    match &node.kind {
        Kind::Scalar(text, _) if text == "never" => Some(Again::Never),
        Kind::Scalar(text, _) if text == "always" => Some(Again::Always),
        Kind::Mapping(entries) => {
            report.unknown_keys(entries, &["after"], "`again`");
            match entry(entries, "after") {
                Some(after) => report.read_duration(&after.value, "`after`").map(Again::After),
                None if entries.is_empty() => {
                    report.error(Code::Again, &node.span, "`again` says nothing").help(FORMS);
                    None
                }
                None => None,
            }
        }
        _ => {
            let found = node
                .scalar()
                .filter(|_| !node.is_null())
                .map_or(node.what().to_owned(), |text| format!("`{text}`"));
            let diagnostic = report.error(Code::Again, &node.span, format!("`again` cannot be {found}"));
            match node.scalar().filter(|text| dripline_model::duration::parse(text).is_ok()) {
                Some(text) => diagnostic.help(format!("write {{after: {text}}}")),
                None => diagnostic.help(FORMS),
            };
            None
        }
    }
}
