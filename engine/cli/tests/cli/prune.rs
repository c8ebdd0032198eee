//! What `retention` in dripline.yaml lets go, and what stays.

use insta::assert_snapshot;

use crate::support::{TestWorkspace, steady};

/// A campaign that ran to its end in 2020, and one that begins with it and takes nine centuries.
fn years_ago() -> TestWorkspace {
    let workspace = TestWorkspace::with_contacts();
    workspace.write(
        "workflows/patient.yaml",
        "name: patient\non: {event: signed_up}\nsteps:\n  - wait: 900y\n  - exit: done\n",
    );
    workspace.write(
        "events.csv",
        "email,event,at\nmia@harbour.example,signed_up,2020-01-01\nnoah@quay.example,signed_up,2020-01-01\n",
    );
    workspace.write("history.csv", "email,event,at\nmia@harbour.example,visited,2019-01-01\n");
    assert_eq!(workspace.run(&["events", "import", "history.csv"]).code, 0);
    assert_eq!(workspace.run(&["events", "import", "--live", "events.csv"]).code, 0);
    let ran = workspace.run(&["run", "--fast-forward"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    workspace.write("history.csv", "email,event,at\nmia@harbour.example,visited,2999-01-01\n");
    assert_eq!(workspace.run(&["events", "import", "history.csv"]).code, 0);
    workspace
}

fn keep(workspace: &TestWorkspace, retention: &str) {
    let settings = workspace.read("dripline.yaml");
    workspace.write("dripline.yaml", format!("{settings}\n{retention}"));
}

#[test]
fn nothing_is_deleted_unless_the_settings_say_so() {
    let workspace = years_ago();
    assert_snapshot!(workspace.run(&["prune"]).shown(), @"
    [exit 0]
    Nothing is ever deleted: dripline.yaml has no `retention`.
    ");
}

#[test]
fn what_is_old_goes_and_what_goes_on_stays() {
    let _steady = steady();
    let workspace = years_ago();
    keep(&workspace, "retention: {events: 2y, decisions: 1y, mail_bodies: 90d}\n");
    assert_snapshot!(workspace.run(&["prune", "--dry-run"]).shown(), @"
    [exit 0]
    would delete 3 events from before [time] (UTC)
    would delete 12 decisions from before [time] (UTC)
    would delete 0 refused enrolments from before [time] (UTC)
    would delete 0 score entries taken back from before [time] (UTC)
    would delete 3 mail bodies from before [time] (UTC)
    ");
    assert_snapshot!(workspace.run(&["prune"]).shown(), @"
    [exit 0]
    deleted 3 events from before [time] (UTC)
    deleted 12 decisions from before [time] (UTC)
    deleted 0 refused enrolments from before [time] (UTC)
    deleted 0 score entries taken back from before [time] (UTC)
    deleted 3 mail bodies from before [time] (UTC)
    ");
    assert_snapshot!(workspace.run(&["prune"]).shown(), @"
    [exit 0]
    deleted 0 events from before [time] (UTC)
    deleted 0 decisions from before [time] (UTC)
    deleted 0 refused enrolments from before [time] (UTC)
    deleted 0 score entries taken back from before [time] (UTC)
    deleted 0 mail bodies from before [time] (UTC)
    ");
    let mail = workspace.run(&["mail", "show", "1"]);
    assert!(mail.out.contains("Welcome, Mia") && mail.out.contains("not kept any more"), "{}", mail.out);
    assert_eq!(workspace.run(&["mail", "show", "1", "--eml"]).code, 1);
    let shown = workspace.run(&["contacts", "show", "mia@harbour.example"]).out;
    let (_, happened) = shown.split_once("What happened").unwrap();
    assert_snapshot!(happened, @r#"
    (UTC)
     [time]  enrolled     event signed_up [patient]
     [time]  waiting      waits 900 years, until [time] Europe/Berlin [patient, step-1]
     [time]  score        fit +30 = 30: large company
     [time]  score        fit +20 = 50: senior title
     [time]  mail         sent welcome "Welcome, Mia" [mail 1] (kept in the built-in mailbox)
     [time]  assigned     to Ada of team sales: Ada, 2 of 3 shares of sales
     [time]  consent      email given
     [time]  ended        done [patient, step-2]
     [time]  event        visited (history)
    "#);
}
