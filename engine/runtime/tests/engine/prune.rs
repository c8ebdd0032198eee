//! What is old is forgotten while the engine runs.

use std::{sync::Arc, time::Duration};

use dripline_model::{Clock as _, duration};
use dripline_runtime::Options;
use dripline_store::Retention;
use serde_json::json;

use crate::support::{TestApp, at};

#[tokio::test]
async fn a_running_engine_forgets_what_is_old_and_goes_on_with_what_waits() {
    let app = TestApp::new(&[("hello.txt", "Hello\n")]).await;
    let ids = app.contacts(50, |_| json!({})).await;
    app.publish(
        "name: nurture
on: {event: go}
enroll: {again: always}
steps:
  - email: {template: hello, subject: Hello}
",
    )
    .await;
    app.events(50, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    app.events(10, "go", "2026-01-01T00:00:00Z").await;
    app.clock.advance_to(at("2025-06-01T00:00:00Z"));
    app.events(10, "go", "2025-06-01T00:00:00Z").await;

    let span = |text| Some(duration::parse(text).unwrap());
    let retention = Retention { events: span("1y"), decisions: span("1y"), mail_bodies: span("90d") };
    let engine = Arc::new(app.engine_with(Options { retention, ..app.options() }).await);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let watching = async {
        let due = retention.due(app.clock.now(), &jiff::tz::TimeZone::UTC);
        let done = async {
            loop {
                let mut left = 0;
                for (what, before) in &due {
                    left += app.store.count_prunable(*what, *before).await.unwrap();
                }
                if left == 0 && app.mails().await.len() == 60 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), done).await.unwrap();
        stop.send(()).unwrap();
    };
    let (ran, ()) = tokio::join!(engine.run_forever(async { stopped.await.unwrap() }), watching);
    ran.unwrap();
    let counts = app.store.counts().await.unwrap();
    assert_eq!((counts.events, counts.pending_events), (10, 10), "of 70; those of 2026 wait");
    assert!(app.decisions(ids[49]).await.is_empty());
    assert_eq!(app.decisions(ids[0]).await.len(), 2, "of the second run: it entered, and ended");
    assert_eq!(app.runs().await.len(), 60, "runs stay");
}
