//! When an expression's value may change although nothing happens to the contact.
//!
//! Time comes in by four ways. A comparison of something that moves with `now` changes where its sides meet. A part of
//! the calendar (`now.getMonth()`) changes at the latest with the next quarter of an hour, by which all time zones are
//! apart. An event leaves a window. A score fades past a number with which it is compared, or by a point where the
//! rule does otherwise with it. Another use of `now` is refused where the instant has to be known.

use std::collections::{BTreeMap, BTreeSet};

use cel::{
    Context, IdedExpr, Value,
    common::{
        ast::{CallExpr, Expr, operators},
        types::{CelDuration, CelTimestamp},
        value::CowVal,
    },
};
use dripline_model::{
    clock::from_ms,
    filter::{Order, Scalar},
    score::{Cuts, cuts_of_grades},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    Subject, narrow,
    source::{self, Occurrence, Path, Source},
};

/// What of an expression depends on time.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    crossings: Vec<Crossing>,
    /// Part of the calendar: the value may change whenever so many milliseconds since the epoch are full.
    every_ms: Option<i64>,
    /// Uses of `now` of which nothing is known.
    pub(crate) unclear: Vec<IdedExpr>,
    /// The scores that it reads, each with what of it counts: they may fade.
    scores: BTreeMap<String, Reading>,
    /// Whether it reads all scores, whatever they are called.
    all_scores: bool,
}

/// What of a score an expression looks at.
#[derive(Debug, Default)]
struct Reading {
    /// Its value, otherwise than by comparing it with a number that is written out.
    value: bool,
    /// Whether it is at least one of these.
    cuts: BTreeSet<i64>,
    /// Its grade.
    grade: bool,
}

/// Two sides that meet at some instant.
#[derive(Debug)]
struct Crossing {
    left: IdedExpr,
    right: IdedExpr,
    /// By how many seconds the left side gains on the right in one second.
    gain: i64,
}

/// The next instants at which a value may change by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NextChange {
    /// Because two sides meet, or an event leaves a window.
    pub once: Option<Timestamp>,
    /// Because of the calendar, which never ends.
    pub repeating: Option<Timestamp>,
}

impl NextChange {
    /// The earlier of both ways.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let earlier =
            |one: Option<Timestamp>, other: Option<Timestamp>| [one, other].into_iter().flatten().min();
        Self { once: earlier(self.once, other.once), repeating: earlier(self.repeating, other.repeating) }
    }
}

impl Clock {
    /// Looks for time in a compiled expression.
    pub(crate) fn of(tree: &IdedExpr, sources: &[Source]) -> Self {
        let mut clock = Self::default();
        clock.visit(tree, sources);
        clock.look_for_scores(tree, sources);
        clock
    }

    /// Looks for scores: whether one fades is only known of a contact.
    fn look_for_scores(&mut self, node: &IdedExpr, sources: &[Source]) {
        if let Expr::Call(call) = &node.expr
            && let ([left, right], None, Some(order)) =
                (call.args.as_slice(), &call.target, narrow::order(&call.func_name))
        {
            for (score, other, order) in [(left, right, order), (right, left, order.turned())] {
                if let Some(name) = score_of(score, sources)
                    && let Some(Scalar::Number(number)) = narrow::literal(other)
                {
                    let reading = self.scores.entry(name.to_owned()).or_default();
                    reading.cuts.extend(cuts(order, number));
                    return;
                }
            }
        }
        if let Expr::Ident(name) = &node.expr
            && let Some(source @ (Source::Path(path) | Source::Has(path, _) | Source::Optional(path))) =
                source::named(sources, name)
        {
            match path {
                // Whether it was ever given does not fade.
                Path::Score(_) if matches!(source, Source::Has(..)) => {}
                Path::Score(name) => self.scores.entry(name.clone()).or_default().value = true,
                Path::Grade(name) => self.scores.entry(name.clone()).or_default().grade = true,
                Path::Scores | Path::Grades | Path::Contact => self.all_scores = true,
                _ => {}
            }
        }
        let mut children = Vec::new();
        children_of(node, &mut children);
        children.into_iter().for_each(|child| self.look_for_scores(child, sources));
    }

