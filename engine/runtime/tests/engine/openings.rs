//! Quiet hours, caps over all campaigns, priorities and expiry.

use dripline_model::{
    duration,
    id::ContactId,
    policy::{Cap, CapClass},
};
use dripline_runtime::Options;
use dripline_store::{MessageFilter, TimelineWhat};
use serde_json::json;

use crate::{
    HELLO,
    support::{TestApp, at},
};

fn cap(class: CapClass, at_most: u32, within: &str) -> Cap {
    Cap { class, at_most, within: duration::parse(within).unwrap() }
}

/// Runs until nothing is left to do, under these caps.
async fn run(app: &TestApp, caps: &[Cap]) {
    let options = Options { caps: caps.to_vec(), ..app.options() };
    app.engine_with(options).await.fast_forward(&app.clock, |_| {}).await.unwrap();
}

/// When each mail was queued, in order: `instant template`.
async fn queued(app: &TestApp) -> Vec<String> {
    let mut rows = app.store.list_messages(&MessageFilter::default(), 10_000).await.unwrap();
    rows.sort_by_key(|row| row.id);
    rows.into_iter().map(|row| format!("{} {}", row.queued_at, row.subject)).collect()
}

/// The contact's decisions with their moments, without those of entering.
async fn decided(app: &TestApp, contact: ContactId) -> Vec<String> {
    let entries = app.store.timeline(contact).await.unwrap();
    let lines = entries.into_iter().filter_map(|entry| match entry.what {
        TimelineWhat::Decision { step: Some(step), kind, reason, .. } => {
            Some(format!("{} {step} {}: {reason}", entry.at, kind.name()))
        }
        _ => None,
    });
    lines.collect()
}

fn workflow(name: &str, event: &str, settings: &str, step: &str) -> String {
    format!(
        "name: {name}\non: {{event: {event}}}\nenroll: {{again: always}}\nsettings: {{{settings}}}\nsteps:\n  - id: mail\n    email: {{template: hello, subject: {name}{step}}}\n"
    )
}

#[tokio::test]
async fn marketing_mail_waits_for_the_morning_where_the_contact_lives() {
    let app = TestApp::new(HELLO).await;
    let zones = ["Europe/Berlin", "America/New_York", "Nowhere/Land"];
    let ids = app.contacts(3, |n| json!({"time_zone": zones[n as usize - 1]})).await;
    app.publish(&workflow("promo", "go", "quiet_hours: \"20:00-08:00\"", "")).await;
    app.publish(&workflow("receipt", "go", "quiet_hours: \"20:00-08:00\"", ", transactional: true")).await;
    app.events(3, "go", "2024-01-10T21:30:00Z").await;
    run(&app, &[]).await;
    assert_eq!(
        queued(&app).await,
        [
            // 16:30 in New York; a receipt waits for nobody.
            "2024-01-10T21:30:00Z promo",
            "2024-01-10T21:30:00Z receipt",
            "2024-01-10T21:30:00Z receipt",
            "2024-01-10T21:30:00Z receipt",
            "2024-01-11T07:00:00Z promo",
            // An unknown zone counts as none: then the workspace's holds.
            "2024-01-11T08:00:00Z promo",
        ]
    );
    insta::assert_debug_snapshot!(decided(&app, ids[0]).await, @r#"
    [
        "2024-01-10T21:30:00Z mail waiting: waits until 2024-01-11T07:00:00Z: quiet hours 20:00-08:00 (Europe/Berlin)",
        "2024-01-10T21:30:00Z mail done: queued hello",
        "2024-01-11T07:00:00Z mail done: queued hello",
    ]
    "#);
}

#[tokio::test]
async fn a_cap_counts_the_mails_of_all_campaigns_and_opens_when_one_leaves_the_window() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(2, |_| json!({})).await;
    for name in ["a", "b", "c"] {
        app.publish(&workflow(name, &format!("go.{name}"), "", "")).await;
    }
    app.publish(&workflow("receipt", "buy", "", ", transactional: true")).await;
    app.events(1, "go.a", "2024-01-01T09:00:00Z").await;
    app.events(1, "buy", "2024-01-01T10:00:00Z").await;
    app.events(1, "go.b", "2024-01-02T09:00:00Z").await;
    app.events(1, "go.c", "2024-01-03T09:00:00Z").await;
    app.events(1, "go.a", "2024-01-08T09:30:00Z").await;
    run(&app, &[cap(CapClass::Marketing, 2, "7d")]).await;
    assert_eq!(
        queued(&app).await,
        [
            "2024-01-01T09:00:00Z a",
            "2024-01-01T10:00:00Z receipt",
            "2024-01-02T09:00:00Z b",
            // The first has left; a week after `b` comes the next, and so on.
            "2024-01-08T09:00:00Z c",
            "2024-01-09T09:00:00Z a",
        ]
    );
    let decided = decided(&app, ids[0]).await;
    assert_eq!(
        decided[3],
        "2024-01-03T09:00:00Z mail waiting: waits until 2024-01-08T09:00:00Z: at most 2 marketing emails in 7d"
    );
}

