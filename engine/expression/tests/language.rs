//! What CEL's own definition says, where it applies to conditions over contacts.
//!
//! The cases follow the sections of the language definition
//! (<https://github.com/google/cel-spec/blob/master/doc/langdef.md>), each with what it says there, and not what the
//! interpreter happens to do. Where Dripline differs on purpose, it says so at the end.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{Contact, batch::ColumnType, id::ContactId};

/// Whether it holds; `None` where it has no value.
fn holds(source: &str) -> Option<bool> {
    let expression = Expression::compile(source, ColumnType::Boolean, &Scope::default())
        .unwrap_or_else(|problems| panic!("{source}: {problems:#?}"));
    let mut contact = Contact::new(ContactId(1));
    let attributes = serde_json::json!({
        "one": 1, "half": 0.5, "big": i64::MAX, "text": "abc", "empty": "", "yes": true, "no": false,
        "list": [1, 2, 3], "none": [], "map": {"a": 1, "b": {"c": "d"}}, "umlaut": "größe", "emoji": "👩‍🚀", "zero": 0,
        "nested": [[1], [2, 3]], "date": "2024-02-29T12:30:15.250Z",
    });
    contact.attributes = attributes.as_object().cloned().unwrap_or_default();
    let now = "2024-03-01T00:00:00Z".parse().unwrap_or_default();
    expression.test(&Subject::new(&contact, None, now)).ok()
}

const TRUE: &[&str] = &[
    // Values: numbers, texts with their escapes and raw texts, lists, maps.
    "0x1F == 31",
    "-0x2 == -2",
    "1e3 == 1000.0",
    ".5 == 0.5",
    "'a' == \"a\"",
    r#"'\x41\u00e9\U0001F600\101' == "Aé😀A""#,
    r#"r"\d" == "\\d""#,
    r#""\"" == '"'"#,
    "'''a\nb''' == \"a\\nb\"",
    "[1, 2] == [1, 2]",
    "{\"a\": 1} == {\"a\": 1}",
    "[] == []",
    "{} == {}",
    "[1, 2] != [2, 1]",
    // Macros.
    "has(contact.map.a)",
    "!has(contact.map.z)",
    "[1, 2, 3].all(n, n > 0)",
    "[].all(n, n > 5)",
    "[1, 2].exists(n, n == 2)",
    "![].exists(n, true)",
    "[1, 2, 3].exists_one(n, n > 2)",
    "![1, 2, 3].exists_one(n, n > 1)",
    "[1, 2, 3].map(n, n * 2) == [2, 4, 6]",
    "[1, 2, 3].filter(n, n % 2 == 1) == [1, 3]",
    "{\"a\": 1, \"b\": 2}.exists(key, key == \"b\")",
    "contact.nested.exists(inner, inner.exists(n, n == 3))",
    // An error in one element does not matter where another decides.
    "[1, 0].exists(n, n == 0 || 1 / n == 5)",
    "![0, 1].all(n, 2 / n == 1)",
    // Logical operators do not depend on the order of their sides; what decides wins over an error.
    "true || contact.missing",
    "contact.missing || true",
    "!(false && contact.missing)",
    "!(contact.missing && false)",
    "1 / 0 == 1 || true",
    "!(contact.text && false)",
    "true ? true : contact.missing",
    "false ? contact.missing : true",
    // Precedence and associativity.
    "1 + 2 * 3 == 7",
    "(1 + 2) * 3 == 9",
    "10 - 4 - 3 == 3",
    "100 / 10 / 2 == 5",
    "-1 + 2 == 1",
    "!false && true || false",
    "true || false && false",
    "2 + 3 == 5 && 1 < 2",
    "false ? true : true ? true : false",
    "7 % 4 * 2 == 6",
    // Equality is that of values; numbers of different types meet on one line, other types never equal each other.
    "1 == 1.0",
    "1.0 == 1",
    "contact.one == 1.0",
    "contact.half != 0",
    "[1.0, 2.0] == [1, 2]",
    "contact.yes == true",
    "contact.list == [1, 2, 3]",
    "contact.map == {\"a\": 1, \"b\": {\"c\": \"d\"}}",
    "contact.one != \"1\"",
    "!(contact.one == \"1\")",
    "contact.yes != 1",
    "contact.none == []",
    // Order: numbers, texts by code points, false before true, times and lengths of time.
    "1 < 2",
    "1 < 1.5",
    "1.5 > 1",
    "9007199254740993 > 9007199254740992",
    "'' < 'a'",
    "'a' < 'b'",
    "'Z' < 'a'",
    "'abc' < 'abd'",
    "'é' > 'z'",
    "contact.umlaut > 'gr'",
    "false < true",
    "timestamp('2024-01-01T00:00:00Z') < timestamp('2024-01-01T00:00:01Z')",
    "duration('1m') == duration('60s')",
    "duration('-1s') < duration('0s')",
    // Arithmetic.
    "7 / 2 == 3",
    "-7 / 2 == -3",
    "7 % 2 == 1",
    "-7 % 2 == -1",
    "7.0 / 2.0 == 3.5",
    "'a' + 'b' == 'ab'",
    "[1] + [2] == [1, 2]",
    "2.0 * 3.0 == 6.0",
    "-(-3) == 3",
    "0.1 + 0.2 > 0.3",
    // Membership and indexes.
    "2 in [1, 2]",
    "!(4 in [1, 2])",
    "'a' in {'a': 1}",
    "!('z' in {'a': 1})",
    "!(1 in [])",
    "1.0 in [1, 2]",
    "'a' in ['a', 1]",
    "[1, 2, 3][0] == 1",
    "{'a': 5}['a'] == 5",
    "contact.map.b.c == 'd'",
    "contact.map['b']['c'] == 'd'",
    "contact.list[2] == 3",
    // Sizes count code points and elements.
    "size('größe') == 5",
    "size('') == 0",
    "size([1, 2]) == 2",
    "size({'a': 1}) == 1",
    "contact.text.size() == 3",
    "size(contact.emoji) == 3",
    // Texts.
    "'abc'.contains('b')",
    "'abc'.contains('')",
    "'abc'.startsWith('ab')",
    "'abc'.startsWith('')",
    "'abc'.endsWith('bc')",
    "!'abc'.contains('B')",
    "'größe'.contains('ö')",
    "'hello'.matches('^h.*o$')",
    "'foobar'.matches('o+b')",
    "!'abc'.matches('^b')",
    "'a\\nb'.matches('(?s)a.b')",
    // Conversions.
    "int('42') == 42",
    "int(3.7) == 3",
    "int(-3.7) == -3",
    "double('1.5') == 1.5",
    "double(2) == 2.0",
    "string(12) == '12'",
    "string(true) == 'true'",
    "string('a') == 'a'",
    "bool('true')",
    "!bool('false')",
    "int(timestamp('1970-01-01T00:01:00Z')) == 60",
    // Times.
    "timestamp('2024-02-29T12:30:15.250Z').getFullYear() == 2024",
    "timestamp('2024-02-29T12:30:15.250Z').getMonth() == 1",
    "timestamp('2024-02-29T12:30:15.250Z').getDate() == 29",
    "timestamp('2024-02-29T12:30:15.250Z').getDayOfMonth() == 28",
    "timestamp('2024-02-29T12:30:15.250Z').getDayOfWeek() == 4",
    "timestamp('2024-02-29T12:30:15.250Z').getDayOfYear() == 59",
    "timestamp('2024-02-29T12:30:15.250Z').getHours() == 12",
    "timestamp('2024-02-29T12:30:15.250Z').getMilliseconds() == 250",
    "timestamp('2024-02-29T23:30:00Z').getDate('Europe/Berlin') == 1",
    "timestamp('2024-02-29T00:30:00Z').getHours('-02:00') == 22",
    "timestamp('2024-03-01T00:00:00Z') - timestamp('2024-02-29T00:00:00Z') == duration('24h')",
    "timestamp('2024-02-29T00:00:00Z') + duration('24h') == timestamp('2024-03-01T00:00:00Z')",
    "duration('90m').getHours() == 1",
    "timestamp('2024-01-01T01:00:00+01:00') == timestamp('2024-01-01T00:00:00Z')",
];

