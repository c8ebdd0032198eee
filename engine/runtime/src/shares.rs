//! Whose turn it is, and how large a turn: weighted fair queueing between the flows that want the engine's time.
//!
//! Each flow has passed so much *virtual* time: the time that it used, divided by its share. The one that has passed the
//! least is served next, and one that had nothing to do begins where the others are, so that it is served at once and
//! has nothing saved up (start-time fair queueing: Goyal, Vin, Cheng, 1996).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use dripline_model::id::{FiringId, WorkflowId};

/// What wants the engine's time. In the order in which a driven clock serves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flow {
    /// A workflow that is offered to many.
    Firing(FiringId),
    /// A workflow's runs that are due.
    Runs(WorkflowId),
    /// Contacts that rules of segments have to look at.
    Segments,
    /// Events that have arrived.
    Arrivals,
    /// Events that were held and wait no more. Behind those that have arrived, which may make them wait longer.
    Held,
}

/// How long a transaction may take while others wait.
const TURN: Duration = Duration::from_millis(20);

/// A flow counts as alone when none has waited beside it for so long: the next event may be about to come.
const ALONE_AFTER: Duration = Duration::from_secs(1);

/// A flow's first turn while others wait; nothing is known of it yet.
const FIRST_SIZE: usize = 64;

/// Less is not worth a transaction.
const LEAST_SIZE: usize = 8;

/// Who was served, and how much.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    lanes: BTreeMap<Flow, Lane>,
    /// The virtual time at which the flow that is served began its turn; never falls.
    virtual_now: u64,
    /// Counts turns.
    turns: u64,
    /// When several flows were last busy.
    crowded: Option<Instant>,
}

#[derive(Debug)]
struct Lane {
    /// Virtual time, in microseconds times [`SCALE`].
    passed: u64,
    /// The turn that it had last; of two that are even, the one that waits longer comes first.
    served: u64,
    /// How much fits into [`TURN`].
    size: usize,
    was_busy: bool,
}

/// Keeps the division by a share exact enough.
const SCALE: u64 = 1_000;

impl Shares {
    /// The busy flows, the one whose turn it is first.
    pub(crate) fn order(&mut self, busy: &[Flow], at: Instant) -> Vec<Flow> {
        if busy.len() > 1 {
            self.crowded = Some(at);
        }
        let virtual_now = self.virtual_now;
        for flow in busy {
            let lane = self.lanes.entry(*flow).or_insert(Lane {
                passed: virtual_now,
                served: 0,
                size: FIRST_SIZE,
                was_busy: false,
            });
            if !lane.was_busy {
                lane.passed = lane.passed.max(virtual_now);
            }
        }
        self.lanes.retain(|flow, lane| {
            lane.was_busy = busy.contains(flow);
            // What it has used beyond the others it still owes.
            lane.was_busy || lane.passed > virtual_now
        });
        let mut order: Vec<_> =
            self.lanes.iter().filter(|(_, lane)| lane.was_busy).map(|(flow, lane)| (*flow, lane)).collect();
        order.sort_by_key(|(flow, lane)| (lane.passed, lane.served, *flow));
        order.into_iter().map(|(flow, _)| flow).collect()
    }

    /// Begins the flow's turn. Answers how much it may take: all of `full` only while it is alone.
    pub(crate) fn begin(&mut self, flow: Flow, full: usize, at: Instant) -> usize {
        self.turns += 1;
        let Some(lane) = self.lanes.get_mut(&flow) else { return full };
        lane.served = self.turns;
        self.virtual_now = self.virtual_now.max(lane.passed);
        let crowded = self.crowded.is_some_and(|crowded| at.saturating_duration_since(crowded) < ALONE_AFTER);
        if crowded { lane.size.min(full) } else { full }
    }

