//! A complaint about a file: what is wrong, where, and what would be right.

use std::fmt::Write as _;

use serde::Serialize;

use crate::Code;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be published.
    Error,
    /// The file can be published, but it is probably not what was meant.
    Warning,
}

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Which kind.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// The file.
    pub path: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters are concerned, at least 1; not past the end of the line.
    pub length: u32,
    /// The line as it stands in the file; of a very long one only the beginning.
    pub source_line: String,
    /// What is wrong.
    pub message: String,
    /// A word or two beside the marked characters.
    pub label: Option<String>,
    /// What would be right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// The complaint for people, in plain text: message, place, the source line with the place marked, help.
    pub fn render(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let level = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut out = format!("{level}[{}]: {}\n", self.code, self.message);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{margin}--> {}:{}:{}", self.path, self.line, self.column);
        let _ = writeln!(out, "{margin} |");
        let _ = writeln!(out, "{}", format!("{number} | {}", printable(&self.source_line)).trim_end());
        let before = self.column.saturating_sub(1) as usize;
        if before <= self.source_line.chars().count() {
            let space: usize = self.source_line.chars().take(before).map(width).sum();
            let marked =
                self.source_line.chars().skip(before).take(self.length as usize).map(width).sum::<usize>();
            let label = self.label.as_deref().map(|label| format!(" {label}")).unwrap_or_default();
            let _ = writeln!(out, "{margin} | {}{}{label}", " ".repeat(space), "^".repeat(marked.max(1)));
        }
        if let Some(help) = &self.help {
            let mut lines = help.lines();
            let _ = writeln!(out, "{margin} = help: {}", lines.next().unwrap_or_default());
            for line in lines {
                let _ = writeln!(out, "{margin}   {line}");
            }
        }
        out
    }

    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = Some(label.into());
        self
    }

    /// "did you mean …?", else what there is.
    pub(crate) fn suggest<'a>(
        &mut self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str> + Clone,
    ) -> &mut Self {
        if let Some(near) = dripline_model::suggest::closest(word, candidates.clone()) {
            return self.help(format!("did you mean `{near}`?"));
        }
        match one_of(candidates) {
            Some(all) => self.help(format!("it can be {all}")),
            None => self,
        }
    }
}

/// "`a`, `b` or `c`"; none if there is nothing, and a long list is cut.
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        [most @ .., last] if names.len() <= 12 => Some(format!("{} or {last}", most.join(", "))),
        all => Some(format!("{} or others", all.iter().take(12).cloned().collect::<Vec<_>>().join(", "))),
    }
}

/// A tab takes four columns, everything else one.
fn width(character: char) -> usize {
    if character == '\t' { 4 } else { 1 }
}

/// The line with nothing in it that a terminal would obey.
fn printable(line: &str) -> String {
    line.chars().fold(String::with_capacity(line.len()), |mut out, character| {
        match character {
            '\t' => out.push_str("    "),
            character if character.is_control() => out.push('\u{fffd}'),
            character => out.push(character),
        }
        out
    })
}
