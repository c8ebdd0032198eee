//! The machine's clock is set back and forward by hours and days while processes run, die and are started again.

use std::{
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use dripline_test_postgres::{Durability, Server};

use super::{
    Random,
    campaign::{Campaign, Pace, block_on},
    rounds,
    workers::{begin, end, start, stop},
};
use crate::smtp::Receiver;

/// How often the clock is set in the short form, and in one campaign of the long form.
const FEW: u32 = 10;

const HOUR: u64 = 3_600_000;

/// By how much a clock may be wrong, in either direction.
const WRONG_BY: u64 = 72 * HOUR;

fn anywhere(random: &mut Random) -> i64 {
    i64::try_from(random.below(2 * WRONG_BY)).unwrap() - i64::try_from(WRONG_BY).unwrap()
}

/// One process after the other does what is due by a clock that each finds elsewhere, and is set under its hands.
fn set_the_clock(wanted: u32, random: &mut Random) {
    let campaign = Campaign::with_pace(120, Pace::DaysUncapped);
    let receiver = Receiver::start();
    campaign.workspace.send_through(receiver.port, "");
    campaign.import();
    for set in 0..wanted {
        campaign.set_clock(anywhere(random));
        let mut process =
            campaign.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The pause decides when it happens, not whether the test passes.
        thread::sleep(Duration::from_millis(random.below(300)));
        campaign.set_clock(anywhere(random));
        if set % 3 == 0 {
            process.kill().unwrap();
            process.wait().unwrap();
        } else {
            assert!(process.wait().unwrap().success());
        }
    }
    campaign.leap_to_the_end();
    campaign.finish();
    let report = campaign.assert_clean(&receiver, &format!("after the clock was set {wanted} times"));
    eprintln!("SQLite, the clock set {wanted} times: {report}");
}

/// Three workers, whose clock is set while they run.
fn set_the_workers_clock(server: &Server, wanted: u32, random: &mut Random) {
    let url = block_on(server.database());
    let campaign = Campaign::in_postgres(120, Pace::DaysUncapped, url.clone());
    let receiver = Receiver::start();
    campaign.workspace.send_through(receiver.port, "");
    begin(&campaign);

    let mut workers: Vec<Child> = (0..3).map(|_| start(&campaign)).collect();
    for _ in 0..wanted {
        campaign.set_clock(anywhere(random));
        thread::sleep(Duration::from_millis(random.below(600)));
        // One that sleeps finds the clock elsewhere within a minute, and one that is started at once.
        let worker = workers.get_mut(usize::try_from(random.below(3)).unwrap()).unwrap();
        worker.kill().unwrap();
        worker.wait().unwrap();
        *worker = start(&campaign);
    }
    stop(workers);
    campaign.leap_to_the_end();
    let report = end(&campaign, &receiver, &url, &format!("after the clock was set {wanted} times"));
    eprintln!("PostgreSQL, the clock set {wanted} times under three workers: {report}");
}

/// How often in one campaign, and the rest.
fn slices() -> impl Iterator<Item = u32> {
    let mut left = rounds().unwrap_or(FEW);
    std::iter::from_fn(move || {
        let now = left.min(FEW);
        left -= now;
        (now > 0).then_some(now)
    })
}

#[test]
fn a_clock_that_is_set_loses_nothing_and_does_nothing_twice() {
    let mut random = Random::seeded();
    slices().for_each(|wanted| set_the_clock(wanted, &mut random));
}

#[test]
fn a_clock_that_is_set_under_workers_loses_nothing_and_does_nothing_twice() {
    let Some(server) = Server::own(Durability::None) else { return };
    let mut random = Random::seeded();
    slices().for_each(|wanted| set_the_workers_clock(&server, wanted, &mut random));
}
