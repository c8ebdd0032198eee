//! Runs begin, go on by hand and are refused.

use std::collections::HashMap;

use dripline_model::{
    decision::DecisionKind,
    id::{ContactId, RunId, VersionId},
};
use jiff::Timestamp;

use super::{
    ms,
    pending::{NewDecision, Pending},
};
use crate::{
    Enrolment, Refusal,
    error::Raw,
    sets::{NewRun, Sets},
};

/// The decision of a person to set a run going again.
const RETRIED: &str = "set going again by hand";

/// The decision of a person to let a run go on below the step that failed.
pub(crate) const SKIPPED: &str = "skipped by hand, for it failed";

/// A run as people act on it: id, version, contact, node, turn.
pub(crate) type StandingRun = (i64, i64, i64, i64, i64);

/// Starts runs and records why.
pub(crate) async fn start(
    sets: &mut impl Sets,
    pending: &mut Pending,
    enrolments: &[Enrolment],
    now: Timestamp,
) -> Raw<()> {
    pending.flush_runs(sets).await?;
    // Runs in the order of their contacts: batches claim them in that order, and their rows are then neighbours.
    let mut ordered: Vec<(NewRun, &Enrolment)> = enrolments
        .iter()
        .map(|enrolment| {
            let run = NewRun {
                workflow: enrolment.workflow.0,
                version: enrolment.version.0,
                contact: enrolment.contact.0,
                event: enrolment.event.map(|event| event.0),
                lane: enrolment.lane,
            };
            (run, enrolment)
        })
        .collect();
    ordered.sort_by_key(|(run, _)| (run.workflow, run.contact));
    let rows: Vec<NewRun> = ordered.iter().map(|(run, _)| *run).collect();
    let started = sets.insert_runs(&rows, ms(now)).await?;
    let mut started: HashMap<NewRun, i64> = started.into_iter().map(|(id, run)| (run, id)).collect();
    let decisions = ordered.into_iter().filter_map(|(run, enrolment)| {
        Some(NewDecision {
            run: Some(RunId(started.remove(&run)?)),
            version: enrolment.version,
            contact: enrolment.contact,
            node: None,
            turn: 0,
            kind: DecisionKind::Enrolled,
            reason: &enrolment.reason,
            event: enrolment.event,
        })
    });
    let decisions = decisions.collect();
    pending.decide(sets, decisions, now).await
}

/// Records who was not enrolled, or is not yet, and why.
pub(crate) async fn refuse(
    sets: &mut impl Sets,
    pending: &mut Pending,
    refusals: &[Refusal],
    now: Timestamp,
) -> Raw<()> {
    let decisions = refusals.iter().map(|refusal| NewDecision {
        run: None,
        version: refusal.version,
        contact: refusal.contact,
        node: None,
        turn: 0,
        kind: if refusal.waits { DecisionKind::Waiting } else { DecisionKind::NotEnrolled },
        reason: &refusal.reason,
        event: refusal.event,
    });
    pending.decide(sets, decisions.collect(), now).await
}

/// Records what a person did, in a transaction of its own.
pub(crate) async fn record(sets: &mut impl Sets, decisions: Vec<NewDecision<'_>>, now: Timestamp) -> Raw<()> {
    let mut pending = Pending::default();
    pending.decide(sets, decisions, now).await?;
    pending.flush(sets).await
}

/// What a person decided about a run.
pub(crate) fn by_hand(
    (run, version, contact, node, turn): StandingRun,
    kind: DecisionKind,
    reason: Option<&str>,
) -> NewDecision<'_> {
    NewDecision {
        run: Some(RunId(run)),
        version: VersionId(version),
        contact: ContactId(contact),
        node: Some(node),
        turn,
        kind,
        reason: reason.unwrap_or(RETRIED),
        event: None,
    }
}
