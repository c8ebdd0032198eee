//! What can go wrong, in words that an operator or a marketer can act on.

use std::path::PathBuf;

use dripline_model::{Digest, FailureKind, effect::EffectKind};

/// The sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up the plugin sandbox: {kind}")]
pub struct HostError {
    /// Why.
    pub kind: HostErrorKind,
}

/// Why the sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostErrorKind {
    /// The cache's directory cannot be used.
    #[error("cannot keep compiled plugins in {}: {cause}", directory.display())]
    Cache {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The machine lacks something that the compiler or the sandbox needs.
    #[error("{0}")]
    Engine(String),
    /// The thread that watches over running plugins could not be started.
    #[error("cannot start the thread that watches over running plugins: {0}")]
    Thread(std::io::Error),
}

/// A component could not be made into a plugin.
#[derive(Debug, thiserror::Error)]
#[error("cannot load plugin {}: {kind}", digest.short())]
pub struct LoadError {
    /// What was to be loaded.
    pub digest: Digest,
    /// Why not.
    pub kind: LoadErrorKind,
}

/// Why a component could not be made into a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// Something else altogether.
    #[error("this is not WebAssembly")]
    NotWasm,
    /// The end is missing.
    #[error("the file is cut off after {bytes} bytes; download or build it again")]
    Truncated {
        /// How much is there.
        bytes: usize,
    },
    /// The wrong kind of WebAssembly.
    #[error("this is a core WebAssembly module; build with --target wasm32-wasip2")]
    CoreModule,
    /// Above [`crate::Limits::component_bytes`].
    #[error("the component has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The bytes break WebAssembly's rules, or use a part of it that is switched off.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// Above [`crate::Limits::compile_timeout_ms`].
    #[error("compiling took longer than {limit_ms} ms")]
    CompileTime {
        /// The limit.
        limit_ms: u64,
    },
    /// It wants something from outside that no plugin gets.
    #[error("the component imports `{import}`, which the sandbox does not offer")]
    Import {
        /// The import's name.
        import: String,
    },
    /// What it imports has the right name and another shape.
    #[error("the component cannot be linked: {0}")]
    Link(String),
    /// It was built against a contract that this engine does not speak.
    #[error("the component was built for {found}; this engine speaks dripline:step@{}", crate::WIT_VERSION)]
    Contract {
        /// Package and version.
        found: String,
    },
    /// It is some other kind of component.
    #[error(
        "the component does not export `{export}`; a plugin exports `describe`, `check` and `run` of dripline:step"
    )]
    MissingExport {
        /// The first export that is missing.
        export: &'static str,
    },
    /// It exports the right names with other types.
    #[error("the component's exports do not fit dripline:step@{}: {cause}", crate::WIT_VERSION)]
    Signature {
        /// Which one, and how it differs.
        cause: String,
    },
    /// Asking it what it is failed.
    #[error("`describe` failed: {cause}{}", last_words(log))]
    Describe {
        /// How.
        cause: CallErrorKind,
        /// See [`CallError::log`].
        log: String,
    },
    /// What it says of itself makes no sense.
    #[error("the manifest's {field} {problem}")]
    Manifest {
        /// Which part.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// A call of a plugin failed, and with it every turn of the batch.
#[derive(Debug, thiserror::Error)]
#[error("plugin `{plugin}` failed: {kind}")]
pub struct CallError {
    /// The plugin's name.
    pub plugin: String,
    /// Why.
    pub kind: CallErrorKind,
    /// The last lines that the plugin wrote to its standard error, a panic's message among them; at most 4 KiB.
    pub log: String,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// The code trapped.
    #[error("its code trapped: {0}")]
    Trap(String),
    /// Above [`crate::Limits::memory_bytes`].
    #[error("it wanted more than {limit_bytes} bytes of memory")]
    Memory {
        /// The limit.
        limit_bytes: usize,
    },
    /// Above [`crate::Limits::call_timeout_ms`], or what halving left of it.
    #[error("it did not end within {limit_ms} ms")]
    Time {
        /// The limit.
        limit_ms: u64,
    },
    /// Others of the batch used up [`crate::Limits::run_timeout_ms`] before it was called for this turn.
    #[error("it was not called: others of the batch used up its {limit_ms} ms")]
    Unreached {
        /// The limit.
        limit_ms: u64,
    },
    /// The answer breaks the contract.
    #[error("its answer does not fit: {0}")]
    BadOutput(String),
    /// It emitted an effect for which its manifest does not ask.
    #[error("it emitted the effect `{}`, for which its manifest does not ask", .0.name())]
    Denied(EffectKind),
    /// The plugin's own words.
    #[error("{0}")]
    Plugin(String),
}

impl CallErrorKind {
    /// How the failure is recorded.
    pub fn failure_kind(&self) -> FailureKind {
        match self {
            Self::Trap(_) => FailureKind::Trap,
            Self::Memory { .. } => FailureKind::Memory,
            Self::Time { .. } => FailureKind::Time,
            Self::Unreached { .. } => FailureKind::Unreached,
            Self::BadOutput(_) => FailureKind::BadOutput,
            Self::Denied(_) => FailureKind::Denied,
            // A step is a pure function: what it refuses once, it refuses again.
            Self::Plugin(_) => FailureKind::Permanent,
        }
    }
}

/// The innermost cause, its first line.
pub(crate) fn cause(error: &wasmtime::Error) -> String {
    error.root_cause().to_string().lines().next().unwrap_or_default().to_owned()
}

/// A log as the end of a sentence; nothing where there is none.
pub(crate) fn last_words(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("; its last words: {log}") }
}
