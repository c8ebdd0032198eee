//! One step for many runs: load, evaluate, call, decide.

use dripline_expression::{Expression, Subject, Value};
use dripline_model::{
    Contact, Failure, FailureKind, Outcome,
    batch::{Batch, BatchTurn},
    decision::{DecisionKind, RunStatus},
    policy::AfterPause,
    random,
};
use dripline_store::{Advance, AppliedTurn, ClaimedRun, Transaction};
use jiff::Timestamp;

use crate::{
    call,
    columns::Columns,
    compiled::{CompiledAction, CompiledNode, CompiledProgram, CompiledStep},
    engine::Engine,
    error::{Result, While},
    experiment,
    failing::failed,
    goals, kin,
    openings::Openings,
    people::People,
    policy::{self, MAX_HOPS, plain, to, transactional},
    waiting,
};

/// Where runs stand.
pub(crate) struct Step<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) program: &'a CompiledProgram,
    pub(crate) node: &'a CompiledNode,
}

/// What came of the turns of one step.
#[derive(Default)]
pub(crate) struct Taken {
    /// The turns, in no particular order: one for each run, and those of other runs that they ended.
    pub(crate) applied: Vec<AppliedTurn>,
    /// Runs that began, and go on at once.
    pub(crate) begun: Vec<ClaimedRun>,
}

/// Takes every run's turn at `step`, for contacts that are loaded.
pub(crate) async fn take(
    tx: &mut dyn Transaction,
    people: &People,
    at: &Step<'_>,
    runs: &[ClaimedRun],
    now: Timestamp,
) -> Result<Taken> {
    let node = at.node;
    let mut begun = Vec::new();
    let mut applied = Vec::with_capacity(runs.len());
    let mut ready = Vec::with_capacity(runs.len());
    let pause = skipped_pause(at, runs.first());
    let called = call::called_with(tx, at.program, people, runs).await?;
    for run in runs.iter().copied() {
        let Some(contact) = called.get(&run.run).or_else(|| people.get(run.contact)) else {
            let end = Advance::Leave(RunStatus::Cancelled);
            applied.push(plain(run, DecisionKind::Cancelled, "the contact is gone".to_owned(), end));
            continue;
        };
        if let Some(end) = at.program.goals.reached(contact, None, now) {
            applied.push(goals::ended(run, end));
            continue;
        }
        if run.waiting.is_some() {
            ready.push((run, contact));
            continue;
        }
        if run.hops >= MAX_HOPS {
            let message = format!("{MAX_HOPS} turns without a wait; the workflow goes round in a loop");
            let failure = Failure { kind: FailureKind::Loop, message, retry_at: None };
            applied.push(failed(run, failure, &node.rules, node.next, now));
            continue;
        }
        let expiry = node.rules.expiry(&run, &at.engine.options.time_zone);
        if let Some((expiry, text)) = expiry.filter(|(expiry, _)| *expiry < now) {
            let reason =
                format!("skipped: it was due at {}, and `expires: {text}` ended at {expiry}", run.due);
            applied.push(plain(run, DecisionKind::Skipped, reason, to(node.next, now, false)));
            continue;
        }
        // Who entered during the pause has missed nothing.
        if let Some((from, until)) =
            pause.filter(|(from, until)| run.turn > 0 && (from..until).contains(&&run.due))
        {
            let reason = format!(
                "skipped: it was due at {}, and the workflow was paused from {from} until {until}",
                run.due
            );
            applied.push(plain(run, DecisionKind::Skipped, reason, to(node.next, now, false)));
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
        CompiledAction::Switch { value, cases, otherwise } => {
            applied.extend(ready.into_iter().map(|(run, contact)| {
                let (target, why) = match value.evaluate(&Subject::new(contact, None, now)) {
                    Ok(Value::Text(found)) => {
                        let why = format!("`{}` is `{found}`", value.source());
                        match cases.iter().find(|(case, _)| *case == found) {
                            Some((_, target)) => (*target, why),
                            None => (*otherwise, format!("{why}, which is no case")),
                        }
                    }
                    Ok(_) => (*otherwise, format!("`{}` is no text", value.source())),
                    Err(error) => (*otherwise, format!("`{}` is no match: {}", value.source(), error.reason)),
                };
                plain(run, DecisionKind::Branched, why, to(target, now, false))
            }));
        }
        CompiledAction::Split(split) => applied.extend(ready.into_iter().map(|(run, _)| {
            let arm = split.of(run.contact);
            let why = arm.map_or_else(|| "goes on".to_owned(), |arm| format!("goes by `{}`", arm.name));
            plain(run, DecisionKind::Branched, why, to(arm.map_or(node.next, |arm| arm.next), now, false))
        })),
        CompiledAction::Experiment(what) => {
            applied.extend(experiment::take(tx, what, ready, node.next, now).await?);
        }
        CompiledAction::Parallel(parallel) => {
            let ready = ready.into_iter().map(|(run, _)| run).collect();
            let taken = kin::take(tx, parallel, ready, node.next, now).await?;
            applied.extend(taken.applied);
            begun = taken.begun;
        }
        CompiledAction::Run(what) => {
            let taken = call::take(tx, at, what, ready, now).await?;
            applied.extend(taken.applied);
            begun = taken.begun;
        }
        CompiledAction::WaitFor(wait) => {
            applied.extend(waiting::take(tx, wait, ready, now).await?);
        }
        CompiledAction::Goto(target) => applied.extend(ready.into_iter().map(|(run, _)| {
            plain(run, DecisionKind::Branched, format!("goes to `{target}`"), to(node.next, now, false))
        })),
        CompiledAction::Exit(reason) => applied.extend(ready.into_iter().map(|(run, _)| {
            plain(run, DecisionKind::Ended, reason.clone(), Advance::Leave(RunStatus::Completed))
        })),
        CompiledAction::Plugin(step) => applied.extend(call_plugin(tx, at, step, ready, now).await?),
    }
    Ok(Taken { applied, begun })
}

/// The last pause, where a step that fell due in it is skipped. One that waits is not: what comes behind it would come too
/// early.
fn skipped_pause(at: &Step<'_>, run: Option<&ClaimedRun>) -> Option<(Timestamp, Timestamp)> {
    let is_skipped = at.program.policies.after_pause == Some(AfterPause::Skip);
    let does = matches!(&at.node.action, CompiledAction::Plugin(step) if !step.plugin.manifest().may_wait);
    let pause = at.engine.published().pause(run.filter(|_| is_skipped && does)?.workflow)?;
    Some((pause.from, pause.until?))
}

async fn call_plugin(
    tx: &mut dyn Transaction,
    at: &Step<'_>,
    step: &CompiledStep,
    ready: Vec<(ClaimedRun, &Contact)>,
    now: Timestamp,
) -> Result<Vec<AppliedTurn>> {
    let node = at.node;
    let fail = |run, kind, message| {
        failed(run, Failure { kind, message, retry_at: None }, &node.rules, node.next, now)
    };
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
        tx.put_state(name, key, value);
    }

    let wants = |outcome: &Outcome| outcome.effects.iter().any(|effect| transactional(effect).is_some());
    let mailing: Vec<&ClaimedRun> = called
        .iter()
        .zip(&answer.outcomes)
        .filter_map(|((run, ..), outcome)| wants(outcome).then_some(run))
        .collect();
    let mut openings = Openings::load(tx, at.engine, at.program, &mailing, now).await?;
    applied.extend(called.into_iter().zip(answer.outcomes).map(|((run, contact, unevaluable), outcome)| {
        let mut turn = policy::decide(run, node, step, contact, outcome, &mut openings, now);
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
