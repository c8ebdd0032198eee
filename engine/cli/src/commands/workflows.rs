//! `dripline workflows`

use std::{collections::BTreeMap, io::Write};

use dripline_model::{
    decision::RunStatus,
    id::{VersionId, WorkflowId},
    policy::{Goal, OnPublish, Policies},
    program::{
        Action, Again, Concurrency, Experiment, Join, Node, Occasion, Parallel, Path, Program, SplitArm,
        Trigger, When,
    },
};
use dripline_store::{Firing, FiringCause, Standing, Store, StoredProgram};
use serde_json::{Value, json};

use super::live;
use crate::{
    args::{Format, Global},
    output::{HEADING, Out, Tone, cell, clean, count, json, plural, table, time, toned, write_table},
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// See the workflows, and how many contacts stand at each step; pause them, and decide about who stands on old versions
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the workflows: those that are published, and those that are only files yet
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Show the steps of a workflow, with how many contacts stand at each
    Show {
        /// The workflow's name
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Pause a workflow: nobody in it goes on until it is resumed; who comes meanwhile enters and waits
    Pause {
        /// The workflow's name
        name: String,
    },
    /// Let a paused workflow go on; `settings.after_pause` says what becomes of what fell due meanwhile
    Resume {
        /// The workflow's name
        name: String,
    },
    /// Move those who stand on older versions of a workflow to the current one, by the ids of the steps
    Migrate {
        /// The workflow's name
        name: String,
        /// Where those go who stand at a step that has another id now; may be given several times
        #[arg(long = "map", value_name = "OLD=NEW", value_parser = live::step_pair)]
        pairs: Vec<(String, String)>,
        /// Only show who would go where
        #[arg(long)]
        dry_run: bool,
    },
    /// End the runs of those who stand on older versions of a workflow
    Drain {
        /// The workflow's name
        name: String,
    },
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    match &args.command {
        Command::List { format } => list(&workspace, store.as_ref(), *format, out).await?,
        Command::Show { name, format } => show(store.as_ref(), name, *format, out).await?,
        Command::Pause { name } => live::pause(store.as_ref(), name, out).await?,
        Command::Resume { name } => live::resume(store.as_ref(), name, out).await?,
        Command::Migrate { name, pairs, dry_run } => {
            live::migrate(store.as_ref(), name, pairs, *dry_run, out).await?;
        }
        Command::Drain { name } => live::drain(store.as_ref(), name, out).await?,
    }
    Ok(Exit::Success)
}

/// How a published version and its file compare.
fn file_state(program: &StoredProgram, files: &BTreeMap<String, String>) -> &'static str {
    match files.get(&program.program.name) {
        None => "file is gone",
        Some(text) if *text == program.source => "published",
        Some(_) => "file has changed since",
    }
}

async fn list(
    workspace: &Workspace,
    store: &dyn Store,
    format: Format,
    out: &mut Out,
) -> Result<(), Problem> {
    let programs = store.current_programs().await?;
    let standing = store.standing().await?;
    let files = files_by_name(workspace)?;
    let paused = live::paused(store).await?;
    let unpublished: Vec<_> =
        files.keys().filter(|name| !programs.iter().any(|program| program.program.name == **name)).collect();
    let workflow_of = workflows_of_versions(store, &standing).await?;
    let total = |workflow, status| {
        let places = standing.iter().filter(|place| place.status == status && !place.are_paths);
        places
            .filter(|place| workflow_of.get(&place.version) == Some(&workflow))
            .map(|place| place.runs)
            .sum()
    };
    let all: Vec<(_, [u64; RunStatus::ALL.len()])> = programs
        .iter()
        .map(|program| {
            (
                program,
                std::array::from_fn(|code| {
                    RunStatus::ALL.get(code).map_or(0, |status| total(program.workflow, *status))
                }),
            )
        })
        .collect();
    if format.json {
        let published = all.iter().map(|(program, totals)| {
            let runs: serde_json::Map<_, _> = RunStatus::ALL
                .iter()
                .zip(totals)
                .map(|(status, runs)| (status.name().into(), json!(runs)))
                .collect();
            json!({
                "name": program.program.name,
                "description": program.program.description,
                "version": program.number,
                "published_at": program.published_at,
                "state": file_state(program, &files),
                "paused": paused.contains_key(&program.workflow),
                "triggers": program.program.triggers.iter().map(describe_trigger).collect::<Vec<_>>(),
                "runs": runs,
            })
        });
        let files =
            unpublished.iter().map(|name| json!({"name": name, "version": null, "state": "not published"}));
        return Ok(json(out, &published.chain(files).collect::<Vec<_>>())?);
    }
    if all.is_empty() && unpublished.is_empty() {
        writeln!(out, "No workflows. They are the YAML files in workflows/.")?;
        return Ok(());
    }
    let mut rows = table([
        "workflow",
        "version",
        "starts on",
        "active",
        "won",
        "completed",
        "failed",
        "cancelled",
        "state",
    ]);
    for (program, [active, completed, failed, cancelled, won]) in all {
        let triggers: Vec<_> = program.program.triggers.iter().map(describe_trigger).collect();
        let state = paused.get(&program.workflow).map_or(file_state(program, &files), String::as_str);
        rows.add_row([
            cell(&program.program.name),
            cell(program.number),
            cell(triggers.join(", ")),
            cell(count(active)),
            cell(count(won)),
            cell(count(completed)),
            if failed > 0 { toned(count(failed), Tone::Bad) } else { cell(0) },
            cell(count(cancelled)),
            if state == "published" { cell(state) } else { toned(state, Tone::Warning) },
        ]);
    }
    for name in unpublished {
        let state = toned("not published: dripline publish", Tone::Warning);
        let mut row = vec![cell(name)];
        row.resize_with(8, || cell(""));
        row.push(state);
        rows.add_row(row);
    }
    Ok(write_table(out, &rows)?)
}

