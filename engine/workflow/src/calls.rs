//! Workflows that call each other: `inputs`, the step `run`, and what only all files together can say.

use std::collections::{BTreeMap, BTreeSet};

use dripline_expression::{Expression, Problem, ProblemKind, Scope};
use dripline_model::{
    batch::ColumnType,
    program::{Action, Argument, Call, CallEnd, Input, Program},
    suggest,
};
use serde_json::Value;

use crate::{
    Code, Diagnostic, Environment, Severity, Source,
    document::Document,
    marks::escape,
    read::entry,
    source::Report,
    step_reader::{Parts, Reader},
    steps::{Block, Kind},
    yaml::{Entry, Node},
};

const EXAMPLE: &str = "run: {workflow: nurture, with: {product: contact.plan}}";

/// The types of inputs, by their words.
const TYPES: [(&str, ColumnType); 4] = [
    ("text", ColumnType::Text),
    ("integer", ColumnType::Integer),
    ("number", ColumnType::Float),
    ("boolean", ColumnType::Boolean),
];

/// Reads `inputs`.
pub(crate) fn inputs(node: &Node, report: &mut Report<'_>) -> Vec<Input> {
    const EXAMPLE: &str = "{product: text, level: {type: text, default: silver}}";
    let mut inputs = Vec::new();
    for found in report.read_mapping(node, "`inputs`", EXAMPLE).unwrap_or_default() {
        let name = found.key.as_str();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(fits) {
            report
                .error(Code::Inputs, &found.key_span, format!("`{name}` is no name of an input"))
                .help("letters, digits and `_`, so that expressions can say input.NAME");
            continue;
        }
        let (kind, default) = match &found.value.kind {
            crate::yaml::Kind::Mapping(entries) => {
                report.unknown_keys(entries, &["type", "default"], "an input");
                (entry(entries, "type").map(|entry| &entry.value), entry(entries, "default"))
            }
            _ => (Some(&found.value), None),
        };
        let word = kind.and_then(Node::scalar).unwrap_or_default();
        let Some((_, column)) = TYPES.iter().find(|(known, _)| *known == word) else {
            let known = TYPES.map(|(word, _)| word);
            report
                .error(
                    Code::Inputs,
                    kind.map_or(&found.value.span, |kind| &kind.span),
                    format!("`{name}` has no type that there is"),
                )
                .help(format!("write one of {}", known.join(", ")))
                .suggest(word, known);
            continue;
        };
        let default = default.and_then(|default| {
            let value = default.value.value();
            if fits_type(&value, *column) {
                return Some(value);
            }
            report
                .error(Code::Inputs, &default.value.span, format!("the default of `{name}` is no {word}"))
                .help("a text that looks like something else stands in quotes");
            None
        });
        inputs.push(Input { name: name.to_owned(), column: *column, default });
    }
    inputs
}

/// Whether a value is of the type.
fn fits_type(value: &Value, column: ColumnType) -> bool {
    match column {
        ColumnType::Text => value.is_string(),
        ColumnType::Integer => value.is_i64(),
        ColumnType::Float => value.is_number(),
        ColumnType::Boolean => value.is_boolean(),
        ColumnType::Timestamp => false,
    }
}

