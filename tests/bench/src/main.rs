//! What Dripline costs, end to end, beside the same work done by hand.
//!
//! Each subcommand measures one thing, prints a small table, and with `--json FILE` writes the same for programs. `all`
//! runs every one of them in a process of its own, so that none measures what another left behind. Wherever there is a
//! fair rival (the same SQL through the fastest driver, the same bytes to the same SMTP server), it runs in the same
//! minute, turn and turn about. `docs/performance.md` says how to repeat the figures there.

mod all;
mod authoring;
mod campaign;
mod latency;
mod machine;
mod mail;
mod memory;
mod people;
mod place;
mod process;
mod report;
mod segments;
mod sleeping;
mod startup;
mod statistics;
mod steps;
mod tally;
mod workshop;
mod yardstick;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::report::Report;

/// A result of this program.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What Dripline costs, beside the same work done by hand
#[derive(Debug, Parser)]
#[command(name = "dripline-bench")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes.
#[derive(Debug, clap::Args)]
struct Global {
    /// Also write the results to this file, as JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the databases are made, and removed again; it should be on the disk that is to be measured
    #[arg(long, global = true, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    Steps(steps::Args),
    Latency(latency::Args),
    Memory(memory::Args),
    Sleeping(sleeping::Args),
    Startup(startup::Args),
    Mail(mail::Args),
    Segments(segments::Args),
    Authoring(authoring::Args),
    All(all::Args),
}

/// The system's allocator takes a sixth of a batch's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dripline-bench failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let Global { json, dir } = &cli.global;
    if let Command::All(args) = &cli.command {
        return all::execute(args, &cli.global);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(measure(&cli.command, dir))?;
    print!("{}{report}", machine::Machine::look(report.postgres.clone()));
    if let Some(path) = json {
        std::fs::write(path, format!("{:#}\n", report.to_json()))?;
    }
    Ok(())
}

async fn measure(command: &Command, dir: &std::path::Path) -> Result<Report> {
    match command {
        Command::Steps(args) => steps::execute(args, dir).await,
        Command::Latency(args) => latency::execute(args, dir).await,
        Command::Memory(args) => memory::execute(args, dir).await,
        Command::Sleeping(args) => sleeping::execute(args, dir).await,
        Command::Startup(args) => startup::execute(args, dir),
        Command::Mail(args) => mail::execute(args, dir).await,
        Command::Segments(args) => segments::execute(args, dir).await,
        Command::Authoring(args) => authoring::execute(args, dir),
        Command::All(_) => Err("`all` is made of the others".into()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        <super::Cli as clap::CommandFactory>::command().debug_assert();
    }
}
