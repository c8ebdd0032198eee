//! A contact as expressions, templates and plugins see it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    id::ContactId,
    score::{Curve, Scores},
};

/// What is known of one person at one moment. What was not asked for (see [`Needs`]) is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// The store's key.
    pub id: ContactId,
    /// The caller's own key, unique where present.
    pub external_id: Option<String>,
    /// The address, lower-cased, unique where present.
    pub email: Option<String>,
    /// Everything else that was imported or set, by name.
    pub attributes: Map<String, Value>,
    /// Points by score name; a score that nobody gave is 0. Of one that fades, what it was when it last changed, or at the
    /// moment of [`Contact::as_of`].
    pub scores: BTreeMap<String, i64>,
    /// Of the scores that fade, what their values follow from.
    pub fading: BTreeMap<String, Curve>,
    /// The declared scores, where any of them has grades.
    pub graded: Option<Arc<Scores>>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// Consent by topic: `true` given, `false` withdrawn or refused; a topic that is absent was never asked.
    pub consents: BTreeMap<String, bool>,
    /// Names of the segments of which the contact is a member.
    pub segments: BTreeSet<String>,
    /// Key of the representative who owns the contact.
    pub owner: Option<String>,
    /// When the contact was first stored, or the imported `created_at`.
    pub created_at: Timestamp,
    /// Past events by name, each list in the order of their times; only the names that were asked for.
    pub events: BTreeMap<String, Vec<PastEvent>>,
    /// With what the run was called that looks at the contact (`input.NAME`); of others it is empty.
    pub inputs: Map<String, Value>,
}

/// Something that happened to a contact, as conditions on events see it.
#[derive(Debug, Clone, PartialEq)]
pub struct PastEvent {
    /// When.
    pub at: Timestamp,
    /// Those of its properties that were asked for.
    pub properties: Map<String, Value>,
}

impl Contact {
    /// A contact with this key of which nothing else is known.
    pub fn new(id: ContactId) -> Self {
        Self {
            id,
            external_id: None,
            email: None,
            attributes: Map::new(),
            scores: BTreeMap::new(),
            fading: BTreeMap::new(),
            graded: None,
            tags: BTreeSet::new(),
            consents: BTreeMap::new(),
            segments: BTreeSet::new(),
            owner: None,
            created_at: Timestamp::UNIX_EPOCH,
            events: BTreeMap::new(),
            inputs: Map::new(),
        }
    }

    /// The points of a score at `now`; 0 where nobody gave any.
    pub fn score(&self, name: &str, now: Timestamp) -> i64 {
        match self.fading.get(name) {
            Some(curve) => curve.at(now.as_millisecond()),
            None => self.scores.get(name).copied().unwrap_or(0),
        }
    }

    /// The grade of a score at `now`, where the score has grades and reaches one.
    pub fn grade(&self, name: &str, now: Timestamp) -> Option<&str> {
        self.graded.as_ref()?.get(name)?.grade(self.score(name, now))
    }

    /// The grades of all scores at `now`.
    pub fn grades(&self, now: Timestamp) -> impl Iterator<Item = (&str, &str)> {
        let names = self.graded.iter().flat_map(|scores| scores.names());
        names.filter_map(move |name| Some((name, self.grade(name, now)?)))
    }

    /// Makes the scores what they are at `now`.
    pub fn as_of(&mut self, now: Timestamp) {
        for (name, curve) in &self.fading {
            if let Some(value) = self.scores.get_mut(name) {
                *value = curve.at(now.as_millisecond());
            }
        }
    }

    /// Whether marketing mail on `topic` may be sent: an answer about the topic itself decides; without one, the
    /// answer about the channel `email`; without any answer, no.
    pub fn consents_to_email(&self, topic: Option<&str>) -> bool {
        topic
            .filter(|topic| *topic != CHANNEL_EMAIL)
            .and_then(|topic| self.consents.get(topic))
            .or_else(|| self.consents.get(CHANNEL_EMAIL))
            .copied()
            .unwrap_or(false)
            && self.consents.get(CHANNEL_EMAIL) != Some(&false)
    }
}

/// The consent topic of the email channel as a whole; a refusal there covers every topic.
pub const CHANNEL_EMAIL: &str = "email";

