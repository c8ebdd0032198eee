//! Lists, counts and summaries: [`Reports`].

use std::collections::HashMap;

use async_trait::async_trait;
use dripline_model::{
    Contact,
    clock::from_ms,
    contact::Needs,
    decision::RunStatus,
    id::{ContactId, MessageId, RunId, VersionId},
    message::MessageStatus,
};
use jiff::{civil::Date, tz::Offset};
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection, query_as, query_scalar};

use super::{
    SqliteStore, contacts,
    rows::{Doing as _, Raw, damaged, json_ids, json_rows, limit, maybe_at},
    transaction::run_status,
};
use crate::{
    ContactFilter, Counts, Lead, LeadReason, MessageFilter, MessageRow, Reports, Result, RunFilter, RunRow,
    Standing, TimelineEntry,
};

const CONTACTS: &str = "SELECT c.id FROM contacts c WHERE c.id > ";

const RUNS: &str = "
SELECT r.id, r.version_id, r.contact_id, coalesce(c.email, c.external_id) AS contact_name, r.node, r.status, r.due_at,
    r.enrolled_at, r.ended_at,
    (SELECT w.word FROM words w WHERE w.id = (
        SELECT d.reason FROM decisions d WHERE d.contact_id = r.contact_id AND d.run_id = r.id
        ORDER BY d.id DESC LIMIT 1)) AS reason
FROM runs r JOIN contacts c ON c.id = r.contact_id
WHERE TRUE";

const STANDING: &str = "
SELECT version_id, node, status, count(*) FROM runs GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";

const MESSAGES: &str = "
SELECT m.id, m.run_id, m.contact_id, m.version_id, m.node, m.message_id, m.recipient, w.word AS template, m.subject,
    m.status, m.attempts, m.queued_at, m.due_at, m.sent_at, m.detail
FROM messages m JOIN words w ON w.id = m.template
WHERE TRUE";

const SOURCE: &str = "SELECT source FROM message_sources WHERE message_id = ?1";

const BY_TEMPLATE: &str = "
SELECT w.word, sent.messages
FROM (SELECT template, count(*) AS messages FROM messages WHERE sent_at IS NOT NULL GROUP BY template) sent
JOIN words w ON w.id = sent.template
ORDER BY w.word";

/// By the number of whole days since the epoch, before which nobody sent anything.
const BY_DAY: &str = "
SELECT sent_at / 86400000 AS day, count(*)
FROM messages WHERE sent_at IS NOT NULL GROUP BY day ORDER BY day";

const LEADS: &str = "
SELECT o.contact_id, r.key, r.name, t.word AS team, a.at, b.word AS because
FROM owners o
JOIN assignments a ON a.id = o.assignment_id
JOIN representatives r ON r.id = o.rep_id
JOIN words b ON b.id = a.because
LEFT JOIN words t ON t.id = a.team
ORDER BY r.key, a.at DESC, a.id DESC LIMIT ?1";

const LEAD_REASONS: &str = "
SELECT json_group_array(json_array(contact_id, score, points, because, times)
    ORDER BY contact_id, points DESC, score, because)
FROM (
    SELECT given.contact_id, s.word AS score, given.points, b.word AS because, given.times
    FROM (
        SELECT e.contact_id, e.score, e.because, sum(e.points) AS points, count(*) AS times
        FROM json_each(?1) wanted CROSS JOIN score_entries e ON e.contact_id = wanted.value
        WHERE e.cleared_at IS NULL GROUP BY e.contact_id, e.score, e.because) given
    JOIN words s ON s.id = given.score JOIN words b ON b.id = given.because)";

const TOTALS: &str = "
SELECT (SELECT count(*) FROM contacts), (SELECT count(*) FROM events),
    (SELECT count(*) FROM events WHERE state = 1), (SELECT count(*) FROM decisions), (SELECT count(*) FROM owners)";

const RUNS_BY_STATUS: &str = "SELECT status, count(*) FROM runs GROUP BY status";