    /// Ends a turn of a flow with this share: it could take `limit`, took `size`, and used `elapsed`.
    pub(crate) fn end(&mut self, flow: Flow, share: u32, limit: usize, size: usize, elapsed: Duration) {
        let Some(lane) = self.lanes.get_mut(&flow) else { return };
        let used = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).max(1);
        lane.passed = lane.passed.saturating_add(used.saturating_mul(SCALE) / u64::from(share.max(1)));
        let turn = u64::try_from(TURN.as_micros()).unwrap_or(u64::MAX);
        let fitting = (size as u64).saturating_mul(turn) / used;
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
        if elapsed > TURN {
            lane.size = fitting.max(LEAST_SIZE);
        } else if size >= limit {
            // A larger turn costs less for each of its parts, so it gets there step by step.
            lane.size = fitting.clamp(LEAST_SIZE, limit.saturating_mul(2).max(LEAST_SIZE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Flow = Flow::Runs(WorkflowId(1));
    const B: Flow = Flow::Runs(WorkflowId(2));
    const NEW: Flow = Flow::Arrivals;

    /// Serves the flow whose turn it is; answers which that was.
    fn serve(shares: &mut Shares, busy: &[(Flow, u32)], cost_ms: u64) -> Flow {
        let flows: Vec<Flow> = busy.iter().map(|(flow, _)| *flow).collect();
        let at = Instant::now();
        let next = shares.order(&flows, at)[0];
        let limit = shares.begin(next, 1_000, at);
        let share = busy.iter().find(|(flow, _)| *flow == next).unwrap().1;
        shares.end(next, share, limit, limit, Duration::from_millis(cost_ms));
        next
    }

    #[test]
    fn each_gets_time_in_proportion_to_its_share() {
        let mut shares = Shares::default();
        let served: Vec<Flow> = (0..90).map(|_| serve(&mut shares, &[(A, 20), (B, 10)], 20)).collect();
        assert_eq!(served.iter().filter(|flow| **flow == A).count(), 60);
        let mut shares = Shares::default();
        let mut used = BTreeMap::new();
        for _ in 0..300 {
            let cost = |flow| if flow == A { 30 } else { 10 };
            let at = Instant::now();
            let next = shares.order(&[A, B], at)[0];
            shares.begin(next, 1_000, at);
            shares.end(next, 10, 8, 8, Duration::from_millis(cost(next)));
            *used.entry(next).or_insert(0) += cost(next);
        }
        assert!(used[&A].abs_diff(used[&B]) <= 30, "time counts, not turns: {used:?}");
    }

    #[test]
    fn who_comes_new_is_served_next_and_has_nothing_saved_up() {
        let mut shares = Shares::default();
        for _ in 0..1_000 {
            serve(&mut shares, &[(A, 10)], 20);
        }
        assert_eq!(serve(&mut shares, &[(A, 10), (NEW, 10)], 20), NEW);
        let served: Vec<Flow> = (0..100).map(|_| serve(&mut shares, &[(A, 10), (NEW, 10)], 20)).collect();
        assert_eq!(served.iter().filter(|flow| **flow == NEW).count(), 50);
        // Nor does who was alone for long pay for that when another comes and goes.
        serve(&mut shares, &[(B, 10)], 20);
        assert_eq!(serve(&mut shares, &[(A, 10), (B, 10)], 20), A);
    }

    #[test]
    fn a_turn_takes_20_ms_while_others_wait_and_all_that_it_may_alone() {
        let mut shares = Shares::default();
        let mut at = Instant::now();
        shares.order(&[A], at);
        assert_eq!(shares.begin(A, 1_000, at), 1_000, "alone");
        let mut limit = 0;
        for _ in 0..20 {
            shares.order(&[A, B], at);
            limit = shares.begin(A, 1_000, at);
            // 5 ms for the transaction, and 100 µs for each.
            shares.end(A, 10, limit, limit, Duration::from_micros(5_000 + 100 * limit as u64));
        }
        assert!((140..=160).contains(&limit), "{limit}");
        shares.order(&[A], at);
        assert!(shares.begin(A, 1_000, at) < 200, "the other may come back at any moment");
        at += Duration::from_secs(2);
        shares.order(&[A], at);
        assert_eq!(shares.begin(A, 1_000, at), 1_000);
    }
}
