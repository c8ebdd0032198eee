//! Who would get more mails than the caps allow, because several campaigns mail them: an estimate.
//!
//! For each workflow as it will be published, and each step of it, the largest number of mails is worked out that a run
//! which stands there may send within the cap's time; waits of a fixed length count, all others as no time. A contact's
//! mails are those of its runs from where they stand, and those of each workflow that would take it by itself: by a segment
//! that it is in, or by a schedule, if `enroll.if` admits it. Whom an event or a person would bring is not known.

use std::collections::BTreeMap;

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::Needs,
    duration,
    effect::EffectKind,
    filter::Filter,
    id::VersionId,
    policy::{Cap, CapClass, OnPublish},
    program::{Node, NodeIndex, Occasion, Program, Trigger},
};
use dripline_store::{ActiveRun, Store};
use jiff::{SignedDuration, SpanRelativeTo, Timestamp};
use serde::Serialize;

use super::{
    audience::{scale, spread},
    changes::{Catalog, Changes, Files},
    runs::Standings,
};
use crate::{problem::Problem, workspace::LoadedPlugin};

/// So many contacts are looked at at most, evenly spread.
const MOST: usize = 5_000;

/// How many are loaded together.
const SLICE: usize = 1_000;

/// Into so many parts a cap's time is divided.
const PARTS: usize = 120;

/// How many sets of workflows are named.
const NAMED: usize = 5;

/// How it is worked out, for people.
pub(crate) const HOW: &str = "counted are the mails that runs may send from where they stand, and those of workflows that \
    take a contact by a segment or a schedule; waits of a fixed length count, others as no time, and whom events will \
    bring is not known";

/// What one cap would have to hold back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CapConflict {
    /// The cap, in words.
    pub(crate) cap: String,
    /// How many contacts would come to more.
    pub(crate) contacts: u64,
    /// How many contacts were looked at.
    pub(crate) looked_at: u64,
    /// How many there are.
    pub(crate) of: u64,
    /// Which workflows together, the most contacts first.
    pub(crate) campaigns: Vec<Together>,
    /// How it is worked out.
    pub(crate) how: &'static str,
}

/// Workflows that mail the same contacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Together {
    /// Their names.
    pub(crate) workflows: Vec<String>,
    /// How many contacts.
    pub(crate) contacts: u64,
    /// The largest number of mails that one of them would get.
    pub(crate) mails: u64,
}

/// A workflow as it will be.
struct Campaign<'a> {
    name: &'a str,
    is_new: bool,
    program: &'a Program,
    enroll_if: Option<Expression>,
    /// Whether the runs on older versions end.
    ends_runs: bool,
}

/// Estimates for each cap who would get more than it allows; only where a workflow that changes has a part in it.
pub(super) async fn conflicts(
    store: &dyn Store,
    files: &Files,
    catalog: &Catalog,
    changes: &Changes<'_>,
    standings: &Standings,
    caps: &[Cap],
    now: Timestamp,
) -> Result<Vec<CapConflict>, Problem> {
    let campaigns = campaigns(catalog, changes);
    if caps.is_empty() || !campaigns.iter().any(|campaign| campaign.is_new) {
        return Ok(Vec::new());
    }
    let all = store.narrowed(&Filter::Everyone).await?;
    let sample = spread(&all, MOST);
    let mut needs = Needs { segments: true, ..Needs::default() };
    for condition in campaigns.iter().filter_map(|campaign| campaign.enroll_if.as_ref()) {
        needs.merge(condition.needs());
    }
    let mut tallies: Vec<Tally<'_>> =
        caps.iter().map(|cap| Tally::new(*cap, &campaigns, standings, &files.plugins)).collect();
    for slice in sample.chunks(SLICE) {
        let mut tx = store.begin().await?;
        let contacts = tx.load_contacts(slice, &needs, now).await?;
        let mut runs: BTreeMap<_, Vec<ActiveRun>> = BTreeMap::new();
        for run in tx.active_runs(slice).await? {
            runs.entry(run.run.contact).or_default().push(run);
        }
        for contact in &contacts {
            let taken: Vec<bool> = campaigns.iter().map(|campaign| campaign.takes(contact, now)).collect();
            let standing = runs.get(&contact.id).map_or(&[][..], Vec::as_slice);
            tallies.iter_mut().for_each(|tally| tally.count(&campaigns, &taken, standing));
        }
    }
    let conflicts = tallies.into_iter().map(|tally| tally.conflict(sample.len(), all.len()));
    Ok(conflicts.filter(|conflict| conflict.contacts > 0).collect())
}

