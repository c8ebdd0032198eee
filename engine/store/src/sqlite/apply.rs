//! What the turns of a batch want, applied set by set.
//!
//! Effects of different kinds touch different tables, so that only the order within a kind counts; each kind goes
//! through the batch once, in order, and then writes what came of it.

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{
    Effect,
    decision::RunStatus,
    effect::EmailRequest,
    id::{ContactId, RunId},
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::{query_as, query_scalar};

use super::{
    import_contacts::{ADD_TAGS, put_attribute_names, set_attribute},
    rows::{Raw, RowsSql, from_json, json_ids, ms, to_json},
    scores, segments, teams,
    transaction::{NewDecision, insert_decisions},
    writer::Writer,
};
use crate::{Advance, AppliedTurn};

/// No `status` among what is set: that would write three more indexes.
pub(super) const MOVE_RUNS: RowsSql = RowsSql {
    head: "WITH moved(id, node, due_at, turn, attempts, hops) AS (VALUES",
    row: "(?, ?, ?, ?, ?, ?)",
    tail: ") UPDATE runs SET node = moved.node, due_at = moved.due_at, turn = moved.turn,
        attempts = moved.attempts, hops = moved.hops
        FROM moved WHERE runs.id = moved.id",
};

pub(super) const END_RUNS: RowsSql = RowsSql {
    head: "WITH ended(id, node, status, turn, ended_at) AS (VALUES",
    row: "(?, ?, ?, ?, ?)",
    tail: ") UPDATE runs SET node = ended.node, status = ended.status, turn = ended.turn,
        ended_at = ended.ended_at, due_at = NULL
        FROM ended WHERE runs.id = ended.id",
};

const ATTRIBUTES: &str = "
SELECT c.id, json(c.attributes) FROM json_each(?1) wanted CROSS JOIN contacts c ON c.id = wanted.value";

pub(super) const PUT_ATTRIBUTES: RowsSql = RowsSql {
    head: "WITH new(id, attributes, updated_at) AS (VALUES",
    row: "(?, ?, ?)",
    tail: ") UPDATE contacts SET attributes = jsonb(new.attributes), updated_at = new.updated_at
        FROM new WHERE contacts.id = new.id",
};

pub(super) const REMOVE_TAGS: RowsSql =
    RowsSql { head: "DELETE FROM contact_tags WHERE (contact_id, tag) IN (VALUES", row: "(?, ?)", tail: ")" };

pub(super) const QUEUE_MESSAGES: RowsSql = RowsSql {
    head: "WITH new(run_id, turn, effect, contact_id, version_id, node, template, topic, transactional,
        queued_at, subject) AS (VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    tail: ") INSERT INTO messages (run_id, turn, effect, contact_id, version_id, node, template, topic,
            transactional, status, due_at, queued_at, recipient, subject)
        SELECT new.run_id, new.turn, new.effect, new.contact_id, new.version_id, new.node, new.template, new.topic,
            new.transactional, 0, new.queued_at, new.queued_at, c.email, new.subject
        FROM new CROSS JOIN contacts c ON c.id = new.contact_id",
};

const LAST_ASSIGNMENT: &str = "SELECT coalesce(max(id), 0) FROM assignments";

const INSERT_ASSIGNMENTS: RowsSql = RowsSql {
    head: "INSERT INTO assignments (id, contact_id, rep_id, team, because, at, run_id, turn) VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?, ?)",
    tail: "",
};

const PUT_OWNERS: RowsSql = RowsSql {
    head: "INSERT INTO owners (contact_id, assignment_id, rep_id) VALUES",
    row: "(?, ?, ?)",
    tail: "ON CONFLICT (contact_id) DO UPDATE SET assignment_id = excluded.assignment_id, rep_id = excluded.rep_id",
};

/// The place of a run that is still to be written.
#[derive(Debug, Clone, Copy)]
enum Move {
    To { node: u32, due_ms: i64, turn: i64, attempts: i64, hops: i64 },
    End { node: u32, status: RunStatus, turn: i64, ended_ms: i64 },
}

/// Where runs have gone since their rows were written.
#[derive(Debug, Default)]
pub(super) struct Moves(BTreeMap<RunId, Move>);

