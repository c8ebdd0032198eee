//! Times of a five-field cron expression in a time zone.
//!
//! The fields are parsed by the `cron` crate, one at a time; when the times come is worked out here, because that crate
//! counts the days of the week from Sunday = 1, wants seconds, joins the two day fields with *and*, and loses a job in
//! the hour that spring skips. What people expect instead (cron(5), crontab(5)):
//!
//! - five fields; in the day of the week 1 is Monday, 0 and 7 are Sunday;
//! - where both day fields are restricted, a day that fits either is meant;
//! - a time that daylight saving skips comes as much later as the clock was set forward: 02:30 becomes 03:30;
//! - a time that daylight saving repeats comes once, the first time; but a schedule that runs in every hour of the day
//!   runs in both of the repeated hours, so that "every ten minutes" stays that.

use std::{collections::BTreeSet, fmt};

use cron::TimeUnitSpec;
use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::{AmbiguousOffset, TimeZone},
};

/// When a scheduled workflow starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
    days_of_month: BTreeSet<i8>,
    months: BTreeSet<i8>,
    /// Monday is 1, Sunday 7.
    days_of_week: BTreeSet<i8>,
    /// Whether a day has to fit both day fields, because one of them begins with `*`.
    both_days: bool,
    zone: TimeZone,
}

/// Days that are searched for the next time: the rarest, 29 February on one day of the week, comes within 40 years.
const SEARCHED_DAYS: u32 = 41 * 366;

/// The time zone of this IANA name.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("there is no time zone `{name}`"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minute => "minute (0-59)",
            Self::Hour => "hour (0-23)",
            Self::DayOfMonth => "day of the month (1-31)",
            Self::Month => "month (1-12 or jan-dec)",
            Self::DayOfWeek => "day of the week (0-7 or sun-sat)",
        })
    }
}

impl Schedule {
    /// Reads a cron expression of five fields, in the time zone of this IANA name.
    ///
    /// # Errors
    /// A sentence that says what is wrong; also for a time that never comes, such as 31 February.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, String> {
        let zone = self::zone(zone)?;
        let fields: Vec<&str> = cron.split_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields.as_slice() else {
            return Err(format!("`{cron}` has {} fields; a schedule has five", fields.len()));
        };
        let starred = |field: &str| field.starts_with('*');
        let schedule = Self {
            minutes: values(Field::Minute, minute)?,
            hours: values(Field::Hour, hour)?,
            days_of_month: values(Field::DayOfMonth, day_of_month)?,
            months: values(Field::Month, month)?,
            days_of_week: values(Field::DayOfWeek, &weekdays(day_of_week)?)?
                .into_iter()
                // The crate's Sunday is 1.
                .map(|day| if day == 1 { 7 } else { day - 1 })
                .collect(),
            both_days: starred(day_of_month) || starred(day_of_week),
            zone,
        };
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(format!("`{cron}` never comes: no such day is in the calendar")),
        }
    }

    /// The first instant of the schedule after `after`.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        // A skipped time may come on the day after its own.
        let mut date = after.to_zoned(self.zone.clone()).date().yesterday().ok()?;
        for _ in 0..SEARCHED_DAYS {
            if self.has_day(date)
                && let Some(found) = self.instants(date).find(|instant| *instant > after)
            {
                return Some(found);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let by_month = self.days_of_month.contains(&date.day());
        let by_week = self.days_of_week.contains(&date.weekday().to_monday_one_offset());
        let fits = if self.both_days { by_month && by_week } else { by_month || by_week };
        fits && self.months.contains(&date.month())
    }

    /// The instants of a day, in their order.
    fn instants(&self, date: Date) -> impl Iterator<Item = Timestamp> {
        let mut instants = BTreeSet::new();
        for (hour, minute) in
            self.hours.iter().flat_map(|hour| self.minutes.iter().map(move |minute| (*hour, *minute)))
        {
            let Ok(time) = Time::new(hour, minute, 0, 0) else { continue };
            let ambiguous = self.zone.to_ambiguous_timestamp(date.to_datetime(time));
            // "Compatible" is: skipped times later by as much as was skipped, repeated ones at the first.
            instants.extend(ambiguous.compatible());
            if self.hours.len() == 24 && matches!(ambiguous.offset(), AmbiguousOffset::Fold { .. }) {
                instants.extend(ambiguous.later());
            }
        }
        instants.into_iter()
    }
}

