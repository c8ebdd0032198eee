//! `dripline check` and `dripline explain`.

use insta::assert_snapshot;

use crate::support::{TestWorkspace, steady};

#[test]
fn what_init_makes_is_right() {
    let _steady = steady();
    assert_snapshot!(TestWorkspace::with_contacts().run(&["check"]).shown(), @"
    [exit 0]
    1 workflow and 1 test file checked, nothing is wrong
    ");
}

#[test]
fn mistakes_are_shown_with_their_place_and_end_with_1() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write(
        "workflows/bad.yaml",
        "name: bad\non: manual\nsteps:\n  - emial: {template: welcome}\n  - email: {template: welcom, subject: Hi}\n",
    );
    let all = workspace.run(&["check"]);
    assert_eq!(all.code, 1);
    let one = workspace.run(&["check", "workflows/bad.yaml"]);
    assert_snapshot!(one.shown(), @"
    [exit 1]
    error[E0305]: no plugin is called `emial`
     --> workflows/bad.yaml:4:5
      |
    4 |   - emial: {template: welcome}
      |     ^^^^^
      = help: did you mean `email`?

    error[E0410]: there is no email template `welcom`
     --> workflows/bad.yaml:5:23
      |
    5 |   - email: {template: welcom, subject: Hi}
      |                       ^^^^^^
      = help: did you mean `welcome`?

    1 workflow checked: 2 errors
    For more about a complaint: dripline explain E0410
    ");
    let json = workspace.run(&["check", "--json"]);
    assert_eq!(json.code, 1);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&json["errors"], &json["diagnostics"][0]["line"]), (&2.into(), &4.into()));
    assert_eq!(json["diagnostics"][0]["path"], "workflows/bad.yaml");

    let code = json["diagnostics"][0]["code"].as_str().unwrap();
    let page = workspace.run(&["explain", &code.to_lowercase()]);
    assert_eq!(page.code, 0);
    assert!(page.out.lines().count() > 2, "{}", page.out);
}

#[test]
fn two_files_cannot_be_one_workflow() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("workflows/zz/copy.yml", workspace.read("workflows/welcome.yaml"));
    assert_snapshot!(workspace.run(&["check"]).shown(), @"
    [exit 1]
    error[E0722]: workflows/welcome.yaml defines the workflow `welcome` too
     --> workflows/zz/copy.yml:1:7
      |
    1 | name: welcome
      |       ^^^^^^^
      = help: give one of them another `name`

    2 workflows and 1 test file checked: 1 error
    For more about a complaint: dripline explain E0722
    ");
}

#[test]
fn a_file_in_another_encoding_is_named_with_its_line() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("workflows/old.yaml", b"name: old\ndescription: gr\xFC\xDFe\n");
    assert_snapshot!(workspace.run(&["check"]).shown(), @"
    [exit 1]
    error: workflows/old.yaml:2: the file is not UTF-8
    help: convert it: iconv -f latin1 -t utf-8 workflows/old.yaml
    ");
}

#[test]
fn a_file_that_is_not_there_is_said_to_be_missing() {
    let answer = TestWorkspace::new().run(&["check", "workflows/none.yaml"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("workflows/none.yaml"), "{}", answer.err);
}

#[test]
fn a_code_that_does_not_exist_is_answered_with_those_that_do() {
    let answer = TestWorkspace::empty().run(&["explain", "E9999"]);
    assert_eq!(answer.code, 1);
    assert!(
        answer.err.contains("there is no code `E9999`") && answer.err.contains("E0101"),
        "{}",
        answer.err
    );
}
