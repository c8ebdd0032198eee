//! `wait_for`, as `docs/semantics.md` decides it.

use dripline_model::decision::RunStatus;
use dripline_store::ContactRow;
use serde_json::json;

use crate::support::{TestApp, at};

const MAILS: &[(&str, &str)] = &[("yes.txt", "Yes\n"), ("no.txt", "No\n")];

const CLICKED: &str = "name: w
on: {event: go}
steps:
  - wait_for: {event: clicked, within: 3d}
    then:
      - email: {template: yes, subject: Yes}
    else:
      - email: {template: no, subject: No}
";

async fn mails(app: &TestApp) -> Vec<String> {
    app.mails().await.into_iter().map(|(template, to)| format!("{template} {}", &to[..2])).collect()
}

#[tokio::test]
async fn an_event_in_time_takes_then_and_silence_takes_else() {
    let app = TestApp::new(MAILS).await;
    let ids = app.contacts(2, |_| json!({"time_zone": "Europe/Berlin"})).await;
    app.publish(CLICKED).await;
    app.events(2, "go", "2024-03-29T09:00:00Z").await;
    app.events(1, "clicked", "2024-03-30T10:00:00Z").await;
    // Three days over the night in which the clocks change in Berlin.
    let moments = app.run().await;
    assert_eq!(moments, ["2024-03-29T09:00:00Z", "2024-03-30T10:00:00Z", "2024-04-01T08:00:00Z"]);
    assert_eq!(mails(&app).await, ["yes c1", "no c2"]);
    insta::assert_debug_snapshot!([app.decisions(ids[0]).await, app.decisions(ids[1]).await], @r#"
    [
        [
            "-: enrolled, event go",
            "step-1: waiting, waits for `clicked`, until 2024-04-01T08:00:00Z",
            "step-1: branched, `clicked` arrived",
            "step-1.then-1: done, queued yes",
        ],
        [
            "-: enrolled, event go",
            "step-1: waiting, waits for `clicked`, until 2024-04-01T08:00:00Z",
            "step-1: branched, `clicked` did not arrive within 3d",
            "step-1.else-1: done, queued no",
        ],
    ]
    "#);
}

#[tokio::test]
async fn only_events_for_which_the_condition_holds_count() {
    let app = TestApp::new(MAILS).await;
    app.contacts(3, |n| json!({"least": if n == 3 { json!("much") } else { json!(2) }})).await;
    let paid = CLICKED.replace("event: clicked", "event: paid, if: event.properties.number >= contact.least");
    app.publish(&paid).await;
    app.events(3, "go", "2024-01-02T00:00:00Z").await;
    app.events(3, "paid", "2024-01-03T00:00:00Z").await;
    app.run().await;
    assert_eq!(mails(&app).await, ["yes c2", "no c1", "no c3"], "what cannot be compared does not count");
}

#[tokio::test]
async fn an_event_right_behind_the_one_that_began_the_run_counts() {
    let app = TestApp::new(MAILS).await;
    app.contacts(2, |_| json!({})).await;
    app.publish(CLICKED).await;
    app.events(2, "go", "2024-01-02T00:00:00Z").await;
    app.events(2, "other", "2024-01-02T00:00:00Z").await;
    app.events(1, "clicked", "2024-01-02T00:00:00Z").await;
    // All were there before anything was looked at.
    app.engine().await.settle(at("2024-01-02T06:00:00Z")).await.unwrap();
    assert_eq!(mails(&app).await, ["yes c1"]);
    app.run().await;
    assert_eq!(mails(&app).await, ["yes c1", "no c2"]);
}

#[tokio::test]
async fn one_event_ends_one_wait_and_not_the_next() {
    let app = TestApp::new(MAILS).await;
    app.contacts(1, |_| json!({})).await;
    app.publish("name: w\non: {event: go}\nsteps:\n  - wait_for: {event: clicked, within: 1d}\n  - wait_for: {event: clicked, within: 1d}\n    then:\n      - email: {template: yes, subject: Yes}\n    else:\n      - email: {template: no, subject: No}\n").await;
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    app.events(1, "clicked", "2024-01-02T01:00:00Z").await;
    app.run().await;
    assert_eq!(mails(&app).await, ["no c1"]);
}

#[tokio::test]
async fn while_the_engine_was_away_what_came_in_time_counts_and_what_came_late_does_not() {
    let app = TestApp::new(MAILS).await;
    app.contacts(3, |_| json!({})).await;
    app.publish(CLICKED).await;
    app.events(3, "go", "2024-01-02T00:00:00Z").await;
    app.engine().await.settle(at("2024-01-02T00:00:00Z")).await.unwrap();
    app.events(1, "clicked", "2024-01-05T00:00:00Z").await;
    // For the second contact an event that is nobody's, and then one that is too late.
    app.events(2, "other", "2024-01-03T00:00:00Z").await;
    app.events(2, "clicked", "2024-01-05T00:00:01Z").await;
    app.clock.advance_to(at("2024-01-20T00:00:00Z"));
    app.run().await;
    let mut mails = mails(&app).await;
    mails.sort();
    assert_eq!(mails, ["no c2", "no c3", "yes c1"]);
    assert!(app.runs().await.iter().all(|run| run.status == RunStatus::Completed));
}

const SCORE: &str = "name: w
on: {event: go}
steps:
  - wait_for: {if: contact.scores.fit >= 10 || contact.plan == 'pro', within: 30d}
    then:
      - email: {template: yes, subject: Yes}
    else:
      - email: {template: no, subject: No}
";

#[tokio::test]
async fn a_condition_is_looked_at_when_the_contact_changes() {
    let app = TestApp::new(MAILS).await;
    let ids = app.contacts(4, |n| json!({"plan": if n == 4 { "pro" } else { "free" }})).await;
    app.publish(SCORE).await;
    app.publish("name: score\non: {event: visit}\nenroll: {again: always}\nsteps:\n  - if: contact.external_id == 'c1'\n    score: {name: fit, add: 5, because: came}\n").await;
    app.events(4, "go", "2024-01-02T00:00:00Z").await;
    app.events(1, "visit", "2024-01-03T00:00:00Z").await;
    app.events(1, "visit", "2024-01-04T00:00:00Z").await;
    let engine = app.engine().await;
    engine.settle(at("2024-01-03T00:00:00Z")).await.unwrap();
    assert_eq!(mails(&app).await, ["yes c4"], "it held at once; 5 points are not enough");
    engine.settle(at("2024-01-04T00:00:00Z")).await.unwrap();
    assert_eq!(mails(&app).await, ["yes c4", "yes c1"]);
    // What an import brings wakes as well, and no turn is wasted on those whom it does not concern.
    let row = ContactRow {
        external_id: Some("c2".into()),
        attributes: json!({"plan": "pro"}).as_object().cloned().unwrap(),
        ..ContactRow::default()
    };
    let mut import = app.store.begin_import().await.unwrap();
    import.upsert_contacts(&[row], at("2024-01-05T00:00:00Z")).await.unwrap();
    import.commit().await.unwrap();
    let settled = engine.settle(at("2024-01-05T00:00:00Z")).await.unwrap();
    assert_eq!(settled.turns, 2);
    app.run().await;
    assert_eq!(mails(&app).await, ["yes c4", "yes c1", "yes c2", "no c3"]);
    insta::assert_debug_snapshot!(app.decisions(ids[2]).await, @r#"
    [
        "-: enrolled, event go",
        "step-1: waiting, waits for `contact.scores.fit >= 10 || contact.plan == 'pro'`, until 2024-02-02T00:00:00Z",
        "step-1: branched, `contact.scores.fit >= 10 || contact.plan == 'pro'` did not hold within 30d",
        "step-1.else-1: done, queued no",
    ]
    "#);
}

#[tokio::test]
async fn a_condition_on_the_time_comes_true_within_the_hour() {
    let app = TestApp::new(MAILS).await;
    app.contacts(1, |_| json!({"renewal": "2024-01-10T12:30:00Z"})).await;
    app.publish(
        &SCORE.replace(
            "contact.scores.fit >= 10 || contact.plan == 'pro'",
            "now >= timestamp(contact.renewal)",
        ),
    )
    .await;
    app.events(1, "go", "2024-01-10T10:00:00Z").await;
    assert_eq!(app.run().await.last().unwrap(), "2024-01-10T13:00:00Z");
    assert_eq!(mails(&app).await, ["yes c1"]);
}

#[tokio::test]
async fn a_run_that_changes_its_contact_before_it_waits_is_not_woken_by_that() {
    let app = TestApp::new(MAILS).await;
    app.contacts(1, |_| json!({"plan": "free"})).await;
    let text = SCORE.replace("steps:\n", "steps:\n  - score: {name: fit, add: 1, because: began}\n");
    app.publish(&text).await;
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    let settled = app.engine().await.settle(at("2024-01-02T00:00:00Z")).await.unwrap();
    assert_eq!(settled.turns, 2);
}

#[tokio::test]
async fn two_runs_that_wake_each_other_at_one_moment_are_stopped_as_a_loop() {
    let app = TestApp::new(MAILS).await;
    app.contacts(1, |_| json!({})).await;
    let ping = |name: &str, own: &str, other: &str| {
        format!(
            "name: {name}\non: {{event: go}}\nsteps:\n  - id: again\n    segment: {{join: {own}}}\n  - segment: {{leave: {other}}}\n  - wait_for: {{if: '\"{other}\" in contact.segments', within: 3d}}\n  - goto: again\n"
        )
    };
    app.publish(&ping("a", "ping", "pong")).await;
    app.publish(&ping("b", "pong", "ping")).await;
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    app.engine().await.settle(at("2024-01-02T00:00:00Z")).await.unwrap();
    assert!(app.runs().await.iter().any(|run| run.status == RunStatus::Failed));
}

#[tokio::test]
async fn a_wait_behind_which_nothing_comes_ends_at_once() {
    let app = TestApp::new(MAILS).await;
    app.contacts(1, |_| json!({})).await;
    app.publish("name: w\non: {event: go}\nsteps:\n  - wait_for: {event: clicked, within: 3d}\n").await;
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    assert_eq!(app.run().await, ["2024-01-02T00:00:00Z"]);
}

#[tokio::test]
async fn a_step_whose_own_if_does_not_hold_waits_for_nothing() {
    let app = TestApp::new(MAILS).await;
    app.contacts(1, |_| json!({"plan": "free"})).await;
    app.publish(&format!(
        "{}  - email: {{template: no, subject: below}}\n",
        CLICKED.replace("  - wait_for", "  - if: contact.plan == 'pro'\n    wait_for")
    ))
    .await;
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    assert_eq!(app.run().await, ["2024-01-02T00:00:00Z"]);
    assert_eq!(mails(&app).await, ["no c1"], "it goes on below the step");
}
