//! Scores as `scores.yaml` declares them: their bounds, their grades, and how points fade.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

/// How many gifts of points that still count are kept apart, where each fades for itself. Beyond that the two oldest
/// count as one, from the time of the older one.
pub const MOST_LOTS: usize = 256;

/// The declared scores, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scores(BTreeMap<String, Score>);

impl Scores {
    /// The declared score of this name.
    pub fn get(&self, name: &str) -> Option<&Score> {
        self.0.get(name)
    }

    /// The declared scores, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Score)> {
        self.0.iter().map(|(name, score)| (name.as_str(), score))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether none is declared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How the points of this score fade, if they do.
    pub fn law(&self, name: &str) -> Option<Law> {
        self.get(name)?.law()
    }

    /// Whether any score has grades.
    pub fn any_grades(&self) -> bool {
        self.0.values().any(|score| !score.grades.is_empty())
    }
}

impl FromIterator<(String, Score)> for Scores {
    fn from_iter<I: IntoIterator<Item = (String, Score)>>(scores: I) -> Self {
        Self(scores.into_iter().collect())
    }
}

/// A score as it is declared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Score {
    /// What it says, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The lowest value that it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// The highest value that it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// How points become less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// After how many milliseconds points are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// Its bands, the highest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grades: Vec<Grade>,
}

impl Score {
    /// How its points fade, if they do.
    pub fn law(&self) -> Option<Law> {
        let fades = self.decay.is_some() || self.expires_ms.is_some();
        fades.then_some(Law { decay: self.decay, expires_ms: self.expires_ms, min: self.min, max: self.max })
    }

    /// The band in which a value lies; none below the lowest.
    pub fn grade(&self, value: i64) -> Option<&str> {
        self.grades.iter().find(|grade| value >= grade.from).map(|grade| grade.name.as_str())
    }
}

/// A band of a score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// Its name.
    pub name: String,
    /// Its lowest value; it goes up to the next band.
    pub from: i64,
}

/// How points become less, in milliseconds of 24-hour days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// After so long half of them is left, after twice as long a quarter.
    HalfLife(i64),
    /// They become less evenly, and after so long nothing is left.
    Linear(i64),
}

/// How the points of one score fade, and between which bounds their sum is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Law {
    /// How points become less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// After how many milliseconds they are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// The lowest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// The highest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
}

impl Law {
    /// What is left of a point after so many milliseconds, from 1 to 0.
    fn factor(&self, age_ms: i64) -> f64 {
        let age = age_ms.max(0);
        if self.lifetime_ms().is_some_and(|end| age >= end) {
            return 0.0;
        }
        match self.decay {
            // Of libm and not of the machine, so that every machine says the same.
            Some(Decay::HalfLife(half)) => libm::exp2(-(age as f64) / half.max(1) as f64),
            Some(Decay::Linear(length)) => 1.0 - age as f64 / length.max(1) as f64,
            None => 1.0,
        }
    }

    /// After how many milliseconds nothing is left of a point, if there is such a time.
    fn lifetime_ms(&self) -> Option<i64> {
        let linear = match self.decay {
            Some(Decay::Linear(length)) => Some(length.max(1)),
            _ => None,
        };
        [linear, self.expires_ms].into_iter().flatten().min()
    }

    /// Whether all points fade alike wherever they come from, so that their sum says everything.
    fn is_one_sum(&self) -> bool {
        matches!(self.decay, Some(Decay::HalfLife(_))) && self.expires_ms.is_none()
    }

    /// What is left at `now` of points that were given at `at`, as a whole number.
    pub fn left(&self, points: i64, at_ms: i64, now_ms: i64) -> i64 {
        whole(points as f64 * self.factor(now_ms.saturating_sub(at_ms)))
    }

    fn bound(&self, value: i64) -> i64 {
        value.min(self.max.unwrap_or(i64::MAX)).max(self.min.unwrap_or(i64::MIN))
    }
}

/// To the nearest whole number, halves away from zero.
fn whole(value: f64) -> i64 {
    value.round() as i64
}

/// A contact's points in a score that fades: everything that its value at any moment follows from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// How they fade.
    #[serde(rename = "law")]
    law: Law,
    /// In the order of their times.
    lots: Vec<Lot>,
    /// The sum of the points that were given and not taken back, whatever is left of them. It is stored apart.
    #[serde(skip)]
    pub given: i64,
}

/// Points of one time: when, in milliseconds, and how many were left then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Lot(i64, f64);

