//! Halving: how a batch that fails is cut down to the turns that make it fail.

use std::{
    future::Future,
    ops::Range,
    time::{Duration, Instant},
};

use dripline_model::{Directive, Failure, Outcome, batch::Batch};

use crate::{
    error::{CallError, CallErrorKind, last_words},
    limits::Limits,
    plugin::Answer,
};

/// The least time that a part gets of a batch that ran out of it.
const LEAST_TIME: Duration = Duration::from_millis(250);

/// A step that can be called.
pub(crate) trait Call: Sync {
    /// Calls it once, for at most `time`.
    fn call(&self, batch: &Batch, time: Duration) -> impl Future<Output = Result<Answer, CallError>> + Send;

    /// The error of a call that was not made.
    fn error(&self, kind: CallErrorKind) -> CallError;
}

/// Turns that are yet to be called, and how long that may take.
struct Part {
    turns: Range<usize>,
    time: Duration,
}

/// Calls the step, and where that fails calls it with each half of the batch, until a turn that fails is alone.
pub(crate) async fn run(step: &impl Call, batch: Batch, limits: &Limits) -> Answer {
    let ends = Instant::now() + Duration::from_millis(limits.run_timeout_ms);
    let whole = 0..batch.turns.len();
    let mut answer = Answer { outcomes: Vec::with_capacity(whole.len()), state: None };
    // The part that comes next lies on top.
    let mut parts = vec![Part { turns: whole.clone(), time: Duration::from_millis(limits.call_timeout_ms) }];
    while let Some(Part { turns, time }) = parts.pop() {
        if turns.is_empty() {
            continue;
        }
        let left = ends.saturating_duration_since(Instant::now());
        let called = if left.is_zero() {
            Err(step.error(CallErrorKind::Unreached { limit_ms: limits.run_timeout_ms }))
        } else if turns == whole {
            step.call(&batch, time.min(left)).await
        } else {
            let state = answer.state.as_ref().or(batch.state.as_ref()).cloned();
            step.call(&batch.slice(turns.clone(), state), time.min(left)).await
        };
        match called {
            Ok(part) => {
                answer.outcomes.extend(part.outcomes);
                answer.state = part.state.or(answer.state);
            }
            Err(error) if turns.len() == 1 || left.is_zero() => {
                answer.outcomes.extend(turns.map(|_| failed(&error)));
            }
            Err(error) => {
                tracing::debug!(plugin = error.plugin, turns = turns.len(), %error, "halving a batch that failed");
                let time = match error.kind {
                    CallErrorKind::Time { .. } => (time / 2).max(LEAST_TIME.min(time)),
                    _ => time,
                };
                let middle = turns.start + turns.len() / 2;
                parts.push(Part { turns: middle..turns.end, time });
                parts.push(Part { turns: turns.start..middle, time });
            }
        }
    }
    answer
}

/// The outcome of a turn whose call failed with nobody else in it.
fn failed(error: &CallError) -> Outcome {
    let message = format!("{error}{}", last_words(&error.log));
    let failure = Failure { kind: error.kind.failure_kind(), message: message.clone(), retry_at: None };
    Outcome { directive: Directive::Fail(failure), effects: Vec::new(), reason: message }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use dripline_model::{
        batch::BatchTurn,
        id::{ContactId, RunId},
    };
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    /// Fails if a turn's seed is 1, else counts its turns in its state; remembers how it was called.
    #[derive(Default)]
    struct Fake {
        fails_with: Option<CallErrorKind>,
        calls: Mutex<Vec<(usize, Duration)>>,
    }

    impl Call for Fake {
        async fn call(&self, batch: &Batch, time: Duration) -> Result<Answer, CallError> {
            self.calls.lock().unwrap().push((batch.turns.len(), time));
            if batch.turns.iter().any(|turn| turn.seed == 1) {
                let kind = self.fails_with.clone().unwrap_or(CallErrorKind::Trap("poison".into()));
                return Err(self.error(kind));
            }
            let before = batch.state.as_ref().map_or(0, |state| state[0]);
            let outcomes = (0..batch.turns.len())
                .map(|index| Outcome {
                    directive: Directive::Continue,
                    effects: Vec::new(),
                    reason: format!("{} before", usize::from(before) + index),
                })
                .collect();
            Ok(Answer { outcomes, state: Some(vec![before + batch.turns.len() as u8]) })
        }

        fn error(&self, kind: CallErrorKind) -> CallError {
            CallError { plugin: "fake".into(), kind, log: "boo".into() }
        }
    }

    fn batch(poison: &[bool]) -> Batch {
        let turn = |(index, poison): (usize, &bool)| BatchTurn {
            run: RunId(index as i64),
            contact: ContactId(index as i64),
            seed: u64::from(*poison),
        };
        Batch {
            now: Timestamp::UNIX_EPOCH,
            turns: poison.iter().enumerate().map(turn).collect(),
            columns: Vec::new(),
            state: None,
        }
    }

    fn run_now(step: &Fake, batch: Batch, limits: &Limits) -> Answer {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(step, batch, limits))
    }

    proptest! {
        #[test]
        fn halving_gives_what_a_call_for_each_turn_gives(poison in prop::collection::vec(prop::bool::weighted(0.2), 0..60)) {
            let halved = run_now(&Fake::default(), batch(&poison), &Limits::default());
            let mut each = Answer { outcomes: Vec::new(), state: None };
            for index in 0..poison.len() {
                let alone = batch(&poison).slice(index..index + 1, each.state.clone());
                let alone = run_now(&Fake::default(), alone, &Limits::default());
                each.outcomes.extend(alone.outcomes);
                each.state = alone.state.or(each.state);
            }
            prop_assert_eq!(halved, each);
        }
    }

    #[test]
    fn a_turn_that_fails_alone_says_why_and_the_others_go_on() {
        let answer = run_now(&Fake::default(), batch(&[false, true, false]), &Limits::default());
        let reasons: Vec<&str> = answer.outcomes.iter().map(|outcome| outcome.reason.as_str()).collect();
        insta::assert_debug_snapshot!(reasons, @r#"
        [
            "0 before",
            "plugin `fake` failed: its code trapped: poison; its last words: boo",
            "1 before",
        ]
        "#);
        assert_eq!(answer.state, Some(vec![2]));
    }

    #[test]
    fn parts_of_a_batch_that_ran_out_of_time_get_half_of_it() {
        let slow = Fake { fails_with: Some(CallErrorKind::Time { limit_ms: 1 }), ..Fake::default() };
        run_now(&slow, batch(&[true, false, false, false, false, false, false, false]), &Limits::default());
        let calls: Vec<(usize, u128)> =
            slow.calls.into_inner().unwrap().iter().map(|(turns, time)| (*turns, time.as_millis())).collect();
        assert_eq!(calls, [(8, 5_000), (4, 2_500), (2, 1_250), (1, 625), (1, 625), (2, 1_250), (4, 2_500)]);
    }

    #[test]
    fn turns_that_time_does_not_reach_fail_without_a_call() {
        let fake = Fake::default();
        let answer =
            run_now(&fake, batch(&[false, false]), &Limits { run_timeout_ms: 0, ..Limits::default() });
        assert!(fake.calls.into_inner().unwrap().is_empty());
        assert_eq!(answer.outcomes.len(), 2);
        assert!(answer.outcomes.iter().all(|outcome| matches!(outcome.directive, Directive::Fail(_))));
    }
}