impl Moves {
    fn note(&mut self, AppliedTurn { run, advance, .. }: &AppliedTurn, now: Timestamp) {
        let turn = run.turn + 1;
        let place = match *advance {
            Advance::To { node, due, waited } => {
                let hops = if waited { 0 } else { run.hops + 1 };
                Move::To { node, due_ms: ms(due), turn, attempts: 0, hops }
            }
            Advance::Retry { due } => Move::To {
                node: run.node,
                due_ms: ms(due),
                turn: run.turn,
                attempts: run.attempts + 1,
                hops: run.hops,
            },
            Advance::End(status) => Move::End { node: run.node, status, turn, ended_ms: ms(now) },
        };
        self.0.insert(run.run, place);
    }

    /// Writes them.
    pub(super) async fn flush(&mut self, writer: &mut Writer) -> Raw<()> {
        let mut moved = Vec::new();
        let mut ended = Vec::new();
        for (run, place) in std::mem::take(&mut self.0) {
            match place {
                Move::To { node, due_ms, turn, attempts, hops } => {
                    moved.push((run.0, node, due_ms, turn, attempts, hops));
                }
                Move::End { node, status, turn, ended_ms } => {
                    ended.push((run.0, node, status.code(), turn, ended_ms));
                }
            }
        }
        let moved = MOVE_RUNS.over(moved, |binds, (run, node, due, turn, attempts, hops)| {
            binds.add(run).add(node).add(due).add(turn).add(attempts).add(hops);
        });
        writer.put(moved).await?;
        let ended = END_RUNS.over(ended, |binds, (run, node, status, turn, ended_ms)| {
            binds.add(run).add(node).add(status).add(turn).add(ended_ms);
        });
        writer.put(ended).await?;
        Ok(())
    }
}

/// One effect of one turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a, T> {
    pub(super) turn: &'a AppliedTurn,
    pub(super) what: T,
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
    owners: Vec<Wanted<'a, Assignment<'a>>>,
}

#[derive(Debug, Clone, Copy)]
struct Assignment<'a> {
    rep: &'a str,
    team: Option<&'a str>,
    because: &'a str,
}

impl<'a> Effects<'a> {
    fn of(turns: &'a [AppliedTurn]) -> Self {
        let mut all = Self::default();
        // A turn that is to be tried again has not done anything yet.
        for turn in turns.iter().filter(|turn| !matches!(turn.advance, Advance::Retry { .. })) {
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
            Effect::AddScore { score, points, because, min, max } => {
                let what = scores::Change::Add { score, points: *points, because, min: *min, max: *max };
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
                let what = Assignment { rep, team: team.as_deref(), because };
                self.owners.push(Wanted { turn, what });
            }
        }
    }
}

/// Applies the effects, notes where the runs go, and records the decisions.
pub(super) async fn apply(
    writer: &mut Writer,
    moves: &mut Moves,
    turns: &[AppliedTurn],
    now: Timestamp,
) -> Raw<()> {
    let effects = Effects::of(turns);
    set_fields(writer, &effects.fields, now).await?;
    set_tags(writer, &effects.tags).await?;
    scores::change(writer, &effects.scores, now).await?;
    segments::change(writer, &effects.segments, now).await?;
    queue_emails(writer, &effects.emails, now).await?;
    assign(writer, &effects.owners, now).await?;
    for turn in turns {
        moves.note(turn, now);
    }
    let decisions = turns.iter().map(|turn| NewDecision {
        run: Some(turn.run.run),
        version: turn.run.version,
        contact: turn.run.contact,
        node: Some(turn.run.node.into()),
        turn: turn.run.turn,
        kind: turn.decision,
        reason: &turn.reason,
        event: None,
    });
    insert_decisions(writer, decisions.collect(), now).await
}

