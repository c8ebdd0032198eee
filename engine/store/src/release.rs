//! What is published together: workflows, segments, teams, scores, and what becomes of the runs on older versions.

use dripline_model::{
    Digest,
    clock::from_ms,
    id::{VersionId, WorkflowId},
    score::Scores,
    segment::Segment,
    team::{Representative, Team},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::FromRow;

use crate::{
    NewSegment, NewVersion, Published, RunMove, SegmentsPublished, StoredProgram, StoredSegment,
    error::{Raw, from_json},
};

/// What [`Catalog::release`](crate::Catalog::release) publishes, all of it or nothing.
#[derive(Debug)]
pub struct Release<'a> {
    /// What the catalog was ([`catalog_state`]) when this was decided. If it is another by now, nothing is published.
    pub made_for: Digest,
    /// The versions; those that are current already change nothing.
    pub versions: Vec<NewRelease<'a>>,
    /// The workflows that enrol nobody any more, and what becomes of their runs. One that is retired already is passed over.
    pub retired: Vec<Retirement<'a>>,
    /// What belongs to all workflows; left out, it stays.
    pub shared: Option<Shared<'a>>,
    /// Who publishes.
    pub author: &'a str,
    /// Why.
    pub note: Option<&'a str>,
}

/// A version on its way into the catalog.
#[derive(Debug)]
pub struct NewRelease<'a> {
    /// The version.
    pub version: NewVersion<'a>,
    /// What becomes of the runs that stand on older ones.
    pub older_runs: OlderRuns,
    /// The number of the older version whose program it has again.
    pub restores: Option<i64>,
}

/// A workflow that is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement<'a> {
    /// Its name.
    pub workflow: &'a str,
    /// Whether its runs end now; else they go on to their end.
    pub end_runs: bool,
}

/// What becomes of the runs that stand on older versions of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OlderRuns {
    /// They stay on their versions.
    Stay,
    /// They move where this says; the others stay.
    Move(Vec<RunMove>),
    /// They end.
    End,
}

/// What belongs to all workflows.
#[derive(Debug, Clone)]
pub struct Shared<'a> {
    /// Everybody who receives leads.
    pub representatives: &'a [Representative],
    /// The teams.
    pub teams: &'a [Team],
    /// The segments; left out, they stay as they are.
    pub segments: Option<&'a [NewSegment<'a>]>,
    /// `fields.yaml`, if there is one.
    pub fields: Option<&'a str>,
    /// The declared scores.
    pub scores: &'a Scores,
}

/// What [`Catalog::release`](crate::Catalog::release) did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Released {
    /// The versions that are new.
    pub versions: Vec<ReleasedVersion>,
    /// The workflows that were retired, and how many of their runs ended.
    pub retired: Vec<(String, u64)>,
    /// What became of segments.
    pub segments: SegmentsPublished,
    /// Whether the teams changed.
    pub teams: bool,
    /// Whether `fields.yaml` changed.
    pub fields: bool,
    /// The scores that are declared otherwise than before.
    pub scores: Vec<String>,
}

/// A version that is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasedVersion {
    /// The workflow's name.
    pub name: String,
    /// The version.
    pub published: Published,
    /// How many runs moved to it.
    pub moved: u64,
    /// How many runs on older versions ended.
    pub ended: u64,
}

impl Released {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is remembered of it.
    pub(crate) fn changes(&self) -> Changes {
        Changes {
            published: self
                .versions
                .iter()
                .map(|version| ChangedWorkflow {
                    workflow: version.name.clone(),
                    version: version.published.number,
                    moved: version.moved,
                    ended: version.ended,
                })
                .collect(),
            retired: self.retired.iter().map(|(name, _)| name.clone()).collect(),
            segments: self.segments.published.clone(),
            withdrawn: self.segments.withdrawn.clone(),
            teams: self.teams,
            fields: self.fields,
            scores: self.scores.clone(),
        }
    }
}

/// Somebody published something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Counts all publications, upwards.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub author: String,
    /// Why.
    pub note: Option<String>,
    /// What.
    pub changes: Changes,
    /// `fields.yaml` as it was then.
    pub fields: Option<String>,
}

