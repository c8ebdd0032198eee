//! The five steps by hand: the same rows through the fastest driver, without plugins, CEL or checks.
//!
//! They know everything beforehand that the engine finds out: where a run goes, which reasons there are, that nobody was
//! scored or has an owner. What they leave in the database is the same to the row ([`crate::tally`]).

mod lead;
pub(crate) mod postgres;
pub(crate) mod sqlite;
