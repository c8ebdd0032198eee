//! Handlebars: compile, check and render the texts that contacts read.
//!
//! [`Templates`] are the files of a workspace; whoever publishes a workflow takes the [`Templates::closure`] of each
//! email that it sends. [`Email`] is one email compiled from such a closure, [`Inline`] a text such as a subject.
//!
//! Rendering is strict: a field that a contact lacks (or that is JSON's `null`) is an error with template, line and
//! name, unless it stands in `{{default contact.first_name "there"}}` or in a condition. A score that nobody gave is 0,
//! a consent that was never asked is false. A `.html` file escapes what it prints, save in `{{{…}}}`; a `.txt` file does
//! not. Templates reach no files and no clock, and what they include is bounded.

mod check;
mod email;
mod helpers;
mod scan;
mod sources;

use std::fmt;

pub use email::{Email, Inline, Rendered, View};
pub use sources::{LoadError, LoadErrorKind, Templates};

/// Something wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the template; empty for one that is inline or that is not there.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// What would be right.
    pub help: Option<String>,
}

/// A field of the contact that a template reads, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldUse {
    /// Path of the template; empty for one that is inline.
    pub path: String,
    /// Line of the tag, from 1.
    pub line: u32,
    /// Column of the tag, from 1.
    pub column: u32,
    /// The attribute, the topic, or the score.
    pub name: String,
    /// Which of these it is.
    pub kind: FieldKind,
}

/// What a template names of a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldKind {
    /// `contact.NAME`
    Attribute,
    /// `contact.consent.NAME`
    Topic,
    /// `contact.scores.NAME`
    Score,
    /// `contact.grades.NAME`
    Grade,
}

impl FieldKind {
    /// What stands before the name.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Attribute => "contact.",
            Self::Topic => "contact.consent.",
            Self::Score => "contact.scores.",
            Self::Grade => "contact.grades.",
        }
    }
}

/// Why a template could not be rendered for a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderError {
    /// Path of the template; empty for one that is inline.
    pub template: String,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl std::error::Error for RenderError {}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.template.is_empty() {
            write!(f, "template `{}` ", self.template)?;
            match self.line {
                Some(line) => write!(f, "line {line}: ")?,
                None => f.write_str("failed: ")?,
            }
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}
