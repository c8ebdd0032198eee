//! Who may enter a workflow.

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::{EventView, Needs},
    duration,
    program::{Again, Concurrency, Program},
};
use dripline_store::LatestRun;
use jiff::{Span, Timestamp, tz::TimeZone};

use crate::inquiry::Verdict;

/// A workflow's rules of entry: `enroll.if`, `again`, and nobody twice at a time.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    enroll_if: Option<Expression>,
    again: Reentry,
    concurrency: Concurrency,
}

/// Why a contact does not enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoEntry {
    /// It is in the workflow, and may enter when it has left it.
    Busy,
    /// For this reason.
    Because(String),
}

impl NoEntry {
    /// The reason, for people.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Busy => "is in the workflow already".to_owned(),
            Self::Because(reason) => reason,
        }
    }
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
        let enroll_if = program.enroll_if.as_ref().map(compile).transpose()?;
        Ok(Self { enroll_if, again, concurrency: program.concurrency })
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
    ) -> Option<NoEntry> {
        if let Some(condition) = &self.enroll_if {
            match condition.test(&Subject::new(contact, event, now)) {
                Ok(true) => {}
                Ok(false) => return Some(NoEntry::Because("`enroll.if` does not hold".to_owned())),
                Err(error) => {
                    return Some(NoEntry::Because(format!("`enroll.if` is no match: {}", error.reason)));
                }
            }
        }
        self.once_more(latest?, now, zone)
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
        (verdict, latest.and_then(|latest| self.once_more(latest, now, zone)).map(NoEntry::reason))
    }

    /// Why a contact that was in the workflow before may not enter once more.
    fn once_more(&self, latest: &LatestRun, now: Timestamp, zone: &TimeZone) -> Option<NoEntry> {
        if latest.is_active && self.concurrency != Concurrency::Parallel {
            return Some(NoEntry::Busy);
        }
        self.again.refusal(latest, now, zone).map(NoEntry::Because)
    }
}

impl Reentry {
    fn refusal(self, latest: &LatestRun, now: Timestamp, zone: &TimeZone) -> Option<String> {
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
    use dripline_model::id::{ContactId, RunId};

    use super::*;

    fn latest(is_active: bool) -> LatestRun {
        LatestRun { run: RunId(1), enrolled_at: "2024-01-01T00:00:00Z".parse().unwrap(), is_active }
    }

    #[test]
    fn nobody_is_in_a_workflow_twice_at_a_time_unless_it_says_parallel() {
        let now = "2025-01-01T00:00:00Z".parse().unwrap();
        let contact = Contact::new(ContactId(1));
        let refusal = |again, concurrency, is_active| {
            let admission = Admission { enroll_if: None, again, concurrency };
            admission.refusal(&contact, None, Some(&latest(is_active)), now, &TimeZone::UTC)
        };
        let later = Reentry::After(duration::parse("1d").unwrap());
        for concurrency in [Concurrency::One, Concurrency::Queue] {
            for again in [Reentry::Never, Reentry::Always, later] {
                assert_eq!(refusal(again, concurrency, true), Some(NoEntry::Busy));
            }
            assert_eq!(refusal(Reentry::Always, concurrency, false), None);
        }
        assert_eq!(refusal(Reentry::Always, Concurrency::Parallel, true), None);
        assert_eq!(refusal(later, Concurrency::Parallel, true), None);
        assert!(matches!(refusal(Reentry::Never, Concurrency::Parallel, true), Some(NoEntry::Because(_))));
    }

    #[test]
    fn after_counts_from_the_enrolment() {
        let again = Reentry::After(duration::parse("90d").unwrap());
        let at = |text: &str| again.refusal(&latest(false), text.parse().unwrap(), &TimeZone::UTC);
        assert_eq!(
            at("2024-03-30T23:59:59Z").as_deref(),
            Some("was in the workflow before, and may enter again from 2024-03-31T00:00:00Z")
        );
        assert_eq!(at("2024-03-31T00:00:00Z"), None);
    }
}
