//! What is known of a contact's way through workflows, put together from the decisions and the programs.

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{
    Contact,
    contact::Needs,
    decision::{DecisionKind, RunStatus},
    id::{RunId, VersionId, WorkflowId},
    message::MessageStatus,
    program::{Action, Node, ValueSource},
};
use dripline_runtime::{Entrance, Question, Rules, Verdict, withheld};
use dripline_store::{
    ActiveRun, LatestRun, MessageRow, RunFilter, RunRow, Store, StoredProgram, TimelineEntry, TimelineWhat,
};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    super::history::History,
    prospect::{self, Prospect},
    stand::{self, Stand},
};
use crate::{problem::Problem, workspace::Workspace};

/// What somebody asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) workflow: Option<&'a str>,
    pub(super) step: Option<&'a str>,
}

/// The answer.
pub(super) struct Account {
    pub(super) contact: Contact,
    /// Of each workflow, in the order of their names.
    pub(super) chapters: Vec<Chapter>,
    /// Before this instant decisions are not kept, if any were let go of at all.
    pub(super) kept_since: Option<Timestamp>,
}

/// A contact and one workflow.
pub(super) struct Chapter {
    pub(super) workflow: String,
    pub(super) description: Option<String>,
    /// Its file is gone: it starts no more runs.
    pub(super) is_retired: bool,
    /// Since when it is paused.
    pub(super) paused: Option<Timestamp>,
    /// When the contact was not let in, and why.
    pub(super) refusals: Vec<Refusal>,
    /// Its ways through the workflow, oldest first.
    pub(super) ways: Vec<Way>,
    /// Whether it would be let in now; none while it is in, or where the workflow is retired.
    pub(super) prospect: Option<Prospect>,
    /// What the step that was asked about says of the contact now.
    pub(super) step: Option<StepNow>,
}

/// One time that the contact was not let in.
pub(super) struct Refusal {
    pub(super) at: Timestamp,
    pub(super) reason: String,
}

/// One run.
pub(super) struct Way {
    /// Which path of a `parallel` it is, if it is one; it began with the decision of that step.
    pub(super) path: Option<String>,
    pub(super) version: i64,
    pub(super) status: RunStatus,
    pub(super) began: Timestamp,
    pub(super) ended: Option<Timestamp>,
    /// Why it began; none where that is not kept any more.
    pub(super) because: Option<String>,
    /// The decisions on the way, as far as they were asked for.
    pub(super) visits: Vec<Visit>,
    /// Where it stands; none where it has ended.
    pub(super) stand: Option<Stand>,
}

/// One decision.
pub(super) struct Visit {
    pub(super) at: Timestamp,
    pub(super) step: Option<String>,
    /// What the author calls the step.
    pub(super) name: Option<String>,
    pub(super) kind: DecisionKind,
    pub(super) reason: String,
    /// What became of the mails that it queued.
    pub(super) mails: Vec<Mail>,
    /// The condition that led past something, as it comes out now.
    pub(super) now: Option<Verdict>,
}

/// A mail.
pub(super) struct Mail {
    pub(super) subject: String,
    pub(super) status: MessageStatus,
    pub(super) sent_at: Option<Timestamp>,
    pub(super) detail: Option<String>,
}

/// What a step says of the contact as it is now.
pub(super) struct StepNow {
    pub(super) id: String,
    pub(super) name: Option<String>,
    /// Its conditions.
    pub(super) verdicts: Vec<Verdict>,
    /// What it would be held back by, or other things that can be said.
    pub(super) notes: Vec<String>,
}

impl Chapter {
    /// Whether anything of the workflow ever happened to the contact, as far as is known.
    pub(super) fn is_near(&self) -> bool {
        !self.ways.is_empty() || !self.refusals.is_empty()
    }

    /// Whether the contact is on its way in it.
    pub(super) fn is_in(&self) -> bool {
        self.ways.iter().any(|way| way.status == RunStatus::Active)
    }
}

/// Everything that was read.
pub(super) struct Known<'a> {
    pub(super) contact: &'a Contact,
    pub(super) timeline: &'a [TimelineEntry],
    /// All of the contact.
    pub(super) runs: &'a [RunRow],
    pub(super) rules: &'a Rules,
    pub(super) now: Timestamp,
}