fn campaigns<'a>(catalog: &'a Catalog, changes: &Changes<'a>) -> Vec<Campaign<'a>> {
    let changed = |name: &str| changes.workflows.iter().find(|change| change.name == name);
    let stays = catalog.programs.iter().filter(|stored| changed(&stored.program.name).is_none());
    let stays = stays.map(|stored| (&*stored.program.name, false, &stored.program, false));
    let comes = changes
        .workflows
        .iter()
        .filter_map(|change| Some((change.name, true, change.new?.1, change.runs == OnPublish::Drain)));
    let campaign = |(name, is_new, program, ends_runs): (&'a str, bool, &'a Program, bool)| Campaign {
        name,
        is_new,
        ends_runs,
        program,
        enroll_if: program.enroll_if.as_ref().and_then(|source| {
            let scope = Scope { attributes: None, event: true, inputs: None };
            Expression::compile(source, ColumnType::Boolean, &scope).ok()
        }),
    };
    stays.chain(comes).map(campaign).collect()
}

impl Campaign<'_> {
    /// Whether the workflow would take the contact by itself.
    fn takes(&self, contact: &Contact, now: Timestamp) -> bool {
        let is_offered = self.program.triggers.iter().any(|trigger| match trigger {
            Trigger::SegmentJoined(segment) => contact.segments.contains(segment),
            Trigger::When(when) => match &when.what {
                Occasion::SegmentJoined(segment) => contact.segments.contains(segment),
                _ => false,
            },
            Trigger::Schedule { .. } => true,
            _ => false,
        });
        let admits = |condition: &Expression| condition.test(&Subject::new(contact, None, now)) == Ok(true);
        is_offered
            && match (&self.program.enroll_if, &self.enroll_if) {
                (None, _) => true,
                (Some(_), condition) => condition.as_ref().is_some_and(admits),
            }
    }
}

/// What one cap comes to.
struct Tally<'a> {
    cap: Cap,
    /// For each campaign, the mails from its first step on.
    entering: Vec<u32>,
    /// For each version on which somebody stands its workflow, and the mails from each step on.
    standing: BTreeMap<VersionId, (&'a str, Vec<u32>)>,
    /// By the workflows: how many contacts, and the largest number of mails.
    together: BTreeMap<Vec<&'a str>, (u64, u64)>,
}

