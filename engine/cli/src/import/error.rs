//! Why an import cannot be done at all. (What is wrong with single rows goes to the file of rejected rows.)

use std::{io, path::PathBuf};

use thiserror::Error;

use super::reading::{ReadError, ReadErrorKind};

/// An import that was given up; nothing of it is kept.
#[derive(Debug, Error)]
#[error("failed to import {}: {kind}", file.display())]
pub(crate) struct ImportError {
    /// The file.
    pub(crate) file: PathBuf,
    /// Why.
    pub(crate) kind: ImportErrorKind,
}

/// Why an import was given up.
#[derive(Debug, Error)]
pub(crate) enum ImportErrorKind {
    /// The file cannot be opened.
    #[error("{0}")]
    Open(io::Error),
    /// The file is not CSV.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The file's columns make no sense.
    #[error("{0}")]
    Structure(#[from] Structure),
    /// The rejected rows cannot be written down.
    #[error("cannot write the rejected rows to {}: {source}", file.display())]
    Rejected {
        /// Where to.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store failed.
    #[error("{0}")]
    Store(#[from] dripline_store::Error),
}

/// What is wrong with the columns of a file.
#[derive(Debug, Error, PartialEq)]
pub(crate) enum Structure {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It is not text.
    #[error("the first line holds control characters: this is not a CSV file")]
    Binary,
    /// The first line holds no names.
    #[error("the first line is data (`{data}`), not a header")]
    NoHeader {
        /// The first line's fields.
        found: Vec<String>,
        /// The one that gives it away.
        data: String,
    },
    /// A name that is no name.
    #[error("the header of column {column} is {characters} characters long; the most is {most}")]
    LongHeader {
        /// From 1.
        column: usize,
        /// Its length.
        characters: usize,
        /// The limit.
        most: usize,
    },
    /// A column that every row needs is not there.
    #[error("no column {what}; the columns are {}", list(found))]
    NoKey {
        /// What is missing, as it reads after "no column".
        what: &'static str,
        /// The headers or targets that would do.
        targets: &'static [&'static str],
        /// The headers.
        found: Vec<String>,
    },
    /// A row of another length than the headers'.
    #[error("line {line}: {why}")]
    Row {
        /// From 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Two columns for one thing.
    #[error("the columns `{first}` and `{second}` both mean `{meaning}`")]
    SameMeaning {
        /// A header.
        first: String,
        /// Another.
        second: String,
        /// What they mean.
        meaning: String,
    },
    /// A header that is a word of the language.
    #[error("the header `{header}` cannot be the name of a `{values}` value")]
    ReservedHeader {
        /// The header.
        header: String,
        /// Where values live.
        values: &'static str,
    },
    /// A rule that gives a declared field another type.
    #[error("--map gives `{header}` another type than fields.yaml, where `{name}` is {declared}")]
    Declared {
        /// The header.
        header: String,
        /// The field.
        name: String,
        /// Its type.
        declared: &'static str,
    },
    /// A rule for a column that is not there.
    #[error("--map names the column `{header}`, which is not in the file")]
    MapNamesNoColumn {
        /// As the rule has it.
        header: String,
        /// The header that may be meant.
        near: Option<String>,
        /// The headers.
        found: Vec<String>,
    },
    /// A rule that cannot be followed.
    #[error("--map {header}={target}: {why}")]
    BadMap {
        /// The header.
        header: String,
        /// The target.
        target: String,
        /// Why not.
        why: String,
    },
}

impl ImportError {
    /// Whether the file is at fault, and not the machine.
    pub(crate) fn is_input(&self) -> bool {
        match &self.kind {
            ImportErrorKind::Open(error) => {
                matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory)
            }
            ImportErrorKind::Read(error) => !matches!(error.kind, ReadErrorKind::Io(_)),
            ImportErrorKind::Structure(_) => true,
            ImportErrorKind::Rejected { .. } | ImportErrorKind::Store(_) => false,
        }
    }

    /// What would help.
    pub(crate) fn help(&self) -> Option<String> {
        let file = self.file.display();
        let help = match &self.kind {
            ImportErrorKind::Open(_) | ImportErrorKind::Rejected { .. } | ImportErrorKind::Store(_) => {
                return None;
            }
            ImportErrorKind::Read(error) => match error.kind {
                ReadErrorKind::Io(_) => return None,
                ReadErrorKind::NotUtf8 { .. } => {
                    format!("convert it, for example: iconv -f latin1 -t utf-8 {file} > converted.csv")
                }
                ReadErrorKind::Utf16 => {
                    format!("convert it: iconv -f utf-16 -t utf-8 {file} > converted.csv")
                }
                ReadErrorKind::Unterminated | ReadErrorKind::AfterQuote => {
                    "a quote within a quoted field is written twice: \"say \"\"hi\"\"\"".into()
                }
                ReadErrorKind::TooLong => "is this a CSV file, with a line for each row?".into(),
            },
            ImportErrorKind::Structure(structure) => structure.help(),
        };
        Some(help)
    }
}

impl Structure {
    fn help(&self) -> String {
        match self {
            Self::Empty => "the first line names the columns, for example: email,first_name".into(),
            Self::Binary => "export the sheet as CSV, UTF-8".into(),
            Self::NoHeader { found, .. } => {
                let names: Vec<_> = (1..=found.len()).map(|column| format!("column_{column}")).collect();
                format!("put a line with the names of the columns first, for example: {}", names.join(","))
            }
            Self::LongHeader { .. } => "is the first line a line of names?".into(),
            Self::NoKey { targets, .. } => {
                let target = targets.first().copied().unwrap_or_default();
                format!(
                    "name a column {}, or say which one it is: --map \"HEADER={target}\"",
                    targets.iter().map(|target| format!("`{target}`")).collect::<Vec<_>>().join(" or "),
                )
            }
            Self::Row { .. } => "a cell with a comma in it stands in quotes".into(),
            Self::SameMeaning { second, .. } => format!("ignore one of them: --map \"{second}=-\""),
            Self::ReservedHeader { header, .. } => {
                format!("give it another name: --map \"{header}=NAME\", or ignore it: --map \"{header}=-\"")
            }
            Self::MapNamesNoColumn { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::MapNamesNoColumn { near: None, found, .. } => format!("the columns are {}", list(found)),
            Self::Declared { header, name, .. } => {
                format!("leave the type out: --map \"{header}={name}\"; or change fields.yaml")
            }
            Self::BadMap { header, .. } => format!("write for example --map \"{header}=my_name:text\""),
        }
    }
}

fn list(headers: &[String]) -> String {
    headers.iter().map(|header| format!("`{header}`")).collect::<Vec<_>>().join(", ")
}