/// What a publication changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// Workflows with a new version.
    pub published: Vec<ChangedWorkflow>,
    /// Workflows that were retired.
    pub retired: Vec<String>,
    /// Segments that are new or changed.
    pub segments: Vec<String>,
    /// Segments whose files are gone.
    pub withdrawn: Vec<String>,
    /// Whether the teams changed.
    pub teams: bool,
    /// Whether `fields.yaml` changed.
    pub fields: bool,
    /// The scores that are declared otherwise than before.
    pub scores: Vec<String>,
}

/// A workflow with a new version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangedWorkflow {
    /// Its name.
    pub workflow: String,
    /// The version's number.
    pub version: i64,
    /// How many runs moved to it.
    pub moved: u64,
    /// How many runs on older versions ended.
    pub ended: u64,
}

/// All versions of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The workflow.
    pub workflow: WorkflowId,
    /// Since when it enrols nobody any more; `None` while it does.
    pub retired_at: Option<Timestamp>,
    /// The versions, the newest first.
    pub versions: Vec<VersionSummary>,
}

/// A version, without its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSummary {
    /// The version.
    pub version: VersionId,
    /// Counts the workflow's versions from 1.
    pub number: i64,
    /// The program's digest.
    pub digest: Digest,
    /// When it was published.
    pub published_at: Timestamp,
    /// By whom; not known of what was published before anybody took note.
    pub author: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// The number of the older version whose program it has again.
    pub restores: Option<i64>,
}

/// What names the state of the catalog: it is another as soon as any workflow, segment, team, declared field or score is. A pause is
/// no part of it.
pub fn catalog_state(
    programs: &[StoredProgram],
    segments: &[StoredSegment],
    representatives: &[Representative],
    teams: &[Team],
    fields: Option<&str>,
    scores: &Scores,
) -> Digest {
    let versions =
        programs.iter().map(|stored| (&*stored.program.name, stored.number, stored.digest.as_str()));
    let segments = segments.iter().filter_map(|segment| segment.definition.as_ref());
    state(versions.collect(), segments.collect(), representatives, teams, fields, scores)
}

/// See [`catalog_state`]; a version is the workflow's name, its number and its digest.
pub(crate) fn state(
    mut versions: Vec<(&str, i64, &str)>,
    mut segments: Vec<&Segment>,
    representatives: &[Representative],
    teams: &[Team],
    fields: Option<&str>,
    scores: &Scores,
) -> Digest {
    versions.sort_unstable();
    segments.sort_by(|one, other| one.name.cmp(&other.name));
    let state = json!({
        "versions": versions,
        "segments": segments.iter().map(|segment| segment.digest()).collect::<Vec<_>>(),
        "representatives": representatives,
        "teams": teams,
        "fields": fields,
        "scores": scores,
    });
    Digest::of(state.to_string().as_bytes())
}

/// A version's row.
#[derive(Debug, FromRow)]
pub(crate) struct VersionRow {
    id: i64,
    number: i64,
    digest: String,
    published_at: i64,
    author: Option<String>,
    note: Option<String>,
    restores: Option<i64>,
}

impl VersionRow {
    pub(crate) fn into_summary(self) -> VersionSummary {
        VersionSummary {
            version: VersionId(self.id),
            number: self.number,
            digest: Digest::from_hex(self.digest),
            published_at: from_ms(self.published_at),
            author: self.author,
            note: self.note,
            restores: self.restores,
        }
    }
}

/// A publication's row.
#[derive(Debug, FromRow)]
pub(crate) struct PublicationRow {
    id: i64,
    at: i64,
    author: String,
    note: Option<String>,
    changes: String,
    fields: Option<String>,
}

impl PublicationRow {
    pub(crate) fn into_publication(self) -> Raw<Publication> {
        Ok(Publication {
            id: self.id,
            at: from_ms(self.at),
            author: self.author,
            note: self.note,
            changes: from_json("changes", &self.changes)?,
            fields: self.fields,
        })
    }
}
