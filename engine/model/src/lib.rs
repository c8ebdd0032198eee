//! The words of Dripline as types (`docs/architecture.md`, "Words"); no I/O.
//!
//! Every other crate speaks these types to every other: a plugin's [`Manifest`] goes from the plugin host to the
//! workflow checker, a checked [`program::Program`] from there to the runtime, [`effect::Effect`]s from a plugin to the
//! store. All instants are UTC ([`jiff::Timestamp`]) and are stored in milliseconds.

pub mod batch;
pub mod clock;
mod coded;
pub mod contact;
mod countries;
pub mod crash;
pub mod decision;
pub mod difference;
pub mod digest;
pub mod duration;
pub mod effect;
pub mod field;
pub mod filter;
pub mod holidays;
pub mod id;
pub mod manifest;
pub mod message;
pub mod migration;
pub mod policy;
pub mod pretend;
pub mod program;
pub mod random;
pub mod score;
pub mod segment;
pub mod statistics;
pub mod suggest;
pub mod team;
pub mod zone;

pub use clock::{Clock, DrivenClock, SystemClock};
pub use contact::Contact;
pub use digest::Digest;
pub use effect::{Directive, Effect, Failure, FailureKind, Outcome};
pub use manifest::Manifest;
