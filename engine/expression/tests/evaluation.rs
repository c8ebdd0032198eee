//! What expressions mean.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use dripline_expression::{Expression, Scope, Subject, Value};
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::{EventView, Needs},
    id::ContactId,
};
use serde_json::json;

fn contact() -> Contact {
    let mut contact = Contact::new(ContactId(7));
    contact.email = Some("ada@example.com".into());
    contact.attributes = json!({
        "first_name": "Ada", "title": "Head of Engines", "country": "AT", "employees": 250, "amount": 250.5, "half": 0.5,
        "active": true, "phone": null, "renewal_date": "2026-03-01", "seen_at": "2026-01-01T10:00:00+01:00",
        "address": {"city": "London", "zip": null}, "interests": ["engines", "poetry"], "first name": "Ada",
    })
    .as_object()
    .unwrap()
    .clone();
    contact.scores.insert("fit".into(), 20);
    contact.consents.insert("email".into(), true);
    contact.tags.extend(["beta".to_owned(), "webinar".to_owned()]);
    contact.segments.insert("hot-leads".into());
    contact.created_at = "2025-06-01T00:00:00Z".parse().unwrap();
    contact
}

fn compile(source: &str, result: ColumnType) -> Expression {
    Expression::compile(source, result, &Scope { attributes: None, event: true, inputs: None })
        .unwrap_or_else(|problems| panic!("{source}: {problems:#?}"))
}

fn evaluate(source: &str, result: ColumnType) -> Result<Value, String> {
    let properties = json!({"plan": "pro", "seats": 3}).as_object().unwrap().clone();
    let event =
        EventView { name: "trial.started".into(), at: "2026-01-02T00:00:00Z".parse().unwrap(), properties };
    let contact = contact();
    let subject = Subject::new(&contact, Some(&event), "2026-01-10T12:00:00Z".parse().unwrap());
    compile(source, result).evaluate(&subject).map_err(|error| error.reason)
}

#[test]
fn conditions_that_hold() {
    for source in [
        r#"contact.country == "AT" && contact.employees >= 200"#,
        r#"contact.country in ["DE", "AT"]"#,
        r#"contact.title.matches("(?i)vp|head|chief")"#,
        "contact.scores.fit + contact.scores.intent >= 20",
        "contact.scores.intent == 0",
        "contact.consent.email && !contact.consent.sms",
        r#""beta" in contact.tags && !("vip" in contact.tags)"#,
        r#""hot-leads" in contact.segments && "email" in contact.consent"#,
        r#"contact.tags.exists(tag, tag.startsWith("web"))"#,
        "contact.tags.size() == 2 && size(contact.tags) == 2",
        r#"contact.tags == ["beta", "webinar"] && contact.tags[0] == "beta""#,
        r#"contact.tags.map(t, t.upperAscii()) == ["BETA", "WEBINAR"]"#,
        r#"contact.interests.filter(i, i != "poetry").size() == 1"#,
        // A name that a macro binds hides what it is called after.
        r#"contact.tags.all(contact, contact != "vip")"#,
        "contact.id == 7",
        r#"contact.email.endsWith("@example.com") && contact.email.split("@")[1] == "example.com""#,
        r#"contact.address.city == "London""#,
        r#"contact["first name"] == "Ada""#,
        r#"contact.title.contains("Engines") && contact.title.lowerAscii().startsWith("head")"#,
        // Numbers.
        "contact.amount >= 250 && 251 > contact.amount && contact.employees < 250.5",
        "contact.amount * 2 == 501 && 2 * contact.amount == 501 && 1 + contact.half == 1.5",
        "7 / 2 == 3 && 7 / 2.0 == 3.5 && -contact.amount < 0 && 7 % 4 == 3",
        // Times.
        "now - contact.created_at > duration(\"30d\")",
        r#"timestamp(contact.renewal_date) > now && timestamp("2026-03-01") == timestamp(contact.renewal_date)"#,
        r#"timestamp(contact.seen_at) == timestamp("2026-01-01T09:00:00Z")"#,
        r#"now.getDayOfWeek("Europe/Berlin") == 6 && now.getFullYear() == 2026"#,
        r#"event.at + duration("8d 12h") == now"#,
        // The event.
        r#"event.name == "trial.started" && event.properties.plan == "pro" && event.properties.seats + 0.5 == 3.5"#,
        // What is missing.
        "!has(contact.fax) && !has(contact.phone) && has(contact.title)",
        "contact.fax == null && contact.phone == null && contact.title != null && null == contact.fax",
        "contact.address.street == null && contact.office.city == null && !has(contact.office.city)",
        "has(contact.scores.fit) && !has(contact.scores.intent) && contact.consent.sms == null && has(contact.tags)",
        r#"contact.?fax.orValue("none") == "none" && contact.?title.orValue("") == "Head of Engines""#,
        r#"contact.?address.?city.orValue("") == "London" && !contact.?office.?city.hasValue()"#,
        "contact.owner == null",
        // An error on one side of && and || gives way to the other side.
        r#"contact.country == "AT" || contact.fax == "1""#,
        r#"contact.fax == "1" || contact.country == "AT""#,
        r#"contact.active ? true : contact.fax == "1""#,
        // The contact as a whole.
        r#""title" in contact && contact["first_" + "name"] == "Ada" && contact.scores["f" + "it"] == 20"#,
        "event.size() == 3 && event.properties.size() == 2 && contact.address.size() == 1",
    ] {
        assert_eq!(evaluate(source, ColumnType::Boolean), Ok(Value::Boolean(true)), "{source}");
    }
}

