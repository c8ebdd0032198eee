//! Tables without lines, as wide as the terminal where there is one.

use std::{fmt::Display, io};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

use super::{FAINT, clean};

/// How a cell is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Well.
    Good,
    /// Wants a look.
    Warning,
    /// Wrong.
    Bad,
    /// Matters less.
    Faint,
}

/// A table with these headers.
pub(crate) fn table<const N: usize>(headers: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headers.map(|header| Cell::new(header).add_attribute(Attribute::Bold)));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// A cell; what it holds may come from anywhere.
pub(crate) fn cell(content: impl Display) -> Cell {
    Cell::new(clean(&content.to_string()))
}

/// A cell with a tone.
pub(crate) fn toned(content: impl Display, tone: Tone) -> Cell {
    let plain = cell(content);
    match tone {
        Tone::Good => plain.fg(Color::DarkGreen),
        Tone::Warning => plain.fg(Color::DarkYellow),
        Tone::Bad => plain.fg(Color::DarkRed),
        Tone::Faint => plain.add_attribute(Attribute::Dim),
    }
}

/// Prints a table.
pub(crate) fn write_table(out: &mut impl io::Write, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Prints the first `limit` of `all` as a table, says whether there are more, or `none` where there is nothing.
pub(crate) fn write_rows<T, const N: usize>(
    out: &mut impl io::Write,
    all: &[T],
    limit: usize,
    none: &str,
    headers: [&str; N],
    row: impl Fn(&T) -> [Cell; N],
) -> io::Result<()> {
    if all.is_empty() {
        return writeln!(out, "{none}");
    }
    let mut rows = table(headers);
    rows.add_rows(all.iter().take(limit).map(row));
    write_table(out, &rows)?;
    if all.len() > limit {
        writeln!(out, "{FAINT}… and more; --limit N shows more of them{FAINT:#}")?;
    }
    Ok(())
}
