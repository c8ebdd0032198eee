//! The processes: [`Presence`].

use std::time::Duration;

use async_trait::async_trait;
use dripline_model::Clock;
use sqlx::{query, query_as};

use super::{PostgresStore, rows::text};
use crate::{
    Claimant, Presence, Process, ProcessSeen, Result,
    error::{Doing as _, Raw},
    logic::ms,
    presence::{self, FORGET_AFTER, ProcessRow},
};

/// How often a process says that it is there.
const PERIOD: Duration = Duration::from_secs(10);

const SEEN: &str = "
WITH forgotten AS (
    DELETE FROM processes WHERE seen_at - coalesce(skew_ms, 0) < (extract(epoch FROM now()) * 1000)::int8 - $7
        AND claimant <> $1)
INSERT INTO processes (claimant, version, host, work, started_at, seen_at, skew_ms)
VALUES ($1, $2, $3, $4, $5, $6, $6 - (extract(epoch FROM clock_timestamp()) * 1000)::int8)
ON CONFLICT (claimant) DO UPDATE SET seen_at = excluded.seen_at, skew_ms = excluded.skew_ms";

const GONE: &str = "DELETE FROM processes WHERE claimant = $1";

const PROCESSES: &str = "
SELECT claimant, version, work, started_at, seen_at, skew_ms FROM processes
ORDER BY started_at, claimant COLLATE \"C\"";

/// Written beside the batches, and nobody is told: nobody waits for it.
#[async_trait]
impl Presence for PostgresStore {
    fn presence_period(&self) -> Option<Duration> {
        Some(PERIOD)
    }

    async fn seen(&self, process: &ProcessSeen, clock: &dyn Clock) -> Result<()> {
        self.put_seen(process, clock).await.doing("record that this process is there")
    }

    async fn gone(&self, claimant: &Claimant) -> Result<()> {
        let gone = query(GONE).bind(claimant.as_str()).execute(&self.shared.readers).await;
        gone.map(drop).doing("record that this process ends")
    }

    async fn processes(&self) -> Result<Vec<Process>> {
        let rows: sqlx::Result<Vec<ProcessRow>> = query_as(PROCESSES).fetch_all(&self.shared.readers).await;
        rows.map_err(Into::into).and_then(presence::read).doing("list the processes")
    }
}

impl PostgresStore {
    async fn put_seen(&self, process: &ProcessSeen, clock: &dyn Clock) -> Raw<()> {
        // To wait for a connection is no skew.
        let mut conn = self.shared.readers.acquire().await?;
        let forget = i64::try_from(FORGET_AFTER.as_millis()).unwrap_or(i64::MAX);
        query(SEEN)
            .bind(text(process.claimant.as_str()))
            .bind(text(&process.version))
            .bind(text(process.claimant.host()))
            .bind(process.work.name())
            .bind(ms(process.started_at))
            .bind(ms(clock.now()))
            .bind(forget)
            .execute(&mut *conn)
            .await?;
        Ok(())
    }
}
