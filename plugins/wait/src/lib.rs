//! The wait step: for a while, until a date, or until a weekday, by the contact's own clock.

mod goal;
mod plan;
#[cfg(test)]
mod tests;
mod zone;

use dripline_sdk::{Batch, ColumnType, Duration, Instant, Manifest, Outcomes, Problem, Step, Text};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{goal::Goal, plan::Planner};

/// Waits, by the clock of the contact's time zone (`contact.time_zone`). One of `for`, `until`, `date` and `weekday`.
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
    /// The time of day where the contact is, for `date` and `weekday`: `09:00`. Without it the day's first moment, or the
    /// exact point in time of `date`.
    at: Option<String>,
    /// The time zone of contacts that have none: `Europe/Berlin`. Without it UTC.
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

const TIME_ZONE: &str = "contact.time_zone";

impl Step for Wait {
    const NAME: &'static str = "wait";
    const SUMMARY: &'static str =
        "Waits for a while, until a date or until a weekday, by the contact's own clock.";

    fn describe(manifest: Manifest) -> Manifest {
        manifest.read(TIME_ZONE, ColumnType::Text, "waits by the contact's own clock").may_wait()
    }

    fn check(&self) -> Vec<Problem> {
        let zone = self.time_zone.as_deref().and_then(|name| zone::named(name).err());
        let zone =
            zone.map(|message| Problem::at("/time_zone", message).help("write for example Europe/Berlin"));
        Goal::of(self).err().into_iter().chain(zone).collect()
    }

    fn run(&self, batch: &Batch, out: &mut Outcomes) -> Result<(), String> {
        let goal = Goal::of(self).map_err(|problem| problem.message)?;
        let zones: Text = batch.field(TIME_ZONE);
        let mut planner = Planner::new(goal, self.time_zone.as_deref(), batch.now_ms())?;
        for turn in batch.turns() {
            planner.plan(zones.of(turn), turn, out);
        }
        Ok(())
    }
}

dripline_sdk::export!(Wait);
