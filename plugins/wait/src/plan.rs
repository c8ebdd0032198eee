//! When each contact goes on.

use std::collections::BTreeMap;

use dripline_sdk::{Outcomes, TextRef, Turn};
use jiff_bundled::{
    Span, Timestamp, Zoned,
    civil::{Time, Weekday},
    fmt::friendly::{Designator, Spacing, SpanPrinter},
    tz::TimeZone,
};

use crate::{
    goal::Goal,
    window::{self, Closed, Window},
    zone,
};

/// Works out the instants. Contacts of one zone that wait for the same thing share one answer, which spares a batch
/// most of the calendar.
#[derive(Debug)]
pub(crate) struct Planner<'batch> {
    goal: Goal,
    window: Option<Window>,
    /// Over how long the contacts are spread, in milliseconds.
    spread_ms: i64,
    now: Timestamp,
    fallback: TimeZone,
    plans: BTreeMap<Question<'batch>, Plan>,
}

/// All that tells one contact's wait from another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Question<'batch> {
    zone: Option<&'batch str>,
    holidays: Option<&'batch str>,
    date_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    /// `None`: goes on at once.
    at_ms: Option<i64>,
    /// Over how many milliseconds from then on the contacts are spread.
    room_ms: i64,
    reason: TextRef,
}

const OUT_OF_RANGE: &str = "the time to wait for is beyond the years that a calendar has (-9999 to 9999)";

impl<'batch> Planner<'batch> {
    pub(crate) fn new(
        goal: Goal,
        window: Option<Window>,
        spread_ms: i64,
        fallback: Option<&str>,
        now_ms: i64,
    ) -> Result<Self, String> {
        Ok(Self {
            goal,
            window,
            spread_ms,
            now: instant(now_ms)?,
            fallback: fallback.map_or(Ok(TimeZone::UTC), zone::named)?,
            plans: BTreeMap::new(),
        })
    }

    /// Decides on one turn.
    pub(crate) fn plan(
        &mut self,
        zone: Option<&'batch str>,
        holidays: Option<&'batch str>,
        turn: Turn<'batch>,
        out: &mut Outcomes,
    ) {
        let date_ms = match self.goal {
            Goal::Date(date, _) => match date.of(turn) {
                Some(date_ms) => Some(date_ms),
                None => return out.proceed(turn, "there is no date to wait for"),
            },
            _ => None,
        };
        let question = Question { zone, holidays, date_ms };
        let plan = match self.plans.get(&question) {
            Some(plan) => *plan,
            None => match self.answer(question, out) {
                Ok(plan) => *self.plans.entry(question).or_insert(plan),
                Err(reason) => return out.fail_permanent(turn, reason),
            },
        };
        match plan.at_ms {
            Some(at_ms) => out.wait_until(turn, at_ms + share(turn.seed(), plan.room_ms), plan.reason),
            None => out.proceed(turn, plan.reason),
        }
    }

    fn answer(&self, question: Question<'_>, out: &mut Outcomes) -> Result<Plan, String> {
        let (zone, note) = match question.zone.map(zone::named) {
            Some(Ok(zone)) => (zone, String::new()),
            Some(Err(wrong)) => (self.fallback.clone(), format!(" ({wrong})")),
            None => (self.fallback.clone(), " (the contact has no time zone)".to_owned()),
        };
        let now = self.now.to_zoned(zone);
        let wanted = self.goal.after(&now, question.date_ms)?;
        let closed = question.holidays.map(window::closed).unwrap_or_default();
        let (at, room_ms) = self.opening(&wanted, &now, &closed)?;
        let is_moved = !closed.is_empty() && self.opening(&wanted, &now, &Closed::new())?.0 != at;
        let note = if is_moved { format!(", because of holidays{note}") } else { note };
        let clock = at.strftime("%Y-%m-%d %H:%M");
        let zone = at.time_zone().iana_name().unwrap_or("UTC");
        let spread = match room_ms / 1_000 {
            0 => String::new(),
            seconds => {
                let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
                let span = Span::new().hours(hours).minutes(minutes).seconds(seconds % 60);
                format!(", spread over {}", words(span))
            }
        };
        if at.timestamp() <= self.now && room_ms == 0 {
            let reason = match self.window {
                Some(_) => out.text(format_args!("does not wait: {clock} {zone} is a time that fits{note}")),
                None if at.timestamp() == self.now => {
                    out.text(format_args!("does not wait: {clock} {zone} is now{note}"))
                }
                None => out.text(format_args!("does not wait: {clock} {zone} is past{note}")),
            };
            return Ok(Plan { at_ms: None, room_ms, reason });
        }
        let reason = match self.goal {
            Goal::For(span) if at == wanted => {
                out.text(format_args!("waits {}, until {clock} {zone}{spread}{note}", words(span)))
            }
            _ => out.text(format_args!("waits until {clock} {zone}{spread}{note}")),
        };
        Ok(Plan { at_ms: Some(at.timestamp().as_millisecond()), room_ms, reason })
    }

