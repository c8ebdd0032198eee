//! The process is killed with SIGKILL at random moments, again and again.

use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use super::{Random, campaign::Campaign, rounds};

/// Kills in the short form.
const FEW: u32 = 8;

/// What was done and found in all campaigns together.
#[derive(Debug, Default)]
struct Tally {
    campaigns: u32,
    runs: usize,
    kills: u32,
    mails: u64,
    uncertain: usize,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { campaigns, runs, kills, mails, uncertain } = self;
        write!(
            f,
            "{campaigns} campaigns, {runs} runs, {kills} kills, {mails} mails accepted, {uncertain} uncertain, \
             0 losses, 0 duplicates"
        )
    }
}

/// Campaign after campaign, until the process was killed `wanted` times; each is checked when it is over.
fn kill_at_random(campaign: &Campaign, store: &str, wanted: u32, random: &mut Random) {
    let (undisturbed, receiver) = campaign.copy();
    let started = Instant::now();
    undisturbed.finish();
    let mut longest = started.elapsed();
    undisturbed.assert_clean(&receiver, "undisturbed");

    let mut tally = Tally::default();
    while tally.kills < wanted {
        let (copy, receiver) = campaign.copy();
        let before = tally.kills;
        while !is_over(&copy, random, longest, &mut tally.kills) {}
        // The machine was slower when it was measured than it is now.
        if tally.kills == before {
            longest = longest * 3 / 4;
        }
        copy.finish();
        let report = copy.assert_clean(&receiver, &format!("after {} kills", tally.kills));
        tally.campaigns += 1;
        tally.runs += report.runs;
        tally.mails += report.accepted;
        tally.uncertain += report.uncertain;
        eprintln!("{store}: {tally}");
    }
}

/// Runs the campaign and kills it at a moment of that time; whether it was over before.
fn is_over(campaign: &Campaign, random: &mut Random, longest: Duration, kills: &mut u32) -> bool {
    let mut process = campaign
        .command(&["run", "--fast-forward"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Not to the very end, so that most processes die.
    let longest = u64::try_from(longest.as_micros()).unwrap() * 3 / 4;
    thread::sleep(Duration::from_micros(random.below(longest)));
    if let Some(status) = process.try_wait().unwrap() {
        assert!(status.success(), "the process ended by itself with {status}");
        return true;
    }
    process.kill().unwrap();
    process.wait().unwrap();
    *kills += 1;
    false
}

/// How many contacts the campaign has.
fn contacts() -> u32 {
    if rounds().is_some() { 600 } else { 300 }
}

fn is_killed(campaign: &Campaign, store: &str) {
    let mut random = Random::seeded();
    kill_at_random(campaign, store, rounds().unwrap_or(FEW), &mut random);
}

#[test]
fn a_process_that_is_killed_at_random_loses_nothing_and_does_nothing_twice() {
    is_killed(&Campaign::new(contacts()), "SQLite");
}

#[test]
fn a_process_that_is_killed_over_a_shared_store_loses_nothing_and_does_nothing_twice() {
    let Some(campaign) = Campaign::in_shared_postgres(contacts()) else { return };
    is_killed(&campaign, "PostgreSQL");
}
