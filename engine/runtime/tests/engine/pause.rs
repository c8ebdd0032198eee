//! Pausing and resuming a workflow: nothing is sent twice, nothing is lost.

use dripline_model::id::WorkflowId;

use dripline_store::MessageFilter;
use serde_json::json;

use crate::{
    HELLO,
    support::{TestApp, at},
};

/// When each mail was queued, in order: `instant subject receiver`.
async fn queued(app: &TestApp) -> Vec<String> {
    let mut rows = app.store.list_messages(&MessageFilter::default(), 10_000).await.unwrap();
    rows.sort_by_key(|row| (row.queued_at, row.to.clone(), row.id));
    rows.into_iter()
        .map(|row| {
            format!("{} {} {}", row.queued_at, row.subject, row.to.split('@').next().unwrap_or_default())
        })
        .collect()
}

/// Two contacts a day apart, of whom the mails fall due on the 3rd and the 4th, a third who comes on the 3rd, and a pause
/// from the 2nd to the 10th.
async fn paused_campaign(after_pause: &str) -> TestApp {
    let app = TestApp::new(HELLO).await;
    app.contacts(3, |_| json!({})).await;
    app.publish(&format!(
        "name: w
on: {{event: go}}
settings: {{after_pause: {after_pause}}}
goals: {{event: paid}}
steps:
  - wait: 2d
  - {{id: first, email: {{template: hello, subject: first}}}}
  - wait: 1d
  - {{id: second, email: {{template: hello, subject: second}}}}
"
    ))
    .await;
    app.events(1, "go", "2024-01-01T09:00:00Z").await;
    let engine = app.engine().await;
    engine.settle(at("2024-01-01T09:00:00Z")).await.unwrap();
    app.events(2, "go", "2024-01-02T08:00:00Z").await;
    engine.settle(at("2024-01-02T08:00:00Z")).await.unwrap();
    let workflow = WorkflowId(1);
    app.store.pause(workflow, at("2024-01-02T09:00:00Z")).await.unwrap();
    app.events(3, "go", "2024-01-03T08:00:00Z").await;
    for day in ["03", "04", "05"] {
        let settled = engine.settle(at(&format!("2024-01-{day}T12:00:00Z"))).await.unwrap();
        assert_eq!(settled.turns, 0, "nobody goes on");
    }
    assert_eq!(app.runs().await.len(), 3, "who comes meanwhile enters");
    let resumed = at("2024-01-10T09:00:00Z");
    let spread = after_pause == "spread";
    app.store.resume(workflow, spread, resumed).await.unwrap();
    app.clock.advance_to(resumed);
    app
}

#[tokio::test]
async fn what_fell_due_during_a_pause_is_done_at_once() {
    let app = paused_campaign("catch_up").await;
    app.run().await;
    assert_eq!(
        queued(&app).await,
        [
            "2024-01-10T09:00:00Z first c1",
            "2024-01-10T09:00:00Z first c2",
            "2024-01-11T09:00:00Z second c1",
            "2024-01-11T09:00:00Z second c2",
            "2024-01-12T09:00:00Z first c3",
            "2024-01-13T09:00:00Z second c3",
        ]
    );
}

#[tokio::test]
async fn what_fell_due_during_a_pause_is_spread_over_its_length() {
    let app = paused_campaign("spread").await;
    app.run().await;
    // The pause was eight days long.
    assert_eq!(queued(&app).await[..2], ["2024-01-11T09:00:00Z first c1", "2024-01-12T08:00:00Z first c2"]);
    assert_eq!(queued(&app).await.len(), 6);
}

#[tokio::test]
async fn what_fell_due_during_a_pause_is_skipped_and_the_rest_goes_on() {
    let app = paused_campaign("skip").await;
    app.run().await;
    assert_eq!(
        queued(&app).await,
        [
            "2024-01-11T09:00:00Z second c1",
            "2024-01-11T09:00:00Z second c2",
            // Who came during the pause has missed nothing.
            "2024-01-12T09:00:00Z first c3",
            "2024-01-13T09:00:00Z second c3",
        ]
    );
    let runs = app.runs().await;
    let said = app.decisions(runs[0].contact).await;
    assert_eq!(
        said.iter().find(|said| said.starts_with("first: ")).unwrap(),
        "first: skipped, skipped: it was due at 2024-01-03T09:00:00Z, and the workflow was paused from 2024-01-02T09:00:00Z until 2024-01-10T09:00:00Z"
    );
}

#[tokio::test]
async fn goals_are_reached_during_a_pause_too() {
    let app = TestApp::new(HELLO).await;
    app.contacts(1, |_| json!({})).await;
    app.publish("name: w\non: {event: go}\ngoals: {event: paid}\nsteps:\n  - wait: 2d\n  - email: {template: hello, subject: x}\n")
        .await;
    app.events(1, "go", "2024-01-01T09:00:00Z").await;
    let engine = app.engine().await;
    engine.settle(at("2024-01-01T09:00:00Z")).await.unwrap();
    app.store.pause(WorkflowId(1), at("2024-01-02T09:00:00Z")).await.unwrap();
    app.events(1, "paid", "2024-01-04T09:00:00Z").await;
    engine.settle(at("2024-01-04T09:00:00Z")).await.unwrap();
    assert_eq!(app.runs().await[0].status.name(), "won");
}
