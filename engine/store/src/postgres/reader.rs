//! Questions: the rows of lists, sums and timelines.

use std::sync::Arc;

use async_trait::async_trait;
use dripline_model::{
    Contact,
    contact::{Needs, SEGMENT_JOINED, SEGMENT_LEFT},
    id::VersionId,
    score::Scores,
};
use sqlx::{Postgres, QueryBuilder, pool::PoolConnection, query_as, query_scalar};

use super::{Shared, contacts, prune, rows::text};
use crate::{
    ContactFilter, MessageFilter, Prunable, RunFilter,
    answers::{
        Answers, AssignmentLine, DecisionLine, EventLine, HoldLine, LeadFields, MessageFields, MessageLine,
        RunFields, ScoreLine, SegmentFields,
    },
    error::Raw,
    versions::Version,
};

const FIND_CONTACT: &str = "
SELECT id FROM (
    SELECT 1 AS place, id FROM contacts WHERE id = $1
    UNION ALL SELECT 2, id FROM contacts WHERE external_id = $2
    UNION ALL SELECT 3, id FROM contacts WHERE email = $3) AS found
ORDER BY place LIMIT 1";

const CONTACT_IDS: &str = "SELECT c.id FROM contacts c WHERE c.id > ";

const RUNS: &str = "
SELECT r.id, r.version_id, r.contact_id, coalesce(c.email, c.external_id) AS contact_name, r.node::int8 AS node, r.status::int8 AS status, r.due_at,
    r.enrolled_at, r.ended_at, r.parent_id, (SELECT p.word FROM words p WHERE p.id = r.path) AS path,
    (SELECT w.word FROM words w WHERE w.id = (
        SELECT d.reason FROM decisions d WHERE d.contact_id = r.contact_id AND d.run_id = r.id
        ORDER BY d.id DESC LIMIT 1)) AS reason
FROM runs r JOIN contacts c ON c.id = r.contact_id
WHERE TRUE";

const STANDING: &str = "
SELECT version_id, node::int8, status::int8, path IS NOT NULL, count(*) FROM runs GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4";

const MESSAGES: &str = "
SELECT m.id, m.run_id, m.contact_id, m.version_id, m.node::int8 AS node, m.message_id, m.recipient, w.word AS template, m.subject,
    m.status::int8 AS status, m.attempts::int8 AS attempts, m.queued_at, m.due_at,
    m.sent_at, m.detail
FROM messages m JOIN words w ON w.id = m.template
WHERE TRUE";

const SOURCE: &str = "SELECT source FROM message_sources WHERE message_id = $1";

const BY_TEMPLATE: &str = "
SELECT w.word, sent.messages
FROM (SELECT template, count(*) AS messages FROM messages WHERE sent_at IS NOT NULL GROUP BY template) sent
JOIN words w ON w.id = sent.template
ORDER BY w.word COLLATE \"C\"";

/// By the number of whole days since the epoch, before which nobody sent anything.
const BY_DAY: &str = "
SELECT sent_at / 86400000 AS day, count(*)
FROM messages WHERE sent_at IS NOT NULL GROUP BY day ORDER BY day";

const LEADS: &str = "
SELECT o.contact_id, r.key AS rep, r.name AS rep_name, t.word AS team, a.at, b.word AS because
FROM owners o
JOIN assignments a ON a.id = o.assignment_id
JOIN representatives r ON r.id = o.rep_id
JOIN words b ON b.id = a.because
LEFT JOIN words t ON t.id = a.team
ORDER BY r.key COLLATE \"C\", a.at DESC, a.id DESC LIMIT $1";

const LEAD_REASONS: &str = "
SELECT given.contact_id, s.word, given.points, b.word, given.times
FROM (
    SELECT e.contact_id, e.score, e.because, sum(e.points)::int8 AS points, count(*) AS times
    FROM unnest($1::int8[]) AS wanted(id) JOIN score_entries e ON e.contact_id = wanted.id
    WHERE e.cleared_at IS NULL GROUP BY e.contact_id, e.score, e.because) AS given
JOIN words s ON s.id = given.score JOIN words b ON b.id = given.because
ORDER BY given.contact_id, given.points DESC, s.word COLLATE \"C\", b.word COLLATE \"C\"";

