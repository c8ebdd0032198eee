//! From a workspace's files to a running engine: check, publish, start.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    sync::Arc,
};

use dripline_delivery::{Abandoned, Deliverer};
use dripline_model::Clock;
use dripline_plugin_host::Host;
use dripline_runtime::{Engine, Options};
use dripline_store::{Released, Store, Work};
use dripline_workflow::Severity;
use jiff::tz::TimeZone;

use crate::{
    output::Out,
    problem::Problem,
    publishing::{self, Drift, Files},
    workspace::{CheckedWorkspace, Experience, LoadedPlugin, PublishSetting, Workspace, summarise},
};

/// An engine over a workspace, and what was published for it. While this lives, no other process runs the workspace.
pub(crate) struct Assembly {
    /// The engine.
    pub(crate) engine: Arc<Engine>,
    /// What was published at its start.
    pub(crate) released: Released,
    /// Workflows whose files were left alone, because what they say was rolled back.
    pub(crate) held: Vec<String>,
    /// How the files and what is published compare, where they are published by hand.
    pub(crate) drift: Drift,
    /// Where only one process may run the workflows of the store.
    lock: Option<RunLock>,
}

impl Assembly {
    /// Checks the workspace, publishes what changed, and starts an engine that tells the time by `clock`. Complaints
    /// about the files are printed to `out`; with an error among them nothing is published. Where files are published by
    /// hand, it only starts the engine.
    pub(crate) async fn publishing(
        workspace: &Workspace,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        out: &mut Out,
    ) -> Result<Self, Problem> {
        let lock = RunLock::where_alone(workspace)?;
        let host = workspace.host()?;
        let plugins = workspace.plugins(&host).await?;
        if workspace.settings().publish == PublishSetting::ByHand {
            let drift = Drift::look(workspace, store.as_ref(), &plugins).await?;
            let engine = start(workspace, store, clock, host, plugins, Work::Run).await?;
            return Ok(Self { engine, released: Released::default(), held: Vec::new(), drift, lock });
        }
        // A mistake in a test keeps nobody from running what is right.
        let experience = Experience::of(store.as_ref()).await?.beginning(clock.now());
        let checked = workspace.check_knowing(&workspace.workflow_files()?, &plugins, experience).await?;
        for diagnostic in &checked.diagnostics {
            writeln!(out, "{}\n", diagnostic.render().trim_end())?;
        }
        let errors = checked.count(Severity::Error);
        if let (Some(what), 1..) = (summarise(errors, 0), errors) {
            return Err(Problem::input(format!(
                "the workflows have {what}; nothing was published and nothing was run"
            ))
            .with_help("mend them and run `dripline check`"));
        }
        let files = Files { checked, plugins, fields: workspace.fields_text()? };
        let (released, held) =
            publishing::at_start(workspace, store.as_ref(), &files, clock.as_ref()).await?;
        let engine = start(workspace, store, clock, host, files.plugins, Work::Run).await?;
        Ok(Self { engine, released, held, drift: Drift::None, lock })
    }

