//! From a place in a scalar's value back to the place in the file.

use std::ops::Range;

use saphyr_parser::ScalarStyle;

use crate::yaml::{Kind, Node};

/// The bytes of `text` where the bytes `part` of the scalar's value are written; the whole scalar where that cannot be
/// told. Quotes, escapes, folded lines and the indentation of blocks are stepped over.
pub(crate) fn place(text: &str, node: &Node, part: &Range<usize>) -> Range<usize> {
    let Kind::Scalar(value, style) = &node.kind else { return node.span.clone() };
    locate(text, node, value, *style, part).unwrap_or_else(|| node.span.clone())
}

fn locate(
    text: &str,
    node: &Node,
    value: &str,
    style: ScalarStyle,
    part: &Range<usize>,
) -> Option<Range<usize>> {
    let mut at = node.span.start;
    // A block's place begins with its first line that is not empty.
    if matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
        at += 1;
    }
    let (mut start, mut end) = (None, at);
    for (index, character) in value.char_indices() {
        if index >= part.end && start.is_some() {
            break;
        }
        let written = next(text, &mut at, character, style)?;
        if index >= part.start && start.is_none() {
            start = Some(written.start);
        }
        end = written.end;
    }
    // A place behind the last character.
    let start = start.unwrap_or(end);
    Some(start..if part.is_empty() { start } else { end })
}

/// Where `character` is written, at or behind `at`, which moves behind it.
fn next(text: &str, at: &mut usize, character: char, style: ScalarStyle) -> Option<Range<usize>> {
    let peek = |at: usize| text.get(at..).and_then(|rest| rest.chars().next());
    if !character.is_whitespace() {
        loop {
            match peek(*at)? {
                found if found.is_whitespace() && found != character => *at += found.len_utf8(),
                // An escaped line break is none.
                '\\' if style == ScalarStyle::DoubleQuoted && matches!(peek(*at + 1), Some('\n' | '\r')) => {
                    *at += 1
                }
                _ => break,
            }
        }
    }
    let found = peek(*at)?;
    let start = *at;
    let length = match (style, found) {
        (ScalarStyle::DoubleQuoted, '\\') => escape(text.get(start + 1..)?)?,
        (ScalarStyle::SingleQuoted, '\'') => 2,
        _ if found == character => found.len_utf8(),
        // A folded line break, or one before a block's first line: nothing to step over here.
        _ if character.is_whitespace() => 0,
        _ => return None,
    };
    *at += length;
    Some(start..*at)
}

/// Length of an escape, whose backslash stands before `rest`.
fn escape(rest: &str) -> Option<usize> {
    let kind = rest.chars().next()?;
    Some(
        1 + match kind {
            'x' => 3,
            'u' => 5,
            'U' => 9,
            other => other.len_utf8(),
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::{Source, source::Report, yaml};

    /// What is underlined for the part `needle` of the value of `key: …`.
    fn underlined(text: &str, needle: &str) -> String {
        let source = Source { path: "x".into(), text: text.into() };
        let tree = yaml::parse(&source, &mut Report::new(&source)).unwrap();
        let (node, _) = tree.at("/key");
        let value = node.scalar().unwrap();
        let start = value.find(needle).unwrap();
        text[super::place(text, node, &(start..start + needle.len()))].to_owned()
    }

    #[test]
    fn parts_of_values_are_found_however_they_are_written() {
        assert_eq!(underlined("key: contact.titel == 1", "titel"), "titel");
        assert_eq!(underlined("ö: 1\nkey: 'it''s contact.titel'", "titel"), "titel");
        assert_eq!(underlined("key: \"a\\u0041 \\\"b\\\" \\\n    titel\"", "titel"), "titel");
        assert_eq!(underlined("key: a &&\n  titel == 1\n", "titel"), "titel");
        assert_eq!(underlined("key: |\n  a &&\n    titel == 1\n", "titel == 1"), "titel == 1");
        assert_eq!(underlined("key: |2\n\n    a\n  titel\n", "titel"), "titel");
        assert_eq!(underlined("key: >-\n  a &&\n\n  b &&\n  titel\n", "titel"), "titel");
        assert_eq!(underlined("key: \"\\\"x\"", "\""), "\\\"");
    }
}
