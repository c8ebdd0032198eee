//! Whatever the text, no panic, and every diagnostic stands at a place that exists.

use proptest::prelude::*;

use crate::support::Workspace;

const VALID: &str = include_str!("valid.yaml");

/// Pieces that mean something to YAML, CEL or Handlebars.
const PIECES: &[&str] = &[
    "\t",
    "\n",
    "\r\n",
    "  ",
    "- ",
    ": ",
    "#",
    "&a ",
    "*a",
    "!t ",
    "|\n",
    ">-\n",
    "---\n",
    "...",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "\\",
    "\\x",
    "ü",
    "\u{feff}",
    "\u{2028}",
    "漢",
    "\0",
    "{{",
    "}}",
    "{{#if",
    "(",
    ")",
    "==",
    "if: ",
    "then: ",
    "else:",
    "goto: ",
    "paths: ",
    "null",
    "~",
    "0x1F",
    "-1",
    ".inf",
    "wait: ",
    "steps:",
    "<<: ",
    "? ",
    "%YAML 1.1\n",
    ",",
];

fn holds(text: &str) -> Result<(), TestCaseError> {
    let (_, checked) = Workspace::new().check(text);
    let lines: Vec<&str> = text.split('\n').collect();
    for diagnostic in &checked.diagnostics {
        diagnostic.render();
        if diagnostic.path != "workflows/x.yaml" {
            continue;
        }
        let line = lines.get(diagnostic.line as usize - 1);
        let Some(line) = line else {
            return Err(TestCaseError::fail(format!("{diagnostic:?} is past the end")));
        };
        let length = line.chars().count();
        prop_assert!(diagnostic.column as usize <= length + 1, "{diagnostic:?}");
        prop_assert!(
            (diagnostic.column + diagnostic.length) as usize <= length.max(diagnostic.column as usize) + 1,
            "{diagnostic:?}"
        );
    }
    prop_assert!(checked.program.is_some() || !checked.diagnostics.is_empty(), "refused without a word");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_answered(text in any::<String>()) {
        holds(&text)?;
    }

    #[test]
    fn arbitrary_pieces_are_answered(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        holds(&pieces.concat())?;
    }

    #[test]
    fn mutated_workflows_are_answered(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..8_usize, prop::sample::select(PIECES)), 1..6)
    ) {
        let mut text: Vec<char> = VALID.chars().collect();
        for (place, removed, piece) in edits {
            let at = place.index(text.len());
            let end = (at + removed).min(text.len());
            text.splice(at..end, piece.chars());
        }
        holds(&text.into_iter().collect::<String>())?;
    }
}

#[test]
fn the_unmutated_workflow_is_right() {
    let (_, checked) = Workspace::new().check(VALID);
    let rendered: Vec<String> = checked.diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
    assert!(checked.program.is_some(), "{}", rendered.join("\n"));
}
