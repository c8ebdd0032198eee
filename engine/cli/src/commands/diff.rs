//! `dripline diff`

use std::io::Write;

use dripline_model::{Digest, difference::Difference};
use dripline_store::{Store, StoredProgram, VersionSummary};
use serde_json::json;

use super::{plan::files, versions};
use crate::{
    args::{Format, Global},
    output::{GOOD, HEADING, Out, json},
    problem::{Exit, Problem},
    publishing::{Files, TemplateText, lines, print_difference, print_lines, print_texts},
    workspace::Workspace,
};

/// See what is different between two versions of a workflow, or between a version and the file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dripline diff welcome          from the current version to the file
  dripline diff welcome 2        from version 2 to the file
  dripline diff welcome 2 3      from version 2 to version 3")]
pub(crate) struct Args {
    /// The workflow's name
    workflow: String,
    /// The older side; by default the current version
    from: Option<i64>,
    /// The newer side; by default the file
    to: Option<i64>,
    /// Compare the files line by line, as their authors wrote them
    #[arg(long)]
    source: bool,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    let store = store.as_ref();
    let name = &args.workflow;
    let history = versions::find(store, name).await?;
    let from = match (args.from, history.versions.first()) {
        (Some(number), _) => versions::version(&history, name, number)?,
        (None, Some(newest)) => newest,
        (None, None) => return Err(Problem::input(format!("`{name}` has no version"))),
    };
    let old = stored(store, from).await?;
    let (files, to) = match args.to {
        Some(number) => (None, Some(stored(store, versions::version(&history, name, number)?).await?)),
        None => (Some(files(&workspace, store, args.format.json, out).await?), None),
    };
    let (new, source, to) = match (&files, &to) {
        (_, Some(stored)) => (&stored.program, &stored.source, format!("version {}", stored.number)),
        (Some(files), None) => {
            let (source, program) = files.workflow(name).ok_or_else(|| {
                Problem::input(format!("there is no file of the workflow `{name}`"))
                    .with_help(format!("name another version: dripline diff {name} {} N", old.number))
            })?;
            (program, &source.text, source.path.clone())
        }
        (None, None) => return Err(Problem::internal("nothing to compare with")),
    };
    let difference = Difference::between(&old.program, new);
    let written = if args.source { lines(&old.source, source) } else { Vec::new() };
    let texts = if args.source { Vec::new() } else { templates(store, files.as_ref(), &difference).await? };
    if args.format.json {
        let from = format!("version {}", old.number);
        let answer = json!({"name": name, "from": from, "to": to, "difference": difference, "templates": texts, "lines": written});
        json(out, &answer)?;
        return Ok(Exit::Success);
    }
    writeln!(out, "{HEADING}{name}{HEADING:#}: from version {} to {to}", old.number)?;
    let is_same = if args.source { old.source == *source } else { difference.is_empty() };
    if is_same {
        writeln!(out, "  {GOOD}nothing is different{GOOD:#}")?;
        return Ok(Exit::Success);
    }
    if args.source {
        print_lines(&written, out)?;
    } else {
        print_difference(&difference, out)?;
        print_texts(&texts, out)?;
    }
    Ok(Exit::Success)
}

/// A version with its program.
pub(super) async fn stored(store: &dyn Store, version: &VersionSummary) -> Result<StoredProgram, Problem> {
    let stored = store.program(version.version).await?;
    stored.ok_or_else(|| Problem::unavailable(format!("version {} is not in the store", version.number)))
}

/// The templates that are different, line by line; the newer ones are in the store, or in the files.
async fn templates(
    store: &dyn Store,
    files: Option<&Files>,
    difference: &Difference,
) -> Result<Vec<TemplateText>, Problem> {
    let mut texts = Vec::new();
    for change in &difference.templates {
        let (Some(old), Some(new)) = (&change.old, &change.new) else { continue };
        let old = text(store, old).await?;
        let new = match files {
            Some(files) => files.checked.templates.get(&change.name).unwrap_or_default().to_owned(),
            None => text(store, new).await?,
        };
        texts.push(TemplateText { name: change.name.clone(), lines: lines(&old, &new) });
    }
    Ok(texts)
}

async fn text(store: &dyn Store, digest: &Digest) -> Result<String, Problem> {
    Ok(store.template(digest).await?.unwrap_or_default())
}
