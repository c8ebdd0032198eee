//! Segments that a rule decides, over a real store on a driven clock.

use dripline_store::{ContactRow, RunFilter, TimelineWhat};
use serde_json::json;

use crate::support::{TestApp, at};

/// Who is a member of what: `hot: c1 c3`.
async fn members(app: &TestApp, segment: &str) -> String {
    let filter = dripline_store::ContactFilter { segment: Some(segment.to_owned()), ..Default::default() };
    let members = app.store.list_contacts(&filter, 100).await.unwrap();
    members.into_iter().filter_map(|contact| contact.external_id).collect::<Vec<_>>().join(" ")
}

async fn settle(app: &TestApp) {
    app.engine().await.settle(dripline_model::Clock::now(app.clock.as_ref())).await.unwrap();
}

#[tokio::test]
async fn a_new_segment_takes_in_whom_its_rule_admits_slice_by_slice_and_starts_their_workflows() {
    let app = TestApp::new(&[]).await;
    app.contacts(25, |n| json!({"country": if n % 5 == 0 { "DE" } else { "FR" }})).await;
    app.publish("name: w\non: {segment_joined: germans}\nsteps:\n  - wait: 1d\n  - exit: done\n").await;
    app.segments(&[
        ("germans", "contact.country == \"DE\""),
        ("others", "!(\"germans\" in contact.segments)"),
    ])
    .await;
    let options = dripline_runtime::Options { batch_size: 4, ..app.options() };
    let engine = app.engine_with(options).await;
    // A process that dies in the middle of it goes on where it was.
    for _ in 0..3 {
        engine.step(at("2024-01-01T00:00:00Z")).await.unwrap();
    }
    // Those who joined start their workflows in between.
    let last = app.store.segments().await.unwrap()[0].evaluated_to.unwrap();
    assert!((4..25).contains(&last.0), "{last}");
    settle(&app).await;
    assert_eq!(app.store.segments().await.unwrap()[0].evaluated_to, None);
    assert_eq!(members(&app, "germans").await, "c5 c10 c15 c20 c25");
    assert_eq!(app.store.count_members("others").await.unwrap(), 20);
    assert_eq!(app.store.list_runs(&RunFilter::default(), 100).await.unwrap().len(), 5);

    // Another rule is evaluated anew; one that is gone leaves its members.
    app.segments(&[("germans", "contact.country == \"FR\"")]).await;
    settle(&app).await;
    assert_eq!(app.store.count_members("germans").await.unwrap(), 20);
    assert_eq!(app.store.count_members("others").await.unwrap(), 20);
}

#[tokio::test]
async fn what_changes_a_contact_changes_its_segments() {
    let app = TestApp::new(&[]).await;
    let ids = app.contacts(3, |n| json!({"employees": n * 100})).await;
    let rule = "contact.employees >= 200 && (contact.scores.fit >= 10 || events(\"visit\").last(\"7d\").count() >= 2)";
    app.segments(&[("hot", rule), ("both", "\"hot\" in contact.segments && \"vip\" in contact.tags")]).await;
    app.publish("name: w\non: {event: scored}\nsteps:\n  - score: {name: fit, add: 10}\n").await;
    settle(&app).await;
    assert_eq!(members(&app, "hot").await, "");

    app.events(2, "scored", "2024-01-01T00:00:00Z").await;
    settle(&app).await;
    assert_eq!(members(&app, "hot").await, "c2", "by a step's effect");
    app.events(3, "visit", "2024-01-01T00:00:00Z").await;
    app.events(3, "visit", "2023-12-30T00:00:00Z").await;
    settle(&app).await;
    assert_eq!(members(&app, "hot").await, "c2 c3", "by events");
    let mut import = app.store.begin_import().await.unwrap();
    let row = |key: &str, employees: u32| ContactRow {
        external_id: Some(key.to_owned()),
        attributes: json!({ "employees": employees }).as_object().cloned().unwrap(),
        tags: vec!["vip".to_owned()],
        ..ContactRow::default()
    };
    import.upsert_contacts(&[row("c2", 5), row("c3", 300)], at("2024-01-01T00:00:00Z")).await.unwrap();
    import.commit().await.unwrap();
    settle(&app).await;
    assert_eq!(members(&app, "hot").await, "c3", "by an import");
    assert_eq!(members(&app, "both").await, "c3", "and what depends on it");
    let joined: Vec<String> = app
        .store
        .timeline(ids[1])
        .await
        .unwrap()
        .into_iter()
        .filter_map(|entry| match entry.what {
            TimelineWhat::Segment { segment, joined } => Some(format!("{segment} {joined}")),
            _ => None,
        })
        .collect();
    assert_eq!(joined, ["hot true", "hot false"]);
}

