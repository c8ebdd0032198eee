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
    assert_snapshot!(workspace.run(&["segment", "list"]).shown(), @r#"
    [exit 0]
    segment    members  who is in it                                                                                           description
    customers  1        whom steps put in
    hot        1        if contact.seniority == "vp" && contact.employees >= 200 && events("visit.pricing_page").count() >= 2  Those to call.
    "#);
    assert_snapshot!(workspace.run(&["segment", "show", "hot"]).shown(), @r#"
    [exit 0]
    hot: 1 member
      Those to call.
      if contact.seniority == "vp" && contact.employees >= 200 && events("visit.pricing_page").count() >= 2
      published [time] UTC
    "#);
    assert_snapshot!(workspace.run(&["segment", "explain", "hot", "ada"]).shown(), @r#"
    [exit 0]
    ada is a member of hot
      `contact.seniority == "vp"` is true, and decides: contact.seniority is "vp"
      `contact.employees >= 200` is true, and decides: contact.employees is 250
      `events("visit.pricing_page").count() >= 2` is true, and decides: events("visit.pricing_page").count() is 2
    "#);
    assert_snapshot!(workspace.run(&["segment", "explain", "hot", "bob"]).shown(), @r#"
    [exit 0]
    bob is not a member of hot
      `contact.seniority == "vp"` is true: contact.seniority is "vp"
      `contact.employees >= 200` is no match: contact has no `employees`
      `events("visit.pricing_page").count() >= 2` is false: events("visit.pricing_page").count() is 1
    "#);
    assert_snapshot!(workspace.run(&["segment", "explain", "customers", "bob"]).shown(), @r"
    [exit 0]
    The contact is not a member of customers. It has no rule: steps put members in.
    ");
    assert_snapshot!(workspace.run(&["segment", "count", "hot"]).shown(), @r"
    [exit 0]
    1 contact
    ");
    let json = workspace.json(&["segment", "explain", "hot", "bob"]);
    assert_eq!((&json["member"], &json["clauses"][1]["holds"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(json["clauses"][1]["no_match"], "contact has no `employees`");
    assert_snapshot!(workspace.run(&["segment", "show", "hott"]).shown(), @r"
    [exit 1]
    error: there is no segment `hott`
    help: did you mean `hot`?
    ");

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
    assert_snapshot!(workspace.run(&["check"]).shown(), @r#"
    [exit 1]
    error[E0802]: who is in `a` depends on who is in `a`: `a` needs `b` needs `a`
     --> segments/a.yaml:2:5
      |
    2 | if: '"b" in contact.segments'
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^
      = help: leave one of the segments out of the other's rule

    error[E0804]: who is in `hot` is decided by its rule alone
     --> workflows/call.yaml:4:22
      |
    4 |   - segment: {leave: hot}
      |                      ^^^
      = help: set what the rule looks at, or use a segment without a rule

    warning[W0501]: no contact has `title`
      --> workflows/welcome.yaml:15:17
       |
    15 |         - {if: 'contact.title.matches("(?i)head|chief|vp")', add: 20, because: senior title}
       |                 ^^^^^^^^^^^^^
       = help: until an import brings it, the expression is no match; `has(…)` asks whether it is there

    warning[W0520]: no contact has `first_name`
      --> workflows/welcome.yaml:20:36
       |
    20 |       subject: 'Welcome, {{default contact.first_name "there"}}'
       |                                    ^^^^^^^^^^^^^^^^^^
       = help: until an import brings it, say what to write instead: {{default contact.first_name "…"}}

    warning[W0520]: no contact has `first_name`
     --> templates/nudge.html:2:20
      |
    2 | <p>Hello {{default contact.first_name "there"}},</p>
      |                    ^^^^^^^^^^^^^^^^^^
      = help: until an import brings it, say what to write instead: {{default contact.first_name "…"}}

    warning[W0520]: no contact has `first_name`
     --> templates/welcome.html:2:20
      |
    2 | <p>Hello {{default contact.first_name "there"}},</p>
      |                    ^^^^^^^^^^^^^^^^^^
      = help: until an import brings it, say what to write instead: {{default contact.first_name "…"}}

    2 workflows and 1 test file checked: 2 errors, 4 warnings
    For more about a complaint: dripline explain W0520
    "#);
    assert_eq!(workspace.run(&["run"]).code, 1);
    assert!(workspace.json(&["segment", "list"]).as_array().unwrap().is_empty());
}
