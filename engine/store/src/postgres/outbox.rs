//! Messages on their way out: [`Outbox`].

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{query, query_as, query_scalar};

use super::{
    PostgresStore,
    rows::{bind_columns, small, text},
};
use crate::{
    Abandoned, Claimant, Decision, Delivery, DueMessage, ErrorKind, INTERRUPTED, Outbox, Outgoing, Result,
    UncertainRule, Undecided,
    backend::{Backend as _, Commit as _},
    error::{Doing as _, Raw},
    logic::{
        limit, maybe_at, ms,
        outbox::{self, DueRow},
    },
};

pub(super) const CLAIM: &str = "
WITH due AS MATERIALIZED (
    SELECT id, due_at FROM messages WHERE due_at <= $1 ORDER BY due_at, id LIMIT $4 FOR UPDATE SKIP LOCKED),
claimed AS (
    UPDATE messages m SET due_at = $2, claimed_by = $3 FROM due WHERE m.id = due.id
    RETURNING m.id, m.run_id, m.turn, m.effect, m.contact_id, m.version_id, m.node, m.template, m.topic,
        m.transactional,
        m.attempts, m.queued_at, m.recipient, m.subject, due.due_at)
SELECT m.id, m.run_id, m.turn::int8 AS turn, m.effect::int8 AS effect, m.contact_id, m.version_id,
    m.node::int8 AS node, t.word AS template, p.word AS topic, m.transactional, m.attempts::int8 AS attempts, m.queued_at, m.recipient,
    m.subject
FROM claimed m JOIN words t ON t.id = m.template LEFT JOIN words p ON p.id = m.topic
ORDER BY m.due_at, m.id";

pub(super) const NEXT_DUE: &str = "
SELECT min(at) FROM (
    SELECT min(due_at) AS at FROM messages WHERE due_at IS NOT NULL
    UNION ALL SELECT min(lease_until) FROM messages WHERE status = 1) AS moments";

pub(super) const MARK_SENDING: &str = "
UPDATE messages SET status = 1, due_at = NULL, lease_until = $4, message_id = t.message_id
FROM unnest($1::int8[], $2::text[]) AS t(id, message_id)
WHERE messages.id = t.id AND messages.status = 0 AND messages.claimed_by = $3";

const PUT_SOURCES: &str = "
INSERT INTO message_sources (message_id, source) SELECT * FROM unnest($1::int8[], $2::bytea[])
ON CONFLICT (message_id) DO UPDATE SET source = excluded.source";

/// From *queued* as well as from *sending*: what cannot be rendered fails before it is sent. From *uncertain*, because
/// the claimant may learn late what it could not say in time; then its try is counted already.
pub(super) const SETTLE: &str = "
UPDATE messages SET status = t.status, attempts = attempts + CASE messages.status WHEN 4 THEN 0 ELSE t.tries END,
    due_at = t.due_at, sent_at = t.sent_at, lease_until = NULL,
    claimed_by = CASE t.status WHEN 4 THEN messages.claimed_by END, detail = t.detail
FROM unnest($1::int8[], $2::int4[], $3::int4[], $4::int8[], $5::int8[], $6::text[])
    AS t(id, status, tries, due_at, sent_at, detail)
WHERE messages.id = t.id AND messages.claimed_by = $7 AND messages.status IN (0, 1, 4)";

pub(super) const ANY_ABANDONED: &str =
    "SELECT EXISTS (SELECT 1 FROM messages WHERE status = 1 AND lease_until <= $1)";

/// Class by class: `$2` says which transactional ones, `$3` to `$5` what becomes of them.
pub(super) const RECOVER: &str = "
UPDATE messages SET status = $3::int4, due_at = $4, attempts = attempts + 1, lease_until = NULL,
    claimed_by = CASE $3::int4 WHEN 4 THEN claimed_by END, detail = $5
WHERE status = 1 AND lease_until <= $1 AND transactional = $2";

const LET_GO: &str = "
UPDATE messages SET due_at = least(due_at, $1), claimed_by = NULL
WHERE due_at IS NOT NULL AND claimed_by IS NOT NULL";

const RESEND: &str = "
UPDATE messages SET status = 0, due_at = $1, attempts = 0, claimed_by = NULL, detail = $2
WHERE status = $3 AND status IN (3, 4) AND ($4::int8[] IS NULL OR id = ANY($4))";

const ARRIVED: &str = "
UPDATE messages SET status = 2, sent_at = $1, claimed_by = NULL, detail = $2
WHERE status = $3 AND status = 4 AND ($4::int8[] IS NULL OR id = ANY($4))";

const DROP: &str = "
UPDATE messages SET status = 5, claimed_by = NULL, detail = $2
WHERE status = $3 AND status IN (3, 4) AND ($4::int8[] IS NULL OR id = ANY($4)) AND $1::int8 IS NOT NULL";