#[tokio::test]
async fn caps_by_class_hold_receipts_only_where_they_say_so() {
    let app = TestApp::new(HELLO).await;
    app.contacts(1, |_| json!({})).await;
    app.publish(&workflow("receipt", "buy", "", ", transactional: true")).await;
    for minute in 10..14 {
        app.events(1, "buy", &format!("2024-01-01T09:{minute}:00Z")).await;
    }
    run(&app, &[cap(CapClass::Marketing, 1, "7d"), cap(CapClass::All, 3, "1d")]).await;
    let queued = queued(&app).await;
    assert_eq!(queued.len(), 4);
    assert_eq!(queued[3], "2024-01-02T09:10:00Z receipt");
}

#[tokio::test]
async fn two_mails_of_one_moment_are_both_counted() {
    let app = TestApp::new(HELLO).await;
    app.contacts(2, |_| json!({})).await;
    // Both want to go out in one transaction, and one workflow mails twice.
    app.publish(&workflow("a", "go", "", "")).await;
    app.publish(
        "name: b\non: {event: go}\nsteps:\n  - email: {template: hello, subject: b1}\n  - email: {template: hello, subject: b2}\n",
    )
    .await;
    app.events(2, "go", "2024-01-01T09:00:00Z").await;
    run(&app, &[cap(CapClass::Marketing, 1, "1d")]).await;
    assert_eq!(
        queued(&app).await,
        [
            "2024-01-01T09:00:00Z a",
            "2024-01-01T09:00:00Z a",
            "2024-01-02T09:00:00Z b1",
            "2024-01-02T09:00:00Z b1",
            "2024-01-03T09:00:00Z b2",
            "2024-01-03T09:00:00Z b2",
        ]
    );
}

#[tokio::test]
async fn the_campaign_with_priority_goes_first_and_the_other_waits_and_says_so() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(1, |_| json!({})).await;
    // Published, and so served, in the order of their names.
    app.publish(&workflow("aside", "go", "", "")).await;
    app.publish(&workflow("launch", "go", "priority: 50", "")).await;
    app.events(1, "go", "2024-01-01T09:00:00Z").await;
    run(&app, &[cap(CapClass::Marketing, 1, "1d")]).await;
    assert_eq!(queued(&app).await, ["2024-01-01T09:00:00Z launch", "2024-01-02T09:00:00Z aside"]);
    insta::assert_debug_snapshot!(decided(&app, ids[0]).await, @r#"
    [
        "2024-01-01T09:00:00Z mail waiting: waits until 2024-01-01T09:01:00Z: `launch` goes first: at most 1 marketing email in 1d",
        "2024-01-01T09:00:00Z mail done: queued hello",
        "2024-01-01T09:01:00Z mail waiting: waits until 2024-01-02T09:00:00Z: at most 1 marketing email in 1d",
        "2024-01-02T09:00:00Z mail done: queued hello",
    ]
    "#);
}

#[tokio::test]
async fn of_equal_campaigns_the_older_run_goes_first() {
    let app = TestApp::new(HELLO).await;
    app.contacts(1, |_| json!({})).await;
    let waiting = |name: &str, event: &str, days: u32| {
        format!(
            "name: {name}\non: {{event: {event}}}\nsteps:\n  - wait: {days}d\n  - if: contact.consent.email\n    then:\n      - email: {{template: hello, subject: {name}}}\n"
        )
    };
    app.publish(&waiting("a-young", "go.young", 1)).await;
    app.publish(&waiting("b-old", "go.old", 3)).await;
    app.events(1, "go.old", "2024-01-01T09:00:00Z").await;
    app.events(1, "go.young", "2024-01-03T09:00:00Z").await;
    run(&app, &[cap(CapClass::Marketing, 1, "2d")]).await;
    // Both are due on the 4th, and both are still a condition away from their mail.
    assert_eq!(queued(&app).await, ["2024-01-04T09:00:00Z b-old", "2024-01-06T09:00:00Z a-young"]);
}

