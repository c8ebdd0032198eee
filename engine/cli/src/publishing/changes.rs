//! What is different between the workspace's files and what is published.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dripline_model::{
    Digest,
    policy::OnPublish,
    program::Program,
    score::Scores,
    segment::Segment,
    suggest,
    team::{Representative, Team},
};
use dripline_store::{Store, StoredProgram, StoredSegment, catalog_state};
use dripline_workflow::{Source, fields};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    commands::score,
    output::plural,
    problem::Problem,
    workspace::{CheckedWorkspace, LoadedPlugin, Workspace},
};

/// The workspace's files, checked, with everything that is published of them.
pub(crate) struct Files {
    /// Workflows, segments, teams and templates.
    pub(crate) checked: CheckedWorkspace,
    /// The plugins that are installed.
    pub(crate) plugins: BTreeMap<String, LoadedPlugin>,
    /// `fields.yaml`, if there is one.
    pub(crate) fields: Option<String>,
}

/// What is published, as it was read at one time.
pub(crate) struct Catalog {
    /// The current version of each workflow that is not retired.
    pub(crate) programs: Vec<StoredProgram>,
    /// All segments.
    pub(crate) segments: Vec<StoredSegment>,
    /// Everybody who receives leads.
    pub(crate) representatives: Vec<Representative>,
    /// The teams.
    pub(crate) teams: Vec<Team>,
    /// `fields.yaml` as it was last published, if it was; `None` where nothing was published yet.
    pub(crate) fields: Option<Option<String>>,
    /// The declared scores.
    pub(crate) scores: Arc<Scores>,
    /// What names all of that.
    pub(crate) state: Digest,
}

/// What a person chose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Choice {
    /// Only these workflows; all where none is named.
    pub(crate) workflows: Vec<String>,
    /// What becomes of runs on older versions, whatever the files say.
    pub(crate) runs: Option<OnPublish>,
    /// Where those go who stand at a step that has another id now.
    pub(crate) map: Vec<(String, String)>,
}

/// What is different.
pub(crate) struct Changes<'a> {
    /// The workflows, in the order of their names.
    pub(crate) workflows: Vec<WorkflowChange<'a>>,
    /// How many workflows stay as they are.
    pub(crate) unchanged: usize,
    /// The segments.
    pub(crate) segments: Vec<SegmentChange<'a>>,
    /// Teams and representatives.
    pub(crate) teams: Vec<ItemChange>,
    /// The declared attributes and topics.
    pub(crate) fields: Vec<ItemChange>,
    /// Whether `fields.yaml` is another text.
    pub(crate) are_fields_new: bool,
    /// The declared scores.
    pub(crate) scores: Vec<ItemChange>,
}

/// A workflow that is not what is published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkflowChange<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// What is published.
    pub(crate) old: Option<&'a StoredProgram>,
    /// What the file says.
    pub(crate) new: Option<(&'a Source, &'a Program)>,
    /// What becomes of runs on older versions.
    pub(crate) runs: OnPublish,
}

/// How a thing is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// It is new.
    New,
    /// It is another.
    Changed,
    /// It is gone.
    Gone,
}

impl Kind {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }

    fn of(had: bool, has: bool) -> Self {
        match (had, has) {
            (false, _) => Self::New,
            (true, true) => Self::Changed,
            (true, false) => Self::Gone,
        }
    }
}

/// A segment that is not what is published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentChange<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// What is published.
    pub(crate) old: Option<&'a Segment>,
    /// What the file says.
    pub(crate) new: Option<&'a Segment>,
    /// How many members it has now.
    pub(crate) members: u64,
}

impl SegmentChange<'_> {
    /// How it is different.
    pub(crate) fn kind(&self) -> Kind {
        Kind::of(self.old.is_some(), self.new.is_some())
    }

    /// The rule before and now, where it is another.
    pub(crate) fn rules(&self) -> (Option<&str>, Option<&str>) {
        let rule = |segment: Option<&Segment>| segment.and_then(|segment| segment.rule.clone());
        if rule(self.old) == rule(self.new) {
            return (None, None);
        }
        (
            self.old.and_then(|segment| segment.rule.as_deref()),
            self.new.and_then(|segment| segment.rule.as_deref()),
        )
    }
}

/// A named thing that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ItemChange {
    /// What it is: `team`, `representative`, `attribute`, `topic`, `score`.
    pub(crate) what: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// How it is different.
    pub(crate) change: Kind,
    /// What it was.
    pub(crate) old: Option<String>,
    /// What it is.
    pub(crate) new: Option<String>,
}

impl Files {
    /// What names everything that would be published.
    pub(crate) fn digest(&self) -> Digest {
        let workflows: BTreeMap<&str, (Digest, Digest)> = self
            .checked
            .programs()
            .map(|(source, program)| {
                (program.name.as_str(), (program.digest(), Digest::of(source.text.as_bytes())))
            })
            .collect();
        let segments: BTreeMap<&str, (Digest, &str)> = self
            .checked
            .segments
            .iter()
            .filter_map(|file| {
                let segment = file.segment.as_ref()?;
                Some((segment.name.as_str(), (segment.digest(), file.source.text.as_str())))
            })
            .collect();
        let all = json!({
            "workflows": workflows,
            "segments": segments,
            "representatives": self.checked.representatives,
            "teams": self.checked.teams,
            "fields": self.fields,
            "scores": self.checked.scores,
        });
        Digest::of(all.to_string().as_bytes())
    }

