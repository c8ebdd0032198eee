//! The workspace's files, as `dripline check` sees them.

use std::collections::BTreeMap;

use dripline_workflow::Severity;

use super::finding::Findings;
use crate::{
    output::plural,
    problem::Problem,
    workspace::{CheckedWorkspace, Experience, LoadedPlugin, Workspace, summarise},
};

/// The name of this check.
const WORKFLOWS: &str = "workflows";

/// Counts the complaints about workflows, templates and teams.
pub(super) async fn check(
    workspace: &Workspace,
    plugins: &BTreeMap<String, LoadedPlugin>,
    experience: Experience,
    findings: &mut Findings,
) {
    let checked: Result<CheckedWorkspace, Problem> =
        async { workspace.check_knowing(&workspace.workflow_files()?, plugins, experience).await }.await;
    let checked = match checked {
        Ok(checked) => checked,
        Err(problem) => return findings.problem(WORKFLOWS, problem),
    };
    let files = plural(checked.workflows.len() as u64, "workflow");
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    match (summarise(errors, warnings), errors) {
        (None, _) => findings.ok(WORKFLOWS, format!("{files} checked, nothing is wrong")),
        (Some(what), 0) => findings.warning(WORKFLOWS, format!("{files} checked: {what}"), "dripline check"),
        (Some(what), _) => findings.error(WORKFLOWS, format!("{files} checked: {what}"), "dripline check"),
    }
}
