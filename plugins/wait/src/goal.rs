//! What a configuration waits for.

use dripline_sdk::{Instant, Problem};
use jiff_bundled::{
    Span,
    civil::{self, DateTime, Time},
};

use crate::{Wait, Weekday};

/// Exactly one thing to wait for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// A while.
    For(Span),
    /// A date and time on the contact's clock.
    Until(DateTime),
    /// The date of each contact, at this time of day if one is given.
    Date(Instant, Option<Time>),
    /// The next such day of the week, at this time of day.
    Weekday(civil::Weekday, Time),
    /// The next such time of day.
    Time(Time),
    /// Nothing but the window.
    Now,
}

impl Goal {
    /// The goal of a configuration, or the first thing that is wrong with it.
    pub(crate) fn of(wait: &Wait) -> Result<Self, Problem> {
        let at = wait.at.as_deref().map(time).transpose()?;
        let has_window = wait.between.is_some() || wait.days.is_some() || wait.holidays.is_some();
        let goal = match (&wait.r#for, &wait.until, wait.date, wait.weekday) {
            (Some(duration), None, None, None) => Self::For(span(duration.as_str())?),
            (None, Some(until), None, None) => Self::Until(date_time(until)?),
            (None, None, Some(date), None) => Self::Date(date, at),
            (None, None, None, Some(weekday)) => {
                Self::Weekday(weekday.into(), at.unwrap_or_else(Time::midnight))
            }
            (None, None, None, None) if at.is_some() => Self::Time(at.unwrap_or_else(Time::midnight)),
            (None, None, None, None) if has_window || wait.spread.is_some() => Self::Now,
            (None, None, None, None) => {
                return Err(Problem::at("", "nothing to wait for")
                    .help("write one of `for`, `until`, `date`, `weekday`, `at` and `between`"));
            }
            _ => {
                return Err(Problem::at(
                    "",
                    "more than one of `for`, `until`, `date` and `weekday` is given",
                )
                .help("make a step of each"));
            }
        };
        match goal {
            Self::For(_) | Self::Until(_) if at.is_some() => {
                Err(Problem::at("/at", "`at` goes with `date` and `weekday`, or stands alone"))
            }
            _ => Ok(goal),
        }
    }
}

pub(crate) fn span(text: &str) -> Result<Span, Problem> {
    let problem = |message| Problem::at("/for", message).help("write for example 30m, 4h, 3d or 2w");
    match text.trim().parse::<Span>() {
        Ok(span) if span.is_positive() => Ok(span),
        Ok(_) => Err(problem(format!("`{text}` is no time to wait"))),
        Err(_) => Err(problem(format!("`{text}` is not a duration"))),
    }
}

fn date_time(text: &str) -> Result<DateTime, Problem> {
    // jiff reads past an offset or a zone, which would be a promise that is not kept.
    let has_zone =
        text.contains(['[', '+', 'Z']) || text.rsplit_once('T').is_some_and(|(_, time)| time.contains('-'));
    text.trim().parse().ok().filter(|_| !has_zone).ok_or_else(|| {
        Problem::at("/until", format!("`{text}` is not a date and time"))
            .help("write for example 2026-12-24T09:00; the time zone is the contact's")
    })
}

pub(crate) fn time(text: &str) -> Result<Time, Problem> {
    text.trim().parse().map_err(|_| {
        Problem::at("/at", format!("`{text}` is not a time of day")).help("write for example \"09:00\"")
    })
}

impl From<Weekday> for civil::Weekday {
    fn from(weekday: Weekday) -> Self {
        match weekday {
            Weekday::Monday => Self::Monday,
            Weekday::Tuesday => Self::Tuesday,
            Weekday::Wednesday => Self::Wednesday,
            Weekday::Thursday => Self::Thursday,
            Weekday::Friday => Self::Friday,
            Weekday::Saturday => Self::Saturday,
            Weekday::Sunday => Self::Sunday,
        }
    }
}
