//! Whether a contact would be let into a workflow now, and what would have to happen for that.

use dripline_model::{
    contact::{CONTACT_CHANGED, DATE_REACHED, EventView, WORKFLOW_ENDED},
    program::{Occasion, Trigger},
};
use dripline_runtime::{Entrance, Question, Verdict};
use dripline_store::{LatestRun, StoredProgram, TimelineEntry, TimelineWhat};
use dripline_workflow::schedule::Schedule;
use serde_json::{Map, Value};

use super::account::{Known, mail_held_back};
use crate::output::time;

/// What the workflow's rules of entry say of the contact.
pub(super) struct Prospect {
    /// What would start a run, each with whether it happened.
    pub(super) triggers: Vec<Start>,
    /// `enroll.if`.
    pub(super) enroll_if: Option<Verdict>,
    /// Why it may not enter again.
    pub(super) again: Option<String>,
    /// Why mails of the workflow would not go to the contact.
    pub(super) held_back: Vec<String>,
}

/// Something that would start a run.
pub(super) struct Start {
    /// `event trial.started`
    pub(super) what: String,
    /// Whether and when it happened, in words.
    pub(super) happened: String,
    /// What the trigger asks of it, or what makes the contact a member of the segment.
    pub(super) verdict: Option<Verdict>,
}

impl Prospect {
    /// Whether the contact would enter if one of the triggers came now.
    pub(super) fn is_open(&self) -> bool {
        self.enroll_if.as_ref().is_none_or(Verdict::admits) && self.again.is_none()
    }
}

/// The conditions of triggers.
pub(super) fn conditions(triggers: &[Trigger]) -> impl Iterator<Item = &str> {
    triggers.iter().filter_map(|trigger| match trigger {
        Trigger::When(when) => when.condition.as_deref(),
        _ => None,
    })
}

pub(super) fn of(
    stored: &StoredProgram,
    entrance: &Entrance,
    latest: Option<&LatestRun>,
    is_near: bool,
    known: &Known<'_>,
) -> Prospect {
    let program = &stored.program;
    let starts = program.triggers.iter().map(|trigger| start(trigger, stored, is_near, known));
    let triggers = starts.collect();
    // What `enroll.if` would see as `event`: the latest of those that start a run.
    let event =
        program.triggers.iter().filter_map(|trigger| last(trigger, known)).max_by_key(|event| event.at);
    let (enroll_if, again) = entrance.consider(known.contact, event.as_ref(), latest, known.now);
    let held_back = program.nodes.iter().filter_map(|node| mail_held_back(node, known.contact));
    let mut held_back: Vec<String> = held_back.collect();
    held_back.dedup();
    Prospect { triggers, enroll_if, again, held_back }
}

fn start(trigger: &Trigger, stored: &StoredProgram, is_near: bool, known: &Known<'_>) -> Start {
    let plain = |happened: String| Start {
        what: super::super::workflows::describe_trigger(trigger),
        happened,
        verdict: None,
    };
    if let Some(segment) = joining(trigger) {
        return membership(segment, plain, known);
    }
    match trigger {
        Trigger::Manual => {
            let key = known.contact.external_id.as_deref().or(known.contact.email.as_deref());
            let key = key.map_or_else(|| known.contact.id.to_string(), str::to_owned);
            Start {
                what: "by hand".to_owned(),
                ..plain(format!("dripline enroll {} {key}", stored.program.name))
            }
        }
        Trigger::Called => plain("when a step of another workflow calls it".to_owned()),
        Trigger::Schedule { cron, time_zone } => {
            let next =
                Schedule::parse(cron, time_zone).ok().and_then(|schedule| schedule.next_after(known.now));
            plain(next.map_or_else(|| "never again".to_owned(), |next| format!("next at {} UTC", time(next))))
        }
        Trigger::Event(_) | Trigger::SegmentJoined(_) | Trigger::When(_) => {
            let found = last(trigger, known);
            let happened = happened(found.as_ref(), trigger, stored, is_near, known);
            let condition = match trigger {
                Trigger::When(when) => when.condition.as_ref(),
                _ => None,
            };
            let verdict = condition.zip(found.as_ref()).and_then(|(condition, event)| {
                let question = Question::condition(condition, true).ok()?;
                Some(question.ask(known.contact, Some(event), known.now))
            });
            Start { verdict, ..plain(happened) }
        }
    }
}

