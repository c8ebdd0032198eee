//! `dripline check`

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use dripline_workflow::Severity;
use serde_json::json;

use crate::{
    args::Global,
    output::{BAD, GOOD, Out, WARNING, json, plural, sarif},
    problem::{Exit, Problem},
    workspace::{CheckedWorkspace, Experience, Workspace, summarise},
};

/// Check workflows, templates, teams, fields and settings, and say what is wrong where
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with 1 if there is any error; warnings alone end with 0. \
`dripline explain CODE` explains a complaint.")]
pub(crate) struct Args {
    /// Workflow files, and files of tests, to check; by default all of the workspace
    paths: Vec<PathBuf>,
    /// How to print what was found: text for people, json, or sarif (2.1.0) for CI
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    format: Output,
    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// How the complaints are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
    Sarif,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let (workspace, mistakes) =
        Workspace::find_to_check(global.workspace.as_deref().or_else(|| beside(&args.paths)))?;
    let host = workspace.host()?;
    let plugins = workspace.plugins(&host).await?;
    let files = if args.paths.is_empty() { workspace.all_files()? } else { args.paths.clone() };
    // Which store is meant stands in the settings.
    let experience = if mistakes.is_empty() { workspace.experience().await? } else { Experience::default() };
    let mut checked = workspace.check_knowing(&files, &plugins, experience).await?;
    checked.diagnostics.splice(0..0, mistakes);
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    let format = if args.json { Output::Json } else { args.format };
    match format {
        Output::Text => print(&checked, &workspace, out)?,
        Output::Sarif => json(out, &sarif(&checked.diagnostics))?,
        Output::Json => json(
            out,
            &json!({
                "errors": errors,
                "warnings": warnings,
                "workflows": checked.workflows.iter().map(|workflow| &workflow.source.path).collect::<Vec<_>>(),
                "tests": checked.tests.iter().map(|tests| &tests.source.path).collect::<Vec<_>>(),
                "diagnostics": checked.diagnostics,
            }),
        )?,
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
