//! `dripline check`

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use dripline_workflow::Severity;
use serde_json::json;

use crate::{
    args::{Format, Global},
    output::{BAD, GOOD, Out, WARNING, json, plural},
    problem::{Exit, Problem},
    workspace::{CheckedWorkspace, Workspace, summarise},
};

/// Check workflows, templates, teams and settings, and say what is wrong where
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with 1 if there is any error; warnings alone end with 0.
`dripline explain CODE` explains a complaint.")]
pub(crate) struct Args {
    /// Workflow files, and files of tests, to check; by default all of the workspace
    paths: Vec<PathBuf>,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref().or_else(|| beside(&args.paths)))?;
    let host = workspace.host()?;
    let plugins = workspace.plugins(&host).await?;
    let checked = if args.paths.is_empty() {
        workspace.check_all(&plugins).await?
    } else {
        workspace.check_files(&args.paths, &plugins).await?
    };
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    if args.format.json {
        json(
            out,
            &json!({
                "errors": errors,
                "warnings": warnings,
                "workflows": checked.workflows.iter().map(|workflow| &workflow.source.path).collect::<Vec<_>>(),
                "tests": checked.tests.iter().map(|tests| &tests.source.path).collect::<Vec<_>>(),
                "diagnostics": checked.diagnostics,
            }),
        )?;
    } else {
        print(&checked, &workspace, out)?;
    }
    Ok(if errors > 0 { Exit::Problems } else { Exit::Success })
}

/// The workspace of the files that are to be checked, where it is not that of the current folder.
pub(super) fn beside(paths: &[PathBuf]) -> Option<&Path> {
    paths.first()?.ancestors().skip(1).find(|folder| folder.join(crate::workspace::SETTINGS_FILE).is_file())
}

fn print(checked: &CheckedWorkspace, workspace: &Workspace, out: &mut Out) -> Result<(), Problem> {
    for diagnostic in &checked.diagnostics {
        writeln!(out, "{}\n", diagnostic.render().trim_end())?;
    }
    for stray in workspace.stray_plugins()? {
        let stray = workspace.shown(&stray);
        writeln!(out, "{WARNING}note{WARNING:#}: {stray} is not installed: dripline plugin add {stray}")?;
    }
    let mut files = plural(checked.workflows.len() as u64, "workflow");
    if !checked.tests.is_empty() {
        files = format!("{files} and {}", plural(checked.tests.len() as u64, "test file"));
    }
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    match (summarise(errors, warnings), errors) {
        (None, _) => writeln!(out, "{GOOD}{files} checked, nothing is wrong{GOOD:#}")?,
        (Some(what), 0) => writeln!(out, "{WARNING}{files} checked: {what}{WARNING:#}")?,
        (Some(what), _) => {
            writeln!(out, "{BAD}{files} checked: {what}{BAD:#}")?;
            let mut by_code: BTreeMap<String, u64> = BTreeMap::new();
            for diagnostic in &checked.diagnostics {
                *by_code.entry(diagnostic.code.to_string()).or_default() += 1;
            }
            if let Some((code, _)) = by_code.into_iter().max_by_key(|(_, times)| *times) {
                writeln!(out, "For more about a complaint: dripline explain {code}")?;
            }
        }
    }
    Ok(())
}
