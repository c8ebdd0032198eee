//! The statistics of a backtest against those of other implementations: `reference/reference.py` made the figures.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use dripline_simulation::backtest::{Pair, auc, calibration, parts};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    name: String,
    points: Vec<i64>,
    outcomes: Vec<u8>,
    auc: f64,
    standard_error: f64,
    brier: f64,
    bins: Vec<ReferenceBin>,
}

#[derive(Deserialize)]
struct ReferenceBin {
    cases: usize,
    expected: f64,
    observed: f64,
}

impl Reference {
    fn pairs(&self) -> Vec<Pair> {
        let outcomes = self.outcomes.iter().map(|outcome| *outcome == 1);
        self.points.iter().zip(outcomes).map(|(points, outcome)| Pair { points: *points, outcome }).collect()
    }
}

fn references() -> Vec<Reference> {
    serde_json::from_str(include_str!("reference/reference.json")).unwrap()
}

fn near(one: f64, other: f64, what: &str) {
    assert!((one - other).abs() < 1e-9, "{what}: {one} and {other}");
}

#[test]
fn areas_intervals_and_chances_are_those_of_other_implementations() {
    let references = references();
    assert_eq!(references.len(), 5);
    for reference in references {
        let (pairs, name) = (reference.pairs(), &reference.name);
        let auc = auc(&pairs).unwrap();
        near(auc.value, reference.auc, name);
        near(auc.standard_error, reference.standard_error, name);
        near(
            auc.to - auc.value,
            (1.959_963_984_540_054 * reference.standard_error).min(1.0 - auc.value),
            name,
        );
        let calibration = calibration(&pairs).unwrap();
        // Both stop when they are near enough.
        assert!((calibration.brier - reference.brier).abs() < 1e-7, "{name}: {}", calibration.brier);
        assert_eq!(calibration.bins.len(), reference.bins.len());
        for (bin, expected) in calibration.bins.iter().zip(&reference.bins) {
            assert_eq!(bin.cases, expected.cases, "{name}");
            assert!((bin.expected - expected.expected).abs() < 1e-6, "{name}: {bin:?}");
            near(bin.observed, expected.observed, name);
        }
    }
}

#[test]
fn neither_an_area_nor_the_parts_depend_on_the_order_of_the_cases() {
    for reference in references() {
        let mut pairs = reference.pairs();
        let (area, all) = (auc(&pairs), parts(&pairs));
        pairs.reverse();
        pairs.rotate_left(7);
        let (other_area, others) = (auc(&pairs), parts(&pairs));
        near(area.unwrap().value, other_area.unwrap().value, &reference.name);
        near(area.unwrap().standard_error, other_area.unwrap().standard_error, &reference.name);
        assert_eq!(all, others);
    }
}

#[test]
fn parts_share_those_with_equal_points_out() {
    // Four groups of five; the best half converts.
    let pairs: Vec<Pair> =
        (0..20).map(|place| Pair { points: place / 5, outcome: place >= 10 && place % 5 < 4 }).collect();
    let parts = parts(&pairs);
    assert_eq!(parts.len(), 10);
    let of = |part: usize| &parts[part];
    near(of(0).conversions, 1.6, "two of the five best, of whom four convert");
    near(of(2).conversions, 1.6, "one of the best, one of the next");
    assert_eq!((of(2).highest, of(2).lowest), (3, 2));
    near(of(9).captured, 1.0, "all");
    near(parts.iter().map(|part| part.conversions).sum(), 8.0, "nobody is counted twice");
    near(of(0).lift, 0.8 / 0.4, "twice the mean");
}

#[test]
fn where_there_is_nothing_to_tell_apart_nothing_is_said() {
    let all_convert = [Pair { points: 3, outcome: true }; 4];
    assert!(parts(&[]).is_empty() && auc(&all_convert).is_none() && calibration(&all_convert).is_none());
}

#[test]
fn points_that_tell_all_apart_have_an_area_and_no_curve() {
    let pairs: Vec<Pair> = (0..50).map(|points| Pair { points, outcome: points >= 25 }).collect();
    let area = auc(&pairs).unwrap();
    assert_eq!((area.value, area.standard_error, area.to), (1.0, 0.0, 1.0));
    assert_eq!(calibration(&pairs), None);
    let same: Vec<Pair> = (0..50).map(|place| Pair { points: 7, outcome: place % 2 == 0 }).collect();
    near(auc(&same).unwrap().value, 0.5, "ties count half");
    assert!(calibration(&same).unwrap().skill.abs() < 0.1);
}
