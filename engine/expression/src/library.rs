//! The functions of the language: CEL's own, and those that Dripline does differently.

use std::{
    any::Any,
    sync::{Arc, LazyLock},
};

use crate::{time, types::Type};
use cel::{
    Env, ExecutionError,
    common::{
        types::{
            CelBool, CelDouble, CelInt, CelString, CelTimestamp, DURATION_TYPE, DYN_TYPE, INT_TYPE,
            STRING_TYPE, TIMESTAMP_TYPE, Type as CelType,
        },
        value::{CowVal, StaticVal, Val},
    },
};

/// A function that expressions may call.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// What it may be called on; empty for a function that stands alone.
    pub(crate) on: &'static [Type],
    /// Its arguments.
    pub(crate) takes: &'static [Type],
    /// How many of the arguments may be left out, from the end.
    pub(crate) optional: usize,
    pub(crate) gives: Type,
    /// How to call it, for help.
    pub(crate) usage: &'static str,
}

const fn function(
    name: &'static str,
    on: &'static [Type],
    takes: &'static [Type],
    gives: Type,
    usage: &'static str,
) -> Function {
    Function { name, on, takes, optional: 0, gives, usage }
}

/// A function of a text whose last argument may be left out.
const fn text_function(
    name: &'static str,
    takes: &'static [Type],
    gives: Type,
    usage: &'static str,
) -> Function {
    Function { name, on: &[Type::Text], takes, optional: 1, gives, usage }
}

/// A part of a point in time, in UTC or in the time zone given.
const fn calendar(name: &'static str, usage: &'static str) -> Function {
    Function { name, on: &[Type::Timestamp], takes: &[Type::Text], optional: 1, gives: Type::Number, usage }
}

/// A part of a point in time or a duration.
const fn clock(name: &'static str, usage: &'static str) -> Function {
    Function {
        name,
        on: &[Type::Timestamp, Type::Duration],
        takes: &[Type::Text],
        optional: 1,
        gives: Type::Number,
        usage,
    }
}

/// Every function; a name may stand here once standing alone and once called on a value. What else the `cel` crate
/// registers (raw bytes, unsigned numbers, text functions whose results grow without bound) has no use in a condition.
pub(crate) const FUNCTIONS: &[Function] = &[
    function("size", &[], &[Type::Any], Type::Number, "size(contact.tags)"),
    function("int", &[], &[Type::Any], Type::Number, "int(contact.employees)"),
    function("double", &[], &[Type::Any], Type::Number, "double(contact.amount)"),
    function("string", &[], &[Type::Any], Type::Text, "string(contact.employees)"),
    function("bool", &[], &[Type::Any], Type::Boolean, "bool(contact.active)"),
    function("timestamp", &[], &[Type::Any], Type::Timestamp, "timestamp(contact.renewal_date)"),
    function("duration", &[], &[Type::Any], Type::Duration, "duration(\"30d\")"),
    function("size", &[Type::Text, Type::List, Type::Map], &[], Type::Number, "contact.tags.size()"),
    function("contains", &[Type::Text], &[Type::Text], Type::Boolean, "contact.title.contains(\"VP\")"),
    function("startsWith", &[Type::Text], &[Type::Text], Type::Boolean, "contact.title.startsWith(\"VP\")"),
    function("endsWith", &[Type::Text], &[Type::Text], Type::Boolean, "contact.email.endsWith(\".edu\")"),
    function(
        "matches",
        &[Type::Text],
        &[Type::Text],
        Type::Boolean,
        "contact.title.matches(\"(?i)vp|head\")",
    ),
    function("lowerAscii", &[Type::Text], &[], Type::Text, "contact.title.lowerAscii()"),
    function("upperAscii", &[Type::Text], &[], Type::Text, "contact.country.upperAscii()"),
    function("trim", &[Type::Text], &[], Type::Text, "contact.title.trim()"),
    text_function("split", &[Type::Text, Type::Number], Type::List, "contact.email.split(\"@\")"),
    Function {
        name: "join",
        on: &[Type::List],
        takes: &[Type::Text],
        optional: 1,
        gives: Type::Text,
        usage: "contact.tags.join(\", \")",
    },
    function("charAt", &[Type::Text], &[Type::Number], Type::Text, "contact.code.charAt(0)"),
    text_function("indexOf", &[Type::Text, Type::Number], Type::Number, "contact.email.indexOf(\"@\")"),
    text_function(
        "lastIndexOf",
        &[Type::Text, Type::Number],
        Type::Number,
        "contact.email.lastIndexOf(\".\")",
    ),
    text_function("substring", &[Type::Number, Type::Number], Type::Text, "contact.code.substring(0, 3)"),
    calendar("getFullYear", "now.getFullYear()"),
    calendar("getMonth", "now.getMonth(\"Europe/Berlin\") // 0 is January"),
    calendar("getDate", "now.getDate(\"Europe/Berlin\") // from 1"),
    calendar("getDayOfMonth", "now.getDayOfMonth() // from 0"),
    calendar("getDayOfWeek", "now.getDayOfWeek(\"Europe/Berlin\") // 0 is Sunday"),
    calendar("getDayOfYear", "now.getDayOfYear() // from 0"),
    clock("getHours", "now.getHours(\"Europe/Berlin\")"),
    clock("getMinutes", "now.getMinutes()"),
    clock("getSeconds", "now.getSeconds()"),
    clock("getMilliseconds", "now.getMilliseconds()"),
    function("hasValue", &[Type::Optional], &[], Type::Boolean, "contact.?title.hasValue()"),
    function("orValue", &[Type::Optional], &[Type::Any], Type::Any, "contact.?title.orValue(\"\")"),
    function("value", &[Type::Optional], &[], Type::Any, "contact.?title.value()"),
    function(
        "or",
        &[Type::Optional],
        &[Type::Optional],
        Type::Optional,
        "contact.?nickname.or(contact.?first_name)",
    ),
];

