//! A workspace: the folder with `dripline.yaml`, and everything that it holds.

mod api;
mod caps;
mod check;
mod experience;
mod plugins;
mod retention;
mod samples;
mod settings;
mod store;
mod tests;

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use dripline_delivery::DeliveryConfig;
use dripline_plugin_host::{Host, HostConfig, Limits};
use dripline_store::{Migrated, Store, sqlite::SqliteStore};
use dripline_workflow::Diagnostic;

use crate::problem::Problem;
pub(crate) use check::{CheckedWorkspace, summarise};
pub(crate) use experience::Experience;
pub(crate) use plugins::{LoadedPlugin, Lock, LockedPlugin, Origin, load_file};
pub(crate) use samples::schema as samples_schema;
pub(crate) use settings::{FILE as SETTINGS_FILE, PublishSetting, Settings, SmtpSettings};
pub(crate) use tests::CheckedTests;

/// A workspace on disk.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
    settings: Settings,
}

impl Workspace {
    /// The workspace at `dir`, or without one the nearest at or above the current folder.
    pub(crate) fn find(dir: Option<&Path>) -> Result<Self, Problem> {
        let root = Self::find_root(dir)?;
        let settings = Settings::read(&root)?;
        Ok(Self { root, settings })
    }

    /// The same for a check, which goes on where the settings are wrong: with what is wrong with them, if anything.
    /// Of a workspace with wrong settings the store is not to be used.
    pub(crate) fn find_to_check(dir: Option<&Path>) -> Result<(Self, Vec<Diagnostic>), Problem> {
        let root = Self::find_root(dir)?;
        let mut workspace = Self { root, settings: Settings::stand_in() };
        let source = workspace.read_source(&workspace.path(SETTINGS_FILE))?;
        match Settings::parse(&source) {
            Ok(settings) => {
                workspace.settings = settings;
                Ok((workspace, Vec::new()))
            }
            Err(mistakes) => Ok((workspace, mistakes)),
        }
    }

    fn find_root(dir: Option<&Path>) -> Result<PathBuf, Problem> {
        Ok(match dir {
            Some(dir) if dir.join(SETTINGS_FILE).is_file() => dir.to_owned(),
            Some(dir) => {
                return Err(Problem::input(format!(
                    "{} is not a workspace: it has no {SETTINGS_FILE}",
                    dir.display()
                ))
                .with_help(format!("make one: dripline init {}", dir.display())));
            }
            None => {
                let here = env::current_dir().map_err(|error| {
                    Problem::unavailable(format!("failed to find the current folder: {error}"))
                })?;
                let nearest = here.ancestors().find(|dir| dir.join(SETTINGS_FILE).is_file());
                nearest.map(Path::to_owned).ok_or_else(|| {
                    Problem::input(format!(
                        "there is no workspace here: no {SETTINGS_FILE} in this folder or above"
                    ))
                    .with_help("make one with `dripline init DIR`, or name one with --workspace DIR")
                })?
            }
        })
    }

    /// What `dripline.yaml` says.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A path in the workspace.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// A path as people see it: relative to where they are, if it is below.
    pub(crate) fn shown(&self, path: &Path) -> String {
        let here = env::current_dir().unwrap_or_default();
        path.strip_prefix(here).unwrap_or(path).display().to_string()
    }

    /// Opens the store, and makes it if it is not there yet.
    pub(crate) async fn open_store(&self) -> Result<Arc<dyn Store>, Problem> {
        self.settings.store.open(&self.root).await
    }

    /// A copy of the store in which one may try things out; the store itself is only read. Empty where there is none yet.
    pub(crate) async fn copy_of_store(&self) -> Result<Arc<dyn Store>, Problem> {
        if self.is_store_missing() {
            return Ok(Arc::new(SqliteStore::in_memory().await?));
        }
        self.settings.store.copy(&self.root).await
    }

    /// The store's file, where it is one.
    pub(crate) fn store_file(&self) -> Option<PathBuf> {
        self.settings.store.file(&self.root)
    }

    /// Whether opening the store would make it.
    pub(crate) fn is_store_missing(&self) -> bool {
        self.settings.store.is_missing(&self.root)
    }

    /// Brings the store's schema up to date.
    pub(crate) async fn migrate_store(&self) -> Result<Migrated, Problem> {
        self.settings.store.migrate(&self.root).await
    }

    /// The plugins' sandbox. Compiled code is kept for all workspaces of the user (XDG Base Directory Specification,
    /// `XDG_CACHE_HOME`), or in the workspace where the user has no such folder.
    pub(crate) fn host(&self) -> Result<Host, Problem> {
        let of_user = user_cache().filter(|dir| fs::create_dir_all(dir).is_ok());
        let cache_dir = of_user.unwrap_or_else(|| self.path(".dripline/cache"));
        fs::create_dir_all(&cache_dir).map_err(|error| Problem::io("make", &cache_dir, &error))?;
        // wasmtime's cache wants an absolute path.
        let cache_dir =
            fs::canonicalize(&cache_dir).map_err(|error| Problem::io("find", &cache_dir, &error))?;
        Host::new(HostConfig { cache_dir: Some(cache_dir), limits: Limits::default() })
            .map_err(Problem::unavailable)
    }

    /// How mails leave.
    pub(crate) fn delivery_config(&self) -> Result<DeliveryConfig, Problem> {
        self.settings.delivery_config()
    }
}

fn user_cache() -> Option<PathBuf> {
    let named = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let cache = named.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(cache.join("dripline"))
}