    /// When next a score fades so far that it counts.
    fn fades(&self, subject: &Subject<'_>) -> Option<Timestamp> {
        let Subject { contact, now, .. } = subject;
        let next = contact.fading.iter().filter_map(|(name, curve)| {
            let reading = self.scores.get(name);
            let cuts = if self.all_scores || reading.is_some_and(|reading| reading.value) {
                Cuts::Every
            } else {
                let reading = reading?;
                let mut cuts = reading.cuts.clone();
                if reading.grade {
                    cuts.extend(cuts_of_grades(contact.graded.as_ref(), name));
                }
                Cuts::At(cuts)
            };
            curve.next_change(now.as_millisecond(), &cuts)
        });
        next.min().map(from_ms)
    }

    fn visit(&mut self, node: &IdedExpr, sources: &[Source]) {
        if !moves(node, sources) {
            return;
        }
        match &node.expr {
            Expr::Call(call) => self.call(call, sources),
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element, sources)),
            Expr::Select(select) => self.visit(&select.operand, sources),
            // What a macro binds is not known here.
            _ => self.unclear.push(node.clone()),
        }
    }

    fn call(&mut self, call: &CallExpr, sources: &[Source]) {
        if let (
            operators::EQUALS
            | operators::NOT_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS,
            [left, right],
        ) = (call.func_name.as_str(), call.args.as_slice())
            && let (Some(gain), Some(other)) = (speed(left, sources), speed(right, sources))
        {
            if gain != other {
                self.crossings.push(Crossing {
                    left: left.clone(),
                    right: right.clone(),
                    gain: gain - other,
                });
            }
            return;
        }
        if let Some(target) = &call.target
            && is_now(target, sources)
            && let Some(every) = calendar_ms(&call.func_name)
        {
            self.every_ms = Some(self.every_ms.map_or(every, |known| known.min(every)));
            return;
        }
        call.target.iter().map(AsRef::as_ref).chain(&call.args).for_each(|part| self.visit(part, sources));
    }

    /// The next instants at which the value for the subject may change.
    pub(crate) fn next(
        &self,
        sources: &[Source],
        subject: &Subject<'_>,
        context: &Context<'_, '_>,
    ) -> NextChange {
        let crossings = self.crossings.iter().filter_map(|crossing| crossing.next(subject.now, context));
        let windows = sources.iter().filter_map(|source| match source {
            Source::Tally(history, _)
            | Source::Path(Path::Occurrence(Occurrence { history, .. }, _))
            | Source::Has(Path::Occurrence(Occurrence { history, .. }, _), _)
            | Source::Optional(Path::Occurrence(Occurrence { history, .. }, _)) => {
                history.next_change(subject)
            }
            _ => None,
        });
        NextChange {
            once: crossings.chain(windows).chain(self.fades(subject)).min(),
            repeating: self.every_ms.and_then(|every| {
                let now = subject.now.as_millisecond();
                Timestamp::from_millisecond(now.checked_add(every - now.rem_euclid(every))?).ok()
            }),
        }
    }
}

impl Crossing {
    /// The first instant after `now` at which the sides are equal, or are not any more.
    fn next(&self, now: Timestamp, context: &Context<'_, '_>) -> Option<Timestamp> {
        let left = Value::resolve_val(&self.left, context).ok()?;
        let right = Value::resolve_val(&self.right, context).ok()?;
        let apart = nanoseconds(&left)?.checked_sub(nanoseconds(&right)?)?;
        let meet = now.as_nanosecond().checked_sub(apart / i128::from(self.gain))?;
        // The clock goes by milliseconds.
        const MS: i128 = 1_000_000;
        let meet = meet.div_euclid(MS).checked_add(i128::from(meet.rem_euclid(MS) > 0))?;
        let meet = Timestamp::from_millisecond(i64::try_from(meet).ok()?).ok()?;
        let after = meet.checked_add(SignedDuration::from_millis(1)).ok();
        [Some(meet), after].into_iter().flatten().find(|at| *at > now)
    }
}

