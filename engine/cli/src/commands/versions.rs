//! `dripline versions`

use std::{collections::BTreeMap, io::Write};

use dripline_model::{decision::RunStatus, id::VersionId};
use dripline_store::{Changes, History, Publication, Store, VersionSummary};
use serde_json::{Value, json};

use crate::{
    args::{Global, Listing},
    output::{Out, Tone, cell, clean, count, json, plural, table, time, toned, write_rows, write_table},
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// See what was published, when, by whom and why; of one workflow with the contacts that stand on each version
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dripline versions                        what was published, the newest first
  dripline versions welcome                the versions of a workflow
  dripline versions welcome --source 3     the file as it was in version 3")]
pub(crate) struct Args {
    /// The workflow's name; without it all publications
    workflow: Option<String>,
    /// Print the file of this version instead, as its author wrote it
    #[arg(long, value_name = "N", requires = "workflow")]
    source: Option<i64>,
    #[command(flatten)]
    listing: Listing,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    let store = store.as_ref();
    match (&args.workflow, args.source) {
        (None, _) => publications(store, args.listing, out).await?,
        (Some(name), None) => versions(store, name, args.listing, out).await?,
        (Some(name), Some(number)) => {
            let history = find(store, name).await?;
            let version = version(&history, name, number)?;
            let stored = super::diff::stored(store, version).await?;
            write!(out, "{}", stored.source)?;
        }
    }
    Ok(Exit::Success)
}

/// All versions of a workflow, also of one that is retired.
pub(super) async fn find(store: &dyn Store, name: &str) -> Result<History, Problem> {
    if let Some(history) = store.history(name).await? {
        return Ok(history);
    }
    // It says what is like it.
    super::live::find(store, name).await.map(drop)?;
    Err(Problem::input(format!("no workflow `{name}` is published")))
}

/// The version with this number.
pub(super) fn version<'a>(
    history: &'a History,
    name: &str,
    number: i64,
) -> Result<&'a VersionSummary, Problem> {
    history.versions.iter().find(|version| version.number == number).ok_or_else(|| {
        let newest = history.versions.first().map_or(0, |newest| newest.number);
        Problem::input(format!("`{name}` has no version {number}"))
            .with_help(format!("it has versions 1 to {newest}: dripline versions {name}"))
    })
}

async fn versions(store: &dyn Store, name: &str, listing: Listing, out: &mut Out) -> Result<(), Problem> {
    let history = find(store, name).await?;
    let mut runs = BTreeMap::<VersionId, u64>::new();
    for place in store.standing().await?.into_iter().filter(|place| place.status == RunStatus::Active) {
        *runs.entry(place.version).or_default() += place.runs;
    }
    let runs = |version: VersionId| runs.get(&version).copied().unwrap_or(0);
    if listing.format.json {
        let versions =
            history.versions.iter().take(listing.limit()).map(|one| version_json(one, runs(one.version)));
        let versions: Vec<_> = versions.collect();
        return Ok(json(
            out,
            &json!({"name": name, "retired_at": history.retired_at, "versions": versions}),
        )?);
    }
    if let Some(since) = history.retired_at {
        writeln!(out, "{name} is retired since {} UTC: nobody enters it", time(since))?;
    }
    let newest = history.versions.first().map(|newest| newest.number);
    let mut rows = table(["version", "published (UTC)", "by", "digest", "here now", "note"]);
    for one in history.versions.iter().take(listing.limit()) {
        let is_current = Some(one.number) == newest && history.retired_at.is_none();
        let number = cell(one.number);
        let restores = one.restores.map(|number| format!("version {number} again"));
        let note: Vec<String> = restores.into_iter().chain(one.note.clone()).collect();
        rows.add_row([
            if is_current { toned(format!("{} current", one.number), Tone::Good) } else { number },
            cell(time(one.published_at)),
            one.author.as_ref().map_or_else(|| toned("not recorded", Tone::Faint), cell),
            cell(one.digest.short()),
            cell(count(runs(one.version))),
            cell(note.join(": ")),
        ]);
    }
    Ok(write_table(out, &rows)?)
}

fn version_json(one: &VersionSummary, runs: u64) -> Value {
    json!({
        "version": one.number,
        "digest": one.digest,
        "published_at": one.published_at,
        "author": one.author,
        "note": one.note,
        "restores": one.restores,
        "runs": runs,
    })
}

async fn publications(store: &dyn Store, listing: Listing, out: &mut Out) -> Result<(), Problem> {
    let limit = listing.limit();
    let publications = store.publications(limit.saturating_add(1)).await?;
    if listing.format.json {
        let all: Vec<Value> = publications.iter().take(limit).map(publication_json).collect();
        return Ok(json(out, &all)?);
    }
    let none = "Nothing was published yet: dripline publish";
    let headers = ["published (UTC)", "by", "what", "note"];
    write_rows(out, &publications, limit, none, headers, |one| {
        [
            cell(time(one.at)),
            cell(&one.author),
            cell(describe(&one.changes)),
            cell(one.note.as_deref().unwrap_or_default()),
        ]
    })?;
    Ok(())
}

fn publication_json(one: &Publication) -> Value {
    json!({"at": one.at, "author": one.author, "note": one.note, "changes": one.changes})
}

/// `welcome 3, segment hot, teams`
fn describe(changes: &Changes) -> String {
    let mut parts: Vec<String> = changes
        .published
        .iter()
        .map(|one| {
            let moved = (one.moved > 0).then(|| format!("{} moved", plural(one.moved, "contact")));
            let ended = (one.ended > 0).then(|| format!("{} ended", plural(one.ended, "run")));
            let more: Vec<String> = moved.into_iter().chain(ended).collect();
            let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
            format!("{} {}{more}", one.workflow, one.version)
        })
        .collect();
    parts.extend(changes.retired.iter().map(|name| format!("{name} retired")));
    parts.extend(changes.segments.iter().map(|name| format!("segment {name}")));
    parts.extend(changes.withdrawn.iter().map(|name| format!("segment {name} without its rule")));
    parts.extend(changes.teams.then(|| "teams".to_owned()));
    parts.extend(changes.fields.then(|| "fields".to_owned()));
    parts.extend(changes.scores.iter().map(|name| format!("score {name}")));
    clean(&parts.join(", ")).into_owned()
}
