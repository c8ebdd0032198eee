//! `dripline demo`

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use dripline_model::{Clock, SystemClock, decision::RunStatus, id::MessageId};
use dripline_store::{Lead, MessageFilter, RunFilter, Store};
use include_dir::{Dir, include_dir};
use indicatif::ProgressBar;
use tempfile::TempDir;

use super::{
    contacts::name,
    run::{Driven, fast_forward},
};
use crate::{
    import::{self, Contacts, Events},
    output::{BarChart, FAINT, HEADING, Out, cell, count, plural, score_list, table, write_table},
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// Show the whole product in small: sample leads, two campaigns, four months of them in seconds
#[derive(Debug, clap::Args)]
#[command(after_help = "Nothing leaves this machine: mails go to the workspace's built-in mailbox.")]
pub(crate) struct Args {
    /// Where to make the workspace; by default a new folder among the temporary files
    dir: Option<PathBuf>,
}

static WORKFLOWS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../workflows");
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../templates");
static SAMPLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../tests/data/b2b-saas");
const SETTINGS: &str = include_str!("../../../../dripline.yaml");
const TEAMS: &str = include_str!("../../../../teams.yaml");

pub(crate) async fn execute(args: &Args, out: &mut Out) -> Result<Exit, Problem> {
    let dir = make_dir(args.dir.as_deref())?;
    lay_out(&dir).map_err(|error| Problem::io("fill", &dir, &error))?;
    writeln!(out, "{HEADING}Dripline demo{HEADING:#} in {}\n", dir.display())?;
    out.flush()?;

    let workspace = Workspace::find(Some(&dir))?;
    let store = workspace.open_store().await?;
    let (contacts, events) = import_sample(store.as_ref(), &dir).await?;
    writeln!(
        out,
        "Imported {} and {}, each of which arrives at its own time",
        plural(contacts, "contact"),
        plural(events, "event")
    )?;
    out.flush()?;
    let driven = fast_forward(&workspace, &store, out).await?;
    summarise(&driven, store.as_ref(), &dir, out).await?;
    Ok(Exit::Success)
}

fn make_dir(dir: Option<&Path>) -> Result<PathBuf, Problem> {
    let Some(dir) = dir else {
        let made = TempDir::with_prefix("dripline-demo-");
        return made
            .map(TempDir::keep)
            .map_err(|error| Problem::unavailable(format!("failed to make a folder: {error}")));
    };
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Problem::input(format!("{} is not empty", dir.display()))
            .with_help("name a folder that is not there yet, or none at all"));
    }
    fs::create_dir_all(dir).map_err(|error| Problem::io("make", dir, &error))?;
    Ok(dir.to_owned())
}

fn lay_out(dir: &Path) -> std::io::Result<()> {
    fs::write(dir.join("dripline.yaml"), SETTINGS)?;
    fs::write(dir.join("teams.yaml"), TEAMS)?;
    for (name, files) in [("workflows", &WORKFLOWS), ("templates", &TEMPLATES), ("data", &SAMPLE)] {
        let folder = dir.join(name);
        fs::create_dir_all(&folder)?;
        files.extract(&folder)?;
    }
    Ok(())
}

async fn import_sample(store: &dyn Store, dir: &Path) -> Result<(u64, u64), Problem> {
    let now = SystemClock.now();
    let broken = |error| Problem::internal(format!("the sample cannot be imported: {error}"));
    let hidden = ProgressBar::hidden();
    let file = dir.join("data/contacts.csv");
    let known = dripline_model::field::Fields::default();
    let contacts =
        import::import(store, &Contacts, &file, &[], &known, now, &hidden).await.map_err(broken)?;
    let file = dir.join("data/events.csv");
    let events =
        import::import(store, &Events::all(true), &file, &[], &known, now, &hidden).await.map_err(broken)?;
    Ok((contacts.inserted, events.inserted))
}

