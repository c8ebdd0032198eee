//! What a plugin says of itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{batch::ColumnType, effect::EffectKind};

/// The answer of a plugin's `describe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The verb by which a step names the plugin.
    pub name: String,
    /// The plugin's own version, semantic.
    pub version: String,
    /// One sentence for people.
    pub summary: String,
    /// JSON Schema (draft 2020-12) of the configuration, marked as [`mark`] describes.
    pub config_schema: Value,
    /// Named outputs, beside going on to the next step.
    pub outputs: Vec<NamedOutput>,
    /// Contact fields that the plugin wants for every turn, whatever its configuration.
    pub reads: Vec<Read>,
    /// Effects that it may emit.
    pub effects: Vec<EffectRequest>,
    /// Whether and how it keeps state.
    pub state: StateScope,
    /// Whether a turn may end in waiting; a loop without such a step never rests.
    pub may_wait: bool,
}

/// An output that `paths:` may lead on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedOutput {
    /// The name in `paths:`.
    pub name: String,
    /// When a run leaves by it.
    pub summary: String,
}

/// A contact field that a plugin wants to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// As in an expression: `contact.title`. `contact.time_zone` is delivered as the zone in which the contact lives, also
    /// where only its country says so ([`crate::zone`]).
    pub field: String,
    /// How it is delivered; a value of another type counts as absent.
    pub column: ColumnType,
    /// Why the plugin needs it, shown to the operator who grants it.
    pub why: String,
}

/// An effect that a plugin may emit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectRequest {
    /// The kind.
    pub kind: EffectKind,
    /// Why the plugin needs it.
    pub why: String,
}

/// Which durable cell a step of this plugin reads and writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateScope {
    /// None.
    None,
    /// One cell for each step of each workflow.
    Step,
    /// One cell for each value of this top-level configuration field, shared by all steps that give the same value.
    Field(String),
}

/// What an operator granted to a plugin; what holds is the intersection with what its manifest asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grant {
    /// Fields that it may read by `reads` of its manifest.
    pub reads: Vec<String>,
    /// Effects that it may emit.
    pub effects: Vec<EffectKind>,
}

impl Grant {
    /// Everything that `manifest` asks for, and nothing more.
    pub fn all_of(manifest: &Manifest) -> Self {
        Self {
            reads: manifest.reads.iter().map(|read| read.field.clone()).collect(),
            effects: manifest.effects.iter().map(|request| request.kind).collect(),
        }
    }
}

/// The marks in a configuration schema by which the engine knows what to do with a field before the plugin sees it.
///
/// A marked schema node carries `"x-dripline": {"kind": …}`; in the configuration that the plugin receives, what the
/// marketer wrote there is replaced:
///
/// | kind | written | received |
/// | --- | --- | --- |
/// | `cel`, with `"result"`: `boolean`, `integer`, `float`, `text`, `timestamp` | a CEL expression | index of the column with its values |
/// | `template` | a Handlebars text | index of the column with the rendered texts |
/// | `member` | a segment's name | index of a boolean column: is the contact a member |
/// | `team` | a team's key | `{"key", "name", "members": [{"rep", "name", "weight"}]}` as of now |
/// | `segment` | a static segment's name | the name |
/// | `email-template` | a template's name | the name |
/// | `duration` | `3d`, `2h 30m` | the text, checked |
/// | `topic` | a topic of consent | the text, checked where topics are declared |
/// | `score` | a score's name | the name, checked where scores are declared |
/// | `local-time` | `2026-12-24T09:00` | the text; one that has passed everywhere is warned of |
/// | `holidays` | calendars of holidays: `DE`, `contact, office` | index of the text column with the days: `2026-12-25 2026-12-26` |
/// | `time-zone` | an IANA name | the name, checked; where the configuration has none, that of the workspace |
///
/// A property may carry `"x-dripline-also": ["NAME"]`: who writes that name is told of the property.
/// The schema's root may carry `"x-dripline-shorthand": "FIELD"`: a scalar in place of the mapping means that field.
pub mod mark {
    /// The key of the mark.
    pub const KEY: &str = "x-dripline";
    /// The key of the shorthand.
    pub const SHORTHAND: &str = "x-dripline-shorthand";
    /// The key of what else people may look for under a property: a list of names, each of which is refused with a hint.
    pub const ALSO: &str = "x-dripline-also";
}