/// Errors, of which nothing comes.
const NO_VALUE: &[&str] = &[
    "1 / contact.zero == 1",
    "1 % contact.zero == 1",
    "contact.big + 1 > 0",
    "-contact.big - 2 < 0",
    "contact.big * 2 > 0",
    "contact.list[3] == 1",
    "contact.list[-1] == 1",
    "{'a': 1}['b'] == 1",
    "contact.map.z == 1",
    "contact.missing == 1",
    "contact.text > 1",
    "contact.one < 'a'",
    "contact.one && true",
    "true && contact.missing",
    "contact.missing && true",
    "false || contact.missing",
    "contact.missing || false",
    "!contact.missing",
    "contact.missing ? true : true",
    "int('x') == 1",
    "double('x') == 1.0",
    "bool('x')",
    "timestamp(contact.text) < now",
    "contact.one.contains('a')",
    "contact.one in contact.text",
    "contact.text.exists(c, c == 'a')",
    "[1, 2].all(n, n / contact.zero == 1)",
];

#[test]
fn what_the_definition_says_is_so() {
    for source in TRUE {
        assert_eq!(holds(source), Some(true), "{source}");
    }
}

#[test]
fn what_the_definition_calls_an_error_has_no_value() {
    for source in NO_VALUE {
        assert_eq!(holds(source), None, "{source}");
    }
}

/// Where Dripline differs on purpose: numbers of both kinds calculate with each other, days and weeks are lengths of time,
/// and a date is a timestamp.
#[test]
fn extensions() {
    for source in [
        "1 + 0.5 == 1.5",
        "contact.half * 2 == 1.0",
        "duration('1d') == duration('24h')",
        "timestamp('2024-03-01') == now",
    ] {
        assert_eq!(holds(source), Some(true), "{source}");
    }
}
