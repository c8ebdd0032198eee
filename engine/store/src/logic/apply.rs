//! What the turns of a batch want, applied set by set.
//!
//! Effects of different kinds touch different tables, so that only the order within a kind counts; each kind goes
//! through the batch once, in order, and then writes what came of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dripline_model::{
    Effect,
    contact::Needs,
    effect::EmailRequest,
    id::{ContactId, RunId},
};
use foldhash::fast::RandomState;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    changes::{self, Change},
    import_contacts::set_attribute,
    ms,
    pending::{NewDecision, Pending},
    scores, segments, watch,
};
use crate::{
    Advance, AppliedTurn, ScoreValue,
    error::{Raw, to_json},
    sets::{Assignment, NewMessage, Sets},
};

/// One effect of one turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a, T> {
    pub(crate) turn: &'a AppliedTurn,
    pub(crate) what: T,
}

/// The effects of a batch by kind, each in the order of the turns.
#[derive(Debug, Default)]
struct Effects<'a> {
    fields: Vec<(ContactId, &'a str, &'a Value)>,
    /// Whether the tag shall be there.
    tags: Vec<(ContactId, &'a str, bool)>,
    scores: Vec<Wanted<'a, scores::Change<'a>>>,
    segments: Vec<segments::Change<'a>>,
    /// With their positions among the effects of the turn, which are part of the messages' keys.
    emails: Vec<Wanted<'a, (i64, &'a EmailRequest)>>,
    owners: Vec<Wanted<'a, Handover<'a>>>,
}

#[derive(Debug, Clone, Copy)]
struct Handover<'a> {
    rep: &'a str,
    team: Option<&'a str>,
    because: &'a str,
}

impl<'a> Effects<'a> {
    fn of(turns: &'a [AppliedTurn]) -> Self {
        let mut all = Self::default();
        // A turn that is to be taken again has not done anything yet.
        let is_done =
            |turn: &&AppliedTurn| !matches!(turn.advance, Advance::Retry { .. } | Advance::Hold { .. });
        for turn in turns.iter().filter(is_done) {
            for (position, effect) in (0..).zip(&turn.effects) {
                all.add(turn, position, effect);
            }
        }
        all
    }

    fn add(&mut self, turn: &'a AppliedTurn, position: i64, effect: &'a Effect) {
        let contact = turn.run.contact;
        match effect {
            Effect::SetField { field, value } => self.fields.push((contact, field, value)),
            Effect::AddTag(tag) => self.tags.push((contact, tag, true)),
            Effect::RemoveTag(tag) => self.tags.push((contact, tag, false)),
            Effect::AddScore { score, points, because, min, max, at_most } => {
                let bounds = scores::Bounds { min: *min, max: *max, at_most: *at_most };
                let what = scores::Change::Add { score, points: *points, because, bounds };
                self.scores.push(Wanted { turn, what });
            }
            Effect::ClearScore(score) => {
                self.scores.push(Wanted { turn, what: scores::Change::Clear { score } })
            }
            Effect::JoinSegment(segment) => {
                self.segments.push(segments::Change { contact, segment, joins: true });
            }
            Effect::LeaveSegment(segment) => {
                self.segments.push(segments::Change { contact, segment, joins: false });
            }
            Effect::SendEmail(email) => self.emails.push(Wanted { turn, what: (position, email) }),
            Effect::AssignOwner { rep, team, because } => {
                let what = Handover { rep, team: team.as_deref(), because };
                self.owners.push(Wanted { turn, what });
            }
        }
    }
}

/// Applies the effects, and notes where the runs go and why.
pub(crate) async fn apply(
    sets: &mut impl Sets,
    pending: &mut Pending,
    turns: &[AppliedTurn],
    now: Timestamp,
) -> Raw<Vec<ScoreValue>> {
    let effects = Effects::of(turns);
    let changed: Vec<ContactId> = changed(turns).collect();
    if !changed.is_empty() {
        pending.look_who_looks(sets).await?;
    }
    set_fields(sets, &effects.fields, now).await?;
    set_tags(sets, &effects.tags).await?;
    let scores = scores::change(sets, &mut pending.scores, &effects.scores, now).await?;
    segments::change(sets, &effects.segments, segments::By::Step, now).await?;
    queue_emails(sets, pending, &effects.emails, now).await?;
    assign(sets, &effects.owners, now).await?;
    if let Some(watched) = pending.watched() {
        let changed = watch::changed_by(turns, watched);
        pending.note_changed(changed, now);
    }
    pending.change(changed, now);
    for turn in turns {
        pending.advance(turn, now);
    }
    let decisions = turns.iter().map(|turn| NewDecision {
        run: Some(RunId(turn.run.run.0)),
        version: turn.run.version,
        contact: turn.run.contact,
        node: Some(turn.run.node.into()),
        turn: turn.run.turn,
        kind: turn.decision,
        reason: &turn.reason,
        event: None,
    });
    pending.decide(sets, decisions.collect(), now).await?;
    Ok(scores)
}