#[async_trait]
impl Outbox for PostgresStore {
    async fn claim_messages(
        &self,
        claimant: &Claimant,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueMessage>> {
        self.claim(claimant, now, until, limit).await.doing("claim the messages that are due")
    }

    async fn next_message_due(&self) -> Result<Option<Timestamp>> {
        let next: sqlx::Result<Option<i64>> = query_scalar(NEXT_DUE).fetch_one(&self.shared.readers).await;
        next.map(maybe_at).doing("find out which message is due next")
    }

    async fn mark_sending(
        &self,
        claimant: &Claimant,
        messages: &[Outgoing],
        _now: Timestamp,
        until: Timestamp,
    ) -> Result<()> {
        self.mark(claimant, messages, until).await.doing("mark messages as being sent")
    }

    async fn settle(&self, claimant: &Claimant, results: &[Delivery], now: Timestamp) -> Result<()> {
        self.put_results(claimant, results, now).await.doing("record what became of messages")
    }

    async fn recover_sending(&self, rule: UncertainRule, which: Abandoned, now: Timestamp) -> Result<u64> {
        self.recover(rule, which, now).await.doing("recover messages that were being sent")
    }

    async fn decide(&self, which: &Undecided, decision: Decision, now: Timestamp) -> Result<u64> {
        self.put_decision(which, decision, now).await.doing("record what was decided about messages")
    }
}

impl PostgresStore {
    async fn claim(
        &self,
        claimant: &Claimant,
        now: Timestamp,
        until: Timestamp,
        count: usize,
    ) -> Raw<Vec<DueMessage>> {
        let mut writer = self.writer().await?;
        let claim = query_as(CLAIM).bind(ms(now)).bind(ms(until)).bind(claimant.as_str()).bind(limit(count));
        let rows: Vec<DueRow> = writer.run_returning(claim).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        writer.commit().await?;
        outbox::due_messages(&mut self.reader().await?, rows, now).await
    }

    /// All of the messages, or none: a message that somebody else took meanwhile must not be sent twice.
    async fn mark(&self, claimant: &Claimant, messages: &[Outgoing], until: Timestamp) -> Raw<()> {
        let mut writer = self.writer().await?;
        let mark =
            bind_columns!(query(MARK_SENDING), messages, |message| message.id.0, text(&message.message_id));
        let marked = writer.run(mark.bind(claimant.as_str()).bind(ms(until))).await?;
        if marked != messages.len() as u64 {
            return Err(ErrorKind::NotQueued { of: messages.len() as u64, queued: marked });
        }
        let sources =
            bind_columns!(query(PUT_SOURCES), messages, |message| message.id.0, message.source.as_slice());
        writer.run(sources).await?;
        writer.commit().await
    }

    async fn put_results(&self, claimant: &Claimant, results: &[Delivery], now: Timestamp) -> Raw<()> {
        let mut writer = self.writer().await?;
        let rows = outbox::settlements(results, now);
        let settle = bind_columns!(
            query(SETTLE),
            rows,
            |row| row.message,
            small(row.status),
            small(row.tries),
            row.due_ms,
            row.sent_ms,
            text(row.detail),
        );
        writer.run(settle.bind(claimant.as_str())).await?;
        writer.commit().await
    }

    async fn recover(&self, rule: UncertainRule, which: Abandoned, now: Timestamp) -> Raw<u64> {
        let ended = match which {
            Abandoned::LeaseEnded => ms(now),
            Abandoned::All => i64::MAX,
        };
        // Most of the time there is nothing.
        let any: bool = query_scalar(ANY_ABANDONED).bind(ended).fetch_one(&self.shared.readers).await?;
        if !any && which == Abandoned::LeaseEnded {
            return Ok(0);
        }
        let mut writer = self.writer().await?;
        let mut recovered = 0;
        for transactional in [false, true] {
            let (status, due) = outbox::recovered(rule.of(transactional), now);
            let recover = query(RECOVER).bind(ended).bind(transactional);
            recovered += writer.run(recover.bind(small(status)).bind(due).bind(INTERRUPTED)).await?;
        }
        if which == Abandoned::All {
            writer.run(query(LET_GO).bind(ms(now))).await?;
        }
        writer.wakes_others = true;
        writer.commit().await?;
        Ok(recovered)
    }

    async fn put_decision(&self, which: &Undecided, decision: Decision, now: Timestamp) -> Raw<u64> {
        let sql = match decision {
            Decision::Resend => RESEND,
            Decision::Sent => ARRIVED,
            Decision::Drop => DROP,
        };
        let ids: Option<Vec<i64>> = which.ids.as_ref().map(|ids| ids.iter().map(|id| id.0).collect());
        let mut writer = self.writer().await?;
        writer.wakes_others = decision == Decision::Resend;
        let decide = query(sql).bind(ms(now)).bind(decision.detail()).bind(small(which.status.code()));
        let changed = writer.run(decide.bind(ids)).await?;
        writer.commit().await?;
        Ok(changed)
    }
}
