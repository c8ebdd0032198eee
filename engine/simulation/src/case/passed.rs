//! Which steps a contact's runs came by, and which of them were taken.

use std::collections::HashMap;

use dripline_model::{
    decision::{DecisionKind, RunStatus},
    id::RunId,
};
use dripline_runtime::is_reached_anywhere;
use dripline_store::{RunRow, TimelineEntry, TimelineWhat};
use jiff::Timestamp;

/// A step to which a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed<'t> {
    /// When it was decided what becomes of it.
    pub(super) at: Timestamp,
    /// The run.
    pub(super) run: RunId,
    /// The workflow's name.
    pub(super) workflow: &'t str,
    /// The step's id.
    pub(super) step: &'t str,
    /// What became of it.
    pub(super) how: How,
}

/// What became of a step to which a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It was taken.
    Taken,
    /// The run went by: the step's `if` did not hold, or it came too late.
    Skipped,
    /// The run stands before it, or ended there before it was taken.
    Untaken,
}

/// The steps of a contact's runs, in the order of their decisions. Of a step that was put off (by quiet hours, a cap, or a
/// failure that is tried again) only what became of it in the end.
pub(super) fn passed<'t>(timeline: &'t [TimelineEntry], runs: &[RunRow]) -> Vec<Passed<'t>> {
    let mut all: Vec<(Passed<'t>, DecisionKind)> = Vec::new();
    let mut last: HashMap<RunId, usize> = HashMap::new();
    let mut put_off = Vec::new();
    for entry in timeline {
        let TimelineWhat::Decision { run: Some(run), workflow, step: Some(step), kind, reason, .. } =
            &entry.what
        else {
            continue;
        };
        let how = match kind {
            DecisionKind::Skipped => How::Skipped,
            DecisionKind::Ended if is_reached_anywhere(reason) => How::Untaken,
            DecisionKind::Cancelled | DecisionKind::Moved => How::Untaken,
            _ => How::Taken,
        };
        let place = all.len();
        all.push((Passed { at: entry.at, run: *run, workflow, step, how }, *kind));
        if let Some(before) = last.insert(*run, place)
            && all.get(before).is_some_and(|(passed, kind)| passed.step == step && may_come_again(*kind))
        {
            put_off.push(before);
        }
    }
    for run in runs.iter().filter(|run| run.status == RunStatus::Active) {
        let Some((passed, kind)) = last.get(&run.run).and_then(|place| all.get_mut(*place)) else { continue };
        if passed.step == run.step && may_come_again(*kind) {
            passed.how = How::Untaken;
        }
    }
    let is_last = |(place, (passed, _))| (!put_off.contains(&place)).then_some(passed);
    all.into_iter().enumerate().filter_map(is_last).collect()
}

/// Whether a run may come to the same step again after this.
fn may_come_again(kind: DecisionKind) -> bool {
    matches!(kind, DecisionKind::Waiting | DecisionKind::Retrying)
}

#[cfg(test)]
mod tests {
    use dripline_model::id::ContactId;

    use super::*;

    fn entry(hour: i64, step: &str, kind: DecisionKind, reason: &str) -> TimelineEntry {
        TimelineEntry {
            at: Timestamp::from_second(hour * 3_600).unwrap(),
            what: TimelineWhat::Decision {
                run: Some(RunId(1)),
                workflow: "w".into(),
                step: Some(step.into()),
                path: None,
                kind,
                reason: reason.into(),
            },
        }
    }

    fn run(status: RunStatus, step: &str) -> RunRow {
        RunRow {
            run: RunId(1),
            workflow: "w".into(),
            version_id: dripline_model::id::VersionId(1),
            version: 1,
            contact: ContactId(1),
            contact_name: String::new(),
            status,
            step: step.into(),
            due_at: None,
            enrolled_at: Timestamp::UNIX_EPOCH,
            ended_at: None,
            reason: None,
            parent: None,
            path: None,
        }
    }

    fn said(timeline: &[TimelineEntry], run: RunRow) -> Vec<(&str, How)> {
        passed(timeline, &[run]).into_iter().map(|passed| (passed.step, passed.how)).collect()
    }

    #[test]
    fn a_step_that_is_put_off_is_taken_when_it_is_done() {
        use DecisionKind::{Done, Waiting};
        let held = entry(2, "mail", Waiting, "waits until the morning: quiet hours");
        let timeline = [entry(1, "pause", Waiting, "waits"), held, entry(9, "mail", Done, "queued")];
        let done = said(&timeline, run(RunStatus::Completed, "mail"));
        assert_eq!(done, [("pause", How::Taken), ("mail", How::Taken)]);
        let still = said(&timeline[..2], run(RunStatus::Active, "mail"));
        assert_eq!(still, [("pause", How::Taken), ("mail", How::Untaken)]);
    }

    #[test]
    fn who_reaches_a_goal_has_not_taken_the_step_before_which_he_stood() {
        use DecisionKind::{Ended, Waiting};
        let won = entry(2, "mail", Ended, "goal reached: event paid");
        let timeline = [entry(1, "pause", Waiting, "waits"), won];
        let won = said(&timeline, run(RunStatus::Won, "mail"));
        assert_eq!(won, [("pause", How::Taken), ("mail", How::Untaken)]);
        let timeline = [entry(1, "end", Ended, "handed to sales")];
        assert_eq!(said(&timeline, run(RunStatus::Completed, "end")), [("end", How::Taken)]);
    }
}