/// Whether the contact is in a segment, and since when; where a rule decides, what it says.
fn membership(segment: &str, plain: impl Fn(String) -> Start, known: &Known<'_>) -> Start {
    let since = known.timeline.iter().rev().find_map(|entry| match &entry.what {
        TimelineWhat::Segment { segment: name, joined: true } if name == segment => Some(entry.at),
        _ => None,
    });
    let verdict = known.rules.explain(segment, known.contact, known.now).map(|explanation| Verdict {
        source: known.rules.source(segment).unwrap_or_default().to_owned(),
        holds: Ok(explanation.is_member),
        clauses: explanation.clauses,
    });
    let happened = match (known.contact.segments.contains(segment), since) {
        (true, Some(since)) => format!("is a member since {} UTC", time(since)),
        (true, None) => "is a member".to_owned(),
        (false, Some(since)) => format!("joined last at {} UTC, and is no member now", time(since)),
        (false, None) => "never joined".to_owned(),
    };
    Start { verdict, ..plain(happened) }
}

/// Whether and when the event of a trigger happened.
fn happened(
    found: Option<&EventView>,
    trigger: &Trigger,
    stored: &StoredProgram,
    is_near: bool,
    known: &Known<'_>,
) -> String {
    let Some(event) = found else { return "never happened to this contact".to_owned() };
    let at = time(event.at);
    if event.at > known.now {
        return format!("is to happen at {at} UTC");
    }
    if !is_live(event, trigger, known) {
        return format!("happened last at {at} UTC, as history, which starts nothing");
    }
    if event.at < stored.published_at && !is_near {
        let published = time(stored.published_at);
        return format!("happened last at {at} UTC, before the workflow was published ({published} UTC)");
    }
    format!("happened last at {at} UTC")
}

fn is_live(event: &EventView, trigger: &Trigger, known: &Known<'_>) -> bool {
    known.timeline.iter().any(|entry| match &entry.what {
        TimelineWhat::Event { name, live, .. } => *live && entry.at == event.at && *name == event.name,
        TimelineWhat::Segment { .. } => entry.at == event.at && leaves(trigger),
        _ => false,
    })
}

/// The segment that somebody joins.
fn joining(trigger: &Trigger) -> Option<&str> {
    match (trigger, occasion(trigger)) {
        (Trigger::SegmentJoined(segment), _) | (_, Some(Occasion::SegmentJoined(segment))) => Some(segment),
        _ => None,
    }
}

fn occasion(trigger: &Trigger) -> Option<&Occasion> {
    match trigger {
        Trigger::When(when) => Some(&when.what),
        _ => None,
    }
}

fn leaves(trigger: &Trigger) -> bool {
    matches!(occasion(trigger), Some(Occasion::SegmentLeft(_)))
}

/// The latest event that a trigger is about.
fn last(trigger: &Trigger, known: &Known<'_>) -> Option<EventView> {
    known.timeline.iter().rev().find_map(|entry| of_trigger(trigger, entry))
}

fn of_trigger(trigger: &Trigger, entry: &TimelineEntry) -> Option<EventView> {
    let view = |name: &str, properties: Map<String, Value>| EventView {
        name: name.to_owned(),
        at: entry.at,
        properties,
    };
    let TimelineWhat::Event { name, properties, .. } = &entry.what else {
        let TimelineWhat::Segment { segment, joined } = &entry.what else { return None };
        let is_it = match occasion(trigger) {
            Some(Occasion::SegmentLeft(left)) => !joined && left == segment,
            _ => *joined && joining(trigger) == Some(segment),
        };
        let name = if *joined { "segment.joined" } else { "segment.left" };
        let properties = Map::from_iter([("segment".to_owned(), Value::from(segment.as_str()))]);
        return is_it.then(|| view(name, properties));
    };
    let says = |key: &str, text: &str| properties.get(key).and_then(Value::as_str) == Some(text);
    let is_it = match (trigger, occasion(trigger)) {
        (Trigger::Event(wanted), _) | (_, Some(Occasion::Event(wanted))) => wanted == name,
        (_, Some(Occasion::Changed { attribute, .. })) => name == CONTACT_CHANGED && says("field", attribute),
        (_, Some(Occasion::WorkflowEnded { workflow, .. })) => {
            name == WORKFLOW_ENDED && says("workflow", workflow)
        }
        (_, Some(Occasion::Date(date))) => name == DATE_REACHED && says("trigger", &date.words()),
        _ => false,
    };
    is_it.then(|| view(name, properties.clone()))
}