#[tokio::test]
async fn time_alone_changes_segments() {
    let app = TestApp::new(&[("hello.txt", "Hello\n")]).await;
    app.contacts(1, |_| json!({"renewal_date": "2024-02-01"})).await;
    app.segments(&[
        ("quiet", "events(\"visit\").last(\"30d\").never()"),
        ("renewing", "timestamp(contact.renewal_date) - now <= duration(\"14d\") && timestamp(contact.renewal_date) > now"),
        ("january", "now.getMonth() == 0"),
    ])
    .await;
    app.events(1, "visit", "2024-01-05T10:00:00Z").await;
    app.publish("name: w\non: {segment_joined: quiet}\nenroll: {again: always}\nsteps:\n  - email: {template: hello, subject: Hello}\n").await;
    let moments = app.run().await;
    // The calendar alone keeps nobody awake: nothing is due after the last visit has left its window.
    assert_eq!(moments.last().map(String::as_str), Some("2024-02-04T10:00:00Z"));
    assert_eq!(members(&app, "quiet").await, "c1");
    assert_eq!(members(&app, "renewing").await, "");
    assert_eq!(members(&app, "january").await, "");
    assert_eq!(app.mails().await.len(), 2, "at first, and 30 days after the visit");
    let ids = app.contacts(1, |_| json!({})).await;
    let changes: Vec<String> = app
        .store
        .timeline(ids[0])
        .await
        .unwrap()
        .into_iter()
        .filter_map(|entry| match entry.what {
            TimelineWhat::Segment { segment, joined } => Some(format!("{} {segment} {joined}", entry.at)),
            _ => None,
        })
        .collect();
    insta::assert_snapshot!(changes.join("\n"), @r"
    2024-01-01T00:00:00Z january true
    2024-01-01T00:00:00Z quiet true
    2024-01-05T10:00:00Z quiet false
    2024-01-18T00:00:00Z renewing true
    2024-02-01T00:00:00Z january false
    2024-02-01T00:00:00Z renewing false
    2024-02-04T10:00:00Z quiet true
    ");
}

#[tokio::test]
async fn conditions_of_steps_and_of_enrolment_count_events() {
    let app = TestApp::new(&[]).await;
    let ids = app.contacts(2, |_| json!({})).await;
    app.publish(
        "name: w
on: {event: visit}
enroll:
  if: events(\"visit\").count() == 2
steps:
  - if: events(\"visit\").sum(\"number\") == 2 && events(\"visit\").last().properties.number == 1
    then:
      - exit: 'yes'
    else:
      - exit: 'no'
",
    )
    .await;
    app.events(2, "visit", "2024-01-02T00:00:00Z").await;
    app.events(1, "visit", "2024-01-03T00:00:00Z").await;
    app.run().await;
    let decisions = app.decisions(ids[0]).await;
    assert_eq!(decisions.last().unwrap(), "step-1.then-1: ended, yes", "{decisions:#?}");
    assert!(app.decisions(ids[1]).await.iter().all(|said| said.contains("`enroll.if` does not hold")));
}
