//! `retention:` in `dripline.yaml`: how long what is kept.

use dripline_model::duration;
use dripline_store::Retention;
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};
use serde::{Deserialize, Deserializer, de};

/// What is kept shorter was most likely meant otherwise.
const SHORTEST: SignedDuration = SignedDuration::from_hours(24);

/// How long what is kept; without a duration, for ever.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetentionSettings {
    /// Past events.
    #[serde(default, deserialize_with = "kept")]
    events: Option<Span>,
    /// Why what happened to runs that have ended.
    #[serde(default, deserialize_with = "kept")]
    decisions: Option<Span>,
    /// The text of mails.
    #[serde(default, deserialize_with = "kept")]
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
    let text = String::deserialize(deserializer)?;
    let span = duration::parse(&text).map_err(de::Error::custom)?;
    let epoch = Timestamp::UNIX_EPOCH;
    if duration::after(epoch, span, &TimeZone::UTC).duration_since(epoch) < SHORTEST {
        return Err(de::Error::custom(format!("`{text}` is less than a day")));
    }
    Ok(Some(span))
}
