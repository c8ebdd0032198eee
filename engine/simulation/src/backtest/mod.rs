//! Scores held against what became of people: what would each contact's score have been at its moment, and does it tell those
//! who converted from those who did not?
//!
//! It is the engine itself that gives the points, on a clock that goes from moment to moment, so that nothing counts which
//! happened later. [`Stage::score_cases`] does that, [`Backtest::of`] sums up what came of it.

mod page;
mod statistics;

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{Clock as _, contact::Needs, id::ContactId};
use dripline_runtime::Settled;
use dripline_store::StandingPoints;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

pub use page::page;
pub use statistics::{Auc, Bin, Calibration, Pair, Part, auc, calibration, parts};

use crate::{
    error::{Result, While},
    play::STUCK,
    stage::Stage,
};

/// Somebody of whom it is known what became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Who.
    pub contact: ContactId,
    /// What happens before this counts, and nothing that happens then or later.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: bool,
}

/// A case with its scores.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredCase {
    /// The case.
    pub case: Case,
    /// Points by score.
    pub scores: BTreeMap<String, i64>,
    /// For what the contact had been given points by then.
    pub reasons: Vec<StandingPoints>,
}

/// How a score fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backtest {
    /// The score's name.
    pub score: String,
    /// How many cases.
    pub cases: usize,
    /// How many of them converted.
    pub conversions: usize,
    /// Their share.
    pub rate: f64,
    /// How well it ranks; none where all converted, or nobody.
    pub auc: Option<Auc>,
    /// The ranking in ten parts.
    pub parts: Vec<Part>,
    /// What it says of the chance to convert; none where there are too few cases for that, or the points tell all apart.
    pub calibration: Option<Calibration>,
    /// What each rule did, that of the most cases first.
    pub rules: Vec<RuleEffect>,
}

/// What a rule did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleEffect {
    /// Its reason.
    pub because: String,
    /// To how many cases it gave points.
    pub cases: usize,
    /// How many points to each of them, in the mean.
    pub mean_points: f64,
    /// The share that converted of those whom it gave points.
    pub rate_with: f64,
    /// The share of the others; none where there are none.
    pub rate_without: Option<f64>,
}

/// What was scored, and what has to be known of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scored {
    /// The cases, in the order in which they were given.
    pub cases: Vec<ScoredCase>,
    /// How often a workflow did not admit a case's contact, by workflow and reason.
    pub refused: BTreeMap<(String, String), u64>,
}

impl Stage {
    /// Drives the clock to just before the moment of each case, offers its contact to the workflows `by_hand`, and reads
    /// its scores. `observe` is called after each moment with how many cases are done.
    ///
    /// # Errors
    /// When the store or the engine fails.
    pub async fn score_cases(
        &self,
        cases: &[Case],
        by_hand: &[String],
        mut observe: impl FnMut(Timestamp, usize),
    ) -> Result<Scored> {
        let mut moments: BTreeMap<Timestamp, Vec<usize>> = BTreeMap::new();
        for (place, case) in cases.iter().enumerate() {
            let before = case.at.saturating_sub(SignedDuration::from_millis(1)).unwrap_or(case.at);
            moments.entry(before).or_default().push(place);
        }
        let mut scored = Scored::default();
        let mut found: BTreeMap<usize, ScoredCase> = BTreeMap::new();
        for (moment, places) in moments {
            self.drive_to(moment).await?;
            let of_moment = || places.iter().filter_map(|place| Some((*place, cases.get(*place)?)));
            let contacts: BTreeSet<ContactId> = of_moment().map(|(_, case)| case.contact).collect();
            let contacts: Vec<ContactId> = contacts.into_iter().collect();
            for workflow in by_hand {
                self.offer(workflow, &contacts, moment, &mut scored.refused).await?;
            }
            self.drive_to(moment).await?;
            const DOING: &str = "read the scores";
            let mut tx = self.store.begin().await.while_doing(DOING)?;
            let needs = Needs { scores: true, ..Needs::default() };
            let loaded = tx.load_contacts(&contacts, &needs, moment).await.while_doing(DOING)?;
            drop(tx);
            let loaded: BTreeMap<ContactId, _> =
                loaded.into_iter().map(|contact| (contact.id, contact)).collect();
            let mut reasons: BTreeMap<ContactId, Vec<StandingPoints>> = BTreeMap::new();
            for points in self.store.standing_points(&contacts).await.while_doing(DOING)? {
                reasons.entry(points.contact).or_default().push(points);
            }
            for (place, case) in of_moment() {
                let Some(contact) = loaded.get(&case.contact) else { continue };
                let reasons = reasons.get(&case.contact).cloned().unwrap_or_default();
                let one = ScoredCase { case: *case, scores: contact.scores.clone(), reasons };
                found.insert(place, one);
            }
            observe(moment, found.len());
        }
        scored.cases = found.into_values().collect();
        Ok(scored)
    }

