//! `dripline runs`

use std::io::Write;

use dripline_model::{Clock, SystemClock, decision::RunStatus, id::RunId};
use dripline_store::{NEVER, RunFilter, RunRow, Store};
use serde_json::Value;

use super::find_contact;
use crate::{
    args::{Format, Global, Listing},
    output::{
        FAINT, HEADING, JsonList, Out, Tone, cell, clean, json, plural, run_json, time, timeline_json, toned,
        write_rows,
    },
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// See where contacts stand in workflows; set failed runs going again or skip what failed, end others
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List runs, the newest first
    List {
        /// Only of this workflow
        #[arg(long, value_name = "NAME")]
        workflow: Option<String>,
        /// Only of this contact: id, external id or address
        #[arg(long, value_name = "CONTACT")]
        contact: Option<String>,
        /// Only in this state
        #[arg(long)]
        status: Option<Status>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a run: where it stands, and every decision on its way
    Show {
        /// The run's id
        run: i64,
        #[command(flatten)]
        format: Format,
    },
    /// Let a failed run go on with the step below the one that failed
    Skip {
        /// The run's id
        #[arg(required_unless_present = "all")]
        run: Option<i64>,
        /// All failed runs
        #[arg(long, conflicts_with = "run")]
        all: bool,
    },
    /// Set a failed run going again, from the step that failed
    Retry {
        /// The run's id
        #[arg(required_unless_present = "all")]
        run: Option<i64>,
        /// All failed runs
        #[arg(long, conflicts_with = "run")]
        all: bool,
    },
    /// End a run that is on its way
    Cancel {
        /// The run's id
        run: i64,
        /// Why, for whoever asks later
        #[arg(long, default_value = "cancelled by hand")]
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Status {
    Active,
    Completed,
    Failed,
    Cancelled,
    Won,
}

impl From<Status> for RunStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
            Status::Won => Self::Won,
        }
    }
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let store = Workspace::find(global.workspace.as_deref())?.open_store().await?;
    let store = store.as_ref();
    match &args.command {
        Command::List { workflow, contact, status, listing } => {
            let contact = match contact {
                Some(contact) => Some(find_contact(store, contact).await?),
                None => None,
            };
            let status = status.map(RunStatus::from);
            let filter = RunFilter { workflow: workflow.clone(), contact, status, run: None };
            list(store, &filter, *listing, out).await?;
        }
        Command::Show { run, format } => show(store, RunId(*run), *format, out).await?,
        Command::Skip { run, .. } => {
            let run = run.map(RunId);
            check_failed(store, run).await?;
            let skipped = store.skip_runs(run, SystemClock.now()).await?;
            let what = "the step that failed skipped";
            writeln!(out, "{} on the way again, {what}.", plural(skipped, "run"))?;
        }
        Command::Retry { run, .. } => retry(store, run.map(RunId), out).await?,
        Command::Cancel { run, reason } => {
            let row = find(store, RunId(*run)).await?;
            if !store.cancel_run(row.run, reason, SystemClock.now()).await? {
                return Err(Problem::input(format!(
                    "run {run} is not on its way: it is {}",
                    row.status.name()
                )));
            }
            writeln!(out, "Run {run} of {} in {} is cancelled.", clean(&row.contact_name), row.workflow)?;
        }
    }
    Ok(Exit::Success)
}

async fn list(store: &dyn Store, filter: &RunFilter, listing: Listing, out: &mut Out) -> Result<(), Problem> {
    // One more than is shown tells whether there are more.
    let runs = store.list_runs(filter, listing.limit().saturating_add(1)).await?;
    if listing.format.json {
        return Ok(JsonList::write(out, &runs, listing.limit(), run_json)?);
    }
    let headers = ["run", "workflow", "contact", "status", "step", "due (UTC)", "enrolled (UTC)", "why"];
    write_rows(out, &runs, listing.limit(), "No runs.", headers, |run| {
        [
            cell(run.run),
            cell(format!("{} v{}", run.workflow, run.version)),
            cell(&run.contact_name),
            status_cell(run.status),
            cell(
                run.path
                    .as_ref()
                    .map_or_else(|| run.step.clone(), |path| format!("{} (path {path})", run.step)),
            ),
            cell(run.due_at.filter(|due| *due < NEVER).map(time).unwrap_or_default()),
            cell(time(run.enrolled_at)),
            cell(run.reason.as_deref().unwrap_or_default()),
        ]
    })?;
    Ok(())
}

async fn show(store: &dyn Store, run: RunId, format: Format, out: &mut Out) -> Result<(), Problem> {
    let row = find(store, run).await?;
    let decisions = store.run_decisions(run).await?;
    if format.json {
        let mut value = run_json(&row);
        if let Value::Object(fields) = &mut value {
            fields.insert("decisions".into(), decisions.iter().map(timeline_json).collect());
        }
        return Ok(json(out, &value)?);
    }
    writeln!(
        out,
        "{HEADING}Run {run}{HEADING:#} of {} in {} (version {}): {}",
        clean(&row.contact_name),
        row.workflow,
        row.version,
        row.status.name(),
    )?;
    match (row.parent, &row.path) {
        (Some(parent), Some(path)) => writeln!(out, "  path {} of run {parent}", clean(path))?,
        (Some(parent), None) => writeln!(out, "  called by run {parent}, which waits for it")?,
        (None, _) => {}
    }
    match row.due_at {
        Some(due) if due < NEVER => writeln!(out, "  stands at {}, due {} UTC", row.step, time(due))?,
        Some(_) => writeln!(out, "  stands at {}, until other runs have ended", row.step)?,
        None => {}
    }
    for entry in &decisions {
        let (what, sentence) = entry.line();
        writeln!(out, "  {FAINT}{}{FAINT:#}  {what:<12} {}", time(entry.at), clean(&sentence))?;
    }
    Ok(())
}

async fn retry(store: &dyn Store, run: Option<RunId>, out: &mut Out) -> Result<(), Problem> {
    check_failed(store, run).await?;
    let retried = store.retry_runs(run, SystemClock.now()).await?;
    writeln!(out, "{} set going again, each from the step that failed.", plural(retried, "run"))?;
    Ok(())
}

/// Complains of a run that did not fail.
async fn check_failed(store: &dyn Store, run: Option<RunId>) -> Result<(), Problem> {
    if let Some(run) = run {
        let row = find(store, run).await?;
        if row.status != RunStatus::Failed {
            return Err(Problem::input(format!("run {run} did not fail: it is {}", row.status.name())));
        }
    }
    Ok(())
}

async fn find(store: &dyn Store, run: RunId) -> Result<RunRow, Problem> {
    let filter = RunFilter { run: Some(run), ..RunFilter::default() };
    store.list_runs(&filter, 1).await?.pop().ok_or_else(|| {
        Problem::input(format!("there is no run {run}")).with_help("`dripline runs list` shows them")
    })
}

fn status_cell(status: RunStatus) -> comfy_table::Cell {
    let tone = match status {
        RunStatus::Active => return cell(status.name()),
        RunStatus::Completed | RunStatus::Won => Tone::Good,
        RunStatus::Failed => Tone::Bad,
        RunStatus::Cancelled => Tone::Faint,
    };
    toned(status.name(), tone)
}
