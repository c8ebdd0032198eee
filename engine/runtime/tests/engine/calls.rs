//! `run`, as `docs/semantics.md` decides it.

use std::sync::Arc;

use dripline_model::decision::RunStatus;
use dripline_store::postgres::{PostgresConfig, PostgresStore};
use dripline_test_postgres::Server;
use serde_json::json;

use crate::support::{TestApp, at};

const MAILS: &[(&str, &str)] =
    &[("about.txt", "About {{input.product}}, {{input.level}}\n"), ("yes.txt", "Yes\n"), ("no.txt", "No\n")];

const CALLED: &str = "name: nurture
on: called
inputs: {product: text, level: {type: text, default: silver}, times: {type: integer, default: 1}}
enroll: {if: 'input.product != \"none\"'}
goals: {event: paid}
steps:
  - email: {template: about, subject: 'About {{input.product}}'}
  - wait_for: {event: read, if: event.properties.number == input.times, within: 2d}
    then:
      - if: input.level == \"gold\"
        then:
          - score: {name: gold, add: 5, because: gold}
";

const CALLER: &str = "name: caller
on: {event: go}
enroll: {again: always}
steps:
  - run: {workflow: nurture, with: {product: contact.plan, level: contact.level, times: '1 + 1'}}
    then:
      - email: {template: yes, subject: Yes}
    else:
      - email: {template: no, subject: No}
";

/// The app on both stores.
async fn apps() -> Vec<TestApp> {
    let mut apps = vec![TestApp::new(MAILS).await];
    if let Some(server) = Server::shared() {
        let store = PostgresStore::open(&PostgresConfig::new(server.database().await)).await.unwrap();
        apps.push(TestApp::over(Arc::new(store), MAILS).await);
    }
    apps
}

async fn mails(app: &TestApp) -> Vec<String> {
    app.mails().await.into_iter().map(|(template, to)| format!("{template} {}", &to[..2])).collect()
}

