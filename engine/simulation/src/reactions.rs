//! What contacts do: with a mail, and after an event.

use std::collections::{BTreeMap, HashMap};

use dripline_delivery::Rehearsed;
use dripline_expression::{Expression, Subject as Evaluated};
use dripline_model::{Contact, contact::CHANNEL_EMAIL};
use dripline_store::{ContactRow, DueMessage, EventRow};
use dripline_workflow::behaviour::{Behaviour, EventRule, MailRule, When};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    chance::Subject,
    error::{Error, ErrorKind, Result},
};

/// How many events may follow from each other; rules that lead back to themselves end there.
const LONGEST_CHAIN: usize = 16;

/// An event that was given, from which others may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenEvent {
    /// External id or address of the contact.
    pub contact: String,
    /// Its name.
    pub event: String,
    /// When it arrives.
    pub at: Timestamp,
}

/// A behaviour, ready to be asked.
pub(crate) struct Reactions {
    behaviour: Behaviour,
    conditions: Vec<Option<Expression>>,
    subject: Subject,
    until: Timestamp,
    /// How many mails a contact got from a step so far.
    mails: HashMap<(String, String, String), u64>,
    /// Contacts by the names that rules call them by; elsewhere than in a test there are none.
    names: BTreeMap<String, String>,
}

/// What follows from a mail.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    pub(crate) opened: Option<Timestamp>,
    pub(crate) clicked: Option<Timestamp>,
    pub(crate) replied: Option<Timestamp>,
    pub(crate) unsubscribed: Option<Timestamp>,
    /// All events that follow, up to the end.
    pub(crate) events: Vec<EventRow>,
    /// What becomes of the contact's consent, and when.
    pub(crate) withdrawal: Option<(Timestamp, ContactRow)>,
}

impl Reactions {
    pub(crate) fn new(
        behaviour: &Behaviour,
        names: BTreeMap<String, String>,
        seed: u64,
        until: Timestamp,
    ) -> Result<Self> {
        let conditions = behaviour.mails.iter().map(MailRule::compile).collect::<std::result::Result<_, _>>();
        let conditions = conditions
            .map_err(|reason| Error { doing: "read the behaviour", kind: ErrorKind::Given(reason) })?;
        let behaviour = behaviour.clone();
        Ok(Self { behaviour, conditions, subject: Subject::new(seed), until, mails: HashMap::new(), names })
    }

    /// What the receiver of a mail does with it.
    pub(crate) fn after_mail(&mut self, Rehearsed { message, at, .. }: &Rehearsed) -> Reaction {
        let key = key_of(&message.contact);
        let place = (key.clone(), message.workflow.clone(), message.step.clone());
        let times = self.mails.entry(place).or_default();
        *times += 1;
        let number = *times;
        let Some(rule) = self.rule(message, *at) else { return Reaction::default() };
        let subject = self.subject.of(&key).of(&message.workflow).of(&message.step).number(number);
        let (reaction, own) = follow(rule, message, &key, subject, *at);
        let mut reaction = Reaction { events: Vec::new(), ..reaction };
        for event in own {
            self.chain(event, subject.of("chain"), LONGEST_CHAIN, &mut reaction.events);
        }
        let in_time = |at: &Timestamp| *at <= self.until;
        reaction.opened = reaction.opened.filter(in_time);
        reaction.clicked = reaction.clicked.filter(in_time);
        reaction.replied = reaction.replied.filter(in_time);
        reaction.unsubscribed = reaction.unsubscribed.filter(in_time);
        reaction.withdrawal = reaction.withdrawal.filter(|(at, _)| *at <= self.until);
        reaction
    }

    /// What follows from an event that was given.
    pub(crate) fn after_event(&self, given: &GivenEvent) -> Vec<EventRow> {
        let mut events = Vec::new();
        let subject = self.subject.of(&given.contact).of("given");
        self.after(&given.contact, &given.event, given.at, subject, LONGEST_CHAIN, &mut events);
        events
    }

