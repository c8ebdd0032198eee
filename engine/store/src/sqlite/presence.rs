//! The processes: [`Presence`].

use std::time::Duration;

use async_trait::async_trait;
use dripline_model::Clock;
use sqlx::{query, query_as};

use super::SqliteStore;
use crate::{
    Claimant, Presence, Process, ProcessSeen, Result,
    backend::{Backend as _, Commit as _},
    error::{Doing as _, Raw},
    logic::ms,
    presence::{self, FORGET_AFTER, ProcessRow},
};

const SEEN: &str = "
INSERT INTO processes (claimant, version, host, work, started_at, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (claimant) DO UPDATE SET seen_at = excluded.seen_at";

const FORGET: &str = "DELETE FROM processes WHERE seen_at < ?1";

const GONE: &str = "DELETE FROM processes WHERE claimant = ?1";

const PROCESSES: &str = "
SELECT claimant, version, work, started_at, seen_at, skew_ms FROM processes ORDER BY started_at, claimant";

#[async_trait]
impl Presence for SqliteStore {
    fn presence_period(&self) -> Option<Duration> {
        None
    }

    async fn seen(&self, process: &ProcessSeen, clock: &dyn Clock) -> Result<()> {
        self.put_seen(process, clock).await.doing("record that this process is there")
    }

    async fn gone(&self, claimant: &Claimant) -> Result<()> {
        let gone = async {
            let mut writer = self.writer().await?;
            writer.run(query(GONE).bind(claimant.as_str())).await?;
            writer.commit().await
        };
        gone.await.doing("record that this process ends")
    }

    async fn processes(&self) -> Result<Vec<Process>> {
        let rows: sqlx::Result<Vec<ProcessRow>> = query_as(PROCESSES).fetch_all(&self.shared.readers).await;
        rows.map_err(Into::into).and_then(presence::read).doing("list the processes")
    }
}

impl SqliteStore {
    async fn put_seen(&self, process: &ProcessSeen, clock: &dyn Clock) -> Raw<()> {
        let mut writer = self.writer().await?;
        let now = ms(clock.now());
        let forget = now.saturating_sub(i64::try_from(FORGET_AFTER.as_millis()).unwrap_or(i64::MAX));
        writer.run(query(FORGET).bind(forget)).await?;
        let seen = query(SEEN).bind(process.claimant.as_str()).bind(&process.version);
        let seen = seen.bind(process.claimant.host()).bind(process.work.name());
        writer.run(seen.bind(ms(process.started_at)).bind(now)).await?;
        writer.commit().await
    }
}
