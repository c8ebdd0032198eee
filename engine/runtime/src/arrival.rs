//! Events arrive and start runs.

use std::collections::{BTreeSet, HashSet};

use dripline_model::contact::{EventView, is_made};
use dripline_store::{ClaimedEvent, Transaction};
use jiff::Timestamp;

use crate::{
    batch::Yields,
    compiled::CompiledProgram,
    drive::Settled,
    engine::{Engine, Published},
    entrance::Candidate,
    error::{Result, While},
    goals::UnderWay,
    waiting::Standing,
};

impl Engine {
    /// Lets up to `limit` arrived events start runs, and takes those as far as they go at once. Answers what was done
    /// and for how many events, if any could be claimed.
    ///
    /// Of several events of one contact that may start a run or be waited for, a slice holds the first: the next is looked
    /// at when that run has gone as far as it goes at once, whether they came in one after the other or all together.
    pub(crate) async fn take_arrivals(
        &self,
        tx: &mut dyn Transaction,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<(Settled, usize)>> {
        let mut events = tx.claim_events(now, limit).await.while_doing("claim events")?;
        if events.is_empty() {
            return Ok(None);
        }
        let now = one_moment(&mut events, now);
        dripline_model::crash::point("arrivals.claimed");
        // Whatever was published before these events came in is known from here on; else they would pass it by.
        self.follow().await?;
        let published = self.published();
        let size = events.len();
        let contacts: BTreeSet<_> = events.iter().map(|event| event.contact).collect();
        let contacts: Vec<_> = contacts.into_iter().collect();
        let under_way = self.under_way(tx, &contacts).await?;
        let standing = Standing::of(self, tx, &contacts).await?;
        one_at_a_time(&mut events, &published, &under_way, &standing);
        let mut settled = Settled { events: events.len() as u64, ..Settled::default() };
        self.count_goals_by_events(tx, &events, now).await?;
        // Before anything begins: what an event ends may begin anew by it, and is not ended by what began it.
        let mut ended = self.reach_by_events(tx, under_way, &events, now).await?;
        let mut begun = Vec::new();
        for program in &published.programs {
            let candidates: Vec<_> = events
                .iter()
                .filter(|event| program.listens_to(&event.event))
                .map(Candidate::arrived)
                .collect();
            let answers = program.entrance.admit(tx, candidates, true, now).await?;
            begun.extend(program.entrance.begun(tx, &answers).await?);
        }
        settled.enrolled = begun.len() as u64;
        let (woken, more) = standing.hear(self, tx, &events, &ended.gone, now).await?;
        ended.merge(more);
        begun.extend(woken);
        begun.retain(|run| !ended.gone.contains(&run.run));
        begun.append(&mut ended.woken);
        let ids: Vec<_> = events.iter().map(|event| event.id).collect();
        tx.finish_events(&ids).await.while_doing("finish events")?;
        // They are in, and stand where they are until the workflow is resumed.
        begun.retain(|run| !published.is_paused(run.workflow));
        // To their rest, however many steps that are, because the next event must not be looked at before. A run that
        // never rests is ended as a loop.
        settled.turns = ended.turns + self.carry_on(tx, begun, usize::MAX, Yields::Never, now).await?;
        Ok(Some((settled, size)))
    }
}

/// Leaves out what comes behind an event of the same contact that may change who hears it: it is looked at afterwards.
fn one_at_a_time(
    events: &mut Vec<ClaimedEvent>,
    published: &Published,
    under_way: &UnderWay,
    standing: &Standing,
) {
    let mut taken = HashSet::with_capacity(events.len());
    events.retain(|ClaimedEvent { contact, event, .. }| {
        let listens = published.listens_to(event) || under_way.hears(*contact, event);
        let matters = published.awaits(event) || published.counts(event) || standing.may_await(event);
        if !listens && !matters {
            return true;
        }
        if taken.contains(contact) {
            return false;
        }
        if listens || standing.hears(*contact, event) {
            taken.insert(*contact);
        }
        true
    });
}

/// Keeps the first of the events that take effect together, and answers when: what steps made, at the moment at which
/// they made it, however long it stood in the queue; the rest, now. So what follows from one moment belongs to it, and
/// workflows that start each other are told by that.
fn one_moment(events: &mut Vec<ClaimedEvent>, now: Timestamp) -> Timestamp {
    let made_at = |claimed: &ClaimedEvent| is_made(&claimed.event.name).then_some(claimed.event.at);
    let Some(first) = events.first().map(made_at) else { return now };
    let together = events.iter().take_while(|event| made_at(event) == first).count();
    events.truncate(together);
    first.map_or(now, |at| at.min(now))
}

impl Published {
    fn listens_to(&self, event: &EventView) -> bool {
        self.programs.iter().any(|program| program.listens_to(event))
    }

    /// Whether the event may be a goal: of a run, or of an experiment.
    fn counts(&self, event: &EventView) -> bool {
        self.programs.iter().any(|program| program.goals.hears(event) || program.counts(event))
    }

    fn awaits(&self, event: &EventView) -> bool {
        self.programs.iter().any(|program| program.awaits(event))
    }
}

impl CompiledProgram {
    fn listens_to(&self, event: &EventView) -> bool {
        self.entrance.triggers.listens_to(event)
    }
}
