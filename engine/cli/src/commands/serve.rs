//! `dripline serve`

use std::{io::Write, sync::Arc};

use dripline_model::SystemClock;
use dripline_server::Api;
use jiff::tz::TimeZone;
use tokio::net::TcpListener;

use super::run::{begin, interrupted};
use crate::{
    args::Global,
    assembly::Assembly,
    output::Out,
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// Do what `dripline worker` does, and answer other programs over HTTP
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`api` in dripline.yaml says where it answers, and whom; docs/api.md says what. With the store in PostgreSQL any number of \
these run beside each other and beside workers. Ctrl-C or SIGTERM ends one in order: requests that were begun are answered.")]
pub(crate) struct Args {}

pub(crate) async fn execute(_args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let settings = workspace.settings().api.as_ref().ok_or_else(|| {
        Problem::input("dripline.yaml has no `api`, so nobody could ask anything").with_help(
            "name a program and where its token is: api: {tokens: [{name: crm, token_env: CRM_TOKEN}]}",
        )
    })?;
    let (address, tokens) = (settings.address()?, settings.tokens()?);
    let zone = TimeZone::get(&workspace.settings().time_zone).map_err(Problem::input)?;
    let store = workspace.open_store().await?;
    let assembly = Assembly::following(&workspace, Arc::clone(&store), Arc::new(SystemClock)).await?;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Problem::unavailable(format!("failed to listen on {address}: {error}"))
            .with_help("`api.listen` in dripline.yaml says where; is another program there?")
    })?;
    let address = listener.local_addr()?;
    begin(&assembly, out).await?;
    let api = Api { store, clock: Arc::new(SystemClock), zone, tokens };
    let server = tokio::spawn(dripline_server::serve(listener, api, interrupted()));
    writeln!(out, "Working, and answering on http://{address}. Ctrl-C ends it.")?;
    out.flush()?;
    assembly.engine.run_forever(interrupted()).await.map_err(Problem::unavailable)?;
    server.await.map_err(Problem::internal)?.map_err(Problem::unavailable)?;
    Ok(Exit::Success)
}
