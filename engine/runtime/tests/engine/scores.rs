//! Scores that fade, in everything that looks at them.

use dripline_model::{
    Clock as _,
    score::{Decay, Grade, Score, Scores},
};
use dripline_store::{ContactFilter, TimelineWhat};
use serde_json::json;

use crate::support::{TestApp, at};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn intent() -> Scores {
    let grade = |name: &str, from| Grade { name: name.to_owned(), from };
    let intent = Score {
        max: Some(100),
        decay: Some(Decay::HalfLife(14 * DAY_MS)),
        grades: vec![grade("hot", 60), grade("warm", 30), grade("cold", 0)],
        ..Score::default()
    };
    [("intent".to_owned(), intent)].into_iter().collect()
}

async fn app() -> TestApp {
    let app =
        TestApp::new(&[("nudge.txt", "Still {{contact.scores.intent}}, {{contact.grades.intent}}?")]).await;
    app.store.publish_scores(&intent(), app.clock.now()).await.unwrap();
    app
}

async fn members(app: &TestApp, segment: &str) -> usize {
    let filter = ContactFilter { segment: Some(segment.to_owned()), ..ContactFilter::default() };
    app.store.list_contacts(&filter, 100).await.unwrap().len()
}

const SCORING: &str = "
name: scoring
on: {event: visit}
enroll: {again: always}
steps:
  - score: {name: intent, add: 80, because: visited}
";

#[tokio::test]
async fn a_contact_leaves_a_segment_at_the_very_instant_at_which_its_score_fades() {
    let app = app().await;
    app.publish(SCORING).await;
    app.segments(&[
        ("hot", "contact.scores.intent >= 40"),
        ("graded", "contact.grades.intent == \"warm\""),
        ("sum", "contact.scores.intent + contact.scores.fit > 20"),
    ])
    .await;
    let ids = app.contacts(1, |_| json!({})).await;
    app.events(1, "visit", "2024-01-02T00:00:00Z").await;
    app.run().await;
    assert_eq!(
        (members(&app, "hot").await, members(&app, "graded").await, members(&app, "sum").await),
        (0, 0, 0)
    );
    let changes: Vec<String> = app
        .store
        .timeline(ids[0])
        .await
        .unwrap()
        .into_iter()
        .filter_map(|entry| match entry.what {
            TimelineWhat::Segment { segment, joined } => {
                Some(format!("{} {segment} {}", if joined { "joins" } else { "leaves" }, entry.at))
            }
            _ => None,
        })
        .collect();
    // 80 points are 59 when less than 59.5 of them are left, which is after 14 days times log2(80 / 59.5).
    insta::assert_snapshot!(changes.join("\n"), @"
    joins hot 2024-01-02T00:00:00Z
    joins sum 2024-01-02T00:00:00Z
    joins graded 2024-01-07T23:30:32.658Z
    leaves hot 2024-01-16T06:05:51.031Z
    leaves graded 2024-01-22T03:35:59.192Z
    leaves sum 2024-01-29T12:01:49.319Z
    ");
    let contact = app.contact(ids[0]).await;
    for change in &changes {
        let (what, when) = (change.split(' ').nth(1).unwrap(), at(change.rsplit(' ').next().unwrap()));
        let before = when - jiff::SignedDuration::from_millis(1);
        let answer = |at| match what {
            "hot" => contact.score("intent", at) >= 40,
            "graded" => contact.grade("intent", at) == Some("warm"),
            _ => contact.score("intent", at) > 20,
        };
        if change.starts_with("leaves") {
            assert!(answer(before) && !answer(when), "{change}");
        }
    }
}

#[tokio::test]
async fn a_wait_ends_when_the_score_has_faded_so_far() {
    let app = app().await;
    app.publish(
        "
name: winback
on: {event: visit}
steps:
  - score: {name: intent, add: 80, because: visited}
  - wait_for: {if: contact.scores.intent < 30, within: 60d}
    then:
      - email: {template: nudge, subject: 'Now {{contact.scores.intent}} and {{contact.grades.intent}}'}
  - if: contact.grades.intent == \"cold\"
    then:
      - exit: cold
",
    )
    .await;
    let ids = app.contacts(2, |_| json!({})).await;
    app.events(2, "visit", "2024-01-02T00:00:00Z").await;
    // They come back, and so wait for longer.
    app.publish(SCORING).await;
    app.events(2, "visit", "2024-01-05T00:00:00Z").await;
    app.run().await;
    let decisions = app.decisions(ids[0]).await;
    insta::assert_snapshot!(decisions.join("\n"), @r#"
    -: enrolled, event visit
    step-1: done, intent +80: visited
    -: enrolled, event visit
    step-1: done, intent +80: visited
    step-2: waiting, waits for `contact.scores.intent < 30`, until 2024-03-02T00:00:00Z
    -: not_enrolled, event visit: is in the workflow already
    -: enrolled, event visit
    step-1: done, intent +80: visited
    step-2: branched, `contact.scores.intent < 30` holds
    step-2.then-1: done, queued nudge
    step-3: branched, `contact.grades.intent == "cold"` holds
    step-3.then-1: ended, cold
    "#);
    let runs = app.runs().await;
    let ended: Vec<String> = runs
        .iter()
        .filter(|run| run.workflow == "winback")
        .map(|run| format!("{} {}", run.ended_at.unwrap(), run.reason.as_deref().unwrap_or_default()))
        .collect();
    insta::assert_snapshot!(ended.join("\n"), @"
    2024-01-29T16:43:22.762Z cold
    2024-01-29T16:43:22.762Z cold
    ");
    let messages = app.store.list_messages(&Default::default(), 10).await.unwrap();
    assert_eq!(
        messages.iter().map(|message| message.subject.as_str()).collect::<Vec<_>>(),
        ["Now 29 and cold"; 2]
    );
    let source = app.store.message(messages[0].id).await.unwrap().unwrap().1.unwrap();
    assert!(String::from_utf8(source).unwrap().contains("Still 29, cold?"));
}
