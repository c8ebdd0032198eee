//! What the logic of publishing asks of a backend, beside the sets of rows that a batch uses.

use async_trait::async_trait;
use dripline_model::{
    Digest,
    clock::from_ms,
    id::{VersionId, WorkflowId},
    program,
};
use sqlx::FromRow;

use crate::{
    PluginCode, RunMove, StoredProgram,
    error::{Raw, damaged, from_json},
    logic::{kin::KinSets, teams::TeamRow},
    release::{PublicationRow, VersionRow},
};

/// A representative's row: key, name, address.
pub(crate) type RepresentativeRow = (String, String, Option<String>);

/// What is published, for who reads it.
#[async_trait]
pub(crate) trait CatalogAnswers: Send {
    /// The teams, member by member.
    async fn teams(&mut self) -> Raw<Vec<TeamRow>>;
    /// The representatives.
    async fn representatives(&mut self) -> Raw<Vec<RepresentativeRow>>;
    /// The workflow of this name: its id, and since when it is retired.
    async fn named(&mut self, workflow: &str) -> Raw<Option<(i64, Option<i64>)>>;
    /// A workflow's versions, the newest first.
    async fn versions_of(&mut self, workflow: i64) -> Raw<Vec<VersionRow>>;
    /// What was published, the newest first.
    async fn publications(&mut self, limit: i64) -> Raw<Vec<PublicationRow>>;
    /// A version with its program.
    async fn program(&mut self, version: i64) -> Raw<Option<ProgramRow>>;
    /// The current version of every workflow that is not retired, by name.
    async fn current_programs(&mut self) -> Raw<Vec<ProgramRow>>;
    /// The last pause of every workflow that was ever paused: workflow, from, until.
    async fn pauses(&mut self) -> Raw<Vec<(i64, i64, Option<i64>)>>;
    /// The catalog's revision.
    async fn revision(&mut self) -> Raw<i64>;
    /// Whether any version has goals or exits, as far as its text tells.
    async fn any_goals(&mut self) -> Raw<bool>;
    /// Whether any version has an experiment, as far as its text tells.
    async fn any_experiments(&mut self) -> Raw<bool>;
    /// A plugin's code.
    async fn plugin(&mut self, digest: &str) -> Raw<Option<Vec<u8>>>;
    /// A template's source.
    async fn template(&mut self, digest: &str) -> Raw<Option<String>>;
}

/// A version with its program, as stored.
#[derive(Debug, FromRow)]
pub(crate) struct ProgramRow {
    workflow_id: i64,
    id: i64,
    number: i64,
    published_at: i64,
    digest: String,
    program: String,
    source: String,
}

impl ProgramRow {
    pub(crate) fn into_stored(self) -> Raw<StoredProgram> {
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

/// One write transaction of somebody who publishes. Instants are milliseconds since the epoch, words are ids of the
/// dictionary.
#[async_trait]
pub(crate) trait Publishing: KinSets {
    /// Makes a workflow, or brings a retired one back: its id, and whether it did either.
    async fn put_workflow(&mut self, name: &str, now_ms: i64) -> Raw<(i64, bool)>;
    /// The workflows that are not retired: id, name.
    async fn workflows_in_use(&mut self) -> Raw<Vec<(i64, String)>>;
    /// Retires a workflow.
    async fn retire_workflow(&mut self, workflow: i64, now_ms: i64) -> Raw<()>;
    /// A workflow's newest version: id, number, digest.
    async fn newest_version(&mut self, workflow: i64) -> Raw<Option<(i64, i64, String)>>;
    /// The current version of each workflow that is not retired: name, number, digest.
    async fn current_versions(&mut self) -> Raw<Vec<(String, i64, String)>>;
    /// Stores a plugin's code, unless it is there.
    async fn put_plugin(&mut self, plugin: &PluginCode<'_>) -> Raw<()>;
    /// Stores a template, unless it is there.
    async fn put_template(&mut self, digest: &Digest, source: &str) -> Raw<()>;
    /// Stores a version; answers its id.
    async fn insert_version(&mut self, version: &VersionFields<'_>) -> Raw<i64>;

    /// The teams, member by member.
    async fn stored_teams(&mut self) -> Raw<Vec<TeamRow>>;
    /// The representatives.
    async fn stored_representatives(&mut self) -> Raw<Vec<RepresentativeRow>>;

    /// `fields.yaml` as it was last published, if it was; `None` where nothing was published yet.
    async fn stored_fields(&mut self) -> Raw<Option<Option<String>>>;
    /// Records a publication of which is not known yet what it changes; answers its id.
    async fn insert_publication(&mut self, author: &str, note: Option<&str>, now_ms: i64) -> Raw<i64>;
    /// Records what a publication has changed: JSON, and `fields.yaml` as it is now.
    async fn finish_publication(&mut self, publication: i64, changes: &str, fields: Option<&str>) -> Raw<()>;

    /// Moves active runs to steps of the version `to`, with a decision for each. Answers how many.
    async fn move_runs_over(&mut self, to: i64, moves: &[RunMove], reason: i64, now_ms: i64) -> Raw<u64>;
    /// Ends the active runs of a workflow that stand on other versions than `except`, with a decision for each. Answers how
    /// many.
    async fn end_runs_of(&mut self, workflow: i64, except: Option<i64>, reason: i64, now_ms: i64)
    -> Raw<u64>;

    /// Pauses a workflow; answers whether it was not paused before.
    async fn pause(&mut self, workflow: i64, now_ms: i64) -> Raw<bool>;
    /// Since when a workflow is paused, if it is.
    async fn paused_since(&mut self, workflow: i64) -> Raw<Option<i64>>;
    /// Puts off what fell due during a pause by as long as it was.
    async fn spread_due(&mut self, workflow: i64, since_ms: i64, now_ms: i64) -> Raw<()>;
    /// Ends the pause of a workflow.
    async fn resume(&mut self, workflow: i64, now_ms: i64) -> Raw<()>;
}

/// A version to store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VersionFields<'a> {
    pub(crate) workflow: i64,
    pub(crate) number: i64,
    pub(crate) digest: &'a Digest,
    /// JSON.
    pub(crate) program: &'a str,
    pub(crate) source: &'a str,
    pub(crate) published_ms: i64,
    pub(crate) publication: Option<i64>,
    pub(crate) restores: Option<i64>,
}
