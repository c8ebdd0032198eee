//! Runs begin, go on by hand and are refused.

use std::collections::HashMap;

use dripline_model::{decision::DecisionKind, id::RunId};
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