/// The macros with how to call them.
pub(crate) const MACROS: &[(&str, &str)] = &[
    ("has", "has(contact.title)"),
    ("all", "contact.tags.all(tag, tag.startsWith(\"eu-\"))"),
    ("exists", "contact.tags.exists(tag, tag == \"vip\")"),
    ("exists_one", "contact.tags.exists_one(tag, tag == \"vip\")"),
    ("map", "contact.tags.map(tag, tag.lowerAscii())"),
    ("filter", "contact.tags.filter(tag, tag != \"vip\")"),
];

/// The names of all functions and macros.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS
        .iter()
        .map(|function| function.name)
        .chain(MACROS.iter().map(|(name, _)| *name))
        .chain(["events"])
}

/// What people from other languages call a function.
pub(crate) fn other_word(name: &str) -> Option<&'static str> {
    Some(match name {
        "lower" | "toLower" | "toLowerCase" | "lowercase" => "lowerAscii",
        "upper" | "toUpper" | "toUpperCase" | "uppercase" => "upperAscii",
        "includes" | "like" => "contains",
        "beginsWith" | "hasPrefix" => "startsWith",
        "hasSuffix" => "endsWith",
        "len" | "length" | "count" => "size",
        "date" | "datetime" => "timestamp",
        "any" | "some" => "exists",
        "every" => "all",
        _ => return None,
    })
}

/// The functions with this name, called on a value or standing alone.
pub(crate) fn find(name: &str, on_value: bool) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name && function.on.is_empty() != on_value)
}

/// The name under which Dripline's own implementation of a function or operator is registered, where it has one.
///
/// - Arithmetic mixes whole and other numbers, which CEL's does not: `contact.amount * 2` holds for 250.5 too.
/// - `timestamp` takes a date, and a date and time without an offset as UTC.
/// - `duration` takes days and weeks (`30d`), of 24 hours each.
pub(crate) fn replacement(name: &str) -> Option<&'static str> {
    Some(match name {
        "_+_" => "@+",
        "_-_" => "@-",
        "_*_" => "@*",
        "_/_" => "@/",
        "_%_" => "@%",
        "timestamp" => "@timestamp",
        "duration" => "@duration",
        _ => return None,
    })
}

/// The name under which `matches` with a ready pattern is registered; CEL's own compiles the pattern for each call.
pub(crate) const MATCHES: &str = "@matches";

/// The environment of every expression.
pub(crate) fn env() -> &'static Arc<Env> {
    static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut env = Env::stdlib();
        let ours: [(&str, Vec<CelType>, cel::common::functions::Function); 11] = [
            ("@+", vec![DYN_TYPE, DYN_TYPE], |args| {
                arithmetic(args, "add", |a, b| Some(a.as_adder()?.add(b)))
            }),
            ("@-", vec![DYN_TYPE, DYN_TYPE], |args| {
                arithmetic(args, "sub", |a, b| Some(a.as_subtractor()?.sub(b)))
            }),
            ("@*", vec![DYN_TYPE, DYN_TYPE], |args| {
                arithmetic(args, "mul", |a, b| Some(a.as_multiplier()?.mul(b)))
            }),
            ("@/", vec![DYN_TYPE, DYN_TYPE], |args| {
                arithmetic(args, "div", |a, b| Some(a.as_divider()?.div(b)))
            }),
            ("@%", vec![DYN_TYPE, DYN_TYPE], |args| {
                arithmetic(args, "rem", |a, b| Some(a.as_modder()?.modulo(b)))
            }),
            ("@timestamp", vec![STRING_TYPE], timestamp),
            ("@timestamp", vec![TIMESTAMP_TYPE], |args| args.into_iter().next().ok_or_else(nothing)),
            ("@timestamp", vec![INT_TYPE], timestamp_of_seconds),
            ("@duration", vec![STRING_TYPE], duration),
            ("@duration", vec![DURATION_TYPE], |args| args.into_iter().next().ok_or_else(nothing)),
            (MATCHES, vec![STRING_TYPE, PATTERN], matches),
        ];
        let added = cel::extensions::strings(&mut env).and_then(|()| {
            ours.into_iter().enumerate().try_for_each(|(id, (name, takes, body))| {
                env.add_overload(name, &format!("{name}_{id}"), takes, body)
            })
        });
        debug_assert_eq!(added, Ok(()), "the names are ours and distinct");
        Arc::new(env)
    });
    &ENV
}

