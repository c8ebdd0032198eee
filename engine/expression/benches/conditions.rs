//! What conditions cost for one contact; `docs/performance.md` holds the numbers.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{Contact, batch::ColumnType, id::ContactId};
use serde_json::json;

fn main() {
    divan::main();
}

/// Ten conditions as scoring rules and branches have them.
const CONDITIONS: [&str; 10] = [
    r#"contact.country == "DE""#,
    r#"contact.country in ["DE", "AT", "CH"]"#,
    "contact.employees >= 200",
    r#"contact.title.matches("(?i)vp|head|chief")"#,
    "contact.scores.fit + contact.scores.intent >= 30",
    "contact.consent.email",
    r#""webinar" in contact.tags && !("customer" in contact.tags)"#,
    r#"has(contact.phone) || contact.email.endsWith(".edu")"#,
    r#"now - contact.created_at > duration("30d")"#,
    r#"contact.plan == "trial" ? contact.amount * 2 > 100 : contact.amount > 100"#,
];

fn contact() -> Contact {
    let mut contact = Contact::new(ContactId(1));
    contact.email = Some("ada@example.com".into());
    let attributes = json!({
        "first_name": "Ada", "last_name": "Lovelace", "title": "Head of Engines", "country": "AT", "employees": 250,
        "plan": "trial", "amount": 99.5, "industry": "mathematics", "city": "London", "time_zone": "Europe/London",
        "language": "en",
    });
    contact.attributes = attributes.as_object().unwrap().clone();
    contact.scores.insert("fit".into(), 20);
    contact.consents.insert("email".into(), true);
    contact.tags.extend(["webinar".to_owned(), "beta".to_owned()]);
    contact
}

fn compile(source: &str) -> Expression {
    Expression::compile(source, ColumnType::Boolean, &Scope::default()).unwrap()
}

#[divan::bench]
fn ten_conditions(bencher: divan::Bencher<'_, '_>) {
    let expressions = CONDITIONS.map(compile);
    let contact = contact();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    bencher.bench_local(|| {
        let subject = Subject::new(&contact, None, now);
        expressions.iter().filter(|expression| expression.test(&subject) == Ok(true)).count()
    });
}

#[divan::bench(args = CONDITIONS)]
fn one_condition(bencher: divan::Bencher<'_, '_>, source: &str) {
    let expression = compile(source);
    let contact = contact();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    bencher.bench_local(|| expression.test(&Subject::new(&contact, None, now)));
}

#[divan::bench]
fn a_missing_attribute(bencher: divan::Bencher<'_, '_>) {
    let expression = compile("contact.revenue > 1000");
    let contact = contact();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    bencher.bench_local(|| expression.test(&Subject::new(&contact, None, now)));
}

#[divan::bench(args = CONDITIONS)]
fn compiling(source: &str) -> Expression {
    compile(source)
}
