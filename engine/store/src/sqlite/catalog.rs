//! What a workspace publishes: [`Catalog`].

use std::collections::BTreeSet;

use async_trait::async_trait;
use dripline_model::{
    Digest,
    clock::from_ms,
    id::{VersionId, WorkflowId},
    program,
    team::{Representative, Team},
};
use jiff::Timestamp;
use sqlx::{FromRow, SqliteConnection, query, query_as, query_scalar};

use super::{SqliteStore, writer::Writer};
use crate::{
    Catalog, History, NewVersion, Pause, PluginCode, Publication, Published, Release, Released, Result,
    RunMove, StoredProgram,
    backend::{Backend as _, Commit as _},
    error::{Doing as _, Raw, damaged, from_json},
    logic::{
        catalog::{self, Origin},
        limit, maybe_at, ms,
        teams::{self, TeamRow},
    },
    publishing::{Publishing, VersionFields},
    release::{PublicationRow, VersionRow as HistoryRow},
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

#[derive(FromRow)]
struct VersionRow {
    workflow_id: i64,
    id: i64,
    number: i64,
    published_at: i64,
    digest: String,
    program: String,
    source: String,
}

impl VersionRow {
    fn into_stored(self) -> Raw<StoredProgram> {
        let program: program::Program = from_json("program", &self.program)?;
        if program.format > program::FORMAT {
            let detail = format!(
                "version {} has format {}, which this program is too old for",
                self.id, program.format
            );
            return Err(damaged("program", detail));
        }
        Ok(StoredProgram {
            workflow: WorkflowId(self.workflow_id),
            version: VersionId(self.id),
            number: self.number,
            published_at: from_ms(self.published_at),
            digest: Digest::from_hex(self.digest),
            program,
            source: self.source,
        })
    }
}

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
impl Catalog for SqliteStore {
    async fn put_teams(&self, reps: &[Representative], teams: &[Team]) -> Result<()> {
        self.replace_teams(reps, teams).await.doing("store the teams")
    }

    async fn teams(&self) -> Result<Vec<Team>> {
        self.load_teams().await.doing("load the teams")
    }

    async fn representatives(&self) -> Result<Vec<Representative>> {
        self.load_representatives().await.doing("load the representatives")
    }

    async fn publish(&self, version: &NewVersion<'_>, now: Timestamp) -> Result<Published> {
        self.put_version(version, now).await.doing(format!("publish `{}`", version.program.name))
    }

    async fn release(&self, release: &Release<'_>, now: Timestamp) -> Result<Released> {
        self.put_release(release, now).await.doing("publish")
    }

    async fn retire_all_but(&self, names: &BTreeSet<&str>, now: Timestamp) -> Result<Vec<String>> {
        self.retire(names, now).await.doing("retire workflows")
    }

    async fn history(&self, workflow: &str) -> Result<Option<History>> {
        self.load_history(workflow).await.doing(format!("list the versions of `{workflow}`"))
    }

    async fn publications(&self, limit: usize) -> Result<Vec<Publication>> {
        self.load_publications(limit).await.doing("list what was published")
    }

    async fn program(&self, version: VersionId) -> Result<Option<StoredProgram>> {
        self.load_program(version).await.doing(format!("load version {version}"))
    }

    async fn current_programs(&self) -> Result<Vec<StoredProgram>> {
        self.load_current_programs().await.doing("load the workflows")
    }

    async fn pause(&self, workflow: WorkflowId, now: Timestamp) -> Result<bool> {
        self.put_pause(workflow, now).await.doing(format!("pause workflow {workflow}"))
    }

    async fn resume(&self, workflow: WorkflowId, spread: bool, now: Timestamp) -> Result<bool> {
        self.end_pause(workflow, spread, now).await.doing(format!("resume workflow {workflow}"))
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        let rows: sqlx::Result<Vec<(i64, i64, Option<i64>)>> =
            query_as(PAUSES).fetch_all(&self.shared.readers).await;
        let pauses =
            rows.doing("list the pauses of workflows")?.into_iter().map(|(workflow, from, until)| Pause {
                workflow: WorkflowId(workflow),
                from: from_ms(from),
                until: maybe_at(until),
            });
        Ok(pauses.collect())
    }

    async fn any_goals(&self) -> Result<bool> {
        let found = query_scalar(ANY_GOALS).fetch_one(&self.shared.readers).await;
        found.doing("look for workflows with goals")
    }

    async fn any_experiments(&self) -> Result<bool> {
        let found = query_scalar(ANY_EXPERIMENTS).fetch_one(&self.shared.readers).await;
        found.doing("look for workflows with experiments")
    }

    async fn revision(&self) -> Result<i64> {
        let revision = query_scalar(REVISION).fetch_one(&self.shared.readers).await;
        revision.doing("read the catalog's revision")
    }

    async fn plugin(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let wasm = query_scalar(PLUGIN).bind(digest.as_str()).fetch_optional(&self.shared.readers).await;
        wasm.doing(format!("load plugin {}", digest.short()))
    }

    async fn template(&self, digest: &Digest) -> Result<Option<String>> {
        let source = query_scalar(TEMPLATE).bind(digest.as_str()).fetch_optional(&self.shared.readers).await;
        source.doing(format!("load template {}", digest.short()))
    }
}

impl SqliteStore {
    async fn put_pause(&self, workflow: WorkflowId, now: Timestamp) -> Raw<bool> {
        let mut writer = self.writer().await?;
        let is_new = writer.run(query(PAUSE).bind(workflow.0).bind(ms(now))).await? > 0;
        if is_new {
            writer.run(query(NEXT_REVISION)).await?;
        }
        writer.commit().await?;
        Ok(is_new)
    }

    async fn end_pause(&self, workflow: WorkflowId, spread: bool, now: Timestamp) -> Raw<bool> {
        let mut writer = self.writer().await?;
        let since: Option<i64> =
            query_scalar(PAUSED_SINCE).bind(workflow.0).fetch_optional(writer.conn().await?).await?;
        let Some(since) = since else { return Ok(false) };
        if spread {
            writer.run(query(SPREAD).bind(workflow.0).bind(since).bind(ms(now))).await?;
        }
        writer.run(query(RESUME).bind(workflow.0).bind(ms(now))).await?;
        writer.run(query(NEXT_REVISION)).await?;
        writer.commit().await?;
        Ok(true)
    }
}

impl SqliteStore {
    async fn replace_teams(&self, reps: &[Representative], teams: &[Team]) -> Raw<()> {
        let mut writer = self.writer().await?;
        if catalog::put_teams(&mut writer, reps, teams).await? { writer.commit().await } else { Ok(()) }
    }

    async fn load_teams(&self) -> Raw<Vec<Team>> {
        all_teams(&mut self.reader().await?.conn).await
    }

    async fn load_representatives(&self) -> Raw<Vec<Representative>> {
        representatives(&mut self.reader().await?.conn).await
    }

    async fn put_version(&self, new: &NewVersion<'_>, now: Timestamp) -> Raw<Published> {
        let mut writer = self.writer().await?;
        let published = catalog::put_version(&mut writer, new, Origin::default(), now).await?;
        writer.commit().await?;
        Ok(published)
    }

    async fn put_release(&self, release: &Release<'_>, now: Timestamp) -> Raw<Released> {
        // No import goes on beside it that knows nothing of a new rule.
        let mut writer = self.importer().await?;
        let released = catalog::release(&mut writer, release, now).await?;
        if !released.is_empty() {
            writer.commit().await?;
        }
        Ok(released)
    }

    async fn load_history(&self, name: &str) -> Raw<Option<History>> {
        let named: Option<(i64, Option<i64>)> =
            query_as(NAMED).bind(name).fetch_optional(&self.shared.readers).await?;
        let Some((workflow, retired_at)) = named else { return Ok(None) };
        let rows: Vec<HistoryRow> = query_as(HISTORY).bind(workflow).fetch_all(&self.shared.readers).await?;
        Ok(Some(History {
            workflow: WorkflowId(workflow),
            retired_at: maybe_at(retired_at),
            versions: rows.into_iter().map(HistoryRow::into_summary).collect(),
        }))
    }

    async fn load_publications(&self, most: usize) -> Raw<Vec<Publication>> {
        let rows: Vec<PublicationRow> =
            query_as(PUBLICATIONS).bind(limit(most)).fetch_all(&self.shared.readers).await?;
        rows.into_iter().map(PublicationRow::into_publication).collect()
    }

    async fn retire(&self, names: &BTreeSet<&str>, now: Timestamp) -> Raw<Vec<String>> {
        let mut writer = self.writer().await?;
        let retired = catalog::retire(&mut writer, |name| !names.contains(name), now).await?;
        writer.commit().await?;
        Ok(retired.into_iter().map(|(_, name)| name).collect())
    }

    async fn load_program(&self, version: VersionId) -> Raw<Option<StoredProgram>> {
        let row: Option<VersionRow> =
            query_as(PROGRAM).bind(version.0).fetch_optional(&self.shared.readers).await?;
        row.map(VersionRow::into_stored).transpose()
    }

    async fn load_current_programs(&self) -> Raw<Vec<StoredProgram>> {
        let rows: Vec<VersionRow> = query_as(CURRENT_PROGRAMS).fetch_all(&self.shared.readers).await?;
        rows.into_iter().map(VersionRow::into_stored).collect()
    }
}

async fn all_teams(conn: &mut SqliteConnection) -> Raw<Vec<Team>> {
    let rows: Vec<TeamRow> = query_as(TEAMS).fetch_all(conn).await?;
    teams::from_rows(rows)
}

async fn representatives(conn: &mut SqliteConnection) -> Raw<Vec<Representative>> {
    Ok(teams::representatives(query_as(REPRESENTATIVES).fetch_all(conn).await?))
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

    async fn stored_representatives(&mut self) -> Raw<Vec<(String, String, Option<String>)>> {
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
        let ended = self.end_older(workflow, except, reason, now_ms).await?;
        crate::logic::kin::settle_ended(self, dripline_model::clock::from_ms(now_ms)).await?;
        Ok(ended)
    }
}
