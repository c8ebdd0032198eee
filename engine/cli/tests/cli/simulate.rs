//! `dripline simulate` and `dripline test`.

use insta::assert_snapshot;

use crate::support::{TestWorkspace, steady};

const BEHAVIOUR: &str = "mails:\n  - {open: 100%, click: {chance: 100%, after: 1h}}\n";

#[test]
fn the_test_that_init_writes_passes() {
    let _steady = steady();
    assert_snapshot!(TestWorkspace::new().run(&["test"]).shown(), @"
    [exit 0]
    ok    workflows/welcome.test.yaml: a large company is greeted and handed to sales  [time]
    ok    workflows/welcome.test.yaml: a small company gets a hint two days later  [time]
    ok    workflows/welcome.test.yaml: nobody is written to who did not agree  [time]

    3 tests run: 3 passed, 0 failed in [time]
    welcome: 6 of 6 steps, 2 of 2 ways taken
    ");
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
    assert_snapshot!(answer.shown(), @r#"
    [exit 1]
    FAIL  workflows/welcome.test.yaml: is wrong in every way  [time]

          mia  workflows/welcome.test.yaml:10
            expected  mail `nudge` by [time]
            happened  mail `welcome` at [time] "Welcome, there"
            why       [time]  enrolled   event signed_up [welcome]
                      [time]  waiting    waits 2 days, until [time] Europe/Berlin (the contact has no time zone) [welcome, step-3]
                      [time]  branched   `contact.scores.fit >= 30` holds [welcome, step-4]


          mia  workflows/welcome.test.yaml:11
            expected  no mail `welcome`
            happened  mail `welcome` at [time] "Welcome, there"
            why       [time]  enrolled   event signed_up [welcome]
                      [time]  waiting    waits 2 days, until [time] Europe/Berlin (the contact has no time zone) [welcome, step-3]


          mia  workflows/welcome.test.yaml:12
            expected  score `fit` >= 40
            happened  30
            why       [time]  score      fit +30 = 30: large company


          mia  workflows/welcome.test.yaml:13
            expected  no owner
            happened  `ada`
            why       [time]  assigned   to Ada of team sales: Ada, 2 of 3 shares of sales


          mia  workflows/welcome.test.yaml:14
            expected  never step `step-4.then-1`
            happened  taken at [time]
            why       [time]  enrolled   event signed_up [welcome]
                      [time]  waiting    waits 2 days, until [time] Europe/Berlin (the contact has no time zone) [welcome, step-3]
                      [time]  branched   `contact.scores.fit >= 30` holds [welcome, step-4]


          mia  workflows/welcome.test.yaml:15
            expected  steps step-4.else-1
            happened  took step-1, step-2, step-3, step-4, step-4.then-1
                      `step-4.else-1` was not taken, or not after those before it
            why       [time]  enrolled   event signed_up [welcome]
                      [time]  waiting    waits 2 days, until [time] Europe/Berlin (the contact has no time zone) [welcome, step-3]
                      [time]  branched   `contact.scores.fit >= 30` holds [welcome, step-4]


          mia  workflows/welcome.test.yaml:16
            expected  end with the reason "too small"
            happened  completed at `step-4.then-1`: Ada, 2 of 3 shares of sales
            why       [time]  enrolled   event signed_up [welcome]
                      [time]  waiting    waits 2 days, until [time] Europe/Berlin (the contact has no time zone) [welcome, step-3]
                      [time]  branched   `contact.scores.fit >= 30` holds [welcome, step-4]


          tom  workflows/welcome.test.yaml:17
            expected  to be enrolled
            happened  never entered
            why       [time]  not enrolled event signed_up: `enroll.if` does not hold [welcome]

    ok    workflows/welcome.test.yaml: is right  [time]

    2 tests run: 1 passed, 1 failed in [time]
    welcome: 5 of 6 steps, 1 of 2 ways taken
      line  28  step `step-4.else-1` is never taken
      line  24  `step-4` never leads to `else`
    "#);
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
    assert_snapshot!(workspace.run(&["check"]).shown(), @r#"
    [exit 1]
    error[E0410]: there is no email template `welcom`
      --> workflows/welcome.test.yaml:25:28
       |
    25 |         mails: [{template: welcom, at: soon, subject: "Welcome, Mia"}]
       |                            ^^^^^^
       = help: did you mean `welcome`?

    error[E0905]: `soon` is no time
      --> workflows/welcome.test.yaml:25:40
       |
    25 |         mails: [{template: welcom, at: soon, subject: "Welcome, Mia"}]
       |                                        ^^^^
       = help: write for example [time], or 2d for two days after the start

    1 workflow and 1 test file checked: 2 errors
    For more about a complaint: dripline explain E0905
    "#);
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
    assert_snapshot!(workspace.run(&args).shown(), @r#"
    [exit 0]
    Simulated 2024-02-01 to 2024-02-11 (Europe/Berlin) in [time]: 5 contacts over 10 days
    3 mails to 2 contacts, 2 entered, 1 lead, 8 events arrived (6 of them reactions)

    Mails by day
         1 ┤██ █
           ┤██ █
           ┤██ █
           ┤██ █
           ┤██ █
           ┤██ █
         0 └───────────
            2024-02-01 2024-02-11

    mail     workflow  step           sent  opened     clicked    replied  unsubscribed
    welcome  welcome   step-2         2     2 (100 %)  2 (100 %)
    nudge    welcome   step-4.else-1  1     1 (100 %)  1 (100 %)

    welcome: 2 entered, 0 not admitted
      step           what                         reached                        skipped  held back  failed  stand here
      step-1         Score the company            2        ████████████████████
      step-2         Greet                        2        ████████████████████
      step-3         wait 2d                      2        ████████████████████
      step-4         if contact.scores.fit >= 30  2        ████████████████████
      step-4.then-1  assign sales                 1        ██████████
      step-4.else-1  email nudge                  1        ██████████
      where they end
            1  completed    step-4.else-1  email nudge
            1  completed    step-4.then-1  assign sales

    Load of the representatives
      representative  leads  most in a day  by week
      Ada (ada)       1      1              1 0

    Mails within seven days: at most 2 to one contact; more than 3 to 0 contacts

    c-002 (UTC)
      [time]  consent      email given
      [time]  event        signed_up
      [time]  enrolled     event signed_up [welcome]
      [time]  done         fit 0: no rule holds [welcome, step-1]
      [time]  mail         sent welcome "Welcome, Noah" [mail 2] (rehearsed, and not sent)
      [time]  done         queued welcome [welcome, step-2]
      [time]  waiting      waits 2 days, until [time] Europe/Vienna [welcome, step-3]
      [time]  event        email.opened {template: "welcome", workflow: "welcome", step: "step-2", subject: "Welcome, Noah"}
      [time]  event        email.clicked {template: "welcome", workflow: "welcome", step: "step-2", subject: "Welcome, Noah"}
      [time]  branched     `contact.scores.fit >= 30` does not hold [welcome, step-4]
      [time]  mail         sent nudge "Three things to try first" [mail 3] (rehearsed, and not sent)
      [time]  done         queued nudge [welcome, step-4.else-1]
      [time]  event        email.opened {template: "nudge", workflow: "welcome", step: "step-4.else-1", subject: "Three things to try first"}
      [time]  event        email.clicked {template: "nudge", workflow: "welcome", step: "step-4.else-1", subject: "Three things to try first"}

    What was assumed
      - The engine looks every 15 minutes; what falls due in between is done at the end of it. A schedule that fires more often fires once in that time.
      - Contacts react by 1 rules about mails and 0 about events, with the seed 0; a mail that fits no rule is ignored by its receiver.
      - How long people take is spread between the bounds of each rule, early more often than late: as often in the first hour as in the ten hours after it.
      - Every mail that is sent arrives at once: no server refuses or delays any.
      - Days are those of Europe/Berlin; a week is any seven days in a row.
      - 5 contacts from contacts.csv.
      - 3 events from events.csv. Those before the start are history.

    Written: page.html
    "#);
    assert!(!workspace.path(".dripline/dripline.db").exists(), "the store is not even made");
    let page = workspace.read("page.html");
    assert!(page.contains("c-002") && !page.contains("http://"));
    let again = workspace.run(&[&args[..11], &["--json", "-"]].concat());
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
    assert_snapshot!(said, @"
    error: there is nobody to simulate with
    help: name a file of contacts (--contacts contacts.csv), or take those of the store (--store)
    error: --events needs --from: which of the events are still to come?
    help: write for example --from 2024-01-01; events before that day are history
    error: --from: `soon` is no date
    help: write for example 2024-01-31 or [time]
    error: --for is no time at all
    help: write for example --for 60d
    error: --for 20y is more than ten years
    help: write for example --for 60d
    error: failed to import none.csv: No such file or directory (os error 2)
    error: --enroll: there is no workflow `welcme` among those simulated
    help: did you mean `welcome`?
    error: there is no contact `nobody`
    help: name it by its id, external id or address; `dripline contacts list` shows them
    error: error[E0410]: there is no email template `welcom`
     --> behaviour.yaml:1:20
      |
    1 | mails: [{template: welcom, open: 0.4}]
      |                    ^^^^^^
      = help: did you mean `welcome`?

    error[E0901]: `0.4` is no percentage from 0% to 100%
     --> behaviour.yaml:1:34
      |
    1 | mails: [{template: welcom, open: 0.4}]
      |                                  ^^^
      = help: write `40%`

    the behaviour has mistakes; nothing was simulated
    ");
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
