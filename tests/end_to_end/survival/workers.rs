//! Three workers share one PostgreSQL database and are killed with SIGKILL at random, each started again at once; in
//! between the database itself is killed.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use dripline_test_postgres::{Durability, Server};
use tokio_postgres::NoTls;

use super::{
    Random,
    campaign::{Campaign, block_on},
    rounds,
};
use crate::smtp::Receiver;

/// Kills in the short form, and in one campaign of the long form.
const FEW: u32 = 8;
const WORKERS: u64 = 3;

/// After how many kills of a worker the database is killed as well.
const DATABASE_DIES: u32 = 5;

/// As if the leases of processes that died had ended: what they claimed is free, what they were sending is uncertain.
const LEASES_END: &str = "
UPDATE messages SET lease_until = 1 WHERE status = 1;
UPDATE messages SET due_at = 1 WHERE status = 0 AND claimed_by IS NOT NULL";

fn start(campaign: &Campaign) -> Child {
    campaign.workspace.command(&["worker"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn end_leases(url: &str) {
    block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let served = tokio::spawn(connection);
        client.batch_execute(LEASES_END).await.unwrap();
        drop(client);
        let _ = served.await;
    });
}

/// Kills so many workers while the campaign is on its way, and lets it come to its end.
fn kill_workers(server: &Server, wanted: u32, random: &mut Random) {
    let url = block_on(server.database());
    let campaign = Campaign::in_postgres(300, url.clone());
    let receiver = Receiver::start();
    campaign.workspace.send_through(receiver.port, "");
    // Published first, because workers only follow; the events are theirs.
    campaign.workspace.ok(&["import", "contacts.csv"]);
    campaign.workspace.ok(&["run"]);
    campaign.workspace.ok(&["events", "import", "--live", "events.csv"]);

    let mut workers: Vec<Child> = (0..WORKERS).map(|_| start(&campaign)).collect();
    for kill in 1..=wanted {
        // The pause decides where a worker dies, not whether the test passes.
        thread::sleep(Duration::from_millis(200 + random.below(600)));
        let worker = workers.get_mut(usize::try_from(random.below(WORKERS)).unwrap()).unwrap();
        worker.kill().unwrap();
        worker.wait().unwrap();
        if kill % DATABASE_DIES == 0 {
            server.kill9().unwrap();
            server.start_again().unwrap();
        }
        *worker = start(&campaign);
    }
    for worker in &mut workers {
        Command::new("kill").args(["-TERM", &worker.id().to_string()]).status().unwrap();
        worker.wait().unwrap();
    }
    end_leases(&url);
    let started = Instant::now();
    while !campaign.facts().is_over() {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", campaign.check(&receiver));
        campaign.workspace.ok(&["run"]);
    }
    let report = campaign.assert_clean(&receiver, &format!("after {wanted} kills of workers"));
    eprintln!("{wanted} kills of {WORKERS} workers: {report}");
}

#[test]
fn workers_that_are_killed_at_random_lose_nothing_and_do_nothing_twice() {
    let Some(server) = Server::own(Durability::Full) else { return };
    let mut random = Random::seeded();
    let mut left = rounds().unwrap_or(FEW);
    while left > 0 {
        let kills = left.min(FEW);
        kill_workers(&server, kills, &mut random);
        left -= kills;
    }
}
