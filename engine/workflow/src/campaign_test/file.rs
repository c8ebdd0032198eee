//! The top of a test file, and its tests.

use std::collections::BTreeMap;

use dripline_model::{
    duration,
    program::{Program, Trigger},
};
use jiff::{Timestamp, civil, tz::TimeZone};

use super::{GivenContact, GivenEnrolment, GivenEvent, Test, TestEnvironment, TestFile, expect, given};
use crate::{
    Code, Diagnostic, Source,
    behaviour::{self, Behaviour, Known, check_workflow, named, read_properties},
    read::{entry, misspelt},
    source::Report,
    yaml::{self, Entry, Kind, Node},
};

const KEYS: &[&str] = &["workflow", "time_zone", "from", "for", "contacts", "behaviour", "seed", "tests"];
const TEST_KEYS: &[&str] =
    &["name", "from", "for", "contacts", "events", "enroll", "behaviour", "seed", "expect"];

/// When a test begins that says nothing: a Monday.
const FROM: civil::DateTime = civil::datetime(2024, 1, 1, 9, 0, 0, 0);
/// For how long a test goes on that says nothing.
const FOR: &str = "60d";

/// What holds for all tests of a file, and what the file may name.
pub(super) struct Context<'a> {
    pub(super) environment: &'a TestEnvironment<'a>,
    pub(super) programs: Vec<&'a Program>,
    pub(super) zone: TimeZone,
    contacts: BTreeMap<String, GivenContact>,
    behaviour: Option<&'a Node>,
    from: Timestamp,
    length: jiff::Span,
    seed: u64,
}

pub(super) fn parse(source: &Source, environment: &TestEnvironment<'_>) -> Result<TestFile, Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let tree = yaml::parse(source, &mut report);
    let file = tree.as_ref().and_then(|tree| document(tree, environment, &mut report));
    match file {
        Some(file) if report.errors() == 0 => Ok(file),
        _ => Err(report.into_diagnostics()),
    }
}

fn document(tree: &Node, environment: &TestEnvironment<'_>, report: &mut Report<'_>) -> Option<TestFile> {
    let entries = report.read_mapping(tree, "a file of tests", "`workflow: welcome` and `tests: [ … ]`")?;
    report.unknown_keys(entries, KEYS, "a file of tests");
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
    let workflows = required("workflow", "`workflow:` with the name of the workflow that is tested", report)
        .map(|entry| workflows(&entry.value, environment, report))
        .unwrap_or_default();
    let zone = zone(entry(entries, "time_zone"), environment, report);
    let from = start_of(entry(entries, "from"), &zone, None, report);
    let programs =
        environment.programs.iter().copied().filter(|program| workflows.contains(&program.name)).collect();
    let mut context = Context {
        environment,
        programs,
        contacts: BTreeMap::new(),
        behaviour: entry(entries, "behaviour").map(|entry| &entry.value),
        length: length_of(entry(entries, "for"), None, report),
        seed: seed_of(entry(entries, "seed"), 0, report),
        zone,
        from,
    };
    if let Some(entry) = entry(entries, "contacts") {
        context.contacts = given::contacts(&entry.value, &context, from, report);
    }
    let list = required("tests", "`tests:` with at least one test", report)?;
    let items = report.read_list(&list.value, "`tests`", "[{name: …, expect: …}]")?;
    if items.is_empty() {
        report.error(Code::NothingExpected, &list.value.span, "there are no tests").help("add a test");
    }
    let mut tests: Vec<Test> = Vec::with_capacity(items.len());
    for item in items {
        let Some(test) = test(item, &context, report) else { continue };
        if let Some(twin) = tests.iter().find(|other| other.name == test.name) {
            report
                .error(Code::DuplicateTest, &item.span, format!("two tests are called `{}`", test.name))
                .label(format!("the other is in line {}", twin.line));
        }
        tests.push(test);
    }
    Some(TestFile { workflows, time_zone: context.zone, tests })
}

