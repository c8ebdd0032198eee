//! What the engine promises, with the real plugins over a real store on a driven clock.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod beside;
mod calls;
mod clocks;
mod dates;
mod experiments;
mod flaky;
mod goals;
mod held;
mod openings;
mod parallel;
mod pause;
mod prune;
mod scores;
mod segments;
mod set_clock;
mod support;
mod triggers;
mod waiting;
mod ways;

use std::{sync::Arc, time::Duration};

use dripline_delivery::{DEFAULT_TIMEOUT_MS, SmtpConfig, Tls, Transport};
use dripline_model::{decision::RunStatus, manifest::Grant};
use dripline_runtime::Options;
use serde_json::json;
use support::{TestApp, at};

const HELLO: &[(&str, &str)] = &[("hello.txt", "Hello {{default contact.first_name \"there\"}}\n")];

#[tokio::test]
async fn a_campaign_scores_branches_waits_and_mails_at_the_right_moment() {
    let app = TestApp::new(HELLO).await;
    let ids = app
        .contacts(
            2,
            |n| json!({"title": if n == 1 { "VP Sales" } else { "Clerk" }, "time_zone": "Europe/Berlin"}),
        )
        .await;
    app.publish(
        "name: nurture
on: {event: trial.started}
steps:
  - score: {name: fit, rules: [{if: 'contact.title.contains(\"VP\")', add: 30, because: senior title}]}
  - if: contact.scores.fit >= 30
    then:
      - wait: 3d
      - email: {template: hello, subject: Hello}
    else:
      - exit: not a fit
",
    )
    .await;
    app.events(2, "trial.started", "2024-03-29T09:00:00Z").await;

    // Three days over the night in which the clocks change in Berlin: 10:00 there stays 10:00.
    assert_eq!(app.run().await, ["2024-03-29T09:00:00Z", "2024-04-01T08:00:00Z"]);
    assert_eq!(app.mails().await, [("hello".to_owned(), "c1@dripline.example".to_owned())]);
    assert_eq!(app.contact(ids[0]).await.scores["fit"], 30);
    let decisions = app.decisions(ids[1]).await;
    assert_eq!(decisions.last().unwrap(), "step-2.else-1: ended, not a fit");
    assert!(
        decisions[2].starts_with("step-2: branched, `contact.scores.fit >= 30` does not hold"),
        "{decisions:#?}"
    );
    assert!(app.runs().await.iter().all(|run| run.status == RunStatus::Completed));
}

#[tokio::test]
async fn one_poisonous_contact_in_a_thousand_fails_alone_after_its_retries() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(1_000, |n| json!({"poison": i32::from(n == 666)})).await;
    app.publish(
        "name: poisoned
on: {event: go}
steps:
  - id: trap
    misbehaving: {do: trap, trap_at: contact.poison}
  - email: {template: hello, subject: Hello}
",
    )
    .await;
    app.events(1_000, "go", "2024-01-02T00:00:00Z").await;
    let moments = app.run().await;
    assert_eq!(moments.len(), 4, "the first try and three more: {moments:?}");
    let failed: Vec<_> = app.runs().await.into_iter().filter(|run| run.status == RunStatus::Failed).collect();
    assert_eq!(failed.iter().map(|run| run.contact).collect::<Vec<_>>(), [ids[665]]);
    assert_eq!(failed[0].step, "trap");
    assert_eq!(app.mails().await.len(), 999);
    let decisions = app.decisions(ids[665]).await;
    assert_eq!(decisions.iter().filter(|said| said.contains("retrying")).count(), 3, "{decisions:#?}");
    assert!(decisions.last().unwrap().contains("failed (trap)"), "{decisions:#?}");

    // The operator mends the data and sets the run going again.
    app.contacts(1_000, |_| json!({"poison": 0})).await;
    app.store.retry_runs(None, at("2024-01-03T00:00:00Z")).await.unwrap();
    app.run().await;
    assert_eq!(app.mails().await.len(), 1_000);
}

