//! What a subcommand found: a table for people, JSON for programs.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::machine::Machine;

/// The result of one subcommand.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    /// What the figures are, and how often each was taken.
    note: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
    /// Text that belongs to the figures, such as a query's plan: what it is, and the text.
    texts: Vec<(String, String)>,
    /// Which PostgreSQL took part, if one did.
    pub(crate) postgres: Option<String>,
}

impl Report {
    /// A report without rows.
    pub(crate) fn new(name: &'static str, note: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            name,
            note: note.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
            texts: Vec::new(),
            postgres: None,
        }
    }

    /// Adds a row, and tells those who wait that there is one.
    pub(crate) fn row(&mut self, values: Vec<Value>) {
        let shown: Vec<String> = values.iter().map(shown).collect();
        eprintln!("{}: {}", self.name, shown.join("  "));
        self.rows.push(values);
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, what: impl Into<String>, text: impl Into<String>) {
        self.texts.push((what.into(), text.into()));
    }

    /// The report and the machine, for programs.
    pub(crate) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            self.columns
                .iter()
                .zip(row)
                .map(|(column, value)| ((*column).to_owned(), value.clone()))
                .collect::<Map<_, _>>()
        });
        json!({
            "benchmark": self.name,
            "machine": Machine::look(self.postgres.clone()).to_json(),
            "note": self.note,
            "rows": rows.map(Value::Object).collect::<Vec<_>>(),
            "texts": self.texts.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}: {}\n", self.name, self.note)?;
        let heads: Vec<String> = self.columns.iter().map(|column| (*column).to_owned()).collect();
        let cells: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        let width = |index: usize| {
            let column = std::iter::once(&heads).chain(&cells).filter_map(|row| row.get(index));
            column.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        for row in [&heads, &rule].into_iter().chain(&cells) {
            f.write_str("|")?;
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, " {cell:>width$} |")?;
            }
            f.write_str("\n")?;
        }
        for (what, text) in &self.texts {
            writeln!(f, "\n{what}:\n{text}")?;
        }
        Ok(())
    }
}

/// Whole numbers with separators, others with what is worth reading of them.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => grouped(whole),
            #[expect(clippy::cast_possible_truncation, reason = "what is shown is rounded")]
            (None, Some(float)) if float.abs() >= 1_000.0 => grouped(float.round() as i64),
            (None, Some(float)) if float.abs() >= 10.0 => format!("{float:.1}"),
            (None, Some(float)) => format!("{float:.3}"),
            (None, None) => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_numbers_read_well() {
        let mut report = Report::new("steps", "once", &["batch", "steps/s"]);
        report.row(vec![json!(1), json!(4_781.4)]);
        report.row(vec![json!(1_000), json!(0.8765)]);
        let table = report.to_string();
        assert!(
            table
                .contains("| batch | steps/s |\n| ----- | ------- |\n|     1 |   4,781 |\n| 1,000 |   0.876"),
            "{table}"
        );
        assert_eq!(report.to_json()["rows"][0]["steps/s"], json!(4_781.4));
    }
}
