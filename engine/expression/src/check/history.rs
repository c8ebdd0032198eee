//! Questions about past events: `events("visit.pricing_page").last("30d").count()`.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, Expr, LiteralValue},
};
use dripline_model::suggest;
use jiff::SignedDuration;

use super::Checker;
use crate::{
    ProblemKind,
    history::{History, METHODS, Tally, USAGE, Which, Window},
    source::{Occurrence, Source},
    time,
    types::Type,
};

/// The function that a question begins with.
pub(super) const EVENTS: &str = "events";

/// Whether a call is part of a question about events.
pub(super) fn is_history(call: &CallExpr) -> bool {
    match call.target.as_deref() {
        None => call.func_name == EVENTS,
        Some(IdedExpr { expr: Expr::Call(target), .. }) => is_history(target),
        Some(_) => false,
    }
}

/// `events(…).first()` and `events(…).last()`, which lead to an event.
pub(super) fn occurrence(call: &CallExpr) -> Option<Which> {
    let which = match call.func_name.as_str() {
        "first" => Which::First,
        "last" => Which::Last,
        _ => return None,
    };
    (call.target.is_some() && call.args.is_empty() && is_history(call)).then_some(which)
}

fn literal(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

impl Checker<'_> {
    /// The event that `events(…).first()` or `.last()` leads to.
    pub(super) fn occurrence(&mut self, node: &IdedExpr) -> Option<Occurrence> {
        let Expr::Call(call) = &node.expr else { return None };
        let which = occurrence(call)?;
        let history = self.history(call.target.as_deref()?)?;
        Some(Occurrence { history, which })
    }

    /// Makes a variable of a whole question.
    pub(super) fn tally(&mut self, node: &mut IdedExpr, call: &CallExpr) -> Type {
        let name = call.func_name.as_str();
        let Some(target) = call.target.as_deref() else {
            return self.problem(
                node,
                "this asks nothing of the events",
                Some(format!("for example {USAGE}")),
            );
        };
        if !METHODS.iter().any(|(known, _)| *known == name) {
            let near = match name {
                "size" | "len" | "length" => Some("count"),
                "exists" | "any" => Some("count"),
                "total" => Some("sum"),
                other => suggest::closest(other, METHODS.iter().map(|(known, _)| *known)),
            };
            let usage = near.and_then(usage).unwrap_or(USAGE);
            let message = format!("events cannot be asked for `{name}`");
            return self.problem_of(
                ProblemKind::Function,
                self.places.name(node),
                message,
                Some(format!("for example {usage}")),
            );
        }
        let Some(history) = self.history(target) else { return Type::Any };
        let help = || usage(name).map(|usage| format!("for example {usage}"));
        let tally = match (name, call.args.as_slice()) {
            ("count", []) => Tally::Count,
            ("never", []) => Tally::Never,
            ("sum" | "max" | "min", [property]) => {
                let Some(property) = literal(property) else {
                    let message = format!("`{name}` wants the name of a property, written out");
                    return self.problem_of(
                        ProblemKind::Function,
                        self.places.whole(property),
                        message,
                        help(),
                    );
                };
                let property = property.to_owned();
                match name {
                    "sum" => Tally::Sum(property),
                    "max" => Tally::Max(property),
                    _ => Tally::Min(property),
                }
            }
            ("last", [_]) => {
                let help = format!("ask something of them: {USAGE}");
                return self.problem(node, "these are events, and no value", Some(help));
            }
            (_, args) => {
                let message = format!("`{name}` does not take {} arguments", args.len());
                return self.problem_of(ProblemKind::Function, self.places.name(node), message, help());
            }
        };
        self.lower(node, Source::Tally(history, tally))
    }

    /// `events("…")`, or the latest of them.
    fn history(&mut self, node: &IdedExpr) -> Option<History> {
        let Expr::Call(call) = &node.expr else { return None };
        let example = || Some(format!("for example {USAGE}"));
        let Some(target) = call.target.as_deref() else {
            let name = match call.args.as_slice() {
                [name] => literal(name).filter(|name| !name.trim().is_empty()),
                _ => None,
            };
            let Some(name) = name else {
                self.problem_of(
                    ProblemKind::Function,
                    self.places.whole(node),
                    "`events` wants the name of an event, written out",
                    example(),
                );
                return None;
            };
            return Some(History { name: name.to_owned(), within: None });
        };
        let mut history = self.history(target)?;
        let (true, [length]) = (call.func_name == "last", call.args.as_slice()) else {
            let message = format!("nothing more can be asked after `{}`", call.func_name);
            self.problem_of(ProblemKind::Function, self.places.name(node), message, example());
            return None;
        };
        if history.within.is_some() {
            self.problem_of(
                ProblemKind::Function,
                self.places.name(node),
                "the time is limited twice",
                Some("keep one".to_owned()),
            );
            return None;
        }
        history.within = Some(self.window(length)?);
        Some(history)
    }

    /// `"30d"` or `duration("30d")`.
    fn window(&mut self, node: &IdedExpr) -> Option<Window> {
        let written = literal(node).or_else(|| match &node.expr {
            Expr::Call(CallExpr { func_name, target: None, args }) if func_name == "duration" => {
                match args.as_slice() {
                    [text] => literal(text),
                    _ => None,
                }
            }
            _ => None,
        });
        let length = written
            .and_then(time::duration)
            .map(|length| SignedDuration::from_millis(length.inner().num_milliseconds()));
        match (written, length.filter(SignedDuration::is_positive)) {
            (Some(written), Some(length)) => Some(Window { written: written.to_owned(), length }),
            (written, _) => {
                let message = match written {
                    Some(written) => format!("\"{written}\" is no length of time"),
                    None => "`last` wants a length of time, written out".to_owned(),
                };
                self.problem_of(
                    ProblemKind::Syntax,
                    self.places.whole(node),
                    message,
                    Some("write it like \"30d\", \"12h\" or \"1h 30m\"".to_owned()),
                );
                None
            }
        }
    }
}

/// How to call a method of `events(…)`.
pub(super) fn usage(method: &str) -> Option<&'static str> {
    METHODS.iter().find(|(known, _)| *known == method).map(|(_, usage)| *usage)
}