/// Which changes of a value count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cuts {
    /// Each.
    Every,
    /// Those by which the value comes to one of these, or falls below it.
    At(BTreeSet<i64>),
}

impl Cuts {
    /// Whether one of the cuts lies between the values.
    fn part(&self, one: i64, other: i64) -> bool {
        match self {
            _ if one == other => false,
            Self::Every => true,
            Self::At(cuts) => {
                let (low, high) = (one.min(other), one.max(other));
                cuts.range(low..=high).any(|cut| *cut > low)
            }
        }
    }
}

impl Curve {
    /// No points yet.
    pub fn new(law: Law) -> Self {
        Self { law, lots: Vec::new(), given: 0 }
    }

    /// What comes of points that were given at these times, in their order.
    pub fn of(law: Law, gifts: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut curve = Self::new(law);
        for (points, at_ms) in gifts {
            curve.give(points, at_ms);
        }
        curve
    }

    /// How its points fade.
    pub fn law(&self) -> Law {
        self.law
    }

    fn raw(&self, now_ms: i64) -> f64 {
        self.lots.iter().map(|Lot(at, points)| points * self.law.factor(now_ms.saturating_sub(*at))).sum()
    }

    /// The score at `now`, a whole number: the nearest, and of two the one further from zero.
    pub fn at(&self, now_ms: i64) -> i64 {
        self.law.bound(whole(self.raw(now_ms)))
    }

    /// What the score was when points were last given.
    pub fn latest(&self) -> i64 {
        self.at(self.lots.iter().map(|lot| lot.0).max().unwrap_or_default())
    }

    /// Adds points that are given at `now`.
    pub fn give(&mut self, points: i64, now_ms: i64) {
        self.given = self.given.saturating_add(points);
        if self.law.is_one_sum() {
            let at = self.lots.first().map_or(now_ms, |lot| lot.0.max(now_ms));
            let late = self.law.factor(at.saturating_sub(now_ms));
            let sum = self.raw(at) + points as f64 * late;
            self.lots = vec![Lot(at, sum)];
            return;
        }
        self.lots.retain(|lot| self.law.factor(now_ms.saturating_sub(lot.0)) > 0.0);
        let place = self.lots.partition_point(|lot| lot.0 <= now_ms);
        match place.checked_sub(1).and_then(|last| self.lots.get_mut(last)).filter(|lot| lot.0 == now_ms) {
            Some(lot) => lot.1 += points as f64,
            None => self.lots.insert(place, Lot(now_ms, points as f64)),
        }
        if self.lots.len() > MOST_LOTS
            && let [first, second, ..] = self.lots.as_mut_slice()
        {
            second.1 += first.1;
            second.0 = first.0;
            self.lots.remove(0);
        }
    }

    /// Takes points back that were given at `at`: what is left of them goes.
    pub fn take_back(&mut self, points: i64, at_ms: i64) {
        self.given = self.given.saturating_sub(points);
        if self.law.is_one_sum() {
            if let Some(Lot(at, sum)) = self.lots.first_mut() {
                *sum -= points as f64 * self.law.factor(at.saturating_sub(at_ms));
            }
            return;
        }
        // Those of which nothing was left have gone; of those that were put together the oldest stands for all.
        let place = self.lots.partition_point(|lot| lot.0 <= at_ms);
        let is_merged = self.lots.len() >= MOST_LOTS && place <= 1;
        if let Some(lot) = place.checked_sub(1).and_then(|last| self.lots.get_mut(last))
            && (lot.0 == at_ms || is_merged)
        {
            lot.1 -= points as f64;
        }
        self.lots.retain(|lot| lot.1 != 0.0);
    }

    /// Between which values it stays from `now` on if nothing happens.
    pub fn bounds(&self, now_ms: i64) -> (i64, i64) {
        let (mut least, mut most) = (0.0, 0.0);
        for Lot(at, points) in &self.lots {
            let left = points * self.law.factor(now_ms.saturating_sub(*at));
            if left < 0.0 { least += left } else { most += left }
        }
        (self.law.bound(whole(least)), self.law.bound(whole(most)))
    }

    /// The first instant after `now` at which the value changes in a way that counts, if nothing happens.
    pub fn next_change(&self, now_ms: i64, cuts: &Cuts) -> Option<i64> {
        let here = self.at(now_ms);
        let mut from = now_ms;
        for end in self.ends(now_ms) {
            // Up to the end of a lot all become less evenly, so that the sum only falls or only rises.
            let last = end - 1;
            if last > from && cuts.part(here, self.at(last)) {
                return Some(self.first_apart(here, from, last, cuts));
            }
            if cuts.part(here, self.at(end)) {
                return Some(end);
            }
            from = end;
        }
        None
    }

