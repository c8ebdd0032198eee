//! `dripline init`

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    output::{GOOD, HEADING, Out},
    problem::{Exit, Problem},
    workspace::SETTINGS_FILE,
};

/// Make a workspace with a small campaign that works
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder; made if it is not there. In a workspace, only what is missing is added
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

macro_rules! starter {
    ($($path:literal from $file:literal,)*) => {
        &[$(($path, include_str!(concat!("../../starter/", $file)))),*]
    };
}

/// The files of a new workspace.
const STARTER: &[(&str, &str)] = starter! {
    "dripline.yaml" from "dripline.yaml",
    "teams.yaml" from "teams.yaml",
    "workflows/welcome.yaml" from "workflows/welcome.yaml",
    "workflows/welcome.test.yaml" from "workflows/welcome.test.yaml",
    "templates/welcome.html" from "templates/welcome.html",
    "templates/nudge.html" from "templates/nudge.html",
    "templates/layout.html" from "templates/layout.html",
    "contacts.csv" from "contacts.csv",
    ".gitignore" from "gitignore",
};

pub(crate) fn execute(args: &Args, out: &mut Out) -> Result<Exit, Problem> {
    let folder = &args.folder;
    refuse_strange_folder(folder)?;
    let mut written = 0;
    for (path, text) in STARTER {
        let target = folder.join(path);
        if target.exists() {
            writeln!(out, "  {path} is there already")?;
            continue;
        }
        let parent = target.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| Problem::io("make", parent, &error))?;
        fs::write(&target, text).map_err(|error| Problem::io("write", &target, &error))?;
        writeln!(out, "  {GOOD}{path}{GOOD:#}")?;
        written += 1;
    }
    if written == 0 {
        writeln!(out, "{} has everything already.", folder.display())?;
        return Ok(Exit::Success);
    }
    writeln!(
        out,
        "\n{HEADING}Try next{HEADING:#}
  cd {}
  dripline check                               is everything right?
  dripline test                                does the campaign do what its test says?
  dripline import contacts.csv                 bring the sample contacts in
  dripline simulate --store --enroll welcome   what would happen to them over the next 60 days?
  dripline run                                 publish the campaign
  dripline enroll welcome mia@harbour.example  send somebody on the way
  dripline run                                 do what is due; --forever goes on doing it
  dripline contacts show mia@harbour.example   what happened, and why
  dripline mail list                           mails stay in the built-in mailbox",
        folder.display(),
    )?;
    Ok(Exit::Success)
}

/// A folder with files in it that is no workspace is somebody else's.
fn refuse_strange_folder(folder: &Path) -> Result<(), Problem> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|error| Problem::io("read", folder, &error))?,
    };
    let names: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name())).collect();
    let is_empty = names.iter().all(|name| name == ".git");
    if is_empty || names.iter().any(|name| name == SETTINGS_FILE) {
        return Ok(());
    }
    Err(Problem::input(format!("{} is not empty and not a workspace", folder.display()))
        .with_help("name an empty folder, or one that is not there yet"))
}
