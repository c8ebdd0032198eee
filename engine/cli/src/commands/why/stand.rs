//! Where a run stands, what it waits for, and until when.

use dripline_model::{
    decision::{DecisionKind, RunStatus},
    id::RunId,
    program::{Action, Node, WaitFor},
};
use dripline_runtime::{Question, Verdict};
use dripline_store::{ActiveRun, RunRow, StoredProgram};
use jiff::Timestamp;

use super::account::{Known, node_of};

/// Where a run stands.
pub(super) struct Stand {
    pub(super) step: String,
    pub(super) name: Option<String>,
    /// What it waits for.
    pub(super) what: Awaits,
    /// Why, in words.
    pub(super) why: String,
    /// Until when, where that is known.
    pub(super) until: Option<Timestamp>,
    /// The condition that it waits for, as it comes out now.
    pub(super) verdict: Option<Verdict>,
}

/// What a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaits {
    /// An event, or a condition.
    Happening,
    /// A time.
    Time,
    /// Until it may be mailed: quiet hours, a cap, another workflow that goes first.
    Opening,
    /// Until what failed is tried again.
    Retry,
    /// Only its turn.
    Turn,
    /// Until a person decides about a failure.
    Person,
}

impl Awaits {
    /// For programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Happening => "happening",
            Self::Time => "time",
            Self::Opening => "opening",
            Self::Retry => "retry",
            Self::Turn => "turn",
            Self::Person => "person",
        }
    }
}

/// Where the run stands, whose last decision was `last`: step, kind and reason.
pub(super) fn of(
    row: &RunRow,
    stored: Option<&StoredProgram>,
    active: Option<&ActiveRun>,
    last: Option<(Option<&str>, DecisionKind, &str)>,
    known: &Known<'_>,
) -> Stand {
    let node = stored.and_then(|stored| node_of(stored, &row.step));
    let stand = |what, why: String, until| Stand {
        step: row.step.clone(),
        name: node.and_then(|node| node.name.clone()),
        what,
        why,
        until,
        verdict: None,
    };
    let reason = last.map_or_else(String::new, |(.., reason)| reason.to_owned());
    if row.status == RunStatus::Failed {
        let why = if reason.is_empty() { "it failed".to_owned() } else { reason };
        return stand(Awaits::Person, why, None);
    }
    if let Some(waiting) = active.and_then(|active| active.run.waiting)
        && let Some(Node { action: Action::WaitFor(wait), .. }) = node
    {
        let verdict = wait.condition.as_ref().filter(|_| wait.event.is_none()).and_then(|source| {
            let question = Question::condition(source, false).ok()?;
            Some(question.ask(known.contact, None, known.now))
        });
        return Stand { verdict, ..stand(Awaits::Happening, happening(wait), Some(waiting.until)) };
    }
    if active.is_some_and(|active| active.run.waits_for_runs()) {
        return stand(Awaits::Happening, ends(row.run, known.runs), None);
    }
    let due = active.map_or(row.due_at, |active| Some(active.due_at)).filter(|due| *due > known.now);
    match (due, last) {
        (None, _) => stand(Awaits::Turn, "nothing more: it is due".to_owned(), None),
        (Some(_), Some((Some(step), DecisionKind::Waiting, _))) if step == row.step => {
            // Until when it is held back is said beside it.
            let why = reason.strip_prefix("waits until ").and_then(|rest| rest.split_once(": "));
            let why = why.map_or(reason.clone(), |(_, why)| why.to_owned());
            stand(Awaits::Opening, why, due)
        }
        (Some(_), Some((_, DecisionKind::Retrying, _))) => stand(Awaits::Retry, reason, due),
        (Some(_), Some((_, DecisionKind::Waiting, _))) => stand(Awaits::Time, reason, due),
        (Some(_), _) => stand(Awaits::Time, "a time that was set before".to_owned(), due),
    }
}

/// the end of path `call`, which stands at `step-2.call-1`
fn ends(parent: RunId, runs: &[RunRow]) -> String {
    let open = |run: &&RunRow| match run.status {
        RunStatus::Active => true,
        // A failed path holds up its run until a person decides; any other run that failed is over.
        RunStatus::Failed => run.path.is_some(),
        _ => false,
    };
    let of = runs.iter().filter(|run| run.parent == Some(parent)).filter(open);
    let ends: Vec<String> = of
        .map(|run| {
            let what = match &run.path {
                Some(path) => format!("path `{path}`"),
                None => format!("the run of `{}`", run.workflow),
            };
            match run.status {
                RunStatus::Failed => {
                    format!("{what}, which failed at `{}` and waits for a person", run.step)
                }
                _ => format!("{what}, which stands at `{}`", run.step),
            }
        })
        .collect();
    match ends.as_slice() {
        // They ended just now, and it is not looked at yet.
        [] => "nothing more: what it waited for has ended".to_owned(),
        ends => format!("the end of {}", ends.join("; of ")),
    }
}

/// the event `email.clicked`
fn happening(wait: &WaitFor) -> String {
    match (&wait.event, &wait.condition) {
        (Some(event), Some(condition)) => format!("the event `{event}` for which `{condition}` holds"),
        (Some(event), None) => format!("the event `{event}`"),
        (None, Some(condition)) => format!("`{condition}` to hold"),
        (None, None) => "nothing".to_owned(),
    }
}