fn nothing() -> ExecutionError {
    ExecutionError::missing_argument_or_target()
}

type Operation =
    for<'b, 'v> fn(&'b (dyn Val + 'v), &(dyn Val + 'v)) -> Option<Result<CowVal<'b, 'v>, ExecutionError>>;

/// Applies an arithmetic operator; where one side is a whole number and the other is not, both count as not whole.
fn arithmetic<'b, 'v>(
    args: Vec<CowVal<'b, 'v>>,
    name: &'static str,
    operation: Operation,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let mut args = args.into_iter();
    let (Some(left), Some(right)) = (args.next(), args.next()) else { return Err(nothing()) };
    let float = |val: &CowVal<'b, 'v>| val.downcast_ref::<CelDouble>().is_some();
    let (left, right) = match (float(&left), float(&right)) {
        (false, true) => (widened(left), right),
        (true, false) => (left, widened(right)),
        _ => (left, right),
    };
    match operation(left.as_ref(), right.as_ref()) {
        Some(result) => Ok(CowVal::Owned(result?.into_owned())),
        None => Err(ExecutionError::no_such_overload(
            name,
            vec![left.get_type().name().to_owned(), right.get_type().name().to_owned()],
        )),
    }
}

/// A whole number as one that need not be whole; anything else as it is. Precise up to 2^53.
fn widened<'b, 'v>(val: CowVal<'b, 'v>) -> CowVal<'b, 'v> {
    match val.downcast_ref::<CelInt>().map(|int| *int.inner() as f64) {
        Some(float) => CowVal::owned(CelDouble::from(float)),
        None => val,
    }
}

fn text<'c>(args: &'c [CowVal<'_, '_>]) -> Result<&'c str, ExecutionError> {
    args.first().and_then(|arg| arg.downcast_ref::<CelString<'_>>()).map(CelString::inner).ok_or_else(nothing)
}

fn timestamp<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = text(&args)?;
    time::instant(text).and_then(time::to_cel).map(CowVal::owned::<CelTimestamp>).ok_or_else(|| {
        ExecutionError::function_error("timestamp", format!("\"{}\" is not a date", shortened(text)))
    })
}

/// So many seconds after the beginning of 1970.
fn timestamp_of_seconds<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let seconds = args.first().and_then(|arg| arg.downcast_ref::<CelInt>()).map(|int| *int.inner());
    let seconds = seconds.ok_or_else(nothing)?;
    let at = jiff::Timestamp::from_second(seconds).ok().filter(|at| time::is_in_range(*at));
    at.and_then(time::to_cel).map(CowVal::owned::<CelTimestamp>).ok_or_else(|| {
        ExecutionError::function_error("timestamp", format!("{seconds} seconds are beyond the calendar"))
    })
}

fn duration<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = text(&args)?;
    time::duration(text).map(CowVal::owned).ok_or_else(|| {
        ExecutionError::function_error("duration", format!("\"{}\" is not a duration", shortened(text)))
    })
}

fn matches<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let pattern = args.get(1).and_then(|arg| arg.downcast_ref::<Pattern>()).ok_or_else(nothing)?;
    Ok(CowVal::owned(CelBool::from(pattern.0.is_match(text(&args)?))))
}

/// The start of a text from a contact, for messages.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A compiled regular expression as a value, so that an expression compiles its patterns once.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(pub(crate) regex::Regex);

const PATTERN: CelType = CelType::new_unspecified_type("pattern");

impl Val for Pattern {
    fn get_type(&self) -> &CelType {
        Self::cel_type()
    }

    fn cel_type() -> &'static CelType {
        static TYPE: CelType = PATTERN;
        &TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

#[cfg(test)]
mod tests {
    use dripline_model::{Contact, batch::ColumnType, id::ContactId};
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::{Expression, Scope, Subject, types::Type};

    #[test]
    fn every_function_that_is_offered_exists_and_every_example_works() {
        let mut contact = Contact::new(ContactId(1));
        contact.email = Some("a@b.edu".into());
        contact.tags.insert("vip".into());
        let attributes = json!({"employees": 3, "amount": 2.5, "active": "true", "renewal_date": "2024-03-01",
            "title": "VP", "country": "de", "code": "abcd"});
        contact.attributes = attributes.as_object().unwrap().clone();
        let examples = FUNCTIONS
            .iter()
            .map(|f| (f.usage, f.gives))
            .chain(MACROS.iter().map(|(_, usage)| (*usage, Type::Any)));
        for (usage, gives) in examples {
            // Whatever it gives, seen as a condition.
            let source = match gives {
                Type::Boolean => usage.to_owned(),
                _ => format!("[\n{usage}\n] != []"),
            };
            let expression = Expression::compile(&source, ColumnType::Boolean, &Scope::default()).unwrap();
            let subject = Subject::new(&contact, None, Timestamp::UNIX_EPOCH);
            match expression.test(&subject) {
                Ok(_) => {}
                Err(error) => {
                    assert!(usage.contains(".value()") || usage.contains(".or("), "{usage}: {error}")
                }
            }
        }
    }
}
