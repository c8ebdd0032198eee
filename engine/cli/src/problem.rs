//! How a command ends: an exit code, and on failure a sentence with what would help.

use std::{fmt, io, process::ExitCode};

/// The exit codes (`dripline --help` lists them). Wrong usage, 2, is clap's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Success = 0,
    /// What was given has problems: a workflow, a CSV file, the name of something that is not there.
    Problems = 1,
    /// Done, and there is something to publish: `dripline plan`.
    Changes = 3,
    /// A bug in Dripline.
    Internal = 70,
    /// The machine is at fault: a file or the store cannot be read or written.
    Unavailable = 74,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What ended a command early.
#[derive(Debug)]
pub(crate) struct Problem {
    /// With which code the process ends.
    pub(crate) exit: Exit,
    /// What is wrong.
    pub(crate) message: String,
    /// What would help.
    pub(crate) help: Option<String>,
}

impl Problem {
    /// What was given is at fault.
    pub(crate) fn input(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Problems, message: message.to_string(), help: None }
    }

    /// The machine is at fault.
    pub(crate) fn unavailable(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Unavailable, message: message.to_string(), help: None }
    }

    /// Dripline is at fault.
    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        let help = Some("this is a bug in dripline; please report it with the command that you ran".into());
        Self { exit: Exit::Internal, message: message.to_string(), help }
    }

    /// Adds what would help.
    pub(crate) fn with_help(self, help: impl fmt::Display) -> Self {
        Self { help: Some(help.to_string()), ..self }
    }

    /// A file or folder that cannot be used: `failed to read dripline.yaml: …`. One that is not there is the input's
    /// fault.
    pub(crate) fn io(doing: &str, path: &std::path::Path, error: &io::Error) -> Self {
        let message = format!("failed to {doing} {}: {error}", path.display());
        if error.kind() == io::ErrorKind::NotFound {
            Self::input(message)
        } else {
            Self::unavailable(message)
        }
    }
}

impl From<dripline_store::Error> for Problem {
    fn from(error: dripline_store::Error) -> Self {
        use dripline_store::ErrorKind::{BadUrl, Damaged, Newer, NotOurs, Older, Superseded, Unreachable};
        let help = match error.kind {
            NotOurs { .. } => {
                Some("`store` in dripline.yaml says where the store is; let it name a place of its own")
            }
            BadUrl(_) => Some("write it as postgres://USER:PASSWORD@HOST:5432/DATABASE"),
            Unreachable(_) => Some(
                "is the server up, is the database made, may this user in? `store` in dripline.yaml says which; \
                 psql asks the same",
            ),
            Damaged { .. } => Some("put a backup in its place; `dripline doctor` looks at the whole store"),
            Superseded => Some("look again with `dripline plan`, and then publish"),
            _ if error.is_busy() => Some("another process writes for minutes; try again when it is done"),
            _ => None,
        };
        let problem = match error.kind {
            BadUrl(_) | NotOurs { .. } | Newer { .. } | Older { .. } | Superseded => Self::input(error),
            _ => Self::unavailable(error),
        };
        Self { help: help.map(str::to_owned), ..problem }
    }
}

/// Output that cannot be written.
impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        // Whoever reads our output has seen enough (`dripline … | head`).
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Success } else { Exit::Unavailable };
        Self { exit, message: format!("failed to write the output: {error}"), help: None }
    }
}