/// The values of one field.
fn values(field: Field, text: &str) -> Result<BTreeSet<i8>, String> {
    let wrong = || format!("`{text}` is no {field}");
    let known = |character: char| character.is_ascii_alphanumeric() || "*,-/".contains(character);
    if !text.chars().all(known) {
        return Err(wrong());
    }
    let whole = match field {
        Field::Minute => format!("0 {text} * * * *"),
        Field::Hour => format!("0 0 {text} * * *"),
        Field::DayOfMonth => format!("0 0 0 {text} * *"),
        Field::Month => format!("0 0 0 * {text} *"),
        Field::DayOfWeek => format!("0 0 0 * * {text}"),
    };
    let schedule: cron::Schedule = whole.parse().map_err(|_| wrong())?;
    let ordinals: Vec<u32> = match field {
        Field::Minute => schedule.minutes().iter().collect(),
        Field::Hour => schedule.hours().iter().collect(),
        Field::DayOfMonth => schedule.days_of_month().iter().collect(),
        Field::Month => schedule.months().iter().collect(),
        Field::DayOfWeek => schedule.days_of_week().iter().collect(),
    };
    Ok(ordinals.into_iter().filter_map(|ordinal| i8::try_from(ordinal).ok()).collect())
}

/// The day-of-week field with the numbers that the crate means: 1 is Sunday, 7 is Saturday.
fn weekdays(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is no {}", Field::DayOfWeek);
    let mut days: BTreeSet<u32> = BTreeSet::new();
    for item in text.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?),
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (0, 6),
            Some((first, last)) => (weekday(first).ok_or_else(wrong)?, weekday(last).ok_or_else(wrong)?),
            // `2/2` is from Tuesday on.
            None if step > 1 => (weekday(range).ok_or_else(wrong)?, 6),
            None => weekday(range).map(|day| (day, day)).ok_or_else(wrong)?,
        };
        // `fri-sun` is written with names, where Sunday is 0, and ends with it.
        let last = if last == 0 && first > 0 { 7 } else { last };
        if first > last {
            return Err(wrong());
        }
        days.extend((first..=last).step_by(step).map(|day| day % 7 + 1));
    }
    let days: Vec<String> = days.iter().map(u32::to_string).collect();
    Ok(days.join(","))
}

