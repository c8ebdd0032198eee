//! Files, places in them, and the list of complaints about them.

use std::ops::Range;

use crate::{Code, Diagnostic, Severity};

/// A file as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// How diagnostics name the file: `workflows/trial.yaml`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// More complaints than this help nobody; the rest is not collected.
const MOST: usize = 100;

/// Of a longer line, this many characters are kept in a diagnostic.
const LONGEST_LINE: usize = 500;

/// The complaints about one file, and what is needed to place them.
#[derive(Debug)]
pub(crate) struct Report<'s> {
    source: &'s Source,
    line_starts: Vec<usize>,
    diagnostics: Vec<Diagnostic>,
    errors: usize,
    /// Takes the complaints past [`MOST`].
    overflow: Diagnostic,
}

impl<'s> Report<'s> {
    pub(crate) fn new(source: &'s Source) -> Self {
        let after_breaks =
            source.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts: Vec<usize> = std::iter::once(0).chain(after_breaks).collect();
        let overflow = place(Code::Syntax, source, &line_starts, &(0..0));
        Self { source, line_starts, diagnostics: Vec::new(), errors: 0, overflow }
    }

    pub(crate) fn text(&self) -> &'s str {
        &self.source.text
    }

    /// Adds an error about the bytes of `span`; what is returned takes a label and help.
    pub(crate) fn error(
        &mut self,
        code: Code,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.errors += 1;
        self.add(Diagnostic { message: message.into(), ..place(code, self.source, &self.line_starts, span) })
    }

    /// Adds a warning about the bytes of `span`.
    pub(crate) fn warning(
        &mut self,
        code: Code,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let diagnostic = place(code, self.source, &self.line_starts, span);
        self.add(Diagnostic { message: message.into(), severity: Severity::Warning, ..diagnostic })
    }

    /// Adds a complaint about another file, already placed.
    pub(crate) fn elsewhere(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        self.add(diagnostic);
    }

    fn add(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        if self.diagnostics.len() >= MOST {
            return &mut self.overflow;
        }
        self.diagnostics.push(diagnostic);
        self.diagnostics.last_mut().unwrap_or(&mut self.overflow)
    }

    /// How many errors there are so far; a difference tells whether a part was right.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// The line, from 1, in which the byte at `offset` stands.
    pub(crate) fn line(&self, offset: usize) -> u32 {
        number(self.line_starts.partition_point(|start| *start <= offset).max(1))
    }

    /// All complaints in the order of their places, each once (what stands behind an alias is looked at several times).
    pub(crate) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        let own = self.source.path.as_str();
        self.diagnostics.sort_by(|a, b| {
            let key = |d: &Diagnostic| (d.path != own, d.line, d.column, d.code);
            key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
        });
        self.diagnostics.dedup();
        self.diagnostics
    }
}

/// An error of `code` about the bytes of `span`, without words yet.
fn place(code: Code, source: &Source, line_starts: &[usize], span: &Range<usize>) -> Diagnostic {
    let text = source.text.as_str();
    let offset = floor_boundary(text, span.start);
    let line = line_starts.partition_point(|start| *start <= offset).max(1);
    let start = line_starts.get(line - 1).copied().unwrap_or(0);
    let line_text = text.get(start..).unwrap_or_default().split('\n').next().unwrap_or_default();
    let line_text = line_text.strip_suffix('\r').unwrap_or(line_text);
    let before = (offset - start).min(line_text.len());
    let marked_end = floor_boundary(text, span.end.max(offset)).min(start + line_text.len());
    let length = text.get(start + before..marked_end).map_or(0, |marked| marked.trim_end().chars().count());
    Diagnostic {
        code,
        severity: Severity::Error,
        path: source.path.clone(),
        line: number(line),
        column: number(line_text.get(..before).unwrap_or_default().chars().count() + 1),
        length: number(length.max(1)),
        source_line: line_text.chars().take(LONGEST_LINE).collect(),
        message: String::new(),
        label: None,
        help: None,
    }
}

/// An error at a line and column (characters, from 1) of a file.
pub(crate) fn at_line(code: Code, source: &Source, line: u32, column: u32) -> Diagnostic {
    let report = Report::new(source);
    let start =
        report.line_starts.get((line as usize).saturating_sub(1)).copied().unwrap_or(source.text.len());
    let line_text = source.text.get(start..).unwrap_or_default().split('\n').next().unwrap_or_default();
    let before: usize =
        line_text.chars().take((column as usize).saturating_sub(1)).map(char::len_utf8).sum::<usize>();
    let offset = start + before;
    let next = source.text.get(offset..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    place(code, source, &report.line_starts, &(offset..offset + next))
}

/// `offset`, or the start of the character in whose middle it lies; never past the end.
fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn number(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_marks_end_with_the_line() {
        let source = Source { path: "x".into(), text: "a\r\nä: bö\r\nc".into() };
        let mut report = Report::new(&source);
        let start = source.text.find('b').unwrap();
        let diagnostic = report.error(Code::Syntax, &(start..source.text.len()), "m");
        assert_eq!((diagnostic.line, diagnostic.column, diagnostic.length), (2, 4, 2));
        assert_eq!(diagnostic.source_line, "ä: bö");
        assert_eq!(at_line(Code::Syntax, &source, 2, 4).column, 4);
        assert_eq!(at_line(Code::Syntax, &source, 9, 9).line, 3);
    }
}
