//! Conditions on past events, and when they change by themselves.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use dripline_expression::{Expression, Scope, Subject, Value};
use dripline_model::{Contact, batch::ColumnType, contact::PastEvent, id::ContactId};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn event(when: &str, properties: Json) -> PastEvent {
    PastEvent { at: at(when), properties: properties.as_object().unwrap().clone() }
}

fn contact() -> Contact {
    let mut contact = Contact::new(ContactId(7));
    contact.created_at = at("2026-01-01T00:00:00Z");
    contact.attributes = json!({"renewal_date": "2026-03-01"}).as_object().unwrap().clone();
    contact.events.insert(
        "order.paid".into(),
        vec![
            event("2025-12-01T00:00:00Z", json!({"amount": 5, "plan": "basic"})),
            event("2026-01-01T00:00:00Z", json!({"amount": 2.5})),
            event("2026-01-05T00:00:00Z", json!({"amount": "12", "plan": null})),
            event("2026-01-09T00:00:00Z", json!({"amount": 7, "plan": "pro"})),
            event("2026-01-20T00:00:00Z", json!({"amount": 1000})),
        ],
    );
    contact
}

/// What it gives on 10 January, when the last of the events is yet to come.
fn evaluate(source: &str, result: ColumnType) -> Result<Value, String> {
    let expression = Expression::compile(source, result, &Scope::default())
        .unwrap_or_else(|problems| panic!("{source}: {problems:#?}"));
    let contact = contact();
    expression
        .evaluate(&Subject::new(&contact, None, at("2026-01-10T00:00:00Z")))
        .map_err(|error| error.reason)
}