impl Account {
    pub(super) async fn of(
        workspace: &Workspace,
        store: &dyn Store,
        history: History,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let zone = TimeZone::get(&workspace.settings().time_zone).map_err(Problem::input)?;
        let History { contact, timeline, mails } = history;
        let current = store.current_programs().await?;
        let filter = RunFilter { contact: Some(contact.id), ..RunFilter::default() };
        let mut runs = store.list_runs(&filter, u32::MAX as usize).await?;
        runs.reverse();
        let names = names(&current, &runs, &timeline, asked.workflow)?;
        let versions = versions(store, &current, &runs, &names).await?;
        check_step(asked, &versions)?;

        let segments = store.segments().await?.into_iter().filter_map(|segment| segment.definition);
        let rules = Rules::new(segments, store.declared_scores().await?).map_err(Problem::unavailable)?;
        let mut needs = everything();
        needs.merge(rules.needs());
        versions
            .values()
            .for_each(|stored| questions(stored).iter().for_each(|one| needs.merge(one.needs())));
        let mut tx = store.begin().await?;
        let loaded = tx.load_contacts(&[contact.id], &needs, now).await?.into_iter().next();
        let contact = loaded.unwrap_or(contact);
        let active: BTreeMap<RunId, ActiveRun> =
            tx.active_runs(&[contact.id]).await?.into_iter().map(|active| (active.run.run, active)).collect();
        let mut latest: BTreeMap<WorkflowId, LatestRun> = BTreeMap::new();
        for stored in current.iter().filter(|stored| names.contains(&stored.program.name)) {
            let found = tx.latest_runs(stored.workflow, &[contact.id]).await?.remove(&contact.id);
            latest.extend(found.map(|run| (stored.workflow, run)));
        }
        drop(tx);

        let pauses = store.pauses().await?;
        let known = Known { contact: &contact, timeline: &timeline, runs: &runs, rules: &rules, now };
        let mut chapters = Vec::with_capacity(names.len());
        for name in names {
            let stored = current.iter().find(|stored| stored.program.name == name);
            let own: Vec<&RunRow> = runs.iter().filter(|run| run.workflow == name).collect();
            let workflow = stored
                .or_else(|| own.last().and_then(|run| versions.get(&run.version_id)))
                .map(|stored| stored.workflow);
            let paused =
                pauses.iter().find(|pause| Some(pause.workflow) == workflow && pause.until.is_none());
            let newest = own.last().map(|run| run.run);
            let ways: Vec<Way> = own
                .iter()
                .map(|run| {
                    let program = versions.get(&run.version_id);
                    way(run, program, active.get(&run.run), &mails, asked, newest == Some(run.run), &known)
                })
                .collect();
            let mut chapter = Chapter {
                description: stored.and_then(|stored| stored.program.description.clone()),
                is_retired: stored.is_none(),
                paused: paused.map(|pause| pause.from),
                refusals: refusals(&timeline, &name),
                ways,
                prospect: None,
                step: None,
                workflow: name,
            };
            if let Some(stored) = stored
                && !chapter.is_in()
                && asked.step.is_none()
            {
                let entrance = Entrance::new(&stored.program, stored.workflow, stored.version, &zone)
                    .map_err(Problem::unavailable)?;
                let prospect =
                    prospect::of(stored, &entrance, latest.get(&stored.workflow), chapter.is_near(), &known);
                chapter.prospect = Some(prospect);
            }
            if let Some(step) = asked.step {
                let newest = own.last().and_then(|run| versions.get(&run.version_id)).or(stored);
                chapter.step = newest.and_then(|stored| step_now(stored, step, &known));
            }
            chapters.push(chapter);
        }
        if asked.step.is_some() {
            chapters.retain(|chapter| {
                chapter.step.is_some() || chapter.ways.iter().any(|way| !way.visits.is_empty())
            });
        }
        let keeps = workspace.settings().retention.retention().decisions;
        let kept_since = keeps.map(|span| dripline_model::duration::before(now, span, &zone));
        Ok(Self { contact, chapters, kept_since })
    }
}

/// All that conditions may look at, past events left out.
fn everything() -> Needs {
    Needs {
        all_attributes: true,
        scores: true,
        tags: true,
        consents: true,
        segments: true,
        owner: true,
        ..Needs::default()
    }
}

