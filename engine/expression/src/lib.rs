//! CEL: compile, check and evaluate conditions over contacts.
//!
//! [`Expression::compile`] finds, with their places in the source, all mistakes that can be known before there is a
//! contact: syntax, unknown names, types that cannot meet. What it accepts evaluates without a panic and in bounded
//! time, to a value of the declared type or to the reason why there is none. Whoever publishes a workflow compiles;
//! whoever runs it compiles once more from the same source and evaluates for each contact.
//!
//! # What is missing
//! A score that nobody gave is 0, a consent that was never asked is false. Any other field that the contact lacks, or
//! that is JSON's `null`, makes the expression [`Unevaluable`], unless it is asked for with `has(contact.title)`,
//! `contact.title == null` or `contact.?title.orValue("")`. `has` of a score or a consent asks whether it was ever given.
//!
//! # Numbers and times
//! Whole and other numbers compare and calculate with each other. Attributes hold no timestamps: `timestamp("2024-03-01")`
//! and `timestamp(contact.renewal_date)` make them, of RFC 3339 or of a date, which is midnight UTC.

mod check;
mod clock;
mod contradiction;
mod explain;
mod history;
mod library;
mod narrow;
mod parse;
mod plain;
mod source;
mod time;
mod token;
mod types;
mod value;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use cel::Context;
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::{EventView, Needs},
    field::Fields,
    filter::Narrowing,
    score::Scores,
};
use jiff::Timestamp;

pub use clock::NextChange;
pub use explain::Clause;
pub use value::Value;

/// What an expression may name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    /// What is known of contacts' attributes, topics and segments; `None` where nothing is, and then any is accepted.
    pub attributes: Option<&'a Fields>,
    /// Whether `event` is there.
    pub event: bool,
    /// With what the workflow is called, `input.NAME`; `None` where it is not.
    pub inputs: Option<&'a BTreeMap<String, ColumnType>>,
}

/// What sort of mistake a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProblemKind {
    /// It cannot be read, or goes beyond a limit.
    Syntax,
    /// A variable or a field that there is not.
    Name,
    /// A function that there is not, or that is called otherwise.
    Function,
    /// Types that never meet.
    Types,
    /// A value that the field never has.
    Value,
    /// A topic of consent that is not declared.
    Topic,
    /// A segment that nobody is put into.
    Segment,
    /// A score that is not declared.
    Score,
    /// A grade that a score never has.
    Grade,
    /// Conditions that are never true together.
    Contradiction,
}

/// Something wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Of what sort.
    pub kind: ProblemKind,
    /// What is wrong.
    pub message: String,
    /// Where, in bytes of the source.
    pub span: Range<usize>,
    /// What would be right.
    pub help: Option<String>,
}

/// A compiled expression; clones share it.
#[derive(Debug, Clone)]
pub struct Expression(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    source: String,
    result: ColumnType,
    checked: check::Checked,
}

impl Expression {
    /// Compiles and checks `source`, whose values shall be of the type `result`.
    ///
    /// # Errors
    /// Everything wrong with it: one problem of syntax, or all of names and types.
    pub fn compile(source: &str, result: ColumnType, scope: &Scope<'_>) -> Result<Self, Vec<Problem>> {
        Self::compile_as(source, result, scope, check::Use::Step)
    }

    /// Compiles the rule of a segment: a condition of which is known when its value changes, and on what it depends.
    ///
    /// # Errors
    /// As for [`Expression::compile`], and whatever leaves that open.
    pub fn compile_rule(source: &str, scope: &Scope<'_>) -> Result<Self, Vec<Problem>> {
        Self::compile_as(source, ColumnType::Boolean, scope, check::Use::Rule)
    }

