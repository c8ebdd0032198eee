//! The engine that all plugins share, and how a component becomes a plugin.

use std::{path::Path, sync::Arc, time::Duration};

use dripline_model::Digest;
use wasmtime::{
    Cache, CacheConfig, Config, Engine,
    component::{Component, Linker},
};

use crate::{
    bindings::StepPre,
    component,
    error::{HostError, HostErrorKind, LoadError, LoadErrorKind, cause},
    guest::Guest,
    limits::{HostConfig, Limits},
    plugin::Plugin,
    sandbox::Sandbox,
    ticker::Ticker,
};

/// Loads plugins; one for a process is enough. Clones share everything, and a [`Plugin`] keeps what it needs alive.
#[derive(Clone)]
pub struct Host(Arc<Shared>);

pub(crate) struct Shared {
    engine: Engine,
    linker: Linker<Guest>,
    pub(crate) limits: Limits,
    pub(crate) ticker: Ticker,
}

impl Host {
    /// Sets the sandbox up.
    ///
    /// # Errors
    /// The cache's directory cannot be used, or the machine lacks something that the sandbox needs.
    pub fn new(config: HostConfig) -> Result<Self, HostError> {
        let cache = config.cache_dir.as_deref().map(open_cache).transpose();
        let shared = cache.and_then(|cache| Shared::new(config.limits, cache));
        shared.map(|shared| Self(Arc::new(shared))).map_err(|kind| HostError { kind })
    }

    /// Compiles a component, or finds it compiled in the cache, and asks it what it is. Needs a Tokio runtime.
    ///
    /// # Errors
    /// See [`LoadErrorKind`].
    pub async fn load(&self, wasm: &[u8]) -> Result<Plugin, LoadError> {
        let digest = Digest::of(wasm);
        match self.load_as(wasm, digest.clone()).await {
            Ok(plugin) => Ok(plugin),
            Err(kind) => Err(LoadError { digest, kind }),
        }
    }

    async fn load_as(&self, wasm: &[u8], digest: Digest) -> Result<Plugin, LoadErrorKind> {
        let limit = self.0.limits.component_bytes;
        if wasm.len() > limit {
            return Err(LoadErrorKind::TooLarge { bytes: wasm.len(), limit });
        }
        component::look_at(wasm)?;
        let component = self.compile(wasm.to_vec()).await?;
        self.look_at_imports(&component)?;
        let linked =
            self.0.linker.instantiate_pre(&component).map_err(|error| LoadErrorKind::Link(chain(&error)))?;
        if let Some(export) =
            ["describe", "check", "run"].into_iter().find(|name| component.get_export(None, *name).is_none())
        {
            return Err(LoadErrorKind::MissingExport { export });
        }
        let step = StepPre::new(linked).map_err(|error| LoadErrorKind::Signature { cause: chain(&error) })?;
        Plugin::describe(Sandbox::new(Arc::clone(&self.0), step), digest).await
    }

    /// Compiles in a thread of its own. One that takes too long is left behind there: compiling cannot be interrupted.
    async fn compile(&self, wasm: Vec<u8>) -> Result<Component, LoadErrorKind> {
        let limit_ms = self.0.limits.compile_timeout_ms;
        let engine = self.0.engine.clone();
        let compiling = tokio::task::spawn_blocking(move || Component::new(&engine, wasm));
        match tokio::time::timeout(Duration::from_millis(limit_ms), compiling).await {
            Err(_elapsed) => Err(LoadErrorKind::CompileTime { limit_ms }),
            Ok(Err(_panic)) => Err(LoadErrorKind::Invalid("the compiler cannot cope with it".into())),
            Ok(Ok(compiled)) => compiled.map_err(|error| LoadErrorKind::Invalid(cause(&error))),
        }
    }

    /// Everything that std imports is offered (and grants nothing); what else a component wants is named.
    fn look_at_imports(&self, component: &Component) -> Result<(), LoadErrorKind> {
        for (import, _) in component.component_type().imports(&self.0.engine) {
            let (interface, version) = import.split_once('@').unwrap_or((import, ""));
            let (package, _) = interface.split_once('/').unwrap_or((interface, ""));
            let offered = match package {
                "dripline:step" if minor(version) == minor(crate::WIT_VERSION) => true,
                "dripline:step" => {
                    return Err(LoadErrorKind::Contract { found: format!("{package}@{version}") });
                }
                "wasi:cli" | "wasi:clocks" | "wasi:filesystem" | "wasi:io" | "wasi:random"
                | "wasi:sockets" => minor(version) == "0.2",
                _ => false,
            };
            if !offered {
                return Err(LoadErrorKind::Import { import: import.into() });
            }
        }
        Ok(())
    }
}

impl Shared {
    fn new(limits: Limits, cache: Option<Cache>) -> Result<Self, HostErrorKind> {
        let mut engine = Config::new();
        engine
            .epoch_interruption(true)
            .cache(cache)
            // A trap's first line is all that anybody is shown.
            .wasm_backtrace_max_frames(None)
            // The same batch gives the same outcome on every machine.
            .cranelift_nan_canonicalization(true)
            .relaxed_simd_deterministic(true);
        let engine = Engine::new(&engine).map_err(|error| HostErrorKind::Engine(chain(&error)))?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)
            .map_err(|error| HostErrorKind::Engine(chain(&error)))?;
        let ticker = Ticker::start(engine.clone()).map_err(HostErrorKind::Thread)?;
        Ok(Self { engine, linker, limits, ticker })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

fn open_cache(directory: &Path) -> Result<Cache, HostErrorKind> {
    let refused = |cause: String| HostErrorKind::Cache { directory: directory.into(), cause };
    let absolute = std::path::absolute(directory).map_err(|error| refused(error.to_string()))?;
    let mut config = CacheConfig::new();
    config.with_directory(absolute);
    Cache::new(config).map_err(|error| refused(cause(&error)))
}

/// `1.2` of `1.2.3`: before 1.0 as after, what has this in common fits together.
fn minor(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(minor, _)| minor)
}

/// All causes in one line.
fn chain(error: &wasmtime::Error) -> String {
    format!("{error:#}").lines().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_host_finds_the_compiled_code_in_the_cache() {
        let directory = tempfile::tempdir().unwrap();
        let wasm = wat::parse_str("(component (core module (func)))").unwrap();
        let counts = async || {
            let cache = open_cache(&directory.path().join("compiled")).unwrap();
            let host = Host(Arc::new(Shared::new(Limits::default(), Some(cache.clone())).unwrap()));
            host.compile(wasm.clone()).await.unwrap();
            (cache.cache_misses(), cache.cache_hits())
        };
        assert_eq!(counts().await, (1, 0));
        assert_eq!(counts().await, (0, 1));
    }

    #[test]
    fn a_cache_that_cannot_be_is_refused_with_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = HostConfig { cache_dir: Some(file.path().into()), ..HostConfig::default() };
        let error = Host::new(config).err().unwrap().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}
