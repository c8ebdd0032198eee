//! `caps:` in `dripline.yaml`: how many emails a contact gets at most, from all campaigns together.

use dripline_model::{
    duration,
    policy::{Cap, CapClass},
};
use jiff::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

/// `{channel: email, class: marketing, at_most: 3, in: 7d}`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CapSettings {
    /// By which way messages go.
    #[serde(default)]
    #[expect(dead_code, reason = "there is one channel so far, and the name of another is refused")]
    channel: Channel,
    /// Which messages.
    #[serde(default)]
    class: Class,
    /// How many of them in that time; at least one.
    #[serde(deserialize_with = "at_most")]
    #[schemars(range(min = 1))]
    at_most: u32,
    /// In how much time: `7d`.
    #[serde(rename = "in", deserialize_with = "within")]
    #[schemars(with = "String", extend("format" = "cap-window"))]
    within: Span,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Channel {
    #[default]
    Email,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Class {
    #[default]
    Marketing,
    Transactional,
    All,
}

impl CapSettings {
    /// What that means for the engine.
    pub(crate) fn cap(self) -> Cap {
        let class = match self.class {
            Class::Marketing => CapClass::Marketing,
            Class::Transactional => CapClass::Transactional,
            Class::All => CapClass::All,
        };
        Cap { class, at_most: self.at_most, within: self.within }
    }
}

fn at_most<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    if number == 0 {
        let what = "`at_most: 0` would hold every email back for ever; retire the workflows instead";
        return Err(de::Error::custom(what));
    }
    Ok(number)
}

/// `7d`.
fn within<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    parse_window(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// How long a cap looks back.
pub(super) fn parse_window(text: &str) -> Result<Span, String> {
    let span = duration::parse(text).map_err(|error| error.to_string())?;
    if span.is_zero() {
        return Err(format!("`{text}` is no time at all"));
    }
    Ok(span)
}
