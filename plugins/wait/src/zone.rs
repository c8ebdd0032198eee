//! Time zones by name, from the database that is compiled in: a plugin has no files.

use std::sync::LazyLock;

use jiff_bundled::tz::{TimeZone, TimeZoneDatabase};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone of this IANA name, in any case.
pub(crate) fn named(name: &str) -> Result<TimeZone, String> {
    DATABASE.get(name.trim()).map_err(|_| format!("`{name}` is not a time zone"))
}
