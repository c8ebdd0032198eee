//! The change itself, in one transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dripline_model::{Clock, Digest, policy::OnPublish, program::Program};
use dripline_runtime::Rules;
use dripline_store::{
    Error, ErrorKind, NewRelease, NewSegment, NewVersion, OlderRuns, PluginCode, Release, Released,
    Retirement, Shared, Store, StoredProgram,
};
use dripline_workflow::Source;

use super::{
    author::author,
    changes::{Catalog, Changes, Choice, Files},
    runs::{Standings, check_map, moves},
};
use crate::{
    problem::Problem,
    workspace::{CheckedWorkspace, LoadedPlugin, Workspace},
};

/// How often a change is tried again that another transaction was in the way of.
const TRIES: u32 = 5;

/// Who publishes and why.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    /// Who.
    pub(crate) author: String,
    /// Why.
    pub(crate) note: Option<String>,
}

/// A version with everything that it uses.
pub(crate) fn new_version<'a>(
    source: &'a Source,
    program: &'a Program,
    checked: &'a CheckedWorkspace,
    plugins: &'a BTreeMap<String, LoadedPlugin>,
) -> NewVersion<'a> {
    let used: BTreeSet<&Digest> =
        program.nodes.iter().filter_map(|node| node.plugin_step()).map(|step| &step.digest).collect();
    let codes = plugins.values().filter(|loaded| used.contains(loaded.plugin.digest()));
    NewVersion {
        program,
        source: &source.text,
        plugins: codes
            .map(|loaded| PluginCode {
                digest: loaded.plugin.digest().clone(),
                name: &loaded.plugin.manifest().name,
                version: &loaded.plugin.manifest().version,
                wasm: &loaded.wasm,
            })
            .collect(),
        templates: program
            .templates
            .iter()
            .filter_map(|(path, digest)| Some((digest.clone(), checked.templates.get(path)?)))
            .collect(),
    }
}

/// What came of an attempt to publish.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is done.
    Done(Released),
    /// Somebody else published in between; nothing was done.
    Superseded,
}

impl Attempt {
    /// What was done, where it is a failure that somebody else was quicker.
    pub(crate) fn done(self) -> Result<Released, Problem> {
        match self {
            Self::Done(released) => Ok(released),
            Self::Superseded => Err(superseded()),
        }
    }
}

/// Somebody else was quicker.
pub(super) fn superseded() -> Problem {
    Problem::input("somebody else has published meanwhile; nothing was published")
        .with_help("look again with `dripline plan`, and then publish")
}

/// Publishes what is different, if the catalog is still what it was compared with.
pub(crate) async fn publish(
    store: &dyn Store,
    files: &Files,
    catalog: &Catalog,
    changes: &Changes<'_>,
    choice: &Choice,
    intent: &Intent,
    clock: &dyn Clock,
) -> Result<Attempt, Problem> {
    let has_older =
        changes.workflows.iter().any(|change| change.runs != OnPublish::Pin && change.new.is_some());
    let standings = if has_older || !choice.map.is_empty() {
        Standings::read(store, catalog).await?
    } else {
        Standings::default()
    };
    check_map(changes, &standings, choice)?;
    let mut versions = Vec::new();
    let mut retired = Vec::new();
    for change in &changes.workflows {
        let Some((source, program)) = change.new else {
            retired.push(Retirement { workflow: change.name, end_runs: change.runs == OnPublish::Drain });
            continue;
        };
        let older_runs = match change.runs {
            OnPublish::Pin => OlderRuns::Stay,
            OnPublish::Migrate => OlderRuns::Move(moves(standings.of(change.name), program, &choice.map)?),
            OnPublish::Drain => OlderRuns::End,
        };
        let version = new_version(source, program, &files.checked, &files.plugins);
        versions.push(NewRelease { version, older_runs, restores: None });
    }
    let segments: Vec<NewSegment<'_>> = files.checked.new_segments();
    let release = Release {
        made_for: catalog.state.clone(),
        versions,
        retired,
        shared: Some(Shared {
            representatives: &files.checked.representatives,
            teams: &files.checked.teams,
            // Where none changes, no import has to be waited for.
            segments: (!changes.segments.is_empty()).then_some(&*segments),
            fields: files.fields.as_deref(),
            scores: &files.checked.scores,
        }),
        author: &intent.author,
        note: intent.note.as_deref(),
    };
    let attempt = put(store, &release, clock).await?;
    if matches!(attempt, Attempt::Done(_)) {
        complete(store, &files.checked, clock).await?;
    }
    Ok(attempt)
}

