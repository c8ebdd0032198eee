//! What the logic of publishing asks of a backend, beside the sets of rows that a batch uses.

use async_trait::async_trait;
use dripline_model::Digest;

use crate::{PluginCode, RunMove, error::Raw, logic::teams::TeamRow, sets::Sets};

/// One write transaction of somebody who publishes. Instants are milliseconds since the epoch, words are ids of the
/// dictionary.
#[async_trait]
pub(crate) trait Publishing: Sets {
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
    /// The representatives: key, name, address.
    async fn stored_representatives(&mut self) -> Raw<Vec<(String, String, Option<String>)>>;

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