#[tokio::test]
async fn a_template_that_lacks_a_variable_fails_its_own_contact_only() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(3, |n| if n == 2 { json!({}) } else { json!({"first_name": "X"}) }).await;
    app.publish(
        "name: hello
on: {event: go}
steps:
  - email: {template: hello, subject: \"Hello {{contact.first_name}}\"}
",
    )
    .await;
    app.events(3, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    assert_eq!(app.mails().await.len(), 2);
    let said = app.decisions(ids[1]).await.pop().unwrap();
    assert!(said.contains("failed (template)") && said.contains("first_name"), "{said}");
}

#[tokio::test]
async fn again_and_one_run_at_a_time() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(1, |_| json!({})).await;
    app.publish(
        "name: w\non: {event: go}\nenroll: {again: {after: 10d}}\nsteps:\n  - wait: 2d\n  - exit: over\n",
    )
    .await;
    for day in ["01", "02", "05", "11"] {
        app.events(1, "go", &format!("2024-01-{day}T00:00:00Z")).await;
    }
    app.run().await;
    let enrolments: Vec<_> =
        app.decisions(ids[0]).await.into_iter().filter(|said| said.starts_with('-')).collect();
    insta::assert_debug_snapshot!(enrolments, @r#"
    [
        "-: enrolled, event go",
        "-: not_enrolled, event go: is in the workflow already",
        "-: not_enrolled, event go: was in the workflow before, and may enter again from 2024-01-11T00:00:00Z",
        "-: enrolled, event go",
    ]
    "#);
}

#[tokio::test]
async fn enroll_if_sees_the_event_and_says_why_not() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(2, |_| json!({})).await;
    app.publish(
        "name: w\non: {event: go}\nenroll: {if: event.properties.number > 1}\nsteps:\n  - exit: {}\n",
    )
    .await;
    app.events(2, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    assert_eq!(app.runs().await.len(), 1);
    assert_eq!(app.decisions(ids[0]).await, ["-: not_enrolled, event go: `enroll.if` does not hold"]);
}

#[tokio::test]
async fn joining_a_segment_starts_the_workflow_that_waits_for_it() {
    let app = TestApp::new(HELLO).await;
    app.contacts(3, |n| json!({"size": n})).await;
    app.publish("name: a\non: {event: go}\nsteps:\n  - if: contact.size > 1\n    segment: {join: big}\n")
        .await;
    app.publish("name: b\non: {segment_joined: big}\nsteps:\n  - email: {template: hello, subject: Hi}\n")
        .await;
    app.events(3, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    let mut mails = app.mails().await;
    mails.sort();
    assert_eq!(
        mails.iter().map(|(_, to)| to.as_str()).collect::<Vec<_>>(),
        ["c2@dripline.example", "c3@dripline.example"]
    );
}

#[tokio::test]
async fn round_robin_follows_the_weights_across_batches() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(30, |_| json!({})).await;
    app.publish("name: route\non: {event: go}\nsteps:\n  - assign: {team: sales}\n").await;
    app.events(30, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    let mut owners = std::collections::BTreeMap::<String, u32>::new();
    for id in ids {
        *owners.entry(app.contact(id).await.owner.unwrap()).or_default() += 1;
    }
    assert_eq!(owners.into_iter().collect::<Vec<_>>(), [("ada".to_owned(), 20), ("bob".to_owned(), 10)]);
}

#[tokio::test]
async fn a_plugin_that_was_granted_nothing_does_nothing() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(1, |_| json!({})).await;
    app.publish("name: w\non: {event: go}\nsteps:\n  - score: {name: fit, add: 1, because: asked}\n").await;
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    let grants = [("score".to_owned(), Grant::default())].into();
    let engine = app.engine_with(Options { grants, ..Options::default() }).await;
    engine.fast_forward(&app.clock, |_| {}).await.unwrap();
    let said = app.decisions(ids[0]).await.pop().unwrap();
    assert!(said.contains("failed (denied)") && said.contains("effect `score`"), "{said}");
    assert!(app.contact(ids[0]).await.scores.is_empty());
}

#[tokio::test]
async fn a_schedule_fires_once_for_everybody_whom_it_admits() {
    let app = TestApp::new(HELLO).await;
    app.contacts(2_500, |n| json!({"number": n})).await;
    app.publish(
        "name: weekly
on: {schedule: \"0 9 * * 1\", time_zone: UTC}
enroll: {if: contact.number <= 2000, again: always}
steps:
  - exit: {}
",
    )
    .await;
    let engine = app.engine().await;
    let monday = at("2024-01-01T09:00:00Z");
    assert_eq!(engine.settle(at("2024-01-01T08:59:59Z")).await.unwrap().enrolled, 0);
    assert_eq!(engine.settle(monday).await.unwrap().enrolled, 2_000);
    assert_eq!(engine.settle(monday).await.unwrap().enrolled, 0);
    // Three Mondays later: of the missed ones only the latest happens.
    assert_eq!(app.engine().await.settle(at("2024-01-30T00:00:00Z")).await.unwrap().enrolled, 2_000);
}

#[tokio::test]
async fn a_run_that_never_waits_is_stopped() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(1, |_| json!({})).await;
    // The check sees that the loop holds a step that can wait; that its guard never lets it is seen when it runs.
    app.publish(
        "name: round
on: {event: go}
steps:
  - id: again
    if: contact.scores.never > 0
    wait: 1d
  - goto: again
",
    )
    .await;
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    let said = app.decisions(ids[0]).await.pop().unwrap();
    assert!(said.contains("failed (loop)"), "{said}");
}

#[tokio::test]
async fn without_consent_a_mail_is_suppressed_and_the_run_goes_on() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(1, |_| json!({})).await;
    app.publish(
        "name: w
on: {event: go}
steps:
  - email: {template: hello, subject: Hi, topic: news}
  - exit: came through
",
    )
    .await;
    let mut import = app.store.begin_import().await.unwrap();
    let row = dripline_store::ContactRow {
        external_id: Some("c1".into()),
        consents: [("news".to_owned(), false)].into(),
        ..Default::default()
    };
    import.upsert_contacts(&[row], at("2024-01-01T00:00:00Z")).await.unwrap();
    import.commit().await.unwrap();
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    assert!(app.mails().await.is_empty());
    insta::assert_debug_snapshot!(app.decisions(ids[0]).await, @r#"
    [
        "-: enrolled, event go",
        "step-1: suppressed, `hello` not sent: no consent to email about `news`",
        "step-2: ended, came through",
    ]
    "#);
}

#[tokio::test]
async fn workflows_that_start_each_other_come_to_rest() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(1, |_| json!({})).await;
    app.publish("name: ping\non: [{event: go}, {segment_joined: b}]\nenroll: {again: always}\nsteps:\n  - segment: {leave: a}\n  - segment: {join: a}\n").await;
    app.publish("name: pong\non: {segment_joined: a}\nenroll: {again: always}\nsteps:\n  - segment: {leave: b}\n  - segment: {join: b}\n").await;
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    let refused: Vec<_> =
        app.decisions(ids[0]).await.into_iter().filter(|said| said.contains("never rest")).collect();
    assert_eq!(refused.len(), 1, "{refused:#?}");
    assert_eq!(app.runs().await.len(), 2);
}

