//! The sandbox: load, limit and call plugins.
//!
//! A plugin is a WebAssembly component of the world `dripline:step/step` (`plugins/wit/step.wit`). It has no ambient
//! authority: it sees the batch that it is called with, the batch's instant in place of the clock and the batch's
//! seeds in place of randomness, and it answers with data. What this crate promises to its callers:
//!
//! - Nothing leaks from one call into another: each has a store of its own.
//! - A call ends: time, memory and the size of the answer are limited ([`Limits`]), and a guest that computes yields
//!   to the runtime all along.
//! - What an [`Answer`] holds is well-formed, lies within the limits and within what the manifest asks for. What the
//!   operator granted of that is the caller's to apply.
//! - [`Plugin::run`] never fails as a whole: a turn that cannot be done fails alone, and says why.
//!
//! All of it needs a Tokio runtime with timers.

mod bindings;
mod component;
mod error;
mod guest;
mod host;
mod lift;
mod limits;
mod log;
mod lower;
mod manifest;
mod plugin;
mod run;
mod sandbox;
mod ticker;

pub use error::{CallError, CallErrorKind, HostError, HostErrorKind, LoadError, LoadErrorKind};
pub use host::Host;
pub use limits::{HostConfig, Limits};
pub use plugin::{Answer, ConfigProblem, Plugin};

/// The version of `dripline:step` that this engine speaks.
pub const WIT_VERSION: &str = "0.1.0";
