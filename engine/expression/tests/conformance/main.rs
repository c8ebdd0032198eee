//! The language's own conformance tests (`cases.json`; `make.mjs` says where they come from and what was left out).
//!
//! Each case that applies comes out as the definition says, or stands in [`DIFFERENCES`] with the reason. A difference that is none any
//! more fails the test, too. `docs/semantics.md` tells people of those that they could meet.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use dripline_expression::{Expression, Scope, Subject, Value};
use dripline_model::{Contact, batch::ColumnType, id::ContactId};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};

/// Cases that come out otherwise here: how their names begin, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("basic/variables/unbound_is_runtime_error", UNKNOWN),
    ("basic/functions/unbound_is_runtime_error", UNKNOWN),
    ("parse/receiver_function_names/", UNKNOWN),
    ("logic/AND/short_circuit_type_", NEVER_FITS),
    ("logic/OR/short_circuit_type_", NEVER_FITS),
    (
        "fields/quoted_map_fields/",
        "names between grave accents are not part of the parser: contact.map[\"a-b\"]",
    ),
    ("parse/nest/parens", "24 brackets inside one another are enough for a condition, and bound the stack"),
    ("timestamps/timestamp_conversions/toString_timestamp_nanos", "instants end with 9999-12-30 here"),
];

const UNKNOWN: &str = "an unknown name is refused when the file is checked, also where another part decides";
const NEVER_FITS: &str =
    "types that never fit are refused when the file is checked, also where another part decides";

/// What came of a case.
#[derive(Debug, PartialEq)]
enum Outcome {
    Value(Value),
    /// It has no value for the contact.
    None(String),
    /// It is refused when it is checked.
    Refused(String),
}

struct Case<'a> {
    name: &'a str,
    source: String,
    attributes: Map<String, Json>,
    result: ColumnType,
    /// None where there shall be no value.
    expected: Option<Value>,
}

impl<'a> Case<'a> {
    fn read(json: &'a Json) -> Self {
        let text = |key: &str| json.get(key).and_then(Json::as_str);
        let source = text("expr").unwrap();
        let attributes = json.get("attributes").and_then(Json::as_object).cloned().unwrap_or_default();
        let (source, result, expected) = if let Some(yes) = json.get("boolean").and_then(Json::as_bool) {
            (source.to_owned(), ColumnType::Boolean, Some(Value::Boolean(yes)))
        } else if let Some(number) = text("integer") {
            (source.to_owned(), ColumnType::Integer, Some(Value::Integer(number.parse().unwrap())))
        } else if let Some(number) = text("float") {
            (source.to_owned(), ColumnType::Float, Some(Value::Float(number.parse().unwrap())))
        } else if let Some(written) = text("text") {
            (source.to_owned(), ColumnType::Text, Some(Value::Text(written.to_owned())))
        } else if let Some(at) = text("timestamp") {
            (source.to_owned(), ColumnType::Timestamp, Some(Value::Timestamp(at.parse().unwrap())))
        } else if let Some(literal) = text("equals") {
            (format!("({source}) == {literal}"), ColumnType::Boolean, Some(Value::Boolean(true)))
        } else {
            assert_eq!(json.get("error"), Some(&Json::Bool(true)), "{json}");
            // Compared with itself, so that it is a condition whatever it would give.
            (format!("[{source}] == [{source}]"), ColumnType::Boolean, None)
        };
        Self { name: text("name").unwrap(), source, attributes, result, expected }
    }

    fn outcome(&self) -> Outcome {
        let mut contact = Contact::new(ContactId(1));
        contact.attributes = self.attributes.clone();
        match Expression::compile(&self.source, self.result, &Scope::default()) {
            Err(problems) => {
                let messages: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
                Outcome::Refused(messages.join("; "))
            }
            Ok(expression) => {
                match expression.evaluate(&Subject::new(&contact, None, Timestamp::UNIX_EPOCH)) {
                    Ok(value) => Outcome::Value(value),
                    Err(error) => Outcome::None(error.reason),
                }
            }
        }
    }

    fn is_right(&self, outcome: &Outcome) -> bool {
        match (&self.expected, outcome) {
            // An infinite number is none for who has to store it.
            (Some(Value::Float(expected)), Outcome::None(_)) => !expected.is_finite(),
            (Some(expected), outcome) => *outcome == Outcome::Value(expected.clone()),
            (None, outcome) => matches!(outcome, Outcome::None(_) | Outcome::Refused(_)),
        }
    }
}

#[test]
fn the_languages_own_cases_come_out_as_it_says() {
    let file: Json = serde_json::from_str(include_str!("cases.json")).unwrap();
    let cases = file.get("cases").and_then(Json::as_array).unwrap();
    assert!(cases.len() > 800, "{} cases", cases.len());
    let mut used: BTreeMap<&str, u32> = DIFFERENCES.iter().map(|(prefix, _)| (*prefix, 0)).collect();
    let mut wrong = Vec::new();
    for json in cases {
        let case = Case::read(json);
        let outcome = case.outcome();
        let difference = DIFFERENCES.iter().find(|(prefix, _)| case.name.starts_with(prefix));
        match (case.is_right(&outcome), difference) {
            (true, None) => {}
            (true, Some((prefix, _))) => {
                assert!(prefix.len() < case.name.len() || used.get(prefix) == Some(&0), "{}", case.name);
            }
            (false, Some((prefix, _))) => *used.entry(prefix).or_default() += 1,
            (false, None) => wrong.push(format!("{}: {} gives {outcome:?}", case.name, case.source)),
        }
    }
    let stale: Vec<_> = used.into_iter().filter(|(_, times)| *times == 0).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(stale.is_empty(), "these are no differences any more: {stale:?}");
}
