//! The `dripline` command: reads the command line, does what it says, and ends with a documented exit code.

mod args;
mod assembly;
mod commands;
mod import;
mod one_core;
mod output;
mod problem;
mod publishing;
mod workspace;

use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use args::Command;
use clap::Parser;
use problem::{Exit, Problem};
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

/// The system's allocator takes a sixth of a batch's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    dripline_model::crash::arm();
    let cli = args::Cli::parse();
    write_logs();
    let exit = catch_unwind(AssertUnwindSafe(|| execute(cli))).unwrap_or_else(|_| {
        let problem = Problem::internal("dripline panicked; what was not committed by then did not happen");
        output::report(&problem);
        problem.exit
    });
    exit.into()
}

/// Logs go to standard error: warnings, or what the environment variable `DRIPLINE_LOG` says.
fn write_logs() {
    let filter = EnvFilter::try_from_env("DRIPLINE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours).init();
}

/// As many threads as there are cores; one for a simulation, which does one thing after the other.
fn threads(command: &Command) -> Builder {
    match command {
        Command::Simulate(_) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    }
}

fn execute(cli: args::Cli) -> Exit {
    let result = threads(&cli.command)
        .enable_all()
        .build()
        .map_err(|error| Problem::unavailable(format!("failed to start: {error}")))
        .and_then(|runtime| {
            let mut out = output::stdout();
            let exit = runtime.block_on(commands::execute(cli, &mut out));
            // A plugin that compiles for ever holds a thread that nobody waits for.
            runtime.shutdown_background();
            out.flush()?;
            exit
        });
    result.unwrap_or_else(|problem| {
        output::report(&problem);
        problem.exit
    })
}
