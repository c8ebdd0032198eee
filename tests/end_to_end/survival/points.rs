//! The process dies at every place that matters, in turn, is started again, and ends as if it had not died.

use std::os::unix::process::ExitStatusExt;

use dripline_model::crash::POINTS;

use super::{campaign::Campaign, rounds};

/// `SIGABRT`, by which the process dies at a fail point.
const ABORTED: i32 = 6;

/// Runs a copy of the campaign that dies at `point` when it has come by `passes` times before, then runs it to its end.
/// Answers whether it died at all.
fn dies(campaign: &Campaign, point: &str, passes: u32) -> bool {
    let (copy, receiver) = campaign.copy();
    let action = if passes == 0 { "return".to_owned() } else { format!("{passes}*off->return") };
    let died = copy
        .command(&["run", "--fast-forward"])
        .env("FAILPOINTS", format!("{point}={action}"))
        .output()
        .unwrap();
    let died = match died.status.signal() {
        Some(signal) => {
            assert_eq!(signal, ABORTED, "{point} after {passes} passes");
            true
        }
        None => {
            assert!(died.status.success(), "{point} after {passes} passes: {}", died.status);
            false
        }
    };
    copy.finish();
    copy.assert_clean(&receiver, &format!("after a crash at {point} after {passes} passes"));
    died
}

/// Whatever was begun and not committed never was; whatever was committed stands; a mail that was on the wire is held.
fn dies_at_every_point(campaign: &Campaign, store: &str) {
    let mut crashes = 0;
    for point in POINTS {
        assert!(dies(campaign, point, 0), "{point} is never come by");
        // Again in the middle of the campaign.
        crashes += 1 + u32::from(dies(campaign, point, 7));
    }
    eprintln!("{store}: {crashes} crashes at {} points, 0 losses, 0 duplicates", POINTS.len());
}

/// At every commit of a whole campaign, before it and after it.
fn dies_at_every_commit(campaign: &Campaign, store: &str) {
    for point in ["store.commit.before", "store.commit.after"] {
        let commits = (0..).take_while(|passes| dies(campaign, point, *passes)).count();
        assert!(commits > 20, "{commits} commits make no campaign");
        eprintln!("{store}: {commits} crashes at {point}, 0 losses, 0 duplicates");
    }
}

#[test]
fn a_process_that_dies_at_any_point_goes_on_where_it_was() {
    dies_at_every_point(&Campaign::new(40), "SQLite");
}

#[test]
fn a_process_that_dies_at_any_point_of_a_shared_store_goes_on_where_it_was() {
    let Some(campaign) = Campaign::in_shared_postgres(40) else { return };
    dies_at_every_point(&campaign, "PostgreSQL");
}

/// The long form.
#[test]
fn a_process_that_dies_at_any_commit_goes_on_where_it_was() {
    if rounds().is_some() {
        dies_at_every_commit(&Campaign::new(40), "SQLite");
    }
}

/// The long form.
#[test]
fn a_process_that_dies_at_any_commit_to_a_shared_store_goes_on_where_it_was() {
    if rounds().is_some()
        && let Some(campaign) = Campaign::in_shared_postgres(40)
    {
        dies_at_every_commit(&campaign, "PostgreSQL");
    }
}
