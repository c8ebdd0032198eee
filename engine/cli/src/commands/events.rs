//! `dripline events`

use super::import::{FileArgs, import_file};
use crate::{
    args::Global,
    import::Events,
    output::Out,
    problem::{Exit, Problem},
};

/// Import what contacts did
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Import events from a CSV file
    #[command(after_help = "\
The first line names the columns. These names have a meaning of their own:
  contact, external_id, email   whose event it is: external id or address of a known contact
  event, name                   what happened: trial.started
  at, time, timestamp           when: 2024-01-31T09:30:00Z, 2024-01-31 09:30:00 (UTC) or 2024-01-31
  event_id, id                  your own key, which makes importing the same event twice harmless
Every other column becomes a property: `plan` is event.properties.plan.

Events are history unless you say --live: history is shown with the contact and starts no campaign.")]
    Import {
        #[command(flatten)]
        file: FileArgs,
        /// Let the events arrive at their own times, and start the workflows that wait for them
        #[arg(long)]
        live: bool,
    },
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let Command::Import { file, live } = &args.command;
    import_file(&Events::all(*live), file, global, out).await
}
