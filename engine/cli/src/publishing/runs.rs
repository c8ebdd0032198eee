//! Those who stand on versions that are about to be older ones, and what becomes of them.

use std::collections::BTreeMap;

use dripline_model::{
    decision::RunStatus,
    id::VersionId,
    migration,
    policy::OnPublish,
    program::{NodeIndex, Program},
};
use dripline_store::{RunMove, Store, StoredProgram};
use serde::Serialize;

use super::changes::{Catalog, Changes, Choice};
use crate::problem::Problem;

/// Who stands where, by workflow.
#[derive(Default)]
pub(crate) struct Standings {
    /// The versions on which somebody stands, and the current ones, the newest first.
    by_workflow: BTreeMap<String, Vec<VersionStanding>>,
}

/// A version, and how many active runs stand at its steps.
pub(crate) struct VersionStanding {
    /// The version.
    pub(crate) stored: StoredProgram,
    /// How many stand at which step.
    pub(crate) at: BTreeMap<NodeIndex, u64>,
}

/// Contacts at one step, and what would become of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    /// The number of the version.
    pub(crate) version: i64,
    /// The step's id.
    pub(crate) step: String,
    /// How many stand there.
    pub(crate) contacts: u64,
    /// To which step they move where runs are migrated; none where they stay.
    pub(crate) moves_to: Option<String>,
    /// Why they would stay.
    pub(crate) stays_because: Option<&'static str>,
}

impl Standings {
    /// Counts who stands where.
    pub(crate) async fn read(store: &dyn Store, catalog: &Catalog) -> Result<Self, Problem> {
        let mut by_version = BTreeMap::<VersionId, BTreeMap<NodeIndex, u64>>::new();
        for place in store.standing().await?.into_iter().filter(|place| place.status == RunStatus::Active) {
            *by_version.entry(place.version).or_default().entry(place.node).or_default() += place.runs;
        }
        let mut by_workflow = BTreeMap::<String, Vec<VersionStanding>>::new();
        for stored in &catalog.programs {
            let at = by_version.remove(&stored.version).unwrap_or_default();
            let of = by_workflow.entry(stored.program.name.clone()).or_default();
            of.push(VersionStanding { stored: stored.clone(), at });
        }
        for (version, at) in by_version {
            if let Some(stored) = store.program(version).await? {
                by_workflow
                    .entry(stored.program.name.clone())
                    .or_default()
                    .push(VersionStanding { stored, at });
            }
        }
        for versions in by_workflow.values_mut() {
            versions.sort_by_key(|one| std::cmp::Reverse(one.stored.number));
        }
        Ok(Self { by_workflow })
    }

    /// The versions of a workflow on which somebody stands or may come to stand.
    pub(crate) fn of(&self, workflow: &str) -> &[VersionStanding] {
        self.by_workflow.get(workflow).map_or(&[], Vec::as_slice)
    }

    /// What would become of those who stand in a workflow.
    pub(crate) fn places(
        &self,
        workflow: &str,
        new: Option<&Program>,
        map: &[(String, String)],
    ) -> Result<Vec<Place>, Problem> {
        let mut places = Vec::new();
        for VersionStanding { stored, at } in self.of(workflow) {
            let targets = match new {
                Some(new) => targets(&stored.program, new, map)?,
                None => vec![None; stored.program.nodes.len()],
            };
            for (node, contacts) in at.iter().filter(|(_, contacts)| **contacts > 0) {
                let step = stored.program.node(*node);
                let target = targets.get(*node as usize).copied().flatten();
                let to = target.and_then(|to| new?.node(to)).map(|to| to.id.clone());
                let id = step.map_or_else(|| format!("#{node}"), |step| step.id.clone());
                let why = match (new, &to) {
                    (None, _) => Some("the workflow is gone"),
                    (_, Some(_)) => None,
                    (Some(new), None) => Some(why_stays(&id, new, map)),
                };
                places.push(Place {
                    version: stored.number,
                    step: id,
                    contacts: *contacts,
                    moves_to: to,
                    stays_because: why,
                });
            }
        }
        Ok(places)
    }
}

/// Where those go who stand on any of these versions.
pub(crate) fn moves(
    versions: &[VersionStanding],
    new: &Program,
    map: &[(String, String)],
) -> Result<Vec<RunMove>, Problem> {
    let mut moves = Vec::new();
    for VersionStanding { stored, .. } in versions {
        for (node, target) in (0..).zip(targets(&stored.program, new, map)?) {
            moves.extend(target.map(|to| RunMove { from: stored.version, node, to }));
        }
    }
    Ok(moves)
}

/// For each step of `old` the one of `new`, with as much of the map as these two know.
fn targets(
    old: &Program,
    new: &Program,
    map: &[(String, String)],
) -> Result<Vec<Option<NodeIndex>>, Problem> {
    let has = |program: &Program, id: &str| program.nodes.iter().any(|node| node.id == id);
    let map = map.iter().filter(|(from, to)| has(old, from) && has(new, to)).cloned().collect();
    migration::plan(old, new, &map).map_err(Problem::input)
}

fn why_stays(step: &str, new: &Program, map: &[(String, String)]) -> &'static str {
    let wanted = map.iter().find(|(from, _)| from == step).map_or(step, |(_, to)| to);
    if !new.nodes.iter().any(|node| node.id == wanted) {
        "there is no such step any more"
    } else if step.starts_with(migration::PLACE) {
        "the step in its place does something else"
    } else {
        "one of the two waits for something to happen, and the other does not"
    }
}

/// Complains of a pair of steps that moves nobody.
pub(super) fn check_map(
    changes: &Changes<'_>,
    standings: &Standings,
    choice: &Choice,
) -> Result<(), Problem> {
    for (from, to) in &choice.map {
        let has = |program: &Program, id: &str| program.nodes.iter().any(|node| node.id == id);
        let mut migrating =
            changes.workflows.iter().filter(|change| change.runs == OnPublish::Migrate).peekable();
        if migrating.peek().is_none() {
            return Err(Problem::input(format!("--map {from}={to}: no workflow that changes is migrated"))
                .with_help("add --migrate, or write `on_publish: migrate` into the workflow's settings"));
        }
        let fits = migrating.any(|change| {
            let is_there = change.new.is_some_and(|(_, new)| has(new, to));
            is_there && standings.of(change.name).iter().any(|one| has(&one.stored.program, from))
        });
        if !fits {
            return Err(Problem::input(format!(
                "--map {from}={to}: no workflow that is migrated had a step `{from}` and has a step `{to}` now"
            ))
            .with_help("`dripline plan` shows the steps, and who stands where"));
        }
    }
    Ok(())
}
