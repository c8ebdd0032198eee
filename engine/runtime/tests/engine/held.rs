//! Events that wait before they start a run, and runs side by side, as `docs/semantics.md` decides it.

use dripline_model::{decision::RunStatus, id::ContactId};
use serde_json::json;

use crate::support::{TestApp, at, event, on_each_store};

const MAILS: &[(&str, &str)] = &[("hi.txt", "Hi\n")];

/// What was decided about a contact that belongs to no run, and what began its runs.
async fn entries(app: &TestApp, contact: ContactId) -> Vec<String> {
    let decisions = app.decisions(contact).await;
    decisions.into_iter().filter_map(|said| said.strip_prefix("-: ").map(str::to_owned)).collect()
}

/// When the runs of a contact began, and how they stand.
async fn began(app: &TestApp) -> Vec<(String, RunStatus)> {
    let mut runs: Vec<_> =
        app.runs().await.into_iter().map(|run| (run.enrolled_at.to_string(), run.status)).collect();
    runs.sort_by(|one, other| one.0.cmp(&other.0));
    runs
}

const DEBOUNCED: &str = "name: cart
on: {event: cart.updated, if: event.properties.total > 0, debounce: {quiet: 30m, at_most: 1h}}
enroll: {if: event.properties.total < 100, again: always}
steps:
  - email: {template: hi, subject: Hi}
";