fn workflows(node: &Node, environment: &TestEnvironment<'_>, report: &mut Report<'_>) -> Vec<String> {
    let nodes = match &node.kind {
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    let mut names = Vec::with_capacity(nodes.len());
    for node in nodes {
        if let Some(name) = report.read_name(node, "`workflow`") {
            check_workflow(&name, node, environment.programs, report);
            names.push(name);
        }
    }
    names
}

fn zone(entry: Option<&Entry>, environment: &TestEnvironment<'_>, report: &mut Report<'_>) -> TimeZone {
    let Some(entry) = entry else { return environment.time_zone.clone() };
    let name = report.read_text(&entry.value, "`time_zone`").unwrap_or_default();
    match crate::schedule::zone(&name) {
        Ok(zone) => zone,
        Err(message) => {
            report
                .error(Code::TimeZone, &entry.value.span, message)
                .help("write an IANA name such as Europe/Berlin or UTC");
            environment.time_zone.clone()
        }
    }
}

fn start_of(
    entry: Option<&Entry>,
    zone: &TimeZone,
    default: Option<Timestamp>,
    report: &mut Report<'_>,
) -> Timestamp {
    let otherwise = default.unwrap_or_else(|| {
        FROM.to_zoned(zone.clone()).map_or(Timestamp::UNIX_EPOCH, |zoned| zoned.timestamp())
    });
    let Some(entry) = entry else { return otherwise };
    let Some(text) = entry.value.scalar().filter(|_| !entry.value.is_null()) else {
        report.wrong_type(&entry.value, "`from`", "a time").help("write for example 2024-03-04T09:00");
        return otherwise;
    };
    instant(text, zone).unwrap_or_else(|| {
        report
            .error(Code::Moment, &entry.value.span, format!("`{text}` is no date and time"))
            .help("write for example 2024-03-04T09:00");
        otherwise
    })
}

fn length_of(entry: Option<&Entry>, default: Option<jiff::Span>, report: &mut Report<'_>) -> jiff::Span {
    let otherwise = default.or_else(|| duration::parse(FOR).ok()).unwrap_or_default();
    let Some(entry) = entry else { return otherwise };
    let text = report.read_duration(&entry.value, "`for`");
    text.and_then(|text| duration::parse(&text).ok()).unwrap_or(otherwise)
}

fn seed_of(entry: Option<&Entry>, default: u64, report: &mut Report<'_>) -> u64 {
    let Some(entry) = entry else { return default };
    entry.value.value().as_u64().unwrap_or_else(|| {
        report.wrong_type(&entry.value, "`seed`", "a whole number from 0").help("write for example 7");
        default
    })
}

/// An instant, or a date and time in `zone`.
pub(super) fn instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let at = text.parse::<Timestamp>().ok().or_else(|| {
        let local: civil::DateTime = text.parse().ok()?;
        local.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(dripline_model::clock::from_ms(at.as_millisecond()))
}

impl Context<'_> {
    /// The instant that a node says: a date and time, or how long after `from`.
    pub(super) fn moment(
        &self,
        node: &Node,
        name: &str,
        from: Timestamp,
        report: &mut Report<'_>,
    ) -> Option<Timestamp> {
        let Some(text) = node.scalar().filter(|_| !node.is_null()) else {
            report
                .wrong_type(node, name, "a time")
                .help("write for example 2024-03-04T09:00, or 2d for two days after the start");
            return None;
        };
        let after = || Some(duration::after(from, duration::parse(text).ok()?, &self.zone));
        let found = instant(text, &self.zone).or_else(after);
        if found.is_none() {
            report
                .error(Code::Moment, &node.span, format!("`{text}` is no time"))
                .help("write for example 2024-03-04T09:00, or 2d for two days after the start");
        }
        found
    }

    fn known(&self) -> Known<'_> {
        let TestEnvironment { templates, fields, .. } = *self.environment;
        Known { programs: &self.programs, templates, fields }
    }
}

fn test(node: &Node, context: &Context<'_>, report: &mut Report<'_>) -> Option<Test> {
    let example = "{name: greets, events: [ … ], expect: {mia: {mails: [welcome]}}}";
    let entries = report.read_mapping(node, "a test", example)?;
    report.unknown_keys(entries, TEST_KEYS, "a test");
    let name = named(entries, "name", node, example, report).unwrap_or_default();
    let from = start_of(entry(entries, "from"), &context.zone, Some(context.from), report);
    let length = length_of(entry(entries, "for"), Some(context.length), report);
    let mut contacts = context.contacts.clone();
    if let Some(entry) = entry(entries, "contacts") {
        contacts.extend(given::contacts(&entry.value, context, from, report));
    }
    given::check_keys(&contacts, node, report);
    let behaviour = entry(entries, "behaviour").map(|entry| &entry.value).or(context.behaviour);
    let behaviour = behaviour.map_or_else(Behaviour::default, |node| {
        let names: Vec<&str> = contacts.keys().map(String::as_str).collect();
        behaviour::read(node, &context.known(), &names, report)
    });
    let events = events(entry(entries, "events"), &contacts, context, from, report);
    let enrolments = enrolments(entry(entries, "enroll"), &contacts, context, from, report);
    let before = report.errors();
    let expected = match entry(entries, "expect") {
        Some(entry) => expect::read(&entry.value, &contacts, context, from, report),
        None => Vec::new(),
    };
    if expected.is_empty() && (entry(entries, "expect").is_none() || report.errors() == before) {
        report
            .error(Code::NothingExpected, &node.span, "this test expects nothing, so it cannot fail")
            .help("add for example `expect: {mia: {mails: [welcome]}}`");
    }
    Some(Test {
        name,
        line: report.line(node.span.start),
        from,
        until: duration::after(from, length, &context.zone),
        contacts,
        events,
        enrolments,
        behaviour,
        seed: seed_of(entry(entries, "seed"), context.seed, report),
        expected,
    })
}

