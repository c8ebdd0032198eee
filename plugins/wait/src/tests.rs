use dripline_sdk::testing::{Answer, Bench, manifest};
use insta::assert_snapshot;
use jiff_bundled::Timestamp;
use serde_json::{Value, json};

use crate::Wait;

fn ms(at: &str) -> i64 {
    at.parse::<Timestamp>().unwrap().as_millisecond()
}

/// The answer for contacts of these zones, with instants in place of milliseconds.
fn wait(now: &str, config: Value, zones: &[Option<&str>]) -> String {
    let bench = Bench::<Wait>::new(config).now_ms(ms(now));
    show(&bench.column("contact.time_zone", zones.iter().copied()).run().unwrap())
}

fn show(answer: &Answer) -> String {
    let instant = |word: &str| match word.trim_end_matches(':').parse() {
        Ok(ms) if ms > 1_000_000_000_000 => Timestamp::from_millisecond(ms).unwrap().to_string() + ":",
        _ => word.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(instant).collect::<Vec<_>>().join(" ");
    answer.to_string().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn days_are_calendar_days_where_the_contact_is() {
    // Daylight saving begins in Berlin on 31 March and has begun in New York on 10 March.
    let zones = [Some("Europe/Berlin"), Some("America/New_York"), Some("Asia/Kolkata")];
    assert_snapshot!(wait("2024-03-30T08:00:00Z", json!({"for": "3d"}), &zones), @r"
    0 waits until 2024-04-02T07:00:00Z: waits 3 days, until 2024-04-02 09:00 Europe/Berlin
    1 waits until 2024-04-02T08:00:00Z: waits 3 days, until 2024-04-02 04:00 America/New_York
    2 waits until 2024-04-02T08:00:00Z: waits 3 days, until 2024-04-02 13:30 Asia/Kolkata
    ");
    assert_snapshot!(wait("2024-03-30T08:00:00Z", json!({"for": "72h"}), &zones[..1]), @"0 waits until 2024-04-02T08:00:00Z: waits 72 hours, until 2024-04-02 10:00 Europe/Berlin");
    assert_snapshot!(wait("2024-01-31T08:00:00Z", json!({"for": "1 month 2h 30m"}), &zones[..1]), @"0 waits until 2024-02-29T10:30:00Z: waits 1 month 2 hours 30 minutes, until 2024-02-29 11:30 Europe/Berlin");
}

#[test]
fn a_local_time_that_is_skipped_comes_later_and_one_that_is_repeated_comes_first() {
    let berlin = [Some("Europe/Berlin")];
    assert_snapshot!(wait("2024-03-01T00:00:00Z", json!({"until": "2024-03-31T02:30"}), &berlin), @"0 waits until 2024-03-31T01:30:00Z: waits until 2024-03-31 03:30 Europe/Berlin");
    assert_snapshot!(wait("2024-10-01T00:00:00Z", json!({"until": "2024-10-27T02:30"}), &berlin), @"0 waits until 2024-10-27T00:30:00Z: waits until 2024-10-27 02:30 Europe/Berlin");
    assert_snapshot!(wait("2024-03-30T01:30:00Z", json!({"for": "1d"}), &berlin), @"0 waits until 2024-03-31T01:30:00Z: waits 1 day, until 2024-03-31 03:30 Europe/Berlin");
    assert_snapshot!(wait("2024-03-30T23:00:00Z", json!({"weekday": "sunday", "at": "02:30"}), &berlin), @"0 waits until 2024-03-31T01:30:00Z: waits until 2024-03-31 03:30 Europe/Berlin");
}

#[test]
fn without_a_valid_zone_the_fallback_is_taken_and_named() {
    let zones = [None, Some("Mars/Olympus_Mons"), Some("europe/berlin")];
    assert_snapshot!(wait("2024-03-01T00:00:00Z", json!({"for": "1d"}), &zones), @r"
    0 waits until 2024-03-02T00:00:00Z: waits 1 day, until 2024-03-02 00:00 UTC (the contact has no time zone)
    1 waits until 2024-03-02T00:00:00Z: waits 1 day, until 2024-03-02 00:00 UTC (`Mars/Olympus_Mons` is not a time zone)
    2 waits until 2024-03-02T00:00:00Z: waits 1 day, until 2024-03-02 01:00 Europe/Berlin
    ");
    let config = json!({"for": "1d", "time_zone": "Asia/Tokyo"});
    assert_snapshot!(wait("2024-03-01T00:00:00Z", config, &zones[..2]), @r"
    0 waits until 2024-03-02T00:00:00Z: waits 1 day, until 2024-03-02 09:00 Asia/Tokyo (the contact has no time zone)
    1 waits until 2024-03-02T00:00:00Z: waits 1 day, until 2024-03-02 09:00 Asia/Tokyo (`Mars/Olympus_Mons` is not a time zone)
    ");
}

#[test]
fn the_weekday_is_the_next_one_strictly_after_now() {
    // 4 March 2024 is a Monday; 09:00 in Berlin is 08:00 UTC.
    let (monday, berlin) = (json!({"weekday": "monday", "at": "09:00"}), [Some("Europe/Berlin")]);
    assert_snapshot!(wait("2024-03-04T07:59:59Z", monday.clone(), &berlin), @"0 waits until 2024-03-04T08:00:00Z: waits until 2024-03-04 09:00 Europe/Berlin");
    assert_snapshot!(wait("2024-03-04T08:00:00Z", monday.clone(), &berlin), @"0 waits until 2024-03-11T08:00:00Z: waits until 2024-03-11 09:00 Europe/Berlin");
    // In Auckland it is Monday already.
    assert_snapshot!(wait("2024-03-03T20:30:00Z", monday, &[Some("Pacific/Auckland")]), @"0 waits until 2024-03-10T20:00:00Z: waits until 2024-03-11 09:00 Pacific/Auckland");
    assert_snapshot!(wait("2024-03-04T00:00:00Z", json!({"weekday": "sunday"}), &[Some("UTC")]), @"0 waits until 2024-03-10T00:00:00Z: waits until 2024-03-10 00:00 UTC");
}

#[test]
fn a_date_of_the_contact_is_a_day_where_the_contact_is_or_a_point_in_time() {
    let config = json!({"date": "contact.renewal_date", "at": "09:00"});
    let dates = [
        Some(ms("2024-05-01T00:00:00Z")),
        Some(ms("2024-05-01T22:30:00Z")),
        Some(ms("2024-02-01T00:00:00Z")),
        None,
    ];
    let run = |config: Value| {
        let bench = Bench::<Wait>::new(config).now_ms(ms("2024-03-01T00:00:00Z"));
        show(
            &bench
                .column("contact.time_zone", dates.map(|_| Some("Europe/Berlin")))
                .column("/date", dates)
                .run()
                .unwrap(),
        )
    };
    assert_snapshot!(run(config), @r"
    0 waits until 2024-05-01T07:00:00Z: waits until 2024-05-01 09:00 Europe/Berlin
    1 waits until 2024-05-02T07:00:00Z: waits until 2024-05-02 09:00 Europe/Berlin
    2 proceeds: does not wait: 2024-02-01 09:00 Europe/Berlin is past
    3 proceeds: there is no date to wait for
    ");
    assert_snapshot!(run(json!({"date": "contact.renewal_date"})), @r"
    0 waits until 2024-04-30T22:00:00Z: waits until 2024-05-01 00:00 Europe/Berlin
    1 waits until 2024-05-01T22:30:00Z: waits until 2024-05-02 00:30 Europe/Berlin
    2 proceeds: does not wait: 2024-02-01 00:00 Europe/Berlin is past
    3 proceeds: there is no date to wait for
    ");
}

#[test]
fn a_time_that_is_past_does_not_wait() {
    let zones = [Some("Europe/London"), Some("Pacific/Auckland")];
    assert_snapshot!(wait("2024-12-24T00:00:00Z", json!({"until": "2024-12-24T09:00"}), &zones), @r"
    0 waits until 2024-12-24T09:00:00Z: waits until 2024-12-24 09:00 Europe/London
    1 proceeds: does not wait: 2024-12-24 09:00 Pacific/Auckland is past
    ");
}

#[test]
fn a_wait_past_the_end_of_time_fails_with_its_reason() {
    assert_snapshot!(wait("2024-12-24T00:00:00Z", json!({"for": "9000y"}), &[Some("UTC")]), @"0 fails: the time to wait for is beyond the years that a calendar has (-9999 to 9999)");
}

#[test]
fn a_time_alone_is_the_next_such_time() {
    let zones = [Some("Europe/Berlin"), Some("America/New_York")];
    assert_snapshot!(wait("2024-03-04T08:00:00Z", json!({"at": "09:00"}), &zones), @r"
    0 proceeds: does not wait: 2024-03-04 09:00 Europe/Berlin is now
    1 waits until 2024-03-04T14:00:00Z: waits until 2024-03-04 09:00 America/New_York
    ");
}

#[test]
fn a_wait_ends_within_its_window_or_at_the_next_opening() {
    // 1 March 2024 is a Friday; Berlin is an hour ahead.
    let berlin = [Some("Europe/Berlin")];
    let office = |mut config: Value| {
        config["between"] = json!("09:00-17:00");
        config["days"] = json!("mon-fri");
        wait("2024-03-01T07:00:00Z", config, &berlin)
    };
    assert_snapshot!(office(json!({"for": "3h"})), @"0 waits until 2024-03-01T10:00:00Z: waits 3 hours, until 2024-03-01 11:00 Europe/Berlin");
    assert_snapshot!(office(json!({"for": "30m"})), @"0 waits until 2024-03-01T08:00:00Z: waits until 2024-03-01 09:00 Europe/Berlin");
    assert_snapshot!(office(json!({"for": "9h"})), @"0 waits until 2024-03-04T08:00:00Z: waits until 2024-03-04 09:00 Europe/Berlin");
    assert_snapshot!(office(json!({"for": "1d"})), @"0 waits until 2024-03-04T08:00:00Z: waits until 2024-03-04 09:00 Europe/Berlin");
    assert_snapshot!(office(json!({})), @"0 waits until 2024-03-01T08:00:00Z: waits until 2024-03-01 09:00 Europe/Berlin");
    let open = json!({"between": "09:00-17:00", "days": "mon-fri"});
    assert_snapshot!(wait("2024-03-01T15:59:59Z", open.clone(), &berlin), @"0 proceeds: does not wait: 2024-03-01 16:59 Europe/Berlin is a time that fits");
    assert_snapshot!(wait("2024-03-01T16:00:00Z", open, &berlin), @"0 waits until 2024-03-04T08:00:00Z: waits until 2024-03-04 09:00 Europe/Berlin");
    // Over midnight: the opening belongs to the day on which it begins.
    let night = json!({"between": "20:00-08:00", "days": "fri"});
    assert_snapshot!(wait("2024-03-02T06:00:00Z", night.clone(), &berlin), @"0 proceeds: does not wait: 2024-03-02 07:00 Europe/Berlin is a time that fits");
    assert_snapshot!(wait("2024-03-02T07:00:00Z", night, &berlin), @"0 waits until 2024-03-08T19:00:00Z: waits until 2024-03-08 20:00 Europe/Berlin");
    assert_snapshot!(wait("2024-03-02T07:00:00Z", json!({"days": "sun, tue-wed"}), &berlin), @"0 waits until 2024-03-02T23:00:00Z: waits until 2024-03-03 00:00 Europe/Berlin");
}

#[test]
fn an_opening_that_spring_swallows_is_none_and_one_that_autumn_repeats_is_one() {
    let berlin = [Some("Europe/Berlin")];
    let config = json!({"between": "02:00-03:00"});
    assert_snapshot!(wait("2024-03-30T22:00:00Z", config.clone(), &berlin), @"0 waits until 2024-04-01T00:00:00Z: waits until 2024-04-01 02:00 Europe/Berlin");
    let config = json!({"between": "02:00-03:00", "spread": "3h"});
    assert_snapshot!(wait("2024-10-26T22:00:00Z", config, &berlin), @"0 waits until 2024-10-27T01:45:59.837Z: waits until 2024-10-27 02:00 Europe/Berlin, spread over 2 hours");
}

#[test]
fn a_thousand_are_spread_evenly_and_the_same_way_each_time() {
    let config = json!({"for": "1d", "spread": "2h"});
    let spread = |config: &Value, now: &str| -> Vec<i64> {
        let bench = Bench::<Wait>::new(config.clone()).now_ms(ms(now));
        let answer = bench.column("contact.time_zone", vec![Some("UTC"); 1000]).run().unwrap().to_string();
        let until = |line: &str| line.split([' ', ':']).nth(3).unwrap().parse::<i64>().unwrap();
        answer.lines().map(until).collect()
    };
    let (first, last) = (ms("2024-03-02T00:00:00Z"), ms("2024-03-02T02:00:00Z"));
    let all = spread(&config, "2024-03-01T00:00:00Z");
    assert_eq!(all, spread(&config, "2024-03-01T00:00:00Z"));
    let mut quarters = [0; 8];
    for at in all {
        assert!((first..last).contains(&at));
        quarters[((at - first) / 900_000) as usize] += 1;
    }
    assert!(quarters.iter().all(|count| (85..=165).contains(count)), "{quarters:?}");
    // Never past the end of the window.
    let config = json!({"between": "09:00-17:00", "spread": "2h"});
    let late = spread(&config, "2024-03-01T16:30:00Z");
    assert!(late.iter().all(|at| (ms("2024-03-01T16:30:00Z")..ms("2024-03-01T17:00:00Z")).contains(at)));
    // All days are open: what is spread goes on past midnight.
    let config = json!({"days": "mon-sun", "spread": "2h"});
    let over = spread(&config, "2024-03-01T23:00:00Z");
    assert!(over.iter().any(|at| *at > ms("2024-03-02T00:30:00Z")));
}

#[test]
fn what_the_schema_cannot_say_is_checked() {
    let check = |config| Bench::<Wait>::new(config).check();
    assert_snapshot!(check(json!({})), @": nothing to wait for; write one of `for`, `until`, `date`, `weekday`, `at` and `between`");
    assert_snapshot!(check(json!({"for": "3d", "weekday": "monday"})), @": more than one of `for`, `until`, `date` and `weekday` is given; make a step of each");
    assert_snapshot!(check(json!({"for": "soon"})), @"/for: `soon` is not a duration; write for example 30m, 4h, 3d or 2w");
    assert_snapshot!(check(json!({"for": "0s"})), @"/for: `0s` is no time to wait; write for example 30m, 4h, 3d or 2w");
    assert_snapshot!(check(json!({"for": "3d", "at": "09:00"})), @"/at: `at` goes with `date` and `weekday`, or stands alone");
    assert_snapshot!(check(json!({"until": "2026-12-24T09:00Z"})), @"/until: `2026-12-24T09:00Z` is not a date and time; write for example 2026-12-24T09:00; the time zone is the contact's");
    assert_snapshot!(check(json!({"until": "2026-13-24"})), @"/until: `2026-13-24` is not a date and time; write for example 2026-12-24T09:00; the time zone is the contact's");
    assert_snapshot!(check(json!({"weekday": "monday", "at": "nine"})), @r#"/at: `nine` is not a time of day; write for example "09:00""#);
    assert_snapshot!(check(json!({"weekday": "noday"})), @": unknown variant `noday`, expected one of `monday`, `tuesday`, `wednesday`, `thursday`, `friday`, `saturday`, `sunday` at line 1 column 18");
    assert_snapshot!(check(json!({"for": "3d", "time_zone": "Berlin"})), @"/time_zone: `Berlin` is not a time zone; write for example Europe/Berlin");
    assert_snapshot!(check(json!({"date": "contact.renewal_date", "at": "09:00"})), @"");
    assert_snapshot!(check(json!({"between": "9-5pm"})), @r#"
    /between: `9-5pm` is not two times of day; write for example "09:00-17:00"; "20:00-08:00" goes over midnight
    "#);
    assert_snapshot!(check(json!({"between": "09:00-09:00"})), @r#"
    /between: `09:00-09:00` ends as it begins; write for example "09:00-17:00"; "20:00-08:00" goes over midnight
    "#);
    assert_snapshot!(check(json!({"days": "mon-fri, funday"})), @"/days: `funday` is no day of the week; write for example mon-fri or sat,sun");
    assert_snapshot!(check(json!({"for": "1d", "spread": "8d"})), @"/spread: `8d` is too long; write for example 30m or 2h, at most 7 days");
    assert_snapshot!(check(json!({"for": "1d", "spread": "soon"})), @"/spread: `soon` is not a duration; write for example 30m, 4h, 3d or 2w");
}

#[test]
fn the_manifest_changes_only_on_purpose() {
    assert_snapshot!(manifest::<Wait>(), @r#"
    {
      "name": "wait",
      "summary": "Waits for a while, until a date, a weekday or a time of day, by the contact's own clock.",
      "outputs": [],
      "reads": [
        "contact.time_zone as ColumnType::Text: waits by the contact's own clock"
      ],
      "effects": [],
      "state": "StateScope::None",
      "may_wait": true,
      "config": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "for": {
            "type": "string",
            "x-dripline": {
              "kind": "duration"
            },
            "description": "For how long: `3d`, `2h 30m`. Days keep the time of day, also where daylight saving changes."
          },
          "until": {
            "type": "string",
            "description": "Until this date and time where the contact is: `2026-12-24T09:00`.",
            "x-dripline": {
              "kind": "local-time"
            }
          },
          "date": {
            "type": "string",
            "x-dripline": {
              "kind": "cel",
              "result": "timestamp"
            },
            "description": "Until the date that this expression gives: `contact.renewal_date`. A point in time counts as it is; a date alone\nmeans that day where the contact is."
          },
          "weekday": {
            "type": "string",
            "enum": [
              "monday",
              "tuesday",
              "wednesday",
              "thursday",
              "friday",
              "saturday",
              "sunday"
            ],
            "description": "Until the next such day of the week, at `at`."
          },
          "at": {
            "type": "string",
            "description": "The time of day where the contact is: `09:00`. For `date` and `weekday`; without it the day's first moment, or the\nexact point in time of `date`. Alone: until it is this time."
          },
          "between": {
            "type": "string",
            "description": "Ends between these times of day where the contact is: `09:00-17:00`. What would end outside ends at the next opening."
          },
          "days": {
            "type": "string",
            "description": "Ends on these days of the week: `mon-fri`, `sat,sun`. What would end on another day ends at the next opening."
          },
          "holidays": {
            "type": "string",
            "x-dripline": {
              "kind": "holidays"
            },
            "description": "Ends on no holiday of these calendars: those of a country (`DE`), of the country in which the contact lives (`contact`), or\nof your own (`holidays.yaml`); several with commas between. What would end on one ends at the next opening."
          },
          "spread": {
            "type": "string",
            "x-dripline": {
              "kind": "duration"
            },
            "description": "Spreads the contacts evenly over this time from the end on, never past the end of `between`: `2h`.",
            "x-dripline-also": [
              "jitter"
            ]
          },
          "time_zone": {
            "type": "string",
            "description": "The time zone of contacts for whom nothing says one: `Europe/Berlin`. Without it the workspace's.",
            "x-dripline": {
              "kind": "time-zone"
            }
          }
        },
        "description": "Waits, by the clock of the contact's time zone. At most one of `for`, `until`, `date` and `weekday`; `between`, `days`,\n`holidays` and `spread` move its end, and may stand alone.",
        "x-dripline-shorthand": "for",
        "title": "Wait",
        "$schema": "https://json-schema.org/draft/2020-12/schema"
      }
    }
    "#);
}
