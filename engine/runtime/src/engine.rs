//! The engine: a store, a sandbox, a clock, and the programs that it has prepared.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use dripline_delivery::Deliverer;
use dripline_model::{
    Clock, Digest,
    contact::Needs,
    id::{VersionId, WorkflowId},
    manifest::Grant,
    policy::Cap,
    program::Concurrency,
    team::Team,
};
use dripline_plugin_host::{Host, Plugin};
use dripline_store::{Pause, Retention, Store, StoredProgram, Work};
use jiff::tz::TimeZone;
use tokio::sync::Notify;

use crate::{
    compiled::{Around, CompiledProgram},
    error::{Error, ErrorKind, Result, While},
    experiment::Looks,
    segments::Rules,
    shares::Shares,
};

/// What the engine is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// What each plugin, by name, was granted. A plugin that is not here was granted nothing.
    pub grants: BTreeMap<String, Grant>,
    /// The zone in which `again: {after: …}`, `expires` and caps count their days, and quiet hours of contacts without one.
    pub time_zone: TimeZone,
    /// How many emails a contact gets at most, from all campaigns together.
    pub caps: Vec<Cap>,
    /// Turns in a batch, at most. A thousand is where the sandbox's cost for each turn stops falling
    /// (`docs/performance.md`).
    pub batch_size: usize,
    /// Loops that take steps side by side in [`Engine::run_forever`]. More than one only helps on a store that has more
    /// than one writer.
    pub workers: usize,
    /// How long what is kept.
    pub retention: Retention,
    /// What others see that this process does.
    pub work: Work,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            grants: BTreeMap::new(),
            time_zone: TimeZone::UTC,
            caps: Vec::new(),
            batch_size: 1_000,
            workers: 1,
            retention: Retention::default(),
            work: Work::Run,
        }
    }
}

/// Runs what is due. Cheap to share behind an [`Arc`]; all state that matters is in the store.
pub struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) deliverer: Deliverer,
    pub(crate) options: Options,
    host: Host,
    published: RwLock<Arc<Published>>,
    plugins: Mutex<HashMap<Digest, Arc<Plugin>>>,
    pub(crate) shares: Arc<Mutex<Shares>>,
    pub(crate) looks: Looks,
    /// Messages may have been queued.
    pub(crate) outbox: Arc<Notify>,
    pub(crate) closing: AtomicBool,
}

/// What is published, as of one revision of the catalog.
#[derive(Default)]
pub(crate) struct Published {
    /// `None` before anything was read.
    revision: Option<i64>,
    /// The current version of each workflow: what events and schedules enrol into.
    pub(crate) programs: Vec<Arc<CompiledProgram>>,
    /// Who is a member of which segment by a rule.
    pub(crate) rules: Rules,
    /// What of a contact these rules, and the dates that start workflows, look at.
    pub(crate) watched: Needs,
    /// The workflows in which events wait for a run to end.
    pub(crate) queues: BTreeSet<WorkflowId>,
    /// The last pause of each workflow that was ever paused.
    pauses: HashMap<WorkflowId, Pause>,
    /// Whether runs may stand on a version that has goals or exits.
    pub(crate) has_goals: bool,
    /// Whether contacts may be in an experiment of any version.
    pub(crate) has_experiments: bool,
    /// Whether a change of a contact alone may be the goal of an experiment.
    pub(crate) has_watched_experiments: bool,
    teams: BTreeMap<String, serde_json::Value>,
    /// These, and older ones on which runs still stand.
    versions: Mutex<HashMap<VersionId, Arc<CompiledProgram>>>,
}

impl Published {
    /// The last pause of a workflow.
    pub(crate) fn pause(&self, workflow: WorkflowId) -> Option<Pause> {
        self.pauses.get(&workflow).copied()
    }

    /// Whether none of the workflow's runs goes on.
    pub(crate) fn is_paused(&self, workflow: WorkflowId) -> bool {
        self.pause(workflow).is_some_and(|pause| pause.until.is_none())
    }