#[test]
fn results_take_the_declared_type() {
    use ColumnType::{Float, Integer, Text, Timestamp};
    let at = |text: &str| Ok(Value::Timestamp(text.parse().unwrap()));
    let text = |text: &str| Ok(Value::Text(text.into()));
    assert_eq!(evaluate("contact.employees", Integer), Ok(Value::Integer(250)));
    assert_eq!(evaluate("contact.amount + 0.5", Integer), Ok(Value::Integer(251)));
    assert_eq!(evaluate("contact.amount", Integer), Err("250.5 is not a whole number".into()));
    assert_eq!(evaluate("contact.employees", Float), Ok(Value::Float(250.0)));
    assert_eq!(evaluate("1.0 / 0.0", Float), Err("inf is not a finite number".into()));
    assert_eq!(evaluate("contact.country", Text), text("AT"));
    assert_eq!(evaluate("contact.employees", Text), text("250"));
    assert_eq!(evaluate("contact.amount", Text), text("250.5"));
    assert_eq!(evaluate("contact.?country", Text), text("AT"));
    assert_eq!(evaluate("contact.?fax", Text), Err("the expression gives no value".into()));
    assert_eq!(evaluate("contact.active", Text), Err("the expression gives true or false, not text".into()));
    assert_eq!(evaluate("contact.renewal_date", Timestamp), at("2026-03-01T00:00:00Z"));
    assert_eq!(
        evaluate("timestamp(contact.renewal_date) - duration(\"1d\")", Timestamp),
        at("2026-02-28T00:00:00Z")
    );
    assert_eq!(evaluate("contact.created_at", Timestamp), at("2025-06-01T00:00:00Z"));
    assert_eq!(evaluate("contact.title", Timestamp), Err("the text is not a date".into()));
}

