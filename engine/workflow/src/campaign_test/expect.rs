//! What a test expects.

use std::collections::BTreeMap;

use dripline_model::decision::RunStatus;
use jiff::Timestamp;

use super::{
    Comparison, Expectation, Expected, ExpectedEnd, ExpectedMail, GivenContact, Operator, StepName,
    file::{Context, check_contact},
    given::{names, representative},
};
use crate::{
    Code,
    behaviour::named,
    fields,
    read::entry,
    source::Report,
    yaml::{Entry, Kind, Node},
};

const KEYS: &[&str] = &[
    "mails",
    "no_mails",
    "no_other_mails",
    "scores",
    "attributes",
    "owner",
    "tags",
    "no_tags",
    "segments",
    "no_segments",
    "steps",
    "never",
    "enrolled",
    "end",
];
const EXAMPLE: &str = "{mia: {mails: [welcome], end: completed}}";
const MAIL_EXAMPLE: &str = "{template: welcome, within: 1d}";

/// Reads what is expected of each contact.
pub(super) fn read(
    node: &Node,
    contacts: &BTreeMap<String, GivenContact>,
    context: &Context<'_>,
    from: Timestamp,
    report: &mut Report<'_>,
) -> Vec<Expected> {
    let entries = report.read_mapping(node, "`expect`", EXAMPLE).unwrap_or_default();
    let mut all = Vec::new();
    for of_contact in entries {
        let place = Node { span: of_contact.key_span.clone(), kind: Kind::List(Vec::new()) };
        check_contact(of_contact.key.clone(), &place, contacts, report);
        let Some(keys) = report.read_mapping(&of_contact.value, "what is expected", EXAMPLE) else {
            continue;
        };
        report.unknown_keys(keys, KEYS, "what is expected of a contact");
        if keys.is_empty() {
            report
                .error(Code::NothingExpected, &of_contact.key_span, "nothing is expected of this contact")
                .help(format!("write for example {EXAMPLE}"));
        }
        let mut expectations = Expectations { contact: &of_contact.key, context, from, all: Vec::new() };
        for key in keys {
            expectations.add(key, report);
        }
        contradictions(keys, &expectations.all, report);
        all.append(&mut expectations.all);
    }
    all
}

struct Expectations<'a> {
    contact: &'a str,
    context: &'a Context<'a>,
    from: Timestamp,
    all: Vec<Expected>,
}

