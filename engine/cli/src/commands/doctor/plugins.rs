//! The plugins: whether they are those that were installed, and those that the published workflows need.

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{Digest, decision::RunStatus, id::VersionId, manifest::Grant};
use dripline_plugin_host::Host;
use dripline_store::{Store, StoredProgram};

use super::finding::Findings;
use crate::{
    output::plural,
    problem::Problem,
    workspace::{LoadedPlugin, Lock, Workspace},
};

/// The name of these checks.
const PLUGINS: &str = "plugins";

/// The plugins of the workspace; none where one of them cannot be used.
pub(super) async fn installed(
    workspace: &Workspace,
    findings: &mut Findings,
) -> Option<BTreeMap<String, LoadedPlugin>> {
    let looked = async {
        let host = workspace.host()?;
        let lock = Lock::read(workspace)?;
        let is_whole = locked(workspace, &host, &lock, findings).await;
        stray(workspace, findings)?;
        if is_whole { workspace.plugins(&host).await.map(Some) } else { Ok(None) }
    };
    match looked.await {
        Ok(loaded) => {
            if let Some(loaded) = &loaded {
                findings.ok(PLUGINS, format!("{} can be used", plural(loaded.len() as u64, "plugin")));
            }
            loaded
        }
        Err(problem) => {
            findings.problem(PLUGINS, problem);
            None
        }
    }
}

/// Compares each installed plugin with `plugins.lock`; answers whether all can be used.
async fn locked(workspace: &Workspace, host: &Host, lock: &Lock, findings: &mut Findings) -> bool {
    let mut is_whole = true;
    for plugin in &lock.plugins {
        let file = workspace.shown(&workspace.path(&plugin.file));
        match workspace.locked_plugin(host, plugin).await {
            Ok(loaded) => {
                let missing = missing(&Grant::all_of(loaded.plugin.manifest()), &loaded.grant);
                if !missing.is_empty() {
                    let what = format!("`{}` asks for more than it was granted: {missing}", plugin.name);
                    findings.warning(PLUGINS, what, format!("dripline plugin add {file} --grant all"));
                }
            }
            Err(problem) => {
                is_whole = false;
                let add = format!("put the file back, or install it anew: dripline plugin add {file}");
                findings.problem(PLUGINS, Problem { help: problem.help.or(Some(add)), ..problem });
            }
        }
    }
    is_whole
}

/// What is asked for and not granted.
fn missing(asked: &Grant, granted: &Grant) -> String {
    let reads = asked.reads.iter().filter(|field| !granted.reads.contains(field)).cloned();
    let effects = asked.effects.iter().filter(|effect| !granted.effects.contains(effect));
    let all: Vec<String> = reads.chain(effects.map(|effect| effect.name().to_owned())).collect();
    all.join(", ")
}

fn stray(workspace: &Workspace, findings: &mut Findings) -> Result<(), Problem> {
    for file in workspace.stray_plugins()? {
        let file = workspace.shown(&file);
        findings.warning(PLUGINS, format!("{file} is not installed"), format!("dripline plugin add {file}"));
    }
    Ok(())
}

/// Compares what the published workflows, and the versions on which somebody stands, need with what the store keeps and
/// with what is installed.
pub(super) async fn published(
    workspace: &Workspace,
    store: &dyn Store,
    loaded: &BTreeMap<String, LoadedPlugin>,
    findings: &mut Findings,
) {
    let (current, older) = match in_use(store).await {
        Ok(programs) => programs,
        Err(error) => return findings.problem(PLUGINS, error.into()),
    };
    let needed = needs(&current);
    for (name, digest) in needs(&older).union(&needed) {
        match store.plugin(digest).await {
            Ok(Some(wasm)) if Digest::of(&wasm) == **digest => {}
            Ok(kept) => {
                let how = if kept.is_some() { "is damaged" } else { "is missing" };
                findings.error(
                    PLUGINS,
                    format!(
                        "the code of `{name}` ({}) that published workflows need {how} in the store",
                        digest.short()
                    ),
                    "put a backup of the store in its place",
                );
            }
            Err(error) => findings.problem(PLUGINS, error.into()),
        }
        let is_current = needed.contains(&(*name, *digest));
        match loaded.get(*name) {
            None => findings.error(
                PLUGINS,
                format!(
                    "published workflows use `{name}`, which is not installed here: nothing is granted to it"
                ),
                "dripline plugin add FILE",
            ),
            Some(here) if here.plugin.digest() != *digest && is_current => {
                let command = workspace.settings().publish.command();
                findings.warning(
                    PLUGINS,
                    format!("published workflows use another `{name}` than the one that is installed"),
                    format!("{command} publishes them with the installed one"),
                );
            }
            Some(here) if here.plugin.digest() != *digest => findings.warning(
                PLUGINS,
                format!(
                    "contacts stand on versions that use another `{name}` than the one that is installed"
                ),
                "they keep it to their end; dripline workflows migrate moves them to the current versions",
            ),
            Some(_) => {}
        }
    }
}

/// The current versions, and the older ones on which somebody stands.
async fn in_use(store: &dyn Store) -> dripline_store::Result<(Vec<StoredProgram>, Vec<StoredProgram>)> {
    let current = store.current_programs().await?;
    let standing = store.standing().await?.into_iter().filter(|place| place.status == RunStatus::Active);
    let versions: BTreeSet<VersionId> = standing.map(|place| place.version).collect();
    let mut older = Vec::new();
    for version in versions.into_iter().filter(|version| current.iter().all(|one| one.version != *version)) {
        older.extend(store.program(version).await?);
    }
    Ok((current, older))
}

fn needs(programs: &[StoredProgram]) -> BTreeSet<(&str, &Digest)> {
    let steps =
        programs.iter().flat_map(|stored| &stored.program.nodes).filter_map(|node| node.plugin_step());
    steps.map(|step| (step.plugin.as_str(), &step.digest)).collect()
}
