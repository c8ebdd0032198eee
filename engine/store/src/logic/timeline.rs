//! Everything that happened to a contact, in the order in which it did.

use std::collections::HashMap;

use dripline_model::{
    clock::from_ms,
    contact::{SEGMENT_JOINED, SEGMENT_LEFT},
    decision::DecisionKind,
    id::{ContactId, MessageId, RunId, VersionId},
};
use serde_json::{Map, Value};

use super::report::message_status;
use crate::{
    Coming, TimelineEntry, TimelineWhat,
    answers::{Answers, DecisionLine},
    error::{Raw, damaged, from_json},
};

/// What comes first within one instant: what came from outside, then turn by turn: its effects, then its decision.
type Place = (i64, Option<(i64, i64)>, Rank, i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Outside,
    Enrolled,
    Score,
    Assigned,
    Message,
    Decision,
    /// A membership's event does not say which turn made it.
    Segment,
}

#[derive(Default)]
struct Lines(Vec<(Place, TimelineEntry)>);

/// In which order turns were taken, where those of one run and of what belongs to it are told as one story.
#[derive(Default)]
struct Story {
    /// To which run each run belongs.
    parents: HashMap<i64, i64>,
    /// The decision of each turn.
    decisions: HashMap<(i64, i64), i64>,
}

impl Story {
    /// The run to which a run belongs in the end, and the decision: its own, or that of the turn.
    fn place(&self, run: i64, turn: i64, decision: Option<i64>) -> (i64, i64) {
        let mut root = run;
        // A run belongs to one that began before it.
        while let Some(parent) = self.parents.get(&root).filter(|parent| **parent < root) {
            root = *parent;
        }
        let decision = decision.or_else(|| self.decisions.get(&(run, turn)).copied());
        (root, decision.unwrap_or(i64::MAX))
    }
}

impl Lines {
    fn add(&mut self, (at, turn, rank, id): Place, what: TimelineWhat) {
        self.0.push(((at, turn, rank, id), TimelineEntry { at: from_ms(at), what }));
    }

    fn in_order(mut self) -> Vec<TimelineEntry> {
        self.0.sort_by_key(|(place, _)| *place);
        self.0.into_iter().map(|(_, entry)| entry).collect()
    }
}

/// Everything that happened to a contact.
pub(crate) async fn timeline(answers: &mut impl Answers, contact: ContactId) -> Raw<Vec<TimelineEntry>> {
    let mut lines = Lines::default();
    events(answers, contact, &mut lines).await?;
    let mut story =
        Story { parents: answers.parents(contact.0).await?.into_iter().collect(), ..Story::default() };
    decisions(answers, contact, &mut story, &mut lines).await?;
    for line in answers.score_entries(contact.0).await? {
        let what = TimelineWhat::Score {
            score: line.score,
            points: line.points,
            total: line.total,
            because: line.because,
            taken_back: line.cleared_at.map(from_ms),
            workflow: line.workflow,
            step: line.step,
            left: None,
        };
        lines.add((line.at, Some(story.place(line.run_id, line.turn, None)), Rank::Score, line.id), what);
    }
    for line in answers.messages_to(contact.0).await? {
        let what = TimelineWhat::Message {
            id: MessageId(line.id),
            subject: line.subject,
            template: line.template,
            status: message_status(line.status)?,
            detail: line.detail,
        };
        lines.add((line.at, Some(story.place(line.run_id, line.turn, None)), Rank::Message, line.id), what);
    }
    for line in answers.assignments(contact.0).await? {
        let what = TimelineWhat::Assigned { rep: line.rep, team: line.team, because: line.because };
        lines.add((line.at, Some(story.place(line.run_id, line.turn, None)), Rank::Assigned, line.id), what);
    }
    for (id, at, topic, given) in answers.consents(contact.0).await? {
        lines.add((at, None, Rank::Outside, id), TimelineWhat::Consent { topic, given });
    }
    Ok(lines.in_order())
}

/// What starts workflows for a contact unless something comes between.
pub(crate) async fn coming(answers: &mut impl Answers, contact: ContactId) -> Raw<Vec<Coming>> {
    let dates = answers.coming_dates(contact.0).await?.into_iter().map(|(workflow, due, date, wording)| {
        Coming { at: Some(from_ms(due)), workflow, what: format!("date {date} ({wording})") }
    });
    let mut coming: Vec<Coming> = dates.collect();
    for (workflow, due, name, at) in answers.held_events(contact.0).await? {
        let what = match due {
            Some(_) => format!("event {name} of {}, unless another follows", from_ms(at)),
            None => format!("event {name} of {}, when the run before has ended", from_ms(at)),
        };
        coming.push(Coming { at: due.map(from_ms), workflow, what });
    }
    coming.sort_by_key(|coming| (coming.at.is_none(), coming.at));
    Ok(coming)
}

/// A run's decisions.
pub(crate) async fn run_decisions(answers: &mut impl Answers, run: RunId) -> Raw<Vec<TimelineEntry>> {
    let rows = answers.run_decisions(run.0).await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let at = from_ms(row.at);
        entries.push(TimelineEntry { at, what: decision(answers, row).await?.1 });
    }
    Ok(entries)
}

async fn events(answers: &mut impl Answers, contact: ContactId, lines: &mut Lines) -> Raw<()> {
    for line in answers.events(contact.0).await? {
        let (id, at, name) = (line.id, line.at, line.name);
        let properties: Option<Map<String, Value>> =
            line.properties.map(|json| from_json("event's properties", &json)).transpose()?;
        let properties = properties.unwrap_or_default();
        let segment = properties.get("segment").and_then(Value::as_str).map(str::to_owned);
        match segment.filter(|_| name == SEGMENT_JOINED || name == SEGMENT_LEFT) {
            Some(segment) => {
                let what = TimelineWhat::Segment { segment, joined: name == SEGMENT_JOINED };
                lines.add((at, Some((i64::MAX, 0)), Rank::Segment, id), what);
            }
            None => {
                let what = TimelineWhat::Event { name, properties, live: line.state != 0 };
                lines.add((at, None, Rank::Outside, id), what);
            }
        }
    }
    Ok(())
}

async fn decisions(
    answers: &mut impl Answers,
    contact: ContactId,
    story: &mut Story,
    lines: &mut Lines,
) -> Raw<()> {
    for row in answers.decisions(contact.0).await? {
        let (id, at) = (row.id, row.at);
        let turn = row.run_id.map(|run| story.place(run, row.turn, Some(id)));
        let of = row.run_id.map(|run| (run, row.turn));
        let (kind, what) = decision(answers, row).await?;
        if let Some(of) = of.filter(|_| kind != DecisionKind::Enrolled) {
            story.decisions.insert(of, id);
        }
        let rank = if kind == DecisionKind::Enrolled { Rank::Enrolled } else { Rank::Decision };
        lines.add((at, turn, rank, id), what);
    }
    Ok(())
}

async fn decision(answers: &mut impl Answers, row: DecisionLine) -> Raw<(DecisionKind, TimelineWhat)> {
    let version = answers.version(VersionId(row.version_id)).await?;
    let kind = DecisionKind::from_code(row.kind);
    let kind = kind.ok_or_else(|| damaged("decision", format!("kind {}", row.kind)))?;
    let what = TimelineWhat::Decision {
        run: row.run_id.map(RunId),
        workflow: version.workflow_name.clone(),
        step: row.node.map(|node| version.step(node)),
        path: row.node.and_then(|node| version.path(node)).map(str::to_owned),
        kind,
        reason: row.reason,
    };
    Ok((kind, what))
}
