//! What can be known of a value before there is a contact.

use dripline_model::batch::ColumnType;

/// The type of an expression, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// Nothing is known.
    Any,
    /// Whatever JSON can hold: attributes and properties. Never an instant or a duration.
    Json,
    Boolean,
    /// Whole or not.
    Number,
    Text,
    Timestamp,
    Duration,
    List,
    Map,
    Null,
    Optional,
}

impl Type {
    /// As a noun with its article.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Json => "an attribute",
            Self::Boolean => "true or false",
            Self::Number => "a number",
            Self::Text => "text",
            Self::Timestamp => "a timestamp",
            Self::Duration => "a duration",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Null => "null",
            Self::Optional => "an optional value",
        }
    }

    /// Whether a value of this type may turn out to be of the type `wanted`.
    pub(crate) fn may_be(self, wanted: Self) -> bool {
        match (self, wanted) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Json, wanted) | (wanted, Self::Json) => {
                !matches!(wanted, Self::Timestamp | Self::Duration | Self::Optional)
            }
            (have, wanted) => have == wanted,
        }
    }

    /// Whether a value of this type may be the result where `column` is declared; see [`crate::Expression::evaluate`].
    pub(crate) fn fits(self, column: ColumnType) -> bool {
        let accepted: &[Self] = match column {
            ColumnType::Boolean => &[Self::Boolean],
            ColumnType::Integer | ColumnType::Float => &[Self::Number],
            ColumnType::Text => &[Self::Text, Self::Number],
            ColumnType::Timestamp => &[Self::Timestamp, Self::Text],
        };
        self == Self::Optional || accepted.iter().any(|accepted| self.may_be(*accepted))
    }

    /// What `column` declares, as a noun.
    pub(crate) fn of_column(column: ColumnType) -> Self {
        match column {
            ColumnType::Boolean => Self::Boolean,
            ColumnType::Integer | ColumnType::Float => Self::Number,
            ColumnType::Text => Self::Text,
            ColumnType::Timestamp => Self::Timestamp,
        }
    }

    /// The type of a value of CEL, by the name that CEL gives it.
    pub(crate) fn of_value(value: &dyn cel::common::value::Val) -> Self {
        Self::of_cel(value.get_type().name())
    }

    /// The type that CEL calls `name`.
    pub(crate) fn of_cel(name: &str) -> Self {
        match name {
            "bool" => Self::Boolean,
            "int" | "uint" | "double" => Self::Number,
            "string" => Self::Text,
            "timestamp" | "google.protobuf.Timestamp" => Self::Timestamp,
            "duration" | "google.protobuf.Duration" => Self::Duration,
            "list" => Self::List,
            "map" => Self::Map,
            "null_type" => Self::Null,
            "optional_type" => Self::Optional,
            _ => Self::Any,
        }
    }
}
