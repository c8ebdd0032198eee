//! `retention:` in `dripline.yaml`: how long what is kept.

use dripline_model::duration;
use dripline_store::Retention;
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

/// What is kept shorter was most likely meant otherwise.
const SHORTEST: SignedDuration = SignedDuration::from_hours(24);

/// How long what is kept; without a duration, for ever.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetentionSettings {
    /// Past events.
    #[serde(default, deserialize_with = "kept")]
    #[schemars(with = "String", extend("format" = "retention"))]
    events: Option<Span>,
    /// Why what happened to runs that have ended.
    #[serde(default, deserialize_with = "kept")]
    #[schemars(with = "String", extend("format" = "retention"))]
    decisions: Option<Span>,
    /// The text of mails.
    #[serde(default, deserialize_with = "kept")]
    #[schemars(with = "String", extend("format" = "retention"))]
    mail_bodies: Option<Span>,
}

impl RetentionSettings {
    /// What that means for the store.
    pub(crate) fn retention(&self) -> Retention {
        Retention { events: self.events, decisions: self.decisions, mail_bodies: self.mail_bodies }
    }
}

/// `90d`.
fn kept<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Span>, D::Error> {
    parse(&String::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}

/// How long something is kept, of at least a day.
pub(super) fn parse(text: &str) -> Result<Span, String> {
    let span = duration::parse(text)?;
    let epoch = Timestamp::UNIX_EPOCH;
    if duration::after(epoch, span, &TimeZone::UTC).duration_since(epoch) < SHORTEST {
        return Err(format!("`{text}` is less than a day"));
    }
    Ok(span)
}
