//! Durations as people write them: `3d`, `2h 30m`, `2 weeks`.

use jiff::{Span, Timestamp, tz::TimeZone};

/// Reads a duration. Days and longer units are calendar units: see [`after`].
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse(text: &str) -> Result<Span, String> {
    let span: Span = text
        .trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a duration; write for example 30m, 4h, 3d or 2w"))?;
    if span.is_negative() {
        return Err(format!("`{text}` goes back in time; a duration here is positive"));
    }
    Ok(span)
}

/// The instant `span` after `start`. A day is the same time on the next day in `zone`, so that a daily mail does not
/// move by an hour when daylight saving changes. Past the end of representable time, that end.
pub fn after(start: Timestamp, span: Span, zone: &TimeZone) -> Timestamp {
    start.to_zoned(zone.clone()).checked_add(span).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

/// The instant `span` before `end`, with days as in [`after`]. Before the beginning of representable time, that beginning.
pub fn before(end: Timestamp, span: Span, zone: &TimeZone) -> Timestamp {
    end.to_zoned(zone.clone()).checked_sub(span).map_or(Timestamp::MIN, |zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_keep_the_wall_clock_across_daylight_saving() {
        let start: Timestamp = "2024-03-30T09:00:00Z".parse().unwrap();
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(after(start, parse("1d").unwrap(), &zone).to_string(), "2024-03-31T08:00:00Z");
        assert_eq!(after(start, parse("24h").unwrap(), &zone).to_string(), "2024-03-31T09:00:00Z");
    }

    #[test]
    fn years_go_back_to_the_same_day() {
        let end: Timestamp = "2024-03-31T08:00:00Z".parse().unwrap();
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(before(end, parse("1d").unwrap(), &zone).to_string(), "2024-03-30T09:00:00Z");
        assert_eq!(before(end, parse("2y").unwrap(), &zone).to_string(), "2022-03-31T08:00:00Z");
        assert_eq!(before(end, parse("19000y").unwrap(), &zone), Timestamp::MIN);
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        assert!(parse("soon").unwrap_err().contains("3d"));
        assert!(parse("-3d").is_err());
    }
}
