//! What the engine promises beside others: several workflows, several processes, a store that goes away.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use dripline_model::{
    Clock as _,
    decision::RunStatus,
    id::{FiringId, WorkflowId},
    team::{Member, Representative, Team},
};
use dripline_runtime::{Engine, Entrance, Options};
use dripline_store::{Enrolment, FiringCause, NewFiring, Store, StoredProgram};
use jiff::tz::TimeZone;
use serde_json::json;

use crate::{
    flaky::FlakyStore,
    support::{TestApp, at},
};

/// The moment at which everything here happens.
const NOW: &str = "2024-01-02T00:00:00Z";

async fn stored(app: &TestApp, name: &str) -> StoredProgram {
    let mut programs = app.store.current_programs().await.unwrap();
    programs.retain(|stored| stored.program.name == name);
    programs.remove(0)
}

/// Everybody stands at the workflow's first step, due.
async fn all_due(app: &TestApp, name: &str, contacts: &[dripline_model::id::ContactId]) -> WorkflowId {
    let StoredProgram { workflow, version, .. } = stored(app, name).await;
    let mut tx = app.store.begin().await.unwrap();
    for slice in contacts.chunks(1_000) {
        let enrolment = |contact: &_| Enrolment {
            workflow,
            version,
            contact: *contact,
            event: None,
            lane: 0,
            reason: "for the test".into(),
        };
        let enrolments: Vec<_> = slice.iter().map(enrolment).collect();
        tx.enroll(&enrolments, at("2024-01-01T00:00:00Z")).await.unwrap();
    }
    tx.commit().await.unwrap();
    workflow
}

async fn fire_by_hand(app: &TestApp, name: &str) -> FiringId {
    let workflow = stored(app, name).await.workflow;
    let new = NewFiring { workflow, cause: FiringCause::Hand, at: at(NOW), segment: None };
    app.store.begin_firing(&new).await.unwrap()
}

async fn ended(app: &TestApp) -> BTreeMap<String, u64> {
    let mut ended = BTreeMap::new();
    for place in app.store.standing().await.unwrap() {
        if place.status == RunStatus::Completed {
            let stored = app.store.program(place.version).await.unwrap().unwrap();
            *ended.entry(stored.program.name).or_default() += place.runs;
        }
    }
    ended
}

#[tokio::test]
async fn a_small_workflow_does_not_wait_behind_a_large_one() {
    let app = TestApp::new(&[]).await;
    let ids = app.contacts(50_000, |_| json!({})).await;
    app.publish("name: campaign\non: manual\nsteps:\n  - exit: {}\n").await;
    app.publish("name: route\non: {event: demo.asked}\nsteps:\n  - assign: {team: sales}\n").await;
    let campaign = all_due(&app, "campaign", &ids).await;
    let engine = app.engine().await;
    assert_eq!(engine.step(at(NOW)).await.unwrap().unwrap().turns, 1_000, "alone, it takes all it may");
    app.events(1, "demo.asked", NOW).await;
    engine.step(at(NOW)).await.unwrap();
    engine.step(at(NOW)).await.unwrap();
    assert!(app.contact(ids[0]).await.owner.is_some(), "assigned within two batches");
    assert_eq!(app.store.begin().await.unwrap().due_workflows(at(NOW)).await.unwrap(), [campaign]);
}

#[tokio::test]
async fn workflows_get_time_in_proportion_to_their_shares() {
    let app = TestApp::new(&[]).await;
    let ids = app.contacts(20_000, |_| json!({})).await;
    app.publish("name: large\non: manual\nsettings: {share: 40}\nsteps:\n  - exit: {}\n").await;
    app.publish("name: small\non: manual\nsteps:\n  - exit: {}\n").await;
    for name in ["large", "small"] {
        all_due(&app, name, &ids).await;
    }
    let engine = app.engine().await;
    while ended(&app).await.get("large").copied().unwrap_or_default() < 8_000 {
        engine.step(at(NOW)).await.unwrap().unwrap();
    }
    let small = ended(&app).await["small"];
    // Four to one in time; how many turns that are depends on what else the machine does.
    assert!((100..6_000).contains(&small), "{small}");
}

#[tokio::test]
async fn a_bulk_enrolment_goes_on_where_a_dead_process_left_it() {
    let app = TestApp::new(&[]).await;
    let ids = app.contacts(2_500, |n| json!({"number": n})).await;
    app.publish(
        "name: many\non: manual\nenroll: {if: contact.number > 500}\nsteps:\n  - wait: 1d\n  - exit: {}\n",
    )
    .await;
    let firing = fire_by_hand(&app, "many").await;
    let engine = app.engine_with(Options { batch_size: 400, ..Options::default() }).await;
    engine.step(at(NOW)).await.unwrap();
    engine.step(at(NOW)).await.unwrap();
    drop(engine);
    let halfway = app.store.firing(firing).await.unwrap().unwrap();
    assert!(!halfway.progress.done && halfway.progress.seen > 0, "{halfway:?}");

    // Another process, and the command line beside it.
    let StoredProgram { workflow, version, program, .. } = stored(&app, "many").await;
    let entrance = Entrance::new(&program, workflow, version, &TimeZone::UTC).unwrap();
    entrance.advance(app.store.as_ref(), firing, 100, at(NOW)).await.unwrap();
    app.engine().await.settle(at(NOW)).await.unwrap();
    let whole = app.store.firing(firing).await.unwrap().unwrap();
    assert_eq!((whole.total, whole.progress.seen, whole.progress.enrolled), (2_500, 2_500, 2_000));
    assert!(whole.progress.done);
    assert_eq!(app.runs().await.len(), 2_000);
    let why = "-: not_enrolled, by hand: `enroll.if` does not hold";
    assert_eq!(app.decisions(ids[0]).await, [why]);
    assert_eq!(app.decisions(ids[500]).await[0], "-: enrolled, by hand");
    let done = entrance.advance(app.store.as_ref(), firing, 100, at(NOW)).await.unwrap();
    assert_eq!(done, Some(whole.progress), "nobody is looked at twice");
}

