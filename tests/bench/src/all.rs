//! All of it, each in a process of its own.

use std::{env, fs, path::PathBuf, process::Command};

use serde_json::Value;

use crate::{
    Global, Result, authoring, latency, mail, memory, place::Kind, segments, sleeping, startup, steps,
};

/// Measure everything, each in a process of its own
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only try that everything works, with tiny sizes
    #[arg(long)]
    smoke: bool,
    /// The program whose start is measured, and its commands
    #[arg(long, default_value = "target/release/dripline")]
    binary: PathBuf,
    /// Where the contacts are, for those that can do with several
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite")]
    store: Vec<Kind>,
    /// Leave these out
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
}

/// The subcommands, and what makes each small.
const EACH: &[(&str, &[&str])] = &[
    ("startup", startup::SMOKE),
    ("authoring", authoring::SMOKE),
    ("memory", memory::SMOKE),
    ("sleeping", sleeping::SMOKE),
    ("mail", mail::SMOKE),
    ("segments", segments::SMOKE),
    ("latency", latency::SMOKE),
    ("steps", steps::SMOKE),
];

pub(crate) fn execute(args: &Args, global: &Global) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stores: Vec<String> = args.store.iter().map(|store| store.name().to_lowercase()).collect();
    let mut results = Vec::new();
    for (name, smoke) in EACH.iter().filter(|(name, _)| !args.without.iter().any(|without| without == name)) {
        let of: Vec<Option<String>> = match *name {
            "startup" | "authoring" => vec![None],
            // What a process used for one store it has for the other.
            "memory" => stores.iter().cloned().map(Some).collect(),
            _ => vec![Some(stores.join(","))],
        };
        for stores in of {
            let json = folder.path().join(name);
            let mut command = Command::new(env::current_exe()?);
            command.arg(name).arg("--json").arg(&json).arg("--dir").arg(&global.dir);
            match stores {
                Some(stores) => command.arg("--store").arg(stores),
                None => command.arg("--binary").arg(&args.binary),
            };
            if args.smoke {
                command.args(*smoke);
            }
            if !command.status()?.success() {
                return Err(format!("`{name}` failed").into());
            }
            results.push(serde_json::from_slice(&fs::read(&json)?)?);
        }
    }
    if let Some(path) = &global.json {
        fs::write(path, format!("{:#}\n", Value::Array(results)))?;
    }
    Ok(())
}