    /// The first moment that fits, not before `wanted`, and over how many milliseconds from then on the contacts are
    /// spread: never past the end of the window.
    fn opening(&self, wanted: &Zoned, now: &Zoned, closed: &Closed) -> Result<(Zoned, i64), String> {
        let Some(window) = self.window else {
            // What is past is not waited for, but it may still be spread.
            let at = if self.spread_ms > 0 { wanted.max(now) } else { wanted };
            return Ok((at.clone(), self.spread_ms));
        };
        let wanted = wanted.max(now);
        let opening = window.opening(wanted, closed).ok_or(OUT_OF_RANGE)?;
        let at = wanted.max(&opening.from).clone();
        let left = opening.to.timestamp().as_millisecond() - at.timestamp().as_millisecond();
        Ok((at, self.spread_ms.min(left)))
    }
}

impl Goal {
    /// The instant to wait for. A local time that daylight saving skips is taken as much later, one that it repeats as
    /// the first of the two (RFC 5545 §3.3.5, jiff's `compatible`).
    fn after(self, now: &Zoned, date_ms: Option<i64>) -> Result<Zoned, String> {
        let zone = now.time_zone();
        let found = match self {
            Self::For(span) => now.checked_add(span),
            Self::Until(until) => until.to_zoned(zone.clone()),
            Self::Date(_, time) => return date(date_ms.unwrap_or_default(), time, zone),
            Self::Weekday(weekday, time) => next_weekday(now, weekday, time),
            Self::Time(time) => next_time(now, time),
            Self::Now => return Ok(now.clone()),
        };
        found.map_err(|_| OUT_OF_RANGE.to_owned())
    }
}

/// The moment that a date means. The date of an attribute has no zone and arrives as midnight UTC; it is the day where
/// the contact is. Any other point in time counts as it is, or gives the day on the contact's clock if there is a time.
fn date(date_ms: i64, time: Option<Time>, zone: &TimeZone) -> Result<Zoned, String> {
    let moment = instant(date_ms)?;
    let utc = moment.to_zoned(TimeZone::UTC).datetime();
    let day = match time {
        None if utc.time() != Time::midnight() => return Ok(moment.to_zoned(zone.clone())),
        _ if utc.time() == Time::midnight() => utc.date(),
        _ => moment.to_zoned(zone.clone()).date(),
    };
    day.to_datetime(time.unwrap_or_else(Time::midnight))
        .to_zoned(zone.clone())
        .map_err(|_| OUT_OF_RANGE.to_owned())
}

/// The next such time of day, which may be this very moment.
fn next_time(now: &Zoned, time: Time) -> Result<Zoned, jiff_bundled::Error> {
    let today = now.date().to_datetime(time).to_zoned(now.time_zone().clone())?;
    if today >= *now {
        return Ok(today);
    }
    now.date().tomorrow()?.to_datetime(time).to_zoned(now.time_zone().clone())
}

/// The part of `room_ms`, always less than it, that falls to a turn by its randomness alone (SplitMix64's mixing, Steele et al. 2014).
fn share(seed: u64, room_ms: i64) -> i64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let share = (u128::from(mixed) * u128::from(room_ms.max(0).unsigned_abs())) >> 64;
    i64::try_from(share).unwrap_or(room_ms)
}

fn next_weekday(now: &Zoned, weekday: Weekday, time: Time) -> Result<Zoned, jiff_bundled::Error> {
    let today = now.date();
    let day = if today.weekday() == weekday { today } else { today.nth_weekday(1, weekday)? };
    let at = day.to_datetime(time).to_zoned(now.time_zone().clone())?;
    if at > *now {
        return Ok(at);
    }
    day.nth_weekday(1, weekday)?.to_datetime(time).to_zoned(now.time_zone().clone())
}

fn instant(ms: i64) -> Result<Timestamp, String> {
    Timestamp::from_millisecond(ms).map_err(|_| OUT_OF_RANGE.to_owned())
}

/// `3 days`, `2 hours 30 minutes`
fn words(span: Span) -> String {
    let printer =
        SpanPrinter::new().designator(Designator::Verbose).spacing(Spacing::BetweenUnitsAndDesignators);
    printer.span_to_string(&span)
}
