//! What commands print: text and tables for people, JSON for programs.

mod chart;
mod json;
mod sarif;
mod table;
mod text;
mod verdict;

use std::io::{self, BufWriter, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use chart::BarChart;
pub(crate) use json::{JsonList, coming_json, contact_json, json, message_json, run_json, timeline_json};
pub(crate) use sarif::sarif;
pub(crate) use table::{Tone, cell, table, toned, write_rows, write_table};
pub(crate) use text::{clean, count, plural, score_list, time};
pub(crate) use verdict::{clause_json, verdict_json, write_clauses};

use crate::problem::{Exit, Problem};

/// Headings.
pub(crate) const HEADING: Style = Style::new().bold();
/// What is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What wants a look.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
/// What is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What matters less.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Standard output; colours only where somebody sees them (`NO_COLOR` and the like are respected).
pub(crate) type Out = BufWriter<anstream::Stdout>;

/// Standard output.
pub(crate) fn stdout() -> Out {
    BufWriter::new(anstream::stdout())
}

/// Says on standard error why a command ended. A closed pipe is nothing to talk about.
pub(crate) fn report(problem: &Problem) {
    if problem.exit == Exit::Success {
        return;
    }
    let mut err = anstream::stderr();
    // There is nowhere left to complain to.
    let _ = writeln!(err, "{BAD}error{BAD:#}: {}", problem.message);
    if let Some(help) = &problem.help {
        let _ = writeln!(err, "{GOOD}help{GOOD:#}: {help}");
    }
}

/// A bar on standard error that counts bytes; invisible where nobody watches.
pub(crate) fn byte_progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:>10} {wide_bar} {bytes} of {total_bytes} ({eta} left)");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A bar on standard error that counts contacts; invisible where nobody watches.
pub(crate) fn contact_progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} contacts ({eta} left)");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A line on standard error that tells how far a driven clock has come; invisible where nobody watches.
pub(crate) fn moment_progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
