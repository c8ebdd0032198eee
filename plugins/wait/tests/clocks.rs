//! Durations and windows against another library: chrono with chrono-tz, which shares no code with jiff.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use chrono::{
    DateTime, Datelike as _, Days, Duration, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeZone as _,
    Utc, offset::LocalResult,
};
use chrono_tz::Tz;
use dripline_plugin_wait::Wait;
use dripline_sdk::testing::Bench;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Zones of all kinds: both hemispheres, none and half an hour of daylight saving, odd offsets, changes at midnight.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Asuncion",
    "Asia/Kolkata",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Africa/Casablanca",
];

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// When the contact goes on; `None` where it does not wait.
fn waits_until(config: Value, now: i64, zone: &str) -> Option<i64> {
    let bench = Bench::<Wait>::new(config).now_ms(now * 1_000);
    let answer = bench.column("contact.time_zone", [Some(zone)]).run().unwrap().to_string();
    let until = answer.strip_prefix("0 waits until ")?;
    let (ms, _) = until.split_once(':').unwrap();
    Some(ms.parse::<i64>().unwrap() / 1_000)
}

/// The instant of a time by the clock: one that the clocks leave out comes as much later as they were set forward, that is by the
/// clock of before; of one that comes twice it is the first.
fn instant(zone: Tz, local: NaiveDateTime) -> i64 {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.timestamp(),
        LocalResult::None => {
            let before = zone.from_local_datetime(&(local - Duration::hours(25))).earliest().unwrap();
            local.and_utc().timestamp() - i64::from(before.offset().fix().local_minus_utc())
        }
    }
}

fn local(zone: Tz, at: i64) -> NaiveDateTime {
    DateTime::<Utc>::from_timestamp(at, 0).unwrap().with_timezone(&zone).naive_local()
}

/// The first opening that has not ended: when the wait ends at the earliest.
fn opening(zone: Tz, now: i64, from: NaiveTime, to: NaiveTime, days: &[bool; 7]) -> i64 {
    let today = local(zone, now).date();
    let openings = (today - Days::new(1))
        .iter_days()
        .take(16)
        .filter(|day| days[day.weekday().num_days_from_monday() as usize]);
    let instants = openings.map(|day: NaiveDate| {
        let last = if from < to { day } else { day + Days::new(1) };
        (instant(zone, day.and_time(from)), instant(zone, last.and_time(to)))
    });
    let found = instants.filter(|(from, to)| from < to).find(|(_, to)| *to > now);
    found.unwrap().0.max(now)
}

fn clock(minute: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(minute / 60, minute % 60, 0).unwrap()
}

/// Instants of twelve years, half of them in the months in which clocks are set. All of them are past: of the future the two
/// libraries may know different plans.
fn moments() -> impl Strategy<Value = i64> {
    let any = 1_388_534_400_i64..1_767_225_600;
    let changes =
        (2014..2026_i32, prop_oneof![Just(3_u32), Just(4), Just(9), Just(10), Just(11)], 0..30 * 86_400_i64);
    let changes = changes.prop_map(|(year, month, second)| {
        NaiveDate::from_ymd_opt(year, month, 1).unwrap().and_time(NaiveTime::MIN).and_utc().timestamp()
            + second
    });
    prop_oneof![any, changes]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn durations_go_by_the_contacts_calendar(
        now in moments(),
        zone in proptest::sample::select(ZONES),
        days in 0..40_u64,
        hours in 0..30_i64,
        minutes in 1..90_i64,
    ) {
        let tz: Tz = zone.parse().unwrap();
        // Whoever waits days waits until the same time by the clock; hours and minutes are as long as they are.
        let day = local(tz, now) + Days::new(days);
        let start = if days == 0 { now } else { instant(tz, day) };
        let expected = start + hours * 3_600 + minutes * 60;
        let found = waits_until(json!({"for": format!("{days}d {hours}h {minutes}m")}), now, zone);
        prop_assert_eq!(found, Some(expected));
    }

    #[test]
    fn windows_open_by_the_contacts_clock(
        now in moments(),
        zone in proptest::sample::select(ZONES),
        from in 0..1_440_u32,
        length in 1..1_440_u32,
        open in proptest::array::uniform7(any::<bool>()),
    ) {
        prop_assume!(open.contains(&true));
        let tz: Tz = zone.parse().unwrap();
        let (from, to) = (clock(from), clock((from + length) % 1_440));
        let names: Vec<&str> = DAYS.iter().zip(&open).filter_map(|(day, open)| open.then_some(*day)).collect();
        let config = json!({"between": format!("{}-{}", from.format("%H:%M"), to.format("%H:%M")), "days": names.join(",")});
        let expected = opening(tz, now, from, to, &open);
        let found = waits_until(config, now, zone);
        prop_assert_eq!(found.unwrap_or(now), expected);
        // And by the clock the moment is inside, but for the hours in which clocks are set.
        let time = local(tz, expected).time();
        let inside = if from < to { from <= time && time < to } else { time >= from || time < to };
        let is_set = [-7_200, 7_200].iter().any(|shift| {
            let offset = |at: i64| tz.offset_from_utc_datetime(&DateTime::<Utc>::from_timestamp(at, 0).unwrap().naive_utc()).fix();
            offset(expected + shift) != offset(expected)
        });
        prop_assert!(inside || is_set, "{time} is not in {from}-{to}");
    }

    #[test]
    fn times_of_day_come_by_the_contacts_clock(
        now in moments(),
        zone in proptest::sample::select(ZONES),
        minute in 0..1_440_u32,
    ) {
        let tz: Tz = zone.parse().unwrap();
        let today = local(tz, now).date();
        let at = |day: NaiveDate| instant(tz, day.and_time(clock(minute)));
        let expected = if at(today) >= now { at(today) } else { at(today + Days::new(1)) };
        let found = waits_until(json!({"at": clock(minute).format("%H:%M").to_string()}), now, zone);
        prop_assert_eq!(found.unwrap_or(now), expected);
    }
}
