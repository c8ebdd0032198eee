//! The top of a workflow file: name, triggers, enrolment.

use dripline_expression::Scope;
use dripline_model::{
    batch::ColumnType,
    policy::Policies,
    program::{Again, Concurrency, FORMAT, Program, Trigger},
};

use crate::{
    Checked, Code, Environment, Source,
    calls::{self, CallPlace},
    flow, policies,
    read::{entry, misspelt},
    source::Report,
    step_reader,
    steps::Finished,
    triggers,
    yaml::{self, Kind, Node},
};

pub(crate) const KEYS: &[&str] =
    &["name", "description", "on", "enroll", "inputs", "goals", "exits", "settings", "steps"];

/// Checks a workflow file: everything that can be known without running it.
///
/// What a plugin alone can say of its configuration is the caller's to ask, with [`Checked::configs`].
pub fn check(source: &Source, environment: &Environment<'_>) -> Checked {
    let mut report = Report::new(source);
    let (program, configs, calls) = yaml::parse(source, &mut report)
        .map_or_else(Default::default, |tree| document(&tree, environment, &mut report));
    let program = program.filter(|_| report.errors() == 0);
    Checked { program, diagnostics: report.into_diagnostics(), configs, calls }
}

fn document(
    tree: &Node,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> (Option<Program>, Vec<crate::PluginConfig>, Vec<CallPlace>) {
    let Kind::Mapping(entries) = &tree.kind else {
        report
            .error(
                Code::NotMapping,
                &tree.span,
                format!("a workflow is a mapping, but this is {}", tree.what()),
            )
            .help("begin with `name: my-workflow`; `dripline explain E0105` shows a whole one");
        return Default::default();
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
    let triggers = on.map(|entry| triggers::read(&entry.value, environment, report)).unwrap_or_default();
    let description =
        entry(entries, "description").and_then(|entry| report.read_text(&entry.value, "`description`"));
    let inputs =
        entry(entries, "inputs").map(|entry| calls::inputs(&entry.value, report)).unwrap_or_default();
    let types = inputs.iter().map(|input| (input.name.clone(), input.column)).collect();
    let environment = &Environment { inputs: (!inputs.is_empty()).then_some(&types), ..*environment };
    // Who is only called may be called more than once.
    let is_called = !triggers.is_empty() && triggers.iter().all(|trigger| *trigger == Trigger::Called);
    let usual = if is_called { Again::Always } else { Again::Never };
    let Enrolment { enroll_if, again, concurrency } = match entry(entries, "enroll") {
        Some(entry) => enrolment(&entry.value, usual, environment, report),
        None => Enrolment { again: usual, ..Enrolment::default() },
    };
    let (share, mut policies) =
        entry(entries, "settings").map(|entry| settings(&entry.value, report)).unwrap_or_default();
    for (key, goals) in [("goals", &mut policies.goals), ("exits", &mut policies.exits)] {
        if let Some(entry) = entry(entries, key) {
            *goals = policies::goals(&entry.value, key, environment, report);
        }
    }
    let Some(steps) = required("steps", "`steps:` with at least one step", report) else {
        return Default::default();
    };
    let compiled = step_reader::read(&steps.value, name.as_deref().unwrap_or_default(), environment, report);
    flow::check(&compiled, entry(entries, "goals").is_some(), report);
    let Finished { nodes, templates, configs, calls } = compiled.finish();
    let mut program = name.map(|name| Program {
        format: FORMAT,
        name,
        description,
        triggers,
        enroll_if,
        again,
        inputs,
        concurrency,
        nodes,
        templates,
        share,
        policies,
    });
    if let Some(program) = &mut program {
        program.format = program.needed_format();
    }
    (program, configs, calls)
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

/// What `enroll` says.
struct Enrolment {
    enroll_if: Option<String>,
    again: Again,
    concurrency: Concurrency,
}

impl Default for Enrolment {
    fn default() -> Self {
        Self { enroll_if: None, again: Again::Never, concurrency: Concurrency::One }
    }
}

fn enrolment(node: &Node, usual: Again, environment: &Environment<'_>, report: &mut Report<'_>) -> Enrolment {
    let Some(entries) = report.read_mapping(node, "`enroll`", "{if: contact.consent.email}") else {
        return Enrolment::default();
    };
    report.unknown_keys(entries, &["if", "again", "concurrency"], "`enroll`");
    let scope = Scope { event: true, ..environment.scope() };
    let enroll_if = entry(entries, "if")
        .and_then(|entry| report.read_cel(&entry.value, "`enroll.if`", ColumnType::Boolean, &scope));
    let again_entry = entry(entries, "again");
    let again = again_entry.map(|entry| again(&entry.value, report));
    let concurrency_entry = entry(entries, "concurrency");
    let concurrency =
        concurrency_entry.and_then(|entry| concurrency(&entry.value, report)).unwrap_or_default();
    let again = match again {
        None => usual,
        // What is wrong has been said, and is not wrong for another reason.
        Some(None) => Again::Always,
        Some(Some(again)) => again,
    };
    if let Some(entry) = concurrency_entry.filter(|_| !concurrency.is_one() && again == Again::Never) {
        let message = "`concurrency` has no effect: `again` is `never`, so that nobody enters twice";
        report
            .error(Code::NeedsAgain, &entry.key_span, message)
            .help("add `again: always`, or `again: {after: 90d}`");
    }
    Enrolment { enroll_if, again, concurrency }
}

fn concurrency(node: &Node, report: &mut Report<'_>) -> Option<Concurrency> {
    const WORDS: [&str; 3] = ["one", "queue", "parallel"];
    match node.scalar() {
        Some("one") => Some(Concurrency::One),
        Some("queue") => Some(Concurrency::Queue),
        Some("parallel") => Some(Concurrency::Parallel),
        _ => {
            let found = node
                .scalar()
                .filter(|_| !node.is_null())
                .map_or(node.what().to_owned(), |text| format!("`{text}`"));
            let diagnostic =
                report.error(Code::Concurrency, &node.span, format!("`concurrency` cannot be {found}"));
            match dripline_model::suggest::closest(node.scalar().unwrap_or_default(), WORDS) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.help("write one, queue or parallel"),
            };
            None
        }
    }
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
