//! `dripline init`, and finding a workspace.

use insta::assert_snapshot;

use crate::support::{TestWorkspace, steady};

#[test]
fn makes_a_workspace_and_says_what_to_try() {
    let _steady = steady();
    let workspace = TestWorkspace::empty();
    assert_snapshot!(workspace.run(&["init", "shop"]).shown(), @"
    [exit 0]
      dripline.yaml
      teams.yaml
      workflows/welcome.yaml
      workflows/welcome.test.yaml
      templates/welcome.html
      templates/nudge.html
      templates/layout.html
      contacts.csv
      .gitignore

    Try next
      cd shop
      dripline check                               is everything right?
      dripline test                                does the campaign do what its test says?
      dripline import contacts.csv                 bring the sample contacts in
      dripline simulate --store --enroll welcome   what would happen to them over the next 60 days?
      dripline run                                 publish the campaign
      dripline enroll welcome mia@harbour.example  send somebody on the way
      dripline run                                 do what is due; --forever goes on doing it
      dripline contacts show mia@harbour.example   what happened, and why
      dripline mail list                           mails stay in the built-in mailbox
    ");
    let again = workspace.run(&["init", "shop"]);
    assert_eq!(again.code, 0);
    assert!(again.out.ends_with("shop has everything already.\n"), "{}", again.out);
}

#[test]
fn adds_what_is_missing_and_overwrites_nothing() {
    let workspace = TestWorkspace::new();
    workspace.write("teams.yaml", "teams: []\n");
    workspace.remove("templates/layout.html");
    let answer = workspace.run(&["init", "."]);
    assert_eq!(answer.code, 0);
    assert_eq!(workspace.read("teams.yaml"), "teams: []\n");
    assert!(workspace.path("templates/layout.html").exists());
}

#[test]
fn leaves_a_strange_folder_alone() {
    let _steady = steady();
    let workspace = TestWorkspace::empty();
    workspace.write("home/letter.txt", "dear");
    assert_snapshot!(workspace.run(&["init", "home"]).shown(), @"
    [exit 1]
    error: home is not empty and not a workspace
    help: name an empty folder, or one that is not there yet
    ");
    assert!(!workspace.path("home/dripline.yaml").exists());
}

#[test]
fn a_command_without_a_workspace_says_how_to_make_one() {
    let _steady = steady();
    let workspace = TestWorkspace::empty();
    assert_snapshot!(workspace.run(&["contacts", "list"]).shown(), @"
    [exit 1]
    error: there is no workspace here: no dripline.yaml in this folder or above
    help: make one with `dripline init DIR`, or name one with --workspace DIR
    ");
    assert_snapshot!(workspace.run(&["contacts", "list", "-w", "nowhere"]).shown(), @"
    [exit 1]
    error: nowhere is not a workspace: it has no dripline.yaml
    help: make one: dripline init nowhere
    ");
}

#[test]
fn a_workspace_is_found_from_within() {
    let workspace = TestWorkspace::with_contacts();
    let answer = workspace.run(&["contacts", "list", "-w", "."]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let output = assert_cmd::cargo::cargo_bin_cmd!("dripline")
        .current_dir(workspace.path("templates"))
        .args(["contacts", "list"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), answer.out);
}

#[test]
fn a_mistake_in_the_settings_is_named_with_its_line() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace
        .write("dripline.yaml", "sender: {name: A, email: a@b.example}\nmail:\n  smtp: {hots: localhost}\n");
    assert_snapshot!(workspace.run(&["contacts", "list"]).shown(), @"
    [exit 1]
    error: [workspace]/dripline.yaml:3:10: `smtp` has no key `hots`
    help: did you mean `host`?; `dripline check` shows every mistake with its line
    ");
}

#[test]
fn a_file_that_is_no_store_is_refused_and_kept() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write(".dripline/dripline.db", "this is my diary, not a database");
    assert_snapshot!(workspace.run(&["contacts", "list"]).shown(), @"
    [exit 1]
    error: failed to open the store `[workspace]/.dripline/dripline.db`: `[workspace]/.dripline/dripline.db` is not a Dripline database: it is not an SQLite database
    help: `store` in dripline.yaml says where the store is; let it name a place of its own
    ");
    assert!(workspace.read(".dripline/dripline.db").starts_with("this is my diary"));
}

#[test]
fn wrong_usage_ends_with_2() {
    let workspace = TestWorkspace::new();
    assert_eq!(workspace.run(&["contacts", "frobnicate"]).code, 2);
    assert_eq!(workspace.run(&["import"]).code, 2);
    assert_eq!(workspace.run(&["import", "contacts.csv", "--map", "email"]).code, 2);
}

#[test]
fn help_names_every_command_and_exit_code() {
    let _steady = steady();
    assert_snapshot!(TestWorkspace::empty().run(&["--help"]).shown(), @"
    [exit 0]
    Marketing automation from YAML files: campaigns whose steps are sandboxed plugins, in one database
    file

    Usage: dripline [OPTIONS] <COMMAND>

    Commands:
      demo         Show the whole product in small: sample leads, two campaigns, four months of them in
                   seconds
      init         Make a workspace with a small campaign that works
      check        Check workflows, templates, teams, fields and settings, and say what is wrong where
      explain      Explain a code that `dripline check` prints, with an example of what is right
      schema       Print the JSON Schema of a file, for completion and checking in editors
      simulate     See what workflows would do over the next weeks, without doing it: nothing is sent,
                   and nothing is written
      test         Run the tests of campaigns, workflows/*.test.yaml, on a simulated clock
      import       Import contacts from a CSV file
      events       Import what contacts did
      plan         See what publishing the files would change, and what would become of the contacts
                   that are on their way
      publish      Publish the files: workflows, segments, teams and templates, and what becomes of
                   contacts that are on their way
      versions     See what was published, when, by whom and why; of one workflow with the contacts that
                   stand on each version
      diff         See what is different between two versions of a workflow, or between a version and
                   the file
      rollback     Publish an older version of a workflow again, as a new version
      run          Run the workflows: publish what changed in the files, unless `publish: by_hand` is
                   set, then do everything that is due
      worker       Keep running what is published in the store, beside any number of other workers
      serve        Do what `dripline worker` does, and answer other programs over HTTP
      enroll       Send contacts on their way through a workflow that has a `manual` trigger
      contacts     See who is known, and everything that happened to one contact
      why          Say why something happened to a contact, and why something did not
      leads        Show the leads of each representative, the hottest first, and why they are hot
      workflows    See the workflows, and how many contacts stand at each step; pause them, and decide
                   about who stands on old versions
      runs         See where contacts stand in workflows; set failed runs going again or skip what
                   failed, end others
      segment      See the segments, who is in them and why
      experiments  See what experiments have found so far, and decide them by hand
      score        See the scores, what a contact's points are made of, and whether a score tells who
                   converts
      mail         See the mails of campaigns; decide about those that got stuck
      plugin       See the plugins, what they may do, and install more
      prune        Delete what is older than `retention` in dripline.yaml says
      migrate      Bring the store's tables up to date with this program
      doctor       Find out what is wrong with the settings, the store, the mail servers and the
                   plugins, and what mends it
      help         Print this message or the help of the given subcommand(s)

    Options:
      -w, --workspace <DIR>  The workspace; by default the nearest folder with a dripline.yaml, here or
                             above
      -h, --help             Print help
      -V, --version          Print version

    Begin with:
      dripline demo                see the whole product in small, with sample contacts
      dripline init campaigns      make a workspace with a small campaign that works
      dripline check               find what is wrong in it
      dripline test                run the tests of the campaigns
      dripline plan                see what publishing the files would change
      dripline simulate            see what the campaigns would do over the next 60 days
      dripline doctor              find what is wrong around it: store, mail servers, processes, plugins

    Environment:
      DRIPLINE_LOG=info            log more, to standard error; NO_COLOR=1 leaves colours out

    Exit codes:
      0   done
      1   what was given has problems: a workflow, a CSV file, the name of something that is not there
      2   wrong usage
      3   dripline plan: there is something to publish
      70  a bug in dripline
      74  a file or the store cannot be read or written
    ");
}
