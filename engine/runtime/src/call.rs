//! `run`: a step starts a run of another workflow, and may wait for its end.

use std::collections::{BTreeMap, BTreeSet};

use dripline_expression::{Expression, Scope, Subject, Value};
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::Needs,
    decision::{DecisionKind, RunStatus},
    id::{ContactId, RunId},
    program::{Call, CallEnd, Input, NodeIndex},
};
use dripline_store::{Called, ClaimedRun, NEVER, NewCall, Parent, Transaction};
use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use crate::{
    compiled::CompiledProgram,
    entrance::Candidate,
    error::{Result, While},
    kin::{current, wait_for_runs},
    people::People,
    policy::{plain, to},
    turn::{Step, Taken},
};

/// How deep calls may go. A check of all files finds circles; this bounds those that were published one after the other.
const DEEPEST: u32 = 16;

/// The types that an input may have.
const TYPES: [ColumnType; 4] =
    [ColumnType::Text, ColumnType::Integer, ColumnType::Float, ColumnType::Boolean];

/// A call, ready to be made.
pub(crate) struct CompiledCall {
    workflow: String,
    /// By the input's name: the expression for each type that it may give.
    with: BTreeMap<String, Vec<(ColumnType, Expression)>>,
    waits: bool,
    ways: BTreeMap<CallEnd, Option<NodeIndex>>,
}

impl CompiledCall {
    /// # Errors
    /// A sentence, when an expression is not one that this program understands.
    pub(crate) fn new(
        call: Call,
        inputs: Option<&BTreeMap<String, ColumnType>>,
    ) -> std::result::Result<Self, String> {
        let scope = Scope { inputs, ..Scope::default() };
        let mut with = BTreeMap::new();
        for argument in call.with {
            let compiled: Vec<_> = TYPES
                .into_iter()
                .filter_map(|column| {
                    Some((column, Expression::compile(&argument.value, column, &scope).ok()?))
                })
                .collect();
            if compiled.is_empty() {
                return Err(format!("an expression of a call does not compile: {}", argument.value));
            }
            with.insert(argument.name, compiled);
        }
        Ok(Self { workflow: call.workflow, with, waits: call.waits, ways: call.ways })
    }

    /// What of a contact it looks at.
    pub(crate) fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        self.with.values().flatten().for_each(|(_, expression)| needs.merge(expression.needs()));
        needs
    }

    fn way(&self, end: CallEnd, next: Option<NodeIndex>) -> Option<NodeIndex> {
        self.ways.get(&end).copied().unwrap_or(next)
    }

    /// What the inputs are for a contact; else why there is none.
    fn inputs(
        &self,
        wanted: &[Input],
        contact: &Contact,
        now: Timestamp,
    ) -> std::result::Result<Map<String, Json>, String> {
        let mut inputs = Map::new();
        for input in wanted {
            let value = match self.with.get(&input.name) {
                None => Err("it is not given".to_owned()),
                Some(compiled) => match compiled.iter().find(|(column, _)| *column == input.column) {
                    None => Err("what is given is of another type".to_owned()),
                    Some((_, expression)) => expression
                        .evaluate(&Subject::new(contact, None, now))
                        .map_err(|error| format!("`{}` is no match: {}", expression.source(), error.reason)),
                },
            };
            let value = match (value, &input.default) {
                (Ok(Value::Boolean(value)), _) => json!(value),
                (Ok(Value::Integer(value)), _) => json!(value),
                (Ok(Value::Float(value)), _) => json!(value),
                (Ok(Value::Text(value)), _) => json!(value),
                (_, Some(default)) => default.clone(),
                (Ok(_), None) => return Err(format!("the input `{}` is of another type", input.name)),
                (Err(why), None) => return Err(format!("the input `{}` has no value: {why}", input.name)),
            };
            inputs.insert(input.name.clone(), value);
        }
        Ok(inputs)
    }
}

/// The contacts of those of the runs that were called with something, as their steps see them.
pub(crate) async fn called_with(
    tx: &mut dyn Transaction,
    program: &CompiledProgram,
    people: &People,
    runs: &[ClaimedRun],
) -> Result<BTreeMap<RunId, Contact>> {
    if program.inputs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let of = |run: &ClaimedRun| Some((run.run, people.get(run.contact)?.clone()));
    with_inputs(tx, program, runs.iter().filter_map(of).collect()).await
}

/// Gives contacts what their runs, all of this program, were called with.
pub(crate) async fn with_inputs(
    tx: &mut dyn Transaction,
    program: &CompiledProgram,
    mut contacts: BTreeMap<RunId, Contact>,
) -> Result<BTreeMap<RunId, Contact>> {
    let ids: Vec<RunId> = contacts.keys().copied().collect();
    let mut calls = tx.calls(&ids).await.while_doing("look with what runs were called")?;
    for (run, contact) in &mut contacts {
        contact.inputs = calls.remove(run).unwrap_or_default().inputs;
        // Who was enrolled otherwise has the defaults.
        for input in &program.inputs {
            if let (Some(default), false) = (&input.default, contact.inputs.contains_key(&input.name)) {
                contact.inputs.insert(input.name.clone(), default.clone());
            }
        }
    }
    Ok(contacts)
}

