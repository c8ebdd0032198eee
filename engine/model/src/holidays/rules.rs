//! The rules of the countries' holidays: the law as it stands in 2026, for the whole of a country. Checked against another
//! library by `tests/holidays.rs`.

use std::collections::BTreeSet;

use jiff::{
    ToSpan as _,
    civil::{Date, Weekday},
};

use super::easter;

/// When a holiday is, and from which year on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    day: Day,
    since: i16,
}

#[derive(Debug, Clone, Copy)]
enum Day {
    /// The same day of each year: month, day.
    Fixed(i8, i8),
    /// The same, unless it is a Sunday: each region then chooses another.
    UnlessSunday(i8, i8),
    /// So many days after Easter Sunday.
    Easter(i32),
    /// The first such weekday from that day on.
    From(Weekday, i8, i8),
    /// The same day of each year; where that is a Saturday the Friday before too, and where it is a Sunday the Monday after.
    OrNearest(i8, i8),
    /// The same day of each year; where that is on a weekend the Monday after too.
    OrMonday(i8, i8),
    /// The 25th and 26th of December, and as many of the next workdays as of them are on a weekend.
    ChristmasAndBoxing,
    /// The 27th of April, or the day before a Sunday.
    DutchKing,
    /// The 1st of February where it is a Friday, else the first Monday of the month.
    SaintBrigid,
    /// In each fifth year.
    EveryFifthYear(i8, i8),
}

const fn fixed(month: i8, day: i8) -> Rule {
    Rule { day: Day::Fixed(month, day), since: 0 }
}

const fn easter_plus(days: i32) -> Rule {
    Rule { day: Day::Easter(days), since: 0 }
}

const fn from(weekday: Weekday, month: i8, day: i8) -> Rule {
    Rule { day: Day::From(weekday, month, day), since: 0 }
}

const fn rule(day: Day) -> Rule {
    Rule { day, since: 0 }
}

const fn since(since: i16, rule: Rule) -> Rule {
    Rule { since, ..rule }
}

impl Rule {
    /// Adds the days of a year. Some of them may be kept in the year before.
    pub(super) fn add(&self, year: i16, days: &mut BTreeSet<Date>) {
        if year < self.since {
            return;
        }
        let day = |month, day| Date::new(year, month, day).ok();
        let later = |day: Date, by: i32| day.checked_add(by.days()).ok();
        match self.day {
            Day::Fixed(month, number) => days.extend(day(month, number)),
            Day::UnlessSunday(month, number) => {
                days.extend(day(month, number).filter(|day| day.weekday() != Weekday::Sunday));
            }
            Day::Easter(by) => days.extend(easter(year).and_then(|easter| later(easter, by))),
            Day::From(weekday, month, number) => {
                days.extend(day(month, number).and_then(|day| on_or_after(day, weekday)));
            }
            Day::OrNearest(month, number) => {
                let Some(day) = day(month, number) else { return };
                days.insert(day);
                match day.weekday() {
                    Weekday::Saturday => days.extend(day.yesterday()),
                    Weekday::Sunday => days.extend(day.tomorrow()),
                    _ => {}
                }
            }
            Day::OrMonday(month, number) => {
                let Some(day) = day(month, number) else { return };
                days.insert(day);
                if is_weekend(day) {
                    days.extend(on_or_after(day, Weekday::Monday));
                }
            }
            Day::ChristmasAndBoxing => {
                let both = [day(12, 25), day(12, 26)].into_iter().flatten();
                let kept: Vec<Date> = both.collect();
                days.extend(&kept);
                let free = kept.iter().filter(|day| is_weekend(**day)).count();
                let next = kept.last().and_then(|day| day.tomorrow().ok());
                let workdays = std::iter::successors(next, |day| day.tomorrow().ok());
                days.extend(workdays.filter(|day| !is_weekend(*day)).take(free));
            }
            Day::DutchKing => {
                let Some(day) = day(4, 27) else { return };
                days.extend(if day.weekday() == Weekday::Sunday { day.yesterday().ok() } else { Some(day) });
            }
            Day::SaintBrigid => {
                let Some(day) = day(2, 1) else { return };
                let is_friday = day.weekday() == Weekday::Friday;
                days.extend(if is_friday { Some(day) } else { on_or_after(day, Weekday::Monday) });
            }
            Day::EveryFifthYear(month, number) => days.extend(day(month, number).filter(|_| year % 5 == 0)),
        }
    }
}

