//! The answer for programs.

use serde_json::{Value, json};

use super::{
    account::{Account, Chapter, Mail, Visit, Way},
    prospect::Prospect,
    stand::Stand,
};
use crate::output::verdict_json;

pub(super) fn account(account: &Account) -> Value {
    json!({
        "contact": account.contact.id,
        "email": account.contact.email,
        "external_id": account.contact.external_id,
        "kept_since": account.kept_since,
        "workflows": account.chapters.iter().map(chapter).collect::<Vec<_>>(),
    })
}

fn chapter(chapter: &Chapter) -> Value {
    let refusals = chapter.refusals.iter().map(|refusal| json!({"at": refusal.at, "reason": refusal.reason}));
    let step = chapter.step.as_ref().map(|step| {
        json!({
            "id": step.id,
            "name": step.name,
            "conditions": step.verdicts.iter().map(verdict_json).collect::<Vec<_>>(),
            "notes": step.notes,
        })
    });
    json!({
        "workflow": chapter.workflow,
        "retired": chapter.is_retired,
        "paused_since": chapter.paused,
        "not_enrolled": refusals.collect::<Vec<_>>(),
        "runs": chapter.ways.iter().map(way).collect::<Vec<_>>(),
        "entry": chapter.prospect.as_ref().map(prospect),
        "step": step,
    })
}

fn way(way: &Way) -> Value {
    json!({
        "path": way.path,
        "version": way.version,
        "status": way.status.name(),
        "enrolled_at": way.began,
        "because": way.because,
        "ended_at": way.ended,
        "decisions": way.visits.iter().map(visit).collect::<Vec<_>>(),
        "stands": way.stand.as_ref().map(stand),
    })
}

fn visit(visit: &Visit) -> Value {
    json!({
        "at": visit.at,
        "step": visit.step,
        "name": visit.name,
        "decision": visit.kind.name(),
        "reason": visit.reason,
        "mails": visit.mails.iter().map(mail).collect::<Vec<_>>(),
        "now": visit.now.as_ref().map(verdict_json),
    })
}

fn mail(mail: &Mail) -> Value {
    json!({
        "subject": mail.subject,
        "status": mail.status.name(),
        "sent_at": mail.sent_at,
        "detail": mail.detail,
    })
}

fn stand(stand: &Stand) -> Value {
    json!({
        "step": stand.step,
        "name": stand.name,
        "waits_for": stand.what.name(),
        "reason": stand.why,
        "until": stand.until,
        "condition": stand.verdict.as_ref().map(verdict_json),
    })
}

fn prospect(prospect: &Prospect) -> Value {
    let triggers = prospect.triggers.iter().map(|start| {
        json!({
            "on": start.what,
            "happened": start.happened,
            "condition": start.verdict.as_ref().map(verdict_json),
        })
    });
    json!({
        "open": prospect.is_open(),
        "triggers": triggers.collect::<Vec<_>>(),
        "if": prospect.enroll_if.as_ref().map(verdict_json),
        "again": prospect.again,
        "mails_held_back": prospect.held_back,
    })
}
