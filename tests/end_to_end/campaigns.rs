//! The shipped campaigns, on the sample and on the full data set.

use std::collections::BTreeSet;

use crate::{
    mail::assert_same,
    smtp::Receiver,
    workspace::{Data, Workspace},
};

#[test]
fn the_demo_ends_with_a_workspace_that_answers_questions() {
    let workspace = Workspace::shipped();
    let demo = workspace.path("demo");
    let shown = workspace.ok(&["demo", demo.to_str().unwrap()]);
    for expected in ["trial-nurture", "lead-routing", "trial/welcome", "enterprise", "senior title"] {
        assert!(shown.contains(expected), "the summary names `{expected}`:\n{shown}");
    }

    let demo = demo.to_str().unwrap();
    let leads = workspace.json(&["leads", "-w", demo]);
    assert!(!leads.is_empty());
    let contact = leads[0]["contact"]["id"].to_string();
    let timeline = workspace.ok(&["contacts", "show", &contact, "-w", demo]);
    assert!(timeline.contains("visit.") && timeline.contains("fit"), "{timeline}");
    assert!(!workspace.json(&["mail", "list", "-w", demo]).is_empty());
}

#[test]
fn history_triggers_nothing() {
    let workspace = Workspace::shipped();
    let data = Data::sample();
    workspace.ok(&["import", data.contacts.to_str().unwrap()]);
    workspace.ok(&["events", "import", data.events.to_str().unwrap()]);
    workspace.ok(&["run", "--fast-forward"]);
    assert!(workspace.json(&["runs", "list"]).is_empty());
}

#[test]
fn importing_the_same_files_again_changes_nothing() {
    let workspace = Workspace::shipped();
    workspace.import(&Data::sample());
    workspace.ok(&["run", "--fast-forward"]);
    let before = workspace.summary();
    workspace.import(&Data::sample());
    workspace.ok(&["run", "--fast-forward"]);
    assert_eq!(workspace.summary(), before);
}

/// All contacts and all events, through both campaigns to their end, into a real SMTP server.
#[test]
fn the_full_data_set_runs_to_its_end() {
    let Some(data) = Data::full() else { return };
    let receiver = Receiver::start();
    let workspace = Workspace::shipped();
    workspace.send_through(receiver.port, "");
    workspace.import(&data);
    workspace.ok(&["run", "--fast-forward"]);

    let received = receiver.received();
    assert_same(&workspace, &received);
    let summary = workspace.summary();
    let states: BTreeSet<_> = summary.runs.keys().map(|(_, status)| status.as_str()).collect();
    assert_eq!(states, BTreeSet::from(["completed"]), "every run came to its end");
    assert!(summary.mails.keys().all(|(_, _, status)| status == "sent"));
    assert_eq!(received.len() as u64, summary.mails.values().sum::<u64>());
    // Nobody is welcomed twice: `again: never`.
    assert!(
        summary
            .mails
            .iter()
            .all(|((_, template, _), times)| !template.starts_with("trial/welcome") || *times == 1)
    );
}
