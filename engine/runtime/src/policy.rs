//! What of a plugin's answer happens: grants, consent, retries. The plugin proposes, the engine decides.

use dripline_model::{
    Contact, Directive, Effect, Failure, FailureKind, Outcome,
    decision::{DecisionKind, RunStatus},
    program::NodeIndex,
};
use dripline_store::{Advance, AppliedTurn, ClaimedRun};
use jiff::{SignedDuration, Timestamp};

use crate::compiled::{CompiledNode, CompiledStep};

/// Tries of one turn, the first included.
const TRIES: i64 = 4;

/// The pause before the second try; each further one is four times as long.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// Turns that a run may have without ever waiting.
pub(crate) const MAX_HOPS: i64 = 1_000;

/// Turns a plugin's answer for one run into what happens.
pub(crate) fn decide(
    run: ClaimedRun,
    node: &CompiledNode,
    step: &CompiledStep,
    contact: &Contact,
    outcome: Outcome,
    now: Timestamp,
) -> AppliedTurn {
    let Outcome { directive, effects, reason } = outcome;
    if let Directive::Fail(failure) = directive {
        return failed(run, failure, now);
    }
    if let Some(denied) = effects.iter().map(Effect::kind).find(|kind| !step.granted.contains(kind)) {
        let message = format!(
            "plugin `{plugin}` was not granted the effect `{effect}`; `dripline plugin show {plugin}` says how to grant it",
            plugin = step.plugin.manifest().name,
            effect = denied.name()
        );
        return failed(run, Failure { kind: FailureKind::Denied, message, retry_at: None }, now);
    }
    let (effects, suppressed) = permitted(effects, contact);
    let (mut kind, mut reason, advance) = match directive {
        Directive::WaitUntil(until) if until > now && node.next.is_some() => {
            (DecisionKind::Waiting, reason, to(node.next, until, true))
        }
        Directive::Output(output) => {
            let target = step.paths.get(&output).copied().unwrap_or(node.next);
            (DecisionKind::Done, reason, to(target, now, false))
        }
        Directive::WaitUntil(until) if until > now => {
            let reason = format!("{reason}; no step follows, so the run ends at once");
            (DecisionKind::Done, reason, to(None, now, false))
        }
        Directive::Exit => (DecisionKind::Ended, reason, Advance::End(RunStatus::Completed)),
        _ => (DecisionKind::Done, reason, to(node.next, now, false)),
    };
    if let Some(why) = suppressed {
        kind = DecisionKind::Suppressed;
        reason = why;
    }
    AppliedTurn { run, effects, decision: kind, reason, advance }
}

/// The effects that may happen, and why one may not.
fn permitted(effects: Vec<Effect>, contact: &Contact) -> (Vec<Effect>, Option<String>) {
    let mut suppressed = None;
    let effects = effects
        .into_iter()
        .filter(|effect| {
            let Effect::SendEmail(email) = effect else { return true };
            let topic = email.topic.as_deref();
            let why = if contact.email.is_none() {
                format!("`{}` not sent: the contact has no email address", email.template)
            } else if email.transactional || contact.consents_to_email(topic) {
                return true;
            } else if let Some(topic) = topic {
                format!("`{}` not sent: no consent to email about `{topic}`", email.template)
            } else {
                format!("`{}` not sent: no consent to email", email.template)
            };
            suppressed = Some(why);
            false
        })
        .collect();
    (effects, suppressed)
}