async fn set_fields(writer: &mut Writer, fields: &[(ContactId, &str, &Value)], now: Timestamp) -> Raw<()> {
    if fields.is_empty() {
        return Ok(());
    }
    let ids: BTreeSet<i64> = fields.iter().map(|(contact, ..)| contact.0).collect();
    let rows: Vec<(i64, String)> = query_as(ATTRIBUTES).bind(json_ids(ids)).fetch_all(writer.conn()).await?;
    let mut contacts: BTreeMap<i64, Map<String, Value>> = BTreeMap::new();
    for (id, attributes) in rows {
        contacts.insert(id, from_json("contact's attributes", &attributes)?);
    }
    let mut changed = BTreeSet::new();
    for (contact, name, value) in fields {
        if let Some(attributes) = contacts.get_mut(&contact.0)
            && set_attribute(attributes, name, value)
        {
            changed.insert(contact.0);
        }
    }
    let mut rows = Vec::new();
    for (id, attributes) in contacts.iter().filter(|(id, _)| changed.contains(id)) {
        rows.push((*id, to_json("contact's attributes", attributes)?));
    }
    let put = PUT_ATTRIBUTES.over(rows, |binds, (id, attributes)| {
        binds.add(id).add(attributes).add(ms(now));
    });
    writer.put(put).await?;
    put_attribute_names(writer, fields.iter().map(|(_, name, _)| *name).collect()).await
}

async fn set_tags(writer: &mut Writer, tags: &[(ContactId, &str, bool)]) -> Raw<()> {
    writer.intern(tags.iter().map(|(_, tag, _)| *tag).collect()).await?;
    // The last word on each.
    let mut wanted = BTreeMap::new();
    for (contact, tag, is_on) in tags {
        wanted.insert((contact.0, writer.word(tag)?), *is_on);
    }
    let of = |is_on: bool| wanted.iter().filter(move |(_, on)| **on == is_on).map(|(pair, _)| *pair);
    let add = ADD_TAGS.over(of(true), |binds, (contact, tag)| {
        binds.add(contact).add(tag);
    });
    let remove = REMOVE_TAGS.over(of(false), |binds, (contact, tag)| {
        binds.add(contact).add(tag);
    });
    writer.put(add).await?;
    writer.put(remove).await?;
    Ok(())
}

async fn queue_emails(
    writer: &mut Writer,
    emails: &[Wanted<'_, (i64, &EmailRequest)>],
    now: Timestamp,
) -> Raw<()> {
    let words = emails.iter().flat_map(|email| {
        let (_, request) = email.what;
        request.topic.as_deref().into_iter().chain([request.template.as_str()])
    });
    writer.intern(words.collect()).await?;
    let mut rows = Vec::with_capacity(emails.len());
    for Wanted { turn, what: (position, request) } in emails {
        let template = writer.word(&request.template)?;
        let topic = request.topic.as_deref().map(|topic| writer.word(topic)).transpose()?;
        rows.push((&turn.run, *position, template, topic, *request));
    }
    let queue = QUEUE_MESSAGES.over(rows, |binds, (run, position, template, topic, request)| {
        binds.add(run.run.0).add(run.turn).add(position).add(run.contact.0).add(run.version.0);
        binds.add(run.node).add(template).add(topic).add(i64::from(request.transactional));
        binds.add(ms(now)).add(request.subject.as_str());
    });
    writer.put(queue).await?;
    Ok(())
}

async fn assign(writer: &mut Writer, owners: &[Wanted<'_, Assignment<'_>>], now: Timestamp) -> Raw<()> {
    if owners.is_empty() {
        return Ok(());
    }
    let reps = teams::representative_ids(writer, owners.iter().map(|owner| owner.what.rep).collect()).await?;
    let words = owners.iter().flat_map(|owner| owner.what.team.into_iter().chain([owner.what.because]));
    writer.intern(words.collect()).await?;
    let last: i64 = query_scalar(LAST_ASSIGNMENT).fetch_one(writer.conn()).await?;
    let mut rows = Vec::with_capacity(owners.len());
    let mut latest = BTreeMap::new();
    for (id, Wanted { turn, what }) in (last + 1..).zip(owners) {
        let Some(rep) = reps.get(what.rep).copied() else { continue };
        let team = what.team.map(|team| writer.word(team)).transpose()?;
        rows.push((id, &turn.run, rep, team, writer.word(what.because)?));
        latest.insert(turn.run.contact.0, (id, rep));
    }
    let assignments = INSERT_ASSIGNMENTS.over(rows, |binds, (id, run, rep, team, because)| {
        binds.add(id).add(run.contact.0).add(rep).add(team).add(because).add(ms(now));
        binds.add(run.run.0).add(run.turn);
    });
    writer.put(assignments).await?;
    let owners = PUT_OWNERS.over(latest, |binds, (contact, (assignment, rep))| {
        binds.add(contact).add(assignment).add(rep);
    });
    writer.put(owners).await?;
    Ok(())
}