/// Runs stay on the version that they started on, so older versions than the current one count too.
async fn workflows_of_versions(
    store: &dyn Store,
    standing: &[Standing],
) -> Result<BTreeMap<VersionId, WorkflowId>, Problem> {
    let mut workflows = BTreeMap::new();
    for version in standing.iter().map(|place| place.version) {
        if !workflows.contains_key(&version)
            && let Some(stored) = store.program(version).await?
        {
            workflows.insert(version, stored.workflow);
        }
    }
    Ok(workflows)
}

/// The texts of the workflow files by the names in them.
fn files_by_name(workspace: &Workspace) -> Result<BTreeMap<String, String>, Problem> {
    let mut files = BTreeMap::new();
    for path in workspace.workflow_files()? {
        let source = workspace.read_source(&path)?;
        // A file that cannot be read as YAML is `dripline check`'s to complain about.
        let parsed: Option<serde_yaml::Value> = serde_yaml::from_str(&source.text).ok();
        if let Some(name) =
            parsed.as_ref().and_then(|value| value.get("name")).and_then(serde_yaml::Value::as_str)
        {
            files.insert(name.to_owned(), source.text);
        }
    }
    Ok(files)
}

async fn show(store: &dyn Store, name: &str, format: Format, out: &mut Out) -> Result<(), Problem> {
    let current = &live::find(store, name).await?;
    let standing = store.standing().await?;
    let mut versions: Vec<VersionId> = standing.iter().map(|place| place.version).collect();
    versions.sort();
    versions.dedup();
    let mut shown = vec![current.clone()];
    for version in versions.into_iter().rev().filter(|version| *version != current.version) {
        let active =
            standing.iter().any(|place| place.version == version && place.status == RunStatus::Active);
        if let Some(stored) = store.program(version).await?
            && active
            && stored.workflow == current.workflow
        {
            shown.push(stored);
        }
    }
    let mut firings = store.open_firings().await?;
    firings.retain(|firing| firing.new.workflow == current.workflow);
    if format.json {
        let versions = shown.iter().map(|stored| version_json(stored, &standing));
        let firings = firings.iter().map(firing_json);
        return Ok(json(
            out,
            &json!({
                "name": name,
                "versions": versions.collect::<Vec<_>>(),
                "enrolling": firings.collect::<Vec<_>>(),
            }),
        )?);
    }
    let paused = live::paused(store).await?;
    for stored in &shown {
        let is_current = stored.version == current.version;
        print_version(stored, &standing, is_current, paused.get(&current.workflow), out)?;
    }
    for firing in &firings {
        print_firing(firing, out)?;
    }
    Ok(())
}

