//! What starts a run, as `docs/semantics.md` decides it.

use dripline_model::decision::RunStatus;
use serde_json::json;

use crate::support::{TestApp, at, event, set};

const MAILS: &[(&str, &str)] = &[("hi.txt", "Hi\n")];

async fn receivers(app: &TestApp) -> Vec<String> {
    app.mails().await.into_iter().map(|(_, to)| to[..2].to_owned()).collect()
}

/// Sends a mail to whom the trigger takes.
async fn publish(app: &TestApp, name: &str, on: &str) {
    app.publish(&format!(
        "name: {name}\non: {on}\nenroll: {{again: always}}\nsteps:\n  - email: {{template: hi, subject: Hi}}\n"
    ))
    .await;
}

#[tokio::test]
async fn the_condition_of_a_trigger_says_which_events_start_a_run() {
    let app = TestApp::new(MAILS).await;
    let ids = app.contacts(3, |_| json!({})).await;
    publish(
        &app,
        "w",
        "[{event: paid, if: event.properties.number == 2}, {event: paid, if: event.properties.number > 2}]",
    )
    .await;
    app.events(3, "paid", "2024-01-02T00:00:00Z").await;
    app.run().await;
    assert_eq!(receivers(&app).await, ["c2", "c3"], "one trigger is enough");
    assert_eq!(
        app.decisions(ids[0]).await,
        ["-: not_enrolled, event paid: `event.properties.number == 2` of the trigger does not hold"]
    );
}

#[tokio::test]
async fn an_event_of_a_known_key_starts_nothing_within_its_time() {
    let app = TestApp::new(MAILS).await;
    let ids = app.contacts(2, |_| json!({})).await;
    publish(&app, "w", "{event: paid, dedupe: {key: event.properties.order, within: 2d}}").await;
    for (contact, when, properties) in [
        ("c1", "2024-01-02T00:00:00Z", json!({"order": 7})),
        ("c1", "2024-01-03T00:00:00Z", json!({"order": 7})),
        ("c1", "2024-01-03T01:00:00Z", json!({"order": 8})),
        ("c2", "2024-01-03T02:00:00Z", json!({"order": 7})),
        // Two days after the one that was left out, which counts all the same.
        ("c1", "2024-01-05T00:00:00Z", json!({"order": 7})),
        ("c1", "2024-01-07T00:00:01Z", json!({"order": 7})),
        // Without a key each is one of its own.
        ("c2", "2024-01-08T00:00:00Z", json!({})),
        ("c2", "2024-01-08T00:00:00Z", json!({})),
    ] {
        event(&app, contact, "paid", when, properties).await;
    }
    app.run().await;
    assert_eq!(receivers(&app).await, ["c1", "c1", "c2", "c1", "c2", "c2"]);
    let refused: Vec<_> =
        app.decisions(ids[0]).await.into_iter().filter(|said| said.contains("not_enrolled")).collect();
    assert_eq!(refused.len(), 2, "{refused:#?}");
    assert!(refused[0].ends_with("is the same as the event of 2024-01-02T00:00:00Z: its key is `7` as well"));
}

