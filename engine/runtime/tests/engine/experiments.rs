//! `experiment`, as `docs/semantics.md` decides it.

use std::{collections::BTreeMap, sync::Arc};

use dripline_model::{
    decision::DecidedBy,
    id::{ContactId, WorkflowId},
    statistics::Tally,
};
use dripline_store::{
    Trial,
    postgres::{PostgresConfig, PostgresStore},
};
use dripline_test_postgres::Server;
use serde_json::json;

use crate::support::{TestApp, at};

const MAILS: &[(&str, &str)] = &[("short.txt", "S\n"), ("long.txt", "L\n"), ("after.txt", "A\n")];

fn workflow(more: &str) -> String {
    format!(
        "name: w
on: {{event: go}}
enroll: {{again: always}}
steps:
  - id: subject
    experiment:
      arms: {{short: 1, long: 1}}
      goal: {{event: clicked, within: 2d}}
{more}    paths:
      short:
        - email: {{template: short, subject: S}}
      long:
        - email: {{template: long, subject: L}}
  - email: {{template: after, subject: A}}
"
    )
}

/// What is known of the only experiment: how it stands, and the counts of all.
async fn state(app: &TestApp) -> (Trial, BTreeMap<String, Tally>) {
    let mut tx = app.store.begin().await.unwrap();
    let trial = tx.trial(WorkflowId(1), "subject").await.unwrap();
    (trial, tx.tallies(WorkflowId(1), "subject", None).await.unwrap())
}

/// By which arm each contact went, by its first mail.
async fn ways(app: &TestApp) -> BTreeMap<String, String> {
    let mut ways = BTreeMap::new();
    for (template, to) in app.mails().await {
        ways.entry(to.split('@').next().unwrap().to_owned()).or_insert(template);
    }
    ways
}

/// Lets those click who went by the arm, up to a number of them.
async fn click(app: &TestApp, arm: &str, most: usize, when: &str) {
    let ways = ways(app).await;
    let those: Vec<_> = ways.iter().filter(|(_, way)| *way == arm).map(|(who, _)| who).take(most).collect();
    let rows: Vec<_> = those
        .into_iter()
        .map(|who| dripline_store::EventRow {
            key: Some(format!("{who}/{when}")),
            contact: who.clone(),
            name: "clicked".into(),
            at: at(when),
            properties: serde_json::Map::new(),
            live: true,
        })
        .collect();
    let mut import = app.store.begin_import().await.unwrap();
    import.insert_events(&rows, app.clock.now()).await.unwrap();
    import.commit().await.unwrap();
}

use dripline_model::Clock as _;

#[tokio::test]
async fn whoever_enters_an_arm_and_reaches_the_goal_in_time_is_counted_once() {
    let app = TestApp::new(MAILS).await;
    let ids = app.contacts(40, |_| json!({})).await;
    app.publish(&workflow("      hold_out: 20\n")).await;
    app.events(40, "go", "2024-01-02T00:00:00Z").await;
    app.engine().await.settle(at("2024-01-02T00:00:00Z")).await.unwrap();
    let ways_before = ways(&app).await;
    let (_, counts) = state(&app).await;
    let entered = |arm: &str| counts[arm].contacts;
    assert_eq!(entered("short") + entered("long") + entered("hold_out"), 40);
    assert!(entered("short") > 8 && entered("long") > 8 && entered("hold_out") > 2, "{counts:?}");
    // Twice in time, exactly at the end, too late.
    click(&app, "short", 3, "2024-01-02T01:00:00Z").await;
    click(&app, "short", 3, "2024-01-03T01:00:00Z").await;
    click(&app, "long", 2, "2024-01-04T00:00:00Z").await;
    click(&app, "long", 4, "2024-01-04T00:00:01Z").await;
    app.run().await;
    let (trial, counts) = state(&app).await;
    assert_eq!((counts["short"].reached, counts["long"].reached, counts["hold_out"].reached), (3, 2, 0));
    assert_eq!(trial.verdict, None, "nothing says that it is to be decided");
    // Another time each goes the same way, and counts no second time.
    app.events(40, "go", "2024-02-02T00:00:00Z").await;
    app.run().await;
    let (_, again) = state(&app).await;
    assert_eq!(again, counts);
    let by_arm = |ways: &BTreeMap<String, String>| ways.len();
    assert_eq!(by_arm(&ways(&app).await), by_arm(&ways_before));
    let decisions = app.decisions(ids[0]).await;
    let went: Vec<_> = decisions.iter().filter(|line| line.starts_with("subject:")).collect();
    assert_eq!(went.len(), 2);
    assert_eq!(went[0], went[1]);
}

const TESTED: &str = "      significance: 0.95\n      minimum: 20\n      hold_out: 10\n";

