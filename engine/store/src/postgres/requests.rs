//! Requests that count once, on PostgreSQL.

use async_trait::async_trait;
use dripline_model::Digest;
use jiff::Timestamp;
use sqlx::{query, query_as};

use super::transaction::PostgresTransaction;
use crate::{
    Answered, REMEMBERED, Requests, Result,
    error::{Doing as _, Raw},
    logic::ms,
};

/// Of twins that arrive together one waits here for the other's commit.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))";

const ANSWERED: &str = "SELECT digest, answer FROM requests WHERE key = $1 AND at > $2";

const ANSWER: &str = "
INSERT INTO requests (key, digest, answer, at) VALUES ($1, $2, $3, $4)
ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, answer = excluded.answer, at = excluded.at";

/// More than come with one; those that others let go of just now are left to them.
const FORGET: &str = "
DELETE FROM requests WHERE key IN (
    SELECT key FROM requests WHERE at <= $1 ORDER BY at LIMIT 8 FOR UPDATE SKIP LOCKED)";

#[async_trait]
impl Requests for PostgresTransaction {
    async fn answered(&mut self, key: &str, now: Timestamp) -> Result<Option<Answered>> {
        let found = async {
            query(LOCK).bind(key).execute(self.writer.conn().await?).await?;
            let found = query_as(ANSWERED).bind(key).bind(ms(now - REMEMBERED));
            Raw::Ok(found.fetch_optional(self.writer.conn().await?).await?)
        };
        let found: Option<(String, String)> = found.await.doing("look for an earlier request")?;
        Ok(found.map(|(digest, answer)| Answered { digest: Digest::from_hex(digest), answer }))
    }

    async fn answer(&mut self, key: &str, answered: &Answered, now: Timestamp) -> Result<()> {
        let Answered { digest, answer } = answered;
        let put = async {
            self.writer.run(query(FORGET).bind(ms(now - REMEMBERED))).await?;
            let put = query(ANSWER).bind(key).bind(digest.as_str()).bind(answer).bind(ms(now));
            self.writer.run(put).await.map(drop)
        };
        put.await.doing("record a request")
    }
}