fn is_weekend(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

fn on_or_after(day: Date, weekday: Weekday) -> Option<Date> {
    if day.weekday() == weekday { Some(day) } else { day.nth_weekday(1, weekday).ok() }
}

/// By code, sorted.
pub(super) const COUNTRIES: &[(&str, &[Rule])] = &[
    (
        "AT",
        &[
            fixed(1, 1),
            fixed(1, 6),
            fixed(5, 1),
            fixed(8, 15),
            fixed(10, 26),
            fixed(11, 1),
            fixed(12, 8),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(1),
            easter_plus(39),
            easter_plus(50),
            easter_plus(60),
        ],
    ),
    (
        "AU",
        &[
            fixed(1, 1),
            fixed(1, 26),
            fixed(4, 25),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(-2),
            easter_plus(1),
        ],
    ),
    (
        "BE",
        &[
            fixed(1, 1),
            fixed(5, 1),
            fixed(7, 21),
            fixed(8, 15),
            fixed(11, 1),
            fixed(11, 11),
            fixed(12, 25),
            easter_plus(0),
            easter_plus(1),
            easter_plus(39),
            easter_plus(49),
            easter_plus(50),
        ],
    ),
    (
        "BR",
        &[
            fixed(1, 1),
            fixed(4, 21),
            fixed(5, 1),
            fixed(9, 7),
            fixed(10, 12),
            fixed(11, 2),
            fixed(11, 15),
            fixed(11, 20),
            fixed(12, 25),
            easter_plus(-2),
        ],
    ),
    ("CH", &[fixed(1, 1), fixed(8, 1), fixed(12, 25), easter_plus(39)]),
    (
        "CZ",
        &[
            fixed(1, 1),
            fixed(5, 1),
            fixed(5, 8),
            fixed(7, 5),
            fixed(7, 6),
            fixed(9, 28),
            fixed(10, 28),
            fixed(11, 17),
            fixed(12, 24),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(-2),
            easter_plus(1),
        ],
    ),
    (
        "DE",
        &[
            fixed(1, 1),
            fixed(5, 1),
            fixed(10, 3),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(-2),
            easter_plus(1),
            easter_plus(39),
            easter_plus(50),
        ],
    ),
    (
        "DK",
        &[
            fixed(1, 1),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(-3),
            easter_plus(-2),
            easter_plus(0),
            easter_plus(1),
            easter_plus(39),
            easter_plus(49),
            easter_plus(50),
        ],
    ),
    (
        "EE",
        &[
            fixed(1, 1),
            fixed(2, 24),
            fixed(5, 1),
            fixed(6, 23),
            fixed(6, 24),
            fixed(8, 20),
            fixed(12, 24),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(-2),
            easter_plus(0),
            easter_plus(49),
        ],
    ),
    (
        "ES",
        &[
            rule(Day::UnlessSunday(1, 1)),
            rule(Day::UnlessSunday(1, 6)),
            rule(Day::UnlessSunday(5, 1)),
            rule(Day::UnlessSunday(8, 15)),
            rule(Day::UnlessSunday(10, 12)),
            rule(Day::UnlessSunday(11, 1)),
            rule(Day::UnlessSunday(12, 6)),
            rule(Day::UnlessSunday(12, 8)),
            rule(Day::UnlessSunday(12, 25)),
            easter_plus(-2),
        ],
    ),
    (
        "FI",
        &[
            fixed(1, 1),
            fixed(1, 6),
            fixed(5, 1),
            fixed(12, 6),
            fixed(12, 24),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(-2),
            easter_plus(0),
            easter_plus(1),
            easter_plus(39),
            easter_plus(49),
            from(Weekday::Friday, 6, 19),
            from(Weekday::Saturday, 6, 20),
            from(Weekday::Saturday, 10, 31),
        ],
    ),
    (
        "FR",
        &[
            fixed(1, 1),
            fixed(5, 1),
            fixed(5, 8),
            fixed(7, 14),
            fixed(8, 15),
            fixed(11, 1),
            fixed(11, 11),
            fixed(12, 25),
            easter_plus(1),
            easter_plus(39),
            easter_plus(50),
        ],
    ),
    (
        "GB",
        &[
            rule(Day::OrMonday(1, 1)),
            easter_plus(-2),
            from(Weekday::Monday, 5, 1),
            from(Weekday::Monday, 5, 25),
            rule(Day::ChristmasAndBoxing),
        ],
    ),
    (
        "HR",
        &[
            fixed(1, 1),
            fixed(1, 6),
            fixed(5, 1),
            fixed(5, 30),
            fixed(6, 22),
            fixed(8, 5),
            fixed(8, 15),
            fixed(11, 1),
            fixed(11, 18),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(0),
            easter_plus(1),
            easter_plus(60),
        ],
    ),
    (
        "IE",
        &[
            fixed(1, 1),
            fixed(3, 17),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(1),
            rule(Day::SaintBrigid),
            from(Weekday::Monday, 5, 1),
            from(Weekday::Monday, 6, 1),
            from(Weekday::Monday, 8, 1),
            from(Weekday::Monday, 10, 25),
        ],
    ),
    (
        "IT",
        &[
            fixed(1, 1),
            fixed(1, 6),
            fixed(4, 25),
            fixed(5, 1),
            fixed(6, 2),
            fixed(8, 15),
            fixed(10, 4),
            fixed(11, 1),
            fixed(12, 8),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(0),
            easter_plus(1),
            since(2027, from(Weekday::Sunday, 11, 1)),
        ],
    ),
    (
        "LT",
        &[
            fixed(1, 1),
            fixed(2, 16),
            fixed(3, 11),
            fixed(5, 1),
            fixed(6, 24),
            fixed(7, 6),
            fixed(8, 15),
            fixed(11, 1),
            fixed(11, 2),
            fixed(12, 24),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(0),
            easter_plus(1),
            from(Weekday::Sunday, 5, 1),
            from(Weekday::Sunday, 6, 1),
        ],
    ),
    (
        "LU",
        &[
            fixed(1, 1),
            fixed(5, 1),
            fixed(5, 9),
            fixed(6, 23),
            fixed(8, 15),
            fixed(11, 1),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(1),
            easter_plus(39),
            easter_plus(50),
        ],
    ),
    (
        "NL",
        &[
            fixed(1, 1),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(-2),
            easter_plus(0),
            easter_plus(1),
            easter_plus(39),
            easter_plus(49),
            easter_plus(50),
            rule(Day::DutchKing),
            rule(Day::EveryFifthYear(5, 5)),
        ],
    ),
    (
        "NO",
        &[
            fixed(1, 1),
            fixed(5, 1),
            fixed(5, 17),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(-3),
            easter_plus(-2),
            easter_plus(0),
            easter_plus(1),
            easter_plus(39),
            easter_plus(49),
            easter_plus(50),
        ],
    ),
    (
        "PL",
        &[
            fixed(1, 1),
            fixed(1, 6),
            fixed(5, 1),
            fixed(5, 3),
            fixed(8, 15),
            fixed(11, 1),
            fixed(11, 11),
            fixed(12, 24),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(0),
            easter_plus(1),
            easter_plus(49),
            easter_plus(60),
        ],
    ),
    (
        "PT",
        &[
            fixed(1, 1),
            fixed(4, 25),
            fixed(5, 1),
            fixed(6, 10),
            fixed(8, 15),
            fixed(10, 5),
            fixed(11, 1),
            fixed(12, 1),
            fixed(12, 8),
            fixed(12, 25),
            easter_plus(-2),
            easter_plus(0),
            easter_plus(60),
        ],
    ),
    (
        "SE",
        &[
            fixed(1, 1),
            fixed(1, 6),
            fixed(5, 1),
            fixed(6, 6),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(-2),
            easter_plus(0),
            easter_plus(1),
            easter_plus(39),
            easter_plus(49),
            from(Weekday::Saturday, 6, 20),
            from(Weekday::Saturday, 10, 31),
        ],
    ),
    (
        "SI",
        &[
            fixed(1, 1),
            fixed(1, 2),
            fixed(2, 8),
            fixed(4, 27),
            fixed(5, 1),
            fixed(5, 2),
            fixed(6, 25),
            fixed(8, 15),
            fixed(10, 31),
            fixed(11, 1),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(0),
            easter_plus(1),
            easter_plus(49),
        ],
    ),
    (
        "SK",
        &[
            fixed(1, 1),
            fixed(1, 6),
            fixed(5, 1),
            fixed(7, 5),
            fixed(8, 29),
            fixed(11, 1),
            fixed(12, 24),
            fixed(12, 25),
            fixed(12, 26),
            easter_plus(-2),
            easter_plus(1),
            since(2027, fixed(5, 8)),
            since(2027, fixed(9, 15)),
        ],
    ),
    (
        "US",
        &[
            rule(Day::OrNearest(1, 1)),
            rule(Day::OrNearest(6, 19)),
            rule(Day::OrNearest(7, 4)),
            rule(Day::OrNearest(11, 11)),
            rule(Day::OrNearest(12, 25)),
            from(Weekday::Monday, 1, 15),
            from(Weekday::Monday, 2, 15),
            from(Weekday::Monday, 5, 25),
            from(Weekday::Monday, 9, 1),
            from(Weekday::Monday, 10, 8),
            from(Weekday::Thursday, 11, 22),
        ],
    ),
];
