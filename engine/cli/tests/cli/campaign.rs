//! A campaign from the import to the leads: `run`, `enroll`, and everything that shows what happened.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{TestWorkspace, steady};

/// Two days that pass in a moment.
const WORKFLOW: &str = "\
name: greet
description: Greets, and finds leads.
on: manual
enroll: {if: contact.consent.email, again: {after: 90d}}
steps:
  - id: fit
    score: {name: fit, rules: [{if: contact.employees >= 200, add: 30, because: large company}]}
  - if: contact.country != \"PT\"
    email: {template: welcome, subject: 'Welcome, {{contact.first_name}}'}
  - wait: 2d
  - if: contact.scores.fit >= 30
    then:
      - segment: {join: hot}
      - assign: {team: sales, by: round_robin}
    else:
      - exit: not a fit
";

/// A workspace in which everybody was sent on the way and, if `whole`, the two days have passed.
fn campaign(whole: bool) -> TestWorkspace {
    let workspace = TestWorkspace::with_contacts();
    workspace.remove("workflows/welcome.yaml");
    workspace.write("workflows/greet.yaml", WORKFLOW);
    let published = workspace.run(&["run"]);
    assert_eq!(published.code, 0, "{}{}", published.out, published.err);
    let enrolled = workspace.run(&["enroll", "greet", "1", "2", "3", "4", "5"]);
    assert_eq!(enrolled.code, 0, "{}{}", enrolled.out, enrolled.err);
    let ran = workspace.run(if whole { &["run", "--fast-forward"] } else { &["run"] });
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    workspace
}

