//! `dripline migrate`

use std::io::Write;

use dripline_store::Migrated;

use crate::{
    args::Global,
    output::{GOOD, Out},
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// Bring the store's tables up to date with this program
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A store in a file is brought up to date by any command, after a copy of it was made beside it. A store in PostgreSQL is \
left as it is until this command is run; processes of the release before go on working meanwhile and afterwards.")]
pub(crate) struct Args {}

pub(crate) async fn execute(_args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    match workspace.migrate_store().await? {
        Migrated { from: 0, to } => writeln!(out, "{GOOD}Made{GOOD:#} the tables, version {to}")?,
        Migrated { from, to } if from == to => writeln!(out, "The tables are up to date, version {to}")?,
        Migrated { from, to } => {
            writeln!(out, "{GOOD}Brought{GOOD:#} the tables from version {from} to version {to}")?;
        }
    }
    Ok(Exit::Success)
}
