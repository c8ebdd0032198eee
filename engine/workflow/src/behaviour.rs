//! `behaviour.yaml`: what contacts are assumed to do in a simulation.
//!
//! The first rule that fits a mail says with which chances its receiver opens, clicks, answers, unsubscribes, and does
//! things of its own, and after how long. Rules about events say what follows from them.

use dripline_expression::{Expression, Scope};
use dripline_model::{batch::ColumnType, duration, field::Fields, program::Program};
use jiff::{SignedDuration, SpanRelativeTo};
use serde_json::{Map, Value};

use crate::{
    Code, Diagnostic, Source,
    read::entry,
    source::Report,
    yaml::{self, Entry, Kind, Node},
};

/// What contacts do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Behaviour {
    /// About mails; the first that fits a mail holds for it.
    pub mails: Vec<MailRule>,
    /// About events; all that fit hold.
    pub events: Vec<EventRule>,
}

/// What contacts do with a mail.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MailRule {
    /// Only mails of this template.
    pub template: Option<String>,
    /// Only mails of this workflow.
    pub workflow: Option<String>,
    /// Only mails to this contact of a test.
    pub contact: Option<String>,
    /// CEL: only mails to contacts for whom it holds when the mail is sent.
    pub condition: Option<String>,
    /// Opens it. With this, what follows is of those who opened, and counts from the opening.
    pub open: Option<Act>,
    /// Clicks a link in it.
    pub click: Option<Act>,
    /// Answers it.
    pub reply: Option<Act>,
    /// Withdraws consent: to the mail's topic, or to email as such where it has none.
    pub unsubscribe: Option<Act>,
    /// What the contact does of its own.
    pub events: Vec<OwnEvent>,
}

/// Something that a contact does with a mail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Act {
    /// From 0 to 1.
    pub chance: f64,
    /// After how long.
    pub after: Delay,
}

/// How long something takes: from `least` to `most`, early more often than late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// The shortest.
    pub least: SignedDuration,
    /// The longest.
    pub most: SignedDuration,
}

/// An event that a mail leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnEvent {
    /// Its name.
    pub event: String,
    /// What else is known of it.
    pub properties: Map<String, Value>,
    /// Of whom the chance is, and from when the delay counts.
    pub when: When,
    /// How likely, and after how long.
    pub act: Act,
}

/// What has to have become of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It was sent.
    Sent,
    /// It was opened.
    Opened,
    /// It was clicked.
    Clicked,
}

/// What follows from an event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRule {
    /// Name of the event that something follows from.
    pub on: String,
    /// Name of the event that follows.
    pub event: String,
    /// What else is known of it.
    pub properties: Map<String, Value>,
    /// How likely, and after how long.
    pub act: Act,
}

/// What a behaviour may name.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The workflows.
    pub programs: &'a [&'a Program],
    /// Names of the email templates.
    pub templates: &'a [&'a str],
    /// What is known of contacts' attributes, topics and segments; `None` where nothing is, and then any is accepted.
    pub fields: Option<&'a Fields>,
}

/// How long people take where nothing is said.
const OPENS: Delay = Delay { least: SignedDuration::from_mins(5), most: SignedDuration::from_hours(24) };
const CLICKS: Delay = Delay { least: SignedDuration::from_mins(1), most: SignedDuration::from_hours(1) };
const REPLIES: Delay = Delay { least: SignedDuration::from_mins(10), most: SignedDuration::from_hours(48) };
const UNSUBSCRIBES: Delay = CLICKS;
const DOES: Delay = Delay { least: SignedDuration::from_mins(10), most: SignedDuration::from_hours(7 * 24) };

const MAIL_KEYS: &[&str] =
    &["template", "workflow", "contact", "if", "open", "click", "reply", "unsubscribe", "events"];

/// Reads a behaviour's file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(source: &Source, known: &Known<'_>) -> Result<Behaviour, Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let behaviour = yaml::parse(source, &mut report).map(|tree| read(&tree, known, &[], &mut report));
    match behaviour {
        Some(behaviour) if report.errors() == 0 => Ok(behaviour),
        _ => Err(report.into_diagnostics()),
    }
}