#[test]
fn reasons() {
    let reasons: String = [
        "contact.fax == \"1\"",
        "contact.phone == \"1\"",
        "contact.address.zip == \"1\"",
        "contact.owner == \"rep_1\"",
        "event.properties.price > 3",
        "contact.fax == \"1\" && contact.country == \"AT\"",
        "contact.title >= 200",
        "200 <= contact.title",
        "contact.title > contact.employees",
        "contact.title * 2 > 3",
        "contact.title && contact.active",
        "!contact.title",
        "contact.title ? true : false",
        "contact.employees.contains(\"a\")",
        "contact.employees.matches(\"a\")",
        "contact.title.contains(contact.employees)",
        "contact.active && (contact.country == \"AT\" && contact.title > 3)",
        "contact.active ? contact.title > 3 : true",
        "contact.employees.exists(x, x == 1)",
        "\"a\" in contact.employees",
        "contact.tags[5] == \"a\"",
        "contact.employees / 0 == 1",
        "contact.employees * 9223372036854775807 == 1",
        "timestamp(contact.title) > now",
        "contact.employees",
        "contact.tags.exists(t, t > 3)",
        "-contact.title == 3",
        "contact.address.city.street == \"a\"",
    ]
    .map(|source| format!("{source}: {}\n", evaluate(source, ColumnType::Boolean).unwrap_err()))
    .concat();
    insta::assert_snapshot!(reasons, @r#"
    contact.fax == "1": contact has no `fax`
    contact.phone == "1": contact has no `phone`
    contact.address.zip == "1": contact has no `address.zip`
    contact.owner == "rep_1": contact has no `owner`
    event.properties.price > 3: event has no property `price`
    contact.fax == "1" && contact.country == "AT": contact has no `fax`
    contact.title >= 200: `title` is text, `>=` wants a number
    200 <= contact.title: `title` is text, `<=` wants a number
    contact.title > contact.employees: `title` is text, `>` wants a number
    contact.title * 2 > 3: `title` is text, `*` wants a number
    contact.title && contact.active: `title` is text, `&&` wants true or false
    !contact.title: `title` is text, `!` wants true or false
    contact.title ? true : false: `title` is text, `?` wants true or false
    contact.employees.contains("a"): `employees` is a number, `contains` wants text
    contact.employees.matches("a"): `employees` is a number, `matches` wants text
    contact.title.contains(contact.employees): `employees` is a number, `contains` wants text
    contact.active && (contact.country == "AT" && contact.title > 3): `title` is text, `>` wants a number
    contact.active ? contact.title > 3 : true: `title` is text, `>` wants a number
    contact.employees.exists(x, x == 1): `employees` is a number, not a list
    "a" in contact.employees: `employees` is a number, `in` wants a list
    contact.tags[5] == "a": the list has fewer elements than asked for
    contact.employees / 0 == 1: a division by zero
    contact.employees * 9223372036854775807 == 1: a number or a time grows too large
    timestamp(contact.title) > now: `timestamp`: "Head of Engines" is not a date
    contact.employees: the expression gives a number, not true or false
    contact.tags.exists(t, t > 3): `>` does not go with text and a number
    -contact.title == 3: `title` is text, `-` wants a number
    contact.address.city.street == "a": contact has no `address.city.street`
    "#);
}

#[test]
fn without_an_event_its_fields_are_missing() {
    let contact = contact();
    let subject = Subject::new(&contact, None, "2026-01-10T12:00:00Z".parse().unwrap());
    let reason = compile("event.name == \"a\"", ColumnType::Boolean).test(&subject).unwrap_err();
    assert_eq!(reason.to_string(), "there is no event, and so no `event.name`");
}

#[test]
fn needs_name_what_is_read() {
    let needs = |source: &str| compile(source, ColumnType::Boolean).needs().clone();
    let attributes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        needs(r#"contact.title == "VP" || has(contact.phone) || contact.?address.?city.hasValue()"#),
        Needs { attributes: attributes(&["title", "phone", "address"]), ..Needs::default() }
    );
    assert_eq!(
        needs(
            r#"contact.scores.fit > 3 && "a" in contact.tags && contact.consent.email && "s" in contact.segments"#
        ),
        Needs { scores: true, tags: true, consents: true, segments: true, ..Needs::default() }
    );
    assert_eq!(needs("contact.owner != null"), Needs { owner: true, ..Needs::default() });
    assert_eq!(
        needs("contact.id == 1 && contact.email == \"a\" && now > contact.created_at"),
        Needs::default()
    );
    assert_eq!(
        needs("contact[event.name] == 1"),
        Needs {
            attributes: attributes(&[]),
            all_attributes: true,
            scores: true,
            tags: true,
            consents: true,
            segments: true,
            owner: true,
            ..Needs::default()
        }
    );
}