/// The contacts of whom a turn changed something that a condition may look at.
fn changed(turns: &[AppliedTurn]) -> impl Iterator<Item = ContactId> {
    turns.iter().filter(|turn| turn.changes_contact()).map(|turn| turn.run.contact)
}

async fn set_fields(sets: &mut impl Sets, fields: &[(ContactId, &str, &Value)], now: Timestamp) -> Raw<()> {
    if fields.is_empty() {
        return Ok(());
    }
    let ids: Vec<ContactId> = fields.iter().map(|(contact, ..)| *contact).collect();
    let needs = Needs { all_attributes: true, ..Needs::default() };
    let loaded = sets.contacts(&super::distinct(&ids), &needs).await?;
    let mut contacts: BTreeMap<i64, Map<String, Value>> =
        loaded.into_iter().map(|contact| (contact.id.0, contact.attributes)).collect();
    let watched = sets.watched_attributes().await?;
    let (mut changed, mut changes) = (BTreeSet::new(), Vec::new());
    for (contact, name, value) in fields {
        let Some(attributes) = contacts.get_mut(&contact.0) else { continue };
        let from = attributes.get(*name).cloned();
        if set_attribute(attributes, name, value) {
            changed.insert(contact.0);
            if watched.contains(*name) {
                let (attribute, to) = ((*name).to_owned(), attributes.get(*name).cloned());
                changes.push(Change { contact: contact.0, attribute, from, to });
            }
        }
    }
    changes::announce(sets, &changes, now).await?;
    let mut rows = Vec::with_capacity(changed.len());
    for (id, attributes) in contacts.iter().filter(|(id, _)| changed.contains(id)) {
        rows.push((*id, to_json("contact's attributes", attributes)?));
    }
    sets.put_attributes(&rows, ms(now)).await?;
    sets.add_attribute_types(super::attributes::types(fields.iter().map(|(_, name, value)| (*name, *value))))
        .await
}

async fn set_tags(sets: &mut impl Sets, tags: &[(ContactId, &str, bool)]) -> Raw<()> {
    sets.intern(tags.iter().map(|(_, tag, _)| *tag).collect()).await?;
    // The last word on each.
    let mut wanted = BTreeMap::new();
    for (contact, tag, is_on) in tags {
        wanted.insert((contact.0, sets.word(tag)?), *is_on);
    }
    let of = |is_on: bool| -> Vec<(i64, i64)> {
        wanted.iter().filter(move |(_, on)| **on == is_on).map(|(pair, _)| *pair).collect()
    };
    sets.add_tags(&of(true)).await?;
    sets.remove_tags(&of(false)).await
}

async fn queue_emails(
    sets: &mut impl Sets,
    pending: &Pending,
    emails: &[Wanted<'_, (i64, &EmailRequest)>],
    now: Timestamp,
) -> Raw<()> {
    let words = emails.iter().flat_map(|email| {
        let (_, request) = email.what;
        request.topic.as_deref().into_iter().chain([request.template.as_str()])
    });
    sets.intern(words.collect()).await?;
    let mut rows = Vec::with_capacity(emails.len());
    for Wanted { turn: AppliedTurn { run, .. }, what: (position, request) } in emails {
        rows.push(NewMessage {
            run: run.run.0,
            turn: run.turn,
            effect: *position,
            contact: run.contact.0,
            version: run.version.0,
            node: run.node.into(),
            template: sets.word(&request.template)?,
            topic: request.topic.as_deref().map(|topic| sets.word(topic)).transpose()?,
            is_transactional: request.transactional,
            subject: &request.subject,
            recipient: pending.address(run.contact),
        });
    }
    sets.queue_messages(&rows, ms(now)).await
}

async fn assign(sets: &mut impl Sets, owners: &[Wanted<'_, Handover<'_>>], now: Timestamp) -> Raw<()> {
    if owners.is_empty() {
        return Ok(());
    }
    let reps = sets.representatives(owners.iter().map(|owner| owner.what.rep).collect()).await?;
    let words = owners.iter().flat_map(|owner| owner.what.team.into_iter().chain([owner.what.because]));
    sets.intern(words.collect()).await?;
    // Of one contact's assignments in a batch the next follows when the one before is there.
    let mut rounds: Vec<Vec<Assignment>> = Vec::new();
    let mut times: HashMap<ContactId, usize, RandomState> = HashMap::default();
    for Wanted { turn, what } in owners {
        let Some(rep) = reps.get(what.rep).copied() else { continue };
        let round = times.entry(turn.run.contact).or_default();
        if rounds.len() == *round {
            rounds.push(Vec::with_capacity(owners.len()));
        }
        let Some(rows) = rounds.get_mut(*round) else { continue };
        *round += 1;
        rows.push(Assignment {
            contact: turn.run.contact.0,
            rep,
            team: what.team.map(|team| sets.word(team)).transpose()?,
            because: sets.word(what.because)?,
            run: turn.run.run.0,
            turn: turn.run.turn,
        });
    }
    for rows in rounds {
        sets.assign(&rows, ms(now)).await?;
    }
    Ok(())
}
