//! What a workflow sends, rendered for sample contacts, so that a value that some contacts lack is found before a mail
//! is due.
//!
//! A contact counts for a text only if it enters the workflow and comes to the step, as far as conditions on attributes
//! and consents tell: those on scores, tags, segments and time may change on the way.

use std::collections::BTreeMap;

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{Contact, batch::ColumnType};
use dripline_template::{Email, Inline, RenderError, View};
use jiff::Timestamp;

use crate::{
    Code, Diagnostic, Environment, PluginConfig, Severity, Source,
    marks::{self, Mark},
    read::entry,
    scalar,
    source::{Report, at_line},
    templates,
    yaml::{self, Kind, Node},
};

/// Renders every text and email of a workflow for `contacts`; `configs` are those that [`crate::check`] found in the same
/// file. What cannot be rendered is a warning that says for whom.
pub fn check(
    source: &Source,
    configs: &[PluginConfig],
    environment: &Environment<'_>,
    contacts: &[Contact],
) -> Vec<Diagnostic> {
    let mut report = Report::new(source);
    let tree = if contacts.is_empty() { None } else { yaml::parse(source, &mut Report::new(source)) };
    let Some(tree) = tree else { return Vec::new() };
    let mut called = contacts.to_vec();
    for input in crate::calls::signature(source).map(|signature| signature.inputs).unwrap_or_default() {
        let value = input.default.clone().unwrap_or_else(|| sample_of(input.column, &input.name));
        called.iter_mut().for_each(|contact| drop(contact.inputs.insert(input.name.clone(), value.clone())));
    }
    let contacts = called.as_slice();
    let now = environment.now.unwrap_or(Timestamp::UNIX_EPOCH);
    let mut emails: BTreeMap<String, Option<Email>> = BTreeMap::new();
    for config in configs {
        let guards = Guards::of(&tree, &config.path);
        let comers: Vec<&Contact> = contacts.iter().filter(|contact| guards.admit(contact, now)).collect();
        let Some(info) = environment.plugins.get(&config.plugin) else { continue };
        let (step, _) = tree.at(&config.path);
        let written = step.value();
        for marked in marks::find(&info.manifest.config_schema, &written) {
            let Some(text) = written.pointer(&marked.pointer).and_then(serde_json::Value::as_str) else {
                continue;
            };
            let (node, _) = step.at(&marked.pointer);
            match marked.mark {
                Mark::Template => {
                    let Ok(inline) = Inline::compile(text) else { continue };
                    let failures = Failures::of(&comers, |contact| inline.render(contact).map(drop));
                    for (error, who) in failures.0 {
                        let column = error.column.unwrap_or(1);
                        let start = templates::offset(text, error.line.unwrap_or(1), column);
                        let length =
                            text.get(start..).and_then(|rest| rest.find("}}")).map_or(0, |end| end + 2);
                        let place = scalar::place(report.text(), node, &(start..start + length));
                        let message = who.message(&error, comers.len());
                        report.warning(Code::SampleFails, &place, message).help = error.help;
                    }
                }
                Mark::EmailTemplate => {
                    let email = emails.entry(text.to_owned()).or_insert_with(|| {
                        let files = environment.templates.closure(text).ok()?;
                        Email::compile(text, &files).ok()
                    });
                    let Some(email) = email else { continue };
                    for (error, who) in Failures::of(&comers, |contact| render(email, contact)).0 {
                        let text = environment.templates.get(&error.template).unwrap_or_default().to_owned();
                        let file = Source { path: format!("templates/{}", error.template), text };
                        let (line, column) = (error.line.unwrap_or(1), error.column.unwrap_or(1));
                        report.elsewhere(Diagnostic {
                            severity: Severity::Warning,
                            message: who.message(&error, comers.len()),
                            help: error.help,
                            ..at_line(Code::SampleFails, &file, line, column)
                        });
                    }
                }
                _ => {}
            }
        }
    }
    report.into_diagnostics()
}

fn render(email: &Email, contact: &Contact) -> Result<(), RenderError> {
    let view = View {
        contact,
        subject: "Sample",
        topic: Some("sample"),
        sender_name: "Sample",
        sender_email: "sample@dripline.example",
        unsubscribe_url: "https://dripline.example/unsubscribe",
    };
    email.render(&view).map(drop)
}

/// What failed, each with those for whom it did.
struct Failures(Vec<(RenderError, Who)>);

/// The contacts for whom something failed.
struct Who {
    first: String,
    others: usize,
}

impl Failures {
    fn of(contacts: &[&Contact], render: impl Fn(&Contact) -> Result<(), RenderError>) -> Self {
        let mut failures: Vec<(RenderError, Who)> = Vec::new();
        for contact in contacts {
            let Err(error) = render(contact) else { continue };
            match failures.iter_mut().find(|(known, _)| *known == error) {
                Some((_, who)) => who.others += 1,
                None => failures.push((error, Who { first: name(contact), others: 0 })),
            }
        }
        Self(failures)
    }
}

impl Who {
    fn message(&self, error: &RenderError, contacts: usize) -> String {
        let others = match self.others {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let plural = if contacts == 1 { "" } else { "s" };
        format!("{}: so for {}{others}, of {contacts} sample contact{plural}", error.message, self.first)
    }
}

/// What people call a contact.
fn name(contact: &Contact) -> String {
    contact
        .email
        .clone()
        .or_else(|| contact.external_id.clone())
        .unwrap_or_else(|| format!("contact {}", contact.id.0))
}

/// The conditions on the way to a step that can be decided now, each with how it has to turn out.
struct Guards(Vec<(Expression, bool)>);

impl Guards {
    /// Those of the step whose configuration stands at `path`.
    fn of(tree: &Node, path: &str) -> Self {
        let mut guards = Vec::new();
        let mut add = |node: Option<&Node>, holds: bool| {
            let source = node.and_then(Node::scalar);
            let compile =
                |source: &str| Expression::compile(source, ColumnType::Boolean, &Scope::default()).ok();
            guards.extend(source.and_then(compile).filter(is_steady).map(|condition| (condition, holds)));
        };
        let (enroll, _) = tree.at("/enroll/if");
        add(Some(enroll), true);
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let mut pointer = String::new();
        for (at, part) in parts.iter().enumerate() {
            let (node, _) = tree.at(&pointer);
            if let Kind::Mapping(entries) = &node.kind
                && at > 0
            {
                let is_branch = !entries.iter().any(|entry| {
                    !matches!(entry.key.as_str(), "id" | "name" | "if" | "then" | "else" | "paths")
                });
                let condition = entry(entries, "if").map(|entry| &entry.value);
                add(condition, !(is_branch && *part == "else"));
            }
            pointer.push('/');
            pointer.push_str(part);
        }
        Self(guards)
    }

    fn admit(&self, contact: &Contact, now: Timestamp) -> bool {
        let subject = Subject::new(contact, None, now);
        self.0.iter().all(|(condition, holds)| condition.test(&subject).unwrap_or(false) == *holds)
    }
}

/// Whether a condition reads nothing that changes on the way.
fn is_steady(condition: &Expression) -> bool {
    let needs = condition.needs();
    let changes = needs.all_attributes || needs.scores || needs.tags || needs.segments || needs.owner;
    !changes && !condition.source().contains("now")
}

/// With what a workflow may be called.
fn sample_of(column: ColumnType, name: &str) -> serde_json::Value {
    match column {
        ColumnType::Boolean => true.into(),
        ColumnType::Integer | ColumnType::Float => 1.into(),
        ColumnType::Text | ColumnType::Timestamp => name.into(),
    }
}
