//! End-to-end tests: the real binary, a real SMTP server, the shipped campaigns, the sample data.
//!
//! They are built as a test of the command's own package, so that `cargo test` always tests the binary that it built.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod campaigns;
mod crash;
mod mail;
mod smtp;
mod survival;
mod workspace;