impl Expectations<'_> {
    fn push(&mut self, node: &Node, what: Expectation, report: &Report<'_>) {
        let line = report.line(node.span.start);
        self.all.push(Expected { contact: self.contact.to_owned(), line, what });
    }

    fn add(&mut self, entry: &Entry, report: &mut Report<'_>) {
        let node = &entry.value;
        match entry.key.as_str() {
            "mails" => {
                for item in
                    report.read_list(node, "`mails`", &format!("[{MAIL_EXAMPLE}]")).unwrap_or_default()
                {
                    if let Some(mail) = self.mail(item, report) {
                        self.push(item, Expectation::Mail(mail), report);
                    }
                }
            }
            "no_mails" => match node.value().as_bool() {
                Some(true) => self.push(node, Expectation::NoMails(Vec::new()), report),
                Some(false) => {
                    report
                        .error(Code::WrongType, &node.span, "`no_mails: false` expects nothing")
                        .help("name the mails under `mails`, or remove it");
                }
                None => {
                    let templates = self.templates(node, report);
                    if !templates.is_empty() {
                        self.push(node, Expectation::NoMails(templates), report);
                    }
                }
            },
            "no_other_mails" if self.is_yes(entry, report) => {
                self.push(node, Expectation::NoOtherMails, report);
            }
            "scores" => self.scores(node, report),
            "attributes" => {
                for entry in report.read_mapping(node, "`attributes`", "{plan: pro}").unwrap_or_default() {
                    if let Some(fields) = self.context.environment.fields {
                        fields::fits(entry, fields, report);
                    }
                    let what = Expectation::Attribute(entry.key.clone(), entry.value.value());
                    self.push(&entry.value, what, report);
                }
            }
            "owner" => self.owner(node, report),
            "tags" | "no_tags" | "segments" | "no_segments" => {
                let is_there = !entry.key.starts_with("no_");
                let is_tag = entry.key.ends_with("tags");
                for name in names(node, &format!("`{}`", entry.key), report) {
                    let what = if is_tag {
                        Expectation::Tag(name, is_there)
                    } else {
                        Expectation::Segment(name, is_there)
                    };
                    self.push(node, what, report);
                }
            }
            "steps" => {
                let steps = self.steps(node, "`steps`", report);
                if !steps.is_empty() {
                    self.push(node, Expectation::Steps(steps), report);
                }
            }
            "never" => {
                for step in self.steps(node, "`never`", report) {
                    self.push(node, Expectation::Never(step), report);
                }
            }
            "enrolled" => match node.value().as_bool() {
                Some(enrolled) => self.push(node, Expectation::Enrolled(enrolled), report),
                None => drop(report.wrong_type(node, "`enrolled`", "true or false")),
            },
            "end" => {
                if let Some(end) = self.end(node, report) {
                    self.push(node, Expectation::End(end), report);
                }
            }
            _ => {}
        }
    }

    fn is_yes(&self, entry: &Entry, report: &mut Report<'_>) -> bool {
        let is_yes = entry.value.value().as_bool() == Some(true);
        if !is_yes {
            report
                .wrong_type(&entry.value, &format!("`{}`", entry.key), "true")
                .help("write `true`, or remove it");
        }
        is_yes
    }

    fn templates(&self, node: &Node, report: &mut Report<'_>) -> Vec<String> {
        let nodes: Vec<&Node> = match &node.kind {
            Kind::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        nodes.into_iter().filter_map(|node| self.template(node, report)).collect()
    }

    fn template(&self, node: &Node, report: &mut Report<'_>) -> Option<String> {
        let name = report.read_name(node, "a template")?;
        let known = self.context.environment.templates;
        if !known.contains(&name.as_str()) {
            report
                .error(Code::NoTemplate, &node.span, format!("there is no email template `{name}`"))
                .suggest(&name, known.iter().copied());
        }
        Some(name)
    }

    /// `trial/welcome`, or a mapping.
    fn mail(&self, node: &Node, report: &mut Report<'_>) -> Option<ExpectedMail> {
        let Kind::Mapping(entries) = &node.kind else {
            return Some(ExpectedMail { template: self.template(node, report)?, ..ExpectedMail::default() });
        };
        report.unknown_keys(entries, &["template", "at", "within", "subject", "to"], "an expected mail");
        named(entries, "template", node, MAIL_EXAMPLE, report)?;
        let template = entry(entries, "template").and_then(|entry| self.template(&entry.value, report))?;
        let mut moment = |key: &str| {
            let entry = entry(entries, key)?;
            self.context.moment(&entry.value, &format!("`{key}`"), self.from, report)
        };
        let (at, by) = (moment("at"), moment("within"));
        let mut text = |key: &str| {
            entry(entries, key).and_then(|entry| report.read_text(&entry.value, &format!("`{key}`")))
        };
        let (subject, to) = (text("subject"), text("to").map(|to| to.to_lowercase()));
        Some(ExpectedMail { template, at, by, subject, to })
    }

    fn scores(&mut self, node: &Node, report: &mut Report<'_>) {
        for entry in report.read_mapping(node, "`scores`", "{fit: 30}").unwrap_or_default() {
            let text = entry.value.scalar().unwrap_or_default();
            match comparison(text) {
                Some(comparison) => {
                    let what = Expectation::Score(entry.key.clone(), comparison);
                    self.push(&entry.value, what, report);
                }
                None => {
                    report
                        .error(Code::Comparison, &entry.value.span, format!("`{text}` is no whole number"))
                        .help("write for example 30 or \">= 30\"");
                }
            }
        }
    }

    /// A key, several of which one may be it, or `nobody`.
    fn owner(&mut self, node: &Node, report: &mut Report<'_>) {
        if node.is_null() || node.scalar() == Some("nobody") {
            return self.push(node, Expectation::Owner(Vec::new()), report);
        }
        let nodes: Vec<&Node> = match &node.kind {
            Kind::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        let keys: Vec<String> =
            nodes.into_iter().filter_map(|node| representative(node, self.context, report)).collect();
        if !keys.is_empty() {
            self.push(node, Expectation::Owner(keys), report);
        }
    }

    fn steps(&self, node: &Node, name: &str, report: &mut Report<'_>) -> Vec<StepName> {
        let nodes: Vec<&Node> = match &node.kind {
            Kind::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        nodes.into_iter().filter_map(|node| self.step(node, name, report)).collect()
    }

    fn step(&self, node: &Node, name: &str, report: &mut Report<'_>) -> Option<StepName> {
        let text = report.read_name(node, name)?;
        let (workflow, step) = match text.split_once('/') {
            Some((workflow, step)) => (Some(workflow.to_owned()), step.to_owned()),
            None => (None, text.clone()),
        };
        let programs = &self.context.programs;
        let of =
            || programs.iter().filter(|program| workflow.as_ref().is_none_or(|name| *name == program.name));
        let ids = || of().flat_map(|program| program.nodes.iter().map(|node| node.id.as_str()));
        // Where the workflow is unknown, that has been said.
        if !programs.is_empty() && !ids().any(|id| id == step) {
            let of_which = match (&workflow, programs.as_slice()) {
                (Some(workflow), _) => format!("the workflow `{workflow}` has"),
                (None, [only]) => format!("the workflow `{}` has", only.name),
                _ => "the workflows have".to_owned(),
            };
            let ids: Vec<&str> = ids().collect();
            report
                .error(Code::NoStep, &node.span, format!("{of_which} no step `{step}`"))
                .suggest(&step, ids);
        }
        Some(StepName { workflow, step })
    }

    fn end(&self, node: &Node, report: &mut Report<'_>) -> Option<ExpectedEnd> {
        let statuses = || RunStatus::ALL.iter().map(|status| status.name());
        let Kind::Mapping(entries) = &node.kind else {
            let text = report.read_name(node, "`end`")?;
            return Some(if statuses().any(|status| status == text) {
                ExpectedEnd { status: Some(text), ..ExpectedEnd::default() }
            } else {
                ExpectedEnd { reason: Some(text), ..ExpectedEnd::default() }
            });
        };
        report.unknown_keys(entries, &["status", "reason", "step"], "`end`");
        if entries.is_empty() {
            report
                .error(Code::End, &node.span, "`end` says nothing")
                .help("write for example `end: completed`");
        }
        let status = entry(entries, "status").and_then(|entry| {
            let status = report.read_name(&entry.value, "`status`")?;
            if !statuses().any(|known| known == status) {
                report
                    .error(Code::End, &entry.value.span, format!("no run is `{status}`"))
                    .suggest(&status, statuses());
            }
            Some(status)
        });
        let reason = entry(entries, "reason").and_then(|entry| report.read_text(&entry.value, "`reason`"));
        let step = entry(entries, "step").and_then(|entry| self.step(&entry.value, "`step`", report));
        Some(ExpectedEnd { status, reason, step })
    }
}

/// `30`, `>= 30`
fn comparison(text: &str) -> Option<Comparison> {
    let text = text.trim();
    let operators = [
        (">=", Operator::AtLeast),
        ("<=", Operator::AtMost),
        (">", Operator::MoreThan),
        ("<", Operator::LessThan),
        ("==", Operator::Is),
    ];
    let (operator, rest) = operators
        .into_iter()
        .find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)))
        .unwrap_or((Operator::Is, text));
    Some(Comparison { operator, value: rest.trim().parse().ok()? })
}

/// Complains of what cannot both be.
fn contradictions(keys: &[Entry], all: &[Expected], report: &mut Report<'_>) {
    let mails = || {
        all.iter().filter_map(|expected| match &expected.what {
            Expectation::Mail(mail) => Some(mail.template.as_str()),
            _ => None,
        })
    };
    let steps = || {
        all.iter().filter_map(|expected| match &expected.what {
            Expectation::Steps(steps) => Some(steps),
            _ => None,
        })
    };
    for expected in all {
        let (key, message) = match &expected.what {
            Expectation::NoMails(none) if none.is_empty() && mails().next().is_some() => {
                ("no_mails", "mails are expected, and none at all".to_owned())
            }
            Expectation::NoMails(none) => match none.iter().find(|name| mails().any(|mail| mail == **name)) {
                Some(name) => ("no_mails", format!("the mail `{name}` is expected, and not to come")),
                None => continue,
            },
            Expectation::Never(step) if steps().any(|taken| taken.contains(step)) => {
                ("never", format!("the step `{step}` is expected to be taken, and never to be"))
            }
            _ => continue,
        };
        if let Some(entry) = entry(keys, key) {
            report.error(Code::TestContradiction, &entry.value.span, message).help("remove one of the two");
        }
    }
}
