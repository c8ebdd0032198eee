//! How late a step may be done, and what becomes of a run whose step failed.

use dripline_model::{
    Failure, FailureKind,
    decision::{DecisionKind, RunStatus},
    duration,
    policy::{OnError, Policies, StepRules},
    program::NodeIndex,
};
use dripline_store::{Advance, AppliedTurn, ClaimedRun};
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};

use crate::policy::{plain, to};

/// Tries of one turn, the first included, where nobody says otherwise.
const TRIES: i64 = 4;

/// The pause before the second try, where nobody says otherwise; each further one is four times as long.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// No pause grows beyond this.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(24);

/// The compiled form of a step's [`StepRules`], with the workflow's own where it says nothing.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    expires: Option<(String, Span)>,
    on_error: OnError,
    tries: i64,
    pause: SignedDuration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { expires: None, on_error: OnError::default(), tries: TRIES, pause: FIRST_PAUSE }
    }
}

impl Rules {
    /// # Errors
    /// A sentence, when a duration is not one that this program understands.
    pub(crate) fn new(own: &StepRules, policies: &Policies) -> Result<Self, String> {
        let mut rules = Self::default();
        if let Some(text) = &own.expires {
            rules.expires = Some((text.clone(), duration::parse(text)?));
        }
        rules.on_error = own.on_error.or(policies.on_error).unwrap_or_default();
        if let Some(retry) = own.retry.as_ref().or(policies.retry.as_ref()) {
            let epoch = Timestamp::UNIX_EPOCH;
            let pause = duration::parse(&retry.pause)?;
            rules.pause = duration::after(epoch, pause, &TimeZone::UTC).duration_since(epoch);
            rules.tries = i64::from(retry.times) + 1;
        }
        Ok(rules)
    }

    /// When the run's step expires, counted in `zone` from when it was due first, and what the author wrote.
    pub(crate) fn expiry(&self, run: &ClaimedRun, zone: &TimeZone) -> Option<(Timestamp, &str)> {
        let (text, span) = self.expires.as_ref()?;
        Some((duration::after(run.due, *span, zone), text))
    }

    fn pause(&self, attempts: i64) -> SignedDuration {
        let longest = self.pause.max(LONGEST_PAUSE);
        let factor = 4_i32.checked_pow(u32::try_from(attempts).unwrap_or(u32::MAX));
        factor.and_then(|factor| self.pause.checked_mul(factor)).unwrap_or(longest).min(longest)
    }
}

/// A turn that failed: again after a pause, past the step, or for good. `next` is the step below.
pub(crate) fn failed(
    run: ClaimedRun,
    failure: Failure,
    rules: &Rules,
    next: Option<NodeIndex>,
    now: Timestamp,
) -> AppliedTurn {
    if failure.kind == FailureKind::Unreached {
        // It was not tried, so it loses no try: the run comes to the same step again.
        let due = now.saturating_add(FIRST_PAUSE).unwrap_or(Timestamp::MAX);
        let reason = format!("put off: {}; again at {due}", failure.message);
        return plain(run, DecisionKind::Retrying, reason, Advance::Hold { due });
    }
    let (tries, most) = (run.attempts + 1, rules.tries);
    let label = failure.kind.name();
    if failure.kind.is_retried() && tries < most && rules.on_error != OnError::Stop {
        let pause = rules.pause(run.attempts);
        let due =
            failure.retry_at.unwrap_or_else(|| now.saturating_add(pause).unwrap_or(Timestamp::MAX)).max(now);
        let reason = format!("try {tries} of {most} failed ({label}): {}; again at {due}", failure.message);
        return plain(run, DecisionKind::Retrying, reason, Advance::Retry { due });
    }
    // To go on from a step that goes round without end would be the same again.
    if rules.on_error == OnError::Skip && failure.kind != FailureKind::Loop {
        let reason = format!("skipped, for it failed ({label}): {}", failure.message);
        return plain(run, DecisionKind::Skipped, reason, to(next, now, false));
    }
    let reason = format!("failed ({label}): {}", failure.message);
    plain(run, DecisionKind::Failed, reason, Advance::End(RunStatus::Failed))
}

