//! `scores.yaml`, and `dripline score`.

use insta::assert_snapshot;

use crate::support::{TestWorkspace, steady};

const SCORES: &str = "scores:
  fit: {max: 100, grades: {A: 80, B: 30, C: 0}}
  intent: {max: 30, decay: {half_life: 14d}, grades: {hot: 20, cold: 0}, description: What they want.}
";

const CLICKS: &str = "name: clicks
on: {event: clicked}
enroll: {again: always}
steps:
  - score: {name: intent, add: 10, because: clicked a mail, at_most: 25}
";

#[test]
fn what_is_declared_is_checked_and_published() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    workspace.write("scores.yaml", "scores:\n  fit: {grades: {C: 0, A: 80}}\n  intent: {decay: 14d}\n");
    assert_snapshot!(workspace.run(&["check"]).shown(), @"
    [exit 1]
    error[E0856]: the grades are not in the order of their values
     --> scores.yaml:2:17
      |
    2 |   fit: {grades: {C: 0, A: 80}}
      |                 ^^^^^^^^^^^^^
      = help: begin with the highest: {A: 80, C: 0}

    error[E0204]: `decay` must be a mapping, but this is text
     --> scores.yaml:3:19
      |
    3 |   intent: {decay: 14d}
      |                   ^^^
      = help: write for example {half_life: 14d}

    1 workflow and 1 test file checked: 2 errors
    For more about a complaint: dripline explain E0856
    ");
    workspace.write("scores.yaml", SCORES);
    workspace.write("workflows/clicks.yaml", CLICKS.replace("name: intent", "name: intend"));
    assert_snapshot!(workspace.run(&["check"]).shown(), @"
    [exit 1]
    error[E0851]: there is no score `intend`
     --> workflows/clicks.yaml:5:19
      |
    5 |   - score: {name: intend, add: 10, because: clicked a mail, at_most: 25}
      |                   ^^^^^^
      = help: did you mean `intent`?

    2 workflows and 1 test file checked: 1 error
    For more about a complaint: dripline explain E0851
    ");
    workspace.write("workflows/clicks.yaml", CLICKS);
    assert_snapshot!(workspace.run(&["run"]).shown(), @"
    [exit 0]
    Published score fit
    Published score intent
    Published clicks version 1
    Published welcome version 1
    Done: 0 events, 0 enrolled, 0 turns, 0 mails sent
    ");
    assert_snapshot!(workspace.run(&["score", "list"]).shown(), @"
    [exit 0]
    score   from  to   points           grades                          description
    fit           100  stay             A from 80, B from 30, C from 0
    intent        30   halve every 14d  hot from 20, cold from 0        What they want.
    ");
    let declared = workspace.json(&["score", "list"]);
    assert_eq!(declared["intent"]["decay"]["half_life"], 14 * 86_400_000);
    assert_eq!(workspace.run(&["run"]).code, 0, "the same again changes nothing");
    assert!(workspace.run(&["schema", "scores"]).out.contains("\"title\": \"Scores\""));
}

#[test]
fn every_point_is_explained() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    workspace.write("scores.yaml", SCORES);
    workspace.write("workflows/clicks.yaml", CLICKS);
    workspace.write(
        "events.csv",
        "contact,event,at\nmia@harbour.example,clicked,2024-01-01\nmia@harbour.example,clicked,2024-01-15\nmia@harbour.example,clicked,2024-01-15T00:00:01Z\nmia@harbour.example,clicked,2024-01-15T00:00:02Z\n",
    );
    assert_eq!(workspace.run(&["events", "import", "--live", "events.csv"]).code, 0);
    assert_eq!(workspace.run(&["run", "--fast-forward"]).code, 0);
    let account = workspace.json(&["score", "explain", "mia@harbour.example", "intent"]);
    let score = &account["scores"][0];
    let points: Vec<i64> =
        score["points"].as_array().unwrap().iter().map(|gift| gift["points"].as_i64().unwrap()).collect();
    // Of the first gift 5 points are left when the others come, so that there is room for 10, 10 and none.
    assert_eq!(points, [10, 10, 10]);
    assert_eq!(score["held_back"][0]["by"], "at_most");
    assert_eq!(
        (score["held_back"][0]["times"].as_i64(), score["held_back"][0]["points"].as_i64()),
        (Some(1), Some(10))
    );
    // By now nothing is left.
    assert_eq!((score["value"].as_i64(), score["grade"].as_str()), (Some(0), Some("cold")));
    assert_snapshot!(workspace.run(&["score", "explain", "mia@harbour.example"]).shown(), @"
    [exit 0]
    intent 0 (cold)
      its points halve every 14d
      [time]    +10  0 left                     clicked a mail [clicks, step-1]
      [time]    +10  0 left                     clicked a mail [clicks, step-1]
      [time]    +10  0 left                     clicked a mail [clicks, step-1]
      held back +10 in 1 gift, last [time] UTC, by the most that may count for this reason: clicked a mail [clicks, step-1]
    ");
    let contact = workspace.json(&["contacts", "show", "mia@harbour.example"]);
    assert_eq!(
        (contact["scores"]["intent"].as_i64(), contact["grades"]["intent"].as_str()),
        (Some(0), Some("cold"))
    );
    let shown = workspace.run(&["contacts", "show", "mia@harbour.example"]).out;
    assert!(shown.contains("intent +10 = 25: clicked a mail (0 of 10 left)"), "{shown}");
    assert_snapshot!(workspace.run(&["score", "explain", "mia@harbour.example", "intend"]).shown(), @"
    [exit 1]
    error: mia@harbour.example has no points of a score `intend`
    help: did you mean `intent`?
    ");
}

#[test]
fn tests_of_campaigns_see_points_fade() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("scores.yaml", SCORES);
    workspace.write("workflows/clicks.yaml", CLICKS);
    workspace.write(
        "workflows/clicks.test.yaml",
        "workflow: clicks
contacts:
  mia: {email: mia@harbour.example}
  noah: {email: noah@quay.example, scores: {intent: 20}}
tests:
  - name: points fade
    for: 14d
    events: [{contact: mia, event: clicked}, {contact: mia, event: clicked, at: 14d}]
    expect:
      mia: {scores: {intent: 15}}
      noah: {scores: {intent: 10}}
",
    );
    assert_snapshot!(workspace.run(&["test", "workflows/clicks.test.yaml"]).shown(), @"
    [exit 0]
    ok    workflows/clicks.test.yaml: points fade  [time]

    1 test run: 1 passed, 0 failed in [time]
    clicks: 1 of 1 steps taken
    ");
}

const FIT: &str = "name: fit-check
on: manual
enroll: {again: always}
steps:
  - score:
      name: fit
      rules:
        - {if: events(\"visit\").last(\"30d\").count() >= 2, add: 20, because: came back}
        - {if: contact.employees >= 200, add: 10, because: large company}
        - {if: contact.won == true, add: 50, because: the answer itself}
";

#[test]
fn a_backtest_sees_nothing_of_what_comes_later() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("workflows/fit.yaml", FIT);
    let (mut contacts, mut events) =
        ("external_id,employees,lead_at,won,won_at\n".to_owned(), "contact,event,at\n".to_owned());
    for number in 0..40 {
        // Every second one converts; those come back before their moment, the others only at it and after it.
        let won = number % 2 == 0;
        let employees = if number % 4 < 2 { 500 } else { 5 };
        let (answer, at) = if won { ("yes", "2024-04-01") } else { ("no", "") };
        contacts.push_str(&format!("c{number},{employees},2024-03-01,{answer},{at}\n"));
        let days = if won { ["2024-02-10", "2024-02-29T23:59:59Z"] } else { ["2024-03-01", "2024-03-02"] };
        for day in days {
            events.push_str(&format!("c{number},visit,{day}\n"));
        }
    }
    contacts.push_str("c40,5,2024-03-01,,\nc41,5,2024-03-01,yes,2024-02-01\n");
    workspace.write("leads.csv", contacts);
    workspace.write("visits.csv", events);
    let args = [
        "score",
        "backtest",
        "workflows/fit.yaml",
        "--contacts",
        "leads.csv",
        "--events",
        "visits.csv",
        "--outcome",
        "won",
        "--at",
        "lead_at",
        "--outcome-at",
        "won_at",
        "--html",
        "fit.html",
        "--json",
        "fit.json",
    ];
    assert_snapshot!(workspace.run(&args).shown(), @"
    [exit 0]
    warning[W0501]: no contact has `won`
      --> workflows/fit.yaml:10:16
       |
    10 |         - {if: contact.won == true, add: 50, because: the answer itself}
       |                ^^^^^^^^^^^
       = help: until an import brings it, the expression is no match; `has(…)` asks whether it is there

    fit-check against won
      42 contacts from leads.csv.
      1 row left out: it does not say what became of the contact.
      1 row left out: it had converted before the score is taken.
      80 events from visits.csv.

    fit: 40 cases, 20 converted (50.0 %)
    AUC 1.000 (95 %: 1.000 to 1.000): the chance that one who converts has more points than one who does not

    tenth  points    cases  converted  share    lift  of all so far
    1      30        4      4.0        100.0 %  2.00  20.0 %
    2      30        4      4.0        100.0 %  2.00  40.0 %
    3      20 to 30  4      4.0        100.0 %  2.00  60.0 %
    4      20        4      4.0        100.0 %  2.00  80.0 %
    5      20        4      4.0        100.0 %  2.00  100.0 %
    6      10        4      0.0        0.0 %    0.00  100.0 %
    7      10        4      0.0        0.0 %    0.00  100.0 %
    8      0 to 10   4      0.0        0.0 %    0.00  100.0 %
    9      0         4      0.0        0.0 %    0.00  100.0 %
    10     0         4      0.0        0.0 %    0.00  100.0 %

    reason         cases  points  converted with  without
    came back      20     +20.0   100.0 %         0.0 %
    large company  20     +10.0   50.0 %          50.0 %
    Written: fit.json
    Written: fit.html
    ");
    let result: serde_json::Value = serde_json::from_str(&workspace.read("fit.json")).unwrap();
    assert_eq!(result["scores"][0]["auc"]["value"], 1.0);
    let reasons: Vec<&str> = result["scores"][0]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["because"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["came back", "large company"], "nobody saw the answer");
    assert!(workspace.read("fit.html").contains("came back"));
    // Two days later the others have come back too, and nothing tells them apart.
    let later = [&args[..13], &["--after", "2d", "--json", "-"]].concat();
    let result: serde_json::Value = serde_json::from_str(&workspace.run(&later).out).unwrap();
    assert_eq!(result["scores"][0]["auc"]["value"], 0.5);
    assert_snapshot!(workspace.run(&[&args[..8], &["won", "--at", "lead_on"]].concat()).shown(), @"
    [exit 1]
    error: leads.csv: there is no column `lead_on`
    help: did you mean --at lead_at?
    ");
    assert_snapshot!(workspace.run(&[&args[..7], &["--outcome", "wun", "--at", "lead_at"]].concat()).shown(), @"
    [exit 1]
    error: leads.csv: there is no column `wun`
    help: did you mean --outcome won?
    ");
}

#[test]
fn a_workflow_that_starts_by_events_is_held_against_a_file_of_outcomes() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("scores.yaml", SCORES);
    workspace.write("workflows/clicks.yaml", CLICKS);
    workspace.write(
        "people.csv",
        "external_id,created_at\na,2024-01-01\nb,2024-01-01\nc,2024-01-01\nd,2024-01-01\n",
    );
    workspace.write(
        "clicks.csv",
        "contact,event,at\na,clicked,2024-01-02\nb,clicked,2024-01-30\na,clicked,2024-01-30\nc,clicked,2024-02-05\n",
    );
    workspace.write("outcomes.csv", "contact,won\na,true\nb,false\nc,true\nd,false\nnobody,true\n");
    let result = workspace.run(&[
        "score",
        "backtest",
        "workflows/clicks.yaml",
        "--contacts",
        "people.csv",
        "--events",
        "clicks.csv",
        "--outcomes",
        "outcomes.csv",
        "--outcome",
        "won",
        "--after",
        "30d",
    ]);
    assert_snapshot!(result.shown(), @"
    [exit 0]
    clicks against won
      4 contacts from people.csv.
      1 row left out: it names nobody who is among the contacts.
      4 events from clicks.csv.

    intent: 4 cases, 2 converted (50.0 %)
    AUC 0.625 (95 %: 0.000 to 1.000): the chance that one who converts has more points than one who does not

    tenth  points    cases  converted  share    lift  of all so far
    1      12        0.4    0.4        100.0 %  2.00  20.0 %
    2      12        0.4    0.4        100.0 %  2.00  40.0 %
    3      10 to 12  0.4    0.2        50.0 %   1.00  50.0 %
    4      10        0.4    0.0        0.0 %    0.00  50.0 %
    5      10        0.4    0.0        0.0 %    0.00  50.0 %
    6      0         0.4    0.2        50.0 %   1.00  60.0 %
    7      0         0.4    0.2        50.0 %   1.00  70.0 %
    8      0         0.4    0.2        50.0 %   1.00  80.0 %
    9      0         0.4    0.2        50.0 %   1.00  90.0 %
    10     0         0.4    0.2        50.0 %   1.00  100.0 %

    reason          cases  points  converted with  without
    clicked a mail  2      +15.0   50.0 %          50.0 %
    ");
}
