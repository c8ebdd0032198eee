//! What bounds a campaign whatever its steps want: quiet hours, caps over all campaigns, and how a step may fail.

use jiff::{Span, Timestamp, civil::Time, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::duration;

/// The part of each day in which no marketing message goes out, by the contact's clock. Written `20:00-08:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QuietHours {
    from: Time,
    to: Time,
}

impl QuietHours {
    /// Reads `20:00-08:00`.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no part of the day; write for example \"20:00-08:00\"");
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let (from, to) = (time(from).ok_or_else(wrong)?, time(to).ok_or_else(wrong)?);
        if from == to {
            return Err(format!(
                "`{text}` begins and ends at the same time, so that nothing could ever be sent"
            ));
        }
        Ok(Self { from, to })
    }

    /// Whether the whole time from `from` to `to` is quiet, by the clock; over midnight where `to` comes first.
    pub fn covers(self, from: Time, to: Time) -> bool {
        let minute = |time: Time| i32::from(time.hour()) * 60 + i32::from(time.minute());
        let after = |time: Time, start: Time| (minute(time) - minute(start)).rem_euclid(24 * 60);
        let (begins, length) = (after(from, self.from), after(self.to, self.from));
        begins < length && begins + after(to, from) <= length
    }

    /// When they end, if it is quiet at `now` on a clock in `zone`.
    ///
    /// Where the clock is set forward over the end, they end that much later by the clock, at the same instant; where it is
    /// set back over the end, they end twice.
    pub fn end(self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = now.to_zoned(zone.clone()).datetime();
        let (time, wraps) = (local.time(), self.from > self.to);
        let is_quiet =
            if wraps { time >= self.from || time < self.to } else { (self.from..self.to).contains(&time) };
        if !is_quiet {
            return None;
        }
        let day = if wraps && time >= self.from {
            local.date().tomorrow().unwrap_or(local.date())
        } else {
            local.date()
        };
        let end = zone.to_ambiguous_timestamp(day.to_datetime(self.to));
        let ends = [end.earlier(), end.later()];
        ends.into_iter().flatten().find(|end| *end > now).or(Some(Timestamp::MAX))
    }
}

/// `20:00`.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str, most: usize| {
        let fits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse::<i8>().ok()).flatten()
    };
    if minute.len() != 2 {
        return None;
    }
    Time::new(number(hour, 2)?, number(minute, 2)?, 0, 0).ok()
}

impl TryFrom<String> for QuietHours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<QuietHours> for String {
    fn from(hours: QuietHours) -> Self {
        hours.to_string()
    }
}

impl std::fmt::Display for QuietHours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.hour(), from.minute(), to.hour(), to.minute())
    }
}

/// Which messages a cap counts and holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapClass {
    /// What needs consent.
    Marketing,
    /// What answers something that the contact did.
    Transactional,
    /// Both.
    All,
}

impl CapClass {
    /// Whether a message belongs to it.
    pub fn covers(self, is_transactional: bool) -> bool {
        match self {
            Self::Marketing => !is_transactional,
            Self::Transactional => is_transactional,
            Self::All => true,
        }
    }
}

/// How many emails a contact gets at most within a time, from all campaigns together.
#[derive(Debug, Clone, Copy)]
pub struct Cap {
    /// Which emails.
    pub class: CapClass,
    /// How many; at least 1.
    pub at_most: u32,
    /// Within which time; days are calendar days.
    pub within: Span,
}

impl Cap {
    /// Since when messages count at `now`.
    pub fn since(&self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        duration::before(now, self.within, zone)
    }
}

impl std::fmt::Display for Cap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let class = match self.class {
            CapClass::Marketing => "marketing ",
            CapClass::Transactional => "transactional ",
            CapClass::All => "",
        };
        let plural = if self.at_most == 1 { "" } else { "s" };
        write!(f, "at most {} {class}email{plural} in {:#}", self.at_most, self.within)
    }
}

/// What becomes of a run whose step failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// What may pass is tried again; after that the run has failed and stays where it is.
    #[default]
    Retry,
    /// What may pass is tried again; after that the step is skipped, and the run goes on below it.
    Skip,
    /// The run has failed at once.
    Stop,
}

/// How often and when a failed step is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Further tries, after the first.
    pub times: u32,
    /// The pause before the second try, a duration; each further pause is four times as long.
    pub pause: String,
}

/// What becomes of the runs on older versions when a new one is published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPublish {
    /// They stay on their versions.
    #[default]
    Pin,
    /// They move to the new version, by the ids of the steps.
    Migrate,
    /// They end.
    Drain,
}

/// What becomes of what fell due while the workflow was paused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterPause {
    /// All of it is done at once.
    #[default]
    CatchUp,
    /// It is put off by as long as the pause was, so that it keeps its distances.
    Spread,
    /// The steps are skipped, and their runs go on below.
    Skip,
}

/// The most further tries that a step may ask for.
pub const MAX_RETRIES: u32 = 20;

/// What the author says of one step beside what it does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepRules {
    /// How long after it was due the step may still be done; a duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// What becomes of the run when the step fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// How often and when it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

