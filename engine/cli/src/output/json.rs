//! JSON for programs. The names are part of Dripline's interface: they change only with a major version.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use dripline_model::Contact;
use dripline_store::{Coming, MessageRow, RunRow, TimelineEntry, TimelineWhat};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::Out;

/// Prints one value.
pub(crate) fn json(out: &mut Out, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// An array that is printed while it grows, so that a list of any length costs no memory.
pub(crate) struct JsonList<'a> {
    out: &'a mut Out,
    is_empty: bool,
}

impl<'a> JsonList<'a> {
    /// Begins the array.
    pub(crate) fn begin(out: &'a mut Out) -> io::Result<Self> {
        write!(out, "[")?;
        Ok(Self { out, is_empty: true })
    }

    /// Adds an element, on a line of its own.
    pub(crate) fn push(&mut self, value: &impl Serialize) -> io::Result<()> {
        write!(self.out, "{}\n  ", if self.is_empty { "" } else { "," })?;
        self.is_empty = false;
        Ok(serde_json::to_writer(&mut *self.out, value)?)
    }

    /// Prints an array of what `json` makes of the first `limit` of `all`.
    pub(crate) fn write<T>(
        out: &mut Out,
        all: &[T],
        limit: usize,
        json: impl Fn(&T) -> Value,
    ) -> io::Result<()> {
        let mut array = JsonList::begin(out)?;
        all.iter().take(limit).try_for_each(|element| array.push(&json(element)))?;
        array.end()
    }

    /// Ends the array.
    pub(crate) fn end(self) -> io::Result<()> {
        writeln!(self.out, "{}", if self.is_empty { "]" } else { "\n]" })
    }
}

/// A contact at `now`.
pub(crate) fn contact_json(contact: &Contact, now: Timestamp) -> Value {
    let scores: BTreeMap<&str, i64> =
        contact.scores.keys().map(|name| (name.as_str(), contact.score(name, now))).collect();
    json!({
        "id": contact.id,
        "external_id": contact.external_id,
        "email": contact.email,
        "attributes": contact.attributes,
        "scores": scores,
        "grades": contact.grades(now).collect::<BTreeMap<_, _>>(),
        "tags": contact.tags,
        "consents": contact.consents,
        "segments": contact.segments,
        "owner": contact.owner,
        "created_at": contact.created_at,
    })
}

/// A run.
pub(crate) fn run_json(run: &RunRow) -> Value {
    json!({
        "id": run.run,
        "workflow": run.workflow,
        "version": run.version,
        "contact": run.contact,
        "contact_name": run.contact_name,
        "status": run.status.name(),
        "step": run.step,
        "due_at": run.due_at,
        "enrolled_at": run.enrolled_at,
        "ended_at": run.ended_at,
        "reason": run.reason,
        "parent": run.parent,
        "path": run.path,
    })
}

/// A message.
pub(crate) fn message_json(message: &MessageRow) -> Value {
    json!({
        "id": message.id,
        "message_id": message.message_id,
        "to": message.to,
        "template": message.template,
        "subject": message.subject,
        "status": message.status.name(),
        "workflow": message.workflow,
        "step": message.step,
        "contact": message.contact,
        "run": message.run,
        "attempts": message.attempts,
        "queued_at": message.queued_at,
        "due_at": message.due_at,
        "sent_at": message.sent_at,
        "detail": message.detail,
    })
}

/// Something that will start a workflow for a contact.
pub(crate) fn coming_json(coming: &Coming) -> Value {
    json!({"at": coming.at, "workflow": coming.workflow, "what": coming.what})
}

/// A timeline's entry; `kind` says which other names it has.
pub(crate) fn timeline_json(entry: &TimelineEntry) -> Value {
    let at = entry.at;
    match &entry.what {
        TimelineWhat::Event { name, properties, live } => {
            json!({"at": at, "kind": "event", "name": name, "properties": properties, "live": live})
        }
        TimelineWhat::Decision { run, workflow, step, path, kind, reason } => json!({
            "at": at, "kind": "decision", "decision": kind.name(), "reason": reason,
            "workflow": workflow, "step": step, "path": path, "run": run,
        }),
        TimelineWhat::Score { score, points, total, because, taken_back, workflow, step, left } => json!({
            "at": at, "kind": "score", "score": score, "points": points, "total": total, "because": because,
            "taken_back": taken_back, "workflow": workflow, "step": step, "left": left,
        }),
        TimelineWhat::Message { id, subject, template, status, detail } => json!({
            "at": at, "kind": "mail", "mail": id, "subject": subject, "template": template,
            "status": status.name(), "detail": detail,
        }),
        TimelineWhat::Assigned { rep, team, because } => {
            json!({"at": at, "kind": "assigned", "rep": rep, "team": team, "because": because})
        }
        TimelineWhat::Segment { segment, joined } => {
            json!({"at": at, "kind": "segment", "segment": segment, "joined": joined})
        }
        TimelineWhat::Consent { topic, given } => {
            json!({"at": at, "kind": "consent", "topic": topic, "given": given})
        }
        _ => json!({"at": at, "kind": "other"}),
    }
}
