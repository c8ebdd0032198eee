//! Publishing as people do it: `plan`, `publish`, `versions`, `diff`, `rollback`, and what a crash leaves of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use assert_cmd::cargo::cargo_bin;
use dripline_test_postgres::Server;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    faults_server::{block_on, on_server},
    support::{Answer, TestWorkspace, steady},
};

/// Greets, waits and reminds.
const GREET: &str = "\
name: greet
on: {segment_joined: german}
enroll: {if: contact.consent.email}
steps:
  - id: greeting
    email: {template: welcome, subject: Welcome}
  - id: pause
    wait: 2d
  - id: reminder
    email: {template: nudge, subject: Still there?}
";

const GERMAN: &str = "name: german\nif: contact.country in [\"DE\", \"AT\", \"CH\"]\n";

/// Everything about it is another: a step is gone, one is new, one says something else, one has another id.
const GREET_ANEW: &str = "\
name: greet
description: Greets in the mornings.
on: {segment_joined: german}
enroll: {if: 'contact.consent.email && has(contact.first_name)', again: {after: 90d}}
settings: {quiet_hours: \"20:00-08:00\"}
steps:
  - id: fit
    score: {name: fit, add: 5, because: came}
  - id: greeting
    email: {template: welcome, subject: 'Welcome, {{contact.first_name}}'}
  - id: rest
    wait: 3d
";

/// A store's place, and how to say which.
struct Place {
    workspace: TestWorkspace,
    url: Option<String>,
}

impl Place {
    fn on_file() -> Self {
        Self { workspace: TestWorkspace::new(), url: None }.prepared()
    }

    /// None where no server can be started.
    fn on_server() -> Option<Self> {
        let url = block_on(Server::shared()?.database());
        Some(Self { workspace: on_server(), url: Some(url) }.prepared())
    }

    /// With the sample contacts, one workflow and a segment.
    fn prepared(self) -> Self {
        self.workspace.remove("workflows/welcome.yaml");
        self.workspace.remove("workflows/welcome.test.yaml");
        self.workspace.write("workflows/greet.yaml", GREET);
        self.workspace.write("segments/german.yaml", GERMAN);
        assert_eq!(self.run(&["import", "contacts.csv"]).code, 0);
        self
    }

    fn run(&self, args: &[&str]) -> Answer {
        self.run_with(&[], args)
    }

    fn run_with(&self, more: &[(&str, &str)], args: &[&str]) -> Answer {
        self.workspace.answer(&self.command(more, args).output().unwrap())
    }

    /// The command, ready to start; whatever git knows on this machine is nothing to it.
    fn command(&self, more: &[(&str, &str)], args: &[&str]) -> Command {
        let mut command = Command::new(cargo_bin!("dripline"));
        command.current_dir(self.workspace.path("")).args(args).stdin(Stdio::null());
        command.env("DATABASE_URL", self.url.as_deref().unwrap_or_default()).env("LOGNAME", "tester");
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).envs(more.iter().copied());
        command
    }

    /// Whether the process dies as by a crash.
    #[cfg(unix)]
    fn died(&self, more: &[(&str, &str)], args: &[&str]) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        self.command(more, args).output().unwrap().status.signal() == Some(6)
    }

    fn ok(&self, args: &[&str]) -> String {
        let answer = self.run(args);
        assert_eq!(answer.code, 0, "{args:?}: {}{}", answer.out, answer.err);
        answer.out
    }

    fn json(&self, args: &[&str]) -> Value {
        let answer = self.run(&[args, &["--json"]].concat());
        assert!([0, 3].contains(&answer.code), "{}", answer.err);
        serde_json::from_str(&answer.out).unwrap()
    }

    /// With the workflow published, and contacts on their way in it.
    fn under_way(self) -> Self {
        self.ok(&["publish", "--note", "the first"]);
        self.ok(&["run"]);
        self
    }

    /// What runs there are: workflow, version, step, state.
    fn runs(&self) -> Vec<String> {
        let runs = self.json(&["runs", "list"]);
        let text = |run: &Value| {
            let part = |name: &str| run[name].as_str().map_or_else(|| run[name].to_string(), str::to_owned);
            ["workflow", "version", "step", "status"].map(part).join(" ")
        };
        let mut runs: Vec<String> = runs.as_array().unwrap().iter().map(text).collect();
        runs.sort();
        runs
    }

    /// What is published: the number of the version of each workflow, and what the segments say.
    fn published(&self) -> Value {
        let workflows = self.json(&["workflows", "list"]);
        let versions = workflows.as_array().unwrap().iter().filter(|one| !one["version"].is_null());
        let versions: Vec<Value> = versions.map(|one| json!([one["name"], one["version"]])).collect();
        let segments = self.json(&["segment", "list"]);
        let rules: Vec<Value> =
            segments.as_array().unwrap().iter().map(|one| json!([one["name"], one["if"]])).collect();
        json!({"workflows": versions, "segments": rules})
    }
}

