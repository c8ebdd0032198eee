//! `dripline explain`

use std::io::Write;

use dripline_workflow::{codes, explain};

use crate::{
    output::Out,
    problem::{Exit, Problem},
};

/// Explain a code that `dripline check` prints, with an example of what is right
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The code, for example E0101
    code: String,
}

pub(crate) fn execute(args: &Args, out: &mut Out) -> Result<Exit, Problem> {
    let page = explain(&args.code).ok_or_else(|| {
        let known: Vec<_> = codes().map(|code| code.to_string()).collect();
        Problem::input(format!("there is no code `{}`", args.code))
            .with_help(format!("the codes are {}", known.join(", ")))
    })?;
    writeln!(out, "{}", page.trim_end())?;
    Ok(Exit::Success)
}