fn print_version(
    stored: &StoredProgram,
    standing: &[Standing],
    current: bool,
    paused: Option<&String>,
    out: &mut Out,
) -> Result<(), Problem> {
    let program = &stored.program;
    let note = if current { "" } else { ", superseded, with contacts on their way" };
    writeln!(
        out,
        "{HEADING}{}{HEADING:#} version {} ({}, published {} UTC{note})",
        program.name,
        stored.number,
        stored.digest.short(),
        time(stored.published_at),
    )?;
    if current {
        if let Some(description) = &program.description {
            writeln!(out, "  {}", clean(description))?;
        }
        let triggers: Vec<_> = program.triggers.iter().map(describe_trigger).collect();
        writeln!(out, "  starts on {}", triggers.join(", "))?;
        if !program.inputs.is_empty() {
            let inputs: Vec<&str> = program.inputs.iter().map(|input| input.name.as_str()).collect();
            writeln!(out, "  is called with {}", inputs.join(", "))?;
        }
        if let Some(condition) = &program.enroll_if {
            writeln!(out, "  enrols if {}", clean(condition))?;
        }
        writeln!(out, "  enters again {}", describe_again(&program.again))?;
        match program.concurrency {
            Concurrency::One => {}
            Concurrency::Queue => writeln!(out, "  events wait for the run before to end")?,
            Concurrency::Parallel => writeln!(out, "  runs of a contact go side by side")?,
        }
        if let Some(share) = program.share {
            writeln!(out, "  share {share}")?;
        }
        let Policies { quiet_hours, priority, on_publish, goals, exits, .. } = &program.policies;
        if let Some(since) = paused {
            writeln!(out, "  {since}")?;
        }
        if let Some(hours) = quiet_hours {
            writeln!(out, "  quiet from {hours} by the contact's clock")?;
        }
        if let Some(priority) = priority {
            writeln!(out, "  priority {priority}")?;
        }
        if let Some(runs) = on_publish {
            let runs = match runs {
                OnPublish::Pin => "stay on their versions",
                OnPublish::Migrate => "move to the new one",
                OnPublish::Drain => "leave",
            };
            writeln!(out, "  when a version is published, contacts on their way {runs}")?;
        }
        for (what, goals) in [("won by", goals), ("left by", exits)] {
            if !goals.is_empty() {
                let goals: Vec<_> = goals.iter().map(describe_goal).collect();
                writeln!(out, "  {what} {}", clean(&goals.join(", or ")))?;
            }
        }
    }
    let mut rows = table(["step", "does", "only if", "here now", "ended here", "failed here"]);
    for (index, node) in program.nodes.iter().enumerate() {
        let at = |status| runs_at(standing, stored.version, index, status);
        let failed = at(RunStatus::Failed);
        rows.add_row([
            cell(&node.id),
            cell(describe_node(node, program)),
            cell(node.condition.as_deref().unwrap_or_default()),
            cell(count(at(RunStatus::Active))),
            cell(count(at(RunStatus::Completed) + at(RunStatus::Cancelled) + at(RunStatus::Won))),
            if failed > 0 { toned(count(failed), Tone::Bad) } else { cell(0) },
        ]);
    }
    write_table(out, &rows)?;
    writeln!(out)?;
    Ok(())
}

/// An enrolment of many that is under way.
fn print_firing(firing: &Firing, out: &mut Out) -> Result<(), Problem> {
    let Firing { new, total, progress, .. } = firing;
    let whom = new.segment.as_deref().map_or("everybody".to_owned(), |segment| format!("segment {segment}"));
    let cause = describe_cause(new.cause);
    writeln!(
        out,
        "  enrolling {} ({cause}, {} UTC): {} of {} looked at, {} enrolled",
        clean(&whom),
        time(new.at),
        count(progress.seen),
        plural(*total, "contact"),
        count(progress.enrolled),
    )?;
    Ok(())
}

fn firing_json(firing: &Firing) -> Value {
    let Firing { new, total, progress, .. } = firing;
    json!({
        "cause": describe_cause(new.cause),
        "at": new.at,
        "segment": new.segment,
        "contacts": total,
        "looked_at": progress.seen,
        "enrolled": progress.enrolled,
        "not_enrolled": progress.seen.saturating_sub(progress.enrolled),
    })
}

fn describe_cause(cause: FiringCause) -> &'static str {
    match cause {
        FiringCause::Schedule => "schedule",
        FiringCause::Hand => "by hand",
    }
}