    /// Does everything that is due up to a moment, and turns the clock to it.
    async fn drive_to(&self, until: Timestamp) -> Result<()> {
        let mut now = self.clock.now();
        let mut last = None;
        while let Some(due) = self.engine.upcoming(now).await.while_doing("ask what is due next")? {
            // What is due and cannot be done is no reason to stand still.
            let next =
                if last == Some(due) { now.saturating_add(STUCK).unwrap_or(until).max(due) } else { due };
            if next > until {
                break;
            }
            now = now.max(next);
            self.clock.advance_to(now);
            let moment = self.engine.settle_moment(now).await.while_doing("run what is due")?;
            self.rehearsal.take();
            last = Some(due).filter(|_| moment.settled == Settled::default());
        }
        self.clock.advance_to(until);
        Ok(())
    }

    async fn offer(
        &self,
        workflow: &str,
        contacts: &[ContactId],
        now: Timestamp,
        refused: &mut BTreeMap<(String, String), u64>,
    ) -> Result<()> {
        for answer in self.enroll(contacts, workflow, now).await? {
            if let Some(reason) = answer.refusal {
                *refused.entry((workflow.to_owned(), reason)).or_default() += 1;
            }
        }
        Ok(())
    }
}

impl Backtest {
    /// How the score `name` fared.
    pub fn of(name: &str, scored: &Scored) -> Self {
        let pairs: Vec<Pair> = scored
            .cases
            .iter()
            .map(|case| Pair {
                points: case.scores.get(name).copied().unwrap_or(0),
                outcome: case.case.outcome,
            })
            .collect();
        let conversions = pairs.iter().filter(|pair| pair.outcome).count();
        Self {
            score: name.to_owned(),
            cases: pairs.len(),
            conversions,
            rate: share(conversions, pairs.len()).unwrap_or(0.0),
            auc: auc(&pairs),
            parts: parts(&pairs),
            calibration: calibration(&pairs),
            rules: rules(name, scored, conversions),
        }
    }
}

fn rules(name: &str, scored: &Scored, conversions: usize) -> Vec<RuleEffect> {
    let mut sums: BTreeMap<&str, (usize, usize, i64)> = BTreeMap::new();
    for case in &scored.cases {
        let mut of_case: BTreeMap<&str, i64> = BTreeMap::new();
        for reason in case.reasons.iter().filter(|reason| reason.score == name) {
            *of_case.entry(&reason.because).or_default() += reason.points;
        }
        for (because, points) in of_case {
            let (cases, converted, sum) = sums.entry(because).or_default();
            *cases += 1;
            *converted += usize::from(case.case.outcome);
            *sum = sum.saturating_add(points);
        }
    }
    let mut rules: Vec<RuleEffect> = sums
        .into_iter()
        .map(|(because, (cases, converted, sum))| RuleEffect {
            because: because.to_owned(),
            cases,
            mean_points: sum as f64 / cases as f64,
            rate_with: share(converted, cases).unwrap_or(0.0),
            rate_without: share(conversions - converted, scored.cases.len() - cases),
        })
        .collect();
    rules.sort_by(|one, other| other.cases.cmp(&one.cases).then_with(|| one.because.cmp(&other.because)));
    rules
}

fn share(part: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}
