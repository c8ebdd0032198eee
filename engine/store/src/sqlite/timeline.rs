//! Everything that happened to a contact, in the order in which it did.

use dripline_model::{
    clock::from_ms,
    decision::DecisionKind,
    id::{ContactId, MessageId, RunId, VersionId},
};
use serde_json::{Map, Value};
use sqlx::{SqliteConnection, query_as};

use super::{
    Shared, SqliteStore,
    report::message_status,
    rows::{Raw, damaged, from_json},
    segments::{JOINED, LEFT},
};
use crate::{TimelineEntry, TimelineWhat};

/// Live events that wait for their time have not happened yet, except that a membership changes at once.
const EVENTS: &str = "
SELECT e.id, e.at, w.word, json(e.properties), e.state
FROM events e JOIN words w ON w.id = e.name
WHERE e.contact_id = ?1 AND (e.state <> 1 OR w.word IN (?2, ?3))";

const DECISIONS: &str = "
SELECT d.id, d.at, d.run_id, d.turn, d.version_id, d.node, d.kind, w.word
FROM decisions d JOIN words w ON w.id = d.reason
WHERE d.contact_id = ?1";

const RUN_DECISIONS: &str = "
SELECT d.id, d.at, d.run_id, d.turn, d.version_id, d.node, d.kind, w.word
FROM runs r CROSS JOIN decisions d ON d.contact_id = r.contact_id AND d.run_id = r.id
JOIN words w ON w.id = d.reason
WHERE r.id = ?1 ORDER BY d.id";

const SCORES: &str = "
SELECT e.id, e.at, e.run_id, e.turn, s.word, e.points, e.total, b.word, e.cleared_at
FROM score_entries e JOIN words s ON s.id = e.score JOIN words b ON b.id = e.because
WHERE e.contact_id = ?1";

/// By way of the contact's runs, so that messages need no index on the contact.
const MESSAGES: &str = "
SELECT m.id, coalesce(m.sent_at, m.queued_at), m.run_id, m.turn, m.subject, w.word, m.status, m.detail
FROM runs r CROSS JOIN messages m ON m.run_id = r.id JOIN words w ON w.id = m.template
WHERE r.contact_id = ?1";

const ASSIGNMENTS: &str = "
SELECT a.id, a.at, a.run_id, a.turn, r.name, t.word, b.word
FROM assignments a JOIN representatives r ON r.id = a.rep_id JOIN words b ON b.id = a.because
LEFT JOIN words t ON t.id = a.team
WHERE a.contact_id = ?1";

const CONSENTS: &str = "
SELECT n.topic, n.at, w.word, n.given FROM consents n JOIN words w ON w.id = n.topic WHERE n.contact_id = ?1";

type DecisionRow = (i64, i64, Option<i64>, i64, i64, Option<i64>, i64, String);

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

impl Lines {
    fn add(&mut self, (at, turn, rank, id): Place, what: TimelineWhat) {
        self.0.push(((at, turn, rank, id), TimelineEntry { at: from_ms(at), what }));
    }

    fn in_order(mut self) -> Vec<TimelineEntry> {
        self.0.sort_by_key(|(place, _)| *place);
        self.0.into_iter().map(|(_, entry)| entry).collect()
    }
}

impl SqliteStore {
    pub(super) async fn load_timeline(&self, contact: ContactId) -> Raw<Vec<TimelineEntry>> {
        let mut conn = self.reader().await?;
        let mut lines = Lines::default();
        events(&mut conn, contact, &mut lines).await?;
        decisions(&mut conn, &self.shared, contact, &mut lines).await?;
        scores(&mut conn, contact, &mut lines).await?;
        messages(&mut conn, contact, &mut lines).await?;
        assignments(&mut conn, contact, &mut lines).await?;
        consents(&mut conn, contact, &mut lines).await?;
        Ok(lines.in_order())
    }

    pub(super) async fn load_run_decisions(&self, run: RunId) -> Raw<Vec<TimelineEntry>> {
        let mut conn = self.reader().await?;
        let rows: Vec<DecisionRow> = query_as(RUN_DECISIONS).bind(run.0).fetch_all(&mut *conn).await?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let at = from_ms(row.1);
            entries.push(TimelineEntry { at, what: decision(&mut conn, &self.shared, row).await?.1 });
        }
        Ok(entries)
    }
}