/// Which parts of a contact a step looks at, so that only those are loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// Attributes by name (those that are columns of their own, such as `email`, need no naming).
    pub attributes: BTreeSet<String>,
    /// All attributes, because the expression uses the contact as a whole.
    pub all_attributes: bool,
    /// Any score.
    pub scores: bool,
    /// Tags.
    pub tags: bool,
    /// Consents.
    pub consents: bool,
    /// Membership of segments.
    pub segments: bool,
    /// The owner.
    pub owner: bool,
    /// Past events, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub events: BTreeMap<String, EventNeeds>,
}

/// What of a contact's past events of one name is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventNeeds {
    /// Only those of the last so many milliseconds; `None` is all of them.
    pub within_ms: Option<i64>,
    /// Properties by name.
    pub properties: BTreeSet<String>,
    /// All properties.
    pub all_properties: bool,
}

impl EventNeeds {
    /// Adds what `other` needs.
    pub fn merge(&mut self, other: &Self) {
        self.within_ms = self.within_ms.zip(other.within_ms).map(|(one, other)| one.max(other));
        self.properties.extend(other.properties.iter().cloned());
        self.all_properties |= other.all_properties;
    }

    /// Whether any property has to be loaded.
    pub fn any_property(&self) -> bool {
        self.all_properties || !self.properties.is_empty()
    }
}

impl Needs {
    /// Adds what `other` needs.
    pub fn merge(&mut self, other: &Self) {
        self.attributes.extend(other.attributes.iter().cloned());
        self.all_attributes |= other.all_attributes;
        self.scores |= other.scores;
        self.tags |= other.tags;
        self.consents |= other.consents;
        self.segments |= other.segments;
        self.owner |= other.owner;
        for (name, needs) in &other.events {
            self.need_events(name, needs);
        }
    }

    /// Adds what is needed of the events of one name.
    pub fn need_events(&mut self, name: &str, needs: &EventNeeds) {
        match self.events.get_mut(name) {
            Some(known) => known.merge(needs),
            None => drop(self.events.insert(name.to_owned(), needs.clone())),
        }
    }

    /// Whether any attribute has to be loaded.
    pub fn any_attribute(&self) -> bool {
        self.all_attributes || !self.attributes.is_empty()
    }
}

/// An event as an expression sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventView {
    /// `trial.started`
    pub name: String,
    /// When it happened.
    pub at: Timestamp,
    /// What else is known of it.
    pub properties: Map<String, Value>,
}

/// The event of a contact that became a member; its property `segment` is the segment's name.
pub const SEGMENT_JOINED: &str = "segment.joined";

/// The event of a contact that ceased to be a member, with the same property.
pub const SEGMENT_LEFT: &str = "segment.left";

/// The event of a contact one of whose attributes got another value, if that starts a workflow. Its properties are the
/// attribute's name, `field`, and its values, `from` and `to`; one that was not there, or is gone, is left out.
pub const CONTACT_CHANGED: &str = "contact.changed";

/// The event of a contact whose run ended, if that starts a workflow: its properties are the name of the ended run's
/// `workflow` and its `status`.
pub const WORKFLOW_ENDED: &str = "workflow.ended";

/// The event of a contact for whom a date has come that starts a workflow: its properties are the `workflow`, its `trigger`
/// in words, and the `date`.
pub const DATE_REACHED: &str = "date.reached";

/// Whether events of this name are made by what happens in Dripline itself.
pub fn is_made(event: &str) -> bool {
    [SEGMENT_JOINED, SEGMENT_LEFT, CONTACT_CHANGED, WORKFLOW_ENDED, DATE_REACHED].contains(&event)
}

/// Field names of a contact that are not attributes, so that no attribute may take them.
pub const RESERVED_FIELDS: &[&str] =
    &["id", "external_id", "email", "scores", "grades", "tags", "consent", "segments", "owner", "created_at"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_falls_back_from_topic_to_channel_and_a_channel_refusal_wins() {
        let mut contact = Contact::new(ContactId(1));
        assert!(!contact.consents_to_email(None), "never asked");
        contact.consents.insert("email".into(), true);
        assert!(contact.consents_to_email(None) && contact.consents_to_email(Some("news")));
        contact.consents.insert("news".into(), false);
        assert!(!contact.consents_to_email(Some("news")) && contact.consents_to_email(Some("tips")));
        contact.consents.insert("email".into(), false);
        contact.consents.insert("news".into(), true);
        assert!(!contact.consents_to_email(Some("news")));
    }
}