/// The workflows that are told of, in the order of their names.
fn names(
    current: &[StoredProgram],
    runs: &[RunRow],
    timeline: &[TimelineEntry],
    asked: Option<&str>,
) -> Result<BTreeSet<String>, Problem> {
    let decided = timeline.iter().filter_map(|entry| match &entry.what {
        TimelineWhat::Decision { workflow, .. } => Some(workflow),
        _ => None,
    });
    let published = current.iter().map(|stored| &stored.program.name);
    let all: BTreeSet<String> =
        published.chain(runs.iter().map(|run| &run.workflow)).chain(decided).cloned().collect();
    let Some(asked) = asked else { return Ok(all) };
    if all.contains(asked) {
        return Ok(BTreeSet::from([asked.to_owned()]));
    }
    let problem = Problem::input(format!("no workflow `{asked}` is published"));
    Err(match dripline_model::suggest::closest(asked, all.iter().map(String::as_str)) {
        Some(near) => problem.with_help(format!("did you mean `{near}`?")),
        None => problem.with_help("`dripline workflows list` shows them; `dripline run` publishes the files"),
    })
}

/// The programs that are spoken of: the current ones, and those on which the contact's runs are or were.
async fn versions(
    store: &dyn Store,
    current: &[StoredProgram],
    runs: &[RunRow],
    names: &BTreeSet<String>,
) -> Result<BTreeMap<VersionId, StoredProgram>, Problem> {
    let mut versions: BTreeMap<VersionId, StoredProgram> = current
        .iter()
        .filter(|stored| names.contains(&stored.program.name))
        .map(|stored| (stored.version, stored.clone()))
        .collect();
    for run in runs.iter().filter(|run| names.contains(&run.workflow)) {
        if !versions.contains_key(&run.version_id)
            && let Some(stored) = store.program(run.version_id).await?
        {
            versions.insert(run.version_id, stored);
        }
    }
    Ok(versions)
}

/// Complains of a step that none of the workflows has.
fn check_step(asked: &Asked<'_>, versions: &BTreeMap<VersionId, StoredProgram>) -> Result<(), Problem> {
    let Some(step) = asked.step else { return Ok(()) };
    let ids =
        || versions.values().flat_map(|stored| stored.program.nodes.iter().map(|node| node.id.as_str()));
    if ids().any(|id| id == step) {
        return Ok(());
    }
    let of =
        asked.workflow.map_or("no workflow has".to_owned(), |name| format!("the workflow `{name}` has no"));
    let what = if asked.workflow.is_some() { "" } else { " a" };
    let problem = Problem::input(format!("{of}{what} step `{step}`"));
    Err(match dripline_model::suggest::closest(step, ids()) {
        Some(near) => problem.with_help(format!("did you mean `{near}`?")),
        None => problem.with_help("`dripline workflows show NAME` shows the steps of a workflow"),
    })
}

/// Every condition of a program, so that what they look at can be loaded at once. One that this program does not
/// understand is left out, and so is not asked later.
fn questions(stored: &StoredProgram) -> Vec<Question> {
    let program = &stored.program;
    let mut sources: Vec<(&str, bool)> =
        program.enroll_if.iter().map(|source| (source.as_str(), true)).collect();
    sources.extend(prospect::conditions(&program.triggers).map(|source| (source, true)));
    let mut questions: Vec<Question> =
        sources.into_iter().filter_map(|(source, event)| Question::condition(source, event).ok()).collect();
    questions.extend(program.nodes.iter().flat_map(conditions));
    questions.extend(program.nodes.iter().filter_map(|node| match &node.action {
        Action::Switch { value, .. } => Question::text(value).ok(),
        _ => None,
    }));
    questions
}

