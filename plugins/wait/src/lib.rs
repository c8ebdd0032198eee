//! The wait step: for a while, until a date, or until a weekday, by the contact's own clock.

#[cfg(test)]
mod cases;
mod goal;
mod plan;
#[cfg(test)]
mod tests;
mod window;
mod zone;

use dripline_sdk::{Batch, ColumnType, Duration, Holidays, Instant, Manifest, Outcomes, Problem, Step, Text};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{goal::Goal, plan::Planner, window::Window};

/// Waits, by the clock of the contact's time zone. At most one of `for`, `until`, `date` and `weekday`; `between`, `days`,
/// `holidays` and `spread` move its end, and may stand alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-dripline-shorthand" = "for"))]
pub struct Wait {
    /// For how long: `3d`, `2h 30m`. Days keep the time of day, also where daylight saving changes.
    r#for: Option<Duration>,
    /// Until this date and time where the contact is: `2026-12-24T09:00`.
    #[schemars(extend("x-dripline" = {"kind": "local-time"}))]
    until: Option<String>,
    /// Until the date that this expression gives: `contact.renewal_date`. A point in time counts as it is; a date alone
    /// means that day where the contact is.
    date: Option<Instant>,
    /// Until the next such day of the week, at `at`.
    weekday: Option<Weekday>,
    /// The time of day where the contact is: `09:00`. For `date` and `weekday`; without it the day's first moment, or the
    /// exact point in time of `date`. Alone: until it is this time.
    at: Option<String>,
    /// Ends between these times of day where the contact is: `09:00-17:00`. What would end outside ends at the next opening.
    between: Option<String>,
    /// Ends on these days of the week: `mon-fri`, `sat,sun`. What would end on another day ends at the next opening.
    days: Option<String>,
    /// Ends on no holiday of these calendars: those of a country (`DE`), of the country in which the contact lives (`contact`), or
    /// of your own (`holidays.yaml`); several with commas between. What would end on one ends at the next opening.
    holidays: Option<Holidays>,
    /// Spreads the contacts evenly over this time from the end on, never past the end of `between`: `2h`.
    #[schemars(extend("x-dripline-also" = ["jitter"]))]
    spread: Option<Duration>,
    /// The time zone of contacts for whom nothing says one: `Europe/Berlin`. Without it the workspace's.
    #[schemars(extend("x-dripline" = {"kind": "time-zone"}))]
    time_zone: Option<String>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// Seven days: whoever spreads further wants a schedule.
const MOST_SPREAD_MS: i64 = 7 * 24 * 3_600 * 1_000;

const TIME_ZONE: &str = "contact.time_zone";

impl Step for Wait {
    const NAME: &'static str = "wait";
    const SUMMARY: &'static str =
        "Waits for a while, until a date, a weekday or a time of day, by the contact's own clock.";

    fn describe(manifest: Manifest) -> Manifest {
        manifest.read(TIME_ZONE, ColumnType::Text, "waits by the contact's own clock").may_wait()
    }

    fn check(&self) -> Vec<Problem> {
        let zone = self.time_zone.as_deref().and_then(|name| zone::named(name).err());
        let zone =
            zone.map(|message| Problem::at("/time_zone", message).help("write for example Europe/Berlin"));
        let window = self.window().err();
        let spread = self.spread_ms().err();
        Goal::of(self).err().into_iter().chain(window).chain(spread).chain(zone).collect()
    }

    fn run(&self, batch: &Batch, out: &mut Outcomes) -> Result<(), String> {
        let goal = Goal::of(self).map_err(|problem| problem.message)?;
        let zones: Text = batch.field(TIME_ZONE);
        let window = self.window().map_err(|problem| problem.message)?;
        let spread_ms = self.spread_ms().map_err(|problem| problem.message)?;
        let mut planner = Planner::new(goal, window, spread_ms, self.time_zone.as_deref(), batch.now_ms())?;
        for turn in batch.turns() {
            let holidays = self.holidays.and_then(|holidays| holidays.of(turn));
            planner.plan(zones.of(turn), holidays, turn, out);
        }
        Ok(())
    }
}

impl Wait {
    fn window(&self) -> Result<Option<Window>, Problem> {
        Window::of(self.between.as_deref(), self.days.as_deref(), self.holidays.is_some())
    }

    /// Over how many milliseconds the contacts are spread.
    fn spread_ms(&self) -> Result<i64, Problem> {
        let Some(spread) = &self.spread else { return Ok(0) };
        let problem = |message: String| {
            Problem::at("/spread", message).help("write for example 30m or 2h, at most 7 days")
        };
        let text = spread.as_str();
        let span =
            goal::span(text).map_err(|problem| Problem { pointer: "/spread".to_owned(), ..problem })?;
        let duration = span
            .to_duration(jiff_bundled::SpanRelativeTo::days_are_24_hours())
            .map_err(|_| problem(format!("`{text}` is too long")))?;
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        if ms > MOST_SPREAD_MS { Err(problem(format!("`{text}` is too long"))) } else { Ok(ms) }
    }
}

dripline_sdk::export!(Wait);
