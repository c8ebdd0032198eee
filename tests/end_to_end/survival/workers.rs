//! Three workers share one PostgreSQL database and are killed with SIGKILL at random, each started again at once; in
//! between the database itself is killed, restarted, or cuts all connections.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use dripline_checker::Report;
use dripline_test_postgres::{Durability, Server};
use tokio_postgres::NoTls;

use super::{
    Random,
    campaign::{Campaign, Pace, block_on},
    rounds,
};
use crate::smtp::Receiver;

/// Kills in the short form, and in one campaign of the long form.
const FEW: u32 = 8;
const WORKERS: u64 = 3;

/// After how many kills of a worker something happens to the database as well.
const DATABASE_SUFFERS: u32 = 3;

/// As if the leases of processes that died had ended: what they claimed is free, what they were sending is uncertain.
const LEASES_END: &str = "
UPDATE messages SET lease_until = 1 WHERE status = 1;
UPDATE messages SET due_at = 1 WHERE status = 0 AND claimed_by IS NOT NULL";

/// What an administrator does, or a network between them.
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL";

pub(super) fn start(campaign: &Campaign) -> Child {
    campaign.command(&["worker"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Executes statements over a connection of its own.
pub(super) fn execute(url: &str, sql: &str) {
    block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let served = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        drop(client);
        let _ = served.await;
    });
}

/// Ends workers in order, as an operator would.
pub(super) fn stop(mut workers: Vec<Child>) {
    for worker in &mut workers {
        Command::new("kill").args(["-TERM", &worker.id().to_string()]).status().unwrap();
        worker.wait().unwrap();
    }
}

/// Publishes a campaign, brings its contacts, and only then their events: workers only follow, and these are theirs.
pub(super) fn begin(campaign: &Campaign) {
    campaign.ok(&["import", "contacts.csv"]);
    campaign.ok(&["run"]);
    campaign.ok(&["events", "import", "--live", "events.csv"]);
}

/// Lets a campaign come to its end that workers have left, and checks it.
pub(super) fn end(campaign: &Campaign, receiver: &Receiver, url: &str, when: &str) -> Report {
    execute(url, LEASES_END);
    let run = || {
        let started = Instant::now();
        while !campaign.facts().is_over() {
            assert!(started.elapsed() < Duration::from_secs(600), "{}", campaign.check(receiver));
            campaign.ok(&["run"]);
        }
    };
    run();
    campaign.mend(&["run"]);
    run();
    campaign.assert_clean(receiver, when)
}

/// Kills so many workers while the campaign is on its way, and lets it come to its end.
fn kill_workers(server: &Server, wanted: u32, random: &mut Random) {
    let url = block_on(server.database());
    let campaign = Campaign::in_postgres(300, Pace::Seconds, url.clone());
    let receiver = Receiver::start();
    campaign.workspace.send_through(receiver.port, "");
    begin(&campaign);

    let mut workers: Vec<Child> = (0..WORKERS).map(|_| start(&campaign)).collect();
    for kill in 1..=wanted {
        // The pause decides where a worker dies, not whether the test passes.
        thread::sleep(Duration::from_millis(200 + random.below(600)));
        let worker = workers.get_mut(usize::try_from(random.below(WORKERS)).unwrap()).unwrap();
        worker.kill().unwrap();
        worker.wait().unwrap();
        if kill % DATABASE_SUFFERS == 0 {
            match random.below(3) {
                0 => server.kill9().unwrap(),
                1 => server.stop().unwrap(),
                _ => execute(&server.url("postgres"), CUT),
            }
            server.start_again().unwrap();
        }
        *worker = start(&campaign);
    }
    stop(workers);
    let report = end(&campaign, &receiver, &url, &format!("after {wanted} kills of workers"));
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
