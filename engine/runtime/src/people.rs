//! The contacts of one transaction. A batch that runs on through several steps looks at the same contacts again and again,
//! so what its steps need is loaded once, and follows what they change.

use std::collections::{BTreeSet, HashMap};

use dripline_model::{Contact, Effect, contact::Needs, id::ContactId};
use dripline_store::{Advance, AppliedTurn, ScoreValue, Transaction};
use foldhash::fast::RandomState;
use jiff::Timestamp;

use crate::error::{Result, While};

/// What is known of contacts so far.
#[derive(Default)]
pub(crate) struct People {
    known: HashMap<ContactId, Known, RandomState>,
    /// Which attributes were asked for, each time more than before.
    attributes: Vec<Needs>,
}

struct Known {
    contact: Contact,
    /// Which parts are loaded. Of its attributes nothing is said here.
    parts: Needs,
    /// The place among the attributes asked for.
    attributes: usize,
}

impl People {
    /// Loads what is missing of these contacts. One that is gone stays unknown.
    pub(crate) async fn load(
        &mut self,
        tx: &mut dyn Transaction,
        ids: impl Iterator<Item = ContactId>,
        needs: &Needs,
        now: Timestamp,
    ) -> Result<()> {
        let enough = self.enough(needs);
        let (mut whole, mut partly) = (Vec::new(), Vec::new());
        let mut missing = Needs::default();
        for id in ids.collect::<BTreeSet<_>>() {
            match self.known.get(&id) {
                Some(known) if known.attributes >= enough && known.has_events(needs) => {
                    if add_missing(&mut missing, &known.parts, needs) {
                        partly.push(id);
                    }
                }
                _ => whole.push(id),
            }
        }
        if !whole.is_empty() {
            let attributes = self.attributes.len() - 1;
            let mut all = needs.clone();
            all.merge(self.attributes.last().unwrap_or(needs));
            for contact in tx.load_contacts(&whole, &all, now).await.while_doing("load contacts")? {
                self.known.insert(contact.id, Known { contact, parts: needs.clone(), attributes });
            }
        }
        if !partly.is_empty() {
            for part in tx.load_parts(&partly, &missing).await.while_doing("load contacts")? {
                if let Some(known) = self.known.get_mut(&part.id) {
                    known.take_in(part, &missing, now);
                }
            }
        }
        Ok(())
    }

    /// A contact that was loaded and is there.
    pub(crate) fn get(&self, id: ContactId) -> Option<&Contact> {
        self.known.get(&id).map(|known| &known.contact)
    }

    /// Takes in what turns have changed: the scores as they are now, and what their effects say.
    pub(crate) fn follow(&mut self, turns: &[AppliedTurn], scores: Vec<ScoreValue>) {
        for ScoreValue { contact, score, value, curve } in scores {
            let Some(known) = self.known.get_mut(&contact) else { continue };
            match known.contact.scores.get_mut(&*score) {
                Some(known) => *known = value,
                None => drop(known.contact.scores.insert(score.to_string(), value)),
            }
            match curve {
                Some(curve) => drop(known.contact.fading.insert(score.to_string(), curve)),
                None if known.contact.fading.is_empty() => {}
                None => drop(known.contact.fading.remove(&*score)),
            }
        }
        for turn in
            turns.iter().filter(|turn| !matches!(turn.advance, Advance::Retry { .. } | Advance::Hold { .. }))
        {
            // Of a run that ends there may be an event.
            if turn.advance.ended().is_some()
                && let Some(known) = self.known.get_mut(&turn.run.contact)
            {
                known.parts.events.clear();
            }
            for effect in &turn.effects {
                let Some(known) = self.known.get_mut(&turn.run.contact) else { break };
                match &**effect {
                    Effect::SetField { .. } => drop(self.known.remove(&turn.run.contact)),
                    Effect::AddTag(tag) => drop(known.contact.tags.insert(tag.clone())),
                    Effect::RemoveTag(tag) => drop(known.contact.tags.remove(tag)),
                    // A segment with a rule takes no members.
                    Effect::JoinSegment(_) | Effect::LeaveSegment(_) => {
                        known.parts.segments = false;
                        // Of a change of a membership there is an event.
                        known.parts.events.clear();
                    }
                    Effect::AssignOwner { rep, .. } => known.contact.owner = Some(rep.clone()),
                    Effect::AddScore { .. } | Effect::ClearScore(_) | Effect::SendEmail(_) => {}
                }
            }
        }
    }

    /// From which place on a contact has the attributes that are needed.
    fn enough(&mut self, needs: &Needs) -> usize {
        let has = |had: &Needs| {
            had.all_attributes || (!needs.all_attributes && had.attributes.is_superset(&needs.attributes))
        };
        if let Some(place) = self.attributes.iter().position(has) {
            return place;
        }
        let mut more = self.attributes.last().cloned().unwrap_or_default();
        more.attributes.extend(needs.attributes.iter().cloned());
        more.all_attributes |= needs.all_attributes;
        self.attributes.push(more);
        self.attributes.len() - 1
    }
}

impl Known {
    /// Whether the past events that are needed are loaded.
    fn has_events(&self, needs: &Needs) -> bool {
        needs.events.iter().all(|(name, needed)| {
            self.parts.events.get(name).is_some_and(|there| {
                let mut both = there.clone();
                both.merge(needed);
                both == *there
            })
        })
    }

    fn take_in(&mut self, part: Contact, loaded: &Needs, now: Timestamp) {
        if loaded.scores {
            self.contact.scores = part.scores;
            self.contact.fading = part.fading;
            self.contact.graded = part.graded;
            self.contact.as_of(now);
        }
        if loaded.tags {
            self.contact.tags = part.tags;
        }
        if loaded.consents {
            self.contact.consents = part.consents;
        }
        if loaded.segments {
            self.contact.segments = part.segments;
        }
        if loaded.owner {
            self.contact.owner = part.owner;
        }
        self.parts.merge(loaded);
    }
}

/// Adds the needed parts that are not there; answers whether there are any.
fn add_missing(missing: &mut Needs, there: &Needs, needs: &Needs) -> bool {
    let parts = [
        (&mut missing.scores, there.scores, needs.scores),
        (&mut missing.tags, there.tags, needs.tags),
        (&mut missing.consents, there.consents, needs.consents),
        (&mut missing.segments, there.segments, needs.segments),
        (&mut missing.owner, there.owner, needs.owner),
    ];
    let mut any = false;
    for (missing, there, needed) in parts {
        let lacks = needed && !there;
        *missing |= lacks;
        any |= lacks;
    }
    any
}