    fn compile_as(
        source: &str,
        result: ColumnType,
        scope: &Scope<'_>,
        r#use: check::Use,
    ) -> Result<Self, Vec<Problem>> {
        let parsed = parse::parse(source).map_err(|problem| vec![problem])?;
        let checked = check::check(parsed, result, scope, r#use)?;
        Ok(Self(Arc::new(Compiled { source: source.to_owned(), result, checked })))
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Why the condition, or a part of it, can never hold: comparisons that contradict each other. Nothing forbids that;
    /// it is most likely a mistake.
    pub fn contradictions(&self) -> &[Problem] {
        &self.0.checked.contradictions
    }

    /// Which parts of the contact it reads.
    pub fn needs(&self) -> &Needs {
        &self.0.checked.needs
    }

    /// The segments whose membership it asks for by name.
    pub fn segments(&self) -> BTreeSet<&str> {
        let named = self.0.checked.sources.iter().filter_map(|source| match source {
            source::Source::InSegment(name) => Some(name.as_str()),
            _ => None,
        });
        named.collect()
    }

    /// When the value for `subject` may change although nothing happens to the contact. Of a use of `now` that
    /// [`Expression::compile_rule`] refuses nothing is known.
    pub fn next_change(&self, subject: &Subject<'_>) -> NextChange {
        let checked = &self.0.checked;
        let resolver = source::Resolver { sources: &checked.sources, subject };
        let mut context = Context::with_env(Arc::clone(library::env()));
        context.set_variable_resolver(&resolver);
        checked.clock.next(&checked.sources, subject, &context)
    }

    /// The parts of a condition that `&&`, `||` and `!` join, each with how it comes out for `subject`.
    pub fn clauses(&self, subject: &Subject<'_>) -> Vec<Clause> {
        let Compiled { source, checked, .. } = self.0.as_ref();
        let resolver = source::Resolver { sources: &checked.sources, subject };
        let mut context = Context::with_env(Arc::clone(library::env()));
        context.set_variable_resolver(&resolver);
        explain::clauses(&checked.tree, source, &checked.parts, &checked.sources, &context)
    }

    /// What a store can look for by itself to find those for whom a condition holds at `now`, where `scores` are declared.
    pub fn narrow(&self, now: Timestamp, scores: &Scores) -> Narrowing {
        narrow::narrow(&self.0.checked.tree, &self.0.checked.sources, scores, now)
    }

    /// Whether it reads the time, so that its value may change although nothing happens to the contact.
    pub fn reads_now(&self) -> bool {
        self.0.checked.sources.iter().any(source::Source::reads_now)
    }

    /// The value for `subject`, of the declared type: an integer also from a number that is whole, a float from any
    /// finite number, a text also from a number, a timestamp also from a text that is RFC 3339 or a date.
    ///
    /// # Errors
    /// A field that is missing, or a value whose type does not fit.
    pub fn evaluate(&self, subject: &Subject<'_>) -> Result<Value, Unevaluable> {
        let Compiled { result, checked, .. } = self.0.as_ref();
        let plain = checked.plain.as_ref();
        if let Some(value) = plain.and_then(|plain| plain.value(&checked.sources, subject, *result)) {
            return Ok(value);
        }
        self.interpret(subject)
    }

    /// As [`Expression::evaluate`], by the interpreter in any case.
    fn interpret(&self, subject: &Subject<'_>) -> Result<Value, Unevaluable> {
        let Compiled { result, checked, .. } = self.0.as_ref();
        let resolver = source::Resolver { sources: &checked.sources, subject };
        let mut context = Context::with_env(Arc::clone(library::env()));
        context.set_variable_resolver(&resolver);
        let reason = match cel::Value::resolve_val(&checked.tree, &context) {
            Ok(value) => match value::typed(value.as_ref(), *result) {
                Ok(value) => return Ok(value),
                Err(reason) => reason,
            },
            Err(error) => explain::reason(&error, &checked.tree, &checked.sources, &context),
        };
        Err(Unevaluable { reason })
    }

    /// Whether a boolean expression holds for `subject`.
    ///
    /// # Errors
    /// As for [`Expression::evaluate`], and an expression that was not compiled as boolean.
    pub fn test(&self, subject: &Subject<'_>) -> Result<bool, Unevaluable> {
        match self.evaluate(subject)? {
            Value::Boolean(holds) => Ok(holds),
            _ => Err(Unevaluable { reason: "the expression is not a condition".to_owned() }),
        }
    }
}

/// What an expression is evaluated against.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// `contact`
    pub contact: &'a Contact,
    /// `event`
    pub event: Option<&'a EventView>,
    /// `now`
    pub now: Timestamp,
}

impl<'a> Subject<'a> {
    /// A contact at an instant, and the event that concerns it.
    pub fn new(contact: &'a Contact, event: Option<&'a EventView>, now: Timestamp) -> Self {
        Self { contact, event, now }
    }
}

/// Why an expression has no value for a contact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unevaluable {
    /// For people: "contact has no `title`", "`employees` is text, `>=` wants a number".
    pub reason: String,
}
