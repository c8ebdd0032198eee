//! Whole files through the public door.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod diagnostics;
mod programs;
mod robustness;
mod simulation;
mod support;