/// The same on a file and on a server.
fn on_both(body: impl Fn(Place)) {
    body(Place::on_file());
    if let Some(place) = Place::on_server() {
        body(place);
    }
}

#[test]
fn a_plan_shows_what_would_change_and_changes_nothing() {
    let _steady = steady();
    let place = Place::on_file();
    assert_snapshot!(place.run(&["plan"]).shown(), @r#"
    [exit 3]
    greet new (workflows/greet.yaml)
      enroll.if admits 4 contacts now
      segment german has 4 contacts

    segment german new (0 members now, 4 by the rule)
      if: contact.country in ["DE", "AT", "CH"]
    team sales new: Sales: ada (2), ben
    representative ada new: Ada <ada@harbour.example>
    representative ben new: Ben <ben@harbour.example>

    Plan: 1 new workflow, 1 new segment, other teams; 0 workflows unchanged.
    Publish it: dripline publish
    "#);
    place.ok(&["publish"]);
    assert_snapshot!(place.run(&["plan"]).shown(), @"
    [exit 0]
    No changes: 1 workflow as published.
    ");
    place.ok(&["run"]);
    place.workspace.write("workflows/greet.yaml", GREET_ANEW);
    place.workspace.write("workflows/aside.yaml", "name: aside\non: manual\nsteps:\n  - wait: 1d\n");
    place.workspace.write("segments/german.yaml", GERMAN.replace("DE", "AT"));
    let welcome = place.workspace.read("templates/welcome.html");
    place.workspace.write("templates/welcome.html", format!("{welcome}<p>And thank you.</p>\n"));
    let teams = place.workspace.read("teams.yaml");
    place.workspace.write("teams.yaml", teams.replace("name: ", "name: New "));
    let before = place.published();
    let answer = place.run(&["plan", "--map", "reminder=rest", "--migrate"]);
    assert_snapshot!(answer.shown(), @r#"
    [exit 3]
    aside new (workflows/aside.yaml)
      enroll.if admits 5 contacts now

    greet changed, version 1 becomes 2 (workflows/greet.yaml)
      description: Greets in the mornings.
      enroll.if: contact.consent.email becomes contact.consent.email && has(contact.first_name)
      enroll.again: after 90d
      settings.quiet_hours: 20:00-08:00
      + step fit: score
          score.name: fit
          score.add: 5
          score.because: came
      ~ step greeting
          email.subject: Welcome becomes Welcome, {{contact.first_name}}
      + step rest: wait
          wait.for: 3d
          wait.time_zone: Europe/Berlin
      - step pause: wait
      - step reminder: email
      - template nudge.html, which no step sends any more
      ~ template welcome.html
          …
            <p>{{sender.name}}</p>
            {{/layout.html}}
          + <p>And thank you.</p>
      3 contacts on their way; migrate: they move to the new version, as far as it has their steps
      version  step      here now  pin   migrate  drain
      1        reminder  3         stay  to rest  end
      enroll.if admits 4 contacts now
      segment german has 2 contacts

    segment german changed (4 members now, 2 by the rule)
      if: contact.country in ["DE", "AT", "CH"] becomes contact.country in ["AT", "AT", "CH"]
    team sales changed: Sales: ada (2), ben becomes New Sales: ada (2), ben
    representative ada changed: Ada <ada@harbour.example> becomes New Ada <ada@harbour.example>
    representative ben changed: Ben <ben@harbour.example> becomes New Ben <ben@harbour.example>

    Plan: 1 new workflow, 1 changed workflow, 1 changed segment, other teams; 0 workflows unchanged.
    Publish it: dripline publish
    "#);
    assert_eq!(place.published(), before);
}

#[test]
fn a_saved_plan_is_carried_out_or_refused() {
    on_both(|place| {
        let plan = place.run(&["plan", "--out", "plan.json"]);
        assert_eq!(plan.code, 3, "{}", plan.err);
        let workspace = &place.workspace;
        workspace.write("workflows/greet.yaml", GREET.replace("2d", "4d"));
        let refused = place.run(&["publish", "--plan", "plan.json"]);
        assert_eq!(refused.code, 1, "{}", refused.out);
        assert!(refused.err.contains("the files have changed since the plan was made"), "{}", refused.err);
        workspace.write("workflows/greet.yaml", GREET);
        // Each of these belongs to the files of the plan.
        for (path, more) in [("teams.yaml", "# more\n"), ("templates/welcome.html", "<p>More</p>\n")] {
            let before = workspace.read(path);
            workspace.write(path, format!("{before}{more}"));
            let code = place.run(&["publish", "--plan", "plan.json"]).code;
            // A comment in the teams is no other team.
            assert_eq!(code, if path == "teams.yaml" { 0 } else { 1 }, "{path}");
            workspace.write(path, before);
        }
        let again = place.run(&["publish", "--plan", "plan.json"]);
        assert!(again.code == 1 && again.err.contains("something was published since"), "{}", again.err);
        assert_eq!(place.run(&["plan"]).code, 0);
        // What was chosen belongs to the plan too.
        place.ok(&["run"]);
        workspace.write("workflows/greet.yaml", GREET.replace("reminder", "rest"));
        assert_eq!(place.run(&["plan", "--migrate", "--map", "reminder=rest", "--out", "plan.json"]).code, 3);
        let published = place.ok(&["publish", "--plan", "plan.json", "--author", "anna"]);
        assert!(published.contains("3 contacts moved to it"), "{published}");
        assert_eq!(place.runs(), ["greet 2 rest active"; 3]);
    });
}

#[test]
fn a_file_that_is_no_plan_is_refused() {
    let _steady = steady();
    let place = Place::on_file();
    place.workspace.write("plan.json", "{\"format\": 9, \"files\": \"a\", \"store\": \"b\", \"choice\": {\"workflows\": [], \"runs\": null, \"map\": []}}");
    assert_snapshot!(place.run(&["publish", "--plan", "plan.json"]).shown(), @"
    [exit 1]
    error: plan.json is no plan: its format is 9, and this program knows 1
    help: `dripline plan --out FILE` writes one
    ");
    place.workspace.write("plan.json", "nonsense");
    assert_snapshot!(place.run(&["publish", "--plan", "plan.json"]).shown(), @"
    [exit 1]
    error: plan.json is no plan: expected ident at line 1 column 2
    help: `dripline plan --out FILE` writes one
    ");
    assert_eq!(place.run(&["publish", "--plan", "plan.json", "--drain"]).code, 2);
    assert_snapshot!(place.run(&["plan", "gret"]).shown(), @"
    [exit 1]
    error: there is no workflow `gret`, neither in the files nor published
    help: did you mean `greet`?
    ");
    assert_snapshot!(place.run(&["plan", "--map", "reminder=rest"]).shown(), @"
    [exit 1]
    error: --map reminder=rest: no workflow that changes is migrated
    help: add --migrate, or write `on_publish: migrate` into the workflow's settings
    ");
}

#[test]
fn contacts_on_their_way_stay_move_or_leave() {
    let changed = GREET.replace("reminder", "rest");
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("", &[], &["greet 1 reminder active"]),
        ("", &["--migrate", "--map", "reminder=rest"], &["greet 2 rest active"]),
        ("", &["--migrate"], &["greet 1 reminder active"]),
        ("", &["--drain"], &["greet 1 reminder cancelled"]),
        ("settings: {on_publish: drain}\n", &[], &["greet 1 reminder cancelled"]),
        ("settings: {on_publish: drain}\n", &["--pin"], &["greet 1 reminder active"]),
    ];
    on_both(|place| {
        let place = place.under_way();
        assert_eq!(place.runs(), ["greet 1 reminder active"; 3]);
        // What `plan` says comes true; each begins where the first did.
        for (settings, options, expected) in cases {
            let before = place.runs();
            place
                .workspace
                .write("workflows/greet.yaml", changed.replace("steps:", &format!("{settings}steps:")));
            let plan = place.json(&[&["plan"], options].concat());
            let fate = &plan["workflows"][0];
            assert_eq!(fate["standing"][0]["contacts"], 3, "{fate}");
            assert_eq!(place.runs(), before);
            let moves = &fate["standing"][0]["moves_to"];
            match fate["runs"].as_str().unwrap() {
                "migrate" => assert_eq!(moves.is_string(), expected[0].contains("rest"), "{fate}"),
                what => assert_eq!(what == "drain", expected[0].contains("cancelled"), "{fate}"),
            }
        }
    });
    for (settings, options, expected) in cases {
        let place = Place::on_file().under_way();
        place
            .workspace
            .write("workflows/greet.yaml", changed.replace("steps:", &format!("{settings}steps:")));
        place.ok(&[&["publish"], options].concat());
        assert_eq!(place.runs(), [expected[0]; 3], "{settings}{options:?}");
    }
}

#[test]
fn a_workflow_that_is_gone_ends_its_runs_if_it_is_told_to() {
    on_both(|place| {
        let place = place.under_way();
        let text = place.workspace.read("workflows/greet.yaml");
        place.workspace.remove("workflows/greet.yaml");
        let out = place.ok(&["publish"]);
        assert!(out.contains("Retired greet: its file is gone; its runs go on to their end"), "{out}");
        assert_eq!(place.runs(), ["greet 1 reminder active"; 3]);
        place.workspace.write("workflows/greet.yaml", text);
        let plan = place.json(&["plan"]);
        let back = &plan["workflows"][0];
        assert_eq!((&back["change"], &back["new_version"]), (&json!("new"), &json!(2)));
        place.ok(&["publish"]);
        place.workspace.remove("workflows/greet.yaml");
        let out = place.ok(&["publish", "--drain"]);
        assert!(out.contains("Retired greet: its file is gone; 3 contacts left it"), "{out}");
        assert_eq!(place.runs(), ["greet 1 reminder cancelled"; 3]);
    });
}

#[test]
fn only_what_is_named_is_published() {
    let place = Place::on_file();
    place.workspace.write("workflows/aside.yaml", "name: aside\non: manual\nsteps:\n  - wait: 1d\n");
    let out = place.ok(&["publish", "aside"]);
    assert!(out.contains("Published aside version 1") && !out.contains("Published greet"), "{out}");
    assert!(out.contains("Published segment german"), "segments belong to all: {out}");
    place.ok(&["publish"]);
    place.workspace.remove("workflows/aside.yaml");
    let out = place.ok(&["publish", "greet"]);
    assert!(out.contains("Nothing to publish"), "{out}");
    let out = place.ok(&["publish", "aside"]);
    assert!(out.contains("Retired aside"), "{out}");
}

#[test]
fn where_files_are_published_by_hand_run_publishes_nothing() {
    let _steady = steady();
    let place = Place::on_file();
    let settings = place.workspace.read("dripline.yaml");
    place.workspace.write("dripline.yaml", format!("{settings}\npublish: by_hand\n"));
    assert_snapshot!(place.run(&["run"]).shown(), @"
    [exit 0]
    note: nothing is published yet: dripline plan, dripline publish
    Done: 0 events, 0 enrolled, 0 turns, 0 mails sent
    ");
    place.ok(&["publish"]);
    assert_snapshot!(place.run(&["run"]).shown(), @"
    [exit 0]
    Done: 4 events, 3 enrolled, 6 turns, 3 mails sent
    ");
    place.workspace.write("workflows/greet.yaml", GREET_ANEW);
    assert_snapshot!(place.run(&["run"]).shown(), @"
    [exit 0]
    note: the files differ from what is published (1 changed workflow): dripline plan, dripline publish
    Done: 0 events, 0 enrolled, 0 turns, 0 mails sent
    ");
    let doctor = place.run(&["doctor"]).shown();
    let line = doctor.lines().skip_while(|line| !line.contains("published ")).take(2);
    assert_snapshot!(line.collect::<Vec<_>>().join("\n"), @"
    warning  published  the files differ from what is published: 1 changed workflow
             mend:      dripline plan shows it; dripline publish publishes it
    ");
    place.workspace.write("workflows/greet.yaml", "name: greet\n");
    let noted = place.ok(&["run", "--fast-forward"]);
    assert!(noted.contains("note: the files have 2 errors: dripline check"), "{noted}");
    place.workspace.write("dripline.yaml", settings.clone() + "\npublish: never\n");
    assert_snapshot!(place.run(&["run"]).shown(), @"
    [exit 1]
    error: [workspace]/dripline.yaml:15:10: `publish` cannot be `never`
    help: it can be `at_start` or `by_hand`; `dripline check` shows every mistake with its line
    ");
}

#[test]
fn versions_are_listed_compared_and_gone_back_to() {
    let _steady = steady();
    let place = Place::on_file().under_way();
    place.workspace.write("workflows/greet.yaml", GREET_ANEW);
    place.ok(&["publish", "--author", "Anna", "--note", "mornings", "--migrate", "--map", "reminder=rest"]);
    assert_eq!(place.runs(), ["greet 2 rest active"; 3]);
    assert_snapshot!(place.run(&["diff", "greet", "1", "2"]).shown(), @r#"
    [exit 0]
    greet: from version 1 to version 2
      description: Greets in the mornings.
      enroll.if: contact.consent.email becomes contact.consent.email && has(contact.first_name)
      enroll.again: after 90d
      settings.quiet_hours: 20:00-08:00
      + step fit: score
          score.name: fit
          score.add: 5
          score.because: came
      ~ step greeting
          email.subject: Welcome becomes Welcome, {{contact.first_name}}
      + step rest: wait
          wait.for: 3d
          wait.time_zone: Europe/Berlin
      - step pause: wait
      - step reminder: email
      - template nudge.html, which no step sends any more
    "#);
    assert_snapshot!(place.run(&["diff", "greet"]).shown(), @"
    [exit 0]
    greet: from version 2 to workflows/greet.yaml
      nothing is different
    ");
    assert_snapshot!(place.run(&["diff", "greet", "1", "--source"]).shown(), @r#"
    [exit 0]
    greet: from version 1 to workflows/greet.yaml
            name: greet
          + description: Greets in the mornings.
            on: {segment_joined: german}
          - enroll: {if: contact.consent.email}
          + enroll: {if: 'contact.consent.email && has(contact.first_name)', again: {after: 90d}}
          + settings: {quiet_hours: "20:00-08:00"}
            steps:
          +   - id: fit
          +     score: {name: fit, add: 5, because: came}
              - id: greeting
          -     email: {template: welcome, subject: Welcome}
          -   - id: pause
          -     wait: 2d
          -   - id: reminder
          -     email: {template: nudge, subject: Still there?}
          +     email: {template: welcome, subject: 'Welcome, {{contact.first_name}}'}
          +   - id: rest
          +     wait: 3d
    "#);
    assert_eq!(place.ok(&["versions", "greet", "--source", "1"]), GREET);
    assert_snapshot!(place.run(&["versions", "greet", "--source", "3"]).shown(), @"
    [exit 1]
    error: `greet` has no version 3
    help: it has versions 1 to 2: dripline versions greet
    ");

    assert_snapshot!(place.run(&["rollback", "greet", "--note", "too early"]).shown(), @"
    [exit 0]
    Published greet version 3
    It is version 1 of greet again.
    The file is what it was: `dripline run` leaves it alone until it is changed. The one of version 1: dripline versions greet --source 1
    ");
    assert_snapshot!(place.run(&["versions", "greet"]).shown(), @"
    [exit 0]
    version    published (UTC)      by      digest        here now  note
    3 current  [time]  tester  [digest]  0         version 1 again: too early
    2          [time]  Anna    [digest]  3         mornings
    1          [time]  tester  [digest]  0         the first
    ");
    assert_snapshot!(place.run(&["versions"]).shown(), @"
    [exit 0]
    published (UTC)      by      what                            note
    [time]  tester  greet 3                         too early
    [time]  Anna    greet 2 (3 contacts moved)      mornings
    [time]  tester  greet 1, segment german, teams  the first
    ");
    // A rollback holds until the file says something new.
    assert_snapshot!(place.run(&["run"]).shown(), @"
    [exit 0]
    greet was rolled back, and its file says what was rolled back: dripline publish greet publishes it
    Done: 0 events, 0 enrolled, 0 turns, 0 mails sent
    ");
    assert_snapshot!(place.run(&["rollback", "greet"]).shown(), @"
    [exit 1]
    error: `greet` has no version before this one
    help: `dripline versions greet` shows them
    ");
    assert_snapshot!(place.run(&["rollback", "greet", "--to", "3"]).shown(), @"
    [exit 1]
    error: version 3 of `greet` is what is published
    help: `dripline versions greet` shows the others
    ");
    place.workspace.write("workflows/greet.yaml", GREET_ANEW.replace("3d", "4d"));
    let ran = place.ok(&["run"]);
    assert!(ran.contains("Published greet version 4"), "{ran}");
    let out = place.ok(&["rollback", "greet", "--to", "2", "--migrate"]);
    assert!(out.contains("version 5"), "{out}");
    assert_eq!(place.runs(), ["greet 5 rest active"; 3]);
    let newest = &place.json(&["versions", "greet"])["versions"][0];
    assert_eq!(
        (&newest["restores"], &newest["runs"], &newest["author"]),
        (&json!(2), &json!(3), &json!("tester"))
    );
}

#[test]
fn what_a_version_needs_must_be_there_to_go_back() {
    let _steady = steady();
    let place = Place::on_file();
    let hand_over = "name: hand-over\non: manual\nsteps:\n  - assign: {team: sales}\n";
    place.workspace.write("workflows/hand-over.yaml", hand_over);
    place.ok(&["publish"]);
    place.workspace.write("workflows/hand-over.yaml", hand_over.replace("sales", "field"));
    let teams = place.workspace.read("teams.yaml");
    place.workspace.write("teams.yaml", teams.replace("key: sales", "key: field"));
    place.ok(&["publish"]);
    assert_snapshot!(place.run(&["rollback", "hand-over"]).shown(), @"
    [exit 1]
    error: version 1 of `hand-over` hands leads to the team `sales`, which there is no more
    help: put the team back into teams.yaml and publish it, or go back to another version
    ");
}

#[cfg(unix)]
#[test]
fn a_process_that_dies_while_it_publishes_leaves_all_or_nothing() {
    on_both(|place| {
        let place = place.under_way();
        place.workspace.write("workflows/greet.yaml", GREET_ANEW);
        place.workspace.write("workflows/aside.yaml", "name: aside\non: manual\nsteps:\n  - wait: 1d\n");
        place.workspace.write("segments/german.yaml", GERMAN.replace("DE", "FR"));
        let (published, runs, plan) = (place.published(), place.runs(), place.json(&["plan"]));
        let publish = ["publish", "--migrate", "--map", "reminder=rest"];
        for point in ["publish.versions", "publish.written", "store.commit.before"] {
            let died = place.died(&[("FAILPOINTS", &format!("{point}=return"))], &publish);
            assert!(died, "{point}");
            assert_eq!((place.published(), place.runs()), (published.clone(), runs.clone()), "{point}");
            let again = place.json(&["plan"]);
            assert_eq!(again["store"], plan["store"], "{point}");
        }
        assert!(place.died(&[("FAILPOINTS", "store.commit.after=return")], &publish));
        let done = json!({
            "workflows": [["aside", 1], ["greet", 2]],
            "segments": [["german", "contact.country in [\"FR\", \"AT\", \"CH\"]"]],
        });
        assert_eq!((place.published(), place.runs()), (done, vec!["greet 2 rest active".to_owned(); 3]));
        let out = place.ok(&publish[..1]);
        assert!(out.contains("Nothing to publish"), "{out}");
    });
}

#[cfg(unix)]
#[test]
fn a_process_that_is_killed_while_it_publishes_leaves_all_or_nothing() {
    let place = Place::on_file().under_way();
    let (mut kills, mut pause) = (0, Duration::from_millis(20));
    place.workspace.write("workflows/greet.yaml", GREET_ANEW);
    place.workspace.write("workflows/aside.yaml", "name: aside\non: manual\nsteps:\n  - wait: 1d\n");
    let (published, runs) = (place.published(), place.runs());
    loop {
        let mut process =
            place.command(&[], &["publish", "--migrate", "--map", "reminder=rest"]).spawn().unwrap();
        // The pause decides where the process dies, not whether the test passes.
        thread::sleep(pause);
        let is_done = process.try_wait().unwrap().is_some();
        process.kill().unwrap();
        process.wait().unwrap();
        let now = (place.published(), place.runs());
        if now != (published.clone(), runs.clone()) {
            assert_eq!(now.0["workflows"], json!([["aside", 1], ["greet", 2]]));
            assert_eq!(now.1, ["greet 2 rest active"; 3]);
            break;
        }
        assert!(!is_done, "it ended and published nothing");
        kills += 1;
        pause = pause.mul_f64(1.4);
    }
    assert!(kills > 0, "the process was to die at least once");
}

#[test]
fn of_two_who_publish_one_plan_at_once_one_is_told() {
    on_both(|place| {
        assert_eq!(place.run(&["plan", "--out", "plan.json"]).code, 3);
        let start = || place.command(&[], &["publish", "--plan", "plan.json"]).spawn();
        let (one, other) = (start().unwrap(), start().unwrap());
        let answers =
            [one, other].map(|process| place.workspace.answer(&process.wait_with_output().unwrap()));
        let mut codes = answers.each_ref().map(|answer| answer.code);
        codes.sort_unstable();
        let [one, other] = &answers;
        assert_eq!(codes, [0, 1], "{}\n{}", one.shown(), other.shown());
        let told = answers.iter().find(|answer| answer.code == 1).unwrap();
        assert!(
            told.err.contains("somebody else has published")
                || told.err.contains("something was published since"),
            "{}",
            told.err
        );
        assert_eq!(place.json(&["versions"]).as_array().unwrap().len(), 1);
    });
}

#[test]
fn processes_that_start_together_publish_once() {
    let Some(place) = Place::on_server() else { return };
    let start = || place.command(&[], &["run"]).spawn().unwrap();
    let processes = [start(), start(), start()];
    for process in processes {
        let answer = place.workspace.answer(&process.wait_with_output().unwrap());
        assert_eq!(answer.code, 0, "{}", answer.shown());
    }
    assert_eq!(place.json(&["versions", "greet"])["versions"].as_array().unwrap().len(), 1);
}

#[test]
fn the_plan_names_those_whom_caps_would_hold_back() {
    let _steady = steady();
    let place = Place::on_file();
    let settings = place.workspace.read("dripline.yaml");
    place.workspace.write("dripline.yaml", format!("{settings}\ncaps:\n  - {{at_most: 2, in: 7d}}\n"));
    let place = place.under_way();
    // Each alone is within the cap; the three who stand before the reminder get one more mail there, and two here.
    place.workspace.write(
        "workflows/news.yaml",
        "name: news\non: {schedule: \"0 9 * * 1\"}\nenroll: {if: 'contact.country != \"CH\"'}\nsteps:\n  - email: {template: welcome, subject: News}\n  - wait: 6d\n  - email: {template: nudge, subject: More}\n  - wait: 2d\n  - email: {template: nudge, subject: Too late to count}\n",
    );
    let plan = place.run(&["plan"]);
    let shown = plan.shown();
    let caps: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with("caps")).take(4).collect();
    assert_snapshot!(caps.join("\n"), @"
    caps: 2 contacts would get more than 2 marketing emails in 7d
      2 by greet and news: up to 3 mails
      An estimate: counted are the mails that runs may send from where they stand, and those of workflows that take a contact by a segment or a schedule; waits of a fixed length count, others as no time, and whom events will bring is not known.
    ");
    // Where the mails are a week apart nobody gets more.
    let news = place.workspace.read("workflows/news.yaml");
    place.workspace.write("workflows/news.yaml", news.replace("6d", "8d").replace("2d", "8d"));
    let plan = place.json(&["plan"]);
    assert_eq!(plan["caps"], json!([]), "{plan}");
}

#[test]
fn the_audience_is_counted_or_bounded() {
    let place = Place::on_file();
    let admits = |condition: &str| {
        let text =
            format!("name: w\non: {{event: go}}\nenroll: {{if: '{condition}'}}\nsteps:\n  - wait: 1d\n");
        place.workspace.write("workflows/w.yaml", text);
        let plan = place.json(&["plan", "w"]);
        (plan["workflows"][0]["admits"]["contacts"].clone(), plan["workflows"][0]["admits"]["how"].clone())
    };
    assert_eq!(admits("contact.consent.email"), (json!(4), json!("exact")));
    assert_eq!(admits("contact.first_name.size() > 3"), (json!(2), json!("exact")));
    assert_eq!(admits("contact.consent.email && event.properties.x == 1"), (json!(4), json!("at_most")));
    assert_eq!(admits("true"), (json!(5), json!("exact")));
}

#[test]
fn fields_and_teams_that_are_different_are_in_the_plan() {
    let place = Place::on_file();
    let fields = "fields: {first_name: text, title: text, employees: integer, country: text, plan: text}\n";
    place.workspace.write("fields.yaml", fields);
    place.ok(&["publish"]);
    assert_eq!(place.run(&["plan"]).code, 0);
    place.workspace.write(
        "fields.yaml",
        fields.replace("plan: text", "plan: {type: text, values: [free, pro]}, age: integer"),
    );
    let teams = place.workspace.read("teams.yaml");
    place.workspace.write("teams.yaml", teams.replace("weight: 2", "weight: 3"));
    let plan = place.json(&["plan"]);
    let changes = |key: &str| -> Vec<String> {
        let text = |one: &Value| {
            format!("{} {} {} {}", one["what"], one["name"], one["change"], one["new"]).replace('"', "")
        };
        plan[key].as_array().unwrap().iter().map(text).collect()
    };
    assert_eq!(changes("fields"), ["attribute age new integer", "attribute plan changed text: free, pro"]);
    assert_eq!(changes("teams"), ["team sales changed Sales: ada (3), ben"]);
    assert_eq!(plan["changes"], true);
    place.ok(&["publish"]);
    assert_eq!(place.run(&["plan"]).code, 0);
}

#[test]
fn scores_are_published_with_the_rest() {
    let _steady = steady();
    on_both(|place| {
        place.ok(&["publish"]);
        place.workspace.write("scores.yaml", "scores:\n  fit: {max: 100}\n");
        let plan = place.run(&["plan"]);
        assert_eq!(plan.code, 3, "{}{}", plan.out, plan.err);
        assert!(plan.out.contains("score fit new: to 100; points stay"), "{}", plan.out);
        place.workspace.write("scores.yaml", "scores:\n  fit: {max: 100, decay: {half_life: 14d}}\n");
        assert_eq!(place.ok(&["publish"]), "Published score fit\n");
        assert_eq!(place.json(&["score", "list"])["fit"]["max"], 100);
        assert_eq!(place.run(&["plan"]).code, 0);
        place.workspace.remove("scores.yaml");
        let plan = place.run(&["plan"]).out;
        assert!(plan.contains("score fit gone"), "{plan}");
        let versions = place.ok(&["versions"]);
        assert!(versions.contains("score fit"), "{versions}");
    });
}

/// The blocks of a kind in docs/publishing.md.
fn blocks(kind: &str) -> Vec<String> {
    let page = include_str!("../../../../docs/publishing.md");
    let begin = format!("```{kind}\n");
    let blocks = page.split(&begin).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}

/// Runs a script as CI does, with the program in the path; answers whether it went well, and what it said.
#[cfg(unix)]
fn script(place: &Place, script: &str) -> (bool, String) {
    let folder = cargo_bin!("dripline").parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-e", "-o", "pipefail", "-c", script]).current_dir(place.workspace.path("."));
    command.env("PATH", path).env("GITHUB_ACTOR", "anna").env("GITHUB_SHA", "0123abc");
    let output = command.env("DATABASE_URL", place.url.as_deref().unwrap_or_default()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[cfg(unix)]
#[test]
fn the_documentations_scripts_publish() {
    let shell = blocks("sh").remove(0);
    let actions = blocks("yaml").into_iter().find(|block| block.contains("runs-on")).unwrap();
    let actions: Value = serde_yaml::from_str(&actions).unwrap();
    let steps = actions["jobs"]["campaigns"]["steps"].as_array().unwrap();
    let commands: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    assert_eq!(commands.len(), 4);
    on_both(|place| {
        let version = |place: &Place| place.json(&["versions", "greet"])["versions"][0].clone();
        let (is_well, said) = script(&place, &shell);
        assert!(is_well, "{said}");
        assert_eq!((&version(&place)["version"], &version(&place)["author"]), (&json!(1), &json!("CI")));
        // With nothing to publish it goes well too.
        let (is_well, said) = script(&place, &shell);
        assert!(is_well && said.contains("Nothing to publish"), "{said}");
        place.workspace.write("workflows/greet.yaml", GREET.replace("2d", "4d"));
        for command in &commands {
            let (is_well, said) = script(&place, command);
            assert!(is_well, "{command}: {said}");
        }
        let newest = version(&place);
        assert_eq!(
            (&newest["version"], &newest["author"], &newest["note"]),
            (&json!(2), &json!("anna"), &json!("0123abc"))
        );
        // A mistake stops it before anything is published.
        place.workspace.write("workflows/greet.yaml", GREET.replace("template: welcome", "template: welcom"));
        assert!(!script(&place, &shell).0);
        assert_eq!(version(&place)["version"], 2);
    });
}

#[test]
fn the_documentations_settings_and_workflow_are_right() {
    let place = Place::on_file();
    let settings = place.workspace.read("dripline.yaml");
    let [by_hand, workflow] =
        <[String; 2]>::try_from(blocks("yaml").into_iter().take(2).collect::<Vec<_>>()).unwrap();
    place.workspace.write("dripline.yaml", settings + &by_hand);
    place.workspace.write("workflows/reminders.yaml", workflow);
    let checked = place.run(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.out);
    assert!(fs::read_to_string(place.workspace.path("dripline.yaml")).unwrap().contains("by_hand"));
}
