//! What starts a run: whether an event is what a trigger waits for, and what more the trigger asks of it.

use std::collections::BTreeMap;

use dripline_expression::{Expression, Scope, Subject, Value};
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::{
        CONTACT_CHANGED, DATE_REACHED, EventView, Needs, SEGMENT_JOINED, SEGMENT_LEFT, WORKFLOW_ENDED,
    },
    decision::RunStatus,
    duration,
    id::{ContactId, EventId},
    program::{Occasion, Trigger, When},
};
use dripline_store::{AppliedTurn, ClaimedEvent, NewEvent, Transaction};
use jiff::{Span, Timestamp, tz::TimeZone};
use serde_json::{Map, json};

use crate::error::{Result, While};

/// The ends that count where the author does not say which.
const COUNTED: [RunStatus; 2] = [RunStatus::Completed, RunStatus::Won];

/// The triggers of a version that are events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Triggers(Vec<CompiledTrigger>);

#[derive(Debug, Clone)]
struct CompiledTrigger {
    what: Occasion,
    /// The name of the workflow that has it.
    workflow: String,
    condition: Option<Expression>,
    dedupe: Option<(Expression, Span)>,
    quiet: Option<Quiet>,
}

/// How long an event waits for others of its kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quiet {
    quiet: Span,
    at_most: Span,
}

impl Quiet {
    /// When the latest of a series starts a run. Days are counted in `zone`.
    pub(crate) fn end(self, first: Timestamp, latest: Timestamp, zone: &TimeZone) -> Timestamp {
        duration::after(latest, self.quiet, zone).min(duration::after(first, self.at_most, zone))
    }
}

/// What triggers make of an event.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// It starts a run.
    Starts,
    /// It does if none of its kind follows.
    Waits(Quiet),
    /// It does not, and why.
    Refused(String),
}

impl Triggers {
    /// Prepares the triggers of a program.
    ///
    /// # Errors
    /// A sentence, when an expression or duration is not one that this program understands.
    pub(crate) fn new(workflow: &str, triggers: &[Trigger]) -> std::result::Result<Self, String> {
        let whens = triggers.iter().filter_map(|trigger| match trigger {
            Trigger::Event(name) => Some(plain(Occasion::Event(name.clone()))),
            Trigger::SegmentJoined(name) => Some(plain(Occasion::SegmentJoined(name.clone()))),
            Trigger::When(when) => Some(when.as_ref().clone()),
            Trigger::Schedule { .. } | Trigger::Manual | Trigger::Called => None,
        });
        whens
            .map(|when| CompiledTrigger::new(workflow, when))
            .collect::<std::result::Result<_, _>>()
            .map(Self)
    }

    /// Whether the event may start a run.
    pub(crate) fn listens_to(&self, event: &EventView) -> bool {
        self.0.iter().any(|trigger| trigger.listens_to(event))
    }

    /// Whether events wait for others of their kind.
    pub(crate) fn any_waits(&self) -> bool {
        self.0.iter().any(|trigger| trigger.quiet.is_some())
    }

    /// Whether the end of a run of this workflow may start one.
    fn listens_to_end(&self, name: &str, status: RunStatus) -> bool {
        self.0.iter().any(|trigger| match &trigger.what {
            Occasion::WorkflowEnded { workflow, any } => {
                workflow == name && (*any || COUNTED.contains(&status))
            }
            _ => false,
        })
    }

    /// What of a contact the triggers look at.
    pub(crate) fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for trigger in &self.0 {
            let keys = trigger.dedupe.as_ref().map(|(key, _)| key);
            trigger.condition.iter().chain(keys).for_each(|expression| needs.merge(expression.needs()));
        }
        needs
    }

    /// What becomes of the event, which is one that [`Triggers::listens_to`]. Of several triggers one is enough, and one that
    /// lets nothing wait goes first.
    pub(crate) fn verdict(
        &self,
        contact: &Contact,
        event: &EventView,
        id: EventId,
        past: &Past,
        now: Timestamp,
    ) -> Verdict {
        let (mut waits, mut refused) = (None, None);
        for trigger in self.0.iter().filter(|trigger| trigger.listens_to(event)) {
            match (trigger.refusal(contact, event, id, past, now), trigger.quiet) {
                (None, None) => return Verdict::Starts,
                (None, Some(quiet)) => waits = waits.or(Some(quiet)),
                (Some(reason), _) => refused = refused.or(Some(reason)),
            }
        }
        match (waits, refused) {
            (Some(quiet), _) => Verdict::Waits(quiet),
            (None, Some(reason)) => Verdict::Refused(reason),
            (None, None) => Verdict::Starts,
        }
    }

    /// The earlier events that the triggers compare these with.
    pub(crate) async fn past(
        &self,
        tx: &mut dyn Transaction,
        events: &[(ContactId, &EventView)],
        zone: &TimeZone,
    ) -> Result<Past> {
        let mut past = Past { zone: zone.clone(), events: BTreeMap::new() };
        for CompiledTrigger { what, dedupe, .. } in &self.0 {
            let (Occasion::Event(name), Some((_, within))) = (what, dedupe) else { continue };
            let same = events.iter().filter(|(_, event)| event.name == *name);
            let (contacts, times): (Vec<ContactId>, Vec<Timestamp>) =
                same.map(|(contact, event)| (*contact, event.at)).unzip();
            let Some(earliest) = times.into_iter().min() else { continue };
            let since = duration::before(earliest, *within, zone);
            for event in tx.past_events(&contacts, name, since).await.while_doing("look at earlier events")? {
                past.events.entry(event.contact).or_default().push(event);
            }
        }
        Ok(past)
    }
}