/// Sunday is 0 or 7.
fn weekday(text: &str) -> Option<u32> {
    const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let name =
        NAMES.iter().position(|name| text.eq_ignore_ascii_case(name)).and_then(|day| u32::try_from(day).ok());
    name.or_else(|| text.parse().ok().filter(|day| *day <= 7))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first `count` times after `after`, in the zone's wall-clock time.
    fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(cron, zone).unwrap();
        let first: Timestamp = after.parse().unwrap();
        std::iter::successors(schedule.next_after(first), |at| schedule.next_after(*at))
            .take(count)
            .map(|at| at.to_zoned(schedule.zone.clone()).strftime("%a %m-%d %H:%M%:z").to_string())
            .collect()
    }

    #[test]
    fn monday_is_one_and_sunday_is_zero_and_seven() {
        assert_eq!(times("30 9 * * 1", "UTC", "2024-05-01T00:00:00Z", 1), ["Mon 05-06 09:30+00:00"]);
        for sunday in ["0", "7", "sun"] {
            assert_eq!(
                times(&format!("0 0 * * {sunday}"), "UTC", "2024-05-01T00:00:00Z", 1),
                ["Sun 05-05 00:00+00:00"]
            );
        }
        assert_eq!(
            times("0 0 * * fri-sun", "UTC", "2024-05-01T00:00:00Z", 4),
            [
                "Fri 05-03 00:00+00:00",
                "Sat 05-04 00:00+00:00",
                "Sun 05-05 00:00+00:00",
                "Fri 05-10 00:00+00:00"
            ]
        );
    }

    #[test]
    fn two_restricted_day_fields_mean_either() {
        assert_eq!(
            times("0 0 13 * 5", "UTC", "2024-05-01T00:00:00Z", 3),
            ["Fri 05-03 00:00+00:00", "Fri 05-10 00:00+00:00", "Mon 05-13 00:00+00:00"]
        );
    }

    #[test]
    fn a_skipped_time_comes_later_and_only_once() {
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00:00Z", 2),
            ["Sun 03-31 03:30+02:00", "Mon 04-01 02:30+02:00"]
        );
        assert_eq!(
            times("30 * * * *", "Europe/Berlin", "2024-03-31T00:00:00Z", 3),
            ["Sun 03-31 01:30+01:00", "Sun 03-31 03:30+02:00", "Sun 03-31 04:30+02:00"]
        );
        // The skipped hour moves past a later time of the same day; the order stays that of the instants.
        assert_eq!(
            times("0,30 2,3 * * *", "Europe/Berlin", "2024-03-30T12:00:00Z", 3),
            ["Sun 03-31 03:00+02:00", "Sun 03-31 03:30+02:00", "Mon 04-01 02:00+02:00"]
        );
    }

    #[test]
    fn a_repeated_time_comes_once_unless_every_hour_is_meant() {
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00:00Z", 2),
            ["Sun 10-27 02:30+02:00", "Mon 10-28 02:30+01:00"]
        );
        assert_eq!(
            times("*/30 * * * *", "Europe/Berlin", "2024-10-27T00:15:00Z", 4),
            [
                "Sun 10-27 02:30+02:00",
                "Sun 10-27 02:00+01:00",
                "Sun 10-27 02:30+01:00",
                "Sun 10-27 03:00+01:00"
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |cron: &str| Schedule::parse(cron, "UTC").unwrap_err();
        insta::assert_snapshot!(wrong("30 9 * *"), @"`30 9 * *` has 4 fields; a schedule has five");
        insta::assert_snapshot!(wrong("@daily"), @"`@daily` has 1 fields; a schedule has five");
        insta::assert_snapshot!(wrong("60 9 * * *"), @"`60` is no minute (0-59)");
        insta::assert_snapshot!(wrong("0 9 * * 8"), @"`8` is no day of the week (0-7 or sun-sat)");
        insta::assert_snapshot!(wrong("0 9 * foo *"), @"`foo` is no month (1-12 or jan-dec)");
        insta::assert_snapshot!(wrong("0 9 31 2 *"), @"`0 9 31 2 *` never comes: no such day is in the calendar");
        insta::assert_snapshot!(Schedule::parse("0 9 * * *", "Berlin").unwrap_err(), @"there is no time zone `Berlin`");
    }

    /// A field with values from `low` to `high`.
    fn field(low: u8, high: u8) -> impl Strategy<Value = String> {
        let range = (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
        prop_oneof![
            2 => Just("*".to_owned()),
            3 => (low..=high).prop_map(|value| value.to_string()),
            1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{a},{b}")),
            1 => range.clone(),
            1 => (range, 1..5_u8).prop_map(|(range, step)| format!("{range}/{step}")),
            1 => (2..7_u8).prop_map(|step| format!("*/{step}")),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Without daylight saving, croner is right; it joins a day field that begins with `*` differently, so that
        /// only one of the two is restricted here.
        #[test]
        fn ordinary_times_are_those_of_croner(
            minute in field(0, 59),
            hour in field(0, 23),
            day in prop_oneof![
                field(1, 28).prop_map(|day| (day, "*".to_owned())),
                field(0, 6).prop_map(|day| ("*".to_owned(), day)),
            ],
            month in field(1, 12),
            start in 1_600_000_000_i64..1_900_000_000,
        ) {
            let cron = format!("{minute} {hour} {} {month} {}", day.0, day.1);
            let schedule = Schedule::parse(&cron, "UTC").unwrap();
            let oracle: croner::Cron = cron.parse().unwrap();
            let mut ours = Timestamp::from_second(start).unwrap();
            let mut theirs = ours.to_zoned(TimeZone::UTC);
            for _ in 0..5 {
                ours = schedule.next_after(ours).unwrap();
                theirs = oracle.find_next_occurrence(&theirs, false).unwrap();
                prop_assert_eq!(ours.as_second(), theirs.timestamp().as_second(), "{}", cron);
            }
        }

        #[test]
        fn no_text_panics(text in "[-*/,0-9a-z ]{0,30}") {
            let _ = Schedule::parse(&text, "Europe/Berlin");
        }
    }
}