/// Reads a behaviour; `contacts` are those that it may name.
pub(crate) fn read(node: &Node, known: &Known<'_>, contacts: &[&str], report: &mut Report<'_>) -> Behaviour {
    let mut behaviour = Behaviour::default();
    let Some(entries) = report.read_mapping(node, "a behaviour", "{mails: [{open: 40%, click: 8%}]}") else {
        return behaviour;
    };
    report.unknown_keys(entries, &["mails", "events"], "a behaviour");
    for (entries, node) in rules(entries, "mails", "{open: 40%, click: 8%}", report) {
        behaviour.mails.push(mail_rule(entries, node, known, contacts, report));
    }
    for (entries, node) in rules(entries, "events", "{on: a, event: b, chance: 5%}", report) {
        report.unknown_keys(
            entries,
            &["on", "event", "properties", "chance", "after"],
            "a rule about events",
        );
        let on = named(entries, "on", node, "{on: a, event: b, chance: 5%}", report);
        let event = named(entries, "event", node, "{on: a, event: b, chance: 5%}", report);
        let act = fields(entries, node, DOES, report);
        if let (Some(on), Some(event), Some(act)) = (on, event, act) {
            behaviour.events.push(EventRule { on, event, properties: properties(entries, report), act });
        }
    }
    behaviour
}

/// The mappings of the list under `key`.
fn rules<'n>(
    entries: &'n [Entry],
    key: &str,
    example: &str,
    report: &mut Report<'_>,
) -> Vec<(&'n [Entry], &'n Node)> {
    let Some(list) = entry(entries, key).filter(|entry| !entry.value.is_null()) else { return Vec::new() };
    let items =
        report.read_list(&list.value, &format!("`{key}`"), &format!("[{example}]")).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| Some((report.read_mapping(item, &format!("an item of `{key}`"), example)?, item)))
        .collect()
}

fn mail_rule(
    entries: &[Entry],
    node: &Node,
    known: &Known<'_>,
    contacts: &[&str],
    report: &mut Report<'_>,
) -> MailRule {
    report.unknown_keys(entries, MAIL_KEYS, "a rule about mails");
    let mut rule = MailRule { template: name_of(entries, "template", report), ..MailRule::default() };
    if let (Some(name), Some(entry)) = (&rule.template, entry(entries, "template")) {
        check_template(name, entry, known, report);
    }
    rule.workflow = name_of(entries, "workflow", report);
    if let (Some(name), Some(entry)) = (&rule.workflow, entry(entries, "workflow")) {
        check_workflow(name, &entry.value, known.programs, report);
    }
    rule.contact = name_of(entries, "contact", report);
    if let (Some(name), Some(entry)) = (&rule.contact, entry(entries, "contact"))
        && !contacts.contains(&name.as_str())
    {
        report
            .error(Code::NoContact, &entry.value.span, format!("no contact is called `{name}`"))
            .suggest(name, contacts.iter().copied());
    }
    let scope = Scope { attributes: known.fields, event: false, inputs: None };
    rule.condition = entry(entries, "if")
        .and_then(|entry| report.read_cel(&entry.value, "`if`", ColumnType::Boolean, &scope));
    let mut act = |key: &str, delay| entry(entries, key).and_then(|entry| act(entry, delay, report));
    rule.open = act("open", OPENS);
    rule.click = act("click", CLICKS);
    rule.reply = act("reply", REPLIES);
    rule.unsubscribe = act("unsubscribe", UNSUBSCRIBES);
    for (entries, node) in self::rules(entries, "events", "{event: visit.pricing_page, chance: 10%}", report)
    {
        rule.events.extend(own_event(entries, node, report));
    }
    let says = |key: &&str| entry(entries, key).is_some();
    if !["open", "click", "reply", "unsubscribe", "events"].iter().any(says) {
        report
            .error(Code::Idle, &node.span, "this rule says nothing that anybody does")
            .help("add for example `open: 40%`; `open: 0%` says that nobody does anything");
    }
    rule
}

fn own_event(entries: &[Entry], node: &Node, report: &mut Report<'_>) -> Option<OwnEvent> {
    report.unknown_keys(entries, &["event", "when", "properties", "chance", "after"], "an event of a mail");
    let event = named(entries, "event", node, "{event: visit.pricing_page, chance: 10%}", report);
    let when = match entry(entries, "when") {
        None => Some(When::Sent),
        Some(entry) => match entry.value.scalar() {
            Some("sent") => Some(When::Sent),
            Some("opened") => Some(When::Opened),
            Some("clicked") => Some(When::Clicked),
            other => {
                let other = other.unwrap_or_default();
                report
                    .error(Code::WrongType, &entry.value.span, format!("`when` cannot be `{other}`"))
                    .suggest(other, ["sent", "opened", "clicked"]);
                None
            }
        },
    };
    let act = fields(entries, node, DOES, report)?;
    Some(OwnEvent { event: event?, properties: properties(entries, report), when: when?, act })
}

/// `40%`, or `{chance: 40%, after: 1h..2d}`.
fn act(entry: &Entry, delay: Delay, report: &mut Report<'_>) -> Option<Act> {
    match &entry.value.kind {
        Kind::Mapping(entries) => {
            report.unknown_keys(entries, &["chance", "after"], &format!("`{}`", entry.key));
            fields(entries, &entry.value, delay, report)
        }
        _ => Some(Act { chance: chance(&entry.value, report)?, after: delay }),
    }
}

