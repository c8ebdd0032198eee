//! Messages on their way out: [`Outbox`].

use std::collections::HashMap;

use async_trait::async_trait;
use dripline_model::{
    clock::from_ms,
    id::{ContactId, MessageId, RunId, VersionId},
    message::MessageStatus,
};
use jiff::Timestamp;
use sqlx::{FromRow, query, query_as, query_scalar};

use super::{SqliteStore, rows::RowsSql};
use crate::{
    Delivery, DeliveryResult, DueMessage, ErrorKind, Outbox, Outgoing, Result,
    answers::Answers as _,
    backend::{Backend as _, Commit as _},
    error::{Doing as _, Raw},
    logic::{distinct, everything, limit, maybe_at, ms},
};

pub(super) const DUE: &str = "
SELECT m.id, m.run_id, m.turn, m.effect, m.contact_id, m.version_id, t.word AS template, p.word AS topic,
    m.transactional, m.attempts, m.queued_at, m.recipient, m.subject
FROM messages m JOIN words t ON t.id = m.template LEFT JOIN words p ON p.id = m.topic
WHERE m.due_at <= ?1 ORDER BY m.due_at, m.id LIMIT ?2";

const NEXT_DUE: &str = "SELECT min(due_at) FROM messages WHERE due_at IS NOT NULL";

pub(super) const MARK_SENDING: RowsSql = RowsSql {
    head: "WITH outgoing(id, message_id) AS (VALUES",
    row: "(?, ?)",
    tail: ") UPDATE messages SET status = 1, due_at = NULL, message_id = outgoing.message_id
        FROM outgoing WHERE messages.id = outgoing.id AND messages.status = 0",
};

const PUT_SOURCES: RowsSql = RowsSql {
    head: "INSERT INTO message_sources (message_id, source) VALUES",
    row: "(?, ?)",
    tail: "ON CONFLICT (message_id) DO UPDATE SET source = excluded.source",
};

/// From *queued* as well as from *sending*: what cannot be rendered fails before it is sent.
pub(super) const SETTLE: RowsSql = RowsSql {
    head: "WITH settled(id, status, due_at, sent_at, detail) AS (VALUES",
    row: "(?, ?, ?, ?, ?)",
    tail: ") UPDATE messages SET status = settled.status, attempts = attempts + 1, due_at = settled.due_at,
        sent_at = settled.sent_at, detail = settled.detail
        FROM settled WHERE messages.id = settled.id AND messages.status IN (0, 1)",
};

const RECOVER: &str = "
UPDATE messages SET status = ?1, due_at = ?2, attempts = attempts + 1, detail = ?3 WHERE status = 1";

/// Why a message that was found *sending* is not any more.
const INTERRUPTED: &str = "the process ended before the server's answer";

#[derive(FromRow)]
struct DueRow {
    id: i64,
    run_id: i64,
    turn: i64,
    effect: i64,
    contact_id: i64,
    version_id: i64,
    template: String,
    topic: Option<String>,
    transactional: bool,
    attempts: i64,
    queued_at: i64,
    recipient: String,
    subject: String,
}

#[async_trait]
impl Outbox for SqliteStore {
    async fn due_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<DueMessage>> {
        self.load_due(now, limit).await.doing("load the messages that are due")
    }

    async fn next_message_due(&self) -> Result<Option<Timestamp>> {
        let next: sqlx::Result<Option<i64>> = query_scalar(NEXT_DUE).fetch_one(&self.shared.readers).await;
        next.map(maybe_at).doing("find out which message is due next")
    }

    async fn mark_sending(&self, messages: &[Outgoing], _now: Timestamp) -> Result<()> {
        self.mark(messages).await.doing("mark messages as being sent")
    }

    async fn settle(&self, results: &[Delivery], now: Timestamp) -> Result<()> {
        self.put_results(results, now).await.doing("record what became of messages")
    }

    async fn recover_sending(&self, resend: bool, now: Timestamp) -> Result<u64> {
        self.recover(resend, now).await.doing("recover messages that were being sent")
    }
}

impl SqliteStore {
    async fn load_due(&self, now: Timestamp, count: usize) -> Raw<Vec<DueMessage>> {
        let mut reader = self.reader().await?;
        let due = query_as(DUE).bind(ms(now)).bind(limit(count));
        let rows: Vec<DueRow> = due.fetch_all(&mut *reader.conn).await?;
        let ids: Vec<ContactId> = rows.iter().map(|row| ContactId(row.contact_id)).collect();
        let loaded = reader.contacts(&distinct(&ids), &everything()).await?;
        let receivers: HashMap<ContactId, _> =
            loaded.into_iter().map(|contact| (contact.id, contact)).collect();
        let mut messages = Vec::with_capacity(rows.len());
        for row in rows {
            let version = reader.version(VersionId(row.version_id)).await?;
            let Some(contact) = receivers.get(&ContactId(row.contact_id)) else { continue };
            messages.push(DueMessage {
                id: MessageId(row.id),
                key: format!("{}/{}/{}", row.run_id, row.turn, row.effect),
                run: RunId(row.run_id),
                contact: contact.clone(),
                template: row.template,
                templates: version.templates.clone(),
                subject: row.subject,
                to: row.recipient,
                topic: row.topic,
                transactional: row.transactional,
                attempts: row.attempts,
                queued_at: from_ms(row.queued_at),
            });
        }
        Ok(messages)
    }

    /// All of the messages, or none: a message that somebody else took meanwhile must not be sent twice.
    async fn mark(&self, messages: &[Outgoing]) -> Raw<()> {
        let mut writer = self.writer().await?;
        let mark = MARK_SENDING.over(messages, |binds, message| {
            binds.add(message.id.0).add(message.message_id.as_str());
        });
        let marked = writer.put(mark).await?;
        if marked != messages.len() as u64 {
            return Err(ErrorKind::NotQueued { of: messages.len() as u64, queued: marked });
        }
        let sources = PUT_SOURCES.over(messages, |binds, message| {
            binds.add(message.id.0).add(message.source.as_slice());
        });
        writer.put(sources).await?;
        writer.commit().await
    }

    async fn put_results(&self, results: &[Delivery], now: Timestamp) -> Raw<()> {
        let mut writer = self.writer().await?;
        let settle = SETTLE.over(results, |binds, Delivery { id, result }| {
            let (status, due, sent_at, detail) = match result {
                DeliveryResult::Sent(answer) => (MessageStatus::Sent, None, Some(now), answer),
                DeliveryResult::Retry { due, reason } => (MessageStatus::Queued, Some(*due), None, reason),
                DeliveryResult::Failed(reason) => (MessageStatus::Failed, None, None, reason),
                DeliveryResult::Uncertain(reason) => (MessageStatus::Uncertain, None, None, reason),
            };
            binds.add(id.0).add(status.code()).add(due.map(ms)).add(sent_at.map(ms)).add(detail.as_str());
        });
        writer.put(settle).await?;
        writer.commit().await
    }

    async fn recover(&self, resend: bool, now: Timestamp) -> Raw<u64> {
        let mut writer = self.writer().await?;
        let (status, due) =
            if resend { (MessageStatus::Queued, Some(ms(now))) } else { (MessageStatus::Uncertain, None) };
        let recovered = writer.run(query(RECOVER).bind(status.code()).bind(due).bind(INTERRUPTED)).await?;
        writer.commit().await?;
        Ok(recovered)
    }
}
