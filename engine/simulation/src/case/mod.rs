//! Tests of campaigns: what a test gives is played, and what it expects is held against what happened.
//!
//! [`prepare`] comes first, on a store that is empty but for the teams; then the workflows are published and the
//! [`Stage`] is set; then [`run`].

mod coverage;
mod expect;
mod given;
mod passed;

use std::collections::BTreeMap;

use dripline_model::{Contact, id::ContactId};
use dripline_store::{ContactFilter, RunFilter, RunRow, Store, TimelineEntry};
use dripline_workflow::campaign_test::{Test, TestFile};
use jiff::{SignedDuration, tz::TimeZone};
use serde::Serialize;

pub use coverage::{Coverage, StepCoverage, WayCoverage, WorkflowCoverage};
pub use given::prepare;

use crate::{
    error::{Error, ErrorKind, Result, While},
    play::{Enrolment, Mail, Plan, Played},
    reactions::GivenEvent,
    stage::Stage,
};

/// How many runs of a contact are looked at.
const MOST_RUNS: usize = 10_000;

/// What became of a test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What was expected and did not come true; a test without any has passed.
    pub failures: Vec<Failure>,
    /// Mails that would have been sent.
    pub mails: u64,
}

/// Something that was expected and did not come true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The line in the test's file, from 1.
    pub line: u32,
    /// The contact, by its name in the test.
    pub contact: String,
    /// What was expected.
    pub expected: String,
    /// What happened instead.
    pub happened: Vec<String>,
    /// Why, from the decisions.
    pub why: Vec<String>,
}

/// Everything that a test is held against, of one contact.
struct Facts<'a> {
    contact: Contact,
    /// Since the test began, oldest first.
    timeline: Vec<TimelineEntry>,
    /// Of the workflows that are tested, newest first.
    runs: Vec<RunRow>,
    mails: Vec<&'a Mail>,
    zone: &'a TimeZone,
    workflows: &'a [String],
}

/// Plays a test on a stage for which it was prepared, and adds the steps that were taken to `coverage`.
///
/// # Errors
/// When the store or the engine fails.
pub async fn run(
    stage: &Stage,
    file: &TestFile,
    test: &Test,
    ids: &BTreeMap<String, ContactId>,
    coverage: &mut Coverage,
) -> Result<Outcome> {
    let plan = plan(test, ids);
    let played = stage.play(&plan, |_| ()).await?;
    let mut outcome = Outcome { mails: played.mails.len() as u64, ..Outcome::default() };
    let mut facts = BTreeMap::new();
    for (name, id) in ids {
        let of = facts_of(stage.store(), *id, test, file, &played).await?;
        coverage.add(&of.timeline, &of.runs);
        facts.insert(name.as_str(), of);
    }
    for (name, facts) in &facts {
        let expected = test.expected.iter().filter(|expected| expected.contact == *name);
        outcome.failures.extend(expect::compare(facts, expected));
    }
    outcome.failures.sort_by_key(|failure| failure.line);
    Ok(outcome)
}

fn plan(test: &Test, ids: &BTreeMap<String, ContactId>) -> Plan {
    let key = |name: &String| test.contacts.get(name).map(|contact| contact.external_id.clone());
    Plan {
        from: test.from,
        until: test.until,
        tick: SignedDuration::ZERO,
        seed: test.seed,
        behaviour: test.behaviour.clone(),
        names: test.contacts.keys().filter_map(|name| Some((name.clone(), key(name)?))).collect(),
        events: test
            .events
            .iter()
            .filter_map(|given| {
                Some(GivenEvent { contact: key(&given.contact)?, event: given.event.clone(), at: given.at })
            })
            .collect(),
        enroll_all: Vec::new(),
        enrolments: test
            .enrolments
            .iter()
            .filter_map(|given| {
                let contact = *ids.get(&given.contact)?;
                Some(Enrolment { contact, workflow: given.workflow.clone(), at: given.at })
            })
            .collect(),
    }
}

async fn facts_of<'a>(
    store: &dyn Store,
    id: ContactId,
    test: &Test,
    file: &'a TestFile,
    played: &'a Played,
) -> Result<Facts<'a>> {
    const DOING: &str = "read what happened";
    let filter = ContactFilter { id: Some(id), ..ContactFilter::default() };
    let contact = store.list_contacts(&filter, 1).await.while_doing(DOING)?.pop();
    let gone = || Error { doing: DOING, kind: ErrorKind::Given(format!("contact {id} is gone")) };
    let mut contact = contact.ok_or_else(gone)?;
    contact.as_of(test.until);
    let scores = store.declared_scores().await.while_doing(DOING)?;
    let mut timeline = store.timeline(id).await.while_doing(DOING)?;
    timeline.retain(|entry| entry.at >= test.from);
    timeline.iter_mut().for_each(|entry| entry.as_of(&scores, test.until));
    let filter = RunFilter { contact: Some(id), ..RunFilter::default() };
    let mut runs = store.list_runs(&filter, MOST_RUNS).await.while_doing(DOING)?;
    runs.retain(|run| file.workflows.contains(&run.workflow));
    let mails = played.mails.iter().filter(|mail| mail.contact == id && mail.failure.is_none()).collect();
    Ok(Facts { contact, timeline, runs, mails, zone: &file.time_zone, workflows: &file.workflows })
}
