//! The processes: whose clocks disagree, and who was killed in the middle of its work.

use dripline_model::{Clock as _, SystemClock};
use dripline_store::{Condition, Process, Sending, Store};
use jiff::{SignedDuration, Timestamp};

use super::finding::{Findings, Grade};
use crate::{
    assembly,
    output::{plural, time},
    workspace::Workspace,
};

/// A process says every ten seconds that it is there.
const UNSEEN: SignedDuration = SignedDuration::from_mins(1);

/// Clocks that differ by more want a look.
const SKEW_TO_WARN_MS: i64 = 2_000;

/// Clocks that differ by more are not far from breaking leases, which last for minutes.
const SKEW_TO_FAIL_MS: i64 = 60_000;

const SET_CLOCK: &str = "let the machines' clocks be set: timedatectl set-ntp true";

/// Looks at the processes that run this store.
pub(super) async fn check(
    workspace: &Workspace,
    store: &dyn Store,
    condition: &Condition,
    findings: &mut Findings,
) {
    let processes = match store.processes().await {
        Ok(processes) => processes,
        Err(error) => return findings.problem("processes", error.into()),
    };
    let now = SystemClock.now();
    let is_there = |process: &Process| match condition.skew_ms() {
        Some(_) => process.unseen_for(now, condition.skew_ms()) <= UNSEEN,
        // On a file it says so once, and holds a lock while it runs.
        None => assembly::is_run(workspace),
    };
    let (there, gone): (Vec<_>, Vec<_>) = processes.iter().partition(|process| is_there(process));
    let mut abandoned = 0;
    for sending in &condition.sending {
        let is_abandoned = match condition.skew_ms() {
            None => !assembly::is_run(workspace),
            Some(_) => is_abandoned(sending, &there, &gone, now),
        };
        if is_abandoned {
            abandoned += 1;
            killed(sending, now, findings);
        }
    }
    if abandoned == 0 {
        let killed = match gone.len() as u64 {
            0 => String::new(),
            gone => format!(", {gone} ended without a goodbye and left nothing behind"),
        };
        findings.ok("processes", format!("{} there{killed}", running(there.len() as u64)));
    }
    clocks(&there, condition.skew_ms(), findings);
}

fn running(processes: u64) -> String {
    match processes {
        1 => "1 process is".to_owned(),
        more => format!("{more} processes are"),
    }
}

/// Whether nobody is at these messages any more.
fn is_abandoned(sending: &Sending, there: &[&Process], gone: &[&Process], now: Timestamp) -> bool {
    let is_of = |process: &&&Process| Some(&process.said.claimant) == sending.claimant.as_ref();
    if there.iter().any(|process| is_of(&process)) {
        return false;
    }
    gone.iter().any(|process| is_of(&process)) || sending.lease_until.is_none_or(|until| until <= now)
}

fn killed(sending: &Sending, now: Timestamp, findings: &mut Findings) {
    let who = sending.claimant.as_ref().map_or("an older process".to_owned(), |who| format!("process {who}"));
    let mails = plural(sending.messages, "mail");
    let when = match sending.lease_until {
        Some(until) if until > now => format!(", from {} (UTC) on", time(until)),
        _ => String::new(),
    };
    findings.warning(
        "processes",
        format!("{who} ended while it sent {mails}"),
        format!("`dripline run` settles them, and so does any process that runs{when}; then: dripline mail uncertain"),
    );
}

/// Compares the clocks with each other and with the server's.
fn clocks(there: &[&Process], own_ms: Option<i64>, findings: &mut Findings) {
    let Some(own_ms) = own_ms else { return };
    let others = there.iter().filter_map(|process| Some((process.host().to_owned(), process.skew_ms?)));
    let mut skews: Vec<(String, i64)> = others.chain([("this machine".to_owned(), own_ms)]).collect();
    skews.sort_by_key(|(_, skew_ms)| *skew_ms);
    skews.dedup_by(|one, other| one.0 == other.0);
    let (Some((slow, least)), Some((fast, most))) = (skews.first(), skews.last()) else { return };
    let apart = most.saturating_sub(*least);
    let from_server = [*least, *most].into_iter().max_by_key(|skew| skew.abs()).unwrap_or_default();
    if let Some(grade) = grade(apart) {
        let what = format!("the clock of {fast} is {} before that of {slow}", seconds(apart));
        findings.add("clocks", grade, what, Some(SET_CLOCK.to_owned()));
    } else if let Some(grade) = grade(from_server.abs()) {
        let side = if from_server < 0 { "before" } else { "behind" };
        let what = format!("the database server's clock is {} {side} ours", seconds(from_server.abs()));
        findings.add("clocks", grade, what, Some(SET_CLOCK.to_owned()));
    } else {
        findings.ok("clocks", "they agree to within two seconds");
    }
}

fn grade(skew_ms: i64) -> Option<Grade> {
    match skew_ms {
        skew if skew <= SKEW_TO_WARN_MS => None,
        skew if skew <= SKEW_TO_FAIL_MS => Some(Grade::Warning),
        _ => Some(Grade::Error),
    }
}

fn seconds(ms: i64) -> String {
    format!("{} s", ms / 1_000)
}