#[tokio::test]
async fn a_retired_workflow_is_offered_to_nobody_any_more() {
    let app = TestApp::new(&[]).await;
    app.contacts(10, |_| json!({})).await;
    app.publish("name: many\non: manual\nsteps:\n  - exit: {}\n").await;
    let firing = fire_by_hand(&app, "many").await;
    app.store.retire_all_but(&[].into(), at(NOW)).await.unwrap();
    assert_eq!(app.run().await, [NOW], "an open firing is due");
    let ended = app.store.firing(firing).await.unwrap().unwrap().progress;
    assert_eq!((ended.done, ended.seen), (true, 0));
}

#[tokio::test]
async fn a_running_engine_follows_what_others_publish() {
    let app = TestApp::new(&[]).await;
    let ids = app.contacts(3, |_| json!({})).await;
    let engine = app.engine().await;
    let route =
        "name: route\non: {event: asked}\nenroll: {again: always}\nsteps:\n  - assign: {team: sales}\n";
    app.publish(route).await;
    app.events(1, "asked", NOW).await;
    assert_eq!(engine.step(at(NOW)).await.unwrap().unwrap().enrolled, 1, "no event passes it by");
    assert_eq!(app.contact(ids[0]).await.owner.as_deref(), Some("ada"));

    let cleo = Representative { key: "cleo".into(), name: "Cleo".into(), email: None };
    let members = vec![Member { rep: "cleo".into(), weight: 1 }];
    let sales = Team { key: "sales".into(), name: "Sales".into(), members };
    app.store.put_teams(&[cleo], &[sales]).await.unwrap();
    app.events(2, "asked", "2024-01-02T00:00:01Z").await;
    engine.settle(at("2024-01-02T00:00:01Z")).await.unwrap();
    assert_eq!(app.contact(ids[1]).await.owner.as_deref(), Some("cleo"));

    app.store.retire_all_but(&[].into(), at(NOW)).await.unwrap();
    app.events(3, "asked", "2024-01-02T00:00:02Z").await;
    assert_eq!(engine.settle(at("2024-01-02T00:00:02Z")).await.unwrap().enrolled, 0);
}

/// An engine whose first batches fail with this code, and an event that waits for it.
async fn flaky(app: &TestApp, code: &'static str, failures: u32, workers: usize) -> Arc<Engine> {
    app.contacts(100, |_| json!({})).await;
    app.publish("name: hello\non: {event: go}\nsteps:\n  - exit: {}\n").await;
    app.events(100, "go", NOW).await;
    app.clock.advance_to(at(NOW));
    let store = FlakyStore { store: Arc::clone(&app.store), code, failures: AtomicU32::new(failures) };
    let store: Arc<dyn Store> = Arc::new(store);
    Arc::new(app.engine_over(store, Options { workers, ..Options::default() }).await)
}

/// Until the runs of [`flaky`] have ended.
async fn all_ended(app: &TestApp) {
    while ended(app).await.get("hello") != Some(&100) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_waited_for() {
    for workers in [1, 3] {
        let app = TestApp::new(&[]).await;
        // The administrator shuts it down; three times nobody can connect.
        let engine = flaky(&app, "57P03", 3, workers).await;
        engine.run_forever(all_ended(&app)).await.unwrap();
        assert_eq!(app.runs().await.len(), 100, "and nothing is done twice");
    }
}

#[tokio::test]
async fn a_batch_that_gets_in_anothers_way_is_done_again_at_once() {
    let app = TestApp::new(&[]).await;
    let engine = flaky(&app, "40P01", 5, 1).await;
    assert_eq!(engine.settle(app.clock.now()).await.unwrap().enrolled, 100);
    let app = TestApp::new(&[]).await;
    let engine = flaky(&app, "40001", 1_000, 1).await;
    assert!(engine.settle(app.clock.now()).await.unwrap_err().is_transient(), "but not for ever");
}

#[tokio::test]
async fn what_does_not_go_away_by_itself_ends_the_engine() {
    let app = TestApp::new(&[]).await;
    let engine = flaky(&app, "42P01", 1, 1).await;
    let error = engine.run_forever(std::future::pending()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to begin a batch: failed to begin a batch: error returned from database: the database said 42P01"
    );
}
