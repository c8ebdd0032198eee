//! `dripline simulate` and `dripline test`.

use insta::assert_snapshot;

use crate::support::{TestWorkspace, steady};

const BEHAVIOUR: &str = "mails:\n  - {open: 100%, click: {chance: 100%, after: 1h}}\n";

#[test]
fn the_test_that_init_writes_passes() {
    let _steady = steady();
    assert_snapshot!(TestWorkspace::new().run(&["test"]).shown(), @"");
}

#[test]
fn what_is_expected_in_vain_is_shown_with_what_happened_and_why() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write(
        "workflows/welcome.test.yaml",
        "workflow: welcome
contacts:
  mia: {email: mia@harbour.example, employees: 450, consent: {email: true}}
  tom: {email: tom@anchor.example, consent: {email: false}}
tests:
  - name: is wrong in every way
    events: [{contact: mia, event: signed_up}, {contact: tom, event: signed_up}]
    expect:
      mia:
        mails: [{template: nudge, within: 3d}]
        no_mails: welcome
        scores: {fit: \">= 40\"}
        owner: nobody
        never: step-4.then-1
        steps: [step-4.else-1]
        end: too small
      tom: {enrolled: true}
  - name: is right
    events: [{contact: mia, event: signed_up}]
    expect: {mia: {mails: [welcome], end: completed}}
",
    );
    let answer = workspace.run(&["test", "--junit", "junit.xml", "--coverage"]);
    assert_snapshot!(answer.shown(), @"");
    let junit = workspace.read("junit.xml");
    assert!(junit.contains("tests=\"2\" failures=\"1\""), "{junit}");
    let json = workspace.run(&["test", "--json", "--filter", "is right"]);
    assert_eq!(json.code, 0);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&json["passed"], &json["failed"]), (&1.into(), &0.into()));
    assert_eq!(workspace.run(&["test", "--filter", "no such test"]).code, 1);
}

#[test]
fn mistakes_in_a_test_are_found_by_check_and_stop_the_tests() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    let text = workspace.read("workflows/welcome.test.yaml").replace("welcome, at: 0d", "welcom, at: soon");
    workspace.write("workflows/welcome.test.yaml", text);
    assert_snapshot!(workspace.run(&["check"]).shown(), @"");
    assert_eq!(workspace.run(&["check", "workflows/welcome.test.yaml"]).code, 1);
    let tests = workspace.run(&["test"]);
    assert_eq!(tests.code, 1);
    assert!(tests.err.contains("no test was run"), "{}", tests.err);
}

#[test]
fn a_simulation_shows_what_would_happen_and_changes_nothing() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("behaviour.yaml", BEHAVIOUR);
    workspace.write(
        "events.csv",
        "contact,event,at\nc-001,signed_up,2024-02-01\nc-002,signed_up,2024-02-02\nc-003,signed_up,2023-02-02\n",
    );
    let args = [
        "simulate",
        "--contacts",
        "contacts.csv",
        "--events",
        "events.csv",
        "--from",
        "2024-02-01",
        "--for",
        "10d",
        "--behaviour",
        "behaviour.yaml",
        "--contact",
        "c-002",
        "--html",
        "page.html",
    ];
    assert_snapshot!(workspace.run(&args).shown(), @"");
    assert!(!workspace.path(".dripline/dripline.db").exists(), "the store is not even made");
    let page = workspace.read("page.html");
    assert!(page.contains("c-002") && !page.contains("http://"));
    let again = workspace.run(&[&args[..12], &["--json", "-"]].concat());
    let json: serde_json::Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((&json["totals"]["mails"], &json["totals"]["assignments"]), (&3.into(), &1.into()));
    assert_eq!(json["mails"][0]["opened"], json["mails"][0]["sent"]);
}

#[test]
fn the_live_store_is_read_and_not_written() {
    let workspace = TestWorkspace::with_contacts();
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_eq!(workspace.run(&["enroll", "welcome", "c-001", "c-002"]).code, 0);
    assert_eq!(workspace.run(&["run"]).code, 0);
    let before = workspace.json(&["runs", "list"]);
    let answer = workspace.run(&["simulate", "--store", "--for", "5d", "--json", "-"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let json: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
    // Both stand at the wait: one gets the hint, the other goes to sales.
    assert_eq!((&json["totals"]["mails"], &json["totals"]["assignments"]), (&1.into(), &1.into()));
    assert_eq!(json["totals"]["contacts"], 5);
    assert_eq!(workspace.json(&["runs", "list"]), before);
    assert_eq!(workspace.json(&["mail", "list"]).as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_simulated_is_said() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("behaviour.yaml", "mails: [{template: welcom, open: 0.4}]\n");
    workspace.write("events.csv", "contact,event,at\nc-001,signed_up,2024-02-01\n");
    let mut said = String::new();
    for args in [
        &["simulate"][..],
        &["simulate", "--contacts", "contacts.csv", "--events", "events.csv"],
        &["simulate", "--contacts", "contacts.csv", "--from", "soon"],
        &["simulate", "--contacts", "contacts.csv", "--for", "0d"],
        &["simulate", "--contacts", "contacts.csv", "--for", "20y"],
        &["simulate", "--contacts", "none.csv"],
        &["simulate", "--contacts", "contacts.csv", "--enroll", "welcme"],
        &["simulate", "--contacts", "contacts.csv", "--contact", "nobody"],
        &["simulate", "--contacts", "contacts.csv", "--behaviour", "behaviour.yaml"],
    ] {
        let answer = workspace.run(args);
        assert_eq!(answer.code, 1, "{args:?}: {}", answer.out);
        said.push_str(&answer.err);
    }
    assert_snapshot!(said, @"");
}

/// The examples of docs/simulation.md, as files.
fn examples() -> Vec<String> {
    let page = include_str!("../../../../docs/simulation.md");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}

#[test]
fn the_examples_of_the_documentation_are_right() {
    let [behaviour, test] = <[String; 2]>::try_from(examples()).unwrap();
    let workspace = TestWorkspace::new();
    workspace.write("workflows/welcome.test.yaml", test);
    let tests = workspace.run(&["test"]);
    assert!(tests.code == 0 && tests.out.contains("2 passed"), "{}{}", tests.out, tests.err);
    // With the templates and workflows of this repository, which the example names.
    workspace.write("behaviour.yaml", behaviour);
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let contacts = format!("{root}/tests/data/b2b-saas/contacts.csv");
    let answer = workspace.run(&[
        "simulate",
        "--workspace",
        root,
        "--contacts",
        &contacts,
        "--from",
        "2024-01-01",
        "--for",
        "1d",
        "--behaviour",
        "behaviour.yaml",
    ]);
    assert_eq!(answer.code, 0, "{}", answer.err);
}
