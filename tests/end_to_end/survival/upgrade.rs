//! A release and the next one side by side on one schema: the next one's program migrates while this one's processes work,
//! and takes over one by one.

use std::{
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use dripline_model::pretend;
use dripline_test_postgres::Server;

use super::{
    campaign::{Campaign, Pace, block_on},
    workers::{begin, end, execute, start, stop},
};
use crate::{smtp::Receiver, workspace::texts};

/// What a release may change while the one before it works: it adds.
const NEXT: &str = "
CREATE TABLE next_things (contact_id BIGINT PRIMARY KEY, what TEXT NOT NULL);
ALTER TABLE runs ADD COLUMN next_note TEXT;
ALTER TABLE messages ADD COLUMN next_rank BIGINT NOT NULL DEFAULT 7;
ALTER TABLE decisions ADD COLUMN next_detail TEXT;
CREATE INDEX messages_next ON messages (next_rank, id);
INSERT INTO next_things SELECT id, 'there' FROM contacts;
";

/// A command of the next release.
fn next(campaign: &Campaign, arguments: &[&str]) -> std::process::Command {
    let mut command = campaign.command(arguments);
    command.env(pretend::MIGRATION, campaign.workspace.path("next.sql"));
    command
}

#[test]
fn the_next_release_migrates_and_takes_over_while_this_one_works() {
    let Some(server) = Server::shared() else { return };
    let url = block_on(server.database());
    let campaign = Campaign::in_postgres(300, Pace::Seconds, url.clone());
    let receiver = Receiver::start();
    campaign.workspace.send_through(receiver.port, "");
    campaign.workspace.write("next.sql", NEXT);
    begin(&campaign);

    let mut workers: Vec<Child> = (0..2).map(|_| start(&campaign)).collect();
    // The pauses decide where it happens, not whether the test passes.
    thread::sleep(Duration::from_millis(700));
    let early = next(&campaign, &["worker"]).output().unwrap();
    let (_, err) = texts(&early);
    assert!(err.contains("`dripline migrate` brings it up to date"), "{err}");

    let migrated = next(&campaign, &["migrate"]).output().unwrap();
    let (out, err) = texts(&migrated);
    assert!(migrated.status.success(), "{out}\n{err}");
    for worker in &mut workers {
        assert!(worker.try_wait().unwrap().is_none(), "this release goes on");
    }
    for place in 0..2 {
        thread::sleep(Duration::from_millis(700));
        // One of this release goes, and one of the next comes; a command of this release is still welcome beside it.
        let worker = workers.get_mut(place).unwrap();
        worker.kill().unwrap();
        worker.wait().unwrap();
        *worker = next(&campaign, &["worker"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        campaign.ok(&["runs", "list"]);
    }
    thread::sleep(Duration::from_millis(700));
    stop(workers);
    let report = end(&campaign, &receiver, &url, "after the update");
    eprintln!("a release and the next: {report}");

    // The release after that one does not serve this one any more, and says so.
    execute(&url, "UPDATE dripline SET oldest_program = (SELECT max(version) FROM _sqlx_migrations)");
    let late = campaign.command(&["worker"]).output().unwrap();
    let (_, err) = texts(&late);
    assert!(err.contains("use the newer dripline"), "{err}");
    assert!(next(&campaign, &["runs", "list"]).output().unwrap().status.success());
}
