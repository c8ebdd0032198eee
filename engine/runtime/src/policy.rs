//! What of a plugin's answer happens: grants, consent, openings. The plugin proposes, the engine decides.

use std::sync::Arc;

use dripline_model::{
    Contact, Directive, Effect, Failure, FailureKind, Outcome,
    decision::{DecisionKind, RunStatus},
    program::NodeIndex,
};
use dripline_store::{Advance, AppliedTurn, ClaimedRun};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    compiled::{CompiledNode, CompiledStep},
    failing::failed,
    openings::{Closed, Openings},
};

/// Turns that a run may have without ever waiting.
pub(crate) const MAX_HOPS: i64 = 1_000;

/// Turns a plugin's answer for one run into what happens.
pub(crate) fn decide(
    run: ClaimedRun,
    node: &CompiledNode,
    step: &CompiledStep,
    contact: &Contact,
    outcome: Outcome,
    openings: &mut Openings<'_>,
    now: Timestamp,
) -> AppliedTurn {
    let Outcome { directive, effects, reason } = outcome;
    if let Directive::Fail(failure) = directive {
        return failed(run, failure, &node.rules, node.next, now);
    }
    if let Some(denied) = effects.iter().map(|effect| effect.kind()).find(|kind| !step.granted.contains(kind))
    {
        let message = format!(
            "plugin `{plugin}` was not granted the effect `{effect}`; `dripline plugin show {plugin}` says how to grant it",
            plugin = step.plugin.manifest().name,
            effect = denied.name()
        );
        let failure = Failure { kind: FailureKind::Denied, message, retry_at: None };
        return failed(run, failure, &node.rules, node.next, now);
    }
    let (effects, suppressed) = permitted(effects, contact);
    let emails: Vec<bool> = effects.iter().filter_map(|effect| transactional(effect)).collect();
    if !emails.is_empty() {
        if let Some(closed) = openings.look(contact, &run, &emails) {
            return held(run, node, closed, openings.zone(), now);
        }
        openings.take(contact.id, &emails);
    }
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
        Directive::Exit => (DecisionKind::Ended, reason, Advance::Leave(RunStatus::Completed)),
        _ => (DecisionKind::Done, reason, to(node.next, now, false)),
    };
    if let Some(why) = suppressed {
        kind = DecisionKind::Suppressed;
        reason = why;
    }
    AppliedTurn { run, effects, decision: kind, reason, advance }
}

/// Whether an email is transactional; `None` for other effects.
pub(crate) fn transactional(effect: &Effect) -> Option<bool> {
    match effect {
        Effect::SendEmail(email) => Some(email.transactional),
        _ => None,
    }
}

/// A turn that may not mail its contact yet: it comes to the step again when it may, and past the step's expiry never.
fn held(
    run: ClaimedRun,
    node: &CompiledNode,
    closed: Closed,
    zone: &TimeZone,
    now: Timestamp,
) -> AppliedTurn {
    let Closed { until, why } = closed;
    if let Some((expiry, text)) = node.rules.expiry(&run, zone).filter(|(expiry, _)| until > *expiry) {
        let reason = format!("skipped: {why}, until {until}; `expires: {text}` ends at {expiry}");
        return plain(run, DecisionKind::Skipped, reason, to(node.next, now, false));
    }
    let reason = format!("waits until {until}: {why}");
    plain(run, DecisionKind::Waiting, reason, Advance::Hold { due: until })
}

/// Why an email must not go to a contact now, for lack of an address or of consent; `None` where it may. The contact needs
/// its consents.
pub fn withheld(
    contact: &Contact,
    template: &str,
    topic: Option<&str>,
    is_transactional: bool,
) -> Option<String> {
    if contact.email.is_none() {
        return Some(format!("`{template}` not sent: the contact has no email address"));
    }
    if is_transactional || contact.consents_to_email(topic) {
        return None;
    }
    let about = topic.map(|topic| format!(" about `{topic}`")).unwrap_or_default();
    Some(format!("`{template}` not sent: no consent to email{about}"))
}

/// The effects that may happen, and why one may not.
fn permitted(effects: Vec<Arc<Effect>>, contact: &Contact) -> (Vec<Arc<Effect>>, Option<String>) {
    let mut suppressed = None;
    let effects = effects
        .into_iter()
        .filter(|effect| {
            let Effect::SendEmail(email) = &**effect else { return true };
            match withheld(contact, &email.template, email.topic.as_deref(), email.transactional) {
                None => true,
                Some(why) => {
                    suppressed = Some(why);
                    false
                }
            }
        })
        .collect();
    (effects, suppressed)
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
    use dripline_model::{effect::EmailRequest, id::ContactId};

    use super::*;

    fn email(topic: Option<&str>, transactional: bool) -> Arc<Effect> {
        Arc::new(Effect::SendEmail(EmailRequest {
            template: "welcome".into(),
            subject: "Hello".into(),
            topic: topic.map(str::to_owned),
            transactional,
        }))
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
}
