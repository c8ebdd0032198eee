//! What is known of contacts before any is looked at: the names and types of their attributes, the topics to which they
//! may consent, and the segments that they may be in.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil};
use serde_json::Value;

use crate::score::Scores;

/// What the values of an attribute are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Text.
    Text,
    /// Numbers, whole or not.
    Number,
    /// Whole numbers.
    Integer,
    /// True or false.
    Boolean,
    /// Dates without a time, as text: `2024-01-31`.
    Date,
    /// Instants, as text of RFC 3339: `2024-01-31T09:30:00Z`.
    Timestamp,
}

impl FieldType {
    /// All types, in the order in which people meet them.
    pub const ALL: [Self; 6] =
        [Self::Text, Self::Number, Self::Integer, Self::Boolean, Self::Date, Self::Timestamp];

    /// The type's name in `fields.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        }
    }

    /// The type of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Whether a stored value is of this type. Nothing (`null`) is of every type.
    pub fn admits(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null)
            | (Self::Text, Value::String(_))
            | (Self::Boolean, Value::Bool(_))
            | (Self::Number, Value::Number(_)) => true,
            (Self::Integer, Value::Number(number)) => {
                number.is_i64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            // A date may be followed by a time where it is read.
            (Self::Date, Value::String(text)) => text.len() == 10 && text.parse::<civil::Date>().is_ok(),
            (Self::Timestamp, Value::String(text)) => text.parse::<Timestamp>().is_ok(),
            _ => false,
        }
    }
}

/// What is known of one attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    /// The type of its values, where all have one.
    pub field_type: Option<FieldType>,
    /// The only values that there may be; empty where there is no such list.
    pub values: Vec<String>,
    /// Whether `fields.yaml` says so; otherwise it was learnt from the values that contacts have.
    pub declared: bool,
    /// What it is, for people.
    pub description: Option<String>,
}

impl Field {
    /// Why a value cannot be stored here, as it reads behind the value: "is not of type integer".
    pub fn objection(&self, value: &Value) -> Option<String> {
        if let Some(wanted) = self.field_type.filter(|wanted| !wanted.admits(value)) {
            return Some(format!("is not of type {}", wanted.name()));
        }
        match value {
            Value::String(text) if !self.values.is_empty() && !self.values.contains(text) => {
                Some(format!("is none of {}", self.values.join(", ")))
            }
            _ => None,
        }
    }
}

/// What is known of the fields of contacts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    attributes: BTreeMap<String, Field>,
    /// Whether there are no attributes but these.
    closed: bool,
    topics: Option<BTreeSet<String>>,
    segments: Option<BTreeSet<String>>,
    scores: Option<Scores>,
    /// Whether nothing is known of attributes, so that any name may be one.
    any: bool,
}

impl Fields {
    /// What `fields.yaml` declares: attributes, and where it has such a list the topics of consent.
    pub fn declared(attributes: BTreeMap<String, Field>, topics: Option<BTreeSet<String>>) -> Self {
        let declare = |(name, field)| (name, Field { declared: true, ..field });
        Self {
            attributes: attributes.into_iter().map(declare).collect(),
            closed: true,
            topics,
            ..Self::default()
        }
    }

    /// Adds what contacts turn out to have. What is declared stands.
    #[must_use]
    pub fn learning(mut self, seen: impl IntoIterator<Item = (String, ValueTypes)>) -> Self {
        for (name, types) in seen {
            self.attributes
                .entry(name)
                .or_insert_with(|| Field { field_type: types.field_type(), ..Field::default() });
        }
        self
    }

    /// Adds the names of the segments that there are.
    #[must_use]
    pub fn with_segments(mut self, segments: impl IntoIterator<Item = String>) -> Self {
        self.segments.get_or_insert_default().extend(segments);
        self
    }

    /// What is known where nobody said anything of attributes and there is no contact: any name may be one.
    pub fn anything() -> Self {
        Self { any: true, ..Self::default() }
    }

    /// Adds the scores that `scores.yaml` declares.
    #[must_use]
    pub fn with_scores(mut self, scores: Scores) -> Self {
        self.scores = Some(scores);
        self
    }

    /// The same, where only what is declared has a type.
    #[must_use]
    pub fn declared_types(&self) -> Self {
        let mut fields = self.clone();
        for field in fields.attributes.values_mut().filter(|field| !field.declared) {
            field.field_type = None;
        }
        fields
    }

    /// What is known of the attribute `name`.
    pub fn attribute(&self, name: &str) -> Option<&Field> {
        self.attributes.get(name)
    }

    /// Whether there is, or may be, an attribute `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.any || self.attributes.contains_key(name)
    }

    /// The attributes, by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.attributes.iter().map(|(name, field)| (name.as_str(), field))
    }

    /// The names of the attributes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.attributes.keys().map(String::as_str)
    }

    /// Whether nothing is known of any attribute.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// Whether there are no attributes but these, because `fields.yaml` says which there are.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The topics of consent; none where nobody said which there are, and then any goes.
    pub fn topics(&self) -> Option<&BTreeSet<String>> {
        self.topics.as_ref()
    }

    /// The scores; none where nobody said which there are, and then any goes.
    pub fn scores(&self) -> Option<&Scores> {
        self.scores.as_ref()
    }

    /// The segments; none where they are not known, and then any goes.
    pub fn segments(&self) -> Option<&BTreeSet<String>> {
        self.segments.as_ref()
    }
}

