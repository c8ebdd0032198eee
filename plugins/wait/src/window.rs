//! When a wait may end: between two times of day, on some days of the week.

use std::collections::BTreeSet;

use dripline_sdk::Problem;
use jiff_bundled::{
    Zoned,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};

use crate::goal::time;

/// Days that are looked through for an opening: one of each weekday, the one before and one to spare, because spring may
/// swallow a short opening.
const SEARCHED_DAYS: usize = 16;

/// The most days that are looked through, however many of them are closed: ten years.
const MOST_DAYS: usize = 3_660;

/// The openings of each week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// From and to; an opening that ends before it begins ends on the next day.
    between: Option<(Time, Time)>,
    /// From Monday on.
    days: [bool; 7],
}

/// Days on which no opening begins.
pub(crate) type Closed = BTreeSet<Date>;

/// Reads dates with a space between; what is none is passed over.
pub(crate) fn closed(days: &str) -> Closed {
    days.split(' ').filter_map(|day| day.parse().ok()).collect()
}

/// One opening; both as instants.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub(crate) from: Zoned,
    /// The first moment that is outside again.
    pub(crate) to: Zoned,
}

impl Window {
    /// Reads `between` and `days`; none where neither is given, nor holidays, which close it.
    pub(crate) fn of(
        between: Option<&str>,
        days: Option<&str>,
        has_holidays: bool,
    ) -> Result<Option<Self>, Problem> {
        if between.is_none() && days.is_none() && !has_holidays {
            return Ok(None);
        }
        let between = between.map(times).transpose()?;
        Ok(Some(Self { between, days: days.map_or(Ok([true; 7]), weekdays)? }))
    }

    /// The opening in which `at` lies, or else the next, none of which begins on a day that is `closed`. A time of day that daylight saving skips or repeats is taken as
    /// elsewhere; an opening that the clocks leave out is none.
    pub(crate) fn opening(&self, at: &Zoned, closed: &Closed) -> Option<Opening> {
        let mut day = at.date().yesterday().ok()?;
        // A closed day may take the only opening of a week.
        let searched = SEARCHED_DAYS.saturating_add(closed.len().saturating_mul(7)).min(MOST_DAYS);
        for _ in 0..searched {
            if let Some(mut opening) = self.of_day(day, closed, at.time_zone())
                && opening.to > *at
            {
                // Days that are open as a whole are one opening.
                for _ in 0..7 {
                    day = day.tomorrow().ok()?;
                    match self.of_day(day, closed, at.time_zone()) {
                        Some(next) if next.from <= opening.to => opening.to = next.to,
                        _ => break,
                    }
                }
                return Some(opening);
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    fn of_day(&self, day: Date, closed: &Closed, zone: &TimeZone) -> Option<Opening> {
        let place = usize::try_from(day.weekday().to_monday_zero_offset()).ok()?;
        if closed.contains(&day) || !self.days.get(place).copied().unwrap_or_default() {
            return None;
        }
        let (from, to) = self.between.unwrap_or((Time::midnight(), Time::midnight()));
        let last = if from < to { day } else { day.tomorrow().ok()? };
        let from = day.to_datetime(from).to_zoned(zone.clone()).ok()?;
        let to = last.to_datetime(to).to_zoned(zone.clone()).ok()?;
        (from < to).then_some(Opening { from, to })
    }
}

fn times(text: &str) -> Result<(Time, Time), Problem> {
    let problem = |message: String| {
        Problem::at("/between", message)
            .help("write for example \"09:00-17:00\"; \"20:00-08:00\" goes over midnight")
    };
    let (from, to) =
        text.split_once('-').ok_or_else(|| problem(format!("`{text}` is not two times of day")))?;
    let (Ok(from), Ok(to)) = (time(from), time(to)) else {
        return Err(problem(format!("`{text}` is not two times of day")));
    };
    if from == to {
        return Err(problem(format!("`{text}` ends as it begins")));
    }
    Ok((from, to))
}

fn weekdays(text: &str) -> Result<[bool; 7], Problem> {
    let mut days = [false; 7];
    for item in text.split(',').map(str::trim) {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (Some(mut day), Some(last)) = (weekday(first.trim()), weekday(last.trim())) else {
            let message = format!("`{item}` is no day of the week");
            return Err(Problem::at("/days", message).help("write for example mon-fri or sat,sun"));
        };
        loop {
            if let Some(is_open) =
                usize::try_from(day.to_monday_zero_offset()).ok().and_then(|day| days.get_mut(day))
            {
                *is_open = true;
            }
            if day == last {
                break;
            }
            day = day.next();
        }
    }
    Ok(days)
}

fn weekday(name: &str) -> Option<Weekday> {
    const NAMES: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let name = name.to_ascii_lowercase();
    let place = NAMES.iter().position(|known| *known == name || known.get(..3) == Some(name.as_str()))?;
    Weekday::from_monday_zero_offset(i8::try_from(place).ok()?).ok()
}
