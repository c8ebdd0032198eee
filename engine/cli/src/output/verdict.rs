//! What conditions say of a contact, part by part.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use dripline_runtime::{Clause, Verdict};
use serde_json::{Value, json};

use super::{GOOD, Out, WARNING, clean};

/// Prints the parts of a condition, each on a line: `` `contact.employees >= 200` is false: contact.employees is 150 ``.
pub(crate) fn write_clauses(out: &mut Out, indent: &str, clauses: &[Clause]) -> io::Result<()> {
    for clause in clauses {
        // Where there is only one part, it decides in any case.
        let decides = if clause.decides && clauses.len() > 1 { ", and decides" } else { "" };
        let source = clause.source.split_whitespace().collect::<Vec<_>>().join(" ");
        let source = clean(&source).into_owned();
        let values = values(clause);
        match &clause.holds {
            Ok(true) => writeln!(out, "{indent}`{source}` {GOOD}is true{GOOD:#}{decides}{values}")?,
            Ok(false) => writeln!(out, "{indent}`{source}` {WARNING}is false{WARNING:#}{decides}{values}")?,
            Err(reason) => writeln!(
                out,
                "{indent}`{source}` {WARNING}is no match{WARNING:#}{decides}: {}",
                clean(reason)
            )?,
        }
    }
    Ok(())
}

/// `: contact.employees is 150`, nothing where the part looks at nothing.
fn values(clause: &Clause) -> String {
    // A part that is nothing but a value has said it.
    let values = clause.values.iter().filter(|(what, _)| *what != clause.source);
    let each: Vec<String> =
        values.map(|(what, value)| format!("{} is {}", clean(what), clean(value))).collect();
    if each.is_empty() { String::new() } else { format!(": {}", each.join(", ")) }
}

/// A part of a condition.
pub(crate) fn clause_json(clause: &Clause) -> Value {
    json!({
        "if": clause.source,
        "holds": clause.holds.as_ref().ok(),
        "no_match": clause.holds.as_ref().err(),
        "decides": clause.decides,
        "values": clause.values.iter().cloned().collect::<BTreeMap<_, _>>(),
    })
}

/// A condition with its parts.
pub(crate) fn verdict_json(verdict: &Verdict) -> Value {
    json!({
        "if": verdict.source,
        "holds": verdict.holds.as_ref().ok(),
        "no_match": verdict.holds.as_ref().err(),
        "clauses": verdict.clauses.iter().map(clause_json).collect::<Vec<_>>(),
    })
}