const TOTALS: &str = "
SELECT (SELECT count(*) FROM contacts), (SELECT count(*) FROM events),
    (SELECT count(*) FROM events WHERE state = 1), (SELECT count(*) FROM decisions), (SELECT count(*) FROM owners)";

const PARENTS: &str = "
SELECT id, parent_id FROM runs WHERE contact_id = $1 AND parent_id IS NOT NULL";

const INPUTS: &str = "SELECT id, inputs FROM runs WHERE id = ANY($1::int8[]) AND inputs IS NOT NULL";

const RUNS_BY_STATUS: &str = "SELECT status::int8, count(*) FROM runs WHERE path IS NULL GROUP BY status";

const MESSAGES_BY_STATUS: &str = "SELECT status::int8, count(*) FROM messages GROUP BY status";

const DECISION_COUNTS: &str = "
SELECT version_id, node::int8, kind::int8, count(*)
FROM decisions WHERE at >= $1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";

const VISIT_COUNTS: &str = "
SELECT version_id, node::int8, count(DISTINCT run_id)
FROM decisions WHERE at >= $1 AND node IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2";

const REASON_COUNTS: &str = "
SELECT counted.version_id, counted.node, counted.kind, w.word, counted.decisions
FROM (
    SELECT version_id, node::int8 AS node, kind::int8 AS kind, reason, count(*) AS decisions
    FROM decisions WHERE at >= $1 AND kind NOT IN ($2, $3, $4) GROUP BY 1, 2, 3, 4
    ORDER BY 5 DESC, 1, 2, 3, 4 LIMIT $5) counted
JOIN words w ON w.id = counted.reason
ORDER BY 5 DESC, 1, 2, 3, 4";

const ASSIGNMENT_COUNTS: &str = "
SELECT r.key, r.name, a.at / 86400000 AS day, count(*)
FROM assignments a JOIN representatives r ON r.id = a.rep_id
WHERE a.at >= $1 GROUP BY r.key, r.name, day ORDER BY r.key, day";

const ALL_SEGMENTS: &str = "
SELECT s.name, r.definition, r.published_at, r.last, r.done,
    (SELECT count(*) FROM segment_members m WHERE m.segment_id = s.id) AS members
FROM segments s LEFT JOIN segment_rules r ON r.segment_id = s.id ORDER BY s.name";

const COUNT_MEMBERS: &str = "
SELECT count(*) FROM segments s JOIN segment_members m ON m.segment_id = s.id WHERE s.name = $1";

const COMING_DATES: &str = "
SELECT w.name, d.due_at, d.date, t.wording
FROM date_triggers t JOIN workflows w ON w.id = t.workflow_id
JOIN contact_dates d ON d.trigger_id = t.id AND d.contact_id = $1
WHERE d.due_at IS NOT NULL ORDER BY d.due_at, t.id";

const HELD_EVENTS: &str = "
SELECT w.name, h.due_at, h.name, h.at
FROM held_events h JOIN workflows w ON w.id = h.workflow_id WHERE h.contact_id = $1 ORDER BY h.id";

const NEXT_CALENDAR_CHANGE: &str = "SELECT min(due_at) FROM segment_timers";

const ATTRIBUTE_TYPES: &str = "SELECT name, types FROM attribute_names ORDER BY name COLLATE \"C\"";

const EVENTS: &str = "
SELECT e.id, e.at, w.word AS name, e.properties::text AS properties, e.state::int8 AS state
FROM events e JOIN words w ON w.id = e.name
WHERE e.contact_id = $1 AND (e.state <> 1 OR w.word IN ($2, $3))";

const DECISIONS: &str = "
SELECT d.id, d.at, d.run_id, d.turn::int8 AS turn, d.version_id, d.node::int8 AS node, d.kind::int8 AS kind, w.word AS reason
FROM decisions d JOIN words w ON w.id = d.reason
WHERE d.contact_id = $1";

const RUN_DECISIONS: &str = "
SELECT d.id, d.at, d.run_id, d.turn::int8 AS turn, d.version_id, d.node::int8 AS node, d.kind::int8 AS kind, w.word AS reason
FROM runs r JOIN decisions d ON d.contact_id = r.contact_id AND d.run_id = r.id
JOIN words w ON w.id = d.reason
WHERE r.id = $1 ORDER BY d.id";

