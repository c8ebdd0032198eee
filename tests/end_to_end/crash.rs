//! The process is killed with SIGKILL in the middle, again and again, and nothing is lost and nothing done twice.

use std::{process::Stdio, thread, time::Duration};

use crate::{
    smtp::Receiver,
    workspace::{Data, Summary, Workspace},
};

/// Runs to the end, killing the process after pauses that grow until one is long enough. Answers how often it died.
fn run_with_kills(workspace: &Workspace, first: Duration) -> u32 {
    let mut kills = 0;
    // The pause decides where the process dies, not whether the test passes.
    let mut pause = first;
    loop {
        let mut process = workspace
            .command(&["run", "--fast-forward"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(pause);
        if let Some(status) = process.try_wait().unwrap() {
            assert!(status.success(), "the run that was left alone failed: {status}");
            return kills;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        kills += 1;
        pause = pause.mul_f64(1.15);
    }
}

fn uninterrupted(data: &Data) -> Summary {
    let workspace = Workspace::shipped();
    workspace.import(data);
    workspace.ok(&["run", "--fast-forward"]);
    workspace.summary()
}

#[test]
fn killed_runs_end_with_the_same_counts() {
    let data = Data::full().unwrap_or_else(Data::sample);
    let workspace = Workspace::shipped();
    workspace.import(&data);
    let kills = run_with_kills(&workspace, Duration::from_millis(400));
    assert!(kills > 2, "the process was to die a few times, not {kills}");
    assert_eq!(workspace.summary(), uninterrupted(&data));
}

#[test]
fn killed_while_sending_loses_no_mail_and_sends_none_twice() {
    let data = Data::sample();
    let receiver = Receiver::start();
    let workspace = Workspace::shipped();
    workspace.send_through(receiver.port, "");
    workspace.import(&data);
    run_with_kills(&workspace, Duration::from_millis(300));

    let mut accepted: Vec<_> = receiver.received().iter().map(|mail| mail.message_id()).collect();
    let all = accepted.len();
    accepted.sort();
    accepted.dedup();
    assert_eq!(accepted.len(), all, "a mail was accepted twice");

    let mails = workspace.json(&["mail", "list", "--limit", "1000000"]);
    let mut uncertain = 0;
    for mail in &mails {
        let arrived =
            accepted.binary_search(&mail["message_id"].as_str().unwrap_or_default().to_owned()).is_ok();
        match mail["status"].as_str().unwrap() {
            "sent" => assert!(arrived, "called sent, and never accepted: {mail}"),
            "uncertain" => uncertain += 1,
            other => panic!("a mail was left {other}: {mail}"),
        }
    }
    assert!(
        all <= mails.len() && all + uncertain >= mails.len(),
        "every mail was accepted, or stands as uncertain"
    );
    // Mails are the same as without any kill; only their fate may be uncertain.
    let by_template = |summary: &Summary| {
        summary.mails.iter().fold(
            std::collections::BTreeMap::new(),
            |mut mails, ((to, template, _), times)| {
                *mails.entry((to.clone(), template.clone())).or_insert(0) += times;
                mails
            },
        )
    };
    assert_eq!(by_template(&workspace.summary()), by_template(&uninterrupted(&data)));
}