impl StepRules {
    /// Whether the author said nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the author says of a workflow as a whole, beside who enters it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policies {
    /// When its marketing mail waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// Who goes first where campaigns want the same opening: the larger number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// For steps that do not say themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// For steps that do not say themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What becomes of what fell due during a pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_pause: Option<AfterPause>,
    /// What becomes of the runs on older versions when this one is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_publish: Option<OnPublish>,
    /// What ends a run wherever it stands, as won.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub goals: Vec<Goal>,
    /// What ends a run wherever it stands, and is no success.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<Goal>,
}

/// Something that ends a run: an event, a condition, or an event for which a condition holds. One of them is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goal {
    /// The event's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// CEL; with an event it sees `event`.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// The priority of a workflow that does not say which.
pub const DEFAULT_PRIORITY: u32 = 10;

impl Policies {
    /// Whether the author said nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(hours: &str, now: &str, zone: &str) -> Option<String> {
        let zone = TimeZone::get(zone).unwrap();
        QuietHours::parse(hours).unwrap().end(now.parse().unwrap(), &zone).map(|end| end.to_string())
    }

    #[test]
    fn quiet_hours_end_by_the_contacts_clock() {
        let night = |now, zone| end("20:00-08:00", now, zone);
        assert_eq!(night("2024-01-10T12:00:00Z", "Europe/Berlin"), None);
        assert_eq!(night("2024-01-10T18:59:59Z", "Europe/Berlin"), None);
        assert_eq!(night("2024-01-10T19:00:00Z", "Europe/Berlin").as_deref(), Some("2024-01-11T07:00:00Z"));
        assert_eq!(night("2024-01-11T06:59:59Z", "Europe/Berlin").as_deref(), Some("2024-01-11T07:00:00Z"));
        assert_eq!(night("2024-01-11T07:00:00Z", "Europe/Berlin"), None);
        // Where it is morning in Berlin it is night in New York.
        assert_eq!(
            night("2024-01-11T07:00:00Z", "America/New_York").as_deref(),
            Some("2024-01-11T13:00:00Z")
        );
        let noon = |now| end("12:00-13:30", now, "UTC");
        assert_eq!(noon("2024-01-10T13:29:00Z").as_deref(), Some("2024-01-10T13:30:00Z"));
        assert_eq!((noon("2024-01-10T11:59:59Z"), noon("2024-01-10T13:30:00Z")), (None, None));
    }

    #[test]
    fn quiet_hours_end_also_where_the_clock_is_set() {
        // The night in which the clocks go forward is an hour shorter, and the other an hour longer.
        let night = |now| end("20:00-08:00", now, "Europe/Berlin");
        assert_eq!(night("2024-03-30T20:00:00Z").as_deref(), Some("2024-03-31T06:00:00Z"));
        assert_eq!(night("2024-10-26T20:00:00Z").as_deref(), Some("2024-10-27T07:00:00Z"));
        // 02:30 does not come that night: an hour after 01:30 it is 03:30.
        assert_eq!(
            end("20:00-02:30", "2024-03-30T23:00:00Z", "Europe/Berlin").as_deref(),
            Some("2024-03-31T00:30:00Z")
        );
        // And here it comes twice: it is quiet again from 02:00 to 02:30.
        let twice = |now| end("20:00-02:30", now, "Europe/Berlin");
        assert_eq!(twice("2024-10-27T00:10:00Z").as_deref(), Some("2024-10-27T00:30:00Z"));
        assert_eq!(twice("2024-10-27T00:40:00Z"), None);
        assert_eq!(twice("2024-10-27T01:10:00Z").as_deref(), Some("2024-10-27T01:30:00Z"));
    }

    #[test]
    fn quiet_hours_cover_what_lies_within_them() {
        let covers = |hours: &str, part: &str| {
            let QuietHours { from, to } = QuietHours::parse(part).unwrap();
            QuietHours::parse(hours).unwrap().covers(from, to)
        };
        for part in ["20:00-08:00", "21:00-23:00", "23:00-01:00", "00:00-08:00"] {
            assert!(covers("20:00-08:00", part), "{part}");
        }
        for part in ["19:59-21:00", "07:00-08:01", "08:00-09:00", "12:00-13:00", "08:00-20:00"] {
            assert!(!covers("20:00-08:00", part), "{part}");
        }
        let eight = Time::constant(8, 0, 0, 0);
        let night = QuietHours::parse("20:00-08:00").unwrap();
        assert!(!night.covers(eight, eight) && night.covers(Time::midnight(), Time::midnight()));
    }

    #[test]
    fn quiet_hours_are_written_as_they_are_read() {
        for wrong in
            ["", "20-8", "20:00", "20:00-20:00", "24:00-08:00", "20:00-08:60", "8:5-9:00", "a:00-b:00"]
        {
            assert!(QuietHours::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(QuietHours::parse("8:00 - 9:30").unwrap().to_string(), "08:00-09:30");
        let json = "{\"quiet_hours\":\"20:00-08:00\"}";
        let policies: Policies = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&policies).unwrap(), json);
        assert!(serde_json::from_str::<Policies>("{\"quiet_hours\":\"x\"}").is_err());
    }
}