#[cfg(test)]
mod tests {
    use dripline_model::{
        id::{ContactId, RunId, VersionId, WorkflowId},
        policy::Retry,
    };

    use super::*;

    fn run(attempts: i64) -> ClaimedRun {
        ClaimedRun {
            run: RunId(1),
            contact: ContactId(1),
            workflow: WorkflowId(1),
            version: VersionId(1),
            node: 0,
            turn: 0,
            attempts,
            hops: 0,
            due: Timestamp::UNIX_EPOCH,
            waiting: None,
            parent: None,
        }
    }

    fn trap() -> Failure {
        Failure { kind: FailureKind::Trap, message: "unreachable".into(), retry_at: None }
    }

    fn rules(own: StepRules, workflow: Policies) -> Rules {
        Rules::new(&own, &workflow).unwrap()
    }

    /// The pauses before each further try in seconds, until there is none.
    fn pauses(rules: &Rules) -> Vec<i64> {
        let now = Timestamp::UNIX_EPOCH;
        (0..)
            .map_while(|attempts| match failed(run(attempts), trap(), rules, None, now).advance {
                Advance::Retry { due } => Some(due.as_second()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_trap_is_tried_four_times_with_growing_pauses_and_a_permanent_failure_once() {
        let now = Timestamp::UNIX_EPOCH;
        let plain = Rules::default();
        assert_eq!(pauses(&plain), [60, 240, 960]);
        let unreached = Failure { kind: FailureKind::Unreached, ..trap() };
        let unreached = failed(run(3), unreached, &plain, None, now).advance;
        assert!(matches!(unreached, Advance::Hold { .. }), "what was not tried loses no try");
        let permanent = Failure { kind: FailureKind::Permanent, ..trap() };
        assert_eq!(failed(run(0), permanent, &plain, None, now).advance, Advance::End(RunStatus::Failed));
    }

    #[test]
    fn a_step_has_its_own_tries_before_the_workflows() {
        let retry = |times, pause: &str| Some(Retry { times, pause: pause.into() });
        let workflow = Policies { retry: retry(1, "2h"), ..Policies::default() };
        assert_eq!(pauses(&rules(StepRules::default(), workflow.clone())), [7_200]);
        let own = StepRules { retry: retry(5, "1h"), ..StepRules::default() };
        // A pause grows to a day at most.
        assert_eq!(pauses(&rules(own, workflow.clone())), [3_600, 14_400, 57_600, 86_400, 86_400]);
        let slow = StepRules { retry: retry(2, "3d"), ..StepRules::default() };
        assert_eq!(pauses(&rules(slow, workflow)), [259_200, 259_200], "unless the first is longer");
    }

    #[test]
    fn what_fails_for_good_stops_the_run_or_is_skipped() {
        let now = Timestamp::UNIX_EPOCH;
        let after = |on_error, attempts, kind| {
            let own = StepRules { on_error: Some(on_error), ..StepRules::default() };
            let stops = Policies { on_error: Some(OnError::Stop), ..Policies::default() };
            failed(run(attempts), Failure { kind, ..trap() }, &rules(own, stops), Some(7), now).advance
        };
        use FailureKind::{Loop, Permanent, Trap};
        let (end, on) = (Advance::End(RunStatus::Failed), Advance::To { node: 7, due: now, waited: false });
        assert!(matches!(after(OnError::Retry, 0, Trap), Advance::Retry { .. }));
        assert_eq!(after(OnError::Retry, 3, Trap), end);
        assert!(matches!(after(OnError::Skip, 0, Trap), Advance::Retry { .. }));
        assert_eq!((after(OnError::Skip, 3, Trap), after(OnError::Skip, 0, Permanent)), (on, on));
        assert_eq!(after(OnError::Skip, 0, Loop), end);
        assert_eq!(after(OnError::Stop, 0, Trap), end);
    }
}