const MESSAGES_BY_STATUS: &str = "SELECT status, count(*) FROM messages GROUP BY status";

const ATTRIBUTES: &str = "SELECT name FROM attribute_names ORDER BY name";

#[derive(FromRow)]
struct RunFields {
    id: i64,
    version_id: i64,
    contact_id: i64,
    contact_name: String,
    node: i64,
    status: i64,
    due_at: Option<i64>,
    enrolled_at: i64,
    ended_at: Option<i64>,
    reason: Option<String>,
}

#[derive(FromRow)]
struct MessageFields {
    id: i64,
    run_id: i64,
    contact_id: i64,
    version_id: i64,
    node: i64,
    message_id: Option<String>,
    recipient: String,
    template: String,
    subject: String,
    status: i64,
    attempts: i64,
    queued_at: i64,
    due_at: Option<i64>,
    sent_at: Option<i64>,
    detail: Option<String>,
}

#[async_trait]
impl Reports for SqliteStore {
    async fn list_contacts(&self, filter: &ContactFilter, limit: usize) -> Result<Vec<Contact>> {
        self.load_contacts(filter, limit).await.doing("list contacts")
    }

    async fn timeline(&self, contact: ContactId) -> Result<Vec<TimelineEntry>> {
        self.load_timeline(contact).await.doing(format!("load what happened to contact {contact}"))
    }

    async fn leads(&self, limit: usize) -> Result<Vec<Lead>> {
        self.load_leads(limit).await.doing("list leads")
    }

    async fn list_runs(&self, filter: &RunFilter, limit: usize) -> Result<Vec<RunRow>> {
        self.load_runs(filter, limit).await.doing("list runs")
    }

    async fn run_decisions(&self, run: RunId) -> Result<Vec<TimelineEntry>> {
        self.load_run_decisions(run).await.doing(format!("load what happened to run {run}"))
    }

    async fn standing(&self) -> Result<Vec<Standing>> {
        self.load_standing().await.doing("count where runs stand")
    }

    async fn list_messages(&self, filter: &MessageFilter, limit: usize) -> Result<Vec<MessageRow>> {
        self.load_messages(filter, limit).await.doing("list messages")
    }

    async fn message(&self, message: MessageId) -> Result<Option<(MessageRow, Option<Vec<u8>>)>> {
        self.load_message(message).await.doing(format!("load message {message}"))
    }

    async fn messages_by_template(&self) -> Result<Vec<(String, u64)>> {
        query_as(BY_TEMPLATE).fetch_all(&self.shared.readers).await.doing("count messages by template")
    }

    async fn messages_by_day(&self) -> Result<Vec<(Date, u64)>> {
        self.count_by_day().await.doing("count messages by day")
    }

    async fn counts(&self) -> Result<Counts> {
        self.count().await.doing("count what is in the store")
    }

    async fn known_attributes(&self) -> Result<Vec<String>> {
        query_scalar(ATTRIBUTES)
            .fetch_all(&self.shared.readers)
            .await
            .doing("list the attributes of contacts")
    }
}

impl SqliteStore {
    async fn load_contacts(&self, filter: &ContactFilter, count: usize) -> Raw<Vec<Contact>> {
        let mut find = QueryBuilder::<Sqlite>::new(CONTACTS);
        find.push_bind(filter.after.map_or(i64::MIN, |id| id.0));
        if let Some(id) = filter.id {
            find.push(" AND c.id = ").push_bind(id.0);
        }
        if let Some(segment) = &filter.segment {
            find.push(" AND c.id IN (SELECT m.contact_id FROM segments g JOIN segment_members m ON m.segment_id = g.id");
            find.push(" WHERE g.name = ").push_bind(segment.as_str()).push(")");
        }
        find.push(" ORDER BY c.id LIMIT ").push_bind(limit(count));
        let mut conn = self.reader().await?;
        let ids: Vec<i64> = find.build_query_scalar().fetch_all(&mut *conn).await?;
        let ids: Vec<ContactId> = ids.into_iter().map(ContactId).collect();
        contacts::load(&mut conn, &ids, &contacts::everything()).await
    }

