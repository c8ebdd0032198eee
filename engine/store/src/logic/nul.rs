//! The one character that a text may have and PostgreSQL does not keep. It is refused on every database, so that a store
//! can move from one to the other.

use serde_json::{Map, Value};

/// Whether the text has a NUL.
pub(crate) fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// The complaint about it.
pub(crate) fn nul(what: &str) -> String {
    format!("{what} contains the character NUL (U+0000), which cannot be stored")
}

/// The complaint about the first attribute or property that has one, deep inside included.
pub(crate) fn nul_in(values: &Map<String, Value>) -> Option<String> {
    let odd = values.iter().find(|(name, value)| has_nul(name) || is_in(value));
    odd.map(|(name, _)| nul(&format!("`{}`", name.replace('\0', "\\0"))))
}

fn is_in(value: &Value) -> bool {
    match value {
        Value::String(text) => has_nul(text),
        Value::Array(values) => values.iter().any(is_in),
        Value::Object(values) => values.iter().any(|(name, value)| has_nul(name) || is_in(value)),
        _ => false,
    }
}
