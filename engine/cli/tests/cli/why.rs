//! `dripline why`.

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{TestWorkspace, steady};

const GREET: &str = "\
name: greet
description: Greets large companies.
on: [manual, {event: signed_up}]
enroll: {if: contact.consent.email && contact.employees >= 200}
steps:
  - id: hello
    name: Greet
    email: {template: welcome, subject: Hello}
  - id: german
    if: contact.country == \"DE\"
    score: {name: fit, add: 10, because: home market}
  - id: click
    wait_for: {event: email.clicked, within: 3d}
    then:
      - assign: {team: sales}
    else:
      - email: {template: nudge, subject: Still there?}
";

const OFFER: &str = "\
name: offer
on: manual
enroll: {again: always}
steps:
  - id: news
    email: {template: nudge, subject: An offer}
  - id: fits
    wait_for: {if: contact.scores.fit >= 30 && contact.plan == \"pro\", within: 30d}
    then:
      - exit: a customer
";

const LATER: &str = "\
name: later
on: manual
steps:
  - wait: 2d
  - exit: two days are over
";

const VIPS: &str = "\
name: vips
on: {segment_joined: vip}
enroll: {if: has(contact.title)}
steps:
  - email: {template: nudge, subject: For you, topic: vip_news}
";

/// Three contacts: one who fits, one whose company is too small, one who gave no consent.
fn workspace() -> TestWorkspace {
    let workspace = TestWorkspace::new();
    workspace.remove("workflows/welcome.yaml");
    workspace.remove("workflows/welcome.test.yaml");
    workspace.write("workflows/greet.yaml", GREET);
    workspace.write("workflows/offer.yaml", OFFER);
    workspace.write("workflows/vips.yaml", VIPS);
    workspace.write("workflows/later.yaml", LATER);
    workspace.write(
        "segments/vip.yaml",
        "name: vip\nif: contact.employees >= 1000 && contact.country == \"FR\"\n",
    );
    let settings = workspace.read("dripline.yaml");
    workspace.write("dripline.yaml", format!("{settings}\ncaps: [{{at_most: 1, in: 7d}}]\n"));
    workspace.write(
        "people.csv",
        "external_id,email,country,employees,consent_email\nada,ada@dripline.example,AT,250,true\nbob,bob@dripline.example,DE,150,true\ncyd,cyd@dripline.example,DE,900,\n",
    );
    assert_eq!(workspace.run(&["import", "people.csv"]).code, 0);
    assert_eq!(workspace.run(&["run"]).code, 0);
    workspace
}

/// The same, after some were enrolled.
fn campaign() -> TestWorkspace {
    let workspace = workspace();
    assert_eq!(workspace.run(&["enroll", "greet", "ada", "bob"]).code, 0);
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_eq!(workspace.run(&["enroll", "offer", "ada", "cyd"]).code, 0);
    assert_eq!(workspace.run(&["enroll", "later", "bob"]).code, 0);
    assert_eq!(workspace.run(&["run"]).code, 0);
    workspace
}

#[test]
fn it_says_what_happened_and_what_is_waited_for() {
    let _steady = steady();
    let workspace = campaign();
    assert_snapshot!(workspace.run(&["why", "ada"]).shown(), @r#"
    [exit 0]
    ada@dripline.example (times are UTC)

    greet: Greets large companies.
      [time]  enrolled     by hand
      [time]  done         Greet: queued welcome
                                        the mail "Hello" was sent at [time]
      [time]  skipped      german: skipped: `contact.country == "DE"` does not hold
                                        now:
                                          `contact.country == "DE"` is false: contact.country is "AT"
      [time]  waiting      click: waits for `email.clicked`, until [time]
      Now at click: waits for the event `email.clicked`, until [time]

    offer
      [time]  enrolled     by hand
      [time]  waiting      news: waits until [time]: at most 1 marketing email in 7d
      Now at news: held back, until [time]: at most 1 marketing email in 7d

    Never came near
      later  by hand: dripline enroll later ada
      vips   joining vip: never joined
      --workflow NAME says more
    "#);
    assert_snapshot!(workspace.run(&["why", "bob"]).shown(), @r"
    [exit 0]
    bob@dripline.example (times are UTC)

    greet: Greets large companies.
      [time]  not enrolled by hand: `enroll.if` does not hold
      What would start it
        by hand: dripline enroll greet bob
        event signed_up: never happened to this contact
      It would not be let in if that happened now:
        `enroll.if` does not hold
          `contact.consent.email` is true
          `contact.employees >= 200` is false, and decides: contact.employees is 150

    later
      [time]  enrolled     by hand
      [time]  waiting      step-1: waits 2 days, until [time] Europe/Berlin
      Now before step-2, until [time]: waits 2 days, until [time] Europe/Berlin

    Never came near
      offer  by hand: dripline enroll offer bob
      vips   joining vip: never joined
      --workflow NAME says more
    ");
    assert_snapshot!(workspace.run(&["why", "cyd@dripline.example", "--workflow", "offer"]).shown(), @r#"
    [exit 0]
    cyd@dripline.example (times are UTC)

    offer
      [time]  enrolled     by hand
      [time]  suppressed   news: `nudge` not sent: no consent to email
      [time]  waiting      fits: waits for `contact.scores.fit >= 30 && contact.plan == "pro"`, until [time]
      Now at fits: waits for `contact.scores.fit >= 30 && contact.plan == "pro"` to hold, until [time]
        `contact.scores.fit >= 30` is false: contact.scores.fit is 0
        `contact.plan == "pro"` is no match: contact has no `plan`
    "#);
    assert_snapshot!(workspace.run(&["why", "ada", "--step", "german"]).shown(), @r#"
    [exit 0]
    ada@dripline.example (times are UTC)

    greet: Greets large companies.
      [time]  enrolled     by hand
      [time]  skipped      german: skipped: `contact.country == "DE"` does not hold
                                        now:
                                          `contact.country == "DE"` is false: contact.country is "AT"
      Now at click: waits for the event `email.clicked`, until [time]
      What german says of the contact now
        `contact.country == "DE"` is false: contact.country is "AT"
    "#);
    assert_snapshot!(workspace.run(&["why", "ada", "--workflow", "greet", "--step", "step-3.else-1"]).shown(), @r"
    [exit 0]
    ada@dripline.example (times are UTC)

    greet: Greets large companies.
      [time]  enrolled     by hand
      Now at click: waits for the event `email.clicked`, until [time]
      The contact did not come to step-3.else-1.
    ");
}

#[test]
fn it_says_why_nothing_happened() {
    let _steady = steady();
    let workspace = workspace();
    assert_snapshot!(workspace.run(&["why", "ada"]).shown(), @r"
    [exit 0]
    ada@dripline.example (times are UTC)

    Never came near
      greet  by hand: dripline enroll greet ada; event signed_up: never happened to this contact
      later  by hand: dripline enroll later ada
      offer  by hand: dripline enroll offer ada
      vips   joining vip: never joined
      --workflow NAME says more
    ");
    assert_snapshot!(workspace.run(&["why", "bob", "--workflow", "vips"]).shown(), @r#"
    [exit 0]
    bob@dripline.example (times are UTC)

    vips
      The contact never came near it.
      What would start it
        joining vip: never joined
          `contact.employees >= 1000` is false: contact.employees is 150
          `contact.country == "FR"` is false: contact.country is "DE"
      It would not be let in if that happened now:
        `enroll.if` does not hold
          `has(contact.title)` is false
    "#);
    workspace.write("events.csv", "event_id,contact,name,at\n1,cyd,signed_up,2024-01-01T00:00:00Z\n");
    assert_eq!(workspace.run(&["events", "import", "events.csv"]).code, 0);
    assert_snapshot!(workspace.run(&["why", "cyd", "--workflow", "greet"]).shown(), @r"
    [exit 0]
    cyd@dripline.example (times are UTC)

    greet: Greets large companies.
      The contact never came near it.
      What would start it
        by hand: dripline enroll greet cyd
        event signed_up: happened last at [time] UTC, as history, which starts nothing
      It would not be let in if that happened now:
        `enroll.if` does not hold
          `contact.consent.email` is false, and decides
          `contact.employees >= 200` is true: contact.employees is 900
        held back: `welcome` not sent: no consent to email
        held back: `nudge` not sent: no consent to email
    ");
}

#[test]
fn a_pause_a_failure_and_what_is_forgotten_are_said() {
    let _steady = steady();
    let workspace = campaign();
    assert_eq!(workspace.run(&["workflows", "pause", "greet"]).code, 0);
    assert_snapshot!(workspace.run(&["why", "ada", "--workflow", "greet", "--step", "step-3.then-1"]).shown(), @r"
    [exit 0]
    ada@dripline.example (times are UTC)

    greet: Greets large companies.
      Paused since [time]: nobody in it goes on until `dripline workflows resume greet`.
      [time]  enrolled     by hand
      Now at click: waits for the event `email.clicked`, until [time]
      The contact did not come to step-3.then-1.
    ");

    workspace.write("workflows/offer.yaml", OFFER.replace("An offer", "'For {{contact.first_name}}'"));
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_eq!(workspace.run(&["enroll", "offer", "bob"]).code, 0);
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_snapshot!(workspace.run(&["why", "bob", "--workflow", "offer"]).shown(), @r#"
    [exit 0]
    bob@dripline.example (times are UTC)

    offer
      [time]  enrolled     by hand
      [time]  failed       news: failed (template): contact has no `first_name`; give a default: {{default contact.first_name "there"}}
      Now at news: stopped until a person decides: failed (template): contact has no `first_name`; give a default: {{default contact.first_name "there"}}
                                        `dripline runs list --contact bob` shows it, `dripline runs retry` and `skip` set it going
      What would start it again
        by hand: dripline enroll offer bob
      It would be let in again if that happened now.
    "#);

    // A run that was over long ago, and of which the decisions were let go.
    let runs = workspace.json(&["runs", "list", "--contact", "cyd"]);
    let run = runs[0]["id"].to_string();
    assert_eq!(workspace.run(&["runs", "cancel", &run]).code, 0);
    let settings = workspace.read("dripline.yaml");
    workspace.write("dripline.yaml", format!("{settings}\nretention: {{decisions: 1d}}\n"));
    let database = rusqlite::Connection::open(workspace.path(".dripline/dripline.db")).unwrap();
    database.execute("UPDATE runs SET ended_at = 1 WHERE ended_at IS NOT NULL", []).unwrap();
    drop(database);
    assert_eq!(workspace.run(&["prune"]).code, 0);
    assert_snapshot!(workspace.run(&["why", "cyd", "--workflow", "offer"]).shown(), @r"
    [exit 0]
    cyd@dripline.example (times are UTC)

    offer
      [time]  enrolled     why is not kept any more
      [time]  cancelled    what happened on the way is not kept any more
      What would start it again
        by hand: dripline enroll offer cyd
      It would be let in again if that happened now.
        held back: `nudge` not sent: no consent to email

    `retention` lets go of decisions that are older than [time].
    ");
}

#[test]
fn the_paths_of_a_run_are_told_apart() {
    let _steady = steady();
    let workspace = workspace();
    let both = "name: both\non: manual\nsteps:\n  - parallel:\n      mails: [{wait: 2d}, {exit: done}]\n      sales: [{wait: 3d}, {exit: done}]\n";
    workspace.write("workflows/both.yaml", both);
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_eq!(workspace.run(&["enroll", "both", "ada"]).code, 0);
    assert_eq!(workspace.run(&["run"]).code, 0);
    let told = workspace.run(&["why", "ada", "--workflow", "both"]).out;
    let paths: Vec<&str> = told.lines().map(str::trim).filter(|line| line.starts_with("Path")).collect();
    assert_eq!(paths, ["Path `mails`", "Path `sales`"], "{told}");
    assert_eq!(told.matches("enrolled ").count(), 1, "a path is not enrolled: {told}");
    let json = workspace.json(&["why", "ada", "--workflow", "both"]);
    assert_eq!(json["workflows"][0]["runs"][2]["path"], "sales");
    assert_eq!(
        json["workflows"][0]["runs"][0]["stands"]["reason"],
        "the end of path `mails`, which stands at `step-1.mails-2`; of path `sales`, which stands at `step-1.sales-2`"
    );
}

#[test]
fn programs_get_the_same_as_json() {
    let workspace = campaign();
    let json = workspace.json(&["why", "ada"]);
    let of = |name: &str| {
        let all = json["workflows"].as_array().unwrap();
        all.iter().find(|workflow| workflow["workflow"] == name).unwrap()
    };
    let run = &of("greet")["runs"][0];
    assert_eq!((&run["status"], &run["because"]), (&Value::from("active"), &Value::from("by hand")));
    assert_eq!(run["decisions"][0]["mails"][0]["status"], "sent");
    assert_eq!(run["decisions"][1]["now"]["clauses"][0]["values"]["contact.country"], "\"AT\"");
    assert_eq!((&run["stands"]["step"], &run["stands"]["waits_for"]), (&"click".into(), &"happening".into()));
    assert_eq!(of("offer")["runs"][0]["stands"]["waits_for"], "opening");
    assert_eq!(of("vips")["entry"]["open"], false);
    let step = workspace.json(&["why", "bob", "--workflow", "greet", "--step", "german"]);
    assert_eq!(step["workflows"][0]["step"]["conditions"][0]["holds"], true);
}

#[test]
fn who_asks_of_what_is_not_there_is_told() {
    let workspace = workspace();
    assert_snapshot!(workspace.run(&["why", "nobody"]).shown(), @r"
    [exit 1]
    error: there is no contact `nobody`
    help: name it by its id, external id or address; `dripline contacts list` shows them
    ");
    assert_snapshot!(workspace.run(&["why", "ada", "--workflow", "gret"]).shown(), @r"
    [exit 1]
    error: no workflow `gret` is published
    help: did you mean `greet`?
    ");
    assert_snapshot!(workspace.run(&["why", "ada", "--workflow", "greet", "--step", "germn"]).shown(), @r"
    [exit 1]
    error: the workflow `greet` has no step `germn`
    help: did you mean `german`?
    ");
    assert_snapshot!(workspace.run(&["why", "ada", "--step", "nothing-like-it"]).shown(), @r"
    [exit 1]
    error: no workflow has a step `nothing-like-it`
    help: `dripline workflows show NAME` shows the steps of a workflow
    ");
}
