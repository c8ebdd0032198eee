//! Whole files through the public door.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod calls;
mod diagnostics;
mod fields;
mod holidays;
mod pace;
mod programs;
mod robustness;
mod schedules;
mod schema;
mod scores;
mod simulation;
mod support;
