//! `parallel`, as `docs/semantics.md` decides it.

use std::sync::Arc;

use dripline_model::{
    decision::RunStatus,
    id::{ContactId, RunId},
};
use dripline_store::{
    RunRow,
    postgres::{PostgresConfig, PostgresStore},
};
use dripline_test_postgres::Server;
use serde_json::json;

use crate::support::{TestApp, at};

const MAILS: &[(&str, &str)] =
    &[("a.txt", "A\n"), ("b.txt", "B\n"), ("c.txt", "C\n"), ("after.txt", "After\n")];

const BOTH: &str = "name: w
on: {event: go}
enroll: {again: always}
goals: {event: paid}
steps:
  - parallel:
      mails:
        - email: {template: a, subject: A}
        - wait: 2d
        - email: {template: b, subject: B}
      sales:
        - assign: {team: sales}
        - wait_for: {event: called, within: 5d}
          then:
            - email: {template: c, subject: C}
  - email: {template: after, subject: After}
";

async fn mails(app: &TestApp) -> Vec<String> {
    app.mails().await.into_iter().map(|(template, _)| template).collect()
}

/// Of each run its path (or `-`), how it stands and where.
fn shown(runs: &[RunRow]) -> Vec<String> {
    let line =
        |run: &RunRow| format!("{} {} {}", run.path.as_deref().unwrap_or("-"), run.status.name(), run.step);
    runs.iter().map(line).collect()
}

/// The app on both stores.
async fn apps() -> Vec<TestApp> {
    let mut apps = vec![TestApp::new(MAILS).await];
    if let Some(server) = Server::shared() {
        let store = PostgresStore::open(&PostgresConfig::new(server.database().await)).await.unwrap();
        apps.push(TestApp::over(Arc::new(store), MAILS).await);
    }
    apps
}

