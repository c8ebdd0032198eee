//! Rows of what a workspace publishes.

use async_trait::async_trait;
use dripline_model::Digest;
use sqlx::{query, query_as, query_scalar};

use super::{reader::Reader, writer::Writer};
use crate::{
    PluginCode, RunMove,
    error::Raw,
    logic::teams::TeamRow,
    publishing::{CatalogAnswers, ProgramRow, Publishing, RepresentativeRow, VersionFields},
    release::{PublicationRow, VersionRow},
};

const TEAMS: &str = "
SELECT t.key, t.name, r.key, m.weight
FROM teams t
LEFT JOIN team_members m ON m.team_id = t.id
LEFT JOIN representatives r ON r.id = m.rep_id
ORDER BY t.position, m.position";

const REPRESENTATIVES: &str =
    "SELECT key, name, email FROM representatives WHERE active = 1 ORDER BY position, key";

const PUT_WORKFLOW: &str = "
INSERT INTO workflows (name, created_at) VALUES (?1, ?2)
ON CONFLICT (name) DO UPDATE SET retired_at = NULL WHERE retired_at IS NOT NULL";

const IN_USE: &str = "SELECT id, name FROM workflows WHERE retired_at IS NULL ORDER BY name";

const RETIRE: &str = "UPDATE workflows SET retired_at = ?2 WHERE id = ?1";

const WORKFLOW: &str = "SELECT id FROM workflows WHERE name = ?1";

const CURRENT: &str = "
SELECT id, number, digest FROM workflow_versions WHERE workflow_id = ?1 ORDER BY number DESC LIMIT 1";

const INSERT_VERSION: &str = "
INSERT INTO workflow_versions (workflow_id, number, digest, program, source, published_at, publication_id, restores)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id";

const CURRENT_VERSIONS: &str = "
SELECT w.name, v.number, v.digest
FROM workflows w JOIN workflow_versions v ON v.workflow_id = w.id
    AND v.number = (SELECT max(number) FROM workflow_versions WHERE workflow_id = w.id)
WHERE w.retired_at IS NULL";

const NAMED: &str = "SELECT id, retired_at FROM workflows WHERE name = ?1";

const HISTORY: &str = "
SELECT v.id, v.number, v.digest, v.published_at, p.author, p.note, v.restores
FROM workflow_versions v LEFT JOIN publications p ON p.id = v.publication_id
WHERE v.workflow_id = ?1 ORDER BY v.number DESC";

const PUBLICATIONS: &str =
    "SELECT id, at, author, note, changes, fields FROM publications ORDER BY id DESC LIMIT ?1";

const FIELDS: &str = "SELECT fields FROM publications ORDER BY id DESC LIMIT 1";

const INSERT_PUBLICATION: &str =
    "INSERT INTO publications (at, author, note, changes) VALUES (?1, ?2, ?3, '{}') RETURNING id";

const FINISH_PUBLICATION: &str = "UPDATE publications SET changes = ?2, fields = ?3 WHERE id = ?1";

const PUT_PLUGIN: &str = "
INSERT INTO plugins (digest, name, version, wasm) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (digest) DO NOTHING";

const PUT_TEMPLATE: &str =
    "INSERT INTO templates (digest, source) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING";

const PROGRAM: &str = "
SELECT workflow_id, id, number, published_at, digest, program, source FROM workflow_versions WHERE id = ?1";

const CURRENT_PROGRAMS: &str = "
SELECT v.workflow_id, v.id, v.number, v.published_at, v.digest, v.program, v.source
FROM workflows w JOIN workflow_versions v ON v.workflow_id = w.id
    AND v.number = (SELECT max(number) FROM workflow_versions WHERE workflow_id = w.id)
WHERE w.retired_at IS NULL
ORDER BY w.name";

const PLUGIN: &str = "SELECT wasm FROM plugins WHERE digest = ?1";

const REVISION: &str = "SELECT number FROM revision";

/// Run in the transaction that changes something.
pub(super) const NEXT_REVISION: &str = "UPDATE revision SET number = number + 1";

const TEMPLATE: &str = "SELECT source FROM templates WHERE digest = ?1";

const PAUSE: &str = "
UPDATE workflows SET paused_at = ?2, resumed_at = NULL
WHERE id = ?1 AND (paused_at IS NULL OR resumed_at IS NOT NULL)";

