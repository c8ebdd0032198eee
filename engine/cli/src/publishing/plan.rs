//! What publishing would do, for people, for programs, and to be done exactly so later.

use std::{fs, path::Path, sync::Arc};

use dripline_model::{
    Digest,
    difference::Difference,
    policy::{Cap, OnPublish},
    program::{Occasion, Program, Trigger},
};
use dripline_runtime::Rules;
use dripline_store::Store;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    audience::{self, Audience, Precision},
    caps::{self, CapConflict},
    changes::{Catalog, Changes, Choice, Files, ItemChange, Kind, SegmentChange, WorkflowChange},
    lines::{Line, lines},
    runs::{Place, Standings, check_map},
};
use crate::problem::Problem;

/// The format of a plan's JSON.
const FORMAT: u32 = 1;

/// What publishing would do. Its JSON is part of Dripline's interface.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Plan {
    /// See [`FORMAT`].
    pub(crate) format: u32,
    /// When it was made.
    pub(crate) made_at: Timestamp,
    /// What names the files for which it was made.
    pub(crate) files: Digest,
    /// What names the catalog for which it was made.
    pub(crate) store: Digest,
    /// What was chosen.
    pub(crate) choice: Choice,
    /// Whether there is anything to publish.
    pub(crate) changes: bool,
    /// The workflows that are not what is published.
    pub(crate) workflows: Vec<WorkflowPlan>,
    /// How many workflows stay as they are.
    pub(crate) unchanged: usize,
    /// Segments.
    pub(crate) segments: Vec<SegmentPlan>,
    /// Teams and representatives.
    pub(crate) teams: Vec<ItemChange>,
    /// Declared attributes and topics.
    pub(crate) fields: Vec<ItemChange>,
    /// Declared scores.
    pub(crate) scores: Vec<ItemChange>,
    /// What caps would have to hold back.
    pub(crate) caps: Vec<CapConflict>,
    /// All of it in one line.
    #[serde(skip)]
    pub(crate) summary: String,
}

/// What would become of one workflow.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WorkflowPlan {
    /// Its name.
    pub(crate) name: String,
    /// How it is different.
    pub(crate) change: Kind,
    /// Its file.
    pub(crate) file: Option<String>,
    /// The number of the version that is current.
    pub(crate) version: Option<i64>,
    /// The number that the new version will have.
    pub(crate) new_version: Option<i64>,
    /// What is different; of a new workflow nothing.
    pub(crate) difference: Difference,
    /// The templates that say something else, line by line.
    pub(crate) templates: Vec<TemplateText>,
    /// What becomes of runs on older versions.
    pub(crate) runs: OnPublish,
    /// Who stands where, and what would become of them.
    pub(crate) standing: Vec<Place>,
    /// How many contacts `enroll.if` admits now.
    pub(crate) admits: Option<Audience>,
    /// The segments that start runs, and how many contacts are in them.
    pub(crate) segments: Vec<Members>,
}

/// What is different in a template.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TemplateText {
    /// Its name.
    pub(crate) name: String,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

/// A segment that starts runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Members {
    /// Its name.
    pub(crate) name: String,
    /// How many contacts are in it; by the rule that would be published.
    pub(crate) contacts: u64,
}

/// What would become of a segment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SegmentPlan {
    /// Its name.
    pub(crate) name: String,
    /// How it is different.
    pub(crate) change: Kind,
    /// The rule before, where it is another.
    pub(crate) old_rule: Option<String>,
    /// The rule now, where it is another.
    pub(crate) new_rule: Option<String>,
    /// How many members it has now.
    pub(crate) members: u64,
    /// How many it would have; none where that does not change.
    pub(crate) will_have: Option<u64>,
}

impl Plan {
    /// Works out what publishing would do.
    pub(crate) async fn of(
        store: &dyn Store,
        files: &Files,
        catalog: &Catalog,
        changes: &Changes<'_>,
        choice: &Choice,
        caps: &[Cap],
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let standings = Standings::read(store, catalog).await?;
        check_map(changes, &standings, choice)?;
        let definitions = files.checked.segments.iter().filter_map(|file| file.segment.clone());
        let rules =
            Rules::new(definitions, Arc::new(files.checked.scores.clone())).map_err(Problem::input)?;
        let around = Around { store, files, standings: &standings, rules: &rules, changes, choice, now };
        let mut workflows = Vec::with_capacity(changes.workflows.len());
        for change in &changes.workflows {
            workflows.push(around.workflow(change).await?);
        }
        let mut segments = Vec::with_capacity(changes.segments.len());
        for change in &changes.segments {
            segments.push(around.segment(change).await?);
        }
        let caps = caps::conflicts(store, files, catalog, changes, &standings, caps, now).await?;
        Ok(Self {
            format: FORMAT,
            made_at: now,
            files: files.digest(),
            store: catalog.state.clone(),
            choice: choice.clone(),
            changes: !changes.is_empty(),
            workflows,
            unchanged: changes.unchanged,
            segments,
            teams: changes.teams.clone(),
            fields: changes.fields.clone(),
            scores: changes.scores.clone(),
            caps,
            summary: changes.summary(),
        })
    }
}

/// What a plan is worked out with.
struct Around<'a> {
    store: &'a dyn Store,
    files: &'a Files,
    standings: &'a Standings,
    rules: &'a Rules,
    changes: &'a Changes<'a>,
    choice: &'a Choice,
    now: Timestamp,
}

