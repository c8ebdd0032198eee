//! How much a plugin may use.

use std::path::PathBuf;

/// How the sandbox is set up.
#[derive(Debug, Clone, Default)]
pub struct HostConfig {
    /// Where compiled code is kept between processes; `None` compiles anew in every process. What lies there is run
    /// as native code: nobody but the engine may write to it.
    pub cache_dir: Option<PathBuf>,
    /// How much a plugin may use.
    pub limits: Limits,
}

/// How much a plugin may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size of a component that is loaded.
    pub component_bytes: usize,
    /// Time to compile a component.
    pub compile_timeout_ms: u64,
    /// Memory of one call, all of the component's memories together.
    pub memory_bytes: usize,
    /// Time of one call.
    pub call_timeout_ms: u64,
    /// Time of one [`crate::Plugin::run`], halving included; turns that were not tried by then fail.
    pub run_timeout_ms: u64,
    /// Size of an answer, as the engine would hold it in memory.
    pub output_bytes: usize,
    /// Effects that one turn may have.
    pub effects_per_turn: usize,
    /// Length of one text in an answer.
    pub text_bytes: usize,
    /// Size of a state cell.
    pub state_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 16 << 20,
            compile_timeout_ms: 60_000,
            memory_bytes: 64 << 20,
            call_timeout_ms: 5_000,
            run_timeout_ms: 30_000,
            output_bytes: 64 << 20,
            effects_per_turn: 64,
            text_bytes: 64 << 10,
            state_bytes: 1 << 20,
        }
    }
}