/// Earlier events of contacts.
#[derive(Debug)]
pub(crate) struct Past {
    /// Where days are counted.
    zone: TimeZone,
    events: BTreeMap<ContactId, Vec<ClaimedEvent>>,
}

fn plain(what: Occasion) -> When {
    When { what, condition: None, dedupe: None, debounce: None }
}

impl CompiledTrigger {
    fn new(
        workflow: &str,
        When { what, condition, dedupe, debounce }: When,
    ) -> std::result::Result<Self, String> {
        let scope = Scope { event: true, ..Scope::default() };
        let compile = |source: &str, result| {
            Expression::compile(source, result, &scope)
                .map_err(|_| format!("an expression of a trigger does not compile: {source}"))
        };
        let condition = condition.map(|source| compile(&source, ColumnType::Boolean)).transpose()?;
        let dedupe = dedupe
            .map(|dedupe| {
                Ok::<_, String>((compile(&dedupe.key, ColumnType::Text)?, duration::parse(&dedupe.within)?))
            })
            .transpose()?;
        let quiet = debounce
            .map(|debounce| {
                let (quiet, at_most) =
                    (duration::parse(&debounce.quiet)?, duration::parse(&debounce.at_most)?);
                Ok::<_, String>(Quiet { quiet, at_most })
            })
            .transpose()?;
        Ok(Self { what, workflow: workflow.to_owned(), condition, dedupe, quiet })
    }

    fn listens_to(&self, event: &EventView) -> bool {
        let says = |key: &str, text: &str| {
            event.properties.get(key).and_then(serde_json::Value::as_str) == Some(text)
        };
        match &self.what {
            Occasion::Event(name) => *name == event.name,
            Occasion::SegmentJoined(segment) => event.name == SEGMENT_JOINED && says("segment", segment),
            Occasion::SegmentLeft(segment) => event.name == SEGMENT_LEFT && says("segment", segment),
            Occasion::Changed { attribute, from, to } => {
                let is = |key: &str, wanted: &Option<serde_json::Value>| {
                    wanted.as_ref().is_none_or(|wanted| {
                        event.properties.get(key).is_some_and(|value| is_same(value, wanted))
                    })
                };
                event.name == CONTACT_CHANGED && says("field", attribute) && is("from", from) && is("to", to)
            }
            Occasion::Date(date) => {
                event.name == DATE_REACHED
                    && says("workflow", &self.workflow)
                    && says("trigger", &date.words())
            }
            Occasion::WorkflowEnded { workflow, any } => {
                event.name == WORKFLOW_ENDED
                    && says("workflow", workflow)
                    && (*any || COUNTED.iter().any(|status| says("status", status.name())))
            }
        }
    }

    fn refusal(
        &self,
        contact: &Contact,
        event: &EventView,
        id: EventId,
        past: &Past,
        now: Timestamp,
    ) -> Option<String> {
        let subject = Subject::new(contact, Some(event), now);
        if let Some(condition) = &self.condition {
            match condition.test(&subject) {
                Ok(true) => {}
                Ok(false) => return Some(format!("`{}` of the trigger does not hold", condition.source())),
                Err(error) => {
                    return Some(format!(
                        "`{}` of the trigger is no match: {}",
                        condition.source(),
                        error.reason
                    ));
                }
            }
        }
        let (key, within) = self.dedupe.as_ref()?;
        // An event without a key is one of its own.
        let own = key.evaluate(&subject).ok()?;
        let since = duration::before(event.at, *within, &past.zone);
        let earlier = past.events.get(&contact.id).into_iter().flatten();
        let mut earlier = earlier.filter(|other| {
            other.id != id
                && other.event.name == event.name
                && other.event.at >= since
                && key.evaluate(&Subject::new(contact, Some(&other.event), now)).as_ref() == Ok(&own)
        });
        let twin = earlier.next()?;
        let Value::Text(own) = own else { return None };
        Some(format!("is the same as the event of {}: its key is `{own}` as well", twin.event.at))
    }
}

/// Whether two values are one: whole and other numbers are.
fn is_same(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    one == other || one.as_f64().is_some_and(|one| Some(one) == other.as_f64())
}

/// The events of the runs of this workflow that have ended, where one of the `listeners` waits for that.
pub(crate) fn ends<'t>(
    workflow: &str,
    turns: &[AppliedTurn],
    listeners: impl Iterator<Item = &'t Triggers> + Clone,
) -> Vec<NewEvent> {
    let mut events = Vec::new();
    for turn in turns {
        // The end of a path is none of its run.
        let Some(status) = turn.advance.ended().filter(|_| !turn.run.is_path()) else { continue };
        if listeners.clone().any(|triggers| triggers.listens_to_end(workflow, status)) {
            let properties: Map<_, _> =
                [("workflow".to_owned(), json!(workflow)), ("status".to_owned(), json!(status.name()))]
                    .into_iter()
                    .collect();
            events.push(NewEvent { contact: turn.run.contact, name: WORKFLOW_ENDED.to_owned(), properties });
        }
    }
    events
}