const PAUSED_SINCE: &str =
    "SELECT paused_at FROM workflows WHERE id = ?1 AND paused_at IS NOT NULL AND resumed_at IS NULL";

const RESUME: &str = "UPDATE workflows SET resumed_at = ?2 WHERE id = ?1";

/// What fell due during a pause keeps its distances.
const SPREAD: &str = "
UPDATE runs SET first_due_at = coalesce(first_due_at, due_at), due_at = due_at + ?3 - ?2
WHERE workflow_id = ?1 AND due_at >= ?2 AND due_at < ?3";

const PAUSES: &str =
    "SELECT id, paused_at, resumed_at FROM workflows WHERE paused_at IS NOT NULL ORDER BY id";

/// Of the few versions that there are, the text is enough to guess by.
const ANY_EXPERIMENTS: &str = "
SELECT EXISTS (SELECT 1 FROM workflow_versions WHERE program LIKE '%\"experiment\":{%')";

const ANY_GOALS: &str = "
SELECT EXISTS (
    SELECT 1 FROM workflow_versions WHERE program LIKE '%\"goals\":[%' OR program LIKE '%\"exits\":[%')";

#[async_trait]
impl CatalogAnswers for Reader {
    async fn teams(&mut self) -> Raw<Vec<TeamRow>> {
        Ok(query_as(TEAMS).fetch_all(&mut *self.conn).await?)
    }

    async fn representatives(&mut self) -> Raw<Vec<RepresentativeRow>> {
        Ok(query_as(REPRESENTATIVES).fetch_all(&mut *self.conn).await?)
    }

    async fn named(&mut self, workflow: &str) -> Raw<Option<(i64, Option<i64>)>> {
        Ok(query_as(NAMED).bind(workflow.to_owned()).fetch_optional(&mut *self.conn).await?)
    }

    async fn versions_of(&mut self, workflow: i64) -> Raw<Vec<VersionRow>> {
        Ok(query_as(HISTORY).bind(workflow).fetch_all(&mut *self.conn).await?)
    }

    async fn publications(&mut self, limit: i64) -> Raw<Vec<PublicationRow>> {
        Ok(query_as(PUBLICATIONS).bind(limit).fetch_all(&mut *self.conn).await?)
    }

    async fn program(&mut self, version: i64) -> Raw<Option<ProgramRow>> {
        Ok(query_as(PROGRAM).bind(version).fetch_optional(&mut *self.conn).await?)
    }

    async fn current_programs(&mut self) -> Raw<Vec<ProgramRow>> {
        Ok(query_as(CURRENT_PROGRAMS).fetch_all(&mut *self.conn).await?)
    }

    async fn pauses(&mut self) -> Raw<Vec<(i64, i64, Option<i64>)>> {
        Ok(query_as(PAUSES).fetch_all(&mut *self.conn).await?)
    }

    async fn revision(&mut self) -> Raw<i64> {
        Ok(query_scalar(REVISION).fetch_one(&mut *self.conn).await?)
    }

    async fn any_goals(&mut self) -> Raw<bool> {
        Ok(query_scalar(ANY_GOALS).fetch_one(&mut *self.conn).await?)
    }

    async fn any_experiments(&mut self) -> Raw<bool> {
        Ok(query_scalar(ANY_EXPERIMENTS).fetch_one(&mut *self.conn).await?)
    }

    async fn plugin(&mut self, digest: &str) -> Raw<Option<Vec<u8>>> {
        Ok(query_scalar(PLUGIN).bind(digest.to_owned()).fetch_optional(&mut *self.conn).await?)
    }

    async fn template(&mut self, digest: &str) -> Raw<Option<String>> {
        Ok(query_scalar(TEMPLATE).bind(digest.to_owned()).fetch_optional(&mut *self.conn).await?)
    }
}

#[async_trait]
impl Publishing for Writer {
    async fn put_workflow(&mut self, name: &str, now_ms: i64) -> Raw<(i64, bool)> {
        let appears = self.run(query(PUT_WORKFLOW).bind(name).bind(now_ms)).await? > 0;
        let id = query_scalar(WORKFLOW).bind(name).fetch_one(self.conn().await?).await?;
        Ok((id, appears))
    }