    /// The current version of a workflow that is not retired.
    pub(crate) fn program(&self, workflow: WorkflowId) -> Option<Arc<CompiledProgram>> {
        self.programs.iter().find(|program| program.entrance.workflow == workflow).map(Arc::clone)
    }
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
        let engine = Self {
            store,
            clock,
            deliverer,
            options,
            host,
            published: RwLock::default(),
            plugins: Mutex::default(),
            shares: Arc::default(),
            looks: Looks::default(),
            outbox: Arc::default(),
            closing: AtomicBool::new(false),
        };
        engine.follow().await?;
        Ok(engine)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// What is published, as far as this engine knows.
    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what is published, if that has changed.
    pub(crate) async fn follow(&self) -> Result<()> {
        // The revision first: what changes while the rest is read has another one.
        let revision = self.store.revision().await.while_doing("read the catalog's revision")?;
        let known = self.published().revision;
        if known == Some(revision) {
            return Ok(());
        }
        let published = Arc::new(self.read_published(revision).await?);
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = published;
        if known.is_some() {
            tracing::info!(revision, "follows what was published");
        }
        Ok(())
    }

    async fn read_published(&self, revision: i64) -> Result<Published> {
        let current = self.store.current_programs().await.while_doing("read the workflows")?;
        let teams = self.store.teams().await.while_doing("read the teams")?;
        let reps = self.store.representatives().await.while_doing("read the representatives")?;
        let names: BTreeMap<_, _> = reps.into_iter().map(|rep| (rep.key, rep.name)).collect();
        let segments = self.store.segments().await.while_doing("read the segments")?;
        let scores = self.store.declared_scores().await.while_doing("read the declared scores")?;
        let pauses = self.store.pauses().await.while_doing("read the pauses")?;
        let mut published = Published {
            pauses: pauses.into_iter().map(|pause| (pause.workflow, pause)).collect(),
            revision: Some(revision),
            rules: Rules::new(segments.into_iter().filter_map(|segment| segment.definition), scores)?,
            has_goals: self.store.any_goals().await.while_doing("look for goals")?,
            has_experiments: self.store.any_experiments().await.while_doing("look for experiments")?,
            has_watched_experiments: false,
            watched: Needs::default(),
            queues: BTreeSet::new(),
            programs: Vec::with_capacity(current.len()),
            teams: teams.into_iter().map(|team| (team.key.clone(), roster(&team, &names))).collect(),
            versions: Mutex::default(),
        };
        for stored in current {
            let program = self.prepare(&published, stored).await?;
            published.has_watched_experiments |= program.has_watched_experiments();
            if program.entrance.concurrency == Concurrency::Queue {
                published.queues.insert(program.entrance.workflow);
            }
            program.dates.iter().for_each(|date| date.add_needs(&mut published.watched));
            published.programs.push(program);
        }
        published.watched.merge(published.rules.needs());
        Ok(published)
    }

    /// The version, prepared.
    pub(crate) async fn version(&self, version: VersionId) -> Result<Arc<CompiledProgram>> {
        let published = self.published();
        if let Some(known) = lock(&published.versions).get(&version) {
            return Ok(Arc::clone(known));
        }
        const DOING: &str = "read a workflow's version";
        let stored = self.store.program(version).await.while_doing(DOING)?;
        let stored = stored.ok_or(Error { doing: DOING, kind: ErrorKind::NoVersion(version) })?;
        self.prepare(&published, stored).await
    }

    async fn prepare(&self, published: &Published, stored: StoredProgram) -> Result<Arc<CompiledProgram>> {
        let mut plugins = BTreeMap::new();
        for step in stored.program.nodes.iter().filter_map(|node| node.plugin_step()) {
            if !plugins.contains_key(&step.digest) {
                plugins.insert(step.digest.clone(), self.plugin(&step.plugin, &step.digest).await?);
            }
        }
        let version = stored.version;
        let Options { grants, time_zone, .. } = &self.options;
        let compiled = CompiledProgram::new(
            stored,
            &Around { plugins: &plugins, grants, teams: &published.teams, zone: time_zone },
        )?;
        let compiled = Arc::new(compiled);
        lock(&published.versions).insert(version, Arc::clone(&compiled));
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

/// The versions on which several runs stand, each looked up once.
#[derive(Default)]
pub(crate) struct Versions(BTreeMap<VersionId, Option<Arc<CompiledProgram>>>);

impl Versions {
    /// The version's program; `None` where this program cannot run it.
    pub(crate) async fn program(
        &mut self,
        engine: &Engine,
        version: VersionId,
    ) -> Result<Option<&Arc<CompiledProgram>>> {
        let program = match self.0.entry(version) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(match engine.version(version).await {
                Ok(program) => Some(program),
                Err(error) if matches!(error.kind, ErrorKind::Store(_)) => return Err(error),
                Err(_) => None,
            }),
        };
        Ok(program.as_ref())
    }

    /// The version's program, if it was looked up.
    pub(crate) fn known(&self, version: VersionId) -> Option<&CompiledProgram> {
        self.0.get(&version)?.as_deref()
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