async fn summarise(driven: &Driven, store: &dyn Store, dir: &Path, out: &mut Out) -> Result<(), Problem> {
    if let Some((first, last)) = driven.span {
        let days = last.duration_since(first).as_hours() / 24 + 1;
        writeln!(
            out,
            "Ran {} to {} in {:.1} s: {} simulated days, {}\n",
            first.strftime("%Y-%m-%d"),
            last.strftime("%Y-%m-%d"),
            driven.seconds,
            days,
            plural(driven.settled.turns, "turn"),
        )?;
    }
    workflows(store, out).await?;
    mails(store, out).await?;
    let leads = store.leads(usize::MAX >> 1).await?;
    hot_leads(&leads, out)?;
    next_commands(&leads, store, dir, out).await
}

async fn workflows(store: &dyn Store, out: &mut Out) -> Result<(), Problem> {
    let mut by_workflow = BTreeMap::<String, [u64; 3]>::new();
    let runs = store.list_runs(&RunFilter::default(), usize::MAX >> 1).await?;
    for run in runs.into_iter().filter(|run| run.path.is_none()) {
        let [entered, finished, failed] = by_workflow.entry(run.workflow).or_default();
        *entered += 1;
        *finished += u64::from(run.status == RunStatus::Completed);
        *failed += u64::from(run.status == RunStatus::Failed);
    }
    let mut rows = table(["workflow", "entered", "came to the end", "failed"]);
    for (workflow, [entered, finished, failed]) in by_workflow {
        rows.add_row([cell(workflow), cell(count(entered)), cell(count(finished)), cell(count(failed))]);
    }
    write_table(out, &rows)?;
    writeln!(out)?;
    Ok(())
}

async fn mails(store: &dyn Store, out: &mut Out) -> Result<(), Problem> {
    let mut rows = table(["mail", "sent"]);
    for (template, number) in store.messages_by_template().await? {
        rows.add_row([cell(template), cell(count(number))]);
    }
    write_table(out, &rows)?;
    writeln!(out, "\n{HEADING}Mails a day{HEADING:#}")?;
    writeln!(out, "{}", BarChart::new(&store.messages_by_day().await?))?;
    Ok(())
}

fn hot_leads(leads: &[Lead], out: &mut Out) -> Result<(), Problem> {
    writeln!(out, "{HEADING}Hot leads{HEADING:#} {FAINT}(the hottest of each representative){FAINT:#}")?;
    let mut by_rep = BTreeMap::<&str, Vec<&Lead>>::new();
    for lead in leads {
        by_rep.entry(&lead.rep).or_default().push(lead);
    }
    let now = SystemClock.now();
    let mut rows = table(["representative", "team", "leads", "hottest", "scores", "because"]);
    for mut leads in by_rep.into_values() {
        leads.sort_by_key(|lead| std::cmp::Reverse(lead.contact.scores.values().sum::<i64>()));
        let Some(hottest) = leads.first() else { continue };
        let reasons: Vec<_> = hottest.reasons.iter().take(2).map(|reason| reason.because.as_str()).collect();
        rows.add_row([
            cell(&hottest.rep_name),
            cell(hottest.team.as_deref().unwrap_or("-")),
            cell(count(leads.len() as u64)),
            cell(name(&hottest.contact)),
            cell(score_list(&hottest.contact, now)),
            cell(reasons.join(", ")),
        ]);
    }
    write_table(out, &rows)?;
    writeln!(out)?;
    Ok(())
}

async fn next_commands(leads: &[Lead], store: &dyn Store, dir: &Path, out: &mut Out) -> Result<(), Problem> {
    let lead = leads.first().map_or(1, |lead| lead.contact.id.0);
    let mail = store.list_messages(&MessageFilter::default(), 1).await?;
    let mail = mail.first().map_or(MessageId(1), |mail| mail.id);
    let program = program();
    let dir = dir.display();
    writeln!(out, "{HEADING}Try next{HEADING:#}")?;
    for (why, command) in [
        ("everything about a lead, and why", format!("contacts show {lead}")),
        ("a mail as it was sent", format!("mail show {mail}")),
        ("how many came how far", "workflows show trial-nurture".to_owned()),
    ] {
        writeln!(out, "  {FAINT}{why}{FAINT:#}\n    {program} -w {dir} {command}")?;
    }
    Ok(())
}

/// How to call this program again from here.
fn program() -> String {
    let named = std::env::args_os().next().map(PathBuf::from).unwrap_or_else(|| "dripline".into());
    named.display().to_string()
}