/// Makes the calls of those who come, and sends on those whose called runs have ended.
pub(crate) async fn take(
    tx: &mut dyn Transaction,
    at: &Step<'_>,
    call: &CompiledCall,
    runs: Vec<(ClaimedRun, &Contact)>,
    now: Timestamp,
) -> Result<Taken> {
    let (waiting, coming): (Vec<_>, Vec<_>) = runs.into_iter().partition(|(run, _)| run.waits_for_runs());
    let mut taken = Taken::default();
    let waiting: Vec<ClaimedRun> = waiting.into_iter().map(|(run, _)| run).collect();
    if !waiting.is_empty() {
        go_on(tx, at, call, waiting, &mut taken, now).await?;
    }
    if coming.is_empty() {
        return Ok(taken);
    }
    let published = at.engine.published();
    let program = published.programs.iter().find(|program| program.name == call.workflow);
    let Some(program) = program else {
        let why = format!("no workflow `{}` is published", call.workflow);
        taken.applied.extend(coming.into_iter().map(|(run, _)| refused(at, call, run, &why, now)));
        return Ok(taken);
    };
    let ids: Vec<RunId> = coming.iter().map(|(run, _)| run.run).collect();
    let calls = tx.calls(&ids).await.while_doing("look with what runs were called")?;
    let depth = |run: RunId| calls.get(&run).map_or(0, |called| called.depth) + 1;
    // Nobody stands before the door twice at a time.
    let mut left = coming;
    while !left.is_empty() {
        let mut here = BTreeSet::new();
        let (now_here, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(run, _)| here.insert(run.contact));
        left = later;
        let mut wanted: BTreeMap<ContactId, (ClaimedRun, Map<String, Json>)> = BTreeMap::new();
        for (run, contact) in now_here {
            if depth(run.run) > DEEPEST {
                let why = format!(
                    "calls would be more than {DEEPEST} deep; workflows that call each other would never rest"
                );
                taken.applied.push(refused(at, call, run, &why, now));
                continue;
            }
            match call.inputs(&program.inputs, contact, now) {
                Ok(inputs) => drop(wanted.insert(run.contact, (run, inputs))),
                Err(why) => taken.applied.push(refused(at, call, run, &why, now)),
            }
        }
        let because = format!("called by `{}`", at.program.name);
        let candidates = wanted.iter().map(|(contact, (_, inputs))| Candidate {
            inputs: Some(inputs),
            ..Candidate::plain(*contact, &because)
        });
        let answers = program.entrance.admit(tx, candidates.collect(), true, now).await?;
        let mut begun: BTreeMap<ContactId, ClaimedRun> =
            program.entrance.begun(tx, &answers).await?.into_iter().map(|run| (run.contact, run)).collect();
        let mut reasons: BTreeMap<ContactId, String> =
            answers.into_iter().filter_map(|answer| Some((answer.contact.id, answer.refusal?))).collect();
        let mut new = Vec::new();
        for (contact, (run, inputs)) in wanted {
            let Some(mut child) = begun.remove(&contact) else {
                let why = reasons.remove(&contact).unwrap_or_else(|| "the contact is gone".to_owned());
                taken.applied.push(refused(at, call, run, &why, now));
                continue;
            };
            let parent = call.waits.then_some((run.run, run.turn));
            new.push(NewCall { run: child.run, parent, called: Called { inputs, depth: depth(run.run) } });
            child.parent = parent.map(|(run, _)| Parent { run, is_path: false });
            child.hops = run.hops + 1;
            if !published.is_paused(child.workflow) {
                taken.begun.push(child);
            }
            taken.applied.push(if call.waits {
                wait_for_runs(run, format!("calls `{}`, and waits for its end", call.workflow), now)
            } else {
                let target = call.way(CallEnd::Started, at.node.next);
                let why = format!("started `{}`", call.workflow);
                plain(run, DecisionKind::Branched, why, to(target, now, false))
            });
        }
        tx.attach_calls(&new).await.while_doing("record with what runs were called")?;
    }
    Ok(taken)
}

/// Those for whose called runs a run waits.
async fn go_on(
    tx: &mut dyn Transaction,
    at: &Step<'_>,
    call: &CompiledCall,
    waiting: Vec<ClaimedRun>,
    taken: &mut Taken,
    now: Timestamp,
) -> Result<()> {
    let called = current(tx, &waiting).await?;
    let called: BTreeMap<RunId, RunStatus> =
        called.into_iter().map(|child| (child.parent, child.status)).collect();
    let mut put_back = Vec::new();
    for run in waiting {
        let end = match called.get(&run.run) {
            Some(RunStatus::Active) => {
                put_back.push((run, NEVER));
                continue;
            }
            Some(RunStatus::Completed) => CallEnd::Completed,
            Some(RunStatus::Won) => CallEnd::Won,
            Some(RunStatus::Failed) => CallEnd::Failed,
            Some(RunStatus::Cancelled) | None => CallEnd::Cancelled,
        };
        let waited = run.waiting.is_some_and(|waiting| now > waiting.since);
        let why = format!("`{}` ended as {}", call.workflow, end.name());
        let target = call.way(end, at.node.next);
        taken.applied.push(plain(run, DecisionKind::Branched, why, to(target, now, waited)));
    }
    tx.put_back(&put_back).await.while_doing("let runs wait on")
}

fn refused(
    at: &Step<'_>,
    call: &CompiledCall,
    run: ClaimedRun,
    why: &str,
    now: Timestamp,
) -> dripline_store::AppliedTurn {
    let target = call.way(CallEnd::Refused, at.node.next);
    plain(
        run,
        DecisionKind::Branched,
        format!("`{}` was refused: {why}", call.workflow),
        to(target, now, false),
    )
}