#[tokio::test]
async fn a_workflow_is_called_with_something_and_waited_for() {
    for app in apps().await {
        // The second has no level, the third no plan, and the fourth is not let in.
        let ids = app
            .contacts(4, |n| match n {
                1 => json!({"plan": "pro", "level": "gold"}),
                2 => json!({"plan": "free"}),
                3 => json!({}),
                _ => json!({"plan": "none"}),
            })
            .await;
        app.publish(CALLED).await;
        app.publish(CALLER).await;
        app.events(4, "go", "2024-01-02T00:00:00Z").await;
        // Of the first two only the second's number is 2.
        app.events(2, "read", "2024-01-03T00:00:00Z").await;
        app.run().await;
        assert_eq!(mails(&app).await, ["about c1", "about c2", "no c3", "no c4", "yes c2", "yes c1"]);
        let rows = app.store.list_messages(&Default::default(), 10).await.unwrap();
        let mut subjects: Vec<_> = rows.iter().map(|row| row.subject.as_str()).collect();
        subjects.sort_unstable();
        assert_eq!(subjects, ["About free", "About pro", "No", "No", "Yes", "Yes"]);
        for row in rows.iter().filter(|row| row.template == "about") {
            let (_, source) = app.store.message(row.id).await.unwrap().unwrap();
            let source = String::from_utf8(source.unwrap()).unwrap();
            let wanted = if row.subject == "About pro" { "About pro, gold" } else { "About free, silver" };
            assert!(source.contains(wanted), "{source}");
        }
        let decisions = [app.decisions(ids[1]).await, app.decisions(ids[2]).await];
        insta::allow_duplicates! {
            insta::assert_debug_snapshot!(decisions, @r#"
            [
                [
                    "-: enrolled, event go",
                    "-: enrolled, called by `caller`",
                    "step-1: waiting, calls `nurture`, and waits for its end",
                    "step-1: done, queued about",
                    "step-2: waiting, waits for `read` with `event.properties.number == input.times`, until 2024-01-04T00:00:00Z",
                    "step-2: branched, `read` arrived, and `event.properties.number == input.times` holds",
                    "step-2.then-1: branched, `input.level == \"gold\"` does not hold",
                    "step-1: branched, `nurture` ended as completed",
                    "step-1.then-1: done, queued yes",
                ],
                [
                    "-: enrolled, event go",
                    "step-1: branched, `nurture` was refused: the input `product` has no value: `contact.plan` is no match: contact has no `plan`",
                    "step-1.else-1: done, queued no",
                ],
            ]
            "#);
        }
        assert!(app.runs().await.iter().all(|run| run.status == RunStatus::Completed));
    }
}

#[tokio::test]
async fn each_end_has_a_way_of_its_own_and_a_caller_that_ends_ends_what_it_waits_for() {
    for app in apps().await {
        let text = CALLER
            .replace("    then:\n      - email: {template: yes, subject: Yes}\n    else:\n      - email: {template: no, subject: No}\n", "    paths:\n      won:\n        - email: {template: yes, subject: Yes}\n      cancelled:\n        - email: {template: no, subject: No}\n")
            .replace("on: {event: go}\n", "on: {event: go}\nexits: {event: left}\n");
        app.contacts(3, |_| json!({"plan": "pro"})).await;
        app.publish(CALLED).await;
        app.publish(&text).await;
        app.events(3, "go", "2024-01-02T00:00:00Z").await;
        app.events(1, "paid", "2024-01-02T01:00:00Z").await;
        let engine = app.engine().await;
        engine.settle(at("2024-01-02T02:00:00Z")).await.unwrap();
        let runs = app.runs().await;
        let called: Vec<_> = runs.iter().filter(|run| run.workflow == "nurture").collect();
        let now = at("2024-01-02T03:00:00Z");
        app.clock.advance_to(now);
        let second = called.iter().find(|run| run.contact_name.starts_with("c2")).unwrap();
        assert!(app.store.cancel_run(second.run, "no more", now).await.unwrap());
        app.events(3, "left", "2024-01-02T04:00:00Z").await;
        app.run().await;
        assert_eq!(mails(&app).await[3..], ["yes c1", "no c2"]);
        let runs = app.runs().await;
        let third: Vec<_> = runs
            .iter()
            .filter(|run| run.contact_name.starts_with("c3"))
            .map(|run| (run.workflow.as_str(), run.status.name()))
            .collect();
        assert_eq!(third, [("caller", "completed"), ("nurture", "cancelled")]);
    }
}

#[tokio::test]
async fn without_waiting_both_go_on_and_the_called_run_is_its_own() {
    let app = TestApp::new(MAILS).await;
    app.contacts(1, |_| json!({"plan": "pro"})).await;
    app.publish(CALLED).await;
    app.publish(&CALLER.replace("'1 + 1'}", "'1 + 1'}, wait: false")).await;
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    let engine = app.engine().await;
    engine.settle(at("2024-01-02T00:00:00Z")).await.unwrap();
    let mut sent = mails(&app).await;
    sent.sort();
    assert_eq!(sent, ["about c1", "yes c1"]);
    // Nobody is in one workflow twice at a time.
    app.events(1, "go", "2024-01-02T01:00:00Z").await;
    app.run().await;
    assert_eq!(mails(&app).await.len(), 3);
    assert_eq!(mails(&app).await[2], "no c1");
    assert!(app.runs().await.iter().all(|run| run.parent.is_none()));
}

#[tokio::test]
async fn workflows_that_call_each_other_come_to_an_end() {
    let app = TestApp::new(MAILS).await;
    app.contacts(1, |_| json!({})).await;
    for (name, other) in [("a", "b"), ("b", "a")] {
        app.publish(&format!(
            "name: {name}\non: [{{event: go-{name}}}, called]\nenroll: {{again: always}}\nsteps:\n  - run: {{workflow: {other}, wait: false}}\n  - score: {{name: {name}, add: 1, because: so}}\n"
        ))
        .await;
    }
    app.events(1, "go-a", "2024-01-02T00:00:00Z").await;
    app.run().await;
    let runs = app.runs().await;
    assert!(runs.len() <= 17, "{}", runs.len());
    assert!(runs.iter().all(|run| run.status == RunStatus::Completed));
}
