//! What becomes of those who are on their way in a workflow: it is paused and resumed, they move to its new version or leave.

use std::{collections::BTreeMap, io::Write};

use dripline_model::{
    Clock, SystemClock,
    decision::RunStatus,
    id::{VersionId, WorkflowId},
    migration,
    policy::AfterPause,
};
use dripline_store::{RunMove, Store, StoredProgram};

use crate::{
    output::{Out, Tone, cell, count, plural, table, time, toned, write_table},
    problem::Problem,
};

/// The published workflow of this name.
pub(super) async fn find(store: &dyn Store, name: &str) -> Result<StoredProgram, Problem> {
    let programs = store.current_programs().await?;
    let known: Vec<String> = programs.iter().map(|stored| stored.program.name.clone()).collect();
    programs.into_iter().find(|stored| stored.program.name == name).ok_or_else(|| {
        let problem = Problem::input(format!("no workflow `{name}` is published"));
        match dripline_model::suggest::closest(name, known.iter().map(String::as_str)) {
            Some(near) => problem.with_help(format!("did you mean `{near}`?")),
            None => problem
                .with_help("`dripline workflows list` shows them; `dripline publish` publishes the files"),
        }
    })
}

pub(super) async fn pause(store: &dyn Store, name: &str, out: &mut Out) -> Result<(), Problem> {
    let stored = find(store, name).await?;
    if !store.pause(stored.workflow, SystemClock.now()).await? {
        return Err(Problem::input(format!("`{name}` is paused already")));
    }
    writeln!(
        out,
        "{name} is paused: nobody in it goes on until `dripline workflows resume {name}`. Mails that are queued go out."
    )?;
    Ok(())
}

pub(super) async fn resume(store: &dyn Store, name: &str, out: &mut Out) -> Result<(), Problem> {
    let stored = find(store, name).await?;
    let after = stored.program.policies.after_pause.unwrap_or_default();
    if !store.resume(stored.workflow, after == AfterPause::Spread, SystemClock.now()).await? {
        return Err(Problem::input(format!("`{name}` is not paused")));
    }
    let what = match after {
        AfterPause::CatchUp => "is done now",
        AfterPause::Spread => "is put off by as long as the pause was",
        AfterPause::Skip => "is skipped",
    };
    writeln!(out, "{name} goes on; what fell due during the pause {what}.")?;
    Ok(())
}

/// The workflows that are paused, and since when.
pub(super) async fn paused(store: &dyn Store) -> Result<BTreeMap<WorkflowId, String>, Problem> {
    let pauses = store.pauses().await?.into_iter().filter(|pause| pause.until.is_none());
    Ok(pauses.map(|pause| (pause.workflow, format!("paused since {} UTC", time(pause.from)))).collect())
}

/// `OLD=NEW`
pub(super) fn step_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err("write OLD=NEW, the ids of two steps".to_owned()),
    }
}

pub(super) async fn migrate(
    store: &dyn Store,
    name: &str,
    pairs: &[(String, String)],
    is_dry: bool,
    out: &mut Out,
) -> Result<(), Problem> {
    let current = find(store, name).await?;
    let map: BTreeMap<String, String> = pairs.iter().cloned().collect();
    let older = older(store, &current).await?;
    for old in map.keys() {
        let is_known = |stored: &StoredProgram| stored.program.nodes.iter().any(|node| node.id == *old);
        if !older.iter().any(|(stored, _)| is_known(stored)) {
            return Err(Problem::input(format!(
                "nobody stands on a version of `{name}` that has a step `{old}`"
            ))
            .with_help(format!("`dripline workflows show {name}` shows the steps, and who stands where")));
        }
    }
    let mut moves = Vec::new();
    let mut rows = table(["version", "step", "here now", "moves to"]);
    for (stored, standing) in &older {
        let targets = migration::plan(&stored.program, &current.program, &map).map_err(Problem::input)?;
        for ((index, target), node) in (0..).zip(&targets).zip(&stored.program.nodes) {
            let here = standing.get(&index).copied().unwrap_or(0);
            if let Some(to) = *target {
                moves.push(RunMove { from: stored.version, node: index, to });
            }
            if here > 0 {
                let to = target.and_then(|to| current.program.node(to));
                rows.add_row([
                    cell(stored.number),
                    cell(&node.id),
                    cell(count(here)),
                    to.map_or_else(|| toned("stays: --map says where", Tone::Warning), |to| cell(&to.id)),
                ]);
            }
        }
    }
    if older.is_empty() {
        writeln!(out, "Nobody stands on an older version of {name}.")?;
        return Ok(());
    }
    write_table(out, &rows)?;
    if is_dry {
        writeln!(out, "Nothing was moved.")?;
        return Ok(());
    }
    let reason = format!("moved to version {}", current.number);
    let moved = store.migrate_runs(current.version, &moves, &reason, SystemClock.now()).await?;
    writeln!(out, "{} moved to version {} of {name}.", plural(moved, "contact"), current.number)?;
    Ok(())
}

pub(super) async fn drain(store: &dyn Store, name: &str, out: &mut Out) -> Result<(), Problem> {
    let current = find(store, name).await?;
    let reason = format!("ended, for version {} was published", current.number);
    let ended = store.drain_runs(current.workflow, current.version, &reason, SystemClock.now()).await?;
    writeln!(out, "{} left the older versions of {name}.", plural(ended, "contact"))?;
    Ok(())
}

/// The older versions of a workflow on which somebody stands, and how many at each step.
async fn older(
    store: &dyn Store,
    current: &StoredProgram,
) -> Result<Vec<(StoredProgram, BTreeMap<u32, u64>)>, Problem> {
    let mut by_version = BTreeMap::<VersionId, BTreeMap<u32, u64>>::new();
    for place in store.standing().await? {
        if place.status == RunStatus::Active && place.version != current.version {
            by_version.entry(place.version).or_default().insert(place.node, place.runs);
        }
    }
    let mut older = Vec::new();
    for (version, standing) in by_version {
        if let Some(stored) = store.program(version).await?
            && stored.workflow == current.workflow
        {
            older.push((stored, standing));
        }
    }
    Ok(older)
}
