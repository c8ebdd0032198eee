//! Many rows in one statement: an array for each column, bound in the order of `$1`, `$2`, …

use std::borrow::Cow;

/// Binds one array for each value of a row.
macro_rules! bind_columns {
    ($query:expr, $rows:expr, |$row:pat_param| $($value:expr),+ $(,)?) => {
        $query$(.bind($rows.iter().map(|$row| $value).collect::<Vec<_>>()))+
    };
}
pub(super) use bind_columns;

/// PostgreSQL keeps no NUL in a text. What a plugin or a server said may have one; it is replaced as what cannot be read.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// JSON, with NUL replaced in the same way.
pub(super) fn json(json: &str) -> Cow<'_, str> {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return Cow::Borrowed(json);
    }
    let mut clean = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(escape) = rest.find('\\') {
        let (before, escaped) = rest.split_at(escape);
        clean.push_str(before);
        // A backslash always escapes something, and what it escapes is no backslash any more.
        let (this, after) = match escaped.strip_prefix(NUL) {
            Some(after) => ("\\ufffd", after),
            None => escaped.split_at_checked(2).unwrap_or((escaped, "")),
        };
        clean.push_str(this);
        rest = after;
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// A number that is small by its nature.
pub(super) fn small(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A code.
pub(super) fn smallest(number: i64) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_replaced_and_what_only_looks_like_it_stays() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        assert_eq!(json(r#"{"a":"x\u0000y\\u0000\"\u0000"}"#), r#"{"a":"x\ufffdy\\u0000\"\ufffd"}"#);
    }
}