const SCORE_ENTRIES: &str = "
SELECT e.id, e.at, e.run_id, e.turn::int8 AS turn, s.word AS score, e.points, e.total, b.word AS because, e.cleared_at,
    w.name AS workflow, p.word AS step
FROM score_entries e JOIN words s ON s.id = e.score JOIN words b ON b.id = e.because
JOIN workflows w ON w.id = e.workflow_id JOIN words p ON p.id = e.step
WHERE e.contact_id = $1";

const DECLARED_SCORES: &str = "
SELECT w.word, d.definition FROM score_definitions d JOIN words w ON w.id = d.score WHERE d.definition IS NOT NULL";

const SCORE_HOLDS: &str = "
SELECT s.word AS score, w.name AS workflow, p.word AS step, b.word AS because, h.held_by, h.times, h.points, h.last_at
FROM score_holds h JOIN words s ON s.id = h.score JOIN words b ON b.id = h.because
JOIN workflows w ON w.id = h.workflow_id JOIN words p ON p.id = h.step
WHERE h.contact_id = $1 ORDER BY h.last_at";

/// By way of the contact's runs, so that messages need no index on the contact.
const MESSAGES_TO: &str = "
SELECT m.id, coalesce(m.sent_at, m.queued_at) AS at, m.run_id, m.turn::int8 AS turn, m.subject, w.word AS template,
    m.status::int8 AS status,
    m.detail
FROM runs r JOIN messages m ON m.run_id = r.id JOIN words w ON w.id = m.template
WHERE r.contact_id = $1";

const ASSIGNMENTS: &str = "
SELECT a.id, a.at, a.run_id, a.turn, r.name AS rep, t.word AS team, b.word AS because
FROM assignments a JOIN representatives r ON r.id = a.rep_id JOIN words b ON b.id = a.because
LEFT JOIN words t ON t.id = a.team
WHERE a.contact_id = $1";

const CONSENTS: &str = "
SELECT n.topic, n.at, w.word, n.given FROM consents n JOIN words w ON w.id = n.topic WHERE n.contact_id = $1";

/// A connection that reads.
pub(crate) struct Reader {
    pub(super) conn: PoolConnection<Postgres>,
    pub(super) shared: Arc<Shared>,
}

#[async_trait]
impl Answers for Reader {
    async fn version(&mut self, id: VersionId) -> Raw<Arc<Version>> {
        self.shared.version(&mut self.conn, id).await
    }

