//! What the checks found.

use std::{
    fmt::Display,
    io::{self, Write},
};

use anstyle::Style;
use serde::Serialize;

use crate::{
    output::{BAD, FAINT, GOOD, Out, WARNING, clean},
    problem::Problem,
};

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grade {
    /// It is as it should be.
    Ok,
    /// Dripline works, and somebody should have a look.
    Warning,
    /// Something does not work.
    Error,
}

impl Grade {
    fn shown(self) -> (Style, &'static str) {
        match self {
            Self::Ok => (GOOD, "ok"),
            Self::Warning => (WARNING, "warning"),
            Self::Error => (BAD, "error"),
        }
    }
}

/// One thing that a check found.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    grade: Grade,
    message: String,
    /// The command or the setting that mends it.
    help: Option<String>,
}

/// What all checks found, in their order.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// It is as it should be.
    pub(super) fn ok(&mut self, check: &'static str, message: impl Display) {
        self.add(check, Grade::Ok, message, None);
    }

    /// Somebody should have a look; `help` names the command or the setting that mends it.
    pub(super) fn warning(&mut self, check: &'static str, message: impl Display, help: impl Display) {
        self.add(check, Grade::Warning, message, Some(help.to_string()));
    }

    /// Something does not work; `help` names the command or the setting that mends it.
    pub(super) fn error(&mut self, check: &'static str, message: impl Display, help: impl Display) {
        self.add(check, Grade::Error, message, Some(help.to_string()));
    }

    /// Something does not work, as a command would have said.
    pub(super) fn problem(&mut self, check: &'static str, problem: Problem) {
        self.add(check, Grade::Error, problem.message, problem.help);
    }

    /// Something of this grade.
    pub(super) fn add(
        &mut self,
        check: &'static str,
        grade: Grade,
        message: impl Display,
        help: Option<String>,
    ) {
        self.0.push(Finding { check, grade, message: message.to_string(), help });
    }

    /// How many there are.
    pub(super) fn count(&self, grade: Grade) -> usize {
        self.0.iter().filter(|finding| finding.grade == grade).count()
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Finding] {
        &self.0
    }

    /// Prints a line for each, and one below it with what would mend it.
    pub(super) fn print(&self, out: &mut Out) -> io::Result<()> {
        for Finding { check, grade, message, help } in &self.0 {
            let (style, word) = grade.shown();
            writeln!(out, "{style}{word:<7}{style:#}  {check:<9}  {}", clean(message))?;
            if let Some(help) = help {
                writeln!(out, "{:9}{FAINT}{:9}{FAINT:#}  {}", "", "mend:", clean(help))?;
            }
        }
        Ok(())
    }
}
