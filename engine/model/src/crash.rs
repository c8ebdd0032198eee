//! Places where a test may end the process as a crash would: with nothing flushed and nothing dropped.
//!
//! Only test builds have the feature `failpoints`; in every other build [`point`] does nothing. The environment variable
//! `FAILPOINTS` says where to crash: `batch.commit.before=return`, or `batch.commit.before=3*off->return` for the fourth
//! time that the process comes by.

/// All places, in the order in which a contact's way through a campaign comes by them.
pub const POINTS: &[&str] = &[
    "publish.versions",
    "publish.written",
    "store.commit.before",
    "store.commit.after",
    "arrivals.claimed",
    "batch.claimed",
    "plugin.call.before",
    "plugin.call.after",
    "batch.applied",
    "batch.commit.before",
    "batch.commit.after",
    "mail.claimed",
    "mail.mark.before",
    "mail.mark.after",
    "wire.text.before",
    "wire.text.after",
    "wire.ended",
    "wire.answered",
    "mail.settle.before",
    "mail.settle.after",
];

/// Reads `FAILPOINTS`. Call it once, when the process starts.
pub fn arm() {
    #[cfg(feature = "failpoints")]
    // What it returns disarms everything when it is dropped.
    std::mem::forget(fail::FailScenario::setup());
}

/// A place, one of [`POINTS`].
#[cfg_attr(not(feature = "failpoints"), inline(always))]
pub fn point(name: &str) {
    debug_assert!(POINTS.contains(&name), "{name} is not among the places where a test may crash");
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |_| std::process::abort());
}