    /// When lots end, or begin to become less, after `now`, in their order; and when nothing can change any more.
    fn ends(&self, now_ms: i64) -> Vec<i64> {
        let mut ends = BTreeSet::new();
        for Lot(at, _) in &self.lots {
            ends.extend(Some(*at).filter(|at| *at > now_ms));
            let end = self.law.lifetime_ms().map(|lifetime| at.saturating_add(lifetime));
            ends.extend(end.filter(|end| *end > now_ms));
        }
        if let (Some(Decay::HalfLife(half)), None) = (self.law.decay, self.law.lifetime_ms()) {
            // Less than half a point is none.
            let halves = libm::log2(self.raw(now_ms).abs().max(1.0)) + 2.0;
            let rest = (halves * half as f64) as i64;
            ends.insert(now_ms.saturating_add(rest).max(now_ms.saturating_add(1)));
        }
        ends.into_iter().collect()
    }

    /// The first instant after `from`, at the latest `last`, at which the value is apart from `here`.
    fn first_apart(&self, here: i64, from: i64, last: i64, cuts: &Cuts) -> i64 {
        let (mut same, mut apart) = (from, last);
        while apart - same > 1 {
            let middle = same + (apart - same) / 2;
            if cuts.part(here, self.at(middle)) { apart = middle } else { same = middle }
        }
        apart
    }
}

