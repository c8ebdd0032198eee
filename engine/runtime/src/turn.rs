//! One step for many runs: load, evaluate, call, decide.

use dripline_expression::{Expression, Subject};
use dripline_model::{
    Contact, Failure, FailureKind,
    batch::{Batch, BatchTurn},
    decision::{DecisionKind, RunStatus},
    random,
};
use dripline_store::{Advance, AppliedTurn, ClaimedRun, Transaction};
use jiff::Timestamp;

use crate::{
    columns::Columns,
    compiled::{CompiledAction, CompiledNode, CompiledStep},
    error::{Result, While},
    people::People,
    policy::{self, MAX_HOPS, plain, to},
};

/// Takes every run's turn at `node`. The answer has one entry for each run, in no particular order.
pub(crate) async fn take(
    tx: &mut dyn Transaction,
    people: &mut People,
    node: &CompiledNode,
    runs: Vec<ClaimedRun>,
    now: Timestamp,
) -> Result<Vec<AppliedTurn>> {
    people.load(tx, runs.iter().map(|run| run.contact), &node.needs, now).await?;

    let mut applied = Vec::with_capacity(runs.len());
    let mut ready = Vec::with_capacity(runs.len());
    for run in runs {
        let Some(contact) = people.get(run.contact) else {
            let end = Advance::End(RunStatus::Cancelled);
            applied.push(plain(run, DecisionKind::Cancelled, "the contact is gone".to_owned(), end));
            continue;
        };
        if run.hops >= MAX_HOPS {
            let message = format!("{MAX_HOPS} turns without a wait; the workflow goes round in a loop");
            applied.push(policy::failed(
                run,
                Failure { kind: FailureKind::Loop, message, retry_at: None },
                now,
            ));
            continue;
        }
        match node.condition.as_ref().map(|condition| test(condition, contact, now)) {
            Some((false, why)) => {
                applied.push(plain(
                    run,
                    DecisionKind::Skipped,
                    format!("skipped: {why}"),
                    to(node.next, now, false),
                ));
            }
            _ => ready.push((run, contact)),
        }
    }

    match &node.action {
        CompiledAction::Branch { condition, otherwise } => {
            applied.extend(ready.into_iter().map(|(run, contact)| {
                let (holds, why) = test(condition, contact, now);
                let target = if holds { node.next } else { *otherwise };
                plain(run, DecisionKind::Branched, why, to(target, now, false))
            }));
        }
        CompiledAction::Goto(target) => applied.extend(ready.into_iter().map(|(run, _)| {
            plain(run, DecisionKind::Branched, format!("goes to `{target}`"), to(node.next, now, false))
        })),
        CompiledAction::Exit(reason) => applied.extend(ready.into_iter().map(|(run, _)| {
            plain(run, DecisionKind::Ended, reason.clone(), Advance::End(RunStatus::Completed))
        })),
        CompiledAction::Plugin(step) => applied.extend(call(tx, node, step, ready, now).await?),
    }
    Ok(applied)
}

async fn call(
    tx: &mut dyn Transaction,
    node: &CompiledNode,
    step: &CompiledStep,
    ready: Vec<(ClaimedRun, &Contact)>,
    now: Timestamp,
) -> Result<Vec<AppliedTurn>> {
    let fail = |run, kind, message| policy::failed(run, Failure { kind, message, retry_at: None }, now);
    if let Some(denied) = &step.denied {
        return Ok(ready
            .into_iter()
            .map(|(run, _)| fail(run, FailureKind::Denied, denied.clone()))
            .collect());
    }

    let mut applied = Vec::with_capacity(ready.len());
    let mut columns = Columns::new(&step.columns);
    let mut called = Vec::with_capacity(ready.len());
    for (run, contact) in ready {
        match columns.push(contact, &Subject::new(contact, None, now)) {
            Ok(unevaluable) => called.push((run, contact, unevaluable)),
            Err(error) => applied.push(fail(run, FailureKind::Template, error.to_string())),
        }
    }
    if called.is_empty() {
        return Ok(applied);
    }

    let name = &step.plugin.manifest().name;
    let state = match &step.state_key {
        Some(key) => tx.state(name, key).await.while_doing("read a plugin's state")?,
        None => None,
    };
    let turns = called
        .iter()
        .map(|(run, ..)| BatchTurn { run: run.run, contact: run.contact, seed: seed(run) })
        .collect();
    let batch = Batch { now, turns, columns: columns.finish(), state };
    dripline_model::crash::point("plugin.call.before");
    let answer = step.plugin.run(&step.config, batch).await;
    dripline_model::crash::point("plugin.call.after");
    if let (Some(key), Some(value)) = (&step.state_key, &answer.state) {
        tx.put_state(name, key, value).await.while_doing("write a plugin's state")?;
    }

    applied.extend(called.into_iter().zip(answer.outcomes).map(|((run, contact, unevaluable), outcome)| {
        let mut turn = policy::decide(run, node, step, contact, outcome, now);
        if let Some(why) = unevaluable {
            turn.reason = format!("{} (no match: {why})", turn.reason);
        }
        turn
    }));
    Ok(applied)
}

/// Whether a condition holds, and the sentence that says so.
pub(crate) fn test(condition: &Expression, contact: &Contact, now: Timestamp) -> (bool, String) {
    match condition.test(&Subject::new(contact, None, now)) {
        Ok(true) => (true, format!("`{}` holds", condition.source())),
        Ok(false) => (false, format!("`{}` does not hold", condition.source())),
        Err(error) => (false, format!("`{}` is no match: {}", condition.source(), error.reason)),
    }
}

/// The turn's randomness: the same turn of the same run always has the same.
fn seed(run: &ClaimedRun) -> u64 {
    let turn = run.run.0.cast_unsigned().rotate_left(32) ^ run.turn.cast_unsigned();
    random::mix(turn.wrapping_add(random::GAMMA))
}