/// `chance` (all of them without it) and `after`.
fn fields(entries: &[Entry], _: &Node, delay: Delay, report: &mut Report<'_>) -> Option<Act> {
    let chance = entry(entries, "chance").map_or(Some(1.0), |entry| chance(&entry.value, report));
    let after = entry(entries, "after").map_or(Some(delay), |entry| self::delay(&entry.value, report));
    Some(Act { chance: chance?, after: after? })
}

fn chance(node: &Node, report: &mut Report<'_>) -> Option<f64> {
    let text = node.scalar().unwrap_or_default();
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    if let Some(percent) = number.filter(|percent| (0.0..=100.0).contains(percent)) {
        return Some(percent / 100.0);
    }
    let found = if node.scalar().is_some() { format!("`{text}`") } else { node.what().to_owned() };
    let diagnostic =
        report.error(Code::Chance, &node.span, format!("{found} is no percentage from 0% to 100%"));
    match text.trim().parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => {
            diagnostic.help(format!("write `{}%`", number * 100.0));
        }
        Ok(number) if number <= 100.0 => {
            diagnostic.help(format!("write `{number}%`"));
        }
        _ => {
            diagnostic.help("write for example `40%`");
        }
    }
    None
}

fn delay(node: &Node, report: &mut Report<'_>) -> Option<Delay> {
    let Some(text) = node.scalar().filter(|_| !node.is_null()) else {
        report.wrong_type(node, "`after`", "a delay").help("write for example `2h`, or `5m..2d`");
        return None;
    };
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let fixed = |text: &str| {
        let span = duration::parse(text)?;
        span.to_duration(SpanRelativeTo::days_are_24_hours())
            .map_err(|_| format!("`{}` has no fixed length; write days or weeks", text.trim()))
    };
    let read = fixed(least).and_then(|least| Ok(Delay { least, most: fixed(most)? }));
    match read {
        Ok(delay) if delay.least <= delay.most => return Some(delay),
        Ok(_) => {
            report.error(Code::Delay, &node.span, format!("`{text}` ends before it begins")).help(format!(
                "write `{}..{}`",
                most.trim(),
                least.trim()
            ));
        }
        Err(message) => {
            report.error(Code::Delay, &node.span, message).help("write for example `2h`, or `5m..2d`");
        }
    }
    None
}

fn properties(entries: &[Entry], report: &mut Report<'_>) -> Map<String, Value> {
    entry(entries, "properties").map(|entry| read_properties(&entry.value, report)).unwrap_or_default()
}

/// The properties of an event.
pub(crate) fn read_properties(node: &Node, report: &mut Report<'_>) -> Map<String, Value> {
    match report.read_mapping(node, "`properties`", "{plan: pro}") {
        Some(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.value())).collect(),
        None => Map::new(),
    }
}

/// The text under a key that must be there.
pub(crate) fn named(
    entries: &[Entry],
    key: &str,
    node: &Node,
    example: &str,
    report: &mut Report<'_>,
) -> Option<String> {
    match entry(entries, key) {
        Some(found) => report.read_name(&found.value, &format!("`{key}`")),
        None => {
            report
                .error(Code::MissingKey, &node.span, format!("`{key}` is missing"))
                .help(format!("write for example {example}"));
            None
        }
    }
}

fn name_of(entries: &[Entry], key: &str, report: &mut Report<'_>) -> Option<String> {
    entry(entries, key).and_then(|entry| report.read_name(&entry.value, &format!("`{key}`")))
}

fn check_template(name: &str, entry: &Entry, known: &Known<'_>, report: &mut Report<'_>) {
    if !known.templates.contains(&name) {
        report
            .error(Code::NoTemplate, &entry.value.span, format!("there is no email template `{name}`"))
            .suggest(name, known.templates.iter().copied());
    }
}

/// Complains of a workflow that is not there.
pub(crate) fn check_workflow(name: &str, node: &Node, programs: &[&Program], report: &mut Report<'_>) {
    if programs.iter().all(|program| program.name != name) {
        report
            .error(Code::NoWorkflow, &node.span, format!("there is no workflow `{name}`"))
            .suggest(name, programs.iter().map(|program| program.name.as_str()));
    }
}

impl MailRule {
    /// The compiled condition, if there is one.
    ///
    /// # Errors
    /// What is wrong with it: nothing, if [`parse`] read it.
    pub fn compile(&self) -> Result<Option<Expression>, String> {
        let compile = |source: &String| {
            Expression::compile(source, ColumnType::Boolean, &Scope::default())
                .map_err(|_| format!("`{source}` does not compile"))
        };
        self.condition.as_ref().map(compile).transpose()
    }
}
