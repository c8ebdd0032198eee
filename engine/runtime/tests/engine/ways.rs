//! `switch` and `split`.

use serde_json::json;

use crate::{HELLO, support::TestApp};

#[tokio::test]
async fn a_switch_takes_the_case_of_the_value_and_default_for_the_rest() {
    let app = TestApp::new(HELLO).await;
    let countries = [json!("DE"), json!("FR"), json!(null), json!(49)];
    let ids = app.contacts(4, |n| json!({"country": countries[n as usize - 1]})).await;
    app.publish(
        "name: w
on: {event: go}
steps:
  - id: where
    switch: contact.country
    cases:
      DE: [{exit: german}]
      49: [{exit: number}]
    default: [{exit: other}]
",
    )
    .await;
    app.events(4, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    let mut said = Vec::new();
    for id in ids {
        said.push(app.decisions(id).await[1..].join(" | "));
    }
    insta::assert_debug_snapshot!(said, @r#"
    [
        "where: branched, `contact.country` is `DE` | step-1.case-1-1: ended, german",
        "where: branched, `contact.country` is `FR`, which is no case | step-1.default-1: ended, other",
        "where: branched, `contact.country` is no match: contact has no `country` | step-1.default-1: ended, other",
        "where: branched, `contact.country` is `49` | step-1.case-2-1: ended, number",
    ]
    "#);
}

#[tokio::test]
async fn a_contact_goes_the_same_way_of_a_split_each_time_and_in_each_version() {
    let app = TestApp::new(HELLO).await;
    let ids = app.contacts(40, |_| json!({})).await;
    let workflow = |more: &str| {
        format!(
            "name: w\non: {{event: go}}\nenroll: {{again: always}}\nsteps:{more}\n  - id: offer\n    split: {{a: 50, b: 50}}\n    paths: {{a: [{{exit: a}}], b: [{{exit: b}}]}}\n"
        )
    };
    app.publish(&workflow("")).await;
    app.events(40, "go", "2024-01-02T00:00:00Z").await;
    app.run().await;
    app.publish(&workflow("\n  - wait: 1d")).await;
    app.events(40, "go", "2024-01-03T00:00:00Z").await;
    app.run().await;
    let mut ways = std::collections::BTreeMap::<String, u32>::new();
    for id in ids {
        let mut decisions = app.decisions(id).await;
        decisions.retain(|said| said.starts_with("offer: "));
        assert_eq!(decisions.len(), 2);
        assert_eq!(decisions[0], decisions[1]);
        *ways.entry(decisions.remove(0)).or_default() += 1;
    }
    assert_eq!(ways.len(), 2, "{ways:?}");
}
