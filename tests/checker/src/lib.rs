//! Proves from a database and a mail server alone that nothing was lost and nothing was done twice.
//!
//! It shares nothing with the engine but the schema: other drivers, other statements, the programs read as plain JSON. It
//! compares three things: what the store holds with itself (every run took exactly the turns that its program allows,
//! every effect is there once), with what the receiving server accepted, and with a model of the campaign that a test
//! brings, which knows of each contact what should have happened to it.

mod check;
mod effects;
mod expected;
mod facts;
mod mails;
mod program;
mod report;
mod runs;

pub use check::check;
pub use expected::{ContactExpected, Expected, Step};
pub use facts::{Facts, Unreadable};
pub use report::{Kind, Problem, Report};

/// How often the receiving server accepted which Message-ID (without angle brackets).
pub type Accepted = std::collections::BTreeMap<String, u64>;