/// The conditions of a step that see no event: its `if`, that of a branch, what it waits for, its rules.
fn conditions(node: &Node) -> Vec<Question> {
    let own = node.condition.iter().map(String::as_str);
    let inner: Vec<&str> = match &node.action {
        Action::Branch { condition, .. } => vec![condition],
        Action::WaitFor(wait) if wait.event.is_none() => wait.condition.iter().map(String::as_str).collect(),
        Action::Plugin(step) => step
            .columns
            .iter()
            .filter_map(|column| match &column.value {
                ValueSource::Cel(source) if column.column == dripline_model::batch::ColumnType::Boolean => {
                    Some(source.as_str())
                }
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    own.chain(inner).filter_map(|source| Question::condition(source, false).ok()).collect()
}

fn refusals(timeline: &[TimelineEntry], name: &str) -> Vec<Refusal> {
    let refused = timeline.iter().filter_map(|entry| match &entry.what {
        TimelineWhat::Decision { workflow, kind: DecisionKind::NotEnrolled, reason, .. }
            if workflow == name =>
        {
            Some(Refusal { at: entry.at, reason: reason.clone() })
        }
        _ => None,
    });
    refused.collect()
}

fn way(
    row: &RunRow,
    stored: Option<&StoredProgram>,
    active: Option<&ActiveRun>,
    mails: &[MessageRow],
    asked: &Asked<'_>,
    is_newest: bool,
    known: &Known<'_>,
) -> Way {
    let mut because = None;
    let mut visits = Vec::new();
    let mut last = None;
    for entry in known.timeline {
        let TimelineWhat::Decision { run: Some(run), step, kind, reason, .. } = &entry.what else { continue };
        if *run != row.run {
            continue;
        }
        if *kind == DecisionKind::Enrolled {
            because = Some(reason.clone());
            continue;
        }
        last = Some((step.as_deref(), *kind, reason.as_str()));
        if asked.step.is_some_and(|asked| step.as_deref() != Some(asked)) {
            continue;
        }
        let node = step.as_deref().zip(stored).and_then(|(id, stored)| node_of(stored, id));
        let queued = mails.iter().filter(|mail| {
            mail.run == row.run && Some(mail.step.as_str()) == step.as_deref() && mail.queued_at == entry.at
        });
        let now = node.filter(|_| is_newest).and_then(|node| led_past(node, *kind, reason, known));
        visits.push(Visit {
            at: entry.at,
            step: step.clone(),
            name: node.and_then(|node| node.name.clone()),
            kind: *kind,
            reason: reason.clone(),
            mails: queued.map(Mail::of).collect(),
            now,
        });
    }
    let stand = match row.status {
        RunStatus::Active | RunStatus::Failed => Some(stand::of(row, stored, active, last, known)),
        _ => None,
    };
    Way {
        path: row.path.clone(),
        version: row.version,
        status: row.status,
        began: row.enrolled_at,
        ended: row.ended_at,
        because,
        visits,
        stand,
    }
}

impl Mail {
    fn of(row: &MessageRow) -> Self {
        Self {
            subject: row.subject.clone(),
            status: row.status,
            sent_at: row.sent_at,
            detail: row.detail.clone(),
        }
    }
}

/// The condition for which a decision led past what the step has, as it comes out now.
fn led_past(node: &Node, kind: DecisionKind, reason: &str, known: &Known<'_>) -> Option<Verdict> {
    if !matches!(kind, DecisionKind::Skipped | DecisionKind::Branched) {
        return None;
    }
    let condition = match &node.action {
        Action::Branch { condition, .. } => Some(condition),
        _ => node.condition.as_ref(),
    }?;
    let fails = [format!("`{condition}` does not hold"), format!("`{condition}` is no match")];
    if !fails.iter().any(|fails| reason.contains(fails.as_str())) {
        return None;
    }
    let question = Question::condition(condition, false).ok()?;
    Some(question.ask(known.contact, None, known.now))
}

/// What a step says of the contact as it is now.
fn step_now(stored: &StoredProgram, id: &str, known: &Known<'_>) -> Option<StepNow> {
    let node = node_of(stored, id)?;
    let verdicts =
        conditions(node).iter().map(|question| question.ask(known.contact, None, known.now)).collect();
    let mut notes: Vec<String> = mail_held_back(node, known.contact).into_iter().collect();
    if let Action::Switch { value, cases, .. } = &node.action
        && let Ok(question) = Question::text(value)
    {
        notes.push(match question.value(known.contact, known.now) {
            Ok(found) if cases.iter().any(|(case, _)| *case == found) => format!("`{value}` is `{found}`"),
            Ok(found) => format!("`{value}` is `{found}`, which is no case"),
            Err(reason) => format!("`{value}` is no match: {reason}"),
        });
    }
    Some(StepNow { id: node.id.clone(), name: node.name.clone(), verdicts, notes })
}

/// Why a mail of the step would not go to the contact, if it sends one.
pub(super) fn mail_held_back(node: &Node, contact: &Contact) -> Option<String> {
    let config = &node.plugin_step().filter(|step| step.plugin == EMAIL)?.config;
    let template = config.get("template")?.as_str()?;
    let topic = config.get("topic").and_then(serde_json::Value::as_str);
    let is_transactional = config.get("transactional").and_then(serde_json::Value::as_bool).unwrap_or(false);
    withheld(contact, template, topic, is_transactional)
}

/// The plugin that sends emails.
const EMAIL: &str = "email";

pub(super) fn node_of<'a>(stored: &'a StoredProgram, id: &str) -> Option<&'a Node> {
    stored.program.nodes.iter().find(|node| node.id == id)
}