#[tokio::test]
async fn both_paths_are_gone_at_once_and_the_run_goes_on_when_both_are_over() {
    for app in apps().await {
        let ids = app.contacts(2, |_| json!({})).await;
        app.publish(BOTH).await;
        app.events(2, "go", "2024-01-02T00:00:00Z").await;
        app.events(1, "called", "2024-01-03T00:00:00Z").await;
        let moments = app.run().await;
        assert_eq!(
            moments,
            ["2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z", "2024-01-04T00:00:00Z", "2024-01-07T00:00:00Z"],
            "nothing leaps to the end of all time"
        );
        let of = |who: &str, all: &[(String, String)]| -> Vec<String> {
            all.iter().filter(|(_, to)| to.starts_with(who)).map(|(template, _)| template.clone()).collect()
        };
        let all = app.mails().await;
        assert_eq!(of("c1", &all), ["a", "c", "b", "after"]);
        assert_eq!(of("c2", &all), ["a", "b", "after"]);
        let runs = app.runs().await;
        assert_eq!(runs.len(), 6);
        assert!(runs.iter().all(|run| run.status == RunStatus::Completed));
        let own: Vec<&RunRow> = runs.iter().filter(|run| run.contact == ids[0]).collect();
        assert_eq!((own[0].parent, own[1].parent, own[2].parent), (None, Some(own[0].run), Some(own[0].run)));
        let counts = app.store.counts().await.unwrap();
        let completed = counts.runs.iter().find(|(status, _)| *status == RunStatus::Completed).unwrap().1;
        assert_eq!(completed, 2, "a path is no run of its own for who counts");
        let decisions = app.decisions(ids[1]).await;
        insta::allow_duplicates! {
            insta::assert_debug_snapshot!(decisions, @r#"
            [
                "-: enrolled, event go",
                "step-1: waiting, goes by `mails` and `sales` at once, and waits until all of them have come to their end",
                "step-1.mails-1: done, queued a",
                "step-1.mails-2: waiting, waits 2 days, until 2024-01-04 00:00 UTC (the contact has no time zone)",
                "step-1.sales-1: done, BOB, 1 of 3 shares of sales",
                "step-1.sales-2: waiting, waits for `called`, until 2024-01-07T00:00:00Z",
                "step-1.mails-3: done, queued b",
                "step-1.sales-2: branched, `called` did not arrive within 5d",
                "step-1: branched, all paths have come to their end",
                "step-2: done, queued after",
            ]
            "#);
        }
    }
}

#[tokio::test]
async fn where_any_is_enough_the_others_are_ended() {
    for app in apps().await {
        let text = BOTH.replace("  - email: {template: after", "    join: any\n  - email: {template: after");
        app.contacts(1, |_| json!({})).await;
        app.publish(&text).await;
        app.events(1, "go", "2024-01-02T00:00:00Z").await;
        app.events(1, "called", "2024-01-03T00:00:00Z").await;
        app.run().await;
        assert_eq!(mails(&app).await, ["a", "c", "after"]);
        assert_eq!(
            shown(&app.runs().await),
            ["- completed step-2", "mails cancelled step-1.mails-3", "sales completed step-1.sales-2.then-1"]
        );
    }
}

#[tokio::test]
async fn a_goal_ends_all_of_it_and_an_exit_in_a_path_too() {
    for app in apps().await {
        app.contacts(2, |n| json!({"n": n})).await;
        let text = BOTH.replace(
            "        - wait: 2d\n",
            "        - if: contact.n == 2\n          exit: enough\n        - wait: 2d\n",
        );
        app.publish(&text).await;
        app.events(2, "go", "2024-01-02T00:00:00Z").await;
        app.events(1, "paid", "2024-01-03T00:00:00Z").await;
        app.run().await;
        assert_eq!(mails(&app).await, ["a", "a"]);
        let mut shown = shown(&app.runs().await);
        shown.sort();
        assert_eq!(
            shown,
            [
                "- completed step-1",
                "- won step-1",
                "mails cancelled step-1.mails-4",
                "mails completed step-1.mails-2",
                // The other path was not gone yet when this one ended all.
                "sales cancelled step-1.sales-1",
                "sales cancelled step-1.sales-2",
            ]
        );
        // Both may enter again; the one whose run has ended at once, even twice.
        app.events(2, "go", "2024-02-02T00:00:00Z").await;
        app.events(2, "go", "2024-02-02T00:00:01Z").await;
        app.run().await;
        assert_eq!(app.runs().await.iter().filter(|run| run.path.is_none()).count(), 5);
    }
}

const FAILING: &str = "name: w
on: {event: go}
steps:
  - parallel:
      good:
        - wait: 1d
      bad:
        - email: {template: a, subject: '{{contact.first_name}}'}
  - email: {template: after, subject: After}
";

#[tokio::test]
async fn a_path_that_failed_waits_for_a_person_and_so_does_the_join() {
    for app in apps().await {
        app.contacts(1, |_| json!({})).await;
        app.publish(FAILING).await;
        app.events(1, "go", "2024-01-02T00:00:00Z").await;
        app.run().await;
        let runs = app.runs().await;
        assert_eq!(
            shown(&runs),
            ["- active step-1", "good completed step-1.good-1", "bad failed step-1.bad-1"]
        );
        // Tried again it fails again; skipped it is over, and the run goes on.
        let now = at("2024-01-05T00:00:00Z");
        app.clock.advance_to(now);
        assert_eq!(app.store.retry_runs(None, now).await.unwrap(), 1);
        app.run().await;
        assert_eq!(mails(&app).await, Vec::<String>::new());
        assert_eq!(app.store.skip_runs(None, now).await.unwrap(), 1);
        app.run().await;
        assert_eq!(mails(&app).await, ["after"]);
        assert!(app.runs().await.iter().all(|run| run.status == RunStatus::Completed));
    }
}

#[tokio::test]
async fn what_a_person_ends_ends_what_belongs_to_it_and_a_path_only_itself() {
    for app in apps().await {
        app.contacts(2, |_| json!({})).await;
        app.publish(BOTH).await;
        app.events(2, "go", "2024-01-02T00:00:00Z").await;
        let engine = app.engine().await;
        engine.settle(at("2024-01-02T00:00:00Z")).await.unwrap();
        let runs = app.runs().await;
        let of = |contact: ContactId, path: Option<&str>| -> RunId {
            runs.iter().find(|run| run.contact == contact && run.path.as_deref() == path).unwrap().run
        };
        let contacts: Vec<ContactId> =
            runs.iter().filter(|run| run.path.is_none()).map(|run| run.contact).collect();
        let now = at("2024-01-02T01:00:00Z");
        app.clock.advance_to(now);
        assert!(app.store.cancel_run(of(contacts[0], None), "no more", now).await.unwrap());
        assert!(app.store.cancel_run(of(contacts[1], Some("sales")), "no more", now).await.unwrap());
        app.run().await;
        let runs = app.runs().await;
        let statuses = |contact| -> Vec<&str> {
            runs.iter().filter(|run| run.contact == contact).map(|run| run.status.name()).collect()
        };
        assert_eq!(statuses(contacts[0]), ["cancelled", "cancelled", "cancelled"]);
        let mut second = statuses(contacts[1]);
        second.sort_unstable();
        assert_eq!(second, ["cancelled", "completed", "completed"]);
        assert_eq!(mails(&app).await, ["a", "a", "b", "after"]);
    }
}

#[tokio::test]
async fn paths_may_have_paths_and_stand_in_a_loop() {
    let app = TestApp::new(MAILS).await;
    app.contacts(1, |_| json!({})).await;
    app.publish(
        "name: w
on: {event: go}
steps:
  - id: again
    parallel:
      one:
        - parallel:
            deep:
              - wait: 1d
              - score: {name: n, add: 1, because: deep}
            deeper:
              - wait: 2d
              - score: {name: n, add: 1, because: deeper}
        - email: {template: a, subject: A}
      two:
        - email: {template: b, subject: B}
  - if: contact.scores.n < 4
    goto: again
  - email: {template: after, subject: After}
",
    )
    .await;
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    let moments = app.run().await;
    assert_eq!(moments.last().map(String::as_str), Some("2024-01-06T00:00:00Z"));
    assert_eq!(mails(&app).await, ["b", "a", "b", "a", "after"]);
    assert_eq!(app.runs().await.len(), 9);
}

#[tokio::test]
async fn a_process_that_dies_between_two_batches_loses_no_path() {
    let app = TestApp::new(MAILS).await;
    app.contacts(5, |_| json!({})).await;
    app.publish(BOTH).await;
    app.events(5, "go", "2024-01-02T00:00:00Z").await;
    app.events(5, "called", "2024-01-03T00:00:00Z").await;
    // Each time another engine, which knows only what the store does.
    for hours in 0..150_i64 {
        let now = at("2024-01-02T00:00:00Z") + jiff::SignedDuration::from_hours(hours);
        app.engine().await.step(now).await.unwrap();
        app.engine().await.step(now).await.unwrap();
    }
    assert!(
        app.runs().await.iter().all(|run| run.status == RunStatus::Completed),
        "{:?}",
        shown(&app.runs().await)
    );
    let count = |template: &str, all: &[String]| all.iter().filter(|one| *one == template).count();
    let all = mails(&app).await;
    assert_eq!(["a", "b", "c", "after"].map(|template| count(template, &all)), [5; 4]);
}