#[test]
fn events_are_counted_summed_and_found() {
    for source in [
        r#"events("order.paid").count() == 4"#,
        r#"events("order.paid").last("30d").count() == 3"#,
        r#"events("order.paid").last(duration("30d")).count() == 3"#,
        r#"events("order.paid").last("9d").count() == 2"#,
        r#"events("order.paid").sum("amount") == 14.5"#,
        r#"events("order.paid").last("2d").sum("amount") == 7"#,
        r#"events("order.paid").sum("discount") == 0"#,
        r#"events("order.paid").max("amount") == 7 && events("order.paid").min("amount") == 2.5"#,
        r#"events("visit").never() && !events("order.paid").never()"#,
        r#"events("order.paid").last("12h").never()"#,
        r#"events("order.paid").first().at == timestamp("2025-12-01")"#,
        r#"now - events("order.paid").last().at == duration("1d")"#,
        r#"events("order.paid").last().properties.plan == "pro""#,
        r#"events("order.paid").last("30d").first().properties["amount"] == 2.5"#,
        r#"has(events("order.paid").last().properties.plan)"#,
        r#"!has(events("order.paid").last().properties.other) && !has(events("visit").last().at)"#,
        r#"events("order.paid").last().name == "order.paid""#,
        r#"events("order.paid").last() == {"name": "order.paid", "at": timestamp("2026-01-09"), "properties": {"amount": 7, "plan": "pro"}}"#,
        r#"[1, 2].exists(n, events("order.paid").count() == n * 2)"#,
    ] {
        assert_eq!(evaluate(source, ColumnType::Boolean), Ok(Value::Boolean(true)), "{source}");
    }
    let why = |source| evaluate(source, ColumnType::Boolean).unwrap_err();
    assert_eq!(
        why(r#"events("visit").max("x") > 1"#),
        r#"there is no number for `events("visit").max("x")`"#
    );
    assert_eq!(why(r#"events("visit").last().at < now"#), r#"there is no `events("visit").last()`"#);
    assert_eq!(
        why(r#"events("order.paid").last().properties.x == 1"#),
        r#"`events("order.paid").last()` has no property `x`"#
    );
}

#[test]
fn what_has_to_be_loaded_is_known_beforehand() {
    let source = r#"events("a").count() > 1 || events("b").last("1d").sum("x") > 1 || events("b").last("2d").never()
        || events("c").last().properties.y == 1"#;
    let needs = Expression::compile(source, ColumnType::Boolean, &Scope::default()).unwrap().needs().clone();
    let of = |name: &str| {
        let needs = &needs.events[name];
        (
            needs.within_ms,
            needs.properties.iter().map(String::as_str).collect::<Vec<_>>(),
            needs.all_properties,
        )
    };
    assert_eq!(of("a"), (None, vec![], false));
    assert_eq!(of("b"), (Some(2 * 86_400_000 + 1), vec!["x"], false));
    assert_eq!(of("c"), (None, vec!["y"], false));
}

#[test]
fn mistakes_are_told_with_what_would_be_right() {
    let said: Vec<String> = [
        r#"events("a")"#,
        r#"events(contact.x).count() > 1"#,
        r#"events("a").last("30d")"#,
        "events(\"a\").last(30d).count() > 1",
        r#"events("a").last("soon").count() > 1"#,
        r#"events("a").last("-1d").count() > 1"#,
        r#"events("a").size() > 1"#,
        r#"events("a").sum() > 1"#,
        r#"events("a").sum(contact.x) > 1"#,
        r#"events("a").last("1d").last("2d").count() > 1"#,
        r#"events("a").count().last("2d") > 1"#,
        r#"events("a").last().when > now"#,
        r#"event("a").count() > 1"#,
        r#"events("a").count() == "three""#,
    ]
    .into_iter()
    .map(|source| {
        let problems = Expression::compile(source, ColumnType::Boolean, &Scope::default()).unwrap_err();
        let problem = &problems[0];
        format!(
            "{} [{}] {}",
            problem.message,
            &source[problem.span.clone()],
            problem.help.as_deref().unwrap_or("")
        )
    })
    .collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    this asks nothing of the events [events("a")] for example events("visit.pricing_page").last("30d").count() >= 3
    `events` wants the name of an event, written out [events(contact.x)] for example events("visit.pricing_page").last("30d").count() >= 3
    these are events, and no value [events("a").last("30d")] ask something of them: events("visit.pricing_page").last("30d").count() >= 3
    `30d` is not a number [30d] a length of time stands in quotation marks: "30d"
    "soon" is no length of time ["soon"] write it like "30d", "12h" or "1h 30m"
    "-1d" is no length of time ["-1d"] write it like "30d", "12h" or "1h 30m"
    events cannot be asked for `size` [size] for example events("visit.pricing_page").count() >= 3
    `sum` does not take 0 arguments [sum] for example events("order.paid").sum("amount") > 100
    `sum` wants the name of a property, written out [contact.x] for example events("order.paid").sum("amount") > 100
    the time is limited twice [last] keep one
    nothing more can be asked after `count` [count] for example events("visit.pricing_page").last("30d").count() >= 3
    an event has no `when` [events("a").last().when] did you mean `event.properties.when`?
    `count` is not called like this [count] for example events("visit.pricing_page").count() >= 3
    a number never equals text [events("a").count() == "three"] leave the quotation marks off the number, or put both sides between them
    "#);
}

fn rule(source: &str) -> Expression {
    Expression::compile_rule(source, &Scope::default())
        .unwrap_or_else(|problems| panic!("{source}: {problems:#?}"))
}

#[test]
fn the_next_change_is_known() {
    let contact = contact();
    let next = |source: &str, now: &str| {
        let next = rule(source).next_change(&Subject::new(&contact, None, at(now)));
        [next.once, next.repeating].map(|at| at.map_or("-".to_owned(), |at| at.to_string())).join(" ")
    };
    let day = "2026-01-10T00:00:00Z";
    assert_eq!(next("contact.country == \"DE\"", day), "- -");
    assert_eq!(next(r#"now - contact.created_at > duration("30d")"#, day), "2026-01-31T00:00:00Z -");
    assert_eq!(
        next(r#"now - contact.created_at > duration("30d")"#, "2026-01-31T00:00:00Z"),
        "2026-01-31T00:00:00.001Z -"
    );
    assert_eq!(next(r#"now - contact.created_at > duration("30d")"#, "2026-02-01T00:00:00Z"), "- -");
    assert_eq!(
        next(r#"timestamp(contact.renewal_date) - now < duration("30d")"#, day),
        "2026-01-30T00:00:00Z -"
    );
    assert_eq!(
        next(r#"contact.created_at < now - duration("1.5s")"#, "2026-01-01T00:00:00Z"),
        "2026-01-01T00:00:01.5Z -"
    );
    assert_eq!(next(r#"!(timestamp("2026-02-01") <= now) || contact.x"#, day), "2026-02-01T00:00:00Z -");
    assert_eq!(next(r#"timestamp(contact.nothing) < now"#, day), "- -");
    assert_eq!(next(r#"events("order.paid").last("30d").count() >= 3"#, day), "2026-01-31T00:00:00Z -");
    assert_eq!(next(r#"events("order.paid").last("9d").count() >= 3"#, day), "2026-01-14T00:00:00Z -");
    assert_eq!(next(r#"events("order.paid").count() >= 3"#, day), "- -");
    assert_eq!(
        next(r#"now.getMonth() == timestamp(contact.birthday).getMonth()"#, "2026-01-10T10:01:00Z"),
        "- 2026-01-10T10:15:00Z"
    );
    assert_eq!(
        next(r#"now.getMinutes("Europe/Berlin") == 3 || now.getMonth() == 1"#, day),
        "- 2026-01-10T00:01:00Z"
    );
}

/// Whatever the moment, nothing changes before the next change.
#[test]
fn nothing_changes_before_the_next_change() {
    let contact = contact();
    for source in [
        r#"now - contact.created_at > duration("2d")"#,
        r#"now - contact.created_at == duration("2d")"#,
        r#"contact.created_at + duration("36h") <= now && now < timestamp("2026-01-09T12:00:00Z")"#,
        r#"events("order.paid").last("3d").count() >= 1"#,
        r#"events("order.paid").last("4d").last().properties.amount == "12""#,
        r#"now - events("order.paid").last("5d").last().at > duration("3d")"#,
    ] {
        let rule = rule(source);
        let mut now = at("2025-12-30T00:00:00Z");
        let mut last: Option<(Result<bool, String>, Option<Timestamp>)> = None;
        while now < at("2026-01-19T00:00:00Z") {
            // New events are known to whoever inserts them, so that only those that were there at `now` are shown.
            let subject = Subject::new(&contact, None, now);
            let answer = rule.test(&subject).map_err(|error| error.reason);
            let arrived = contact.events["order.paid"].iter().any(|event| event.at == now);
            if let Some((before, next)) = &last
                && !arrived
            {
                assert!(answer == *before || next.is_some_and(|next| next <= now), "{source} at {now}");
                if next.is_some_and(|next| next > now) {
                    now = now.checked_add(jiff::SignedDuration::from_hours(3)).unwrap();
                    continue;
                }
            }
            last = Some((answer, rule.next_change(&subject).once));
            now = now.checked_add(jiff::SignedDuration::from_hours(3)).unwrap();
        }
    }
}

#[test]
fn a_rule_says_on_what_it_depends() {
    let said: Vec<String> = [
        "string(now) == \"x\"",
        "contact.tags.exists(tag, now > contact.created_at)",
        "now.getMilliseconds() == 3",
        "(now - contact.created_at).getHours() > 3",
        "now in [now]",
        "contact.segments.size() > 1",
        "size(contact) > 3",
        r#"events("segment.joined").count() > 1"#,
    ]
    .into_iter()
    .map(|source| {
        assert!(Expression::compile(source, ColumnType::Boolean, &Scope::default()).is_ok(), "{source}");
        let problems = Expression::compile_rule(source, &Scope::default()).unwrap_err();
        let problem = &problems[0];
        format!(
            "{} [{}] {}",
            problem.message,
            &source[problem.span.clone()],
            problem.help.as_deref().unwrap_or("")
        )
    })
    .collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    it cannot be told when this changes [now] compare it: now - contact.created_at > duration("30d"), or ask for a part of it: now.getMonth()
    it cannot be told when this changes [contact.tags.exists(tag, now > contact.created_at)] compare it: now - contact.created_at > duration("30d"), or ask for a part of it: now.getMonth()
    it cannot be told when this changes [now] compare it: now - contact.created_at > duration("30d"), or ask for a part of it: now.getMonth()
    it cannot be told when this changes [now] compare it: now - contact.created_at > duration("30d"), or ask for a part of it: now.getMonth()
    it cannot be told when this changes [now] compare it: now - contact.created_at > duration("30d"), or ask for a part of it: now.getMonth()
    a segment has to name the segments on which it depends [contact.segments] write "hot-leads" in contact.segments
    a segment has to name the fields on which it depends [contact] write contact.NAME
    a segment cannot depend on the events of segments [events("segment.joined").count()] ask whether the contact is a member: "hot-leads" in contact.segments
    "#);
    assert_eq!(
        rule(r#""a" in contact.segments && !("b" in contact.segments)"#)
            .segments()
            .into_iter()
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
}
