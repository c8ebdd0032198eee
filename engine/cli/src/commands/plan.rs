//! `dripline plan`

use std::{fs, io::Write, path::PathBuf};

use dripline_model::{Clock as _, SystemClock, policy::OnPublish};
use dripline_store::Store;
use dripline_workflow::Severity;

use super::live;
use crate::{
    args::{Format, Global},
    output::{Out, json},
    problem::{Exit, Problem},
    publishing::{Catalog, Changes, Choice, Files, Plan, print_plan},
    workspace::{Experience, Workspace, summarise},
};

/// See what publishing the files would change, and what would become of the contacts that are on their way
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Publishes nothing. Ends with 0 if there is nothing to publish, with 3 if there is, and with 1 if the files have mistakes.

Examples:
  dripline plan                                       what has changed in the files since they were published
  dripline plan welcome --migrate --map nudge=remind  what would become of those who are on their way
  dripline plan --out plan.json                       a plan that `dripline publish --plan plan.json` carries out")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) what: What,
    /// Save the plan, for `dripline publish --plan`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// What is to be published, and what becomes of the runs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct What {
    /// Only these workflows; by default all
    workflows: Vec<String>,
    #[command(flatten)]
    runs: Runs,
}

/// What becomes of runs on older versions.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Runs {
    /// Contacts that are on their way stay on their versions; holds where neither this nor the workflow says otherwise
    #[arg(long, conflicts_with_all = ["migrate", "drain"])]
    pin: bool,
    /// Contacts that are on their way move to the new version, by the ids of the steps
    #[arg(long, conflicts_with = "drain")]
    migrate: bool,
    /// The runs of contacts that are on their way end
    #[arg(long)]
    drain: bool,
    /// Where those go who stand at a step that has another id now; may be given several times
    #[arg(long = "map", value_name = "OLD=NEW", value_parser = live::step_pair)]
    map: Vec<(String, String)>,
}

impl What {
    /// Whether nothing was said.
    pub(crate) fn choice(&self) -> Choice {
        Choice { workflows: self.workflows.clone(), ..self.runs.choice() }
    }
}

impl Runs {
    /// What was said.
    pub(crate) fn choice(&self) -> Choice {
        let said =
            [(self.pin, OnPublish::Pin), (self.migrate, OnPublish::Migrate), (self.drain, OnPublish::Drain)];
        Choice {
            workflows: Vec::new(),
            runs: said.into_iter().find(|(said, _)| *said).map(|(_, runs)| runs),
            map: self.map.clone(),
        }
    }
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    // To look makes no store where there is none.
    let store = if workspace.is_store_missing() {
        workspace.copy_of_store().await?
    } else {
        workspace.open_store().await?
    };
    let files = files(&workspace, store.as_ref(), args.format.json, out).await?;
    let catalog = Catalog::read(store.as_ref()).await?;
    let choice = args.what.choice();
    let changes = Changes::between(&files, &catalog, &choice)?;
    let caps: Vec<_> = workspace.settings().caps.iter().map(|cap| cap.cap()).collect();
    let plan =
        Plan::of(store.as_ref(), &files, &catalog, &changes, &choice, &caps, SystemClock.now()).await?;
    if let Some(path) = &args.out {
        let text = serde_json::to_string_pretty(&plan).map_err(Problem::internal)?;
        fs::write(path, format!("{text}\n")).map_err(|error| Problem::io("write", path, &error))?;
    }
    if args.format.json {
        json(out, &plan)?;
    } else {
        print_plan(&plan, out)?;
        match &args.out {
            Some(path) => {
                writeln!(out, "Written: {}", path.display())?;
                if plan.changes {
                    writeln!(out, "Publish just this: dripline publish --plan {}", path.display())?;
                }
            }
            None if plan.changes => writeln!(out, "Publish it: dripline publish")?,
            None => {}
        }
    }
    Ok(if plan.changes { Exit::Changes } else { Exit::Success })
}

/// The workspace's files, checked; complaints are printed, and an error among them ends the command.
pub(crate) async fn files(
    workspace: &Workspace,
    store: &dyn Store,
    is_json: bool,
    out: &mut Out,
) -> Result<Files, Problem> {
    let host = workspace.host()?;
    let plugins = workspace.plugins(&host).await?;
    let experience = Experience::of(store).await?;
    let checked = workspace.check_knowing(&workspace.workflow_files()?, &plugins, experience).await?;
    let errors = checked.count(Severity::Error);
    if errors > 0 || !is_json {
        let shown = checked.diagnostics.iter().filter(|one| errors == 0 || one.severity == Severity::Error);
        for diagnostic in shown {
            let text = diagnostic.render();
            if is_json {
                writeln!(anstream::stderr(), "{}\n", text.trim_end())?;
            } else {
                writeln!(out, "{}\n", text.trim_end())?;
            }
        }
    }
    if let (Some(what), 1..) = (summarise(errors, 0), errors) {
        return Err(Problem::input(format!("the workflows have {what}; nothing can be published"))
            .with_help("mend them and run `dripline check`"));
    }
    Ok(Files { checked, plugins, fields: workspace.fields_text()? })
}
