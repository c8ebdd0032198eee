//! Whether a contact may enter a workflow once more.

use dripline_model::{decision::RunStatus, duration, program};
use dripline_store::LatestRun;
use jiff::{Span, Timestamp, tz::TimeZone};

/// The compiled form of [`program::Again`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Again {
    Never,
    Always,
    After(Span),
}

impl Again {
    pub(crate) fn new(again: &program::Again) -> Result<Self, String> {
        Ok(match again {
            program::Again::Never => Self::Never,
            program::Again::Always => Self::Always,
            program::Again::After(text) => Self::After(duration::parse(text)?),
        })
    }

    /// Why a contact whose latest run is this may not enter now; `None` when it may.
    pub(crate) fn refusal(
        self,
        latest: Option<&LatestRun>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Option<String> {
        let latest = latest?;
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
        for again in [Again::Never, Again::Always, Again::After(duration::parse("1d").unwrap())] {
            assert!(again.refusal(Some(&latest(RunStatus::Active)), now, &TimeZone::UTC).is_some());
            assert!(again.refusal(None, now, &TimeZone::UTC).is_none());
        }
    }

    #[test]
    fn after_counts_from_the_enrolment() {
        let again = Again::After(duration::parse("90d").unwrap());
        let at = |text: &str| {
            again.refusal(Some(&latest(RunStatus::Completed)), text.parse().unwrap(), &TimeZone::UTC)
        };
        assert_eq!(
            at("2024-03-30T23:59:59Z").as_deref(),
            Some("was in the workflow before, and may enter again from 2024-03-31T00:00:00Z")
        );
        assert_eq!(at("2024-03-31T00:00:00Z"), None);
    }
}
