//! Whoever a rule admits is among those that its filter selects, whatever the rule and the contacts; and nobody else where
//! the filter says that it is exact.

use std::{collections::BTreeMap, sync::Arc};

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{Contact, Effect, contact::EventNeeds, filter::Filter, id::ContactId, score::Scores};
use dripline_store::{ContactRow, RowResult, Store};
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::{stores, workspace::*};

const CONTACTS: usize = 90;
const RULES: usize = 700;

/// Values as imports bring them, and as they should not.
fn value() -> impl Strategy<Value = Option<Value>> {
    let huge = "ü".repeat(3000);
    let long = format!("{}x", "a".repeat(150));
    let odd = select(vec![
        json!(null),
        json!(""),
        json!("DE"),
        json!("de"),
        json!("DE "),
        json!("Ünïcödé 😀"),
        json!("O'Brien \"x\" \\ %_"),
        json!("200"),
        json!("true"),
        json!("null"),
        json!("a\nb"),
        json!(long),
        json!(huge),
        json!(0),
        json!(1),
        json!(-1),
        json!(200),
        json!(200.0),
        json!(199.999_999_999_999_97),
        json!(0.1),
        json!(0.30000000000000004),
        json!(-0.0),
        json!(1e300),
        json!(5e-324),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(9_007_199_254_740_993_i64),
        json!(true),
        json!(false),
        json!([]),
        json!(["DE"]),
        json!({"a": 1}),
        json!({}),
        json!("{\"a\":1}"),
    ]);
    prop_oneof![
        2 => Just(None),
        6 => odd.prop_map(Some),
        2 => any::<f64>().prop_filter("JSON has none", |float| float.is_finite()).prop_map(|float| Some(json!(float))),
        1 => "\\PC{0,12}".prop_map(|text| Some(json!(text))),
    ]
}

fn literal() -> impl Strategy<Value = String> {
    let text = select(vec!["", "DE", "de", "D", "E", "Ünï", "😀", "'", "\\\"", "%", "_", "200", "true", "a"]);
    let number = select(vec![
        "0",
        "1",
        "-1",
        "200",
        "200.0",
        "199.5",
        "0.1",
        "9007199254740991",
        "9007199254740993",
        "-5",
    ]);
    prop_oneof![
        3 => text.prop_map(|text| format!("\"{text}\"")),
        1 => Just(format!("\"{}x\"", "a".repeat(150))),
        3 => number.prop_map(str::to_owned),
        1 => select(vec!["true", "false"]).prop_map(str::to_owned),
    ]
}

fn leaf() -> impl Strategy<Value = String> {
    let field = || {
        select(vec![
            "contact.a",
            "contact.a",
            "contact.b_2",
            "contact.email",
            "contact.external_id",
            "contact.owner",
            "contact.scores.x",
            "contact.consent.news",
            "contact[\"odd name\"]",
        ])
    };
    let order = || select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let count = select(vec!["0", "1", "2", "3", "-1", "1.5"]);
    let window = select(vec!["", ".last(\"30s\")", ".last(\"1h\")"]);
    prop_oneof![
        6 => (field(), order(), literal()).prop_map(|(field, order, with)| format!("{field} {order} {with}")),
        2 => (literal(), order(), field()).prop_map(|(with, order, field)| format!("{with} {order} {field}")),
        3 => (field(), prop::collection::vec(literal(), 1..4)).prop_map(|(field, list)| format!("{field} in [{}]", list.join(", "))),
        2 => (field(), select(vec!["contains", "startsWith", "endsWith"]), literal())
            .prop_map(|(field, function, with)| format!("{field}.{function}({with})")),
        2 => field().prop_map(|field| format!("has({field})")),
        1 => field().prop_map(|field| format!("{field} != null")),
        1 => Just("contact.a".to_owned()),
        1 => select(vec!["\"vip\" in contact.tags", "\"s\" in contact.segments", "contact.consent.news", "true", "false",
            "contact.consent.news == false", "contact.tags.size() > 0", "contact.a.size() > 1",
            "contact.created_at >= timestamp(\"2023-11-14T22:13:20Z\")", "contact.a.matches(\"^D\")"]).prop_map(str::to_owned),
        3 => (window, order(), count).prop_map(|(window, order, count)| format!("events(\"visit\"){window}.count() {order} {count}")),
        1 => Just("events(\"visit\").last(\"30s\").never()".to_owned()),
        1 => Just("events(\"visit\").sum(\"n\") > 1".to_owned()),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            3 => (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} && {right})")),
            3 => (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} || {right})")),
            2 => inner.clone().prop_map(|inner| format!("!({inner})")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
        ]
    })
}

fn draw<T>(runner: &mut TestRunner, strategy: &impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).unwrap().current()
}

