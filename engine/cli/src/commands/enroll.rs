//! `dripline enroll`

use std::io::Write;

use dripline_model::{Clock, SystemClock, program::Trigger};
use dripline_runtime::Admission;
use dripline_store::{Enrolment, Refusal, Store, StoredProgram};
use jiff::tz::TimeZone;

use super::{contacts::name, find_contact};
use crate::{
    args::Global,
    output::{GOOD, Out, WARNING, clean},
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// Send contacts on their way through a workflow that has a `manual` trigger
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The workflow's own rules hold: `enroll.if`, `again`, and one run at a time for each contact.
Ends with 1 if nobody was enrolled. `dripline run` then takes the contacts through the steps.")]
pub(crate) struct Args {
    /// The workflow's name
    workflow: String,
    /// Ids, external ids or addresses
    #[arg(required = true, value_name = "CONTACT")]
    contacts: Vec<String>,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    let stored = find_workflow(store.as_ref(), &args.workflow).await?;
    let admission = Admission::new(&stored.program).map_err(Problem::internal)?;
    let zone = TimeZone::get(&workspace.settings().time_zone).map_err(Problem::input)?;
    let mut ids = Vec::with_capacity(args.contacts.len());
    for key in &args.contacts {
        let id = find_contact(store.as_ref(), key).await?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let now = SystemClock.now();
    let mut transaction = store.begin().await?;
    let contacts = transaction.load_contacts(&ids, &admission.needs()).await?;
    let latest = transaction.latest_runs(stored.workflow, &ids).await?;
    let (mut enrolments, mut refusals) = (Vec::new(), Vec::new());
    for contact in &contacts {
        let StoredProgram { workflow, version, .. } = stored;
        match admission.refusal(contact, None, latest.get(&contact.id), now, &zone) {
            None => {
                writeln!(out, "{GOOD}enrolled{GOOD:#} {}", clean(name(contact)))?;
                let reason = "by hand".to_owned();
                enrolments.push(Enrolment { workflow, version, contact: contact.id, event: None, reason });
            }
            Some(reason) => {
                writeln!(out, "{WARNING}not enrolled{WARNING:#} {}: {reason}", clean(name(contact)))?;
                let reason = format!("by hand: {reason}");
                refusals.push(Refusal { workflow, version, contact: contact.id, event: None, reason });
            }
        }
    }
    transaction.enroll(&enrolments, now).await?;
    transaction.refuse(&refusals, now).await?;
    transaction.commit().await?;
    Ok(if enrolments.is_empty() { Exit::Problems } else { Exit::Success })
}

async fn find_workflow(store: &dyn Store, name: &str) -> Result<StoredProgram, Problem> {
    let programs = store.current_programs().await?;
    let near =
        dripline_model::suggest::closest(name, programs.iter().map(|stored| stored.program.name.as_str()));
    let help = near.map_or_else(
        || "`dripline run` publishes the files in workflows/".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    let stored = programs.into_iter().find(|stored| stored.program.name == name);
    let stored =
        stored.ok_or_else(|| Problem::input(format!("no workflow `{name}` is published")).with_help(help))?;
    if stored.program.triggers.contains(&Trigger::Manual) {
        Ok(stored)
    } else {
        Err(Problem::input(format!("the workflow `{name}` has no `manual` trigger"))
            .with_help("add `manual` to its `on:`, for example: on: [manual, {event: signed_up}]"))
    }
}
