//! Instants and durations between text, jiff and CEL.

use cel::common::types::{CelDuration, CelTimestamp};
use chrono::{DateTime, TimeDelta};
use jiff::{Span, SpanRelativeTo, Timestamp, civil, tz::TimeZone};

/// The longest duration, either way: ten thousand years, which no two instants of CEL are apart.
const MAX_SECONDS: i64 = 10_000 * 366 * 24 * 60 * 60;

/// Reads an instant: RFC 3339, or a date with or without a time of day, which then are in UTC.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let at = text.parse::<Timestamp>().ok().or_else(|| {
        let civil: civil::DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    });
    at.filter(|at| is_in_range(*at))
}

/// Whether CEL knows the instant: its calendar begins with the year 1.
pub(crate) fn is_in_range(at: Timestamp) -> bool {
    at.as_second() >= FIRST_SECOND
}

/// 0001-01-01T00:00:00Z.
const FIRST_SECOND: i64 = -62_135_596_800;

/// Reads a duration (`30d`, `1h 30m`, `-2w`); a day has 24 hours here.
pub(crate) fn duration(text: &str) -> Option<CelDuration> {
    let span: Span = text.trim().parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    let nanos = u32::try_from(duration.subsec_nanos().rem_euclid(1_000_000_000)).ok()?;
    let seconds = duration.as_secs() - i64::from(duration.subsec_nanos() < 0);
    (-MAX_SECONDS..=MAX_SECONDS)
        .contains(&seconds)
        .then(|| TimeDelta::new(seconds, nanos))?
        .map(CelDuration::from)
}

/// An instant as CEL has it.
pub(crate) fn to_cel(at: Timestamp) -> Option<CelTimestamp> {
    let nanos = u32::try_from(at.subsec_nanosecond().rem_euclid(1_000_000_000)).ok()?;
    let seconds = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
    DateTime::from_timestamp(seconds, nanos).map(|at| CelTimestamp::from(at.fixed_offset()))
}

/// An instant of CEL.
pub(crate) fn from_cel(at: &CelTimestamp) -> Option<Timestamp> {
    let at = at.inner();
    Timestamp::new(at.timestamp(), i32::try_from(at.timestamp_subsec_nanos()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_the_way_to_cel_and_back() {
        for text in ["2024-03-01T10:00:00.25Z", "1969-12-31T23:59:59.5Z", "0001-01-01T00:00:00Z"] {
            let at: Timestamp = text.parse().unwrap();
            assert_eq!(from_cel(&to_cel(at).unwrap()), Some(at), "{text}");
        }
    }

    #[test]
    fn dates_and_local_times_are_utc() {
        assert_eq!(instant("2024-03-01"), "2024-03-01T00:00:00Z".parse().ok());
        assert_eq!(instant(" 2024-03-01T10:30 "), "2024-03-01T10:30:00Z".parse().ok());
        assert_eq!(instant("2024-03-01T10:30:00+01:00"), "2024-03-01T09:30:00Z".parse().ok());
        assert_eq!(instant("soon"), None);
        assert_eq!((instant("0001-01-01").is_some(), instant("0000-12-31")), (true, None));
    }

    #[test]
    fn durations_may_be_in_days_and_negative_but_not_in_months() {
        assert_eq!(duration("3d").map(|d| d.inner().num_hours()), Some(72));
        assert_eq!(duration("-1.5h").map(|d| d.inner().num_minutes()), Some(-90));
        assert!(duration("1mo").is_none() && duration("soon").is_none());
    }
}