/// Publishes a version again that was published before.
pub(crate) async fn restore(
    store: &dyn Store,
    catalog: &Catalog,
    old: &StoredProgram,
    choice: &Choice,
    intent: &Intent,
    clock: &dyn Clock,
) -> Result<Attempt, Problem> {
    let older_runs = match choice.runs.or(old.program.policies.on_publish).unwrap_or_default() {
        OnPublish::Pin => OlderRuns::Stay,
        OnPublish::Drain => OlderRuns::End,
        OnPublish::Migrate => {
            let standings = Standings::read(store, catalog).await?;
            OlderRuns::Move(moves(standings.of(&old.program.name), &old.program, &choice.map)?)
        }
    };
    // Its plugins and templates are in the store.
    let version =
        NewVersion { program: &old.program, source: &old.source, plugins: Vec::new(), templates: Vec::new() };
    let release = Release {
        made_for: catalog.state.clone(),
        versions: vec![NewRelease { version, older_runs, restores: Some(old.number) }],
        retired: Vec::new(),
        shared: None,
        author: &intent.author,
        note: intent.note.as_deref(),
    };
    put(store, &release, clock).await
}

async fn put(store: &dyn Store, release: &Release<'_>, clock: &dyn Clock) -> Result<Attempt, Problem> {
    let mut tries = 1;
    loop {
        match store.release(release, clock.now()).await {
            Ok(released) => return Ok(Attempt::Done(released)),
            Err(Error { kind: ErrorKind::Superseded, .. }) => return Ok(Attempt::Superseded),
            // A batch was in its way, and goes on.
            Err(error) if error.is_conflict() && tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Does what takes longer than a transaction may: works out points anew that fade otherwise now, and makes indexes. Where it
/// does not come to its end, it goes on when somebody publishes next, or `dripline run` starts.
async fn complete(store: &dyn Store, checked: &CheckedWorkspace, clock: &dyn Clock) -> Result<(), Problem> {
    store.publish_scores(&checked.scores, clock.now()).await?;
    index(store, checked, clock).await
}

/// Makes the indexes that the rules of segments use. They change nothing but how fast members are found.
pub(crate) async fn index(
    store: &dyn Store,
    checked: &CheckedWorkspace,
    clock: &dyn Clock,
) -> Result<(), Problem> {
    let definitions = checked.segments.iter().filter_map(|file| file.segment.clone());
    let rules = Rules::new(definitions, Arc::new(checked.scores.clone())).map_err(Problem::input)?;
    store.index_for(&rules.narrowings(clock.now())).await.map_err(Problem::from)
}

/// Publishes what is different when `dripline run` starts; answers also which workflows it left alone, because their files
/// say what was rolled back.
pub(crate) async fn at_start(
    workspace: &Workspace,
    store: &dyn Store,
    files: &Files,
    clock: &dyn Clock,
) -> Result<(Released, Vec<String>), Problem> {
    let mut tries = 1;
    loop {
        let catalog = Catalog::read(store).await?;
        let choice = Choice::default();
        let mut changes = Changes::between(files, &catalog, &choice)?;
        let held = hold(store, &mut changes).await?;
        if changes.is_empty() {
            complete(store, &files.checked, clock).await?;
            return Ok((Released::default(), held));
        }
        let intent = Intent { author: author(&workspace.path("")), note: None };
        match publish(store, files, &catalog, &changes, &choice, &intent, clock).await? {
            Attempt::Done(released) => return Ok((released, held)),
            // Several processes start together, and each looks again at what the others have left to do.
            Attempt::Superseded if tries < TRIES => tries += 1,
            Attempt::Superseded => return Err(superseded()),
        }
    }
}

/// Takes out the workflows whose files say what was rolled back: a rollback holds until the file changes.
async fn hold(store: &dyn Store, changes: &mut Changes<'_>) -> Result<Vec<String>, Problem> {
    let mut held = Vec::new();
    for change in &changes.workflows {
        let (Some(old), Some((_, new))) = (change.old, change.new) else { continue };
        let Some(history) = store.history(change.name).await? else { continue };
        let restores = history.versions.first().and_then(|current| current.restores);
        let is_rolled_back = |restored: i64| {
            let digest = new.digest();
            let mut between =
                history.versions.iter().filter(|one| restored < one.number && one.number < old.number);
            between.any(|one| one.digest == digest)
        };
        if restores.is_some_and(is_rolled_back) {
            held.push(change.name.to_owned());
        }
    }
    changes.workflows.retain(|change| !held.iter().any(|name| name == change.name));
    Ok(held)
}
