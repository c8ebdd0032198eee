//! What a workspace publishes: teams, plugins, templates, workflows.

use std::collections::BTreeSet;

use async_trait::async_trait;
use dripline_model::{
    Digest,
    id::{VersionId, WorkflowId},
    program::Program,
    team::{Representative, Team},
};
use jiff::Timestamp;

use crate::{History, Publication, Release, Released, Result};

/// Verbs on what is published.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Makes the stored teams and representatives those of the file. A representative who is gone from it keeps the
    /// leads that are already assigned; a team that is gone is deleted.
    async fn put_teams(&self, reps: &[Representative], teams: &[Team]) -> Result<()>;

    /// All teams with their members.
    async fn teams(&self) -> Result<Vec<Team>>;

    /// All representatives.
    async fn representatives(&self) -> Result<Vec<Representative>>;

    /// Publishes a version: plugins, templates and program in one transaction. A program whose digest is already the
    /// workflow's current version changes nothing.
    async fn publish(&self, version: &NewVersion<'_>, now: Timestamp) -> Result<Published>;

    /// Publishes all of it in one transaction: versions, segments, teams, and what becomes of runs. Where nothing changes,
    /// nothing is written, and no publication is recorded.
    ///
    /// # Errors
    /// [`Superseded`](crate::ErrorKind::Superseded) when the catalog is not what the release was made for.
    async fn release(&self, release: &Release<'_>, now: Timestamp) -> Result<Released>;

    /// All versions of the workflow with this name, also of one that is retired.
    async fn history(&self, workflow: &str) -> Result<Option<History>>;

    /// What was published, the newest first.
    async fn publications(&self, limit: usize) -> Result<Vec<Publication>>;

    /// Retires every workflow that is not among `names`: it enrols nobody any more, and its active runs go on to their
    /// end. Publishing it again brings it back, as a new version. Answers the names of those that were retired just now.
    async fn retire_all_but(&self, names: &BTreeSet<&str>, now: Timestamp) -> Result<Vec<String>>;

    /// A version's program.
    async fn program(&self, version: VersionId) -> Result<Option<StoredProgram>>;

    /// The current version of every workflow that is not retired.
    async fn current_programs(&self) -> Result<Vec<StoredProgram>>;

    /// Pauses a workflow: none of its runs goes on until it is resumed. Answers whether it was not paused before.
    async fn pause(&self, workflow: WorkflowId, now: Timestamp) -> Result<bool>;

    /// Lets a paused workflow go on. With `spread`, what fell due meanwhile is put off by as long as the pause was. Answers
    /// whether it was paused.
    async fn resume(&self, workflow: WorkflowId, spread: bool, now: Timestamp) -> Result<bool>;

    /// The last pause of every workflow that was ever paused.
    async fn pauses(&self) -> Result<Vec<Pause>>;

    /// A number that changes with every publication, retirement, pause and change of the teams, so that who runs for weeks sees
    /// what others published.
    async fn revision(&self) -> Result<i64>;

    /// Whether any version that was ever published has goals or exits; a guess that may say yes where there are none.
    async fn any_goals(&self) -> Result<bool>;

    /// Whether any version that was ever published has an experiment; a guess that may say yes where there is none.
    async fn any_experiments(&self) -> Result<bool>;

    /// A plugin's code.
    async fn plugin(&self, digest: &Digest) -> Result<Option<Vec<u8>>>;

    /// A template's source.
    async fn template(&self, digest: &Digest) -> Result<Option<String>>;
}

/// What [`Catalog::publish`] takes.
#[derive(Debug)]
pub struct NewVersion<'a> {
    /// The checked program.
    pub program: &'a Program,
    /// The file as the author wrote it.
    pub source: &'a str,
    /// The code of each plugin that the program names.
    pub plugins: Vec<PluginCode<'a>>,
    /// The templates that the program names.
    pub templates: Vec<(Digest, &'a str)>,
}

/// A plugin's code on its way into the store.
#[derive(Debug, Clone)]
pub struct PluginCode<'a> {
    /// SHA-256 of `wasm`.
    pub digest: Digest,
    /// Name in its manifest.
    pub name: &'a str,
    /// Version in its manifest.
    pub version: &'a str,
    /// The component.
    pub wasm: &'a [u8],
}

/// What [`Catalog::publish`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The workflow.
    pub workflow: WorkflowId,
    /// Its current version.
    pub version: VersionId,
    /// Counts the workflow's versions from 1.
    pub number: i64,
    /// Whether this version is new.
    pub is_new: bool,
}

/// When a workflow was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// The workflow.
    pub workflow: WorkflowId,
    /// Since when.
    pub from: Timestamp,
    /// Until when; `None` while it is.
    pub until: Option<Timestamp>,
}

/// A program as stored.
#[derive(Debug, Clone)]
pub struct StoredProgram {
    /// The workflow.
    pub workflow: WorkflowId,
    /// The version.
    pub version: VersionId,
    /// Counts the workflow's versions from 1.
    pub number: i64,
    /// When it was published.
    pub published_at: Timestamp,
    /// The program's digest.
    pub digest: Digest,
    /// The program.
    pub program: Program,
    /// The file as the author wrote it.
    pub source: String,
}
