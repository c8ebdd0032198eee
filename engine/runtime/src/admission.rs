//! Who may enter a workflow.

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::{EventView, Needs},
    decision::RunStatus,
    duration,
    program::{Again, Program},
};
use dripline_store::LatestRun;
use jiff::{Span, Timestamp, tz::TimeZone};

use crate::inquiry::Verdict;

/// A workflow's rules of entry: `enroll.if`, `again`, and nobody twice at a time.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    enroll_if: Option<Expression>,
    again: Reentry,
}

/// The compiled form of [`Again`].
#[derive(Debug, Clone, Copy)]
enum Reentry {
    Never,
    Always,
    After(Span),
}

impl Admission {
    /// The rules of a published program.
    ///
    /// # Errors
    /// A sentence, when an expression or duration is not one that this program understands.
    pub(crate) fn new(program: &Program) -> Result<Self, String> {
        let types = program.input_types();
        let inputs = (!types.is_empty()).then_some(&types);
        let compile = |source: &String| {
            Expression::compile(source, ColumnType::Boolean, &Scope { attributes: None, event: true, inputs })
                .map_err(|_| format!("`enroll.if` does not compile: {source}"))
        };
        let again = match &program.again {
            Again::Never => Reentry::Never,
            Again::Always => Reentry::Always,
            Again::After(span) => Reentry::After(duration::parse(span)?),
        };
        Ok(Self { enroll_if: program.enroll_if.as_ref().map(compile).transpose()?, again })
    }

    /// What of a contact the rules look at.
    pub(crate) fn needs(&self) -> Needs {
        self.enroll_if.as_ref().map_or_else(Needs::default, |condition| condition.needs().clone())
    }

    /// Why a contact whose latest run is `latest` may not enter now, for `event` or without one; `None` when it may.
    /// `zone` is where the days of `again: {after: …}` are counted.
    pub(crate) fn refusal(
        &self,
        contact: &Contact,
        event: Option<&EventView>,
        latest: Option<&LatestRun>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Option<String> {
        if let Some(condition) = &self.enroll_if {
            match condition.test(&Subject::new(contact, event, now)) {
                Ok(true) => {}
                Ok(false) => return Some("`enroll.if` does not hold".to_owned()),
                Err(error) => return Some(format!("`enroll.if` is no match: {}", error.reason)),
            }
        }
        self.again.refusal(latest?, now, zone)
    }
}

impl Admission {
    /// What `enroll.if` says of a contact, and why it may not enter again, each by itself.
    pub(crate) fn consider(
        &self,
        contact: &Contact,
        event: Option<&EventView>,
        latest: Option<&LatestRun>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> (Option<Verdict>, Option<String>) {
        let subject = Subject::new(contact, event, now);
        let verdict = self.enroll_if.as_ref().map(|condition| Verdict::of(condition, &subject));
        (verdict, latest.and_then(|latest| self.again.refusal(latest, now, zone)))
    }
}

impl Reentry {
    fn refusal(self, latest: &LatestRun, now: Timestamp, zone: &TimeZone) -> Option<String> {
        if latest.status == RunStatus::Active {
            return Some("is in the workflow already".to_owned());
        }
        match self {
            Self::Always => None,
            Self::Never => Some("was in the workflow before, and `again` is `never`".to_owned()),
            Self::After(span) => {
                let from = duration::after(latest.enrolled_at, span, zone);
                (now < from).then(|| format!("was in the workflow before, and may enter again from {from}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dripline_model::id::RunId;

    use super::*;

    fn latest(status: RunStatus) -> LatestRun {
        LatestRun { run: RunId(1), status, enrolled_at: "2024-01-01T00:00:00Z".parse().unwrap() }
    }

    #[test]
    fn nobody_is_in_a_workflow_twice_at_a_time() {
        let now = "2025-01-01T00:00:00Z".parse().unwrap();
        for again in [Reentry::Never, Reentry::Always, Reentry::After(duration::parse("1d").unwrap())] {
            assert!(again.refusal(&latest(RunStatus::Active), now, &TimeZone::UTC).is_some());
        }
    }

    #[test]
    fn after_counts_from_the_enrolment() {
        let again = Reentry::After(duration::parse("90d").unwrap());
        let at =
            |text: &str| again.refusal(&latest(RunStatus::Completed), text.parse().unwrap(), &TimeZone::UTC);
        assert_eq!(
            at("2024-03-30T23:59:59Z").as_deref(),
            Some("was in the workflow before, and may enter again from 2024-03-31T00:00:00Z")
        );
        assert_eq!(at("2024-03-31T00:00:00Z"), None);
    }
}