#[tokio::test]
async fn workflows_that_start_each_other_come_to_rest_while_time_passes() {
    let app = TestApp::new(HELLO).await;
    app.contacts(1, |_| json!({})).await;
    app.publish("name: ping\non: [{event: go}, {segment_joined: b}]\nenroll: {again: always}\nsteps:\n  - segment: {leave: a}\n  - segment: {join: a}\n").await;
    app.publish("name: pong\non: {segment_joined: a}\nenroll: {again: always}\nsteps:\n  - segment: {leave: b}\n  - segment: {join: b}\n").await;
    app.events(1, "go", "2024-01-02T00:00:00Z").await;
    let engine = app.engine().await;
    for second in 0..10 {
        let now = at("2024-01-02T00:00:00Z") + std::time::Duration::from_secs(second);
        let did = engine.step(now).await.unwrap();
        assert_eq!(did.is_some(), second < 3, "{did:?}");
    }
    assert_eq!(app.runs().await.len(), 2);
}

#[tokio::test]
async fn a_schedule_makes_nothing_up_from_before_it_was_published() {
    let app = TestApp::new(HELLO).await;
    app.contacts(10, |_| json!({})).await;
    let weekly = |day: u8| {
        format!(
            "name: weekly\non: {{schedule: \"0 9 * * {day}\", time_zone: UTC}}\nenroll: {{again: always}}\nsteps:\n  - exit: {{}}\n"
        )
    };
    app.publish(&weekly(1)).await;
    assert_eq!(app.engine().await.settle(at("2024-01-01T09:00:00Z")).await.unwrap().enrolled, 10);
    // On Thursday the author moves it from Mondays to Wednesdays.
    app.clock.advance_to(at("2024-01-04T12:00:00Z"));
    app.publish(&weekly(3)).await;
    assert_eq!(app.engine().await.settle(at("2024-01-04T12:00:00Z")).await.unwrap().enrolled, 0);
    assert_eq!(app.engine().await.settle(at("2024-01-10T09:00:00Z")).await.unwrap().enrolled, 10);
}

#[tokio::test]
async fn a_server_that_never_answers_holds_no_step_up() {
    let app = TestApp::new(HELLO).await;
    app.contacts(2, |_| json!({})).await;
    app.publish("name: greet\non: {event: go}\nsteps:\n  - email: {template: hello, subject: Hello}\n").await;
    app.events(1, "go", "2024-01-01T00:00:00Z").await;
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let smtp = SmtpConfig {
        name: "silent".into(),
        host: "127.0.0.1".into(),
        port: silent.local_addr().unwrap().port(),
        tls: Tls::None,
        credentials: None,
        connections: 1,
        rate: None,
        timeout_ms: DEFAULT_TIMEOUT_MS,
        extra_roots_pem: None,
    };
    let engine = Arc::new(app.engine_through(Transport::Smtp(vec![smtp]), app.options()).await);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let watching = async {
        let (held, _) = silent.accept().await.unwrap();
        // The first message waits for a greeting; the second contact's run goes to its end meanwhile.
        app.events(2, "go", "2024-01-01T00:00:00Z").await;
        let done = async {
            while app.runs().await.iter().filter(|run| run.status == RunStatus::Completed).count() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), done).await.unwrap();
        drop((held, silent));
        stop.send(()).unwrap();
    };
    let (ran, ()) = tokio::join!(engine.run_forever(async { stopped.await.unwrap() }), watching);
    ran.unwrap();
    assert_eq!(app.mails().await.len(), 2, "both wait in the outbox");
}
