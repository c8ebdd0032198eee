//! The scheduler: what is due is claimed in batches, executed, and committed whole.
//!
//! ```text
//! claim due runs ──► load only what the step reads ──► call the plugin once ──► apply its effects,
//! of one moment                                        (pure: no I/O, no clock)  advance, record why
//!       ▲                                                                              │
//!       └──────────────────────── COMMIT: all of it, or none ◄────────────────────────┘
//! ```
//!
//! [`Engine`] is the door. It never asks the machine for the time: its [`Clock`](dripline_model::Clock) says what
//! "now" is, so that a demo, a simulation and a test drive the very same code over days in seconds.

mod admission;
mod arrival;
mod batch;
mod by_hand;
mod call;
mod columns;
mod compiled;
mod dates;
mod drive;
mod engine;
mod entrance;
mod error;
mod experiment;
mod failing;
mod firing;
mod goals;
mod held;
mod inquiry;
mod kin;
mod openings;
mod outage;
mod people;
mod policy;
mod presence;
mod prune;
mod segments;
mod shares;
mod split;
mod step;
mod triggers;
mod turn;
mod waiting;

pub use by_hand::{NoEntrance, Outcome, Reply, Request};
pub use drive::{Moment, Settled};
pub use engine::{Engine, Options};
pub use entrance::{Answer, Entrance};
pub use error::{Error, ErrorKind, Result};
pub use goals::is_reached_anywhere;
pub use inquiry::{Clause, Question, Verdict};
pub use policy::withheld;
pub use segments::{Explanation, Rules};