    /// The workflow's file, if there is one without errors.
    pub(crate) fn workflow(&self, name: &str) -> Option<(&Source, &Program)> {
        self.checked.programs().find(|(_, program)| program.name == name)
    }
}

impl Workspace {
    /// The text of `fields.yaml`, if there is one.
    pub(crate) fn fields_text(&self) -> Result<Option<String>, Problem> {
        let path = self.path(fields::FILE);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(self.read_source(&path)?.text))
    }
}

impl Catalog {
    /// Reads what is published.
    pub(crate) async fn read(store: &dyn Store) -> Result<Self, Problem> {
        let programs = store.current_programs().await?;
        let segments = store.segments().await?;
        let representatives = store.representatives().await?;
        let teams = store.teams().await?;
        let last = store.publications(1).await?.pop();
        let fields = last.map(|publication| publication.fields);
        let scores = store.declared_scores().await?;
        let state = catalog_state(
            &programs,
            &segments,
            &representatives,
            &teams,
            fields.as_ref().and_then(|fields| fields.as_deref()),
            &scores,
        );
        Ok(Self { programs, segments, representatives, teams, fields, scores, state })
    }
}

impl<'a> Changes<'a> {
    /// Compares the files with what is published.
    pub(crate) fn between(files: &'a Files, catalog: &'a Catalog, choice: &Choice) -> Result<Self, Problem> {
        let on_disk: BTreeMap<&str, (&Source, &Program)> = files
            .checked
            .programs()
            .map(|(source, program)| (program.name.as_str(), (source, program)))
            .collect();
        let published: BTreeMap<&str, &StoredProgram> =
            catalog.programs.iter().map(|stored| (stored.program.name.as_str(), stored)).collect();
        let mut names: BTreeSet<&str> = on_disk.keys().chain(published.keys()).copied().collect();
        if let Some(unknown) = choice.workflows.iter().find(|name| !names.contains(name.as_str())) {
            let problem = Problem::input(format!(
                "there is no workflow `{unknown}`, neither in the files nor published"
            ));
            return Err(match suggest::closest(unknown, names.iter().copied()) {
                Some(near) => problem.with_help(format!("did you mean `{near}`?")),
                None => problem.with_help("`dripline workflows list` shows them"),
            });
        }
        if !choice.workflows.is_empty() {
            names.retain(|name| choice.workflows.iter().any(|wanted| wanted == name));
        }
        let all = names.len();
        let mut workflows = Vec::new();
        for name in names {
            let (old, new) = (published.get(name).copied(), on_disk.get(name).copied());
            let is_same = old.zip(new).is_some_and(|(old, (_, new))| old.digest == new.digest());
            if !is_same {
                let said = new.and_then(|(_, program)| program.policies.on_publish);
                let runs = choice.runs.or(said).unwrap_or_default();
                workflows.push(WorkflowChange { name, old, new, runs });
            }
        }
        let unchanged = all - workflows.len();
        Ok(Self {
            workflows,
            unchanged,
            segments: segments(files, catalog),
            teams: teams(files, catalog),
            fields: fields_between(catalog, files.fields.as_deref()),
            are_fields_new: catalog.fields.as_ref().is_some_and(|fields| *fields != files.fields),
            scores: scores(&catalog.scores, &files.checked.scores),
        })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.workflows.is_empty()
            && self.segments.is_empty()
            && self.teams.is_empty()
            && !self.are_fields_new
            && self.scores.is_empty()
    }

    /// `1 new workflow, 2 changed segments, teams`
    pub(crate) fn summary(&self) -> String {
        let mut parts = Vec::new();
        for kind in [Kind::New, Kind::Changed, Kind::Gone] {
            let number = self.workflows.iter().filter(|change| change.kind() == kind).count();
            if number > 0 {
                parts.push(plural(number as u64, &format!("{} workflow", kind.word())));
            }
        }
        for kind in [Kind::New, Kind::Changed, Kind::Gone] {
            let number = self.segments.iter().filter(|change| change.kind() == kind).count();
            if number > 0 {
                parts.push(plural(number as u64, &format!("{} segment", kind.word())));
            }
        }
        if !self.teams.is_empty() {
            parts.push("other teams".to_owned());
        }
        if self.are_fields_new {
            parts.push("other fields".to_owned());
        }
        if !self.scores.is_empty() {
            parts.push("other scores".to_owned());
        }
        parts.join(", ")
    }
}

impl WorkflowChange<'_> {
    /// How it is different.
    pub(crate) fn kind(&self) -> Kind {
        Kind::of(self.old.is_some(), self.new.is_some())
    }
}

