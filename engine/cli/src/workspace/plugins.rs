//! The plugins of a workspace: the built-in ones, and those of `plugins.lock`.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use dripline_model::{Digest, manifest::Grant};
use dripline_plugin_host::{Host, Plugin};
use dripline_workflow::PluginInfo;
use serde::{Deserialize, Serialize};

use super::Workspace;
use crate::problem::Problem;

/// The format of `plugins.lock` that today's code writes.
const FORMAT: u32 = 1;

/// A plugin, ready for use.
#[derive(Clone)]
pub(crate) struct LoadedPlugin {
    /// The plugin.
    pub(crate) plugin: Plugin,
    /// Its code.
    pub(crate) wasm: Cow<'static, [u8]>,
    /// What it was granted.
    pub(crate) grant: Grant,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is part of Dripline, and granted what it asks for.
    BuiltIn,
    /// It was installed; the file, relative to the workspace.
    Installed(PathBuf),
}

impl LoadedPlugin {
    /// What the workflow checker wants to know.
    pub(crate) fn info(&self) -> PluginInfo {
        PluginInfo {
            manifest: self.plugin.manifest().clone(),
            digest: self.plugin.digest().clone(),
            grant: self.grant.clone(),
        }
    }
}

/// `plugins.lock`: the installed plugins, each pinned by its digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    format: u32,
    /// By name.
    pub(crate) plugins: Vec<LockedPlugin>,
}

/// One installed plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LockedPlugin {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// SHA-256 of the file.
    pub(crate) digest: Digest,
    /// The file, relative to the workspace.
    pub(crate) file: PathBuf,
    /// What the operator granted.
    pub(crate) grant: Grant,
}

impl Lock {
    fn path(workspace: &Workspace) -> PathBuf {
        workspace.path("plugins.lock")
    }

    /// Reads the file; one that is not there locks nothing.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self, Problem> {
        let path = Self::path(workspace);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { format: FORMAT, plugins: Vec::new() });
            }
            read => read.map_err(|error| Problem::io("read", &path, &error))?,
        };
        let lock: Self = serde_yaml::from_str(&text).map_err(|error| {
            Problem::input(format!("{}: {error}", workspace.shown(&path)))
                .with_help("`dripline plugin add FILE` writes this file; mend it or add the plugins anew")
        })?;
        if lock.format == FORMAT {
            Ok(lock)
        } else {
            Err(Problem::input(format!(
                "{} has format {}, not {FORMAT}",
                workspace.shown(&path),
                lock.format
            ))
            .with_help("use the dripline that wrote it, or a newer one"))
        }
    }

    /// Puts a plugin in, in the place of one of the same name, and writes the file.
    pub(crate) fn put(mut self, workspace: &Workspace, plugin: LockedPlugin) -> Result<(), Problem> {
        self.plugins.retain(|other| other.name != plugin.name);
        self.plugins.push(plugin);
        self.plugins.sort_by(|one, other| one.name.cmp(&other.name));
        let text = serde_yaml::to_string(&self).map_err(Problem::internal)?;
        let path = Self::path(workspace);
        // Renamed into its place: a lock that is half written would leave the workspace without its plugins.
        let draft = path.with_extension("lock.new");
        fs::write(&draft, format!("# Written by `dripline plugin add`.\n{text}"))
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|error| Problem::io("write", &path, &error))
    }
}

impl Workspace {
    /// All plugins by name.
    pub(crate) async fn plugins(&self, host: &Host) -> Result<BTreeMap<String, LoadedPlugin>, Problem> {
        let mut all = BTreeMap::new();
        for bundled in dripline_bundled::PLUGINS {
            let plugin = host.load(bundled.wasm).await.map_err(Problem::internal)?;
            let grant = Grant::all_of(plugin.manifest());
            let wasm = Cow::Borrowed(bundled.wasm);
            let name = plugin.manifest().name.clone();
            all.insert(name, LoadedPlugin { plugin, wasm, grant, origin: Origin::BuiltIn });
        }
        for locked in Lock::read(self)?.plugins {
            let loaded = self.locked_plugin(host, &locked).await?;
            all.insert(locked.name, loaded);
        }
        Ok(all)
    }

    /// An installed plugin; the file must be the one that was installed.
    pub(crate) async fn locked_plugin(
        &self,
        host: &Host,
        locked: &LockedPlugin,
    ) -> Result<LoadedPlugin, Problem> {
        let path = self.path(&locked.file);
        let wasm = fs::read(&path).map_err(|error| Problem::io("read", &path, &error))?;
        let digest = Digest::of(&wasm);
        if digest != locked.digest {
            return Err(Problem::input(format!(
                "{} is not the file that was installed as plugin `{}`: its digest is {}, plugins.lock has {}",
                self.shown(&path),
                locked.name,
                digest.short(),
                locked.digest.short(),
            ))
            .with_help(
                "put back the file that was installed, or add the plugin anew from where you trust it",
            ));
        }
        let plugin = load(host, &path, &wasm).await?;
        let origin = Origin::Installed(locked.file.clone());
        Ok(LoadedPlugin { plugin, wasm: Cow::Owned(wasm), grant: locked.grant.clone(), origin })
    }

    /// Files in `plugins/` that were never installed.
    pub(crate) fn stray_plugins(&self) -> Result<Vec<PathBuf>, Problem> {
        let lock = Lock::read(self)?;
        let Ok(entries) = fs::read_dir(self.path("plugins")) else { return Ok(Vec::new()) };
        let mut stray: Vec<_> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
            .filter(|path| !lock.plugins.iter().any(|plugin| self.path(&plugin.file) == *path))
            .collect();
        stray.sort();
        Ok(stray)
    }
}

/// Loads a plugin's file.
pub(crate) async fn load_file(host: &Host, path: &Path) -> Result<(Plugin, Vec<u8>), Problem> {
    let wasm = fs::read(path).map_err(|error| Problem::io("read", path, &error))?;
    Ok((load(host, path, &wasm).await?, wasm))
}

async fn load(host: &Host, path: &Path, wasm: &[u8]) -> Result<Plugin, Problem> {
    host.load(wasm).await.map_err(|error| Problem::input(format!("{}: {}", path.display(), error.kind)))
}