#[tokio::test]
async fn the_last_of_a_series_starts_the_run_when_it_has_been_quiet() {
    on_each_store(MAILS, async |app| {
        let ids = app.contacts(2, |_| json!({})).await;
        app.publish(DEBOUNCED).await;
        for (contact, when, total) in [
            ("c1", "2024-01-02T10:00:00Z", 10),
            ("c1", "2024-01-02T10:20:00Z", 20),
            // What the trigger does not take goes on with nothing.
            ("c1", "2024-01-02T10:45:00Z", 0),
            // This one belongs to the next series: at 10:50 it had been quiet for long enough.
            ("c1", "2024-01-02T10:50:00Z", 200),
            ("c2", "2024-01-02T10:10:00Z", 1),
        ] {
            event(&app, contact, "cart.updated", when, json!({"total": total})).await;
        }
        let moments = app.run().await;
        assert!(moments.contains(&"2024-01-02T10:40:00Z".to_owned()), "{moments:?}");
        assert_eq!(
            entries(&app, ids[0]).await,
            [
                "waiting, event cart.updated: waits until 2024-01-02T10:30:00Z, whether another follows",
                "waiting, event cart.updated: waits until 2024-01-02T10:50:00Z, whether another follows, instead of that of 2024-01-02T10:00:00Z",
                "not_enrolled, event cart.updated: `event.properties.total > 0` of the trigger does not hold",
                "waiting, event cart.updated: waits until 2024-01-02T11:20:00Z, whether another follows",
                "enrolled, event cart.updated of 2024-01-02T10:20:00Z",
                "not_enrolled, event cart.updated of 2024-01-02T10:50:00Z: `enroll.if` does not hold",
            ]
        );
        assert_eq!(
            began(&app).await,
            [
                ("2024-01-02T10:40:00Z".to_owned(), RunStatus::Completed),
                ("2024-01-02T10:50:00Z".to_owned(), RunStatus::Completed)
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_series_that_never_ends_starts_a_run_all_the_same() {
    on_each_store(MAILS, async |app| {
        app.contacts(1, |_| json!({})).await;
        app.publish(DEBOUNCED).await;
        for minute in (0..=120).step_by(20) {
            let when = format!("2024-01-02T{:02}:{:02}:00Z", 10 + minute / 60, minute % 60);
            event(&app, "c1", "cart.updated", &when, json!({"total": 1})).await;
        }
        app.run().await;
        let began: Vec<String> = began(&app).await.into_iter().map(|(at, _)| at).collect();
        assert_eq!(began, ["2024-01-02T11:00:00Z", "2024-01-02T12:00:00Z", "2024-01-02T12:30:00Z"]);
    })
    .await;
}

#[tokio::test]
async fn a_series_counts_by_the_times_of_its_events_however_late_they_are_dealt_with() {
    on_each_store(MAILS, async |app| {
        app.contacts(1, |_| json!({})).await;
        app.publish(DEBOUNCED).await;
        let engine = app.engine().await;
        event(&app, "c1", "cart.updated", "2024-01-02T10:00:00Z", json!({"total": 1})).await;
        engine.settle(at("2024-01-02T10:00:00Z")).await.unwrap();
        // The engine is away, and another process comes.
        event(&app, "c1", "cart.updated", "2024-01-02T10:29:00Z", json!({"total": 2})).await;
        let other = app.engine().await;
        other.settle(at("2024-01-02T10:58:00Z")).await.unwrap();
        assert_eq!(app.runs().await.len(), 0, "the second goes on with the series");
        other.settle(at("2024-01-02T10:59:00Z")).await.unwrap();
        assert_eq!(app.runs().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_waits_when_the_workflow_goes_is_told() {
    on_each_store(MAILS, async |app| {
        let ids = app.contacts(1, |_| json!({})).await;
        app.publish(DEBOUNCED).await;
        event(&app, "c1", "cart.updated", "2024-01-02T10:00:00Z", json!({"total": 1})).await;
        app.engine().await.settle(at("2024-01-02T10:00:00Z")).await.unwrap();
        app.store.retire_all_but(&[].into(), at("2024-01-02T10:10:00Z")).await.unwrap();
        app.run().await;
        assert_eq!(
            entries(&app, ids[0]).await[1],
            "not_enrolled, event cart.updated: the workflow was retired while it waited"
        );
        assert_eq!(app.runs().await.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn events_queue_and_start_one_after_the_other() {
    on_each_store(MAILS, async |app| {
        let ids = app.contacts(1, |_| json!({})).await;
        app.publish("name: order\non: {event: paid, if: event.properties.n != 9}\nenroll: {if: event.properties.n != 3, again: always, concurrency: queue}\nsteps:\n  - wait: 1d\n  - email: {template: hi, subject: Hi}\n").await;
        for (n, when) in [(1, "00:00"), (2, "01:00"), (3, "02:00"), (4, "03:00"), (9, "04:00")] {
            event(&app, "c1", "paid", &format!("2024-01-02T{when}:00Z"), json!({"n": n})).await;
        }
        app.run().await;
        let began: Vec<String> = began(&app).await.into_iter().map(|(at, _)| at).collect();
        assert_eq!(began, ["2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z", "2024-01-04T00:00:00Z"]);
        assert_eq!(
            entries(&app, ids[0]).await,
            [
                "enrolled, event paid",
                "waiting, event paid: waits until the run before has ended",
                "not_enrolled, event paid: `enroll.if` does not hold",
                "waiting, event paid: waits until the runs before have ended; 1 event is before it",
                "not_enrolled, event paid: `event.properties.n != 9` of the trigger does not hold",
                "enrolled, event paid of 2024-01-02T01:00:00Z",
                "enrolled, event paid of 2024-01-02T03:00:00Z",
            ]
        );
        assert_eq!(app.mails().await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_fails_or_reaches_its_goal_lets_the_next_in() {
    on_each_store(MAILS, async |app| {
        app.contacts(2, |n| json!({"poison": i32::from(n == 2)})).await;
        app.publish("name: order\non: {event: paid}\ngoals: {event: won}\nenroll: {again: always, concurrency: queue}\nsteps:\n  - wait: 1d\n  - {misbehaving: {do: trap, trap_at: contact.poison}, on_error: stop}\n  - wait: 10d\n  - exit: over\n").await;
        event(&app, "c1", "paid", "2024-01-02T00:00:00Z", json!({})).await;
        event(&app, "c1", "paid", "2024-01-02T01:00:00Z", json!({})).await;
        event(&app, "c1", "won", "2024-01-02T02:00:00Z", json!({})).await;
        event(&app, "c2", "paid", "2024-01-05T00:00:00Z", json!({})).await;
        event(&app, "c2", "paid", "2024-01-05T01:00:00Z", json!({})).await;
        app.run().await;
        assert_eq!(
            began(&app).await,
            [
                ("2024-01-02T00:00:00Z".to_owned(), RunStatus::Won),
                ("2024-01-02T02:00:00Z".to_owned(), RunStatus::Completed),
                ("2024-01-05T00:00:00Z".to_owned(), RunStatus::Failed),
                ("2024-01-06T00:00:00Z".to_owned(), RunStatus::Failed)
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn no_more_than_a_hundred_events_wait_for_their_turn() {
    let app = TestApp::new(MAILS).await;
    let ids = app.contacts(1, |_| json!({})).await;
    app.publish("name: order\non: {event: paid}\nenroll: {again: always, concurrency: queue}\nsteps:\n  - wait: 1d\n  - exit: over\n").await;
    for n in 0..102 {
        event(&app, "c1", "paid", "2024-01-02T00:00:00Z", json!({"n": n})).await;
    }
    app.engine().await.settle(at("2024-01-02T00:00:00Z")).await.unwrap();
    let said = entries(&app, ids[0]).await;
    assert_eq!(said.iter().filter(|said| said.starts_with("waiting")).count(), 100);
    let refused = "not_enrolled, event paid: is in the workflow already, and 100 events wait for their turn";
    assert!(said.iter().any(|said| said == refused), "{said:#?}");
}

#[tokio::test]
async fn parallel_runs_go_side_by_side_and_see_what_each_other_does() {
    on_each_store(MAILS, async |app| {
        let ids = app.contacts(2, |_| json!({})).await;
        app.publish("name: order\non: {event: paid}\nenroll: {again: always, concurrency: parallel}\nsteps:\n  - wait: {until: 2024-01-05T00:00}\n  - score: {name: paid, add: 1}\n  - if: contact.scores.paid == 1\n    then:\n      - email: {template: hi, subject: First}\n").await;
        for hour in 0..3 {
            let when = format!("2024-01-02T0{hour}:00:00Z");
            event(&app, "c1", "paid", &when, json!({})).await;
        }
        event(&app, "c2", "paid", "2024-01-02T00:00:00Z", json!({})).await;
        app.run().await;
        let runs = app.runs().await;
        assert_eq!(runs.iter().filter(|run| run.contact == ids[0]).count(), 3);
        assert!(runs.iter().all(|run| run.status == RunStatus::Completed));
        assert_eq!(app.contact(ids[0]).await.scores["paid"], 3);
        assert_eq!(app.mails().await.len(), 2, "the first run of each contact");
    })
    .await;
}

#[tokio::test]
async fn a_workflow_that_does_not_queue_any_more_decides_about_who_waits() {
    on_each_store(MAILS, async |app| {
        let ids = app.contacts(1, |_| json!({})).await;
        let text = |concurrency: &str| format!("name: order\non: {{event: paid}}\nenroll: {{again: always, concurrency: {concurrency}}}\nsteps:\n  - wait: 1d\n  - exit: over\n");
        app.publish(&text("queue")).await;
        for hour in 0..3 {
            event(&app, "c1", "paid", &format!("2024-01-02T0{hour}:00:00Z"), json!({})).await;
        }
        app.engine().await.settle(at("2024-01-02T02:00:00Z")).await.unwrap();
        assert_eq!(app.runs().await.len(), 1);
        app.publish(&text("parallel")).await;
        app.run().await;
        assert_eq!(app.runs().await.len(), 3);
        assert_eq!(entries(&app, ids[0]).await.len(), 5);
    })
    .await;
}
