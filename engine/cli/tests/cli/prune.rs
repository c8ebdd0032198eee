//! What `retention` in dripline.yaml lets go, and what stays.

use insta::assert_snapshot;

use crate::support::{TestWorkspace, steady};

/// A campaign that ran to its end in 2020, and a run that began then and waits for ever.
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
    assert_snapshot!(workspace.run(&["prune"]).shown(), @"");
}

#[test]
fn what_is_old_goes_and_what_goes_on_stays() {
    let _steady = steady();
    let workspace = years_ago();
    keep(&workspace, "retention: {events: 2y, decisions: 1y, mail_bodies: 90d}\n");
    assert_snapshot!(workspace.run(&["prune", "--dry-run"]).shown(), @"");
    assert_snapshot!(workspace.run(&["prune"]).shown(), @"");
    assert_snapshot!(workspace.run(&["prune"]).shown(), @"");
    assert_snapshot!(workspace.run(&["mail", "show", "1", "--source"]).shown(), @"");
    assert_snapshot!(workspace.run(&["contacts", "show", "mia@harbour.example"]).shown(), @"");
}