#[tokio::test]
async fn the_better_arm_wins_by_the_test_and_everybody_later_takes_it_but_those_held_out() {
    let app = TestApp::new(MAILS).await;
    app.contacts(200, |_| json!({})).await;
    app.publish(&workflow(TESTED)).await;
    app.events(100, "go", "2024-01-02T00:00:00Z").await;
    let engine = app.engine().await;
    engine.settle(at("2024-01-02T00:00:00Z")).await.unwrap();
    click(&app, "long", 30, "2024-01-02T12:00:00Z").await;
    click(&app, "short", 4, "2024-01-02T12:00:00Z").await;
    engine.settle(at("2024-01-03T12:00:00Z")).await.unwrap();
    assert_eq!(state(&app).await.0.looks, 0, "the time of the goal is not over");
    engine.settle(at("2024-01-04T01:00:00Z")).await.unwrap();
    let (trial, counts) = state(&app).await;
    let verdict = trial.verdict.unwrap();
    assert_eq!((verdict.winner.as_str(), verdict.by, trial.looks), ("long", DecidedBy::Test, 1));
    assert_eq!(verdict.at, at("2024-01-04T01:00:00Z"));
    assert_eq!(verdict.counts, counts);
    let expected = dripline_model::statistics::p_value(counts["short"], counts["long"]);
    assert_eq!(verdict.p_value, Some(expected));
    let before = app.mails().await.len();
    // All contacts, those who went by the other arm too.
    app.events(200, "go", "2024-01-05T00:00:00Z").await;
    engine.settle(at("2024-01-05T00:00:00Z")).await.unwrap();
    let later: Vec<_> =
        app.mails().await.split_off(before).into_iter().map(|(template, _)| template).collect();
    assert!(!later.contains(&"short".to_owned()));
    let number = |template: &str| later.iter().filter(|one| *one == template).count();
    assert_eq!(number("after"), 200);
    assert!((150..200).contains(&number("long")), "{}", number("long"));
    assert_eq!(state(&app).await.1, counts, "who comes later is not counted");
}

#[tokio::test]
async fn where_there_is_no_difference_the_next_look_waits_for_half_as_many_more() {
    let app = TestApp::new(MAILS).await;
    app.contacts(100, |_| json!({})).await;
    app.publish(&workflow("      significance: 0.95\n      minimum: 20\n")).await;
    app.events(100, "go", "2024-01-02T00:00:00Z").await;
    let engine = app.engine().await;
    for hour in
        ["2024-01-02T00:00:00Z", "2024-01-05T00:00:00Z", "2024-01-05T02:00:00Z", "2024-01-06T00:00:00Z"]
    {
        engine.settle(at(hour)).await.unwrap();
    }
    let (trial, counts) = state(&app).await;
    let smallest = counts.values().map(|tally| tally.contacts).min().unwrap();
    assert_eq!((trial.looks, trial.next_size, trial.verdict), (1, smallest + smallest / 2 + 1, None));
    // Another engine asks no sooner than an hour after the last.
    app.engine().await.settle(at("2024-01-06T00:30:00Z")).await.unwrap();
    assert_eq!(state(&app).await.0.asked_at, Some(at("2024-01-06T00:00:00Z")));
}

#[tokio::test]
async fn on_its_date_the_best_arm_wins_whatever_the_difference() {
    let app = TestApp::new(MAILS).await;
    app.contacts(60, |_| json!({})).await;
    app.publish(&workflow("      until: 2024-01-20\n")).await;
    app.events(40, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    click(&app, "long", 1, "2024-01-03T00:00:00Z").await;
    app.run().await;
    assert_eq!(state(&app).await.0.verdict, None);
    let before = app.mails().await.len();
    app.events(60, "go", "2024-01-20T00:00:00Z").await;
    app.run().await;
    let verdict = state(&app).await.0.verdict.unwrap();
    assert_eq!((verdict.winner.as_str(), verdict.by), ("long", DecidedBy::Date));
    assert_eq!(verdict.at, at("2024-01-20T00:00:00Z"));
    let later = app.mails().await.split_off(before);
    assert!(later.iter().all(|(template, _)| template != "short"));
}

#[tokio::test]
async fn a_condition_counts_when_something_happens_to_the_contact() {
    let app = TestApp::new(MAILS).await;
    let ids = app.contacts(10, |n| json!({"n": n})).await;
    let text = workflow("").replace("event: clicked", "if: contact.scores.fit >= 5");
    app.publish(&text).await;
    app.publish("name: s\non: {event: scored}\nsteps:\n  - score: {name: fit, add: 5, because: so}\n").await;
    app.events(10, "go", "2024-01-02T00:00:00Z").await;
    app.events(3, "scored", "2024-01-03T00:00:00Z").await;
    app.run().await;
    let (_, counts) = state(&app).await;
    assert_eq!(counts.values().map(|tally| tally.reached).sum::<u64>(), 3);
    // Too late.
    app.events(5, "scored", "2024-01-04T00:00:01Z").await;
    app.run().await;
    assert_eq!(state(&app).await.1, counts);
    let open = app.store.begin().await.unwrap().open_arms(&ids, at("2024-01-03T00:00:00Z")).await.unwrap();
    assert_eq!(open.iter().map(|entry| entry.contact).max(), Some(ContactId(10)));
    assert_eq!(open.len(), 7);
}

#[tokio::test]
async fn postgres_counts_and_decides_the_same() {
    let Some(server) = Server::shared() else { return };
    let url = server.database().await;
    let store = PostgresStore::open(&PostgresConfig::new(&url)).await.unwrap();
    let app = TestApp::over(Arc::new(store), MAILS).await;
    app.contacts(200, |_| json!({})).await;
    app.publish(&workflow(TESTED)).await;
    app.events(100, "go", "2024-01-02T00:00:00Z").await;
    let engine = app.engine().await;
    engine.settle(at("2024-01-02T00:00:00Z")).await.unwrap();
    click(&app, "long", 30, "2024-01-02T12:00:00Z").await;
    engine.settle(at("2024-01-02T12:00:00Z")).await.unwrap();
    engine.settle(at("2024-01-04T01:00:00Z")).await.unwrap();
    let (trial, counts) = state(&app).await;
    assert_eq!(trial.verdict.map(|verdict| verdict.winner).as_deref(), Some("long"));
    assert_eq!(counts["long"].reached, 30);
}
