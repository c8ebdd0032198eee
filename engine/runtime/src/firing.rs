//! Firings: a workflow is offered to everybody, or to a segment, because a schedule is due or a person asked.

use dripline_model::id::FiringId;
use dripline_store::{FiringCause, FiringProgress, NewFiring, Transaction};
use dripline_workflow::schedule::Schedule;
use jiff::{SignedDuration, Timestamp};

use crate::{
    compiled::CompiledProgram,
    drive::Settled,
    engine::Engine,
    error::{Error, ErrorKind, Result, While},
};

impl Engine {
    /// Begins a firing for each schedule that is due at `now`, once: a firing is a row with a unique key, and it
    /// remembers how far it has come, so that whoever comes after a process that died goes on where that was. Of several
    /// firings that were missed while nothing ran, only the latest happens, and none from before the version was
    /// published.
    pub(crate) async fn fire_schedules(&self, now: Timestamp) -> Result<()> {
        for program in &self.published().programs {
            let workflow = program.entrance.workflow;
            for schedule in schedules(program)? {
                let last = self.store.last_firing(workflow).await.while_doing("read the last firing")?;
                let after = last.map_or(program.published_at, |at| at.max(program.published_at));
                if let Some(at) = latest_due(&schedule, after, now) {
                    let new = NewFiring { workflow, cause: FiringCause::Schedule, at, segment: None };
                    self.store.begin_firing(&new).await.while_doing("begin a schedule's firing")?;
                }
            }
        }
        Ok(())
    }

    /// The earliest instant after `now` at which a schedule fires.
    pub(crate) fn next_firing(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let mut earliest: Option<Timestamp> = None;
        for program in &self.published().programs {
            for schedule in schedules(program)? {
                earliest = [earliest, schedule.next_after(now)].into_iter().flatten().min();
            }
        }
        Ok(earliest)
    }

    /// Looks at up to `limit` further contacts of a firing. Answers what was done, and how many it looked at, unless
    /// another process is at it.
    pub(crate) async fn take_firing(
        &self,
        tx: &mut dyn Transaction,
        firing: FiringId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<(Settled, usize)>> {
        let firing = tx.firing(firing).await.while_doing("read a firing")?;
        let Some(firing) = firing.filter(|firing| !firing.progress.done) else { return Ok(None) };
        if self.published().program(firing.new.workflow).is_none() {
            // Published by somebody else just now, or retired.
            self.follow().await?;
        }
        let Some(program) = self.published().program(firing.new.workflow) else {
            let ended = FiringProgress { done: true, ..firing.progress };
            tx.advance_firing(firing.id, &ended).await.while_doing("end a retired workflow's firing")?;
            return Ok(Some((Settled::default(), 0)));
        };
        let progress = program.entrance.slice(tx, &firing, limit, now).await?;
        let enrolled = progress.enrolled - firing.progress.enrolled;
        let seen = usize::try_from(progress.seen - firing.progress.seen).unwrap_or(limit);
        Ok(Some((Settled { enrolled, ..Settled::default() }, seen)))
    }
}

fn schedules(program: &CompiledProgram) -> Result<Vec<Schedule>> {
    program
        .schedules
        .iter()
        .map(|(cron, time_zone)| Schedule::parse(cron, time_zone))
        .collect::<std::result::Result<_, _>>()
        .map_err(|reason| Error {
            doing: "read a schedule",
            kind: ErrorKind::Unusable {
                workflow: program.name.clone(),
                version: program.entrance.version,
                reason,
            },
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
