//! Schedules fire and start runs.

use std::sync::Arc;

use dripline_model::{id::ContactId, program::Trigger};
use dripline_workflow::schedule::Schedule;
use jiff::{SignedDuration, Timestamp};

use crate::{
    arrival::Candidate,
    compiled::CompiledProgram,
    engine::Engine,
    error::{Error, ErrorKind, Result, While},
};

impl Engine {
    /// Fires the schedules that are due at `now`, once for each: a firing is a row with a unique key, and it remembers
    /// how far it has come, so that a process that dies in between goes on where it was. Of several firings that were
    /// missed while nothing ran, only the latest happens, and none from before the version was published. Answers how
    /// many contacts entered.
    pub(crate) async fn fire_schedules(&self, now: Timestamp) -> Result<u64> {
        let mut enrolled = 0;
        for program in self.current() {
            for schedule in schedules(program)? {
                let fired =
                    self.store.last_firing(program.workflow).await.while_doing("read the last firing")?;
                let after = fired.map_or(program.published_at, |firing| firing.at.max(program.published_at));
                if let Some(firing) = fired.filter(|firing| !firing.done) {
                    enrolled += self.fire(program, firing.at, now).await?;
                }
                if let Some(at) = latest_due(&schedule, after, now) {
                    enrolled += self.fire(program, at, now).await?;
                }
            }
        }
        Ok(enrolled)
    }

    /// The earliest instant after `now` at which a schedule fires.
    pub(crate) fn next_firing(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let mut earliest: Option<Timestamp> = None;
        for program in self.current() {
            for schedule in schedules(program)? {
                earliest = [earliest, schedule.next_after(now)].into_iter().flatten().min();
            }
        }
        Ok(earliest)
    }

    /// Lets every contact enter that the workflow admits, slice by slice, each slice a transaction.
    async fn fire(&self, program: &Arc<CompiledProgram>, at: Timestamp, now: Timestamp) -> Result<u64> {
        let mut enrolled = 0;
        loop {
            let mut tx = self.store.begin().await.while_doing("begin a schedule's firing")?;
            let firing = tx.firing(program.workflow, at).await.while_doing("read a schedule's firing")?;
            if firing.done {
                return Ok(enrolled);
            }
            let contacts = tx
                .contacts_after(firing.last, self.options.batch_size)
                .await
                .while_doing("read the contacts of a schedule's firing")?;
            let last = contacts.last().copied();
            let candidates = contacts.into_iter().map(|contact: ContactId| Candidate {
                contact,
                event: None,
                because: format!("schedule, {at}"),
            });
            enrolled += self.admit(tx.as_mut(), program, candidates.collect(), now).await?;
            tx.advance_firing(program.workflow, at, last.unwrap_or(firing.last), last.is_none())
                .await
                .while_doing("advance a schedule's firing")?;
            tx.commit().await.while_doing("commit a schedule's firing")?;
        }
    }
}

fn schedules(program: &CompiledProgram) -> Result<Vec<Schedule>> {
    program
        .triggers
        .iter()
        .filter_map(|trigger| match trigger {
            Trigger::Schedule { cron, time_zone } => Some(Schedule::parse(cron, time_zone)),
            _ => None,
        })
        .collect::<std::result::Result<_, _>>()
        .map_err(|reason| Error {
            doing: "read a schedule",
            kind: ErrorKind::Unusable { workflow: program.name.clone(), version: program.version, reason },
        })
}

/// The latest firing after `after` and up to `now`. It looks back further and further, so that a schedule by the minute
/// does not step through the year in which nothing ran.
fn latest_due(schedule: &Schedule, after: Timestamp, now: Timestamp) -> Option<Timestamp> {
    const HOUR: i64 = 3_600;
    for back in [HOUR, 24 * HOUR, 32 * 24 * HOUR, i64::MAX] {
        let from = now.checked_sub(SignedDuration::from_secs(back)).unwrap_or(Timestamp::MIN).max(after);
        let latest = std::iter::successors(schedule.next_after(from), |at| schedule.next_after(*at))
            .take_while(|at| *at <= now)
            .last();
        if latest.is_some() || from == after {
            return latest;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_firing_is_found_however_long_nothing_ran() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let latest = |cron: &str, after: &str| {
            let schedule = Schedule::parse(cron, "UTC").unwrap();
            latest_due(&schedule, at(after), at("2024-06-15T12:00:30Z")).map(|at| at.to_string())
        };
        assert_eq!(latest("* * * * *", "1990-01-01T00:00:00Z").as_deref(), Some("2024-06-15T12:00:00Z"));
        assert_eq!(latest("0 9 * * 1", "2024-01-01T00:00:00Z").as_deref(), Some("2024-06-10T09:00:00Z"));
        assert_eq!(latest("0 0 1 1 *", "2020-05-01T00:00:00Z").as_deref(), Some("2024-01-01T00:00:00Z"));
        assert_eq!(latest("0 9 * * 1", "2024-06-10T09:00:00Z"), None);
    }
}
