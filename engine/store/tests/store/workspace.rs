//! Set-up that the tests share: contacts, workflows, runs.

use std::sync::Arc;

use dripline_model::{
    Contact, Digest, Effect,
    contact::Needs,
    decision::DecisionKind,
    effect::EmailRequest,
    id::{ContactId, EventId},
    policy::{Policies, StepRules},
    program::{Action, Again, Concurrency, FORMAT, Node, Program, Trigger},
};
use dripline_store::{
    Advance, AppliedTurn, Claimant, ClaimedRun, ContactRow, DueMessage, Enrolment, EventRow, NewVersion,
    Published, RowResult, Store,
};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// An instant this many seconds after the tests' beginning of time.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

/// A deliverer of this name.
pub(crate) fn claimant(name: &str) -> Claimant {
    Claimant::named(name)
}

/// Claims every message that is due.
pub(crate) async fn due_messages(store: &Arc<dyn Store>, now: Timestamp) -> Vec<DueMessage> {
    let until = now + jiff::SignedDuration::from_secs(60);
    store.claim_messages(&claimant("test"), now, until, 100_000).await.unwrap()
}

/// A program of three steps: `first`, `second`, `third`.
pub(crate) fn program(name: &str) -> Program {
    let node = |id: &str, next| Node {
        id: id.into(),
        name: None,
        line: 1,
        condition: None,
        action: Action::Goto,
        next,
        rules: StepRules::default(),
    };
    Program {
        format: FORMAT,
        name: name.into(),
        description: None,
        triggers: vec![Trigger::Manual],
        enroll_if: None,
        again: Again::Never,
        inputs: Vec::new(),
        concurrency: Concurrency::One,
        nodes: vec![node("first", Some(1)), node("second", Some(2)), node("third", None)],
        templates: [("welcome.html".to_owned(), Digest::of(b"Welcome"))].into(),
        share: None,
        policies: Policies::default(),
    }
}

/// Publishes [`program`].
pub(crate) async fn publish(store: &Arc<dyn Store>, name: &str) -> Published {
    publish_program(store, &program(name), at(0)).await
}

/// Publishes a program at `now`.
pub(crate) async fn publish_program(store: &Arc<dyn Store>, program: &Program, now: Timestamp) -> Published {
    let version = NewVersion {
        program,
        source: "name: test",
        plugins: vec![],
        templates: vec![(Digest::of(b"Welcome"), "Welcome")],
    };
    store.publish(&version, now).await.unwrap()
}

/// A row for the contact `c-N` with the address `N@example.com`.
pub(crate) fn row(number: usize) -> ContactRow {
    ContactRow {
        external_id: Some(format!("c-{number}")),
        email: Some(format!("{number}@example.com")),
        ..ContactRow::default()
    }
}

/// A live event of the contact `c-N`.
pub(crate) fn event(number: usize, name: &str, at: Timestamp) -> EventRow {
    EventRow {
        key: None,
        contact: format!("c-{number}"),
        name: name.into(),
        at,
        properties: Map::new(),
        live: true,
    }
}

/// A JSON object.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub(crate) async fn import_contacts(store: &Arc<dyn Store>, rows: &[ContactRow]) -> Vec<RowResult> {
    let mut import = store.begin_import().await.unwrap();
    let results = import.upsert_contacts(rows, at(0)).await.unwrap();
    import.commit().await.unwrap();
    results
}

pub(crate) async fn import_events(store: &Arc<dyn Store>, rows: &[EventRow]) -> Vec<RowResult> {
    let mut import = store.begin_import().await.unwrap();
    let results = import.insert_events(rows, at(0)).await.unwrap();
    import.commit().await.unwrap();
    results
}

/// Imports the contacts `c-0` to `c-(count - 1)`.
pub(crate) async fn contacts(store: &Arc<dyn Store>, count: usize) -> Vec<ContactId> {
    let rows: Vec<ContactRow> = (0..count).map(row).collect();
    import_contacts(store, &rows)
        .await
        .into_iter()
        .map(|result| match result {
            RowResult::Inserted(id) => id,
            other => panic!("a new contact, not {other:?}"),
        })
        .collect()
}

pub(crate) fn enrolment(version: &Published, contact: ContactId, event: Option<EventId>) -> Enrolment {
    Enrolment {
        workflow: version.workflow,
        version: version.version,
        contact,
        event,
        lane: 0,
        reason: "wanted it".into(),
    }
}

/// Enrols the contacts at `now` and claims their runs.
pub(crate) async fn runs_of(
    store: &Arc<dyn Store>,
    version: &Published,
    contacts: &[ContactId],
    now: Timestamp,
) -> Vec<ClaimedRun> {
    let mut batch = store.begin().await.unwrap();
    let enrolments: Vec<Enrolment> =
        contacts.iter().map(|contact| enrolment(version, *contact, None)).collect();
    batch.enroll(&enrolments, now).await.unwrap();
    let mut runs = batch.claim_runs(version.workflow, now, 10_000).await.unwrap();
    batch.commit().await.unwrap();
    runs.retain(|run| run.version == version.version);
    runs
}

/// A turn that does this and then waits for a long time.
pub(crate) fn turn(run: &ClaimedRun, effects: Vec<Effect>) -> AppliedTurn {
    AppliedTurn {
        run: *run,
        effects: effects.into_iter().map(Arc::new).collect(),
        decision: DecisionKind::Done,
        reason: "did it".into(),
        advance: Advance::To { node: run.node, due: at(1_000_000), waited: true },
    }
}

pub(crate) async fn apply(store: &Arc<dyn Store>, turns: &[AppliedTurn], now: Timestamp) {
    let mut batch = store.begin().await.unwrap();
    batch.apply(turns, now).await.unwrap();
    batch.commit().await.unwrap();
}

pub(crate) fn all_needs() -> Needs {
    Needs {
        all_attributes: true,
        scores: true,
        tags: true,
        consents: true,
        segments: true,
        owner: true,
        ..Needs::default()
    }
}

pub(crate) async fn load(store: &Arc<dyn Store>, id: ContactId) -> Contact {
    let mut batch = store.begin().await.unwrap();
    batch.load_contacts(&[id], &all_needs(), at(0)).await.unwrap().remove(0)
}

pub(crate) fn add_score(score: &str, points: i64, because: &str) -> Effect {
    let (score, because) = (score.into(), because.into());
    Effect::AddScore { score, points, because, min: Some(0), max: Some(100), at_most: None }
}

pub(crate) fn send_email(subject: &str) -> Effect {
    Effect::SendEmail(EmailRequest {
        template: "welcome.html".into(),
        subject: subject.into(),
        topic: Some("news".into()),
        transactional: false,
    })
}

pub(crate) fn assign(rep: &str) -> Effect {
    Effect::AssignOwner { rep: rep.into(), team: Some("enterprise".into()), because: "next in turn".into() }
}