impl Around<'_> {
    async fn workflow(&self, change: &WorkflowChange<'_>) -> Result<WorkflowPlan, Problem> {
        let program = change.new.map(|(_, program)| program);
        let (difference, templates) = match (change.old, program) {
            (Some(old), Some(new)) => {
                let difference = Difference::between(&old.program, new);
                let templates = self.templates(&difference).await?;
                (difference, templates)
            }
            _ => Default::default(),
        };
        let last = self.last_number(change).await?;
        let mut admits = None;
        let mut segments = Vec::new();
        if let Some(program) = program {
            admits = audience::admitted(self.store, program.enroll_if.as_deref(), self.now).await?;
            for name in triggering_segments(program) {
                segments.push(Members { name: name.to_owned(), contacts: self.members(name).await? });
            }
        }
        Ok(WorkflowPlan {
            name: change.name.to_owned(),
            change: change.kind(),
            file: change.new.map(|(source, _)| source.path.clone()),
            version: change.old.map(|old| old.number),
            new_version: program.map(|_| last + 1),
            difference,
            templates,
            runs: change.runs,
            standing: self.standings.places(change.name, program, &self.choice.map)?,
            admits,
            segments,
        })
    }

    /// The number of the workflow's newest version, of one that was retired too.
    async fn last_number(&self, change: &WorkflowChange<'_>) -> Result<i64, Problem> {
        if let Some(old) = change.old {
            return Ok(old.number);
        }
        let history = self.store.history(change.name).await?;
        Ok(history.and_then(|history| history.versions.first().map(|newest| newest.number)).unwrap_or(0))
    }

    /// What is different in templates.
    async fn templates(&self, difference: &Difference) -> Result<Vec<TemplateText>, Problem> {
        let mut texts = Vec::new();
        for change in &difference.templates {
            let (Some(old), Some(_)) = (&change.old, &change.new) else { continue };
            let old = self.store.template(old).await?.unwrap_or_default();
            let new = self.files.checked.templates.get(&change.name);
            let lines = lines(&old, new.unwrap_or_default());
            texts.push(TemplateText { name: change.name.clone(), lines });
        }
        Ok(texts)
    }

    /// How many contacts are in a segment, by its new rule if it has one.
    async fn members(&self, segment: &str) -> Result<u64, Problem> {
        if self.changes.segments.iter().any(|change| change.name == segment) {
            let counted =
                self.rules.count(self.store, segment, self.now).await.map_err(Problem::unavailable)?;
            if let Some(counted) = counted {
                return Ok(counted);
            }
        }
        Ok(self.store.count_members(segment).await?)
    }

    async fn segment(&self, change: &SegmentChange<'_>) -> Result<SegmentPlan, Problem> {
        let (old_rule, new_rule) = change.rules();
        let will_have = match new_rule {
            Some(_) => {
                self.rules.count(self.store, change.name, self.now).await.map_err(Problem::unavailable)?
            }
            None => None,
        };
        Ok(SegmentPlan {
            name: change.name.to_owned(),
            change: change.kind(),
            old_rule: old_rule.map(str::to_owned),
            new_rule: new_rule.map(str::to_owned),
            members: change.members,
            will_have,
        })
    }
}

/// The segments that start runs of a workflow when somebody joins them.
fn triggering_segments(program: &Program) -> Vec<&str> {
    let names = program.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::SegmentJoined(name) => Some(name.as_str()),
        Trigger::When(when) => match &when.what {
            Occasion::SegmentJoined(name) => Some(name.as_str()),
            _ => None,
        },
        _ => None,
    });
    names.collect()
}

impl Audience {
    /// `1,234 contacts`, `about 1,234 contacts`, `at most 1,234 contacts`
    pub(crate) fn describe(self) -> String {
        let contacts = crate::output::plural(self.contacts, "contact");
        match self.how {
            Precision::Exact => contacts,
            Precision::Estimated => format!("about {contacts}"),
            Precision::AtMost => format!("at most {contacts}, depending on the event,"),
        }
    }
}

/// What of a saved plan matters when it is carried out.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PlanFile {
    format: u32,
    files: Digest,
    store: Digest,
    /// What was chosen.
    pub(crate) choice: Choice,
}

impl PlanFile {
    /// Reads a saved plan.
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let text = fs::read_to_string(path).map_err(|error| Problem::io("read", path, &error))?;
        let is_no_plan = |error: &dyn std::fmt::Display| {
            Problem::input(format!("{} is no plan: {error}", path.display()))
                .with_help("`dripline plan --out FILE` writes one")
        };
        let plan: Self = serde_json::from_str(&text).map_err(|error| is_no_plan(&error))?;
        if plan.format != FORMAT {
            return Err(is_no_plan(&format!(
                "its format is {}, and this program knows {FORMAT}",
                plan.format
            )));
        }
        Ok(plan)
    }

    /// Complains if what the plan was made for has changed since.
    pub(crate) fn check(&self, files: &Files, catalog: &Catalog) -> Result<(), Problem> {
        let what = match (self.files == files.digest(), self.store == catalog.state) {
            (true, true) => return Ok(()),
            (false, _) => "the files have changed since the plan was made",
            (true, false) => "something was published since the plan was made",
        };
        Err(Problem::input(format!("{what}; nothing was published"))
            .with_help("make a new plan, look at it, and publish that: dripline plan --out FILE"))
    }
}