    /// Starts an engine that runs what is published in the store, whatever the workspace's workflows say.
    pub(crate) async fn following(
        workspace: &Workspace,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Problem> {
        let lock = RunLock::where_alone(workspace)?;
        let host = workspace.host()?;
        let plugins = workspace.plugins(&host).await?;
        let drift = match workspace.settings().publish {
            PublishSetting::ByHand => Drift::look(workspace, store.as_ref(), &plugins).await?,
            PublishSetting::AtStart => Drift::None,
        };
        let engine = start(workspace, store, clock, host, plugins, Work::Worker).await?;
        Ok(Self { engine, released: Released::default(), held: Vec::new(), drift, lock })
    }

    /// Which of the messages that stand on the wire were left so by a process that is dead: all, where this is the only
    /// one.
    pub(crate) fn abandoned(&self) -> Abandoned {
        if self.lock.is_some() { Abandoned::All } else { Abandoned::LeaseEnded }
    }
}

async fn start(
    workspace: &Workspace,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    host: Host,
    plugins: BTreeMap<String, LoadedPlugin>,
    work: Work,
) -> Result<Arc<Engine>, Problem> {
    let options = options(workspace, &plugins, work)?;
    let config = workspace.delivery_config()?;
    let deliverer = Deliverer::new(Arc::clone(&store), Arc::clone(&clock), config).map_err(|error| {
        Problem::input(error)
            .with_help("`sender`, `unsubscribe_url` and `mail` in dripline.yaml say how mails leave")
    })?;
    let engine = Engine::start(store, host, clock, deliverer, options).await.map_err(Problem::unavailable)?;
    Ok(Arc::new(engine))
}

/// What an engine of the workspace is told.
pub(crate) fn options(
    workspace: &Workspace,
    plugins: &BTreeMap<String, LoadedPlugin>,
    work: Work,
) -> Result<Options, Problem> {
    Ok(Options {
        grants: plugins.iter().map(|(name, loaded)| (name.clone(), loaded.grant.clone())).collect(),
        time_zone: TimeZone::get(&workspace.settings().time_zone).map_err(Problem::input)?,
        caps: workspace.settings().caps.iter().map(|cap| cap.cap()).collect(),
        workers: workspace.settings().store.workers(),
        retention: workspace.settings().retention.retention(),
        work,
        ..Options::default()
    })
}

/// Publishes the segments, with the indexes that their rules use.
pub(crate) async fn publish_segments(
    store: &dyn Store,
    checked: &CheckedWorkspace,
    clock: &dyn Clock,
) -> Result<(), Problem> {
    store.publish_segments(&checked.new_segments(), clock.now()).await?;
    publishing::index(store, checked, clock).await
}

/// Publishes the workflows that `is_wanted`, into a store that nobody else uses.
pub(crate) async fn publish(
    store: &dyn Store,
    checked: &CheckedWorkspace,
    plugins: &BTreeMap<String, LoadedPlugin>,
    clock: &dyn Clock,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    for (source, program) in checked.programs().filter(|(_, program)| is_wanted(&program.name)) {
        store.publish(&publishing::new_version(source, program, checked, plugins), clock.now()).await?;
    }
    Ok(())
}

/// Whether a process runs the workspace, where only one may.
pub(crate) fn is_run(workspace: &Workspace) -> bool {
    // Shared, and let go at once: only who begins to run in this very moment is in its way.
    File::open(workspace.path(RUN_LOCK))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The file of [`RunLock`].
const RUN_LOCK: &str = ".dripline/run.lock";

/// Held by the one process that runs a workspace on SQLite. The operating system lets go of it when the process ends,
/// however it ends, so a message that is *sending* when it is taken was left so by a process that is dead.
struct RunLock(#[expect(dead_code, reason = "held, not read")] File);

impl RunLock {
    /// The lock, unless several processes may run the workspace.
    fn where_alone(workspace: &Workspace) -> Result<Option<Self>, Problem> {
        if workspace.settings().store.is_shared() { Ok(None) } else { Self::take(workspace).map(Some) }
    }

    fn take(workspace: &Workspace) -> Result<Self, Problem> {
        let path = workspace.path(RUN_LOCK);
        let open = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)
        };
        let mut file = open().map_err(|error| Problem::io("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => {
                // Only for the message below; that it cannot be written hinders nobody.
                let _ = file
                    .set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| write!(file, "{}", std::process::id()));
                Ok(Self(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                Err(Problem::input(format!(
                    "this workspace is being run by another dripline (process {holder})"
                ))
                .with_help(
                    "one process runs a workspace on SQLite at a time; the other commands work beside it",
                ))
            }
            Err(TryLockError::Error(error)) => Err(Problem::io("lock", &path, &error)),
        }
    }
}