impl<'a> Tally<'a> {
    fn new(
        cap: Cap,
        campaigns: &[Campaign<'a>],
        standings: &Standings,
        plugins: &BTreeMap<String, LoadedPlugin>,
    ) -> Self {
        let mails = |program: &Program| mails_from(program, &cap, plugins);
        let goes_on = campaigns.iter().filter(|campaign| !campaign.ends_runs);
        let versions = goes_on.flat_map(|campaign| {
            standings
                .of(campaign.name)
                .iter()
                .map(|one| (one.stored.version, (campaign.name, mails(&one.stored.program))))
        });
        Self {
            cap,
            entering: campaigns.iter().map(|one| mails(one.program).first().copied().unwrap_or(0)).collect(),
            standing: versions.collect(),
            together: BTreeMap::new(),
        }
    }

    /// Adds a contact: which campaigns would take it, and where it stands.
    fn count(&mut self, campaigns: &[Campaign<'a>], taken: &[bool], runs: &[ActiveRun]) {
        let mut mails: BTreeMap<&'a str, u64> = BTreeMap::new();
        for ((campaign, entering), _) in
            campaigns.iter().zip(&self.entering).zip(taken).filter(|(_, taken)| **taken)
        {
            mails.insert(campaign.name, u64::from(*entering));
        }
        // Who is in a workflow already is where it is, and does not enter it.
        for ActiveRun { run, .. } in runs {
            if let Some((name, from)) = self.standing.get(&run.version) {
                mails.insert(name, u64::from(from.get(run.node as usize).copied().unwrap_or(0)));
            }
        }
        mails.retain(|_, number| *number > 0);
        let total: u64 = mails.values().sum();
        let is_of_change =
            campaigns.iter().any(|campaign| campaign.is_new && mails.contains_key(campaign.name));
        if mails.len() > 1 && total > u64::from(self.cap.at_most) && is_of_change {
            let (contacts, most) = self.together.entry(mails.into_keys().collect()).or_default();
            *contacts += 1;
            *most = total.max(*most);
        }
    }

    fn conflict(self, looked_at: usize, of: usize) -> CapConflict {
        let contacts = self.together.values().map(|(contacts, _)| contacts).sum();
        let mut campaigns: Vec<Together> = self
            .together
            .into_iter()
            .map(|(workflows, (contacts, mails))| Together {
                workflows: workflows.into_iter().map(str::to_owned).collect(),
                contacts: scale(contacts, looked_at, of),
                mails,
            })
            .collect();
        campaigns.sort_by(|one, other| {
            other.contacts.cmp(&one.contacts).then(one.workflows.cmp(&other.workflows))
        });
        campaigns.truncate(NAMED);
        CapConflict {
            cap: self.cap.to_string(),
            contacts: scale(contacts, looked_at, of),
            looked_at: looked_at as u64,
            of: of as u64,
            campaigns,
            how: HOW,
        }
    }
}

/// For each step, the largest number of mails that the cap counts and that a run which stands there may send within the
/// cap's time; one more than the cap allows stands for all that is more.
fn mails_from(program: &Program, cap: &Cap, plugins: &BTreeMap<String, LoadedPlugin>) -> Vec<u32> {
    let window = seconds(cap.within);
    let most = cap.at_most.saturating_add(1);
    // Each step: whether it mails, and how many parts of the time it waits.
    let steps: Vec<(u32, usize)> = program
        .nodes
        .iter()
        .map(|node| {
            let parts = wait(node).saturating_mul(PARTS as u64) / window.max(1);
            let waits = wait(node) > 0;
            (
                u32::from(mails(node, cap.class, plugins)),
                usize::try_from(parts).unwrap_or(PARTS).max(usize::from(waits)),
            )
        })
        .collect();
    // By the parts that are left, and the step.
    let mut by_time: Vec<Vec<u32>> = Vec::with_capacity(PARTS + 1);
    for left in 0..=PARTS {
        let mut here = vec![0; steps.len()];
        loop {
            let mut grew = false;
            for (place, (node, (mail, parts))) in program.nodes.iter().zip(&steps).enumerate().rev() {
                let then = |next: NodeIndex| match left.checked_sub(*parts) {
                    None => 0,
                    Some(time) if time == left => here.get(next as usize).copied().unwrap_or(0),
                    Some(time) => {
                        by_time.get(time).and_then(|then| then.get(next as usize)).copied().unwrap_or(0)
                    }
                };
                let number = (mail + node.ways().map(then).max().unwrap_or(0)).min(most);
                if let Some(known) = here.get_mut(place).filter(|known| **known < number) {
                    *known = number;
                    grew = true;
                }
            }
            if !grew {
                break;
            }
        }
        by_time.push(here);
    }
    by_time.pop().unwrap_or_default()
}

fn seconds(span: jiff::Span) -> u64 {
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours());
    // Months and years have no fixed length: a date gives them one.
    let length = length.or_else(|_| span.to_duration(jiff::civil::date(2024, 1, 1)));
    u64::try_from(length.unwrap_or(SignedDuration::ZERO).as_secs()).unwrap_or(0)
}

/// Whether the step sends a mail of this class.
fn mails(node: &Node, class: CapClass, plugins: &BTreeMap<String, LoadedPlugin>) -> bool {
    let Some(step) = node.plugin_step() else { return false };
    let emits = |loaded: &LoadedPlugin| {
        loaded.plugin.manifest().effects.iter().any(|effect| effect.kind == EffectKind::Email)
    };
    let is_transactional =
        step.config.get("transactional").and_then(serde_json::Value::as_bool).unwrap_or(false);
    plugins.get(&step.plugin).is_some_and(emits) && class.covers(is_transactional)
}

/// How long the step waits in any case, in seconds.
fn wait(node: &Node) -> u64 {
    let step = node.plugin_step().filter(|step| step.plugin == "wait");
    let length =
        step.and_then(|step| step.config.get("for")?.as_str()).and_then(|text| duration::parse(text).ok());
    length.map_or(0, seconds)
}