impl Reader<'_> {
    pub(crate) fn run(
        &mut self,
        verb: &Entry,
        branches: &[&Entry],
        parts: &Parts<'_>,
        paths: Option<&Entry>,
        report: &mut Report<'_>,
    ) -> Kind {
        let errors = report.errors();
        let what = self.call(&verb.value, report);
        let waits = what.as_ref().is_none_or(|call| call.waits);
        let mut ways: Vec<(Vec<CallEnd>, Block)> = Vec::new();
        if !branches.is_empty() {
            let has = |key: &str| branches.iter().any(|branch| branch.key == key);
            let (then, otherwise) = self.blocks(branches, parts, report);
            for (key, is_good, block) in [("then", true, then), ("else", false, otherwise)] {
                if has(key) {
                    ways.push((CallEnd::of(waits).filter(|end| end.is_good() == is_good).collect(), block));
                }
            }
        }
        if let Some(paths) = paths {
            if !branches.is_empty() {
                report
                    .error(Code::Run, &paths.key_span, "`paths` stands beside `then` or `else`")
                    .help("`then` is for what went well and `else` for the rest; `paths` names each end");
            }
            for path in report.read_mapping(&paths.value, "`paths`", "{completed: [ … ]}").unwrap_or_default()
            {
                let key = path.key.as_str();
                let end = CallEnd::of(waits).find(|end| end.name() == key);
                if end.is_none() {
                    report
                        .error(Code::Paths, &path.key_span, format!("no call ends as `{key}`"))
                        .suggest(key, CallEnd::of(waits).map(CallEnd::name).collect::<Vec<_>>());
                }
                let prefix = format!("{}.{key}-", parts.place);
                let pointer = format!("{}/paths/{}", parts.pointer, escape(key));
                let block = self.block(&path.value, &format!("`{key}`"), &prefix, &pointer, report);
                ways.extend(end.map(|end| (vec![end], block)));
            }
        }
        let pointer = format!("{}/run", parts.pointer);
        Kind::Run { what: what.filter(|_| report.errors() == errors), ways, pointer }
    }

    fn call(&self, node: &Node, report: &mut Report<'_>) -> Option<Call> {
        if let Some(name) = node.scalar().filter(|_| !node.is_null()) {
            let call =
                Call { workflow: name.to_owned(), with: Vec::new(), waits: true, ways: BTreeMap::new() };
            return Some(call);
        }
        let entries = report.read_mapping(node, "`run`", EXAMPLE)?;
        let errors = report.errors();
        report.unknown_keys(entries, &["workflow", "with", "wait"], "`run`");
        let workflow = match entry(entries, "workflow") {
            Some(workflow) => report.read_name(&workflow.value, "`workflow`"),
            None => {
                report
                    .error(Code::Run, &node.span, "`run` does not say which workflow")
                    .help(format!("write for example {EXAMPLE}"));
                None
            }
        };
        let waits = match entry(entries, "wait").map(|entry| (entry, entry.value.value())) {
            None => true,
            Some((_, Value::Bool(waits))) => waits,
            Some((entry, _)) => {
                report
                    .error(Code::Run, &entry.value.span, "`wait` is neither true nor false")
                    .help("true, which holds without it: the run goes on when the other has ended");
                true
            }
        };
        let mut with = Vec::new();
        if let Some(given) = entry(entries, "with") {
            let scope = Scope {
                attributes: self.environment.attributes,
                inputs: self.environment.inputs,
                ..Scope::default()
            };
            for value in
                report.read_mapping(&given.value, "`with`", "{product: contact.plan}").unwrap_or_default()
            {
                let name = format!("`{}`", value.key);
                let read = report.read_expression(&value.value, &name, &scope, of_any_type);
                with.extend(
                    read.map(|read| Argument { name: value.key.clone(), value: read.source().to_owned() }),
                );
            }
        }
        let call = Call { workflow: workflow?, with, waits, ways: BTreeMap::new() };
        (report.errors() == errors).then_some(call)
    }
}

/// Compiles an expression whose type nobody has said yet.
fn of_any_type(source: &str, scope: &Scope<'_>) -> Result<Expression, Vec<Problem>> {
    let mut problems = Vec::new();
    for (_, column) in TYPES {
        match Expression::compile(source, column, scope) {
            Ok(expression) => return Ok(expression),
            Err(found) if problems.is_empty() => problems = found,
            Err(_) => {}
        }
    }
    Err(problems)
}

/// What others have to know of a workflow to call it.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// With what it is called.
    pub inputs: Vec<Input>,
    /// Which workflows it calls.
    pub calls: BTreeSet<String>,
}

/// A step that calls another workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPlace {
    /// Its place among the program's nodes.
    pub node: u32,
    /// JSON pointer to it in the file: `/steps/0/run`.
    pub pointer: String,
}

/// What a file says to who calls it, whatever else may be wrong with it; none where it has no name.
pub fn signature(source: &Source) -> Option<Signature> {
    let mut report = Report::new(source);
    let tree = crate::yaml::parse(source, &mut report)?;
    let crate::yaml::Kind::Mapping(entries) = &tree.kind else { return None };
    let name = entry(entries, "name")?.value.scalar()?.to_owned();
    let inputs = entry(entries, "inputs").map(|entry| inputs(&entry.value, &mut report)).unwrap_or_default();
    let mut calls = BTreeSet::new();
    if let Some(steps) = entry(entries, "steps") {
        collect(&steps.value.value(), &mut calls);
    }
    Some(Signature { name, inputs, calls })
}

