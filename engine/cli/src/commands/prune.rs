//! `dripline prune`

use std::io::Write;

use dripline_model::{Clock as _, SystemClock};
use dripline_store::{Prunable, Store};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    args::Global,
    output::{FAINT, GOOD, Out, count, moment_progress, time},
    problem::{Exit, Problem},
    workspace::{SETTINGS_FILE, Workspace},
};

/// Rows that are looked at in one transaction: few enough that whoever runs the workspace hardly waits.
const SLICE: usize = 2_000;

/// Delete what is older than `retention` in dripline.yaml says
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`dripline run --forever` does the same bit by bit, once an hour. This does it at once, beside a running engine or without \
one. What may be deleted: past events, the decisions of runs that have ended, and the text of mails that are sent.")]
pub(crate) struct Args {
    /// Only count what would be deleted
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let zone = TimeZone::get(&workspace.settings().time_zone).map_err(Problem::input)?;
    let due = workspace.settings().retention.retention().due(SystemClock.now(), &zone);
    if due.is_empty() {
        writeln!(out, "Nothing is ever deleted: {SETTINGS_FILE} has no `retention`.")?;
        return Ok(Exit::Success);
    }
    let store = workspace.open_store().await?;
    for (what, before) in due {
        let rows = if args.dry_run {
            store.count_prunable(what, before).await?
        } else {
            prune(store.as_ref(), what, before).await?
        };
        let done = if args.dry_run { "would delete" } else { "deleted" };
        let before = time(before);
        writeln!(
            out,
            "{GOOD}{done}{GOOD:#} {} {} {FAINT}from before {before} (UTC){FAINT:#}",
            count(rows),
            what.name()
        )?;
        out.flush()?;
    }
    Ok(Exit::Success)
}

/// Deletes all of it, slice by slice. Answers how many rows went.
async fn prune(store: &dyn Store, what: Prunable, before: Timestamp) -> Result<u64, Problem> {
    let progress = moment_progress();
    let mut rows = 0;
    loop {
        let pruned = store.prune(what, before, SLICE).await?;
        rows += pruned.rows;
        if pruned.is_last {
            progress.finish_and_clear();
            return Ok(rows);
        }
        progress.set_message(format!("{} {}", count(rows), what.name()));
        progress.tick();
    }
}
