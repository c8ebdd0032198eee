//! `dripline test`

mod junit;
mod print;

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use dripline_model::{Clock as _, DrivenClock};
use dripline_plugin_host::Host;
use dripline_simulation::{
    Stage,
    case::{self, Coverage, Outcome, WorkflowCoverage},
};
use dripline_store::{Catalog as _, Scoring as _, Store, Work, sqlite::SqliteStore};
use dripline_workflow::{
    Severity,
    campaign_test::{Test, TestFile},
};
use serde_json::json;

use crate::{
    args::{Format, Global},
    assembly,
    output::{Out, json},
    problem::{Exit, Problem},
    workspace::{CheckedWorkspace, LoadedPlugin, Workspace, summarise},
};

/// Run the tests of campaigns, workflows/*.test.yaml, on a simulated clock
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each test runs the workflows as their files are, with the contacts that it gives, in a store of its own; nothing is \
sent. Ends with 1 if a test fails.")]
pub(crate) struct Args {
    /// Files of tests; by default all of the workspace
    files: Vec<PathBuf>,
    /// Only tests in whose file or name this text stands
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write the result as JUnit XML, for CI
    #[arg(long, value_name = "FILE.xml")]
    junit: Option<PathBuf>,
    /// Show which steps and ways no test takes
    #[arg(long)]
    coverage: bool,
    #[command(flatten)]
    format: Format,
}

/// A test that was run.
struct Ran {
    file: String,
    name: String,
    line: u32,
    outcome: Outcome,
    took: Duration,
}

/// What tests are run with.
struct Setting<'a> {
    workspace: &'a Workspace,
    host: Host,
    plugins: &'a std::collections::BTreeMap<String, LoadedPlugin>,
    checked: &'a CheckedWorkspace,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace =
        Workspace::find(global.workspace.as_deref().or_else(|| super::check::beside(&args.files)))?;
    let host = workspace.host()?;
    let plugins = workspace.plugins(&host).await?;
    let mut files = workspace.workflow_files()?;
    files.extend(if args.files.is_empty() { workspace.test_files()? } else { args.files.clone() });
    let checked = workspace.check_knowing(&files, &plugins, workspace.experience().await?).await?;
    print::complaints(&checked, args.format, out)?;
    if let (Some(what), 1..) = (summarise(checked.count(Severity::Error), 0), checked.count(Severity::Error))
    {
        return Err(Problem::input(format!("there are mistakes in the files: {what}; no test was run"))
            .with_help("mend them and run `dripline check`"));
    }
    let setting = Setting { workspace: &workspace, host, plugins: &plugins, checked: &checked };
    let mut ran = Vec::new();
    let mut coverage = Coverage::default();
    let mut left_out = 0_u64;
    for tests in &checked.tests {
        let Some(file) = &tests.file else { continue };
        for test in &file.tests {
            let path = &tests.source.path;
            if args.filter.as_ref().is_some_and(|text| !path.contains(text) && !test.name.contains(text)) {
                left_out += 1;
                continue;
            }
            let started = Instant::now();
            let outcome = setting.run(file, test, &mut coverage).await?;
            let one = Ran {
                file: path.clone(),
                name: test.name.clone(),
                line: test.line,
                outcome,
                took: started.elapsed(),
            };
            if !args.format.json {
                print::test(&one, out)?;
            }
            ran.push(one);
        }
    }
    let covered: Vec<WorkflowCoverage> = covered(&checked, &coverage);
    if let Some(path) = &args.junit {
        let report = junit::report(&ran);
        fs::write(path, report).map_err(|error| Problem::io("write", path, &error))?;
    }
    if args.format.json {
        json(out, &result_json(&ran, &covered))?;
    } else {
        print::summary(&ran, left_out, out)?;
        print::coverage(&covered, args.coverage, out)?;
    }
    let is_well = ran.iter().all(|one| one.outcome.failures.is_empty());
    if ran.is_empty() && (args.filter.is_some() || !args.files.is_empty()) {
        return Err(
            Problem::input("no test was run").with_help("--filter takes a part of a test's name or file")
        );
    }
    Ok(if is_well { Exit::Success } else { Exit::Problems })
}

impl Setting<'_> {
    /// Runs one test, in a store of its own.
    async fn run(&self, file: &TestFile, test: &Test, coverage: &mut Coverage) -> Result<Outcome, Problem> {
        let clock = Arc::new(DrivenClock::starting_at(test.from));
        let store = Arc::new(SqliteStore::in_memory().await?);
        let checked = self.checked;
        store.put_teams(&checked.representatives, &checked.teams).await?;
        let failed = |error: dripline_simulation::Error| match error.kind {
            dripline_simulation::ErrorKind::Given(_) => {
                Problem::input(format!("test `{}`: {error}", test.name))
            }
            _ => Problem::unavailable(error),
        };
        store.publish_scores(&checked.scores, clock.now()).await?;
        let ids = case::prepare(store.as_ref(), test).await.map_err(failed)?;
        let is_tested = |name: &str| file.workflows.iter().any(|workflow| workflow == name);
        assembly::publish_segments(store.as_ref(), checked, clock.as_ref()).await?;
        assembly::publish(store.as_ref(), checked, self.plugins, clock.as_ref(), is_tested).await?;
        let options = assembly::options(self.workspace, self.plugins, Work::Run)?;
        let store: Arc<dyn Store> = store;
        let delivery = self.workspace.delivery_config()?;
        let stage = Stage::set(store, self.host.clone(), clock, delivery, options).await.map_err(failed)?;
        case::run(&stage, file, test, &ids, coverage).await.map_err(failed)
    }
}

/// The coverage of the workflows that have tests.
fn covered(checked: &CheckedWorkspace, coverage: &Coverage) -> Vec<WorkflowCoverage> {
    let files = || checked.tests.iter().filter_map(|tests| tests.file.as_ref());
    let is_tested = |name: &String| files().any(|file| file.workflows.contains(name));
    checked
        .programs()
        .filter(|(_, program)| is_tested(&program.name))
        .map(|(_, program)| coverage.of(program))
        .collect()
}

fn result_json(ran: &[Ran], covered: &[WorkflowCoverage]) -> serde_json::Value {
    let tests = ran.iter().map(|one| {
        json!({
            "file": one.file,
            "line": one.line,
            "name": one.name,
            "passed": one.outcome.failures.is_empty(),
            "seconds": one.took.as_secs_f64(),
            "mails": one.outcome.mails,
            "failures": one.outcome.failures,
        })
    });
    let failed = ran.iter().filter(|one| !one.outcome.failures.is_empty()).count();
    json!({
        "passed": ran.len() - failed,
        "failed": failed,
        "tests": tests.collect::<Vec<_>>(),
        "coverage": covered,
    })
}
