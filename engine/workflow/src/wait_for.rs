//! `wait_for`: what a step waits for.

use dripline_expression::Scope;
use dripline_model::{batch::ColumnType, duration, program::WaitFor};

use crate::{
    Code, Environment,
    read::{entry, misspelt},
    source::Report,
    yaml::{Kind, Node},
};

const KEYS: &[&str] = &["event", "if", "within"];
const EXAMPLE: &str = "wait_for: {event: email.clicked, within: 3d}";

/// Reads the value of `wait_for`; none if anything is wrong with it.
pub(crate) fn read(node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) -> Option<WaitFor> {
    if let Kind::Scalar(text, _) = &node.kind
        && !node.is_null()
    {
        report
            .error(
                Code::WaitFor,
                &node.span,
                format!("`wait_for` does not say how long to wait for `{text}`"),
            )
            .help(format!("write wait_for: {{event: {text}, within: 3d}}"));
        return None;
    }
    let entries = report.read_mapping(node, "`wait_for`", EXAMPLE)?;
    let errors = report.errors();
    report.unknown_keys(entries, KEYS, "`wait_for`");
    let says = |key: &str| entry(entries, key).is_some();
    let slipped = |key: &str| misspelt(key, KEYS, entries.iter().map(|entry| entry.key.as_str()));
    if !says("event") && !says("if") && !slipped("event") && !slipped("if") {
        report
            .error(Code::WaitFor, &node.span, "`wait_for` does not say what to wait for")
            .help(format!("name an event, `{EXAMPLE}`, or a condition, `wait_for: {{if: contact.scores.fit >= 30, within: 30d}}`"));
    }
    if !says("within") && !slipped("within") {
        report
            .error(Code::WaitFor, &node.span, "`wait_for` does not say how long to wait")
            .help("add `within: 3d`; what did not happen by then goes on with `else`");
    }
    let event = entry(entries, "event").and_then(|entry| report.read_name(&entry.value, "`event`"));
    let scope = Scope { event: says("event"), ..environment.scope() };
    let condition = entry(entries, "if")
        .and_then(|entry| report.read_cel(&entry.value, "`if`", ColumnType::Boolean, &scope));
    let within = entry(entries, "within").and_then(|entry| {
        let text = report.read_duration(&entry.value, "`within`")?;
        if duration::parse(&text).is_ok_and(|span| span.is_zero()) {
            report
                .error(Code::WaitFor, &entry.value.span, format!("`{text}` is no time to wait"))
                .help("write for example 30m, 4h, 3d or 2w");
        }
        Some(text)
    });
    if report.errors() > errors {
        return None;
    }
    Some(WaitFor { event, condition, within: within?, then: None, otherwise: None })
}
