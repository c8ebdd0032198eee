//! Results, of the type that was declared.

use cel::common::{
    types::{CelBool, CelDouble, CelInt, CelOptional, CelString, CelTimestamp, CelUInt},
    value::Val,
};
use dripline_model::batch::ColumnType;
use jiff::Timestamp;

use crate::{time, types::Type};

/// A result.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Yes or no.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Float(f64),
    /// A text.
    Text(String),
    /// An instant.
    Timestamp(Timestamp),
}

/// `value` as the type declared, or why it is none.
pub(crate) fn typed(value: &dyn Val, declared: ColumnType) -> Result<Value, String> {
    if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        return match optional.inner() {
            Some(value) => typed(value, declared),
            None => Err("the expression gives no value".to_owned()),
        };
    }
    let whole = value
        .downcast_ref::<CelInt>()
        .map(|int| *int.inner())
        .or_else(|| value.downcast_ref::<CelUInt>().and_then(|uint| i64::try_from(*uint.inner()).ok()));
    let float = value.downcast_ref::<CelDouble>().map(|double| *double.inner());
    let text = value.downcast_ref::<CelString<'_>>().map(CelString::inner);
    let typed = match declared {
        ColumnType::Boolean => value.downcast_ref::<CelBool>().map(|yes| Value::Boolean(*yes.inner())),
        ColumnType::Integer => whole.or_else(|| whole_of(float?)).map(Value::Integer),
        ColumnType::Float => {
            whole.map(|int| int as f64).or(float).filter(|float| float.is_finite()).map(Value::Float)
        }
        ColumnType::Text => text
            .map(str::to_owned)
            .or_else(|| whole.map(|int| int.to_string()))
            .or_else(|| float.map(|float| float.to_string()))
            .map(Value::Text),
        ColumnType::Timestamp => value
            .downcast_ref::<CelTimestamp>()
            .and_then(time::from_cel)
            .or_else(|| time::instant(text?))
            .map(Value::Timestamp),
    };
    typed.ok_or_else(|| match (declared, float, text) {
        (ColumnType::Integer, Some(float), _) => format!("{float} is not a whole number"),
        (ColumnType::Float, Some(float), _) => format!("{float} is not a finite number"),
        (ColumnType::Timestamp, _, Some(_)) => "the text is not a date".to_owned(),
        _ => {
            let gives = Type::of_value(value).noun();
            format!("the expression gives {gives}, not {}", Type::of_column(declared).noun())
        }
    })
}

/// A number without a fraction, if it is one and not beyond what is exact.
fn whole_of(float: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}
