//! Whatever is written, compiling and evaluating end without a panic.

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{Contact, batch::ColumnType, field::Fields, id::ContactId};
use jiff::Timestamp;
use proptest::prelude::*;

/// Pieces of expressions, so that random sequences of them get past the first look.
fn piece() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "contact",
        "event",
        "now",
        "x",
        "tags",
        "scores",
        "fit",
        "title",
        "has",
        "exists",
        "all",
        "map",
        "filter",
        "size",
        "matches",
        "timestamp",
        "duration",
        "optMap",
        "in",
        "true",
        "null",
        "1",
        "0x1F",
        "1u",
        "2.5",
        "1e9",
        "\"a\"",
        "'b'",
        "\"\"\"c\"\"\"",
        "r\"\\d\"",
        "b\"x\"",
        "\"2024-03-01\"",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        ".?",
        "?",
        ":",
        ",",
        "+",
        "-",
        "*",
        "/",
        "%",
        "==",
        "!=",
        "<",
        ">=",
        "&&",
        "||",
        "!",
        " ",
        "\n",
        "// c\n",
        "ä",
        "\\",
        "@",
        "-9223372036854775808",
    ])
}

fn try_out(source: &str) {
    for result in [ColumnType::Boolean, ColumnType::Integer, ColumnType::Text, ColumnType::Timestamp] {
        let known = Fields::default();
        for scope in [
            Scope { attributes: None, event: true, inputs: None },
            Scope { attributes: Some(&known), event: false, inputs: None },
        ] {
            match Expression::compile(source, result, &scope) {
                Ok(expression) => {
                    let contact = Contact::new(ContactId(1));
                    _ = expression.evaluate(&Subject::new(&contact, None, Timestamp::MAX));
                }
                Err(problems) => {
                    assert!(!problems.is_empty());
                    for problem in problems {
                        assert!(
                            source.get(problem.span.clone()).is_some(),
                            "{problem:?} lies within {source:?}"
                        );
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(source in "\\PC{0,60}") {
        try_out(&source);
    }

    #[test]
    fn any_bytes_that_are_text(source in any::<String>()) {
        try_out(&source);
    }

    #[test]
    fn any_sequence_of_pieces(pieces in proptest::collection::vec(piece(), 0..24)) {
        try_out(&pieces.concat());
    }
}
