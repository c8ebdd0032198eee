//! Goals and exits end a run wherever it stands.

use dripline_model::decision::RunStatus;
use serde_json::json;

use crate::{
    HELLO,
    support::{TestApp, at},
};

/// Each run: where it stands, how, and when it ended.
async fn runs(app: &TestApp) -> Vec<String> {
    let rows = app.runs().await;
    let line = |row: &dripline_store::RunRow| {
        let ended = row.ended_at.map(|at| at.to_string()).unwrap_or_default();
        format!("{} {} {} {ended}", row.workflow, row.step, row.status.name())
    };
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

#[tokio::test]
async fn a_goal_ends_the_run_when_its_event_arrives_and_not_when_it_wakes() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(2, |_| json!({})).await;
    app.publish(
        "name: nurture
on: {event: trial.started}
enroll: {again: always}
goals: [{event: paid, if: event.properties.number < 2}, {event: trial.started}]
exits: {event: bounced}
steps:
  - wait: 30d
  - {id: mail, email: {template: hello, subject: Still there?}}
",
    )
    .await;
    app.events(2, "trial.started", "2024-01-01T09:00:00Z").await;
    app.events(2, "paid", "2024-01-03T10:00:00Z").await;
    app.events(2, "bounced", "2024-01-05T10:00:00Z").await;
    app.run().await;
    assert_eq!(
        runs(&app).await,
        ["nurture mail won 2024-01-03T10:00:00Z", "nurture mail completed 2024-01-05T10:00:00Z"]
    );
    assert_eq!(
        app.decisions(ids[0]).await.last().unwrap(),
        "mail: ended, goal reached: event paid, and `event.properties.number < 2` holds"
    );
    assert_eq!(app.decisions(ids[1]).await.last().unwrap(), "mail: ended, left the workflow: event bounced");
    assert_eq!(app.mails().await, []);

    // What ends a run may begin the next, and does not end that.
    app.events(1, "trial.started", "2024-03-01T09:00:00Z").await;
    app.events(1, "trial.started", "2024-03-02T09:00:00Z").await;
    app.engine().await.settle(at("2024-03-02T09:00:00Z")).await.unwrap();
    assert_eq!(runs(&app).await[2..], ["nurture mail won 2024-03-02T09:00:00Z", "nurture mail active"]);
}

#[tokio::test]
async fn a_condition_is_looked_at_when_an_event_comes_a_step_changes_the_contact_and_before_each_turn() {
    let app = TestApp::new(HELLO).await;
    app.contacts(3, |n| json!({"vip": n == 1})).await;
    app.publish(
        "name: nurture
on: {event: trial.started}
goals: {if: contact.scores.fit >= 10 || contact.vip}
steps:
  - {id: wait, wait: 10d}
  - {id: again, wait: 10d}
",
    )
    .await;
    app.publish(
        "name: scoring
on: {event: visit}
enroll: {again: always}
steps:
  - score: {name: fit, add: 10, because: visited}
",
    )
    .await;
    app.events(3, "trial.started", "2024-01-01T09:00:00Z").await;
    // The first is a goal before its first turn; a step of another workflow brings the second there.
    app.events(2, "visit", "2024-01-05T09:00:00Z").await;
    app.engine().await.settle(at("2024-01-05T09:00:00Z")).await.unwrap();
    let found = runs(&app).await;
    let nurture: Vec<_> = found.iter().filter(|run| run.starts_with("nurture")).collect();
    assert_eq!(
        nurture,
        [
            "nurture wait won 2024-01-05T09:00:00Z",
            "nurture again won 2024-01-05T09:00:00Z",
            "nurture again active"
        ]
    );
}

#[tokio::test]
async fn runs_of_an_older_version_keep_its_goals() {
    let app = TestApp::new(HELLO).await;
    app.contacts(1, |_| json!({})).await;
    let workflow = |goals: &str| {
        format!("name: w\non: {{event: go}}\n{goals}steps:\n  - {{id: wait, wait: 10d}}\n  - exit: over\n")
    };
    app.publish(&workflow("goals: {event: paid}\n")).await;
    app.events(1, "go", "2024-01-01T09:00:00Z").await;
    app.engine().await.settle(at("2024-01-01T09:00:00Z")).await.unwrap();
    app.publish(&workflow("")).await;
    app.events(1, "paid", "2024-01-02T09:00:00Z").await;
    app.run().await;
    assert_eq!(app.runs().await[0].status, RunStatus::Won);
}

#[tokio::test]
async fn a_goal_right_behind_the_event_that_begins_the_run_is_reached() {
    let app = TestApp::new(&[("a.txt", "A\n")]).await;
    app.contacts(1, |_| json!({})).await;
    app.publish("name: w\non: {event: go}\ngoals: {event: paid}\nsteps:\n  - wait: 3d\n  - email: {template: a, subject: A}\n")
        .await;
    // Both were there before anything was looked at.
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    app.events(1, "paid", "2024-01-02T01:00:00Z").await;
    app.engine().await.settle(at("2024-01-02T02:00:00Z")).await.unwrap();
    assert_eq!(app.runs().await[0].status, RunStatus::Won);
}
