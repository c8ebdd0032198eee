//! The commands, one module each: what it takes, and what it does.

pub(crate) mod check;
pub(crate) mod contacts;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod enroll;
pub(crate) mod events;
pub(crate) mod experiments;
pub(crate) mod explain;
mod history;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod leads;
mod live;
pub(crate) mod mail;
pub(crate) mod migrate;
pub(crate) mod plan;
pub(crate) mod plugin;
pub(crate) mod prune;
pub(crate) mod publish;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod score;
pub(crate) mod segment;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod test;
pub(crate) mod versions;
pub(crate) mod why;
pub(crate) mod worker;
pub(crate) mod workflows;

use dripline_model::id::ContactId;
use dripline_store::Store;

use crate::{
    args::{Cli, Command},
    output::Out,
    problem::{Exit, Problem},
};

/// Does what the command line says.
pub(crate) async fn execute(Cli { global, command }: Cli, out: &mut Out) -> Result<Exit, Problem> {
    match command {
        Command::Demo(args) => demo::execute(&args, out).await,
        Command::Init(args) => init::execute(&args, out),
        Command::Check(args) => check::execute(&args, &global, out).await,
        Command::Explain(args) => explain::execute(&args, out),
        Command::Schema(args) => schema::execute(&args, &global, out).await,
        Command::Simulate(args) => simulate::execute(&args, &global, out).await,
        Command::Test(args) => test::execute(&args, &global, out).await,
        Command::Import(args) => import::execute(&args, &global, out).await,
        Command::Events(args) => events::execute(&args, &global, out).await,
        Command::Plan(args) => plan::execute(&args, &global, out).await,
        Command::Publish(args) => publish::execute(&args, &global, out).await,
        Command::Versions(args) => versions::execute(&args, &global, out).await,
        Command::Diff(args) => diff::execute(&args, &global, out).await,
        Command::Rollback(args) => rollback::execute(&args, &global, out).await,
        Command::Run(args) => run::execute(&args, &global, out).await,
        Command::Worker(args) => worker::execute(&args, &global, out).await,
        Command::Serve(args) => serve::execute(&args, &global, out).await,
        Command::Enroll(args) => enroll::execute(&args, &global, out).await,
        Command::Contacts(args) => contacts::execute(&args, &global, out).await,
        Command::Why(args) => why::execute(&args, &global, out).await,
        Command::Leads(args) => leads::execute(&args, &global, out).await,
        Command::Workflows(args) => workflows::execute(&args, &global, out).await,
        Command::Runs(args) => runs::execute(&args, &global, out).await,
        Command::Score(args) => score::execute(&args, &global, out).await,
        Command::Segment(args) => segment::execute(&args, &global, out).await,
        Command::Experiments(args) => experiments::execute(&args, &global, out).await,
        Command::Mail(args) => mail::execute(&args, &global, out).await,
        Command::Migrate(args) => migrate::execute(&args, &global, out).await,
        Command::Doctor(args) => doctor::execute(&args, &global, out).await,
        Command::Plugin(args) => plugin::execute(&args, &global, out).await,
        Command::Prune(args) => prune::execute(&args, &global, out).await,
    }
}

/// The contact that somebody means by its id, external id or address.
async fn find_contact(store: &dyn Store, key: &str) -> Result<ContactId, Problem> {
    store.find_contact(key).await?.ok_or_else(|| {
        Problem::input(format!("there is no contact `{key}`"))
            .with_help("name it by its id, external id or address; `dripline contacts list` shows them")
    })
}
