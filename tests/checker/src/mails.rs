//! Every message that a turn wanted is there once, and the server has it once or nobody can know.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Accepted, Facts, Report, facts::Message, program::kind};

/// What a message's `status` means; the positions in the store.
const QUEUED: i64 = 0;
const SENDING: i64 = 1;
const SENT: i64 = 2;
const FAILED: i64 = 3;
const UNCERTAIN: i64 = 4;
/// Given up by a person, which is as good as any end.
const DROPPED: i64 = 5;

/// Whether it is still to be sent, or being sent.
pub(crate) fn is_on_its_way(message: &Message) -> bool {
    [QUEUED, SENDING].contains(&message.status)
}

/// Compares the outbox with the turns that filled it and with what the server accepted.
pub(crate) fn check(facts: &Facts, accepted: Option<&Accepted>, report: &mut Report) {
    check_keys(facts, report);
    check_turns(facts, report);
    let mut unknown = accepted.cloned().unwrap_or_default();
    let mut ids = BTreeSet::new();
    for message in &facts.messages {
        let who =
            format!("message {} (`{}` to {})", message.id, message.template, facts.contact(message.contact));
        if let Some(id) = &message.message_id
            && !ids.insert(id)
        {
            report.duplicate(format!("{who} has the Message-ID of another"));
        }
        let times = message.message_id.as_ref().and_then(|id| unknown.remove(id)).unwrap_or_default();
        if message.is_due != (message.status == QUEUED) {
            report.wrong(format!("{who} has state {} and a due time that does not fit it", message.status));
        }
        if times > 1 {
            report.duplicate(format!("{who} was accepted {times} times"));
        }
        match message.status {
            SENT if accepted.is_some() && times == 0 => {
                report.loss(format!("{who} is called sent, and the server has not accepted it"));
            }
            SENT | DROPPED => {}
            UNCERTAIN => report.uncertain += 1,
            QUEUED | SENDING if times > 0 => {
                report.duplicate(format!("{who} was accepted and would be sent again"));
            }
            QUEUED => report.loss(format!("{who} was not sent")),
            SENDING => report.loss(format!("{who} is stuck on the wire")),
            FAILED => report.wrong(format!("{who} failed")),
            other => report.wrong(format!("{who} has the unknown state {other}")),
        }
    }
    for (id, times) in unknown {
        report.duplicate(format!("the server accepted {id} {times} times, and the store does not know it"));
    }
}

/// Run, turn and effect are a message's key, whatever indexes the database has.
fn check_keys(facts: &Facts, report: &mut Report) {
    let mut keys = BTreeSet::new();
    for message in &facts.messages {
        let (run, turn, effect) = (message.run, message.turn, message.effect);
        if !keys.insert((run, turn, effect)) {
            report.duplicate(format!("effect {effect} of turn {turn} of run {run} queued a message again"));
        }
    }
}

/// A turn at an email step queued one message if it was done, and none if it was suppressed or skipped.
fn check_turns(facts: &Facts, report: &mut Report) {
    let mut queued: BTreeMap<(i64, i64), Vec<i64>> = BTreeMap::new();
    for message in &facts.messages {
        queued.entry((message.run, message.turn)).or_default().push(message.node);
        let fits = facts
            .runs
            .get(&message.run)
            // The version is that of the turn; a run may have been moved to another since.
            .is_some_and(|run| {
                run.contact == message.contact
                    && facts.workflow(run.version) == facts.workflow(message.version)
            });
        if !fits {
            report.wrong(format!("message {} is of another contact or workflow than its run", message.id));
        }
    }
    for decision in &facts.decisions {
        let version = facts.versions.get(&decision.version);
        let node = decision.node.and_then(|node| version?.program.node(node));
        let (Some(run), Some(node)) = (decision.run, node) else { continue };
        if decision.kind != kind::DONE || !node.calls("email") {
            continue;
        }
        let who = format!("turn {} of run {run} at `{}`", decision.turn, node.id);
        match queued.remove(&(run, decision.turn)).as_deref() {
            Some([at]) if Some(*at) == decision.node => {}
            Some([_]) => report.wrong(format!("{who} queued a message for another step")),
            Some(messages) => report.duplicate(format!("{who} queued {} messages", messages.len())),
            None => report.loss(format!("{who} queued no message")),
        }
    }
    for ((run, turn), messages) in queued {
        let many = messages.len();
        report.duplicate(format!("turn {turn} of run {run} queued {many} messages and should not have"));
    }
}
