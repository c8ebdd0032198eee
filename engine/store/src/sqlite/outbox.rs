//! Messages on their way out: [`Outbox`].

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{query, query_as, query_scalar};

use super::{
    SqliteStore,
    rows::{RowsSql, json_ids},
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

pub(super) const DUE: &str = "
SELECT m.id, m.run_id, m.turn, m.effect, m.contact_id, m.version_id, m.node, t.word AS template,
    p.word AS topic, m.transactional, m.attempts, m.queued_at, m.recipient, m.subject
FROM messages m JOIN words t ON t.id = m.template LEFT JOIN words p ON p.id = m.topic
WHERE m.due_at <= ?1 ORDER BY m.due_at, m.id LIMIT ?2";

/// With the ids as a JSON array.
pub(super) const CLAIM: &str = "
UPDATE messages SET due_at = ?2, claimed_by = ?3 WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const NEXT_DUE: &str = "
SELECT min(at) FROM (
    SELECT min(due_at) AS at FROM messages WHERE due_at IS NOT NULL
    UNION ALL SELECT min(coalesce(lease_until, 0)) FROM messages WHERE status = 1)";

/// The claimant and the lease stand in every row, because SQLite numbers what is bound once for the whole statement.
pub(super) const MARK_SENDING: RowsSql = RowsSql {
    head: "WITH outgoing(id, message_id, claimant, lease_until) AS (VALUES",
    row: "(?, ?, ?, ?)",
    tail: ") UPDATE messages SET status = 1, due_at = NULL, lease_until = outgoing.lease_until,
        message_id = outgoing.message_id
        FROM outgoing
        WHERE messages.id = outgoing.id AND messages.status = 0 AND messages.claimed_by = outgoing.claimant",
};

const PUT_SOURCES: RowsSql = RowsSql {
    head: "INSERT INTO message_sources (message_id, source) VALUES",
    row: "(?, ?)",
    tail: "ON CONFLICT (message_id) DO UPDATE SET source = excluded.source",
};

/// From *queued* as well as from *sending*: what cannot be rendered fails before it is sent. From *uncertain*, because
/// the claimant may learn late what it could not say in time; then its try is counted already.
pub(super) const SETTLE: RowsSql = RowsSql {
    head: "WITH settled(id, claimant, status, tries, due_at, sent_at, detail) AS (VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?)",
    tail: ") UPDATE messages SET status = settled.status,
        attempts = attempts + CASE messages.status WHEN 4 THEN 0 ELSE settled.tries END,
        due_at = settled.due_at, sent_at = settled.sent_at, lease_until = NULL,
        claimed_by = CASE settled.status WHEN 4 THEN messages.claimed_by END, detail = settled.detail
        FROM settled
        WHERE messages.id = settled.id AND messages.claimed_by = settled.claimant AND messages.status IN (0, 1, 4)",
};

/// Without a lease: what an older Dripline left.
pub(super) const ANY_ABANDONED: &str = "
SELECT EXISTS (SELECT 1 FROM messages WHERE status = 1 AND coalesce(lease_until, 0) <= ?1)";

/// Class by class: `?2` says which transactional ones, `?3` to `?5` what becomes of them.
pub(super) const RECOVER: &str = "
UPDATE messages SET status = ?3, due_at = ?4, attempts = attempts + 1, lease_until = NULL,
    claimed_by = CASE ?3 WHEN 4 THEN claimed_by END, detail = ?5
WHERE status = 1 AND coalesce(lease_until, 0) <= ?1 AND transactional = ?2";

const LET_GO: &str = "
UPDATE messages SET due_at = min(due_at, ?1), claimed_by = NULL
WHERE due_at IS NOT NULL AND claimed_by IS NOT NULL";

const RESEND: &str = "
UPDATE messages SET status = 0, due_at = ?1, attempts = 0, claimed_by = NULL, detail = ?2
WHERE status = ?3 AND status IN (3, 4) AND (?4 IS NULL OR id IN (SELECT value FROM json_each(?4)))";

const ARRIVED: &str = "
UPDATE messages SET status = 2, sent_at = ?1, claimed_by = NULL, detail = ?2
WHERE status = ?3 AND status = 4 AND (?4 IS NULL OR id IN (SELECT value FROM json_each(?4)))";

const DROP: &str = "
UPDATE messages SET status = 5, claimed_by = NULL, detail = ?2
WHERE status = ?3 AND status IN (3, 4) AND (?4 IS NULL OR id IN (SELECT value FROM json_each(?4)))";

#[async_trait]
impl Outbox for SqliteStore {
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

impl SqliteStore {
    async fn claim(
        &self,
        claimant: &Claimant,
        now: Timestamp,
        until: Timestamp,
        count: usize,
    ) -> Raw<Vec<DueMessage>> {
        // Asking is cheap; waiting for the writer only to find nothing is not.
        let next: Option<i64> = query_scalar(NEXT_DUE).fetch_one(&self.shared.readers).await?;
        if next.is_none_or(|next| next > ms(now)) {
            return Ok(Vec::new());
        }
        let mut writer = self.writer().await?;
        let rows: Vec<DueRow> =
            query_as(DUE).bind(ms(now)).bind(limit(count)).fetch_all(writer.conn().await?).await?;
        let ids = json_ids(rows.iter().map(|row| &row.id));
        writer.run(query(CLAIM).bind(ids).bind(ms(until)).bind(claimant.as_str())).await?;
        writer.commit().await?;
        outbox::due_messages(&mut self.reader().await?, rows, now).await
    }

    /// All of the messages, or none: a message that somebody else took meanwhile must not be sent twice.
    async fn mark(&self, claimant: &Claimant, messages: &[Outgoing], until: Timestamp) -> Raw<()> {
        let mut writer = self.writer().await?;
        let mark = MARK_SENDING.over(messages, |binds, message| {
            binds.add(message.id.0).add(message.message_id.as_str()).add(claimant.as_str()).add(ms(until));
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

    async fn put_results(&self, claimant: &Claimant, results: &[Delivery], now: Timestamp) -> Raw<()> {
        let mut writer = self.writer().await?;
        let settle = SETTLE.over(outbox::settlements(results, now), |binds, row| {
            binds.add(row.message).add(claimant.as_str()).add(row.status).add(row.tries);
            binds.add(row.due_ms).add(row.sent_ms).add(row.detail);
        });
        writer.put(settle).await?;
        writer.commit().await
    }

    async fn recover(&self, rule: UncertainRule, which: Abandoned, now: Timestamp) -> Raw<u64> {
        let ended = match which {
            Abandoned::LeaseEnded => ms(now),
            Abandoned::All => i64::MAX,
        };
        // As with a claim: most of the time there is nothing.
        let any: bool = query_scalar(ANY_ABANDONED).bind(ended).fetch_one(&self.shared.readers).await?;
        if !any && which == Abandoned::LeaseEnded {
            return Ok(0);
        }
        let mut writer = self.writer().await?;
        let mut recovered = 0;
        for transactional in [false, true] {
            let (status, due) = outbox::recovered(rule.of(transactional), now);
            let recover = query(RECOVER).bind(ended).bind(transactional);
            recovered += writer.run(recover.bind(status).bind(due).bind(INTERRUPTED)).await?;
        }
        if which == Abandoned::All {
            writer.run(query(LET_GO).bind(ms(now))).await?;
        }
        writer.commit().await?;
        Ok(recovered)
    }

    async fn put_decision(&self, which: &Undecided, decision: Decision, now: Timestamp) -> Raw<u64> {
        let sql = match decision {
            Decision::Resend => RESEND,
            Decision::Sent => ARRIVED,
            Decision::Drop => DROP,
        };
        let ids = which.ids.as_ref().map(|ids| json_ids(ids.iter().map(|id| &id.0)));
        let mut writer = self.writer().await?;
        let decide = query(sql).bind(ms(now)).bind(decision.detail()).bind(which.status.code()).bind(ids);
        let changed = writer.run(decide).await?;
        writer.commit().await?;
        Ok(changed)
    }
}