#[tokio::test]
async fn past_its_expiry_a_step_is_skipped_with_the_reason() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(1, |_| json!({})).await;
    app.publish(
        "name: promo\non: {event: go}\nsteps:
  - {id: first, email: {template: hello, subject: first}}
  - {id: second, email: {template: hello, subject: second}, expires: 2d}
  - {id: third, email: {template: hello, subject: third}, expires: 8d}
",
    )
    .await;
    app.events(1, "go", "2024-01-01T09:00:00Z").await;
    run(&app, &[cap(CapClass::Marketing, 1, "7d")]).await;
    assert_eq!(queued(&app).await, ["2024-01-01T09:00:00Z first", "2024-01-08T09:00:00Z third"]);
    insta::assert_debug_snapshot!(decided(&app, ids[0]).await, @r#"
    [
        "2024-01-01T09:00:00Z first done: queued hello",
        "2024-01-01T09:00:00Z second skipped: skipped: at most 1 marketing email in 7d, until 2024-01-08T09:00:00Z; `expires: 2d` ends at 2024-01-03T09:00:00Z",
        "2024-01-01T09:00:00Z third waiting: waits until 2024-01-08T09:00:00Z: at most 1 marketing email in 7d",
        "2024-01-08T09:00:00Z third done: queued hello",
    ]
    "#);
}

#[tokio::test]
async fn a_step_that_comes_late_expires_too() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(1, |_| json!({})).await;
    app.publish(
        "name: promo\non: {event: go}\nsteps:
  - wait: 1d
  - {id: mail, email: {template: hello, subject: first}, expires: 2h}
",
    )
    .await;
    app.events(1, "go", "2024-01-01T09:00:00Z").await;
    app.engine().await.settle(at("2024-01-01T09:00:00Z")).await.unwrap();
    // Nothing ran for three days.
    app.engine().await.settle(at("2024-01-04T09:00:00Z")).await.unwrap();
    assert_eq!(queued(&app).await, [""; 0]);
    assert_eq!(
        decided(&app, ids[0]).await.last().unwrap(),
        "2024-01-04T09:00:00Z mail skipped: skipped: it was due at 2024-01-02T09:00:00Z, and `expires: 2h` ended at 2024-01-02T11:00:00Z"
    );
}

#[tokio::test]
async fn a_step_that_fails_is_skipped_or_stops_the_run_as_it_says() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(1, |_| json!({"poison": 1})).await;
    app.publish(
        "name: poisoned\non: {event: go}\nsettings: {on_error: skip}\nsteps:
  - {id: often, misbehaving: {do: trap, trap_at: contact.poison}, retry: {times: 1, pause: 10m}}
  - {id: mail, email: {template: hello, subject: on}}
  - {id: never, misbehaving: {do: trap, trap_at: contact.poison}, on_error: stop}
",
    )
    .await;
    app.events(1, "go", "2024-01-01T09:00:00Z").await;
    run(&app, &[]).await;
    insta::assert_debug_snapshot!(decided(&app, ids[0]).await, @r#"
    [
        "2024-01-01T09:00:00Z often retrying: try 1 of 2 failed (trap): plugin `misbehaving` failed: its code trapped: wasm `unreachable` instruction executed; its last words: thread '<unnamed>' (1) panicked at plugins/misbehaving/src/lib.rs:113:5:\nthis contact is poison; again at 2024-01-01T09:10:00Z",
        "2024-01-01T09:10:00Z often skipped: skipped, for it failed (trap): plugin `misbehaving` failed: its code trapped: wasm `unreachable` instruction executed; its last words: thread '<unnamed>' (1) panicked at plugins/misbehaving/src/lib.rs:113:5:\nthis contact is poison",
        "2024-01-01T09:10:00Z mail done: queued hello",
        "2024-01-01T09:10:00Z never failed: failed (trap): plugin `misbehaving` failed: its code trapped: wasm `unreachable` instruction executed; its last words: thread '<unnamed>' (1) panicked at plugins/misbehaving/src/lib.rs:113:5:\nthis contact is poison",
    ]
    "#);
}
