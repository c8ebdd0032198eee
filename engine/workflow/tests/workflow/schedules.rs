//! The times of schedules against two other libraries: croner for cron, chrono-tz for the clocks of the world.

use chrono::{Datelike as _, Days, NaiveDate, Offset as _, TimeZone as _, offset::LocalResult};
use chrono_tz::Tz;
use dripline_workflow::schedule::Schedule;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use proptest::prelude::*;

/// Zones of all kinds: both hemispheres, none and half an hour of daylight saving, odd offsets, changes at midnight, a day that
/// was left out.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Istanbul",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Asuncion",
    "America/Phoenix",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Africa/Casablanca",
];

/// Every time of a schedule from the start of a year to its end, by UTC.
fn times(cron: &str, zone: &str, year: i32) -> Vec<i64> {
    let schedule = Schedule::parse(cron, zone).unwrap();
    let (from, to) = (start_of(year), start_of(year + 1));
    let after = Timestamp::from_second(from - 1).unwrap();
    std::iter::successors(schedule.next_after(after), |at| schedule.next_after(*at))
        .map(Timestamp::as_second)
        .take_while(|at| *at < to)
        .collect()
}

fn start_of(year: i32) -> i64 {
    NaiveDate::from_ymd_opt(year, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp()
}

/// What people expect of a daily time, worked out with chrono-tz: a time that is left out comes as much later as the clocks
/// were set forward, that is by the clock of before; one that comes twice, the first time.
fn expected(hour: u32, minute: u32, zone: &str, year: i32) -> Vec<i64> {
    let zone: Tz = zone.parse().unwrap();
    let first = NaiveDate::from_ymd_opt(year, 1, 1).unwrap() - Days::new(2);
    let mut times: Vec<i64> = first
        .iter_days()
        .take_while(|day| day.year() <= year || day.ordinal() < 3)
        .map(|day| {
            let local = day.and_hms_opt(hour, minute, 0).unwrap();
            match zone.from_local_datetime(&local) {
                LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.timestamp(),
                LocalResult::None => {
                    let before = zone.offset_from_utc_datetime(&(local - Days::new(2))).fix();
                    local.and_utc().timestamp() - i64::from(before.local_minus_utc())
                }
            }
        })
        .filter(|at| (start_of(year)..start_of(year + 1)).contains(at))
        .collect();
    times.sort_unstable();
    times.dedup();
    times
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_daily_time_is_what_another_library_says_in_every_zone_and_year(
        zone in prop::sample::select(ZONES),
        year in 1990..2025_i32,
        // Mostly the hours in which clocks are set.
        hour in prop_oneof![3 => 0..4_u32, 1 => 0..24_u32],
        minute in 0..60_u32,
    ) {
        let cron = format!("{minute} {hour} * * *");
        prop_assert_eq!(times(&cron, zone, year), expected(hour, minute, zone, year), "{} {} {}", cron, zone, year);
    }

    /// Around the days on which clocks are set croner decides otherwise; between them it has to agree.
    #[test]
    fn times_away_from_the_setting_of_clocks_are_those_of_croner(
        zone in prop::sample::select(ZONES),
        start in 1_000_000_000_i64..1_700_000_000,
        minute in 0..60_u32,
        hours in (0..24_u32, 0..24_u32),
        day in prop_oneof![Just(("*", "*")), Just(("*", "1-5")), Just(("13", "*")), Just(("*/5", "*")), Just(("*", "0,6"))],
        month in prop_oneof![Just("*"), Just("2"), Just("*/3")],
    ) {
        let cron = format!("{minute} {},{} {} {month} {}", hours.0, hours.1, day.0, day.1);
        let schedule = Schedule::parse(&cron, zone).unwrap();
        let oracle: croner::Cron = cron.parse().unwrap();
        let tz = TimeZone::get(zone).unwrap();
        let mut ours = Timestamp::from_second(start).unwrap();
        for _ in 0..20 {
            let days = SignedDuration::from_hours(48);
            let is_set = tz.following(ours - days).next().is_some_and(|set| set.timestamp() < ours + days);
            let theirs = oracle.find_next_occurrence(&ours.to_zoned(tz.clone()), false).unwrap();
            let next = schedule.next_after(ours).unwrap();
            let is_set_then = tz.following(next - days).next().is_some_and(|set| set.timestamp() < next + days);
            if !is_set && !is_set_then {
                prop_assert_eq!(next.as_second(), theirs.timestamp().as_second(), "{} {} after {}", cron, zone, ours);
            }
            ours = next;
        }
    }
}