/// A turn that failed: again after a pause, or for good.
pub(crate) fn failed(run: ClaimedRun, failure: Failure, now: Timestamp) -> AppliedTurn {
    if failure.kind == FailureKind::Unreached {
        // It was not tried, so it loses no try: the run comes to the same step again.
        let due = now.saturating_add(FIRST_PAUSE).unwrap_or(Timestamp::MAX);
        let reason = format!("put off: {}; again at {due}", failure.message);
        let again = Advance::To { node: run.node, due, waited: true };
        return plain(run, DecisionKind::Retrying, reason, again);
    }
    let tries = run.attempts + 1;
    let label = failure.kind.name();
    if failure.kind.is_retried() && tries < TRIES {
        let pause = FIRST_PAUSE * 4_i32.saturating_pow(u32::try_from(run.attempts).unwrap_or(u32::MAX));
        let due =
            failure.retry_at.unwrap_or_else(|| now.saturating_add(pause).unwrap_or(Timestamp::MAX)).max(now);
        let reason = format!("try {tries} of {TRIES} failed ({label}): {}; again at {due}", failure.message);
        return AppliedTurn {
            run,
            effects: Vec::new(),
            decision: DecisionKind::Retrying,
            reason,
            advance: Advance::Retry { due },
        };
    }
    AppliedTurn {
        run,
        effects: Vec::new(),
        decision: DecisionKind::Failed,
        reason: format!("failed ({label}): {}", failure.message),
        advance: Advance::End(RunStatus::Failed),
    }
}

/// On to `node`, or to the end where there is none.
pub(crate) fn to(node: Option<NodeIndex>, due: Timestamp, waited: bool) -> Advance {
    node.map_or(Advance::End(RunStatus::Completed), |node| Advance::To { node, due, waited })
}

/// A turn without effects.
pub(crate) fn plain(
    run: ClaimedRun,
    decision: DecisionKind,
    reason: String,
    advance: Advance,
) -> AppliedTurn {
    AppliedTurn { run, effects: Vec::new(), decision, reason, advance }
}

#[cfg(test)]
mod tests {
    use dripline_model::{
        effect::EmailRequest,
        id::{ContactId, RunId, VersionId, WorkflowId},
    };

    use super::*;

    fn run(attempts: i64) -> ClaimedRun {
        ClaimedRun {
            run: RunId(1),
            contact: ContactId(1),
            workflow: WorkflowId(1),
            version: VersionId(1),
            node: 0,
            turn: 0,
            attempts,
            hops: 0,
            waiting: None,
        }
    }

    fn email(topic: Option<&str>, transactional: bool) -> Effect {
        Effect::SendEmail(EmailRequest {
            template: "welcome".into(),
            subject: "Hello".into(),
            topic: topic.map(str::to_owned),
            transactional,
        })
    }

    #[test]
    fn no_plugin_gets_a_mail_past_missing_consent() {
        let mut contact = Contact::new(ContactId(1));
        let why = |effect, contact: &Contact| permitted(vec![effect], contact).1;
        assert!(why(email(None, true), &contact).unwrap().contains("no email address"));
        contact.email = Some("a@example.org".into());
        assert_eq!(
            why(email(Some("news"), false), &contact).as_deref(),
            Some("`welcome` not sent: no consent to email about `news`")
        );
        assert_eq!(why(email(None, true), &contact), None, "a receipt needs no consent");
        contact.consents.insert("email".into(), true);
        assert_eq!(why(email(Some("news"), false), &contact), None);
    }

    #[test]
    fn a_trap_is_tried_four_times_with_growing_pauses_and_a_permanent_failure_once() {
        let now: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
        let trap = || Failure { kind: FailureKind::Trap, message: "unreachable".into(), retry_at: None };
        let pauses: Vec<_> = (0..4)
            .map(|attempts| match failed(run(attempts), trap(), now).advance {
                Advance::Retry { due } => due.as_second() - now.as_second(),
                _ => -1,
            })
            .collect();
        assert_eq!(pauses, [60, 240, 960, -1]);
        let unreached = failed(run(3), Failure { kind: FailureKind::Unreached, ..trap() }, now).advance;
        assert!(matches!(unreached, Advance::To { node: 0, .. }), "what was not tried loses no try");
        let permanent = Failure { kind: FailureKind::Permanent, ..trap() };
        assert_eq!(failed(run(0), permanent, now).advance, Advance::End(RunStatus::Failed));
    }
}