/// Which values of a score its grades part.
pub fn cuts_of_grades(scores: Option<&Arc<Scores>>, name: &str) -> BTreeSet<i64> {
    let score = scores.and_then(|scores| scores.get(name));
    score.into_iter().flat_map(|score| &score.grades).map(|grade| grade.from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn law(decay: Option<Decay>, expires_ms: Option<i64>) -> Law {
        Law { decay, expires_ms, min: None, max: None }
    }

    fn half_life(days: i64) -> Law {
        law(Some(Decay::HalfLife(days * DAY)), None)
    }

    #[test]
    fn half_lives_of_a_sum_are_exact() {
        let mut curve = Curve::new(half_life(14));
        curve.give(40, 0);
        assert_eq!((curve.at(0), curve.at(14 * DAY), curve.at(28 * DAY)), (40, 20, 10));
        curve.give(20, 14 * DAY);
        assert_eq!((curve.at(14 * DAY), curve.at(28 * DAY), curve.lots.len()), (40, 20, 1));
        curve.take_back(20, 14 * DAY);
        assert_eq!((curve.at(28 * DAY), curve.given), (10, 40));
        curve.take_back(40, 0);
        assert_eq!((curve.at(14 * DAY), curve.bounds(14 * DAY)), (0, (0, 0)));
        // What comes late counts from its own time.
        let mut late = Curve::new(half_life(14));
        late.give(8, 14 * DAY);
        late.give(40, 0);
        assert_eq!(late.at(14 * DAY), 28);
    }

    #[test]
    fn points_that_end_are_counted_each_for_itself() {
        let mut curve = Curve::new(law(Some(Decay::Linear(30 * DAY)), None));
        curve.give(30, 0);
        curve.give(30, 15 * DAY);
        assert_eq!((curve.at(15 * DAY), curve.at(20 * DAY), curve.at(29 * DAY)), (45, 35, 17));
        assert_eq!((curve.at(30 * DAY), curve.at(45 * DAY)), (15, 0));
        curve.give(1, 40 * DAY);
        assert_eq!(curve.lots.len(), 2, "what has gone is not kept");

        let mut curve = Curve::new(law(None, Some(90 * DAY)));
        curve.give(5, 0);
        curve.give(7, DAY);
        assert_eq!((curve.at(90 * DAY - 1), curve.at(90 * DAY), curve.at(91 * DAY)), (12, 7, 0));
        curve.take_back(7, DAY);
        assert_eq!(curve.at(2 * DAY), 5);
        assert_eq!(curve.given, 5);
    }

    #[test]
    fn a_half_life_may_have_an_end() {
        let mut curve = Curve::new(law(Some(Decay::HalfLife(10 * DAY)), Some(20 * DAY)));
        curve.give(100, 0);
        curve.give(100, 5 * DAY);
        assert_eq!((curve.at(10 * DAY), curve.at(20 * DAY)), (121, 35));
        assert_eq!(curve.at(25 * DAY), 0);
    }

    #[test]
    fn bounds_hold_at_each_reading() {
        let bounded = Law { min: Some(0), max: Some(100), ..law(None, Some(10 * DAY)) };
        let curve = Curve::of(bounded, [(-50, 0), (100, DAY), (50, 2 * DAY)]);
        assert_eq!((curve.at(2 * DAY), curve.at(10 * DAY)), (100, 100), "without the first it would be 150");
        assert_eq!(curve.bounds(2 * DAY), (0, 100));
    }

    #[test]
    fn lots_are_bounded_and_what_was_put_together_fades_early() {
        let mut curve = Curve::new(law(None, Some(1_000_000)));
        for at in 0..1_000 {
            curve.give(1, at);
        }
        assert_eq!((curve.lots.len(), curve.at(1_000)), (MOST_LOTS, 1_000));
        assert_eq!(curve.given, 1_000);
        assert!(curve.at(1_000_500) < 500);
        curve.take_back(1, 0);
        assert_eq!(curve.at(1_000), 999);
    }

    #[test]
    fn the_instant_of_a_change_is_exact() {
        let curve = Curve::of(half_life(14), [(60, 0)]);
        let next = |now, cuts: &Cuts| curve.next_change(now, cuts);
        let below_30 = Cuts::At(BTreeSet::from([30]));
        let at = next(0, &below_30).unwrap();
        assert_eq!((curve.at(at - 1), curve.at(at)), (30, 29));
        assert_eq!(next(at, &below_30), None);
        let first = next(0, &Cuts::Every).unwrap();
        assert_eq!((curve.at(first - 1), curve.at(first)), (60, 59));
        // From change to change it comes down to nothing.
        let (mut now, mut seen) = (0, 0);
        while let Some(at) = next(now, &Cuts::Every) {
            assert_ne!(curve.at(at), curve.at(at - 1));
            (now, seen) = (at, seen + 1);
        }
        assert_eq!((curve.at(now), seen), (0, 60));
    }

    #[test]
    fn changes_of_many_lots_are_found_as_they_come() {
        let mixed = [(30, 0), (-20, 3 * DAY), (45, 5 * DAY), (-1, 6 * DAY)];
        for law in [
            law(Some(Decay::Linear(30 * DAY)), None),
            law(None, Some(20 * DAY)),
            law(Some(Decay::HalfLife(7 * DAY)), Some(20 * DAY)),
            half_life(3),
            Law { min: Some(10), max: Some(40), ..law(Some(Decay::Linear(30 * DAY)), Some(25 * DAY)) },
        ] {
            let curve = Curve::of(law, mixed);
            let hour = DAY / 24;
            for cuts in [Cuts::Every, Cuts::At(BTreeSet::from([5, 20, 30]))] {
                let mut next = curve.next_change(6 * DAY, &cuts);
                for now in (6 * DAY..60 * DAY).step_by(usize::try_from(hour).unwrap()) {
                    while let Some(at) = next.filter(|at| *at <= now) {
                        assert!(cuts.part(curve.at(at - 1), curve.at(at)), "{law:?} {cuts:?} at {at}");
                        next = curve.next_change(at, &cuts);
                    }
                    let end = next.unwrap_or(i64::MAX).min(now + hour);
                    assert!(!cuts.part(curve.at(now), curve.at(end - 1)), "{law:?} {cuts:?} from {now}");
                    let (least, most) = curve.bounds(6 * DAY);
                    assert!((least..=most).contains(&curve.at(now)));
                }
            }
        }
    }

    #[test]
    fn a_curve_is_what_it_was_after_it_was_stored() {
        let mut curve = Curve::of(half_life(14), [(13, 5), (-4, 1_000_000)]);
        let json = serde_json::to_string(&curve).unwrap();
        let mut read: Curve = serde_json::from_str(&json).unwrap();
        read.given = curve.given;
        for days in 0..100 {
            assert_eq!(read.at(days * DAY), curve.at(days * DAY));
        }
        curve.give(1, 2);
        assert_ne!(read, curve);
    }

    #[test]
    fn grades_go_from_their_lowest_value_up_to_the_next() {
        let grade = |name: &str, from| Grade { name: name.to_owned(), from };
        let score = Score { grades: vec![grade("hot", 60), grade("warm", 30)], ..Score::default() };
        assert_eq!(
            [60, 59, 30, 29].map(|value| score.grade(value)),
            [Some("hot"), Some("warm"), Some("warm"), None]
        );
        assert_eq!(score.law(), None);
    }
}