/// The contact that `entries` name, if it is one of the test's.
fn contact_of(
    entries: &[Entry],
    node: &Node,
    contacts: &BTreeMap<String, GivenContact>,
    example: &str,
    report: &mut Report<'_>,
) -> Option<String> {
    let name = named(entries, "contact", node, example, report)?;
    let place = entry(entries, "contact").map_or(node, |entry| &entry.value);
    check_contact(name, place, contacts, report)
}

/// The name, if a contact of the test has it.
pub(super) fn check_contact(
    name: String,
    place: &Node,
    contacts: &BTreeMap<String, GivenContact>,
    report: &mut Report<'_>,
) -> Option<String> {
    if contacts.contains_key(&name) {
        return Some(name);
    }
    report
        .error(Code::NoContact, &place.span, format!("no contact is called `{name}`"))
        .suggest(&name, contacts.keys().map(String::as_str));
    None
}

fn events(
    entry: Option<&Entry>,
    contacts: &BTreeMap<String, GivenContact>,
    context: &Context<'_>,
    from: Timestamp,
    report: &mut Report<'_>,
) -> Vec<GivenEvent> {
    const EXAMPLE: &str = "{contact: mia, event: signed_up, at: 1h}";
    let Some(list) = entry else { return Vec::new() };
    let items = report.read_list(&list.value, "`events`", EXAMPLE).unwrap_or_default();
    let mut events = Vec::with_capacity(items.len());
    for item in items {
        let Some(entries) = report.read_mapping(item, "an event", EXAMPLE) else { continue };
        report.unknown_keys(entries, &["contact", "event", "at", "properties"], "an event");
        let contact = contact_of(entries, item, contacts, EXAMPLE, report);
        let event = named(entries, "event", item, EXAMPLE, report);
        let at = crate::read::entry(entries, "at")
            .map_or(Some(from), |at| context.moment(&at.value, "`at`", from, report));
        let properties = crate::read::entry(entries, "properties")
            .map(|entry| read_properties(&entry.value, report))
            .unwrap_or_default();
        if let (Some(contact), Some(event), Some(at)) = (contact, event, at) {
            events.push(GivenEvent { contact, event, at, properties });
        }
    }
    events
}

/// `[mia, {contact: tom, at: 2d, workflow: welcome}]`
fn enrolments(
    entry: Option<&Entry>,
    contacts: &BTreeMap<String, GivenContact>,
    context: &Context<'_>,
    from: Timestamp,
    report: &mut Report<'_>,
) -> Vec<GivenEnrolment> {
    const EXAMPLE: &str = "[mia, {contact: tom, at: 2d}]";
    let Some(list) = entry else { return Vec::new() };
    let items = report.read_list(&list.value, "`enroll`", EXAMPLE).unwrap_or_default();
    let mut enrolments = Vec::with_capacity(items.len());
    for item in items {
        let (contact, at, workflow) = match &item.kind {
            Kind::Mapping(entries) => {
                report.unknown_keys(entries, &["contact", "at", "workflow"], "an enrolment");
                let at = crate::read::entry(entries, "at")
                    .map_or(Some(from), |at| context.moment(&at.value, "`at`", from, report));
                let workflow = crate::read::entry(entries, "workflow");
                (contact_of(entries, item, contacts, EXAMPLE, report), at, workflow)
            }
            _ => {
                let name = report.read_name(item, "a contact");
                (name.and_then(|name| check_contact(name, item, contacts, report)), Some(from), None)
            }
        };
        let workflow = match workflow {
            Some(entry) => report.read_name(&entry.value, "`workflow`").inspect(|name| {
                check_workflow(name, &entry.value, &context.programs, report);
            }),
            None => context.programs.first().map(|program| program.name.clone()),
        };
        if let (Some(contact), Some(at), Some(workflow)) = (contact, at, workflow) {
            check_manual(&workflow, item, context, report);
            enrolments.push(GivenEnrolment { contact, workflow, at });
        }
    }
    enrolments
}

fn check_manual(workflow: &str, item: &Node, context: &Context<'_>, report: &mut Report<'_>) {
    let Some(program) = context.programs.iter().find(|program| program.name == workflow) else { return };
    if !program.triggers.contains(&Trigger::Manual) {
        report
            .error(Code::Trigger, &item.span, format!("the workflow `{workflow}` has no `manual` trigger"))
            .help(
                "nobody can be enrolled in it by hand; add `manual` to its `on`, or give the test an event",
            );
    }
}
