//! `dripline rollback`

use std::{collections::BTreeSet, io::Write};

use dripline_model::SystemClock;
use dripline_store::{History, Store, StoredProgram, VersionSummary};

use super::{diff, plan::Runs, publish::By, versions};
use crate::{
    args::Global,
    output::{HEADING, Out, WARNING},
    problem::{Exit, Problem},
    publishing::{self, Catalog, print_released},
    workspace::{PublishSetting, Workspace},
};

/// Publish an older version of a workflow again, as a new version
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The new version has the older one's program, plugins and templates as they were; segments and teams stay as they are. \
The file is left alone: `dripline versions WORKFLOW --source N` prints the one that belongs to a version.

Examples:
  dripline rollback welcome --note 'the second mail was wrong'
  dripline rollback welcome --to 2 --migrate")]
pub(crate) struct Args {
    /// The workflow's name
    workflow: String,
    /// The version to go back to; by default the one before the current one
    #[arg(long, value_name = "N")]
    to: Option<i64>,
    #[command(flatten)]
    runs: Runs,
    #[command(flatten)]
    by: By,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    let store = store.as_ref();
    let name = &args.workflow;
    let catalog = Catalog::read(store).await?;
    let history = versions::find(store, name).await?;
    let old = diff::stored(store, target(&history, name, args.to)?).await?;
    check(&workspace, store, &old).await?;
    let (choice, intent) = (args.runs.choice(), args.by.intent(&workspace));
    let attempt = publishing::restore(store, &catalog, &old, &choice, &intent, &SystemClock);
    let released = attempt.await?.done()?;
    print_released(&released, out)?;
    writeln!(out, "It is version {} of {HEADING}{name}{HEADING:#} again.", old.number)?;
    let how = match workspace.settings().publish {
        PublishSetting::AtStart => "`dripline run` leaves it alone until it is changed",
        PublishSetting::ByHand => "`dripline publish` would publish it",
    };
    let number = old.number;
    writeln!(
        out,
        "{WARNING}The file is what it was{WARNING:#}: {how}. The one of version {number}: dripline versions {name} --source {number}"
    )?;
    Ok(Exit::Success)
}

/// The version to go back to.
fn target<'a>(history: &'a History, name: &str, to: Option<i64>) -> Result<&'a VersionSummary, Problem> {
    let Some(current) = history.versions.first() else {
        return Err(Problem::input(format!("`{name}` has no version")));
    };
    if let Some(number) = to {
        let version = versions::version(history, name, number)?;
        if version.digest == current.digest && history.retired_at.is_none() {
            let problem = Problem::input(format!("version {number} of `{name}` is what is published"));
            return Err(problem.with_help(format!("`dripline versions {name}` shows the others")));
        }
        return Ok(version);
    }
    // Going back twice goes back further.
    let from = current.restores.unwrap_or(current.number);
    let mut older = history.versions.iter().filter(|version| version.number < from);
    older.find(|version| version.digest != current.digest).ok_or_else(|| {
        Problem::input(format!("`{name}` has no version before this one"))
            .with_help(format!("`dripline versions {name}` shows them"))
    })
}

/// Complains of what the older version needs and what is not there any more.
async fn check(workspace: &Workspace, store: &dyn Store, old: &StoredProgram) -> Result<(), Problem> {
    let (name, number) = (&old.program.name, old.number);
    let steps = || old.program.nodes.iter().filter_map(|node| node.plugin_step());
    let teams: BTreeSet<String> = store.teams().await?.into_iter().map(|team| team.key).collect();
    let named =
        steps().flat_map(|step| step.teams.iter().filter_map(|place| step.config.pointer(place)?.as_str()));
    if let Some(gone) = named.into_iter().find(|team| !teams.contains(*team)) {
        return Err(Problem::input(format!(
            "version {number} of `{name}` hands leads to the team `{gone}`, which there is no more"
        ))
        .with_help("put the team back into teams.yaml and publish it, or go back to another version"));
    }
    let host = workspace.host()?;
    let installed = workspace.plugins(&host).await?;
    if let Some(step) = steps().find(|step| !installed.contains_key(&step.plugin)) {
        return Err(Problem::input(format!(
            "version {number} of `{name}` uses the plugin `{}`, which is not installed: nothing is granted to it",
            step.plugin
        ))
        .with_help("dripline plugin add FILE"));
    }
    Ok(())
}