/// Contacts with whatever values, events, scores, tags, consents, owners and segments.
async fn fill(store: &Arc<dyn Store>, runner: &mut TestRunner) -> Vec<ContactId> {
    let mut rows = Vec::new();
    for number in 0..CONTACTS {
        let mut row = row(number);
        for name in ["a", "b_2", "odd name"] {
            if let Some(value) = draw(runner, &value()) {
                row.attributes.insert(name.to_owned(), value);
            }
        }
        row.external_id =
            draw(runner, &select(vec![Some(format!("c-{number}")), Some(format!("DE{number}"))]));
        if number % 7 == 0 {
            row.email = None;
        }
        if number % 3 == 0 {
            row.tags.push("vip".into());
        }
        row.consents = match number % 4 {
            0 => BTreeMap::new(),
            1 => BTreeMap::from([("news".to_owned(), true)]),
            _ => BTreeMap::from([("news".to_owned(), false)]),
        };
        row.created_at = Some(at(i64::try_from(number).unwrap() - 40));
        rows.push(row);
    }
    let results = import_contacts(store, &rows).await;
    let ids: Vec<ContactId> = results
        .into_iter()
        .map(|result| match result {
            RowResult::Inserted(id) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    let events: Vec<_> = rows
        .iter()
        .enumerate()
        .flat_map(|(number, row)| {
            let key = row.external_id.clone().unwrap();
            (0..number % 4).map(move |n| {
                let back = [10, 31, 5000][n] * i64::try_from(number % 5).unwrap();
                let mut event = event(0, "visit", at(100 - back));
                event.contact.clone_from(&key);
                event.properties = object(json!({"n": n}));
                event
            })
        })
        .collect();
    import_events(store, &events).await;
    let version = publish(store, "w").await;
    let runs = runs_of(store, &version, &ids, at(0)).await;
    let turns: Vec<_> = runs
        .iter()
        .enumerate()
        .map(|(number, run)| {
            let mut effects = Vec::new();
            if number % 2 == 0 {
                let points = [0, 1, 200, -5][number / 2 % 4];
                effects.push(Effect::AddScore {
                    score: "x".into(),
                    points,
                    because: "x".into(),
                    min: None,
                    max: None,
                    at_most: None,
                });
            }
            if number % 5 == 0 {
                effects.push(assign("DE"));
            }
            if number % 3 == 1 {
                effects.push(Effect::JoinSegment("s".into()));
            }
            turn(run, effects)
        })
        .collect();
    apply(store, &turns, at(0)).await;
    ids
}

async fn everybody(store: &Arc<dyn Store>, ids: &[ContactId]) -> Vec<Contact> {
    let mut needs = all_needs();
    needs.need_events("visit", &EventNeeds { all_properties: true, ..EventNeeds::default() });
    store.begin().await.unwrap().load_contacts(ids, &needs, at(100)).await.unwrap()
}

async fn check(store: &Arc<dyn Store>, contacts: &[Contact], rule: &Expression) -> bool {
    let now = at(100);
    let narrowing = rule.narrow(now, &Scores::default());
    let admitted: Vec<ContactId> = contacts
        .iter()
        .filter(|contact| rule.test(&Subject::new(contact, None, now)) == Ok(true))
        .map(|contact| contact.id)
        .collect();
    let selected = store.narrowed(&narrowing.filter).await.unwrap();
    let source = rule.source();
    for id in &admitted {
        let of = contacts.iter().find(|contact| contact.id == *id).unwrap();
        assert!(selected.contains(id), "{source} admits {of:#?}, whom {:?} leaves out", narrowing.filter);
    }
    if narrowing.is_exact {
        let other = selected.iter().find(|id| !admitted.contains(id));
        let other = contacts.iter().find(|contact| Some(&contact.id) == other);
        assert!(other.is_none(), "{source} does not admit {other:#?}, whom {:?} selects", narrowing.filter);
    }
    assert_eq!(store.count_narrowed(&narrowing.filter).await.unwrap(), selected.len() as u64, "{source}");
    narrowing.is_exact && narrowing.filter != Filter::Everyone
}

async fn check_all(store: Arc<dyn Store>) {
    let mut runner = TestRunner::deterministic();
    let ids = fill(&store, &mut runner).await;
    let contacts = everybody(&store, &ids).await;
    let texts = (0..RULES).map(|number| match number % 4 {
        // What an index finds, and what it may not know.
        0 => draw(
            &mut runner,
            &(literal(), leaf(), leaf())
                .prop_map(|(is, one, other)| format!("contact.a == {is} && {one} && {other}")),
        ),
        _ => draw(&mut runner, &rule()),
    });
    let rules: Vec<Expression> =
        texts.filter_map(|text| Expression::compile_rule(&text, &Scope::default()).ok()).collect();
    assert!(rules.len() > RULES / 3, "{} rules are right", rules.len());
    let mut exact = 0;
    for rule in &rules {
        exact += usize::from(check(&store, &contacts, rule).await);
    }
    assert!(exact > rules.len() / 4, "{exact} of {} are exact", rules.len());
    // With indexes for some of them, the answers are the same.
    let indexed: Vec<_> =
        rules.iter().map(|rule| rule.narrow(at(100), &Scores::default())).take(40).collect();
    store.index_for(&indexed).await.unwrap();
    for rule in rules.iter().take(150) {
        check(&store, &contacts, rule).await;
    }
    // Whoever comes later is found by them too, and what nobody needs any more goes.
    let row = ContactRow { attributes: object(json!({"a": "DE", "b_2": 200})), ..row(1000) };
    import_contacts(&store, &[row]).await;
    let rule =
        Expression::compile_rule("contact.a == \"DE\" && contact.b_2 == 200", &Scope::default()).unwrap();
    let narrowing = rule.narrow(at(100), &Scores::default());
    store.index_for(std::slice::from_ref(&narrowing)).await.unwrap();
    assert!(store.count_narrowed(&narrowing.filter).await.unwrap() >= 1);
    store.index_for(&[]).await.unwrap();
    assert!(store.count_narrowed(&narrowing.filter).await.unwrap() >= 1);
}

stores! {
    async fn a_filter_never_selects_too_few(store: Arc<dyn Store>) {
        check_all(store).await;
    }
}
