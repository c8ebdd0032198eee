//! Cases worked out by hand from docs/workflows.md and docs/semantics.md, with a calendar and a table of time zones beside them.

use dripline_sdk::testing::Bench;
use jiff_bundled::Timestamp;
use serde_json::{Value, json};

use crate::Wait;

/// Berlin is two hours ahead of UTC in summer, from 29 March to 25 October 2026, and one in winter.
const BERLIN: Option<&str> = Some("Europe/Berlin");

fn ms(at: &str) -> i64 {
    at.parse::<Timestamp>().unwrap().as_millisecond()
}

/// Until when a contact waits; none where it goes on at once.
fn until(now: &str, config: Value, zone: Option<&str>, holidays: &str, date: Option<&str>) -> Option<String> {
    let has = |key: &str| config.get(key).is_some();
    let (has_holidays, has_date) = (has("holidays"), has("date"));
    let mut bench = Bench::<Wait>::new(config).now_ms(ms(now)).column("contact.time_zone", [zone]);
    if has_holidays {
        bench = bench.column("/holidays", [Some(holidays).filter(|days| !days.is_empty())]);
    }
    if has_date {
        bench = bench.column("/date", [date.map(ms)]);
    }
    let answer = bench.run().unwrap().to_string();
    let words: Vec<&str> = answer.split(' ').collect();
    match words.get(1..3) {
        Some(["waits", "until"]) => {
            let at = words.get(3).unwrap().trim_end_matches(':').parse().unwrap();
            Some(Timestamp::from_millisecond(at).unwrap().to_string())
        }
        _ => None,
    }
}

#[test]
fn weekdays_times_dates_and_windows_end_when_the_documents_say() {
    let cases = [
        // 1 July 2026 is a Wednesday; it is noon in Berlin. The next Monday is the 6th.
        (
            "2026-07-01T10:00:00Z",
            json!({"weekday": "monday", "at": "09:00"}),
            BERLIN,
            Some("2026-07-06T07:00:00Z"),
        ),
        // Without `at` the day's first moment, which is still Friday in UTC.
        ("2026-07-01T10:00:00Z", json!({"weekday": "saturday"}), BERLIN, Some("2026-07-03T22:00:00Z")),
        // On a Monday before nine it is the same day.
        (
            "2026-07-06T06:00:00Z",
            json!({"weekday": "monday", "at": "09:00"}),
            BERLIN,
            Some("2026-07-06T07:00:00Z"),
        ),
        // A time of day: today, this moment, or tomorrow.
        ("2026-07-01T06:59:00Z", json!({"at": "09:00"}), BERLIN, Some("2026-07-01T07:00:00Z")),
        ("2026-07-01T07:00:00Z", json!({"at": "09:00"}), BERLIN, None),
        ("2026-07-01T07:01:00Z", json!({"at": "09:00"}), BERLIN, Some("2026-07-02T07:00:00Z")),
        // A date and time where the contact is.
        (
            "2026-07-01T07:01:00Z",
            json!({"until": "2026-12-24T09:00"}),
            Some("Asia/Tokyo"),
            Some("2026-12-24T00:00:00Z"),
        ),
        ("2026-07-01T07:01:00Z", json!({"until": "2026-07-01T09:01"}), BERLIN, None),
        // Friday 17:00 is outside of the window, and 16:59:59 is inside.
        (
            "2026-07-03T15:00:00Z",
            json!({"between": "09:00-17:00", "days": "mon-fri"}),
            BERLIN,
            Some("2026-07-06T07:00:00Z"),
        ),
        ("2026-07-03T14:59:59Z", json!({"between": "09:00-17:00", "days": "mon-fri"}), BERLIN, None),
        // Three days after Thursday is Sunday, which is moved to Monday.
        (
            "2026-07-02T08:00:00Z",
            json!({"for": "3d", "between": "09:00-17:00", "days": "mon-fri"}),
            BERLIN,
            Some("2026-07-06T07:00:00Z"),
        ),
        // A window over midnight belongs to the day on which it begins.
        ("2026-07-04T03:00:00Z", json!({"between": "20:00-08:00", "days": "fri"}), BERLIN, None),
        (
            "2026-07-04T07:00:00Z",
            json!({"between": "20:00-08:00", "days": "fri"}),
            BERLIN,
            Some("2026-07-10T18:00:00Z"),
        ),
        // 02:30 is skipped on 28 March 2027, and comes twice on 25 October 2026.
        ("2027-03-28T00:00:00Z", json!({"at": "02:30"}), BERLIN, Some("2027-03-28T01:30:00Z")),
        ("2026-10-24T23:00:00Z", json!({"at": "02:30"}), BERLIN, Some("2026-10-25T00:30:00Z")),
        // A day is a day of the calendar, 24 hours are hours.
        ("2026-10-24T07:00:00Z", json!({"for": "1d"}), BERLIN, Some("2026-10-25T08:00:00Z")),
        ("2026-10-24T07:00:00Z", json!({"for": "24h"}), BERLIN, Some("2026-10-25T07:00:00Z")),
        // A contact without a zone lives by the step's.
        (
            "2026-07-01T10:00:00Z",
            json!({"at": "09:00", "time_zone": "Asia/Tokyo"}),
            None,
            Some("2026-07-02T00:00:00Z"),
        ),
        (
            "2026-07-01T10:00:00Z",
            json!({"at": "09:00", "time_zone": "Asia/Tokyo"}),
            BERLIN,
            Some("2026-07-02T07:00:00Z"),
        ),
    ];
    for (now, config, zone, expected) in cases {
        let shown = format!("{config} at {now}");
        assert_eq!(until(now, config, zone, "", None).as_deref(), expected, "{shown}");
    }
}

