//! `dripline why`: why something happened to a contact, and why something did not.
//!
//! What happened is told by the decisions that were recorded; what would have to change, by the conditions of the published
//! workflows, asked anew for the contact as it is now.

mod account;
mod as_json;
mod print;
mod prospect;
mod stand;

use dripline_model::{Clock, SystemClock};

use super::history::History;
use crate::{
    args::{Format, Global},
    output::{Out, json},
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// Say why something happened to a contact, and why something did not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --workflow it tells of all workflows in which the contact was, or wanted to be, and names the others. \
Conditions are looked at for the contact as it is now: they say what would have to change.")]
pub(crate) struct Args {
    /// Id, external id or address
    contact: String,
    /// Only this workflow, also where the contact never came near it
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only this step: its `id`, or its place (`step-2`)
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    let now = SystemClock.now();
    let history = History::of(store.as_ref(), &args.contact, now).await?;
    let asked = account::Asked { workflow: args.workflow.as_deref(), step: args.step.as_deref() };
    let account = account::Account::of(&workspace, store.as_ref(), history, &asked, now).await?;
    if args.format.json {
        json(out, &as_json::account(&account))?;
    } else {
        print::account(&account, &asked, out)?;
    }
    Ok(Exit::Success)
}