/// A time, or a length of time; both sides of a comparison are of one kind, or it has no value.
fn nanoseconds(value: &CowVal<'_, '_>) -> Option<i128> {
    if let Some(at) = value.downcast_ref::<CelTimestamp>() {
        let at = at.inner();
        return Some(i128::from(at.timestamp()) * 1_000_000_000 + i128::from(at.timestamp_subsec_nanos()));
    }
    let length = value.downcast_ref::<CelDuration>()?.inner();
    Some(i128::from(length.num_seconds()) * 1_000_000_000 + i128::from(length.subsec_nanos()))
}

fn is_now(node: &IdedExpr, sources: &[Source]) -> bool {
    matches!(&node.expr, Expr::Ident(name) if matches!(source::named(sources, name), Some(Source::Path(Path::Now))))
}

/// Whether `now` is anywhere in it.
fn moves(node: &IdedExpr, sources: &[Source]) -> bool {
    let mut children = Vec::new();
    children_of(node, &mut children);
    is_now(node, sources) || children.into_iter().any(|child| moves(child, sources))
}

/// The score that a variable is.
fn score_of<'s>(node: &IdedExpr, sources: &'s [Source]) -> Option<&'s str> {
    match &node.expr {
        Expr::Ident(name) => match source::named(sources, name)? {
            Source::Path(Path::Score(name)) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// From which whole numbers on a comparison with `number` has another answer.
fn cuts(order: Order, number: f64) -> Vec<i64> {
    let (reached, passed) = (number.ceil() as i64, (number.floor() as i64).saturating_add(1));
    match order {
        Order::GreaterOrEqual | Order::Less => vec![reached],
        Order::Greater | Order::LessOrEqual => vec![passed],
        Order::Equal | Order::NotEqual => vec![reached, passed],
    }
}

/// The nodes right below.
pub(crate) fn children_of<'n>(node: &'n IdedExpr, children: &mut Vec<&'n IdedExpr>) {
    match &node.expr {
        Expr::Call(call) => children.extend(call.target.iter().map(AsRef::as_ref).chain(&call.args)),
        Expr::List(list) => children.extend(&list.elements),
        Expr::Select(select) => children.push(&select.operand),
        Expr::Comprehension(all) => {
            children.extend([&all.iter_range, &all.accu_init, &all.loop_cond, &all.loop_step, &all.result]);
        }
        Expr::Map(map) => {
            for entry in &map.entries {
                if let cel::common::ast::EntryExpr::MapEntry(entry) = &entry.expr {
                    children.extend([&entry.key, &entry.value]);
                }
            }
        }
        _ => {}
    }
}

/// How many seconds the value of a sum moves in one second; none where it is no sum.
fn speed(node: &IdedExpr, sources: &[Source]) -> Option<i64> {
    if is_now(node, sources) {
        return Some(1);
    }
    if !moves(node, sources) {
        return Some(0);
    }
    let Expr::Call(CallExpr { func_name, args, .. }) = &node.expr else { return None };
    match (func_name.as_str(), args.as_slice()) {
        ("@+", [left, right]) => Some(speed(left, sources)? + speed(right, sources)?),
        ("@-", [left, right]) => Some(speed(left, sources)? - speed(right, sources)?),
        _ => None,
    }
}

/// After how many milliseconds a part of the calendar may be another, whatever the time zone.
fn calendar_ms(function: &str) -> Option<i64> {
    Some(match function {
        "getFullYear" | "getMonth" | "getDate" | "getDayOfMonth" | "getDayOfWeek" | "getDayOfYear"
        | "getHours" => 15 * 60 * 1000,
        "getMinutes" => 60 * 1000,
        "getSeconds" => 1000,
        _ => return None,
    })
}
