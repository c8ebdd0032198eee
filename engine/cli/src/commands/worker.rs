//! `dripline worker`

use std::{io::Write, sync::Arc};

use dripline_model::SystemClock;

use super::run::{begin, interrupted};
use crate::{
    args::Global,
    assembly::Assembly,
    output::Out,
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// Keep running what is published in the store, beside any number of other workers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Publishes nothing: `dripline run` does, and a worker follows within moments. With the store in PostgreSQL, workers start \
and stop at will, on one machine or many; each needs this workspace's dripline.yaml and plugins. Ctrl-C or SIGTERM ends \
one in order, and one that is killed loses nothing.")]
pub(crate) struct Args {}

pub(crate) async fn execute(_args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    let assembly = Assembly::following(&workspace, store, Arc::new(SystemClock)).await?;
    begin(&assembly, out).await?;
    writeln!(out, "Working. Ctrl-C ends it.")?;
    out.flush()?;
    assembly.engine.run_forever(interrupted()).await.map_err(Problem::unavailable)?;
    Ok(Exit::Success)
}