async fn events(conn: &mut SqliteConnection, contact: ContactId, lines: &mut Lines) -> Raw<()> {
    let rows: Vec<(i64, i64, String, Option<String>, i64)> =
        query_as(EVENTS).bind(contact.0).bind(JOINED).bind(LEFT).fetch_all(conn).await?;
    for (id, at, name, properties, state) in rows {
        let properties: Option<Map<String, Value>> =
            properties.map(|json| from_json("event's properties", &json)).transpose()?;
        let properties = properties.unwrap_or_default();
        let segment = properties.get("segment").and_then(Value::as_str).map(str::to_owned);
        match segment.filter(|_| name == JOINED || name == LEFT) {
            Some(segment) => {
                let what = TimelineWhat::Segment { segment, joined: name == JOINED };
                lines.add((at, Some((i64::MAX, 0)), Rank::Segment, id), what);
            }
            None => {
                let what = TimelineWhat::Event { name, properties, live: state != 0 };
                lines.add((at, None, Rank::Outside, id), what);
            }
        }
    }
    Ok(())
}

async fn decisions(
    conn: &mut SqliteConnection,
    shared: &Shared,
    contact: ContactId,
    lines: &mut Lines,
) -> Raw<()> {
    let rows: Vec<DecisionRow> = query_as(DECISIONS).bind(contact.0).fetch_all(&mut *conn).await?;
    for row in rows {
        let (id, at, turn) = (row.0, row.1, row.2.map(|run| (run, row.3)));
        let (kind, what) = decision(conn, shared, row).await?;
        let rank = if kind == DecisionKind::Enrolled { Rank::Enrolled } else { Rank::Decision };
        lines.add((at, turn, rank, id), what);
    }
    Ok(())
}

async fn decision(
    conn: &mut SqliteConnection,
    shared: &Shared,
    (_, _, run, _, version, node, kind, reason): DecisionRow,
) -> Raw<(DecisionKind, TimelineWhat)> {
    let version = shared.version(conn, VersionId(version)).await?;
    let kind = DecisionKind::from_code(kind).ok_or_else(|| damaged("decision", format!("kind {kind}")))?;
    let what = TimelineWhat::Decision {
        run: run.map(RunId),
        workflow: version.workflow_name.clone(),
        step: node.map(|node| version.step(node)),
        kind,
        reason,
    };
    Ok((kind, what))
}

async fn scores(conn: &mut SqliteConnection, contact: ContactId, lines: &mut Lines) -> Raw<()> {
    type Row = (i64, i64, i64, i64, String, i64, i64, String, Option<i64>);
    let rows: Vec<Row> = query_as(SCORES).bind(contact.0).fetch_all(conn).await?;
    for (id, at, run, turn, score, points, total, because, cleared) in rows {
        let taken_back = cleared.map(from_ms);
        let what = TimelineWhat::Score { score, points, total, because, taken_back };
        lines.add((at, Some((run, turn)), Rank::Score, id), what);
    }
    Ok(())
}

async fn messages(conn: &mut SqliteConnection, contact: ContactId, lines: &mut Lines) -> Raw<()> {
    type Row = (i64, i64, i64, i64, String, String, i64, Option<String>);
    let rows: Vec<Row> = query_as(MESSAGES).bind(contact.0).fetch_all(conn).await?;
    for (id, at, run, turn, subject, template, status, detail) in rows {
        let status = message_status(status)?;
        let what = TimelineWhat::Message { id: MessageId(id), subject, template, status, detail };
        lines.add((at, Some((run, turn)), Rank::Message, id), what);
    }
    Ok(())
}

async fn assignments(conn: &mut SqliteConnection, contact: ContactId, lines: &mut Lines) -> Raw<()> {
    type Row = (i64, i64, i64, i64, String, Option<String>, String);
    let rows: Vec<Row> = query_as(ASSIGNMENTS).bind(contact.0).fetch_all(conn).await?;
    for (id, at, run, turn, rep, team, because) in rows {
        let what = TimelineWhat::Assigned { rep, team, because };
        lines.add((at, Some((run, turn)), Rank::Assigned, id), what);
    }
    Ok(())
}

async fn consents(conn: &mut SqliteConnection, contact: ContactId, lines: &mut Lines) -> Raw<()> {
    let rows: Vec<(i64, i64, String, bool)> = query_as(CONSENTS).bind(contact.0).fetch_all(conn).await?;
    for (id, at, topic, given) in rows {
        lines.add((at, None, Rank::Outside, id), TimelineWhat::Consent { topic, given });
    }
    Ok(())
}
