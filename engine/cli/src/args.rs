//! The command line. What a command takes stands in its own module; here is only which commands there are.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    check, contacts, demo, diff, doctor, enroll, events, experiments, explain, import, init, leads, mail,
    migrate, plan, plugin, prune, publish, rollback, run, runs, schema, score, segment, serve, simulate,
    test, versions, why, worker, workflows,
};

/// Marketing automation from YAML files: campaigns whose steps are sandboxed plugins, in one database file.
#[derive(Debug, Parser)]
#[command(name = "dripline", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// The workspace; by default the nearest folder with a dripline.yaml, here or above
    #[arg(long, short, global = true, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Begin with:
  dripline demo                see the whole product in small, with sample contacts
  dripline init campaigns      make a workspace with a small campaign that works
  dripline check               find what is wrong in it
  dripline test                run the tests of the campaigns
  dripline plan                see what publishing the files would change
  dripline simulate            see what the campaigns would do over the next 60 days
  dripline doctor              find what is wrong around it: store, mail servers, processes, plugins

Environment:
  DRIPLINE_LOG=info            log more, to standard error; NO_COLOR=1 leaves colours out

Exit codes:
  0   done
  1   what was given has problems: a workflow, a CSV file, the name of something that is not there
  2   wrong usage
  3   dripline plan: there is something to publish
  70  a bug in dripline
  74  a file or the store cannot be read or written";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Init(init::Args),
    Check(check::Args),
    Explain(explain::Args),
    Schema(schema::Args),
    Simulate(simulate::Args),
    Test(test::Args),
    Import(import::Args),
    Events(events::Args),
    Plan(plan::Args),
    Publish(publish::Args),
    Versions(versions::Args),
    Diff(diff::Args),
    Rollback(rollback::Args),
    Run(run::Args),
    Worker(worker::Args),
    Serve(serve::Args),
    Enroll(enroll::Args),
    Contacts(contacts::Args),
    Why(why::Args),
    Leads(leads::Args),
    Workflows(workflows::Args),
    Runs(runs::Args),
    Segment(segment::Args),
    Experiments(experiments::Args),
    Score(score::Args),
    Mail(mail::Args),
    Plugin(plugin::Args),
    Prune(prune::Args),
    Migrate(migrate::Args),
    Doctor(doctor::Args),
}

/// How a command that shows something prints it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Format {
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a command that lists something prints it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Listing {
    #[command(flatten)]
    pub(crate) format: Format,
    /// Print at most this many; by default 50, and with --json all
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

impl Listing {
    /// How many to print.
    pub(crate) fn limit(self) -> usize {
        let default = if self.format.json { u32::MAX } else { 50 };
        self.limit.unwrap_or(default) as usize
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        <super::Cli as clap::CommandFactory>::command().debug_assert();
    }
}