    async fn contacts(&mut self, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>> {
        contacts::load(&mut self.conn, ids, needs).await
    }

    async fn find_contact(&mut self, id: Option<i64>, key: &str, email: &str) -> Raw<Option<i64>> {
        let find =
            query_scalar(FIND_CONTACT).bind(id).bind(text(key).into_owned()).bind(text(email).into_owned());
        Ok(find.fetch_optional(&mut *self.conn).await?)
    }

    async fn contact_ids(&mut self, filter: &ContactFilter, limit: i64) -> Raw<Vec<i64>> {
        let mut find = QueryBuilder::<Postgres>::new(CONTACT_IDS);
        find.push_bind(filter.after.map_or(i64::MIN, |id| id.0));
        if let Some(id) = filter.id {
            find.push(" AND c.id = ").push_bind(id.0);
        }
        if let Some(segment) = &filter.segment {
            find.push(" AND c.id IN (SELECT m.contact_id FROM segments g JOIN segment_members m ON m.segment_id = g.id");
            find.push(" WHERE g.name = ").push_bind(segment.clone()).push(")");
        }
        find.push(" ORDER BY c.id LIMIT ").push_bind(limit);
        Ok(find.build_query_scalar().fetch_all(&mut *self.conn).await?)
    }

    async fn runs(&mut self, filter: &RunFilter, limit: i64) -> Raw<Vec<RunFields>> {
        let mut find = QueryBuilder::<Postgres>::new(RUNS);
        if let Some(run) = filter.run {
            find.push(" AND r.id = ").push_bind(run.0);
        }
        if let Some(contact) = filter.contact {
            find.push(" AND r.contact_id = ").push_bind(contact.0);
        }
        if let Some(workflow) = &filter.workflow {
            find.push(" AND r.workflow_id = (SELECT w.id FROM workflows w WHERE w.name = ");
            find.push_bind(workflow.clone()).push(")");
        }
        if let Some(status) = filter.status {
            find.push(" AND r.status = ").push_bind(i16::try_from(status.code()).unwrap_or_default());
        }
        find.push(" ORDER BY r.id DESC LIMIT ").push_bind(limit);
        Ok(find.build_query_as().fetch_all(&mut *self.conn).await?)
    }

    async fn standing(&mut self) -> Raw<Vec<(i64, i64, i64, bool, i64)>> {
        Ok(query_as(STANDING).fetch_all(&mut *self.conn).await?)
    }

    async fn messages(
        &mut self,
        filter: &MessageFilter,
        id: Option<i64>,
        limit: i64,
    ) -> Raw<Vec<MessageFields>> {
        let mut find = QueryBuilder::<Postgres>::new(MESSAGES);
        if let Some(id) = id {
            find.push(" AND m.id = ").push_bind(id);
        }
        if let Some(contact) = filter.contact {
            find.push(" AND m.run_id IN (SELECT r.id FROM runs r WHERE r.contact_id = ");
            find.push_bind(contact.0).push(")");
        }
        if let Some(status) = filter.status {
            find.push(" AND m.status = ").push_bind(i16::try_from(status.code()).unwrap_or_default());
        }
        if let Some(template) = &filter.template {
            find.push(" AND m.template = (SELECT t.id FROM words t WHERE t.word = ");
            find.push_bind(template.clone()).push(")");
        }
        find.push(" ORDER BY m.id DESC LIMIT ").push_bind(limit);
        Ok(find.build_query_as().fetch_all(&mut *self.conn).await?)
    }

    async fn message_source(&mut self, message: i64) -> Raw<Option<Vec<u8>>> {
        Ok(query_scalar(SOURCE).bind(message).fetch_optional(&mut *self.conn).await?)
    }

    async fn sent_by_template(&mut self) -> Raw<Vec<(String, i64)>> {
        Ok(query_as(BY_TEMPLATE).fetch_all(&mut *self.conn).await?)
    }

    async fn sent_by_day(&mut self) -> Raw<Vec<(i64, i64)>> {
        Ok(query_as(BY_DAY).fetch_all(&mut *self.conn).await?)
    }

    async fn count_old(&mut self, what: Prunable, before: i64) -> Raw<i64> {
        prune::count_old(&mut self.conn, what, before).await
    }

    async fn leads(&mut self, limit: i64) -> Raw<Vec<LeadFields>> {
        Ok(query_as(LEADS).bind(limit).fetch_all(&mut *self.conn).await?)
    }

    async fn lead_reasons(&mut self, contacts: &[i64]) -> Raw<Vec<(i64, String, i64, String, i64)>> {
        Ok(query_as(LEAD_REASONS).bind(contacts).fetch_all(&mut *self.conn).await?)
    }

    async fn totals(&mut self) -> Raw<(i64, i64, i64, i64, i64)> {
        Ok(query_as(TOTALS).fetch_one(&mut *self.conn).await?)
    }

    async fn parents(&mut self, contact: i64) -> Raw<Vec<(i64, i64)>> {
        Ok(query_as(PARENTS).bind(contact).fetch_all(&mut *self.conn).await?)
    }

    async fn inputs_of(&mut self, runs: &[i64]) -> Raw<Vec<(i64, String)>> {
        Ok(query_as(INPUTS).bind(runs).fetch_all(&mut *self.conn).await?)
    }

    async fn runs_by_status(&mut self) -> Raw<Vec<(i64, i64)>> {
        Ok(query_as(RUNS_BY_STATUS).fetch_all(&mut *self.conn).await?)
    }

    async fn messages_by_status(&mut self) -> Raw<Vec<(i64, i64)>> {
        Ok(query_as(MESSAGES_BY_STATUS).fetch_all(&mut *self.conn).await?)
    }

    async fn segments(&mut self) -> Raw<Vec<SegmentFields>> {
        Ok(query_as(ALL_SEGMENTS).fetch_all(&mut *self.conn).await?)
    }

    async fn count_members(&mut self, segment: &str) -> Raw<i64> {
        Ok(query_scalar(COUNT_MEMBERS).bind(segment.to_owned()).fetch_one(&mut *self.conn).await?)
    }

    async fn next_calendar_change(&mut self) -> Raw<Option<i64>> {
        Ok(query_scalar(NEXT_CALENDAR_CHANGE).fetch_one(&mut *self.conn).await?)
    }

    async fn attribute_types(&mut self) -> Raw<Vec<(String, i64)>> {
        Ok(query_as(ATTRIBUTE_TYPES).fetch_all(&mut *self.conn).await?)
    }

    async fn decision_counts(&mut self, since: i64) -> Raw<Vec<(i64, Option<i64>, i64, i64)>> {
        Ok(query_as(DECISION_COUNTS).bind(since).fetch_all(&mut *self.conn).await?)
    }

    async fn visit_counts(&mut self, since: i64) -> Raw<Vec<(i64, i64, i64)>> {
        Ok(query_as(VISIT_COUNTS).bind(since).fetch_all(&mut *self.conn).await?)
    }

    async fn reason_counts(
        &mut self,
        since: i64,
        without: [i64; 3],
        limit: i64,
    ) -> Raw<Vec<(i64, Option<i64>, i64, String, i64)>> {
        let [one, two, three] = without;
        let counts = query_as(REASON_COUNTS).bind(since).bind(one).bind(two).bind(three).bind(limit);
        Ok(counts.fetch_all(&mut *self.conn).await?)
    }

    async fn assignment_counts(&mut self, since: i64) -> Raw<Vec<(String, String, i64, i64)>> {
        Ok(query_as(ASSIGNMENT_COUNTS).bind(since).fetch_all(&mut *self.conn).await?)
    }

    async fn events(&mut self, contact: i64) -> Raw<Vec<EventLine>> {
        let events = query_as(EVENTS).bind(contact).bind(SEGMENT_JOINED).bind(SEGMENT_LEFT);
        Ok(events.fetch_all(&mut *self.conn).await?)
    }

    async fn decisions(&mut self, contact: i64) -> Raw<Vec<DecisionLine>> {
        Ok(query_as(DECISIONS).bind(contact).fetch_all(&mut *self.conn).await?)
    }

    async fn run_decisions(&mut self, run: i64) -> Raw<Vec<DecisionLine>> {
        Ok(query_as(RUN_DECISIONS).bind(run).fetch_all(&mut *self.conn).await?)
    }

    fn declared_scores(&self) -> Arc<Scores> {
        self.shared.declared.get()
    }

    async fn score_definitions(&mut self) -> Raw<Vec<(String, String)>> {
        Ok(query_as(DECLARED_SCORES).fetch_all(&mut *self.conn).await?)
    }

    async fn score_holds(&mut self, contact: i64) -> Raw<Vec<HoldLine>> {
        Ok(query_as(SCORE_HOLDS).bind(contact).fetch_all(&mut *self.conn).await?)
    }

    async fn score_entries(&mut self, contact: i64) -> Raw<Vec<ScoreLine>> {
        Ok(query_as(SCORE_ENTRIES).bind(contact).fetch_all(&mut *self.conn).await?)
    }

    async fn messages_to(&mut self, contact: i64) -> Raw<Vec<MessageLine>> {
        Ok(query_as(MESSAGES_TO).bind(contact).fetch_all(&mut *self.conn).await?)
    }

    async fn assignments(&mut self, contact: i64) -> Raw<Vec<AssignmentLine>> {
        Ok(query_as(ASSIGNMENTS).bind(contact).fetch_all(&mut *self.conn).await?)
    }

    async fn coming_dates(&mut self, contact: i64) -> Raw<Vec<(String, i64, String, String)>> {
        Ok(query_as(COMING_DATES).bind(contact).fetch_all(&mut *self.conn).await?)
    }

    async fn held_events(&mut self, contact: i64) -> Raw<Vec<(String, Option<i64>, String, i64)>> {
        Ok(query_as(HELD_EVENTS).bind(contact).fetch_all(&mut *self.conn).await?)
    }

    async fn consents(&mut self, contact: i64) -> Raw<Vec<(i64, i64, String, bool)>> {
        Ok(query_as(CONSENTS).bind(contact).fetch_all(&mut *self.conn).await?)
    }
}
