//! What a test may make a process believe: that the machine's clock is set, that the program is of the next release.
//!
//! Only test builds have the feature `failpoints`; every other build believes nothing of it.

/// The environment variable with the path of a file that holds by how many milliseconds the machine's clock is ahead. It is
/// read each time, so that the clock may be set while a process runs.
pub const CLOCK: &str = "DRIPLINE_TEST_CLOCK";

/// The environment variable with the path of a file of SQL: the migration by which the next release's schema differs.
pub const MIGRATION: &str = "DRIPLINE_TEST_MIGRATION";

/// By how many milliseconds the machine's clock is ahead.
#[cfg_attr(not(feature = "failpoints"), inline(always))]
pub(crate) fn clock_is_ahead_by_ms() -> i64 {
    #[cfg(feature = "failpoints")]
    {
        use std::{path::PathBuf, sync::OnceLock};
        static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
        let file = FILE.get_or_init(|| std::env::var_os(CLOCK).map(PathBuf::from));
        file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok()).unwrap_or(0)
    }
    #[cfg(not(feature = "failpoints"))]
    0
}

/// The migration of the next release, in a program that is to be one.
#[cfg_attr(not(feature = "failpoints"), inline(always))]
pub fn next_migration() -> Option<String> {
    #[cfg(feature = "failpoints")]
    return std::fs::read_to_string(std::env::var_os(MIGRATION)?).ok();
    #[cfg(not(feature = "failpoints"))]
    None
}
