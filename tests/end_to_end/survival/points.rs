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
        .workspace
        .command(&["run", "--fast-forward"])
        .env("FAILPOINTS", format!("{point}={action}"))
        .output()
        .unwrap();
    let died = match died.status.signal() {
        Some(signal) => {
            assert_eq!(signal, ABORTED, "{point} after {passes} passes");
            copy.finish();
            true
        }
        None => {
            assert!(died.status.success(), "{point} after {passes} passes: {}", died.status);
            false
        }
    };
    copy.assert_clean(&receiver, &format!("after a crash at {point} after {passes} passes"));
    died
}

/// Whatever was begun and not committed never was; whatever was committed stands; a mail that was on the wire is held.
#[test]
fn a_process_that_dies_at_any_point_goes_on_where_it_was() {
    let campaign = Campaign::new(40);
    let mut runs = 0;
    for point in POINTS {
        assert!(dies(&campaign, point, 0), "{point} is never come by");
        runs += 1;
        // Again in the middle of the campaign.
        dies(&campaign, point, 7);
        runs += 1;
    }
    eprintln!("{runs} crashes at {} points, 0 losses, 0 duplicates", POINTS.len());
}

/// The long form: at every commit of a whole campaign, before it and after it.
#[test]
fn a_process_that_dies_at_any_commit_goes_on_where_it_was() {
    if rounds().is_none() {
        return;
    }
    let campaign = Campaign::new(40);
    for point in ["store.commit.before", "store.commit.after"] {
        let commits = (0..).take_while(|passes| dies(&campaign, point, *passes)).count();
        assert!(commits > 20, "{commits} commits make no campaign");
        eprintln!("{commits} crashes at {point}, 0 losses, 0 duplicates");
    }
}