#[test]
fn a_date_of_the_contact_is_moved_into_the_window() {
    let config =
        json!({"date": "contact.renewal_date", "at": "09:00", "between": "08:00-18:00", "days": "mon-fri"});
    let wait = |date| until("2026-07-01T10:00:00Z", config.clone(), Some("America/New_York"), "", date);
    // The 24th of December 2026 is a Thursday, the 26th a Saturday; New York is five hours behind in winter.
    assert_eq!(wait(Some("2026-12-24T00:00:00Z")).as_deref(), Some("2026-12-24T14:00:00Z"));
    assert_eq!(wait(Some("2026-12-26T00:00:00Z")).as_deref(), Some("2026-12-28T13:00:00Z"));
    assert_eq!(wait(None), None);
}

#[test]
fn holidays_close_the_window() {
    const DAYS: &str = "2026-12-25 2026-12-26 2027-01-01";
    let office = json!({"between": "09:00-17:00", "days": "mon-fri", "holidays": "DE"});
    let wait = |now, config: &Value, days| until(now, config.clone(), BERLIN, days, None);
    // Friday the 25th is a holiday, and then comes the weekend.
    assert_eq!(wait("2026-12-24T16:30:00Z", &office, DAYS).as_deref(), Some("2026-12-28T08:00:00Z"));
    assert_eq!(wait("2026-12-25T09:00:00Z", &office, DAYS).as_deref(), Some("2026-12-28T08:00:00Z"));
    assert_eq!(wait("2026-12-24T15:30:00Z", &office, DAYS), None, "Christmas Eve is none");
    assert_eq!(wait("2026-12-24T16:30:00Z", &office, "").as_deref(), Some("2026-12-25T08:00:00Z"));
    // Alone, they keep a wait from ending on them: the 27th begins at midnight in Berlin.
    let alone = json!({"for": "1d", "holidays": "DE"});
    assert_eq!(wait("2026-12-24T12:00:00Z", &alone, DAYS).as_deref(), Some("2026-12-26T23:00:00Z"));
    assert_eq!(wait("2026-12-23T12:00:00Z", &alone, DAYS).as_deref(), Some("2026-12-24T12:00:00Z"));
    // The night that begins on the day before is open into the holiday.
    let night = json!({"between": "20:00-08:00", "holidays": "DE"});
    assert_eq!(wait("2026-12-25T03:00:00Z", &night, DAYS), None);
    assert_eq!(wait("2026-12-25T10:00:00Z", &night, DAYS).as_deref(), Some("2026-12-27T19:00:00Z"));
    // Where every Friday for a year is one, it is the next after that.
    let fridays = json!({"days": "fri", "holidays": "x"});
    let first = "2026-07-03".parse::<jiff_bundled::civil::Date>().unwrap();
    let all: Vec<String> =
        (0..52).map(|week| (first + jiff_bundled::Span::new().weeks(week)).to_string()).collect();
    assert_eq!(
        wait("2026-07-01T10:00:00Z", &fridays, &all.join(" ")).as_deref(),
        Some("2027-07-01T22:00:00Z")
    );
}

#[test]
fn a_wait_that_holidays_move_says_so() {
    let config = json!({"for": "1d", "days": "mon-fri", "holidays": "DE"});
    let bench = Bench::<Wait>::new(config).now_ms(ms("2026-12-24T12:00:00Z"));
    let bench =
        bench.column("contact.time_zone", [BERLIN, BERLIN]).column("/holidays", [Some("2026-12-25"), None]);
    let answer = bench.run().unwrap().to_string();
    let lines: Vec<&str> = answer.lines().collect();
    assert!(
        lines.first().unwrap().ends_with("waits until 2026-12-28 00:00 Europe/Berlin, because of holidays"),
        "{answer}"
    );
    assert!(lines.get(1).unwrap().ends_with("waits 1 day, until 2026-12-25 13:00 Europe/Berlin"), "{answer}");
}