/// The workflows that steps call, however deep they stand.
fn collect(value: &Value, calls: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, calls)),
        Value::Object(fields) => {
            for (key, value) in fields {
                let named = value.as_str().or_else(|| value.get("workflow")?.as_str());
                match (key.as_str(), named) {
                    ("run", Some(name)) => drop(calls.insert(name.to_owned())),
                    _ => collect(value, calls),
                }
            }
        }
        _ => {}
    }
}

/// What is wrong with the calls of one file, where `all` are the workflows that there are.
pub fn check(
    source: &Source,
    program: &Program,
    places: &[CallPlace],
    all: &[Signature],
    environment: &Environment<'_>,
) -> Vec<Diagnostic> {
    let Ok(document) = Document::parse(source) else { return Vec::new() };
    let mut found = Vec::new();
    for place in places {
        let Some(Action::Run(call)) = program.node(place.node).map(|node| &node.action) else { continue };
        let at = |end: &str| format!("{}{end}", place.pointer);
        let Some(called) = all.iter().find(|known| known.name == call.workflow) else {
            let names = all.iter().map(|known| known.name.as_str());
            let help = suggest::closest(&call.workflow, names).map(|near| format!("did you mean `{near}`?"));
            let message = format!("there is no workflow `{}`", call.workflow);
            found.push(document.complaint(Code::NoCalled, &at("/workflow"), &message, help.as_deref()));
            continue;
        };
        if let Some(way) = circle(&program.name, &call.workflow, all) {
            let message = format!("this workflow would call itself: {}", way.join(" calls "));
            let help = "a run would start runs without end; leave one of these calls out";
            found.push(document.complaint(Code::CallCircle, &at("/workflow"), &message, Some(help)));
        }
        for input in &called.inputs {
            let given = call.with.iter().find(|argument| argument.name == input.name);
            match given {
                None if input.default.is_none() => {
                    let message = format!("`{}` needs the input `{}`", called.name, input.name);
                    let help = format!("add with: {{{}: …}}", input.name);
                    found.push(document.complaint(Code::CallInputs, &at("/with"), &message, Some(&help)));
                }
                None => {}
                Some(argument) => {
                    let pointer = at(&format!("/with/{}", escape(&argument.name)));
                    let own = program.input_types();
                    let scope = Scope {
                        attributes: environment.attributes,
                        inputs: (!own.is_empty()).then_some(&own),
                        ..Scope::default()
                    };
                    let wrong =
                        Expression::compile(&argument.value, input.column, &scope).err().unwrap_or_default();
                    // What else is wrong was said when the file itself was checked.
                    if let Some(wrong) = wrong.into_iter().find(|wrong| wrong.kind == ProblemKind::Types) {
                        let message = format!("`{}` of `{}`: {}", input.name, called.name, wrong.message);
                        found.push(document.complaint(
                            Code::CallInputs,
                            &pointer,
                            &message,
                            wrong.help.as_deref(),
                        ));
                    }
                }
            }
        }
        for argument in &call.with {
            if !called.inputs.iter().any(|input| input.name == argument.name) {
                let names: Vec<&str> = called.inputs.iter().map(|input| input.name.as_str()).collect();
                let help = match (suggest::closest(&argument.name, names.iter().copied()), names.as_slice()) {
                    (Some(near), _) => format!("did you mean `{near}`?"),
                    (None, []) => "it has no `inputs`; remove it".to_owned(),
                    (None, names) => format!("it has {}", names.join(", ")),
                };
                let message = format!("`{}` has no input `{}`", called.name, argument.name);
                let pointer = at(&format!("/with/{}", escape(&argument.name)));
                found.push(document.complaint(Code::CallInputs, &pointer, &message, Some(&help)));
            }
        }
    }
    debug_assert!(found.iter().all(|diagnostic| diagnostic.severity == Severity::Error));
    found
}

/// The way by which a call of `called` leads back to `caller`, if it does.
fn circle(caller: &str, called: &str, all: &[Signature]) -> Option<Vec<String>> {
    let mut ways = vec![vec![caller.to_owned(), called.to_owned()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        let last = way.last()?;
        if last == caller {
            return Some(way);
        }
        if !seen.insert(last.clone()) {
            continue;
        }
        let calls = all.iter().find(|known| known.name == *last).map(|known| &known.calls);
        ways.extend(
            calls.into_iter().flatten().map(|next| way.iter().cloned().chain([next.clone()]).collect()),
        );
    }
    None
}
