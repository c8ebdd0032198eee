//! Dates of contacts that start workflows, as `docs/semantics.md` decides it.

use dripline_model::id::ContactId;
use dripline_runtime::Options;
use serde_json::json;

use crate::support::{TestApp, at, event, on_each_store, set};

const RENEWAL: &str = "name: renewal
on: {date: contact.renewal_date, before: 30d, at: '09:00'}
enroll: {again: always}
steps:
  - exit: reminded
";

const BIRTHDAY: &str = "name: birthday
on: {date: contact.birthday, every: year, at: '09:00'}
enroll: {again: always}
steps:
  - exit: congratulated
";

/// When runs began, and whose: `c1 2024-…`.
async fn began(app: &TestApp) -> Vec<String> {
    let mut runs: Vec<_> = app
        .runs()
        .await
        .into_iter()
        .map(|run| format!("{} {}", run.enrolled_at, &run.contact_name[..2]))
        .collect();
    runs.sort();
    runs
}

async fn settle(app: &TestApp, when: &str) {
    app.engine().await.settle(at(when)).await.unwrap();
}

async fn entries(app: &TestApp, contact: ContactId) -> Vec<String> {
    let decisions = app.decisions(contact).await;
    decisions.into_iter().filter_map(|said| said.strip_prefix("-: ").map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_run_starts_so_long_before_the_date_by_the_contacts_clock() {
    on_each_store(&[], async |app| {
        let ids = app
            .contacts(6, |n| match n {
                1 => json!({"renewal_date": "2024-04-20", "time_zone": "Europe/Berlin"}),
                2 => json!({"renewal_date": "2024-04-20", "country": "JP"}),
                // Without a zone of its own: the workspace's, which is UTC.
                3 => json!({"renewal_date": "2024-04-20"}),
                // A point in time: its day in New York is the 19th.
                4 => json!({"renewal_date": "2024-04-20T02:00:00Z", "time_zone": "America/New_York"}),
                // It has passed, or is none.
                5 => json!({"renewal_date": "2024-01-15"}),
                _ => json!({"renewal_date": "soon"}),
            })
            .await;
        app.publish(RENEWAL).await;
        app.run().await;
        assert_eq!(
            began(&app).await,
            [
                "2024-03-20T13:00:00Z c4",
                "2024-03-21T00:00:00Z c2",
                "2024-03-21T08:00:00Z c1",
                "2024-03-21T09:00:00Z c3",
            ]
        );
        assert_eq!(
            entries(&app, ids[0]).await,
            ["enrolled, date 2024-04-20 (30d before contact.renewal_date, at 09:00)"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_date_comes_once_whatever_is_imported_published_and_restarted() {
    on_each_store(&[], async |app| {
        app.contacts(1, |_| json!({"renewal_date": "2024-04-20"})).await;
        app.publish(RENEWAL).await;
        settle(&app, "2024-03-21T08:59:59Z").await;
        assert_eq!(app.runs().await.len(), 0);
        settle(&app, "2024-03-21T09:00:00Z").await;
        assert_eq!(app.runs().await.len(), 1);
        // Something else changes; the same date comes in again; the contact moves west, where it is not yet nine.
        set(&app, "c1", "2024-03-21T09:10:00Z", json!({"plan": "pro"})).await;
        settle(&app, "2024-03-21T09:10:00Z").await;
        set(&app, "c1", "2024-03-21T09:11:00Z", json!({"renewal_date": null})).await;
        settle(&app, "2024-03-21T09:11:00Z").await;
        set(
            &app,
            "c1",
            "2024-03-21T09:12:00Z",
            json!({"renewal_date": "2024-04-20", "time_zone": "America/New_York"}),
        )
        .await;
        settle(&app, "2024-03-21T09:12:00Z").await;
        settle(&app, "2024-03-22T20:00:00Z").await;
        // Another version of the workflow with the same trigger.
        app.publish(&RENEWAL.replace("reminded", "reminded again")).await;
        settle(&app, "2024-03-22T21:00:00Z").await;
        assert_eq!(app.runs().await.len(), 1);
        // Next year's is another date.
        set(&app, "c1", "2024-03-23T00:00:00Z", json!({"renewal_date": "2025-04-20"})).await;
        settle(&app, "2024-03-23T00:00:00Z").await;
        settle(&app, "2025-03-21T13:00:00Z").await;
        assert_eq!(began(&app).await, ["2024-03-21T09:00:00Z c1", "2025-03-21T13:00:00Z c1"]);
    })
    .await;
}

#[tokio::test]
async fn a_changed_date_moves_it_and_one_that_has_passed_starts_nothing() {
    on_each_store(&[], async |app| {
        app.contacts(3, |_| json!({"renewal_date": "2024-04-20"})).await;
        app.publish(RENEWAL).await;
        settle(&app, "2024-01-01T00:00:00Z").await;
        app.clock.advance_to(at("2024-02-01T00:00:00Z"));
        set(&app, "c1", "2024-02-01T00:00:00Z", json!({"renewal_date": "2024-05-20"})).await;
        set(&app, "c2", "2024-02-01T00:00:00Z", json!({"renewal_date": "2024-02-10"})).await;
        // A step changes what the date follows from.
        app.publish("name: score\non: {event: go}\nsteps:\n  - score: {name: fit, add: 10}\n").await;
        app.publish("name: scored\non: {date: 'contact.scores.fit >= 10 ? contact.renewal_date : contact.none', after: 1d}\nsteps:\n  - exit: over\n").await;
        event(&app, "c3", "go", "2024-02-01T00:00:00Z", json!({})).await;
        app.run().await;
        assert_eq!(
            began(&app).await,
            [
                "2024-02-01T00:00:00Z c3",
                "2024-03-21T09:00:00Z c3",
                "2024-04-20T09:00:00Z c1",
                "2024-04-21T00:00:00Z c3",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn what_came_while_nothing_ran_is_caught_up_for_a_day_and_then_missed() {
    on_each_store(&[], async |app| {
        let ids = app
            .contacts(3, |n| json!({"renewal_date": if n == 2 { "2024-04-21" } else { "2024-04-20" }}))
            .await;
        app.publish(RENEWAL).await;
        settle(&app, "2024-01-01T00:00:00Z").await;
        // The third one's is set while nothing runs, after it would have come.
        set(&app, "c3", "2024-03-01T00:00:00Z", json!({"renewal_date": "2024-05-20"})).await;
        settle(&app, "2024-03-01T00:00:00Z").await;
        set(&app, "c3", "2024-03-22T09:30:00Z", json!({"renewal_date": "2024-04-21"})).await;
        settle(&app, "2024-03-22T10:00:00Z").await;
        assert_eq!(began(&app).await, ["2024-03-22T10:00:00Z c2"]);
        assert_eq!(
            entries(&app, ids[0]).await,
            ["not_enrolled, date 2024-04-20 (30d before contact.renewal_date, at 09:00): missed, for nothing ran from 2024-03-21T09:00:00Z until a day later"]
        );
        assert_eq!(entries(&app, ids[2]).await, [""; 0]);
        settle(&app, "2024-06-01T00:00:00Z").await;
        assert_eq!(app.runs().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_birthday_comes_each_year() {
    on_each_store(&[], async |app| {
        app.contacts(2, |n| json!({"birthday": if n == 1 { "1996-02-29" } else { "1990-12-31" }})).await;
        app.publish(BIRTHDAY).await;
        for when in [
            "2024-01-01T00:00:00Z",
            "2024-02-28T09:00:00Z",
            "2024-02-29T09:00:00Z",
            "2024-12-31T09:00:00Z",
            "2025-02-28T09:00:00Z",
            // It is looked at a little late.
            "2025-12-31T10:00:00Z",
            "2026-03-01T00:00:00Z",
        ] {
            settle(&app, when).await;
        }
        assert_eq!(
            began(&app).await,
            [
                "2024-02-29T09:00:00Z c1",
                "2024-12-31T09:00:00Z c2",
                "2025-02-28T09:00:00Z c1",
                "2025-12-31T10:00:00Z c2",
                "2026-03-01T00:00:00Z c1",
            ]
        );
        // Years go by without end, and do not keep a driven clock going.
        app.run().await;
    })
    .await;
}

#[tokio::test]
async fn a_new_trigger_goes_over_all_contacts_in_slices_and_counts_from_its_publication() {
    on_each_store(&[], async |app| {
        app.contacts(25, |n| json!({"renewal_date": if n % 5 == 0 { "2024-02-10" } else { "2024-01-31" }}))
            .await;
        app.publish(RENEWAL).await;
        let options = || Options { batch_size: 4, ..app.options() };
        for _ in 0..3 {
            let engine = app.engine_with(options()).await;
            engine.step(at("2024-01-01T10:00:00Z")).await.unwrap();
        }
        let engine = app.engine_with(options()).await;
        engine.settle(at("2024-01-01T10:00:00Z")).await.unwrap();
        // The 1st of January at nine, and nothing ran until ten.
        assert_eq!(app.runs().await.len(), 20);
        engine.settle(at("2024-01-11T09:00:00Z")).await.unwrap();
        assert_eq!(app.runs().await.len(), 25);
        // A contact that comes later is looked at when it comes.
        app.contacts(26, |n| json!({"renewal_date": if n == 26 { "2024-03-01" } else { "2024-01-31" }}))
            .await;
        engine.settle(at("2024-01-20T00:00:00Z")).await.unwrap();
        engine.settle(at("2024-01-31T09:00:00Z")).await.unwrap();
        assert_eq!(app.runs().await.len(), 26);
    })
    .await;
}

#[tokio::test]
async fn a_date_may_be_any_expression_and_goes_with_the_workflow() {
    on_each_store(&[], async |app| {
        app.contacts(1, |_| json!({"renewal_date": "2024-04-20"})).await;
        app.publish("name: w\non:\n  - {date: 'events(\"trial.started\").last().at', after: 10d}\n  - {date: contact.renewal_date, after: 1d, if: contact.plan == 'pro'}\nenroll: {again: always}\nsteps:\n  - exit: over\n").await;
        event(&app, "c1", "trial.started", "2024-01-05T12:00:00Z", json!({})).await;
        event(&app, "c1", "trial.started", "2024-01-06T12:00:00Z", json!({})).await;
        app.run().await;
        assert_eq!(began(&app).await, ["2024-01-16T12:00:00Z c1"], "the other trigger's `if` does not hold");
        app.store.retire_all_but(&[].into(), at("2024-05-01T00:00:00Z")).await.unwrap();
        set(&app, "c1", "2024-05-01T00:00:00Z", json!({"renewal_date": "2024-06-20", "plan": "pro"})).await;
        app.run().await;
        assert_eq!(app.runs().await.len(), 1);
        assert_eq!(app.store.next_date().await.unwrap(), None);
    })
    .await;
}
