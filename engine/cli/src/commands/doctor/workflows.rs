//! The workspace's files, as `dripline check` sees them.

use std::collections::BTreeMap;

use dripline_store::Store;
use dripline_workflow::Severity;

use super::finding::Findings;
use crate::{
    output::plural,
    problem::Problem,
    publishing::{Drift, Files},
    workspace::{CheckedWorkspace, Experience, LoadedPlugin, Workspace, summarise},
};

/// The name of this check.
const WORKFLOWS: &str = "workflows";

/// The name of the check whether the files are what is published.
const PUBLISHED: &str = "published";

/// Counts the complaints about workflows, templates and teams; answers the files, if they can be read.
pub(super) async fn check(
    workspace: &Workspace,
    plugins: &BTreeMap<String, LoadedPlugin>,
    experience: Experience,
    findings: &mut Findings,
) -> Option<Files> {
    let files: Result<Files, Problem> = async {
        let checked = workspace.check_knowing(&workspace.workflow_files()?, plugins, experience).await?;
        Ok(Files { checked, plugins: plugins.clone(), fields: workspace.fields_text()? })
    }
    .await;
    match files {
        Ok(files) => {
            count(&files.checked, findings);
            Some(files)
        }
        Err(problem) => {
            findings.problem(WORKFLOWS, problem);
            None
        }
    }
}

/// Compares the files with what is published.
pub(super) async fn drift(workspace: &Workspace, store: &dyn Store, files: &Files, findings: &mut Findings) {
    let command = workspace.settings().publish.command();
    match Drift::of(store, files).await {
        Ok(Drift::None) => findings.ok(PUBLISHED, "the files are what is published"),
        Ok(Drift::NothingPublished) => {
            findings.ok(PUBLISHED, format!("nothing is published yet: {command} publishes the files"));
        }
        Ok(Drift::Differs(what)) => {
            let message = format!("the files differ from what is published: {what}");
            findings.warning(PUBLISHED, message, format!("dripline plan shows it; {command} publishes it"));
        }
        // That is said already.
        Ok(Drift::Mistakes(_) | Drift::NoFiles) => {}
        Err(problem) => findings.problem(PUBLISHED, problem),
    }
}

fn count(checked: &CheckedWorkspace, findings: &mut Findings) {
    let files = plural(checked.workflows.len() as u64, "workflow");
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    match (summarise(errors, warnings), errors) {
        (None, _) => findings.ok(WORKFLOWS, format!("{files} checked, nothing is wrong")),
        (Some(what), 0) => findings.warning(WORKFLOWS, format!("{files} checked: {what}"), "dripline check"),
        (Some(what), _) => findings.error(WORKFLOWS, format!("{files} checked: {what}"), "dripline check"),
    }
}
