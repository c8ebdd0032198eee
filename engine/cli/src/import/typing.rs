//! What type the cells of a column have.

use std::str::FromStr;

use dripline_model::field::FieldType;
use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::Value;

/// A type that cells can be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    /// `true`, `false`
    Boolean,
    /// Whole numbers.
    Integer,
    /// Decimal numbers.
    Float,
    /// Dates: `2024-01-31`.
    Date,
    /// Instants, kept as RFC 3339.
    Timestamp,
    /// Everything.
    Text,
}

impl ValueType {
    /// All types, the narrowest first.
    const ALL: [Self; 6] =
        [Self::Boolean, Self::Integer, Self::Float, Self::Date, Self::Timestamp, Self::Text];

    /// The name in `--map` and in summaries.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Text => "text",
        }
    }

    /// The value of a cell, if it has this type.
    pub(crate) fn read(self, cell: &str) -> Option<Value> {
        match self {
            Self::Boolean => read_boolean(cell).map(Value::Bool),
            Self::Integer => cell.parse::<i64>().ok().map(Value::from),
            Self::Float => cell.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
            Self::Date => {
                let date = cell.parse::<civil::Date>().ok().filter(|_| cell.len() == 10)?;
                Some(Value::from(date.to_string()))
            }
            Self::Timestamp => read_time(cell).map(|at| Value::from(at.to_string())),
            Self::Text => Some(Value::from(cell)),
        }
    }

    /// The type in which the values of a declared field are read.
    pub(crate) fn of(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Text => Self::Text,
            FieldType::Number => Self::Float,
            FieldType::Integer => Self::Integer,
            FieldType::Boolean => Self::Boolean,
            FieldType::Date => Self::Date,
            FieldType::Timestamp => Self::Timestamp,
        }
    }

    /// Whether values of this type are of the type `known` to conditions.
    pub(crate) fn fits(self, known: FieldType) -> bool {
        match known {
            FieldType::Text | FieldType::Date | FieldType::Timestamp => {
                matches!(self, Self::Text | Self::Date | Self::Timestamp)
            }
            FieldType::Number | FieldType::Integer => matches!(self, Self::Integer | Self::Float),
            FieldType::Boolean => self == Self::Boolean,
        }
    }
}

impl FromStr for ValueType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| {
            format!("`{name}` is not a type; the types are {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}

/// Finds the narrowest type that every cell of a column has. Only what reads back as it was written is a number:
/// `007` and `1e5` are somebody's codes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inference {
    seen: bool,
    boolean: bool,
    integer: bool,
    float: bool,
}

impl Default for Inference {
    fn default() -> Self {
        Self { seen: false, boolean: true, integer: true, float: true }
    }
}

impl Inference {
    /// Takes a cell that is not empty into account.
    pub(crate) fn see(&mut self, cell: &str) {
        self.seen = true;
        self.boolean &= cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("false");
        let (integer, float) =
            if self.integer || self.float { (is_integer(cell), is_decimal(cell)) } else { (false, false) };
        self.integer &= integer;
        self.float &= integer || float;
    }

    /// The type; text for a column of which no cell was seen.
    pub(crate) fn value_type(self) -> ValueType {
        match self {
            Self { seen: false, .. } => ValueType::Text,
            Self { boolean: true, .. } => ValueType::Boolean,
            Self { integer: true, .. } => ValueType::Integer,
            Self { float: true, .. } => ValueType::Float,
            _ => ValueType::Text,
        }
    }
}

fn is_integer(cell: &str) -> bool {
    cell.parse::<i64>().is_ok_and(|number| number.to_string() == cell)
}

fn is_decimal(cell: &str) -> bool {
    let unsigned = cell.strip_prefix('-').unwrap_or(cell);
    unsigned.split_once('.').is_some_and(|(whole, fraction)| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // Fifteen digits are what a 64-bit float keeps.
        digits(whole)
            && digits(fraction)
            && (whole == "0" || !whole.starts_with('0'))
            // 1.10 is a version and no number, which would read back as 1.1.
            && (fraction.len() == 1 || !fraction.ends_with('0'))
            && whole.len() + fraction.len() <= 15
    })
}

/// A yes or a no as people write them in spreadsheets.
pub(crate) fn read_boolean(cell: &str) -> Option<bool> {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "1" => Some(true),
        "false" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// An instant: RFC 3339, or a date and time, or a date (midnight), both in UTC. Cut to milliseconds, the store's unit.
pub(crate) fn read_time(cell: &str) -> Option<Timestamp> {
    let at = cell.parse::<Timestamp>().ok().or_else(|| {
        let local = cell.parse::<civil::DateTime>().ok()?;
        local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(dripline_model::clock::from_ms(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inferred(cells: &[&str]) -> ValueType {
        let mut inference = Inference::default();
        cells.iter().for_each(|cell| inference.see(cell));
        inference.value_type()
    }

    #[test]
    fn a_column_has_the_narrowest_type_that_loses_nothing() {
        use ValueType::*;
        for (cells, expected) in [
            (&["1", "-20", "0"][..], Integer),
            (&["1", "2.5"], Float),
            (&["01067", "80331"], Text),
            (&["+49 30 1", "1"], Text),
            (&["9223372036854775808"], Text),
            (&["1e5"], Text),
            (&["007.5"], Text),
            (&["0.12345678901234567"], Text),
            (&["NaN", "inf"], Text),
            (&["true", "FALSE"], Boolean),
            (&["yes", "no"], Text),
            (&["0", "1"], Integer),
            (&["1", "true"], Text),
            (&[], Text),
        ] {
            assert_eq!(inferred(cells), expected, "{cells:?}");
        }
    }

    #[test]
    fn times_are_read_in_the_three_documented_ways() {
        for (cell, expected) in [
            ("2024-01-01T10:00:00+01:00", Some("2024-01-01T09:00:00Z")),
            ("2024-01-01T10:00:00Z", Some("2024-01-01T10:00:00Z")),
            ("2024-01-01 10:00:00", Some("2024-01-01T10:00:00Z")),
            ("2024-01-01", Some("2024-01-01T00:00:00Z")),
            ("2024-01-01T10:00:00.123456Z", Some("2024-01-01T10:00:00.123Z")),
            ("01/02/2024", None),
            ("2024-02-30", None),
            ("yesterday", None),
        ] {
            assert_eq!(read_time(cell).map(|at| at.to_string()).as_deref(), expected, "{cell}");
        }
    }
}
