//! Types for the fields of a configuration whose meaning the engine knows.
//!
//! Each carries its mark (`"x-dripline"`, see `docs/plugins.md`) in the schema. The engine replaces what the marketer
//! wrote in a marked field before the plugin is called: an expression becomes the index of the column with its values.
//! When a configuration is checked it may still stand as written; such a field has no values.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::Turn;

/// A field that stands for a column of values, one for each turn.
pub trait ColumnField: Copy {
    /// The field over the column at this index; without one it has no values.
    fn at(column: Option<usize>) -> Self;
}

macro_rules! column_fields {
    ($($(#[$doc:meta])* $name:ident: $read:ident -> $value:ty, $mark:tt)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(Option<usize>);

        impl $name {
            /// The value for this turn, if there is one.
            pub fn of<'batch>(self, turn: Turn<'batch>) -> Option<$value> {
                turn.$read(self.0?)
            }
        }

        impl ColumnField for $name {
            fn at(column: Option<usize>) -> Self {
                Self(column)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ColumnIndex).map(Self)
            }
        }

        mark! { $name $mark }
    )*};
}

macro_rules! name_fields {
    ($($(#[$doc:meta])* $name:ident $mark:tt)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        mark! { $name $mark }
    )*};
}

macro_rules! mark {
    ($name:ident $mark:tt) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "x-dripline": $mark})
            }
        }
    };
}

column_fields! {
    /// A CEL expression that is true or false: `contact.country == "DE"`.
    Condition: boolean -> bool, {"kind": "cel", "result": "boolean"}
    /// A CEL expression with a whole number as its value.
    Integer: integer -> i64, {"kind": "cel", "result": "integer"}
    /// A CEL expression with a number as its value.
    Number: float -> f64, {"kind": "cel", "result": "float"}
    /// A CEL expression with a text as its value: `contact.language`.
    Text: text -> &'batch str, {"kind": "cel", "result": "text"}
    /// A CEL expression with an instant as its value, in milliseconds since the epoch, UTC.
    Instant: integer -> i64, {"kind": "cel", "result": "timestamp"}
    /// A Handlebars text, rendered for each contact: `Welcome, {{contact.first_name}}`.
    Template: text -> &'batch str, {"kind": "template"}
    /// Calendars of holidays (`DE`, `contact, office`); the value is the days from now on, dates with a space between.
    Holidays: text -> &'batch str, {"kind": "holidays"}
    /// A segment's name; the value says whether the contact is a member.
    Member: boolean -> bool, {"kind": "member"}
}

name_fields! {
    /// The name of a static segment.
    Segment {"kind": "segment"}
    /// The name of an email template: `trial/welcome`.
    EmailTemplate {"kind": "email-template"}
    /// A duration as people write it: `3d`, `2h 30m`. The engine has checked that it is one.
    Duration {"kind": "duration"}
}

impl Condition {
    /// Whether the condition holds; one that could not be evaluated does not.
    pub fn holds(self, turn: Turn<'_>) -> bool {
        self.of(turn).unwrap_or(false)
    }
}

/// A team's key; the engine puts the team as it is now in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// The key by which workflows name the team.
    pub key: String,
    /// The name for people.
    pub name: String,
    /// Who takes part, in the file's order.
    pub members: Vec<TeamMember>,
}

/// One representative's part in a [`Team`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TeamMember {
    /// Key of the representative.
    pub rep: String,
    /// The representative's name for people.
    pub name: String,
    /// Share of the leads in relation to the other members'; 0 receives none.
    pub weight: u32,
}

mark! { Team {"kind": "team"} }

impl<'de> Deserialize<'de> for Team {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyOrRoster)
    }
}

/// Reads the index of a column, or an expression that the engine has not replaced yet.
struct ColumnIndex;

impl de::Visitor<'_> for ColumnIndex {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or the index of the column with its values")
    }

    fn visit_u64<E: de::Error>(self, index: u64) -> Result<Self::Value, E> {
        usize::try_from(index).map(Some).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Reads a team, or its key alone where the engine has not replaced it yet.
struct KeyOrRoster;

impl<'de> de::Visitor<'de> for KeyOrRoster {
    type Value = Team;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a team's key, or the team")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Team, E> {
        Ok(Team { key: key.to_owned(), name: key.to_owned(), members: Vec::new() })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Team, A::Error> {
        #[derive(Deserialize)]
        struct Roster {
            key: String,
            name: String,
            members: Vec<TeamMember>,
        }
        let Roster { key, name, members } = Roster::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Team { key, name, members })
    }
}