    /// The first rule that fits.
    fn rule(&self, message: &DueMessage, at: Timestamp) -> Option<&MailRule> {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|name| name == found);
        self.behaviour.mails.iter().zip(&self.conditions).find_map(|(rule, condition)| {
            let is_contact = rule
                .contact
                .as_ref()
                .is_none_or(|name| self.names.get(name).is_some_and(|key| *key == key_of(&message.contact)));
            let holds = || {
                // What cannot be worked out does not hold, as everywhere.
                let evaluated = Evaluated::new(&message.contact, None, at);
                condition.as_ref().is_none_or(|condition| condition.test(&evaluated).unwrap_or(false))
            };
            let fits = is(&rule.template, &message.template)
                && is(&rule.workflow, &message.workflow)
                && is_contact
                && holds();
            fits.then_some(rule)
        })
    }

    /// An event and what follows from it, unless it comes too late.
    fn chain(&self, event: EventRow, subject: Subject, left: usize, events: &mut Vec<EventRow>) {
        if event.at > self.until {
            return;
        }
        self.after(&event.contact.clone(), &event.name.clone(), event.at, subject, left, events);
        events.push(event);
    }

    fn after(
        &self,
        contact: &str,
        name: &str,
        at: Timestamp,
        subject: Subject,
        left: usize,
        events: &mut Vec<EventRow>,
    ) {
        if left == 0 {
            return;
        }
        for (number, rule) in (0..).zip(&self.behaviour.events) {
            let EventRule { on, event, properties, act } = rule;
            if on != name {
                continue;
            }
            let moment = at.as_millisecond().cast_unsigned();
            let subject = subject.number(number).of(event).number(moment);
            if let Some(at) = subject.act(act, at) {
                let next = row(contact, event, at, properties.clone());
                self.chain(next, subject, left - 1, events);
            }
        }
    }
}

/// What one receiver does by a rule, and the events that this is.
fn follow(
    rule: &MailRule,
    message: &DueMessage,
    key: &str,
    subject: Subject,
    sent: Timestamp,
) -> (Reaction, Vec<EventRow>) {
    let mut reaction = Reaction::default();
    let mut events = Vec::new();
    let about = json!({
        "template": message.template, "workflow": message.workflow, "step": message.step, "subject": message.subject,
    });
    let about = || about.as_object().cloned().unwrap_or_default();
    // Where opening is spoken of, the rest is of those who did.
    let seen = match &rule.open {
        Some(open) => {
            reaction.opened = subject.of("open").act(open, sent);
            events.extend(reaction.opened.map(|at| row(key, "email.opened", at, about())));
            reaction.opened
        }
        None => Some(sent),
    };
    if let Some(seen) = seen {
        let act = |name: &str, act: &Option<_>| act.as_ref().and_then(|act| subject.of(name).act(act, seen));
        reaction.clicked = act("click", &rule.click);
        reaction.replied = act("reply", &rule.reply);
        reaction.unsubscribed = act("unsubscribe", &rule.unsubscribe);
        for (name, at) in [
            ("email.clicked", reaction.clicked),
            ("email.replied", reaction.replied),
            ("email.unsubscribed", reaction.unsubscribed),
        ] {
            events.extend(at.map(|at| row(key, name, at, about())));
        }
        reaction.withdrawal = reaction.unsubscribed.map(|at| (at, withdrawal(message)));
    }
    for (number, own) in (0..).zip(&rule.events) {
        let from = match own.when {
            When::Sent => Some(sent),
            When::Opened => reaction.opened,
            When::Clicked => reaction.clicked,
        };
        let at = from.and_then(|from| subject.number(number).of(&own.event).act(&own.act, from));
        events.extend(at.map(|at| row(key, &own.event, at, own.properties.clone())));
    }
    (reaction, events)
}

/// The answer no to the mail's topic, or to email as such.
fn withdrawal(message: &DueMessage) -> ContactRow {
    let topic = message.topic.clone().unwrap_or_else(|| CHANNEL_EMAIL.to_owned());
    ContactRow {
        external_id: message.contact.external_id.clone(),
        email: message.contact.email.clone(),
        consents: BTreeMap::from([(topic, false)]),
        ..ContactRow::default()
    }
}

fn row(contact: &str, name: &str, at: Timestamp, properties: Map<String, Value>) -> EventRow {
    EventRow { key: None, contact: contact.to_owned(), name: name.to_owned(), at, properties, live: true }
}

/// By what a contact is known from outside, whatever its number in a store.
pub(crate) fn key_of(contact: &Contact) -> String {
    let key = contact.external_id.clone().or_else(|| contact.email.clone());
    key.unwrap_or_else(|| contact.id.to_string())
}
