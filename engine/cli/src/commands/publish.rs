//! `dripline publish`

use std::{io::Write, path::PathBuf};

use dripline_model::SystemClock;

use super::plan::{What, files};
use crate::{
    args::Global,
    output::{GOOD, Out},
    problem::{Exit, Problem},
    publishing::{self, Catalog, Changes, Intent, PlanFile, print_released},
    workspace::Workspace,
};

/// Publish the files: workflows, segments, teams and templates, and what becomes of contacts that are on their way
#[derive(Debug, clap::Args)]
#[command(after_help = "\
All of it is one transaction: it is published whole, or not at all. Processes that run follow within moments. \
With names, only these workflows are published; segments, teams, fields and scores belong to all, and come along. \
What becomes of contacts that are on their way, the workflow's `settings.on_publish` says, or an option here.

Examples:
  dripline publish --note 'A second reminder'
  dripline publish welcome --migrate --map nudge=remind
  dripline plan --out plan.json; dripline publish --plan plan.json")]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,
    /// Carry out just what this plan said, or nothing if anything has changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["workflows", "pin", "migrate", "drain", "map"])]
    plan: Option<PathBuf>,
    #[command(flatten)]
    by: By,
}

/// Who does it and why.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct By {
    /// Why, for `dripline versions`
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Who; by default the author that git would name, else the login name
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
}

impl By {
    /// What is recorded.
    pub(crate) fn intent(&self, workspace: &Workspace) -> Intent {
        let author = self.author.clone().unwrap_or_else(|| publishing::author(&workspace.path("")));
        Intent { author, note: self.note.clone() }
    }
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let plan = args.plan.as_deref().map(PlanFile::read).transpose()?;
    let store = workspace.open_store().await?;
    let store = store.as_ref();
    let files = files(&workspace, store, false, out).await?;
    let catalog = Catalog::read(store).await?;
    if let Some(plan) = &plan {
        plan.check(&files, &catalog)?;
    }
    let choice = plan.map_or_else(|| args.what.choice(), |plan| plan.choice);
    let changes = Changes::between(&files, &catalog, &choice)?;
    let intent = args.by.intent(&workspace);
    let attempt = publishing::publish(store, &files, &catalog, &changes, &choice, &intent, &SystemClock);
    let released = attempt.await?.done()?;
    if released.is_empty() {
        writeln!(out, "{GOOD}Nothing to publish{GOOD:#}: the files are what is published.")?;
        return Ok(Exit::Success);
    }
    print_released(&released, out)?;
    if released.teams {
        writeln!(out, "Published the teams")?;
    }
    if released.fields {
        writeln!(out, "Published fields.yaml")?;
    }
    Ok(Exit::Success)
}
