//! `dripline segment`, and segments in `check` and `run`.

use insta::assert_snapshot;

use crate::support::{TestWorkspace, steady};

const HOT: &str = "name: hot\ndescription: Those to call.\nif: >-\n  contact.seniority == \"vp\" && contact.employees >= 200 &&\n  events(\"visit.pricing_page\").count() >= 2\n";

/// Two contacts and three visits, and a workflow that waits for whoever is hot.
fn workspace() -> TestWorkspace {
    let workspace = TestWorkspace::new();
    workspace.write(
        "people.csv",
        "external_id,email,seniority,employees\nada,ada@dripline.example,vp,250\nbob,bob@dripline.example,vp,\n",
    );
    workspace.write(
        "visits.csv",
        "event_id,contact,name,at\n1,ada,visit.pricing_page,2024-01-01T00:00:00Z\n2,ada,visit.pricing_page,2024-01-02T00:00:00Z\n3,bob,visit.pricing_page,2024-01-02T00:00:00Z\n",
    );
    workspace.write("segments/hot.yaml", HOT);
    workspace.write("segments/customers.yaml", "name: customers\nstatic: true\n");
    workspace.write(
        "workflows/call.yaml",
        "name: call\non: {segment_joined: hot}\nsteps:\n  - segment: {join: customers}\n",
    );
    assert_eq!(workspace.run(&["import", "people.csv"]).code, 0);
    assert_eq!(workspace.run(&["events", "import", "visits.csv"]).code, 0);
    workspace
}

#[test]
fn a_segment_is_checked_published_counted_and_explained() {
    let _steady = steady();
    let workspace = workspace();
    assert_eq!(workspace.run(&["check", "segments/hot.yaml"]).code, 0);
    let ran = workspace.run(&["run"]);
    assert!(ran.out.contains("Published segment hot"), "{}", ran.shown());
    assert_snapshot!(workspace.run(&["segment", "list"]).shown(), @"");
    assert_snapshot!(workspace.run(&["segment", "show", "hot"]).shown(), @"");
    assert_snapshot!(workspace.run(&["segment", "explain", "hot", "ada"]).shown(), @"");
    assert_snapshot!(workspace.run(&["segment", "explain", "hot", "bob"]).shown(), @"");
    assert_snapshot!(workspace.run(&["segment", "explain", "customers", "bob"]).shown(), @"");
    assert_snapshot!(workspace.run(&["segment", "count", "hot"]).shown(), @"");
    let json = workspace.json(&["segment", "explain", "hot", "bob"]);
    assert_eq!((&json["member"], &json["clauses"][1]["holds"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(json["clauses"][1]["no_match"], "contact has no `employees`");
    assert_snapshot!(workspace.run(&["segment", "show", "hott"]).shown(), @"");

    workspace.remove("segments/hot.yaml");
    workspace.remove("workflows/call.yaml");
    let ran = workspace.run(&["run"]);
    assert!(ran.out.contains("Segment hot: its file is gone; its members stay"), "{}", ran.shown());
    assert_eq!(workspace.json(&["segment", "show", "hot"])["members"], 1);
}

#[test]
fn mistakes_in_segments_are_shown_with_their_place_and_publish_nothing() {
    let _steady = steady();
    let workspace = workspace();
    workspace.write("segments/a.yaml", "name: a\nif: '\"b\" in contact.segments'\n");
    workspace.write("segments/b.yaml", "name: b\nif: '!(\"a\" in contact.segments)'\n");
    workspace.write("workflows/call.yaml", "name: call\non: manual\nsteps:\n  - segment: {leave: hot}\n");
    assert_snapshot!(workspace.run(&["check"]).shown(), @"");
    assert_eq!(workspace.run(&["run"]).code, 1);
    assert!(workspace.json(&["segment", "list"]).as_array().unwrap().is_empty());
}