/// Attributes of which nothing is known but the name.
impl<S: Into<String>> FromIterator<S> for Fields {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let attributes = names.into_iter().map(|name| (name.into(), Field::default())).collect();
        Self { attributes, ..Self::default() }
    }
}

/// Which JSON types the values of an attribute have had, as a set that only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueTypes(u8);

impl ValueTypes {
    const BOOLEAN: u8 = 1;
    const INTEGER: u8 = 2;
    const FRACTION: u8 = 4;
    const TEXT: u8 = 8;
    const LIST: u8 = 16;
    const MAP: u8 = 32;

    /// Values were there before anybody took note of types.
    pub const UNKNOWN: Self = Self(64);

    /// The type of one value; none of `null`, which is no value.
    pub fn of(value: &Value) -> Self {
        Self(match value {
            Value::Null => 0,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.is_i64() || number.is_u64() => Self::INTEGER,
            Value::Number(_) => Self::FRACTION,
            Value::String(_) => Self::TEXT,
            Value::Array(_) => Self::LIST,
            Value::Object(_) => Self::MAP,
        })
    }

    /// As it is stored.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From what is stored; bits that mean nothing here stand for types that are not known.
    pub fn from_bits(bits: i64) -> Self {
        u8::try_from(bits).ok().filter(|bits| *bits < 128).map_or(Self::UNKNOWN, Self)
    }

    /// The type that covers all of these; none if there is no such, or no value.
    pub fn field_type(self) -> Option<FieldType> {
        match self.0 {
            Self::BOOLEAN => Some(FieldType::Boolean),
            Self::INTEGER => Some(FieldType::Integer),
            bits if bits != 0 && bits & !(Self::INTEGER | Self::FRACTION) == 0 => Some(FieldType::Number),
            Self::TEXT => Some(FieldType::Text),
            _ => None,
        }
    }
}

impl std::ops::BitOrAssign for ValueTypes {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Words of CEL that cannot be names after a dot.
const CEL_WORDS: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Whether it is a word of CEL's own, which cannot stand after a dot.
pub fn is_cel_word(name: &str) -> bool {
    CEL_WORDS.contains(&name)
}

/// Whether it can stand after a dot in CEL, and needs no care in SQL: letters (a to z), digits and `_`, and no digit first.
pub fn is_identifier(name: &str) -> bool {
    name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn learnt(values: &[Value]) -> Option<FieldType> {
        let mut types = ValueTypes::default();
        values.iter().for_each(|value| types |= ValueTypes::of(value));
        ValueTypes::from_bits(types.bits().into()).field_type()
    }

    #[test]
    fn a_type_is_learnt_where_all_values_share_one() {
        assert_eq!(learnt(&[json!(1), json!(null), json!(2)]), Some(FieldType::Integer));
        assert_eq!(learnt(&[json!(1), json!(2.5)]), Some(FieldType::Number));
        assert_eq!(learnt(&[json!("a")]), Some(FieldType::Text));
        assert_eq!(learnt(&[json!(true)]), Some(FieldType::Boolean));
        assert_eq!(learnt(&[json!("a"), json!(1)]), None);
        assert_eq!(learnt(&[json!([])]), None);
        assert_eq!(learnt(&[]), None);
        assert_eq!(ValueTypes::UNKNOWN.field_type(), None);
        assert_eq!(ValueTypes::from_bits(-1), ValueTypes::UNKNOWN);
    }

    #[test]
    fn what_is_declared_stands_and_what_is_learnt_is_added() {
        let declared = BTreeMap::from([(
            "plan".to_owned(),
            Field { field_type: Some(FieldType::Text), values: vec!["free".into()], ..Field::default() },
        )]);
        let integer = ValueTypes::of(&json!(1));
        let fields = Fields::declared(declared, None)
            .learning([("plan".to_owned(), integer), ("seats".to_owned(), integer)]);
        let type_of = |fields: &Fields, name| fields.attribute(name).and_then(|field| field.field_type);
        assert_eq!(type_of(&fields, "plan"), Some(FieldType::Text));
        assert_eq!(type_of(&fields, "seats"), Some(FieldType::Integer));
        assert_eq!(type_of(&fields.declared_types(), "seats"), None);
        assert_eq!(type_of(&fields.declared_types(), "plan"), Some(FieldType::Text));
        let plan = fields.attribute("plan").unwrap();
        assert_eq!(plan.objection(&json!("free")), None);
        assert_eq!(plan.objection(&json!("fre")).as_deref(), Some("is none of free"));
        assert_eq!(plan.objection(&json!(3)).as_deref(), Some("is not of type text"));
    }

    #[test]
    fn types_admit_what_they_mean() {
        for (field_type, good, bad) in [
            (FieldType::Integer, json!(3), json!(3.5)),
            (FieldType::Number, json!(3.5), json!("3.5")),
            (FieldType::Date, json!("2024-02-29"), json!("2023-02-29")),
            (FieldType::Timestamp, json!("2024-02-29T09:00:00Z"), json!("2024-02-29")),
            (FieldType::Boolean, json!(true), json!("yes")),
            (FieldType::Text, json!("x"), json!([])),
        ] {
            assert!(field_type.admits(&good) && field_type.admits(&Value::Null), "{field_type:?}");
            assert!(!field_type.admits(&bad), "{field_type:?}");
            assert_eq!(FieldType::named(field_type.name()), Some(field_type));
        }
    }
}
