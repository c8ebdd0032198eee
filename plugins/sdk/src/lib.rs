//! The guest SDK: a plugin is a configuration and one function.
//!
//! A plugin is a struct, the configuration that a marketer writes, with an implementation of [`Step`]: what it needs and
//! a function from a [`Batch`] of turns to their [`Outcomes`]. [`export!`] makes a component of it when it is built with
//! `cargo build --release --target wasm32-wasip2`; natively the same crate is an ordinary library, which
//! [`testing::Bench`] runs in unit tests. `docs/plugins.md` is the guide; it begins with a whole plugin.
//!
//! The engine calls a plugin with up to a thousand turns at a time. Values cross the sandbox's border as columns; the
//! SDK shows them as rows. Reading a value is an index and a bit; a text or an effect which many turns
//! share crosses once.

mod batch;
pub mod bindings;
mod dictionary;
mod field;
pub mod guest;
mod manifest;
mod outcomes;
pub mod testing;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use batch::{Batch, Turn};
pub use bindings::dripline::step::types::{
    ColumnType, EffectKind, EffectRequest, Manifest, NamedOutput, Problem, Read, StateScope,
};
pub use field::{
    Condition, Duration, EmailTemplate, Holidays, Instant, Integer, Member, Number, Segment, Team,
    TeamMember, Template, Text,
};
pub use outcomes::{Bounds, EffectRef, Email, IntoText, Outcomes, TextRef};

/// A kind of step. The implementing type is its configuration: what a marketer writes under the plugin's name.
///
/// Doc comments of the configuration's fields become the descriptions that editors show, so write them for marketers.
pub trait Step: DeserializeOwned + JsonSchema {
    /// The verb by which a workflow names the step.
    const NAME: &'static str;
    /// What the step does, in one sentence for people.
    const SUMMARY: &'static str;

    /// Adds to the manifest what the step needs beside its configuration: outputs, reads, effects, state, waiting.
    /// What is not asked for here is refused when the step runs.
    fn describe(manifest: Manifest) -> Manifest {
        manifest
    }

    /// What is wrong with this configuration that its schema cannot say. Expressions and templates may still stand as
    /// they were written then, so they have no values here.
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// Decides on every turn of the batch. A pure function: time, randomness and state are in `batch`.
    ///
    /// # Errors
    /// A sentence for people; it fails the whole batch, so it is for what concerns every turn. A single turn fails by
    /// [`Outcomes::fail_permanent`] or [`Outcomes::fail_transient`].
    fn run(&self, batch: &Batch, out: &mut Outcomes) -> Result<(), String>;
}

/// Makes a component of a [`Step`]: `dripline_sdk::export!(Score);`, once, at the end of the crate's `lib.rs`.
///
/// The plugin's version is its crate's. Native builds are not touched, so that tests link as usual.
#[macro_export]
macro_rules! export {
    ($step:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::Guest for Exported {
                fn describe() -> $crate::Manifest {
                    $crate::guest::describe::<$step>(env!("CARGO_PKG_VERSION"))
                }

                fn check(config: String) -> Vec<$crate::Problem> {
                    $crate::guest::check::<$step>(&config)
                }

                fn run(
                    config: String,
                    batch: $crate::bindings::Batch,
                ) -> Result<$crate::bindings::Outcomes, String> {
                    $crate::guest::run::<$step>(&config, batch)
                }
            }

    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}