    async fn workflows_in_use(&mut self) -> Raw<Vec<(i64, String)>> {
        Ok(query_as(IN_USE).fetch_all(self.conn().await?).await?)
    }

    async fn retire_workflow(&mut self, workflow: i64, now_ms: i64) -> Raw<()> {
        self.run(query(RETIRE).bind(workflow).bind(now_ms)).await.map(drop)
    }

    async fn newest_version(&mut self, workflow: i64) -> Raw<Option<(i64, i64, String)>> {
        Ok(query_as(CURRENT).bind(workflow).fetch_optional(self.conn().await?).await?)
    }

    async fn current_versions(&mut self) -> Raw<Vec<(String, i64, String)>> {
        Ok(query_as(CURRENT_VERSIONS).fetch_all(self.conn().await?).await?)
    }

    async fn put_plugin(&mut self, plugin: &PluginCode<'_>) -> Raw<()> {
        let put = query(PUT_PLUGIN).bind(plugin.digest.as_str()).bind(plugin.name).bind(plugin.version);
        self.run(put.bind(plugin.wasm)).await.map(drop)
    }

    async fn put_template(&mut self, digest: &Digest, source: &str) -> Raw<()> {
        self.run(query(PUT_TEMPLATE).bind(digest.as_str()).bind(source)).await.map(drop)
    }

    async fn insert_version(&mut self, version: &VersionFields<'_>) -> Raw<i64> {
        let insert = query_scalar(INSERT_VERSION)
            .bind(version.workflow)
            .bind(version.number)
            .bind(version.digest.as_str())
            .bind(version.program)
            .bind(version.source)
            .bind(version.published_ms)
            .bind(version.publication)
            .bind(version.restores);
        Ok(insert.fetch_one(self.conn().await?).await?)
    }

    async fn stored_teams(&mut self) -> Raw<Vec<TeamRow>> {
        Ok(query_as(TEAMS).fetch_all(self.conn().await?).await?)
    }

    async fn stored_representatives(&mut self) -> Raw<Vec<RepresentativeRow>> {
        Ok(query_as(REPRESENTATIVES).fetch_all(self.conn().await?).await?)
    }

    async fn stored_fields(&mut self) -> Raw<Option<Option<String>>> {
        Ok(query_scalar(FIELDS).fetch_optional(self.conn().await?).await?)
    }

    async fn insert_publication(&mut self, author: &str, note: Option<&str>, now_ms: i64) -> Raw<i64> {
        let insert = query_scalar(INSERT_PUBLICATION).bind(now_ms).bind(author).bind(note);
        Ok(insert.fetch_one(self.conn().await?).await?)
    }

    async fn finish_publication(&mut self, publication: i64, changes: &str, fields: Option<&str>) -> Raw<()> {
        self.run(query(FINISH_PUBLICATION).bind(publication).bind(changes).bind(fields)).await.map(drop)
    }

    async fn move_runs_over(&mut self, to: i64, moves: &[RunMove], reason: i64, now_ms: i64) -> Raw<u64> {
        self.migrate(to, moves, reason, now_ms).await
    }

    async fn end_runs_of(
        &mut self,
        workflow: i64,
        except: Option<i64>,
        reason: i64,
        now_ms: i64,
    ) -> Raw<u64> {
        self.end_older(workflow, except, reason, now_ms).await
    }

    async fn pause(&mut self, workflow: i64, now_ms: i64) -> Raw<bool> {
        Ok(self.run(query(PAUSE).bind(workflow).bind(now_ms)).await? > 0)
    }

    async fn paused_since(&mut self, workflow: i64) -> Raw<Option<i64>> {
        Ok(query_scalar(PAUSED_SINCE).bind(workflow).fetch_optional(self.conn().await?).await?)
    }

    async fn spread_due(&mut self, workflow: i64, since_ms: i64, now_ms: i64) -> Raw<()> {
        self.run(query(SPREAD).bind(workflow).bind(since_ms).bind(now_ms)).await.map(drop)
    }

    async fn resume(&mut self, workflow: i64, now_ms: i64) -> Raw<()> {
        self.run(query(RESUME).bind(workflow).bind(now_ms)).await.map(drop)
    }
}