fn version_json(stored: &StoredProgram, standing: &[Standing]) -> Value {
    let steps = stored.program.nodes.iter().enumerate().map(|(index, node)| {
        let at: serde_json::Map<_, _> = RunStatus::ALL
            .iter()
            .map(|status| (status.name().into(), json!(runs_at(standing, stored.version, index, *status))))
            .collect();
        json!({
            "id": node.id,
            "name": node.name,
            "does": describe_node(node, &stored.program),
            "if": node.condition,
            "line": node.line,
            "runs": at,
        })
    });
    json!({
        "version": stored.number,
        "digest": stored.digest,
        "published_at": stored.published_at,
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn runs_at(standing: &[Standing], version: VersionId, index: usize, status: RunStatus) -> u64 {
    standing
        .iter()
        .filter(|place| place.version == version && place.node as usize == index && place.status == status)
        .map(|place| place.runs)
        .sum()
}

pub(super) fn describe_trigger(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Event(name) => format!("event {name}"),
        Trigger::SegmentJoined(name) => format!("joining {name}"),
        Trigger::Schedule { cron, time_zone } => format!("schedule {cron} ({time_zone})"),
        Trigger::Manual => "dripline enroll".into(),
        Trigger::Called => "being called".into(),
        Trigger::When(when) => {
            let When { what, condition, debounce, .. } = when.as_ref();
            let what = match what {
                Occasion::Event(name) => format!("event {name}"),
                Occasion::SegmentJoined(name) => format!("joining {name}"),
                Occasion::SegmentLeft(name) => format!("leaving {name}"),
                Occasion::Changed { attribute, .. } => format!("change of {attribute}"),
                Occasion::WorkflowEnded { workflow, .. } => format!("end of {workflow}"),
                Occasion::Date(date) => format!("date {}", date.words()),
            };
            let what = condition.as_ref().map_or(what.clone(), |condition| format!("{what} if {condition}"));
            match debounce {
                Some(debounce) => format!("{what}, the last within {}", debounce.quiet),
                None => what,
            }
        }
    }
}

fn describe_goal(goal: &Goal) -> String {
    match (&goal.event, &goal.condition) {
        (Some(event), Some(condition)) => format!("event {event} if {condition}"),
        (Some(event), None) => format!("event {event}"),
        (None, condition) => condition.clone().unwrap_or_default(),
    }
}

fn describe_again(again: &Again) -> String {
    match again {
        Again::Never => "never".into(),
        Again::Always => "whenever the run before has ended".into(),
        Again::After(duration) => format!("after {duration}"),
    }
}

fn describe_node(node: &Node, program: &Program) -> String {
    let id_of = |index: Option<u32>| {
        index.and_then(|index| program.node(index)).map_or("the end".to_owned(), |node| node.id.clone())
    };
    let what = match &node.action {
        Action::Plugin(step) => step.plugin.clone(),
        Action::Branch { condition, otherwise } => {
            format!("if {condition}: {}, else {}", id_of(node.next), id_of(*otherwise))
        }
        Action::Switch { value, cases, otherwise } => {
            let cases = cases.iter().map(|(case, next)| format!("{case}: {}", id_of(*next)));
            format!("switch {value}: {}, else {}", cases.collect::<Vec<_>>().join(", "), id_of(*otherwise))
        }
        Action::Split { arms } => {
            let arm = |arm: &SplitArm| format!("{} {}: {}", arm.weight, arm.name, id_of(arm.next));
            format!("split {}", arms.iter().map(arm).collect::<Vec<_>>().join(", "))
        }
        Action::Experiment(Experiment { arms, hold_out, goal, within, .. }) => {
            let arm = |arm: &SplitArm| format!("{} {}: {}", arm.weight, arm.name, id_of(arm.next));
            let arms = arms.iter().map(arm).collect::<Vec<_>>().join(", ");
            let held = hold_out.map(|percent| format!(", {percent}% held out: {}", id_of(node.next)));
            let held = held.unwrap_or_default();
            format!("experiment {arms}{held}; goal {} within {within}", describe_goal(goal))
        }
        Action::Run(call) => {
            let with: Vec<String> =
                call.with.iter().map(|argument| format!("{}: {}", argument.name, argument.value)).collect();
            let with = if with.is_empty() { String::new() } else { format!(" with {}", with.join(", ")) };
            let ways = call.ways.iter().map(|(end, next)| format!("; {}: {}", end.name(), id_of(*next)));
            let how = if call.waits { "" } else { ", without waiting" };
            format!("run {}{with}{how}{}", call.workflow, ways.collect::<String>())
        }
        Action::Parallel(Parallel { paths, join }) => {
            let path = |path: &Path| format!("{}: {}", path.name, id_of(Some(path.first)));
            let paths = paths.iter().map(path).collect::<Vec<_>>().join(", ");
            let when = match join {
                Join::All => "all have ended",
                Join::Any => "one has ended",
            };
            format!("at once {paths}; when {when}: {}", id_of(node.next))
        }
        Action::WaitFor(wait) => {
            let what = [wait.event.as_deref(), wait.condition.as_deref()];
            let what: Vec<&str> = what.into_iter().flatten().collect();
            let (then, otherwise) = (id_of(wait.then), id_of(wait.otherwise));
            format!("wait for {} within {}: {then}, else {otherwise}", what.join(" with "), wait.within)
        }
        Action::Goto => format!("goto {}", id_of(node.next)),
        Action::Exit { reason } if reason.is_empty() => "exit".into(),
        Action::Exit { reason } => format!("exit: {reason}"),
    };
    node.name.as_ref().map_or(what.clone(), |name| format!("{name} ({what})"))
}
