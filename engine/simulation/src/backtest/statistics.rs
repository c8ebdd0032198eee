//! How well points tell those who convert from those who do not.
//!
//! Everything here is a function of pairs of points and outcomes, and does not depend on their order: who has as many
//! points as somebody else shares the place.

use serde::Serialize;

/// The quantile of the normal distribution for intervals of 95 %.
const Z_95: f64 = 1.959_963_984_540_054;

/// How many parts a ranking is cut into.
const PARTS: usize = 10;

/// How many groups the calibration learns from, each for the others.
const FOLDS: usize = 5;

/// Points, and whether it came true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The points.
    pub points: i64,
    /// Whether it came true.
    pub outcome: bool,
}

/// The chance that one who converts has more points than one who does not, ties counted half.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Auc {
    /// The chance: 0.5 says nothing, 1 tells all apart.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Between these it lies with 95 %.
    pub from: f64,
    /// See `from`.
    pub to: f64,
}

/// The area under the receiver operating characteristic: the Mann-Whitney statistic with midranks for ties, with the
/// variance of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), worked out from midranks as Sun and Xu (IEEE Signal
/// Processing Letters 21, 2014) do. None where all convert, or nobody.
pub fn auc(pairs: &[Pair]) -> Option<Auc> {
    let of = |outcome: bool| -> Vec<i64> {
        pairs.iter().filter(|pair| pair.outcome == outcome).map(|pair| pair.points).collect()
    };
    let (yes, no) = (of(true), of(false));
    if yes.is_empty() || no.is_empty() {
        return None;
    }
    let (m, n) = (yes.len() as f64, no.len() as f64);
    let all: Vec<i64> = yes.iter().chain(&no).copied().collect();
    let ranks = midranks(&all);
    let (of_yes, of_no) = ranks.split_at_checked(yes.len())?;
    let value = (of_yes.iter().sum::<f64>() / m - (m + 1.0) / 2.0) / n;
    // For each, the share of the others that it outranks.
    let above: Vec<f64> = of_yes.iter().zip(midranks(&yes)).map(|(all, own)| (all - own) / n).collect();
    let below: Vec<f64> = of_no.iter().zip(midranks(&no)).map(|(all, own)| 1.0 - (all - own) / m).collect();
    let standard_error = (variance(&above, value) / m + variance(&below, value) / n).sqrt();
    Some(Auc {
        value,
        standard_error,
        from: (value - Z_95 * standard_error).max(0.0),
        to: (value + Z_95 * standard_error).min(1.0),
    })
}

/// Of a sample whose mean is known.
fn variance(values: &[f64], mean: f64) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

/// The ranks from 1; equal values share the mean of theirs.
fn midranks(values: &[i64]) -> Vec<f64> {
    let mut order: Vec<(i64, usize)> = values.iter().copied().zip(0..).collect();
    order.sort_unstable();
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for group in order.chunk_by(|one, other| one.0 == other.0) {
        let rank = before as f64 + (group.len() + 1) as f64 / 2.0;
        for (_, place) in group {
            if let Some(slot) = ranks.get_mut(*place) {
                *slot = rank;
            }
        }
        before += group.len();
    }
    ranks
}

/// A tenth of the ranking, the highest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// From 1.
    pub part: usize,
    /// The most points in it.
    pub highest: i64,
    /// The fewest.
    pub lowest: i64,
    /// How many there are; a fraction where those with equal points are shared out.
    pub cases: f64,
    /// How many of them convert.
    pub conversions: f64,
    /// Their share.
    pub rate: f64,
    /// That share, as a multiple of the share among all.
    pub lift: f64,
    /// Which share of all who convert is in this part and those above.
    pub captured: f64,
}

/// The ranking in ten equal parts. Where a part ends among those with equal points, they are shared out between the two
/// parts, and with them, in the same proportion, those who convert.
pub fn parts(pairs: &[Pair]) -> Vec<Part> {
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable_by_key(|pair| std::cmp::Reverse(pair.points));
    let (all, yes) = (pairs.len() as f64, pairs.iter().filter(|pair| pair.outcome).count() as f64);
    if pairs.is_empty() {
        return Vec::new();
    }
    let size = all / PARTS as f64;
    let mut parts: Vec<Part> = Vec::with_capacity(PARTS);
    let mut captured = 0.0;
    let groups: Vec<(i64, f64, f64)> = sorted
        .chunk_by(|one, other| one.points == other.points)
        .filter_map(|group| {
            let converted = group.iter().filter(|pair| pair.outcome).count() as f64;
            Some((group.first()?.points, group.len() as f64, converted))
        })
        .collect();
    for part in 0..PARTS {
        let (start, end) = (part as f64 * size, (part + 1) as f64 * size);
        let (mut before, mut conversions, mut bounds) = (0.0, 0.0, None);
        for (points, cases, converted) in &groups {
            let overlap = (before + cases).min(end) - f64::max(before, start);
            // What is less than a billionth of a case is a rounding error.
            if overlap > 1e-9 {
                conversions += converted * overlap / cases;
                let (highest, _) = bounds.unwrap_or((*points, *points));
                bounds = Some((highest, *points));
            }
            before += cases;
        }
        captured += conversions;
        let (highest, lowest) = bounds.unwrap_or_default();
        let rate = conversions / size;
        parts.push(Part {
            part: part + 1,
            highest,
            lowest,
            cases: size,
            conversions,
            rate,
            lift: if yes > 0.0 { rate / (yes / all) } else { 0.0 },
            captured: if yes > 0.0 { captured / yes } else { 0.0 },
        });
    }
    parts
}

