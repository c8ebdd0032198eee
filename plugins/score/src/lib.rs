//! The score step: adds points to a contact's score, and says why.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use dripline_sdk::{
    Batch, Bounds, Condition, EffectKind, EffectRef, Manifest, Outcomes, Problem, Step, TextRef,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Gives points to a contact's score: either by rules, worked out anew each time, or a fixed number each time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// The score's name; expressions read it as `contact.scores.NAME`.
    #[schemars(length(min = 1), extend("x-dripline" = {"kind": "score"}))]
    name: String,
    /// Each rule that holds gives its points. The points that this step gave before are forgotten first, so that a
    /// contact which comes by again is not counted twice.
    #[schemars(length(min = 1, max = 60))]
    rules: Option<Vec<Rule>>,
    /// Points to add each time a contact comes by; negative takes away.
    add: Option<i64>,
    /// Why the points are added, in words that a sales representative understands. Goes with `add`.
    because: Option<String>,
    /// How many of the points that this step gave may count at a time. Goes with `add`.
    #[schemars(range(min = 1))]
    at_most: Option<i64>,
    /// The lowest value that the score may take.
    min: Option<i64>,
    /// The highest value that the score may take.
    max: Option<i64>,
}

/// Points for contacts that meet a condition.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Who gets the points. A contact for which this cannot be told does not.
    #[serde(rename = "if")]
    condition: Condition,
    /// How many points; negative takes away.
    add: i64,
    /// Why, in words that a sales representative understands.
    because: Option<String>,
}

impl Step for Score {
    const NAME: &'static str = "score";
    const SUMMARY: &'static str = "Gives points to a contact's score by rules, or a fixed number each time.";

    fn describe(manifest: Manifest) -> Manifest {
        manifest.effect(EffectKind::Score, "gives the points of the rules that hold")
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match (&self.rules, self.add) {
            (None, None) => {
                problems
                    .push(Problem::at("", "neither `rules` nor `add` is given").help("write one of the two"));
            }
            (Some(_), Some(_)) => problems.push(
                Problem::at("/add", "both `rules` and `add` are given").help("write only one of the two"),
            ),
            (Some(_), None) if self.because.is_some() => problems.push(
                Problem::at("/because", "`because` goes with `add`")
                    .help("write a `because` in each rule instead"),
            ),
            (Some(_), None) if self.at_most.is_some() => problems.push(
                Problem::at("/at_most", "`at_most` goes with `add`")
                    .help("each rule gives its points once, however often a contact comes by; leave it out"),
            ),
            _ => {}
        }
        if let (Some(points), Some(at_most)) = (self.add, self.at_most)
            && points.unsigned_abs() > at_most.unsigned_abs()
        {
            let message = format!("`add` {points} is more than `at_most` {at_most} lets count");
            problems.push(Problem::at("/at_most", message).help("raise `at_most`, or leave it out"));
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            problems.push(Problem::at("/min", format!("`min` {min} is above `max` {max}")));
        }
        problems
    }

    fn run(&self, batch: &Batch, out: &mut Outcomes) -> Result<(), String> {
        match (&self.rules, self.add) {
            (Some(rules), None) if rules.len() > 64 => {
                return Err("there are more than 64 rules".to_owned());
            }
            (Some(rules), None) => self.run_rules(rules, batch, out),
            (None, Some(points)) => self.run_add(points, batch, out),
            _ => return Err("exactly one of `rules` and `add` is needed".to_owned()),
        }
        Ok(())
    }
}

impl Score {
    fn run_rules(&self, rules: &[Rule], batch: &Batch, out: &mut Outcomes) {
        let clear = out.clearing_score(&self.name);
        let ready = |(index, rule): (usize, &Rule)| {
            let because = rule.because.clone().unwrap_or_else(|| format!("rule {}", index + 1));
            Ready {
                condition: rule.condition,
                points: rule.add,
                effect: out.adding_score(&self.name, rule.add, self.bounds(), &because),
                phrase: format!("{because} {:+}", rule.add),
            }
        };
        let rules: Vec<Ready> = rules.iter().enumerate().map(ready).collect();
        // Contacts are many, and rules that hold together are few: each such set is put into words once.
        let mut reasons = BTreeMap::new();
        for turn in batch.turns() {
            out.want(turn, clear);
            let mut held = 0_u64;
            for (place, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.condition.holds(turn)) {
                out.want(turn, rule.effect);
                held |= 1 << place;
            }
            let reason = *reasons.entry(held).or_insert_with(|| self.reason(&rules, held, out));
            out.proceed(turn, reason);
        }
    }

    /// What the rules gave that held, of which each has its bit.
    fn reason(&self, rules: &[Ready], held: u64, out: &mut Outcomes) -> TextRef {
        let (mut total, mut remark, mut sentence) = (0_i64, "", String::new());
        for (_, rule) in rules.iter().enumerate().filter(|(place, _)| held & (1 << place) != 0) {
            (total, remark) = self.hold(total.saturating_add(rule.points), remark);
            sentence.push_str(if sentence.is_empty() { ": " } else { ", " });
            sentence.push_str(&rule.phrase);
        }
        if sentence.is_empty() {
            sentence.push_str(": no rule holds");
        }
        out.text(format_args!("{} {total}{sentence}{remark}", self.name))
    }

    fn run_add(&self, points: i64, batch: &Batch, out: &mut Outcomes) {
        let bounds = Bounds { at_most: self.at_most, ..self.bounds() };
        let because = self.because.as_deref().unwrap_or("came by this step");
        let effect = out.adding_score(&self.name, points, bounds, because);
        let reason = match &self.because {
            Some(because) => out.text(format_args!("{} {points:+}: {because}", self.name)),
            None => out.text(format_args!("{} {points:+}", self.name)),
        };
        for turn in batch.turns() {
            out.want(turn, effect);
            out.proceed(turn, reason);
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds { min: self.min, max: self.max, at_most: None }
    }

    /// The score within its bounds, and the remark that they changed it.
    fn hold(&self, points: i64, remark: &'static str) -> (i64, &'static str) {
        match self.bounds() {
            Bounds { max: Some(max), .. } if points > max => (max, ", held at its maximum"),
            Bounds { min: Some(min), .. } if points < min => (min, ", held at its minimum"),
            _ => (points, remark),
        }
    }
}

/// A rule with what all turns share of it.
struct Ready {
    condition: Condition,
    points: i64,
    effect: EffectRef,
    /// `senior title +20`
    phrase: String,
}

dripline_sdk::export!(Score);