    async fn load_runs(&self, filter: &RunFilter, count: usize) -> Raw<Vec<RunRow>> {
        let mut find = QueryBuilder::<Sqlite>::new(RUNS);
        if let Some(run) = filter.run {
            find.push(" AND r.id = ").push_bind(run.0);
        }
        if let Some(contact) = filter.contact {
            find.push(" AND r.contact_id = ").push_bind(contact.0);
        }
        if let Some(workflow) = &filter.workflow {
            find.push(" AND r.workflow_id = (SELECT w.id FROM workflows w WHERE w.name = ");
            find.push_bind(workflow.as_str()).push(")");
        }
        if let Some(status) = filter.status {
            find.push(" AND r.status = ").push_bind(status.code());
        }
        find.push(" ORDER BY r.id DESC LIMIT ").push_bind(limit(count));
        let mut conn = self.reader().await?;
        let rows: Vec<RunFields> = find.build_query_as().fetch_all(&mut *conn).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            let version = self.shared.version(&mut conn, VersionId(row.version_id)).await?;
            runs.push(RunRow {
                run: RunId(row.id),
                workflow: version.workflow_name.clone(),
                version: version.number,
                contact: ContactId(row.contact_id),
                contact_name: row.contact_name,
                status: run_status(row.status)?,
                step: version.step(row.node),
                due_at: maybe_at(row.due_at),
                enrolled_at: from_ms(row.enrolled_at),
                ended_at: maybe_at(row.ended_at),
                reason: row.reason,
            });
        }
        Ok(runs)
    }

    async fn load_standing(&self) -> Raw<Vec<Standing>> {
        let rows: Vec<(i64, u32, i64, u64)> = query_as(STANDING).fetch_all(&self.shared.readers).await?;
        rows.into_iter()
            .map(|(version, node, status, runs)| {
                Ok(Standing { version: VersionId(version), node, status: run_status(status)?, runs })
            })
            .collect()
    }

    async fn load_messages(&self, filter: &MessageFilter, count: usize) -> Raw<Vec<MessageRow>> {
        let mut find = QueryBuilder::<Sqlite>::new(MESSAGES);
        if let Some(contact) = filter.contact {
            find.push(" AND m.run_id IN (SELECT r.id FROM runs r WHERE r.contact_id = ")
                .push_bind(contact.0)
                .push(")");
        }
        if let Some(status) = filter.status {
            find.push(" AND m.status = ").push_bind(status.code());
        }
        if let Some(template) = &filter.template {
            find.push(" AND m.template = (SELECT t.id FROM words t WHERE t.word = ");
            find.push_bind(template.as_str()).push(")");
        }
        find.push(" ORDER BY m.id DESC LIMIT ").push_bind(limit(count));
        let mut conn = self.reader().await?;
        let rows: Vec<MessageFields> = find.build_query_as().fetch_all(&mut *conn).await?;
        let mut messages = Vec::with_capacity(rows.len());
        for row in rows {
            messages.push(self.message_row(&mut conn, row).await?);
        }
        Ok(messages)
    }

    async fn load_message(&self, message: MessageId) -> Raw<Option<(MessageRow, Option<Vec<u8>>)>> {
        let mut find = QueryBuilder::<Sqlite>::new(MESSAGES);
        find.push(" AND m.id = ").push_bind(message.0);
        let mut conn = self.reader().await?;
        let row: Option<MessageFields> = find.build_query_as().fetch_optional(&mut *conn).await?;
        let Some(row) = row else { return Ok(None) };
        let source: Option<Vec<u8>> = query_scalar(SOURCE).bind(message.0).fetch_optional(&mut *conn).await?;
        Ok(Some((self.message_row(&mut conn, row).await?, source)))
    }

    async fn message_row(&self, conn: &mut SqliteConnection, row: MessageFields) -> Raw<MessageRow> {
        let version = self.shared.version(conn, VersionId(row.version_id)).await?;
        Ok(MessageRow {
            id: MessageId(row.id),
            run: RunId(row.run_id),
            contact: ContactId(row.contact_id),
            workflow: version.workflow_name.clone(),
            step: version.step(row.node),
            message_id: row.message_id,
            to: row.recipient,
            template: row.template,
            subject: row.subject,
            status: message_status(row.status)?,
            attempts: row.attempts,
            queued_at: from_ms(row.queued_at),
            due_at: maybe_at(row.due_at),
            sent_at: maybe_at(row.sent_at),
            detail: row.detail,
        })
    }

    async fn count_by_day(&self) -> Raw<Vec<(Date, u64)>> {
        let days: Vec<(i64, u64)> = query_as(BY_DAY).fetch_all(&self.shared.readers).await?;
        let day = |day: i64| Offset::UTC.to_datetime(from_ms(day.saturating_mul(86_400_000))).date();
        Ok(days.into_iter().map(|(number, messages)| (day(number), messages)).collect())
    }

    async fn load_leads(&self, count: usize) -> Raw<Vec<Lead>> {
        type Row = (i64, String, String, Option<String>, i64, String);
        let mut conn = self.reader().await?;
        let rows: Vec<Row> = query_as(LEADS).bind(limit(count)).fetch_all(&mut *conn).await?;
        let ids: Vec<ContactId> = rows.iter().map(|row| ContactId(row.0)).collect();
        let needs = Needs { segments: false, ..contacts::everything() };
        let mut contacts = contacts::by_id(contacts::load(&mut conn, &ids, &needs).await?);
        let reasons = query_scalar(LEAD_REASONS).bind(json_ids(rows.iter().map(|row| row.0)));
        let mut reasons_of: HashMap<i64, Vec<LeadReason>> = HashMap::new();
        for (contact, score, points, because, times) in
            json_rows::<(i64, String, i64, String, u64)>(&mut conn, reasons).await?
        {
            reasons_of.entry(contact).or_default().push(LeadReason { score, points, because, times });
        }
        Ok(rows
            .into_iter()
            .filter_map(|(id, rep, rep_name, team, at, because)| {
                Some(Lead {
                    contact: contacts.remove(&ContactId(id))?,
                    rep,
                    rep_name,
                    team,
                    assigned_at: from_ms(at),
                    because,
                    reasons: reasons_of.remove(&id).unwrap_or_default(),
                })
            })
            .collect())
    }

    async fn count(&self) -> Raw<Counts> {
        let mut conn = self.reader().await?;
        let (contacts, events, pending_events, decisions, leads): (u64, u64, u64, u64, u64) =
            query_as(TOTALS).fetch_one(&mut *conn).await?;
        let runs: Vec<(i64, u64)> = query_as(RUNS_BY_STATUS).fetch_all(&mut *conn).await?;
        let runs: HashMap<i64, u64> = runs.into_iter().collect();
        let messages: Vec<(i64, u64)> = query_as(MESSAGES_BY_STATUS).fetch_all(&mut *conn).await?;
        let messages: HashMap<i64, u64> = messages.into_iter().collect();
        let of = |counts: &HashMap<i64, u64>, code: i64| counts.get(&code).copied().unwrap_or_default();
        Ok(Counts {
            contacts,
            events: events.saturating_sub(pending_events),
            pending_events,
            runs: RunStatus::ALL.iter().map(|status| (*status, of(&runs, status.code()))).collect(),
            messages: MessageStatus::ALL
                .iter()
                .map(|status| (*status, of(&messages, status.code())))
                .collect(),
            decisions,
            leads,
        })
    }
}

/// A message's status, from the store.
pub(super) fn message_status(code: i64) -> Raw<MessageStatus> {
    MessageStatus::from_code(code).ok_or_else(|| damaged("message status", code))
}
