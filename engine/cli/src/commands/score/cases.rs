//! Who became what, and when: the rows of a file of outcomes.

use std::path::Path;

use jiff::Timestamp;

use crate::{import, problem::Problem};

/// By which headers a row names its contact, the best first.
const KEYS: [&str; 4] = ["contact", "external_id", "contact_id", "email"];

/// Which columns say what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns<'a> {
    pub(super) outcome: &'a str,
    pub(super) at: Option<&'a str>,
    pub(super) outcome_at: Option<&'a str>,
}

/// A row of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// From 1.
    pub(super) line: u64,
    /// External id or address.
    pub(super) contact: String,
    /// The moment, where a column says it.
    pub(super) at: Option<Timestamp>,
    /// None where nobody knows.
    pub(super) outcome: Option<bool>,
    /// When it came true.
    pub(super) outcome_at: Option<Timestamp>,
}

/// The header by which the rows of a file name their contacts.
pub(super) fn key_of(headers: &[String]) -> Option<&str> {
    KEYS.into_iter().find(|key| headers.iter().any(|header| header == key))
}

/// Reads the rows.
pub(super) fn read(file: &Path, columns: &Columns<'_>) -> Result<Vec<Row>, Problem> {
    let table = import::read_table(file).map_err(import_problem)?;
    let place = |header: &str, option: &str| {
        table.headers.iter().position(|known| known == header).ok_or_else(|| {
            let problem = Problem::input(format!("{}: there is no column `{header}`", file.display()));
            match dripline_model::suggest::closest(header, table.headers.iter().map(String::as_str)) {
                Some(near) => problem.with_help(format!("did you mean {option} {near}?")),
                None => problem.with_help(format!("its columns are {}", table.headers.join(", "))),
            }
        })
    };
    let Some(key) = key_of(&table.headers) else {
        return Err(Problem::input(format!("{}: no column says which contact is meant", file.display()))
            .with_help(format!("it can be called {}", KEYS.join(", "))));
    };
    let key = place(key, "")?;
    let outcome = place(columns.outcome, "--outcome")?;
    let at = columns.at.map(|header| place(header, "--at")).transpose()?;
    let outcome_at = columns.outcome_at.map(|header| place(header, "--outcome-at")).transpose()?;
    let mut rows = Vec::with_capacity(table.rows.len());
    for (line, cells) in &table.rows {
        let cell = |place: usize| cells.get(place).map(String::as_str).unwrap_or_default();
        let wrong = |place: usize, what: &str| {
            let header = table.headers.get(place).map(String::as_str).unwrap_or_default();
            Problem::input(format!(
                "{}:{line}: `{}` in `{header}` is {what}",
                file.display(),
                crate::output::clean(cell(place))
            ))
        };
        let time = |place: usize| match cell(place) {
            "" => Ok(None),
            text => import::read_time(text)
                .map(Some)
                .ok_or_else(|| wrong(place, "no time").with_help("write for example 2024-01-31")),
        };
        rows.push(Row {
            line: *line,
            contact: cell(key).to_owned(),
            at: at.map(time).transpose()?.flatten(),
            outcome: match cell(outcome) {
                "" => None,
                text => Some(import::read_boolean(text).ok_or_else(|| {
                    wrong(outcome, "neither yes nor no")
                        .with_help("write yes, no, or nothing where nobody knows")
                })?),
            },
            outcome_at: outcome_at.map(time).transpose()?.flatten(),
        });
    }
    Ok(rows)
}

/// What is wrong with a file.
pub(super) fn import_problem(error: import::ImportError) -> Problem {
    Problem {
        exit: if error.is_input() {
            crate::problem::Exit::Problems
        } else {
            crate::problem::Exit::Unavailable
        },
        message: error.to_string(),
        help: error.help(),
    }
}