/// What points say of the chance to convert.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// The mean square of the difference between chance and outcome: 0 is perfect.
    pub brier: f64,
    /// The same for who gives everybody the share among all.
    pub brier_of_share: f64,
    /// How much better than that it is: 1 is perfect, 0 no better.
    pub skill: f64,
    /// In ten groups from the smallest chance to the largest.
    pub bins: Vec<Bin>,
}

/// Cases with similar chances.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    /// How many.
    pub cases: usize,
    /// The mean of the chances that their points give them.
    pub expected: f64,
    /// The share that converted; those with equal chances are shared out where a group ends among them.
    pub observed: f64,
}

/// Makes chances of points by a logistic curve, which for each case is fitted to the other four fifths, and holds them
/// against what happened. `pairs` are in an order that has nothing to do with the outcome, and always the same. None where
/// there are too few.
pub fn calibration(pairs: &[Pair]) -> Option<Calibration> {
    let mut chances = vec![0.0; pairs.len()];
    for fold in 0..FOLDS {
        let others: Vec<Pair> = pairs
            .iter()
            .enumerate()
            .filter(|(place, _)| place % FOLDS != fold)
            .map(|(_, pair)| *pair)
            .collect();
        let curve = Logistic::fit(&others)?;
        for (place, (pair, chance)) in pairs.iter().zip(&mut chances).enumerate() {
            if place % FOLDS == fold {
                *chance = curve.chance(pair.points);
            }
        }
    }
    let all = pairs.len() as f64;
    let share = pairs.iter().filter(|pair| pair.outcome).count() as f64 / all;
    let brier = brier(pairs.iter().map(|pair| pair.outcome).zip(chances.iter().copied()), all);
    let brier_of_share = share * (1.0 - share);
    let mut sorted: Vec<(f64, bool)> =
        chances.into_iter().zip(pairs.iter().map(|pair| pair.outcome)).collect();
    sorted.sort_by(|one, other| one.0.total_cmp(&other.0));
    // Where a group ends among those with equal chances, none of them is before the others.
    let shared: Vec<(f64, f64)> = sorted
        .chunk_by(|one, other| one.0 == other.0)
        .flat_map(|equal| {
            let converted = equal.iter().filter(|(_, outcome)| *outcome).count();
            let share = converted as f64 / equal.len() as f64;
            equal.iter().map(move |(chance, _)| (*chance, share))
        })
        .collect();
    let bins = (0..PARTS).filter_map(|bin| {
        let range = bin * shared.len() / PARTS..(bin + 1) * shared.len() / PARTS;
        let cases = shared.get(range).filter(|cases| !cases.is_empty())?;
        let count = cases.len() as f64;
        Some(Bin {
            cases: cases.len(),
            expected: cases.iter().map(|(chance, _)| chance).sum::<f64>() / count,
            observed: cases.iter().map(|(_, share)| share).sum::<f64>() / count,
        })
    });
    let bins = bins.collect();
    Some(Calibration { brier, brier_of_share, skill: 1.0 - brier / brier_of_share, bins })
}

fn brier(outcomes: impl Iterator<Item = (bool, f64)>, count: f64) -> f64 {
    outcomes.map(|(outcome, chance)| (chance - f64::from(u8::from(outcome))).powi(2)).sum::<f64>() / count
}

/// A logistic curve over points.
#[derive(Debug, Clone, Copy)]
struct Logistic {
    mean: f64,
    scale: f64,
    intercept: f64,
    slope: f64,
}

impl Logistic {
    /// The curve of the greatest likelihood, by Newton's method; without a slope where all points are equal. None where
    /// all convert, or nobody, or the points tell them apart without exception, so that there is no such curve.
    fn fit(pairs: &[Pair]) -> Option<Self> {
        let count = pairs.len() as f64;
        let yes = pairs.iter().filter(|pair| pair.outcome).count() as f64;
        if yes == 0.0 || yes == count {
            return None;
        }
        let mean = pairs.iter().map(|pair| pair.points as f64).sum::<f64>() / count;
        let spread = pairs.iter().map(|pair| (pair.points as f64 - mean).powi(2)).sum::<f64>() / count;
        let intercept = (yes / (count - yes)).ln();
        if spread == 0.0 {
            return Some(Self { mean, scale: 1.0, intercept, slope: 0.0 });
        }
        let mut curve = Self { mean, scale: spread.sqrt(), intercept, slope: 0.0 };
        for _ in 0..100 {
            let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for pair in pairs {
                let x = (pair.points as f64 - curve.mean) / curve.scale;
                let chance = curve.chance(pair.points);
                let (error, weight) = (f64::from(u8::from(pair.outcome)) - chance, chance * (1.0 - chance));
                g0 += error;
                g1 += error * x;
                h00 += weight;
                h01 += weight * x;
                h11 += weight * x * x;
            }
            let determinant = h00 * h11 - h01 * h01;
            if determinant.abs() < 1e-12 * count {
                return None;
            }
            let (step0, step1) = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
            curve.intercept += step0;
            curve.slope += step1;
            if !curve.intercept.is_finite() || !curve.slope.is_finite() {
                return None;
            }
            if step0.abs() < 1e-12 && step1.abs() < 1e-12 {
                return Some(curve);
            }
        }
        None
    }

    fn chance(&self, points: i64) -> f64 {
        let x = (points as f64 - self.mean) / self.scale;
        1.0 / (1.0 + (-(self.intercept + self.slope * x)).exp())
    }
}
