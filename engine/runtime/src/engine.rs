//! The engine: a store, a sandbox, a clock, and the programs that it has prepared.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use dripline_delivery::Deliverer;
use dripline_model::{Clock, Digest, id::VersionId, manifest::Grant, team::Team};
use dripline_plugin_host::{Host, Plugin};
use dripline_store::{Store, StoredProgram};
use jiff::tz::TimeZone;

use crate::{
    compiled::CompiledProgram,
    error::{Error, ErrorKind, Result, While},
};

/// What the engine is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// What each plugin, by name, was granted. A plugin that is not here was granted nothing.
    pub grants: BTreeMap<String, Grant>,
    /// The zone in which `again: {after: …}` counts its days.
    pub time_zone: TimeZone,
    /// Turns in a batch. A thousand is where the sandbox's cost for each turn stops falling (`docs/performance.md`).
    pub batch_size: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { grants: BTreeMap::new(), time_zone: TimeZone::UTC, batch_size: 1_000 }
    }
}

/// Runs what is due. Cheap to share behind an [`Arc`]; all state that matters is in the store.
pub struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) deliverer: Deliverer,
    pub(crate) options: Options,
    host: Host,
    /// The current version of each workflow: what events and schedules enrol into.
    current: Vec<Arc<CompiledProgram>>,
    teams: Arc<BTreeMap<String, serde_json::Value>>,
    versions: Mutex<HashMap<VersionId, Arc<CompiledProgram>>>,
    plugins: Mutex<HashMap<Digest, Arc<Plugin>>>,
    pub(crate) closing: AtomicBool,
}

impl Engine {
    /// Prepares every current workflow of the store: compiles its expressions, loads its plugins.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a version or plugin that this program cannot run.
    pub async fn start(
        store: Arc<dyn Store>,
        host: Host,
        clock: Arc<dyn Clock>,
        deliverer: Deliverer,
        options: Options,
    ) -> Result<Self> {
        let current = store.current_programs().await.while_doing("read the workflows")?;
        let teams = store.teams().await.while_doing("read the teams")?;
        let reps = store.representatives().await.while_doing("read the representatives")?;
        let names: BTreeMap<_, _> = reps.into_iter().map(|rep| (rep.key, rep.name)).collect();
        let teams = teams.into_iter().map(|team| (team.key.clone(), roster(&team, &names))).collect();
        let mut engine = Self {
            store,
            clock,
            deliverer,
            options,
            host,
            current: Vec::new(),
            teams: Arc::new(teams),
            versions: Mutex::default(),
            plugins: Mutex::default(),
            closing: AtomicBool::new(false),
        };
        let mut prepared = Vec::with_capacity(current.len());
        for stored in current {
            prepared.push(engine.prepare(stored).await?);
        }
        engine.current = prepared;
        Ok(engine)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// The current version of each workflow.
    pub(crate) fn current(&self) -> &[Arc<CompiledProgram>] {
        &self.current
    }

    /// The version, prepared.
    pub(crate) async fn version(&self, version: VersionId) -> Result<Arc<CompiledProgram>> {
        if let Some(known) = lock(&self.versions).get(&version) {
            return Ok(Arc::clone(known));
        }
        const DOING: &str = "read a workflow's version";
        let stored = self.store.program(version).await.while_doing(DOING)?;
        let stored = stored.ok_or(Error { doing: DOING, kind: ErrorKind::NoVersion(version) })?;
        self.prepare(stored).await
    }

    async fn prepare(&self, stored: StoredProgram) -> Result<Arc<CompiledProgram>> {
        let mut plugins = BTreeMap::new();
        for step in stored.program.nodes.iter().filter_map(|node| node.plugin_step()) {
            if !plugins.contains_key(&step.digest) {
                plugins.insert(step.digest.clone(), self.plugin(&step.plugin, &step.digest).await?);
            }
        }
        let version = stored.version;
        let compiled = CompiledProgram::new(stored, &plugins, &self.options.grants, &self.teams)?;
        let compiled = Arc::new(compiled);
        lock(&self.versions).insert(version, Arc::clone(&compiled));
        Ok(compiled)
    }

    async fn plugin(&self, name: &str, digest: &Digest) -> Result<Arc<Plugin>> {
        if let Some(known) = lock(&self.plugins).get(digest) {
            return Ok(Arc::clone(known));
        }
        const DOING: &str = "load a plugin";
        let missing = || ErrorKind::NoPlugin { plugin: name.to_owned(), digest: digest.clone() };
        let wasm = self.store.plugin(digest).await.while_doing(DOING)?;
        let wasm = wasm.ok_or_else(|| Error { doing: DOING, kind: missing() })?;
        let plugin = self.host.load(&wasm).await.map_err(|error| Error {
            doing: DOING,
            kind: ErrorKind::BadPlugin { plugin: name.to_owned(), reason: error.to_string() },
        })?;
        let plugin = Arc::new(plugin);
        lock(&self.plugins).insert(digest.clone(), Arc::clone(&plugin));
        Ok(plugin)
    }
}

/// What a plugin sees of a team: `{"key", "name", "members": [{"rep", "name", "weight"}]}`.
fn roster(team: &Team, names: &BTreeMap<String, String>) -> serde_json::Value {
    let members: Vec<_> = team
        .members
        .iter()
        .map(|member| {
            let name = names.get(&member.rep).unwrap_or(&member.rep);
            serde_json::json!({"rep": member.rep, "name": name, "weight": member.weight})
        })
        .collect();
    serde_json::json!({"key": team.key, "name": team.name, "members": members})
}

/// A poisoned cache holds nothing half-made: entries are inserted whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
