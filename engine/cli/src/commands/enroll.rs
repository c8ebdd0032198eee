//! `dripline enroll`

use std::{io::Write, time::Duration};

use dripline_model::{
    Clock, SystemClock,
    id::{ContactId, FiringId},
};
use dripline_runtime::{Entrance, Error, ErrorKind, NoEntrance};
use dripline_store::{Firing, FiringCause, NewFiring, Store};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::{contacts::name, find_contact};
use crate::{
    args::Global,
    output::{GOOD, Out, WARNING, clean, contact_progress, count, plural},
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// Contacts that are looked at in one transaction: few enough that whoever runs the workspace hardly waits.
const SLICE: usize = 250;

/// How long to wait while another process is at the same firing.
const LEAVE_ALONE: Duration = Duration::from_millis(50);

/// Send contacts on their way through a workflow that has a `manual` trigger
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The workflow's own rules hold: `enroll.if`, `again`, and one run at a time for each contact. \
Ends with 1 if nobody was enrolled. `dripline run` then takes the contacts through the steps. \
If this command ends before all contacts were looked at, `dripline run` goes on with them.")]
pub(crate) struct Args {
    /// The workflow's name
    workflow: String,
    /// Ids, external ids or addresses
    #[arg(required_unless_present_any = ["all", "segment"], value_name = "CONTACT")]
    contacts: Vec<String>,
    /// What the rules see as `event.properties`: a JSON object
    #[arg(long, value_name = "JSON", conflicts_with_all = ["all", "segment"])]
    payload: Option<String>,
    /// Everybody
    #[arg(long, conflicts_with_all = ["contacts", "segment"])]
    all: bool,
    /// The members of this segment
    #[arg(long, value_name = "NAME", conflicts_with = "contacts")]
    segment: Option<String>,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let payload = args.payload.as_deref().map(payload).transpose()?;
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    let zone = TimeZone::get(&workspace.settings().time_zone).map_err(Problem::input)?;
    let entrance = Entrance::by_hand(store.as_ref(), &args.workflow, &zone).await.map_err(no_entrance)?;
    let enrolled = if args.contacts.is_empty() {
        let new = NewFiring {
            workflow: entrance.workflow(),
            cause: FiringCause::Hand,
            at: SystemClock.now(),
            segment: args.segment.clone(),
        };
        let firing = store.begin_firing(&new).await?;
        enroll_many(store.as_ref(), &entrance, firing, out).await?
    } else {
        let mut ids = Vec::with_capacity(args.contacts.len());
        for key in &args.contacts {
            let id = find_contact(store.as_ref(), key).await?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        enroll_each(store.as_ref(), &entrance, &ids, payload.as_ref(), out).await?
    };
    Ok(if enrolled == 0 { Exit::Problems } else { Exit::Success })
}

fn payload(text: &str) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_str(text) {
        Ok(Value::Object(payload)) => Ok(payload),
        Ok(_) => Err(Problem::input("the payload is no JSON object")),
        Err(error) => Err(Problem::input(format!("the payload is not JSON: {error}"))),
    }
    .map_err(|problem| problem.with_help("write for example --payload '{\"plan\": \"pro\"}'"))
}

async fn enroll_each(
    store: &dyn Store,
    entrance: &Entrance,
    contacts: &[ContactId],
    payload: Option<&Map<String, Value>>,
    out: &mut Out,
) -> Result<u64, Problem> {
    let now = SystemClock.now();
    let answers =
        entrance.enroll_by_hand(store, contacts, payload, now).await.map_err(Problem::unavailable)?;
    let mut enrolled = 0;
    for answer in &answers {
        let name = clean(name(&answer.contact));
        match &answer.refusal {
            None => {
                enrolled += 1;
                writeln!(out, "{GOOD}enrolled{GOOD:#} {name}")?;
            }
            Some(reason) => writeln!(out, "{WARNING}not enrolled{WARNING:#} {name}: {reason}")?,
        }
    }
    Ok(enrolled)
}

/// Takes the firing to its end, beside whoever else is at it.
async fn enroll_many(
    store: &dyn Store,
    entrance: &Entrance,
    firing: FiringId,
    out: &mut Out,
) -> Result<u64, Problem> {
    let bar = contact_progress();
    let (segment, done) = loop {
        let now = SystemClock.now();
        if entrance.advance(store, firing, SLICE, now).await.map_err(Problem::unavailable)?.is_none() {
            tokio::time::sleep(LEAVE_ALONE).await;
        }
        let gone = || Problem::internal("the enrolment is not in the store any more");
        let Firing { new, progress, total, .. } = store.firing(firing).await?.ok_or_else(gone)?;
        bar.set_length(total);
        bar.set_position(progress.seen);
        if progress.done {
            break (new.segment, progress);
        }
    };
    bar.finish_and_clear();
    if done.seen == 0 {
        let whom = segment.map_or("there are no contacts".to_owned(), |segment| {
            format!("nobody is in the segment `{}`", clean(&segment))
        });
        writeln!(out, "{WARNING}nobody enrolled{WARNING:#}: {whom}")?;
        return Ok(0);
    }
    let refused = done.seen.saturating_sub(done.enrolled);
    write!(out, "{GOOD}enrolled{GOOD:#} {} of {}", count(done.enrolled), plural(done.seen, "contact"))?;
    if refused > 0 {
        write!(
            out,
            "; {WARNING}not enrolled{WARNING:#} {}: `dripline contacts show` says why",
            count(refused)
        )?;
    }
    writeln!(out)?;
    Ok(done.enrolled)
}

fn no_entrance(error: NoEntrance) -> Problem {
    let help = error.help();
    let problem = match error {
        NoEntrance::Unpublished { .. } | NoEntrance::NotManual(_) => Problem::input(error),
        NoEntrance::Failed(Error { kind: ErrorKind::Store(error), .. }) => Problem::from(error),
        NoEntrance::Failed(error) => Problem::internal(error),
    };
    Problem { help: help.or(problem.help), ..problem }
}