#[tokio::test]
async fn leaving_a_segment_starts_the_workflow_that_waits_for_it() {
    let app = TestApp::new(MAILS).await;
    app.contacts(2, |_| json!({})).await;
    publish(&app, "left", "{segment_left: vip}").await;
    app.publish("name: a\non: {event: go}\nsteps:\n  - if: contact.external_id == 'c1'\n    segment: {join: vip}\n  - segment: {leave: vip}\n").await;
    app.events(2, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    assert_eq!(receivers(&app).await, ["c1"], "who was no member leaves nothing");
}

#[tokio::test]
async fn a_changed_attribute_starts_the_workflows_that_watch_it() {
    let app = TestApp::new(MAILS).await;
    let ids = app.contacts(2, |_| json!({"plan": "free", "seats": 1})).await;
    publish(&app, "any", "{changed: contact.plan}").await;
    publish(&app, "up", "{changed: contact.plan, from: free, to: pro}").await;
    publish(&app, "seats", "{changed: contact.seats, if: event.properties.to > event.properties.from}").await;
    let engine = app.engine().await;
    // What new contacts bring is no change, and nobody watches another attribute.
    app.contacts(3, |_| json!({"plan": "free", "seats": 1, "colour": "red"})).await;
    assert_eq!(engine.settle(at("2024-01-02T00:00:00Z")).await.unwrap().events, 0);

    set(&app, "c1", "2024-01-03T00:00:00Z", json!({"plan": "pro", "seats": 2})).await;
    set(&app, "c2", "2024-01-03T00:00:00Z", json!({"plan": null, "seats": 0})).await;
    set(&app, "c3", "2024-01-03T00:00:00Z", json!({"plan": "free", "seats": 1.0})).await;
    engine.settle(at("2024-01-03T00:00:01Z")).await.unwrap();
    let mut started: Vec<_> =
        app.runs().await.into_iter().map(|run| format!("{} {}", run.workflow, run.contact)).collect();
    started.sort();
    let [one, two] = [ids[0], ids[1]];
    assert_eq!(
        started,
        [format!("any {one}"), format!("any {two}"), format!("seats {one}"), format!("up {one}")]
    );

    // Retired, it watches no more.
    app.store.retire_all_but(&["any"].into(), at("2024-01-04T00:00:00Z")).await.unwrap();
    set(&app, "c1", "2024-01-04T00:00:00Z", json!({"seats": 3})).await;
    assert_eq!(engine.settle(at("2024-01-05T00:00:00Z")).await.unwrap().events, 0);
}

#[tokio::test]
async fn the_end_of_one_workflow_starts_another() {
    let app = TestApp::new(MAILS).await;
    app.contacts(3, |n| json!({"poison": i32::from(n == 3)})).await;
    app.publish("name: first\non: {event: go}\nsteps:\n  - misbehaving: {do: trap, trap_at: contact.poison}\n  - wait: 1d\n  - exit: over\n").await;
    publish(&app, "then", "{workflow: first}").await;
    publish(&app, "whatever", "{workflow: first, ends: any, if: event.properties.status == 'failed'}").await;
    app.publish(
        "name: self\non: [{event: go}, {workflow: self}]\nenroll: {again: always}\nsteps:\n  - exit: over\n",
    )
    .await;
    app.events(3, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    let runs = app.runs().await;
    let of = |name: &str| runs.iter().filter(|run| run.workflow == name).count();
    let failed = runs.iter().filter(|run| run.status == RunStatus::Failed).count();
    assert_eq!((of("first"), of("then"), of("whatever")), (3, 3 - failed, failed));
    assert_eq!(of("self"), 3, "at one moment nobody enters twice");
}

#[tokio::test]
async fn a_run_that_reached_its_goal_has_ended_wherever_it_stood() {
    let app = TestApp::new(MAILS).await;
    let ids = app.contacts(3, |n| json!({"vip": n == 2})).await;
    app.publish("name: first\non: {event: go}\ngoals: [{event: paid}, {if: contact.vip}]\nsteps:\n  - wait: 10d\n  - exit: over\n").await;
    publish(&app, "then", "{workflow: first}").await;
    app.events(3, "go", "2024-01-02T00:00:00Z").await;
    app.events(1, "paid", "2024-01-03T00:00:00Z").await;
    let engine = app.engine().await;
    engine.settle(at("2024-01-02T00:00:00Z")).await.unwrap();
    engine.settle(at("2024-01-03T00:00:00Z")).await.unwrap();
    // One before its first turn, one by the event while it waited; the third still waits.
    let runs = app.runs().await.into_iter().filter(|run| run.workflow == "then");
    let mut started: Vec<_> = runs.map(|run| run.contact).collect();
    started.sort();
    assert_eq!(started, [ids[0], ids[1]]);
}

#[tokio::test]
async fn a_payload_is_what_the_rules_see_as_the_event() {
    let app = TestApp::new(MAILS).await;
    let ids = app.contacts(1, |_| json!({})).await;
    app.publish("name: w\non: manual\nenroll: {if: event.properties.plan == 'pro', again: always}\nsteps:\n  - exit: over\n").await;
    let stored = app.store.current_programs().await.unwrap().remove(0);
    let entrance = dripline_runtime::Entrance::new(
        &stored.program,
        stored.workflow,
        stored.version,
        &jiff::tz::TimeZone::UTC,
    )
    .unwrap();
    for payload in [Some(json!({"plan": "free"})), None, Some(json!({"plan": "pro"}))] {
        let payload = payload.map(|payload| payload.as_object().cloned().unwrap());
        entrance
            .enroll_by_hand(app.store.as_ref(), &ids, payload.as_ref(), at("2024-01-02T00:00:00Z"))
            .await
            .unwrap();
    }
    insta::assert_debug_snapshot!(app.decisions(ids[0]).await, @r#"
    [
        "-: not_enrolled, by hand, with {\"plan\":\"free\"}: `enroll.if` does not hold",
        "-: not_enrolled, by hand: `enroll.if` is no match: event has no property `plan`",
        "-: enrolled, by hand, with {\"plan\":\"pro\"}",
    ]
    "#);
}