fn segments<'a>(files: &'a Files, catalog: &'a Catalog) -> Vec<SegmentChange<'a>> {
    let on_disk: BTreeMap<&str, &Segment> = files
        .checked
        .segments
        .iter()
        .filter_map(|file| file.segment.as_ref())
        .map(|segment| (segment.name.as_str(), segment))
        .collect();
    let stored: BTreeMap<&str, &StoredSegment> =
        catalog.segments.iter().map(|segment| (segment.name.as_str(), segment)).collect();
    let names: BTreeSet<&str> = on_disk.keys().chain(stored.keys()).copied().collect();
    let mut changes = Vec::new();
    for name in names {
        let old = stored.get(name).and_then(|stored| stored.definition.as_ref());
        let new = on_disk.get(name).copied();
        if old != new {
            let members = stored.get(name).map_or(0, |stored| stored.members);
            changes.push(SegmentChange { name, old, new, members });
        }
    }
    changes
}

/// Compares things that have names.
fn items(
    what: &'static str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<ItemChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changes = names.into_iter().map(|name| {
        let (old, new) = (old.get(name).cloned(), new.get(name).cloned());
        ItemChange { what, name: name.clone(), change: Kind::of(old.is_some(), new.is_some()), old, new }
    });
    changes.filter(|change| change.old != change.new).collect()
}

fn scores(old: &Scores, new: &Scores) -> Vec<ItemChange> {
    let names: BTreeSet<&str> = old.names().chain(new.names()).collect();
    let names = names.into_iter().filter(|name| old.get(name) != new.get(name));
    let changes = names.map(|name| {
        let (old, new) = (old.get(name).map(score::in_words), new.get(name).map(score::in_words));
        let change = Kind::of(old.is_some(), new.is_some());
        ItemChange { what: "score", name: name.to_owned(), change, old, new }
    });
    changes.collect()
}

fn teams(files: &Files, catalog: &Catalog) -> Vec<ItemChange> {
    let team = |team: &Team| {
        let members = team.members.iter().map(|member| match member.weight {
            1 => member.rep.clone(),
            weight => format!("{} ({weight})", member.rep),
        });
        (team.key.clone(), format!("{}: {}", team.name, members.collect::<Vec<_>>().join(", ")))
    };
    let person = |one: &Representative| {
        let address = one.email.as_ref().map(|email| format!(" <{email}>")).unwrap_or_default();
        (one.key.clone(), format!("{}{address}", one.name))
    };
    let checked = &files.checked;
    let mut changes =
        items("team", &catalog.teams.iter().map(team).collect(), &checked.teams.iter().map(team).collect());
    changes.extend(items(
        "representative",
        &catalog.representatives.iter().map(person).collect(),
        &checked.representatives.iter().map(person).collect(),
    ));
    if changes.is_empty()
        && (catalog.teams != checked.teams || catalog.representatives != checked.representatives)
    {
        let order = |names: Vec<&str>| Some(names.join(", "));
        let keys = |teams: &[Team], people: &[Representative]| {
            let teams = teams.iter().map(|team| team.key.clone());
            teams.chain(people.iter().map(|one| one.key.clone())).collect::<Vec<_>>()
        };
        let (old, new) =
            (keys(&catalog.teams, &catalog.representatives), keys(&checked.teams, &checked.representatives));
        changes.push(ItemChange {
            what: "order",
            name: "teams and representatives".to_owned(),
            change: Kind::Changed,
            old: order(old.iter().map(String::as_str).collect()),
            new: order(new.iter().map(String::as_str).collect()),
        });
    }
    changes
}

/// What is declared of contacts, before and now. Of what was declared before the first publication nothing is known, and a
/// text that cannot be read declares nothing.
fn fields_between(catalog: &Catalog, new: Option<&str>) -> Vec<ItemChange> {
    let Some(old) = &catalog.fields else { return Vec::new() };
    let declared = |text: Option<&str>| {
        let source = Source { path: fields::FILE.to_owned(), text: text?.to_owned() };
        fields::parse(&source).ok()
    };
    let (old, new) = (declared(old.as_deref()).unwrap_or_default(), declared(new).unwrap_or_default());
    let attributes = |fields: &dripline_model::field::Fields| -> BTreeMap<String, String> {
        let attributes = fields.attributes().map(|(name, field)| {
            let of = field.field_type.map_or("any type", |of| of.name());
            let values = match field.values.as_slice() {
                [] => String::new(),
                values => format!(": {}", values.join(", ")),
            };
            (name.to_owned(), format!("{of}{values}"))
        });
        attributes.collect()
    };
    let topics = |fields: &dripline_model::field::Fields| -> BTreeMap<String, String> {
        let topics = fields.topics().into_iter().flatten();
        topics.map(|topic| (topic.clone(), "declared".to_owned())).collect()
    };
    let mut changes = items("attribute", &attributes(&old), &attributes(&new));
    changes.extend(items("topic", &topics(&old), &topics(&new)));
    changes
}