#[test]
fn enrolling_follows_the_rules_of_the_workflow() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    assert_snapshot!(workspace.run(&["enroll", "welcome", "c-001"]).shown(), @"
    [exit 1]
    error: no workflow `welcome` is published
    help: `dripline publish` publishes the files in workflows/
    ");
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_snapshot!(workspace.run(&["enroll", "welcme", "c-001"]).shown(), @"
    [exit 1]
    error: no workflow `welcme` is published
    help: did you mean `welcome`?
    ");
    assert_snapshot!(workspace.run(&["enroll", "welcome", "nobody"]).shown(), @"
    [exit 1]
    error: there is no contact `nobody`
    help: name it by its id, external id or address; `dripline contacts list` shows them
    ");
    assert_snapshot!(workspace.run(&["enroll", "welcome", "c-001", "MIA@harbour.example", "c-004"]).shown(), @"
    [exit 0]
    enrolled mia@harbour.example
    not enrolled tom@anchor.example: `enroll.if` does not hold
    ");
    assert_snapshot!(workspace.run(&["enroll", "welcome", "c-001"]).shown(), @"
    [exit 1]
    not enrolled mia@harbour.example: is in the workflow already
    ");
}

#[test]
fn everybody_or_a_segment_is_enrolled_at_once() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    workspace.remove("workflows/welcome.yaml");
    workspace.write("workflows/greet.yaml", WORKFLOW);
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_snapshot!(workspace.run(&["enroll", "greet", "--all"]).shown(), @"
    [exit 0]
    enrolled 4 of 5 contacts; not enrolled 1: `dripline contacts show` says why
    ");
    assert_eq!(workspace.run(&["run", "--fast-forward"]).code, 0);
    assert_snapshot!(workspace.run(&["enroll", "greet", "--segment", "hot"]).shown(), @"
    [exit 1]
    enrolled 0 of 2 contacts; not enrolled 2: `dripline contacts show` says why
    ");
    assert_snapshot!(workspace.run(&["enroll", "greet", "--segment", "cold"]).shown(), @"
    [exit 1]
    nobody enrolled: nobody is in the segment `cold`
    ");
    assert_eq!(workspace.run(&["enroll", "greet", "--all", "c-001"]).code, 2);
    assert_eq!(workspace.run(&["enroll", "greet"]).code, 2);
}

#[test]
fn a_workflow_without_a_manual_trigger_takes_nobody_by_hand() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    let text = workspace.read("workflows/welcome.yaml").replace("  - manual", "  - {event: other}");
    workspace.write("workflows/welcome.yaml", text);
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_snapshot!(workspace.run(&["enroll", "welcome", "c-001"]).shown(), @"
    [exit 1]
    error: the workflow `welcome` has no `manual` trigger
    help: add `manual` to its `on:`, for example: on: [manual, {event: signed_up}]
    ");
}

#[test]
fn everything_about_a_contact_is_on_one_page() {
    let _steady = steady();
    let workspace = campaign(true);
    let shown = workspace.run(&["contacts", "show", "ines@compass.example"]);
    assert_snapshot!(shown.shown(), @r#"
    [exit 0]
    ines@compass.example
      id           5
      external id  c-005
      created      [time] UTC
      owner        ben
      segments     hot
      tags         partner
      consent      email: yes

    Attributes
      first_name Inês
      title      Chief of Staff
      employees  1200
      country    PT

    Scores
      fit 30: +30 large company

    What happened (UTC)
      [time]  consent      email given
      [time]  enrolled     by hand [greet]
      [time]  score        fit +30 = 30: large company
      [time]  done         fit 30: large company +30 [greet, fit]
      [time]  skipped      skipped: `contact.country != "PT"` does not hold [greet, step-2]
      [time]  waiting      waits 2 days, until [time] Europe/Berlin (the contact has no time zone) [greet, step-3]
      [time]  branched     `contact.scores.fit >= 30` holds [greet, step-4]
      [time]  done         joined hot [greet, step-4.then-1]
      [time]  assigned     to Ben of team sales: Ben, 1 of 3 shares of sales
      [time]  done         Ben, 1 of 3 shares of sales [greet, step-4.then-2]
      [time]  segment      joined hot
    "#);
    let contact = workspace.json(&["contacts", "show", "c-001"]);
    assert_eq!(contact["scores"], json!({"fit": 30}));
    assert_eq!(contact["segments"], json!(["hot"]));
    assert_eq!(contact["mails"][0]["status"], "sent");
    let kinds: std::collections::BTreeSet<_> =
        contact["timeline"].as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert!(
        ["assigned", "consent", "decision", "mail", "score", "segment"]
            .iter()
            .all(|kind| kinds.contains(kind)),
        "{kinds:?}"
    );
}

#[test]
fn leads_are_listed_by_representative_with_reasons() {
    let _steady = steady();
    let workspace = campaign(true);
    assert_snapshot!(workspace.run(&["leads"]).shown(), @"
    [exit 0]
    Ada (ada): 1 lead
      lead                 scores  why                assigned (UTC)       how
      mia@harbour.example  fit 30  +30 large company  [time]  Ada, 2 of 3 shares of sales

    Ben (ben): 1 lead
      lead                  scores  why                assigned (UTC)       how
      ines@compass.example  fit 30  +30 large company  [time]  Ben, 1 of 3 shares of sales
    ");
    let leads = workspace.json(&["leads", "--rep", "ada"]);
    assert_eq!(
        leads[0]["reasons"],
        json!([{"score": "fit", "points": 30, "because": "large company", "times": 1}])
    );
    assert_eq!(workspace.json(&["contacts", "list", "--segment", "hot"]).as_array().map(Vec::len), Some(2));
}

#[test]
fn workflows_show_how_many_stand_where() {
    let _steady = steady();
    let workspace = campaign(false);
    workspace.write("workflows/draft.yaml", "name: draft\n");
    assert_snapshot!(workspace.run(&["workflows", "list"]).shown(), @"
    [exit 0]
    workflow  version  starts on        active  won  completed  failed  cancelled  state
    greet     1        dripline enroll  4       0    0          0       0          published
    draft                                                                          not published: dripline publish
    ");
    let shown = workspace.run(&["workflows", "show", "greet"]);
    assert_snapshot!(shown.shown(), @r#"
    [exit 0]
    greet version 1 ([digest], published [time] UTC)
      Greets, and finds leads.
      starts on dripline enroll
      enrols if contact.consent.email
      enters again after 90d
    step           does                                                            only if                  here now  ended here  failed here
    fit            score                                                                                    0         0           0
    step-2         email                                                           contact.country != "PT"  0         0           0
    step-3         wait                                                                                     0         0           0
    step-4         if contact.scores.fit >= 30: step-4.then-1, else step-4.else-1                           4         0           0
    step-4.then-1  segment                                                                                  0         0           0
    step-4.then-2  assign                                                                                   0         0           0
    step-4.else-1  exit: not a fit                                                                          0         0           0
    "#);
    assert_eq!(workspace.json(&["workflows", "show", "greet"])["versions"][0]["steps"][0]["id"], "fit");
    assert_snapshot!(workspace.run(&["workflows", "show", "great"]).shown(), @"
    [exit 1]
    error: no workflow `great` is published
    help: did you mean `greet`?
    ");
}

#[test]
fn runs_are_listed_shown_and_cancelled() {
    let _steady = steady();
    let workspace = campaign(false);
    let runs = workspace.json(&["runs", "list", "--status", "active"]);
    assert_eq!(runs.as_array().map(Vec::len), Some(4), "Tom does not consent");
    let run = workspace.json(&["runs", "list", "--contact", "c-002"])[0]["id"].to_string();
    assert_snapshot!(workspace.run(&["runs", "show", &run]).shown(), @"
    [exit 0]
    Run 2 of noah@quay.example in greet (version 1): active
      stands at step-4, due [time] UTC
      [time]  enrolled     by hand [greet]
      [time]  done         fit 0: no rule holds [greet, fit]
      [time]  done         queued welcome [greet, step-2]
      [time]  waiting      waits 2 days, until [time] Europe/Vienna [greet, step-3]
    ");
    assert_snapshot!(workspace.run(&["runs", "retry", &run]).shown(), @"
    [exit 1]
    error: run 2 did not fail: it is active
    ");
    assert_snapshot!(workspace.run(&["runs", "cancel", &run]).shown(), @"
    [exit 0]
    Run 2 of noah@quay.example in greet is cancelled.
    ");
    assert_eq!(workspace.run(&["runs", "cancel", &run]).code, 1);
    assert_eq!(workspace.json(&["runs", "show", &run])["status"], "cancelled");
    assert_eq!(
        workspace.run(&["runs", "retry", "--all"]).out,
        "0 runs set going again, each from the step that failed.\n"
    );
    assert_snapshot!(workspace.run(&["runs", "show", "99"]).shown(), @"
    [exit 1]
    error: there is no run 99
    help: `dripline runs list` shows them
    ");
}

#[test]
fn mails_are_listed_shown_and_exported() {
    let _steady = steady();
    let workspace = campaign(false);
    let mails = workspace.json(&["mail", "list", "--status", "sent"]);
    assert_eq!(mails.as_array().map(Vec::len), Some(3));
    let mail = workspace.json(&["mail", "list", "--contact", "c-001"])[0].clone();
    assert_eq!(
        (&mail["to"], &mail["subject"], &mail["template"], &mail["workflow"]),
        (&json!("mia@harbour.example"), &json!("Welcome, Mia"), &json!("welcome"), &json!("greet"))
    );
    let id = mail["id"].to_string();
    assert_snapshot!(workspace.run(&["mail", "show", &id]).shown(), @"
    [exit 0]
    Welcome, Mia
      to        mia@harbour.example
      status    sent on [time] UTC (kept in the built-in mailbox)
      template  welcome
      because   step-2 of greet, run 1

    Hello Mia,

    welcome aboard! Reply to this mail whenever something is unclear: it reaches a
    person.

    The Harbour Team

    You get this mail because you agreed to it. [Unsubscribe][1]

    [1]: mailto:unsubscribe@harbour.example?subject=unsubscribe%20[token]
    ");
    let source = workspace.run(&["mail", "show", &id, "--eml"]);
    assert!(source.out.contains("Subject: Welcome, Mia\r\n"), "{}", source.out);
    let exported = workspace.run(&["mail", "export", "out"]);
    assert_eq!(exported.out, "3 mails written to out\n");
    let name = format!("out/{:06}-mia-harbour.example.eml", mail["id"].as_i64().unwrap());
    assert_eq!(workspace.read(&name), source.out);
    assert_snapshot!(workspace.run(&["mail", "show", "99"]).shown(), @"
    [exit 1]
    error: there is no mail 99
    help: `dripline mail list` shows them
    ");
}

#[test]
fn lists_of_nothing_say_so() {
    let workspace = TestWorkspace::new();
    for (args, said) in [
        (["contacts", "list"], "No contacts. `dripline import FILE.csv` brings some in.\n"),
        (["runs", "list"], "No runs.\n"),
        (["mail", "list"], "No mails.\n"),
    ] {
        assert_eq!(workspace.run(&args).out, said);
        assert_eq!(workspace.json(&args), json!([]));
    }
    assert_eq!(workspace.json(&["leads"]), json!([]));
}
