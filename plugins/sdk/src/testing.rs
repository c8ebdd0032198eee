//! Runs a [`Step`] natively, for a plugin's unit tests.

use std::{fmt, marker::PhantomData};

use serde_json::Value;

use crate::{
    Manifest, Problem, Step,
    bindings::dripline::step::types::{self, ColumnData, Directive, Effect},
    guest, manifest,
};

/// A step with a configuration and a batch to run on.
///
/// ```
/// # use dripline_sdk::{Batch, Condition, Outcomes, Step, testing::Bench};
/// # use serde_json::json;
/// # #[derive(serde::Deserialize, schemars::JsonSchema)]
/// # struct Gate { open: Condition }
/// # impl Step for Gate {
/// #     const NAME: &'static str = "gate";
/// #     const SUMMARY: &'static str = "Ends runs.";
/// #     fn run(&self, batch: &Batch, out: &mut Outcomes) -> Result<(), String> {
/// #         for turn in batch.turns() {
/// #             if self.open.holds(turn) { out.proceed(turn, "open") } else { out.exit(turn, "closed") }
/// #         }
/// #         Ok(())
/// #     }
/// # }
/// let answer = Bench::<Gate>::new(json!({"open": "contact.vip"}))
///     .column("/open", [Some(true), Some(false), None])
///     .run()?;
/// assert_eq!(answer.to_string(), "0 proceeds: open\n1 exits: closed\n2 exits: closed\n");
/// # Ok::<_, String>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bench<S> {
    config: Value,
    batch: types::Batch,
    step: PhantomData<S>,
}

/// What a step answered; its text shows every turn with its effects.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer(types::Outcomes);

/// A value of a column.
pub trait Cell: Sized {
    /// The column of these values, one for each turn.
    fn data(values: Vec<Option<Self>>) -> ColumnData;
}

impl<S: Step> Bench<S> {
    /// A step with this configuration, as a marketer writes it but for teams; a batch without turns at the epoch.
    pub fn new(config: Value) -> Self {
        let batch = types::Batch { now_ms: 0, turns: 0, seeds: Vec::new(), columns: Vec::new(), state: None };
        Self { config, batch, step: PhantomData }
    }

    /// Sets the clock, in milliseconds since the epoch, UTC.
    #[must_use]
    pub fn now_ms(mut self, now_ms: i64) -> Self {
        self.batch.now_ms = now_ms;
        self
    }

    /// Sets the number of turns; a column does it too.
    #[must_use]
    pub fn turns(mut self, turns: usize) -> Self {
        self.batch.turns = turns as u32;
        self.batch.seeds = (0..turns as u64).collect();
        self
    }

    /// Adds the values of a field, one for each turn: of a contact's field (`contact.time_zone`), or of the expression
    /// at a JSON pointer into the configuration (`/rules/0/if`), in whose place the column's index is put.
    #[must_use]
    pub fn column<T: Cell>(mut self, name: &str, values: impl IntoIterator<Item = Option<T>>) -> Self {
        let values: Vec<Option<T>> = values.into_iter().collect();
        if let Some(expression) = self.config.pointer_mut(name).filter(|_| !name.is_empty()) {
            *expression = self.batch.columns.len().into();
        }
        self = self.turns(values.len());
        let present = bits(values.iter().map(Option::is_some));
        self.batch.columns.push(types::Column { name: name.to_owned(), present, data: T::data(values) });
        self
    }

    /// Sets the durable cell.
    #[must_use]
    pub fn state(mut self, state: impl Into<Vec<u8>>) -> Self {
        self.batch.state = Some(state.into());
        self
    }

    /// What the step finds wrong with the configuration, a line for each.
    pub fn check(&self) -> String {
        let line = |Problem { pointer, message, help }: Problem| match help {
            Some(help) => format!("{pointer}: {message}; {help}\n"),
            None => format!("{pointer}: {message}\n"),
        };
        guest::check::<S>(&self.config.to_string()).into_iter().map(line).collect()
    }

    /// Runs the step.
    ///
    /// # Errors
    /// As [`guest::run`].
    pub fn run(self) -> Result<Answer, String> {
        guest::run::<S>(&self.config.to_string(), self.batch).map(Answer)
    }
}

/// The manifest as the engine gets it, as readable JSON with the schema in its place; the version, which belongs to
/// the crate, is left out.
pub fn manifest<S: Step>() -> String {
    let Manifest { name, version: _, summary, config_schema: _, outputs, reads, effects, state, may_wait } =
        guest::describe::<S>("");
    let manifest = serde_json::json!({
        "name": name,
        "summary": summary,
        "outputs": outputs.iter().map(|output| format!("{}: {}", output.name, output.summary)).collect::<Vec<_>>(),
        "reads": reads.iter().map(|read| format!("{} as {:?}: {}", read.field, read.column, read.why)).collect::<Vec<_>>(),
        "effects": effects.iter().map(|effect| format!("{:?}: {}", effect.kind, effect.why)).collect::<Vec<_>>(),
        "state": format!("{state:?}"),
        "may_wait": may_wait,
        "config": manifest::schema::<S>(),
    });
    format!("{manifest:#}")
}

impl Answer {
    /// The answer as the contract has it.
    pub fn outcomes(&self) -> &types::Outcomes {
        &self.0
    }

    /// The new value of the durable cell, if it is set.
    pub fn state(&self) -> Option<&[u8]> {
        self.0.state.as_deref()
    }

    fn text(&self, index: u32) -> &str {
        let types::TextColumn { bytes, offsets } = &self.0.strings;
        let offset = |index: usize| offsets.get(index).copied().unwrap_or_default() as usize;
        let text = bytes.get(offset(index as usize)..offset(index as usize + 1)).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }

    fn write_effect(&self, effect: &Effect, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match effect {
            Effect::SetField(change) => {
                writeln!(f, "  sets {} to {}", self.text(change.field), self.text(change.value))
            }
            Effect::AddTag(tag) => writeln!(f, "  adds the tag {}", self.text(*tag)),
            Effect::RemoveTag(tag) => writeln!(f, "  removes the tag {}", self.text(*tag)),
            Effect::AddScore(change) => {
                write!(f, "  scores {} {:+}", self.text(change.score), change.points)?;
                if let Some(min) = change.min {
                    write!(f, ", at least {min}")?;
                }
                if let Some(max) = change.max {
                    write!(f, ", at most {max}")?;
                }
                if let Some(at_most) = change.at_most {
                    write!(f, ", at most {at_most} of this")?;
                }
                writeln!(f, " ({})", self.text(change.because))
            }
            Effect::ClearScore(score) => writeln!(f, "  clears {}", self.text(*score)),
            Effect::JoinSegment(segment) => writeln!(f, "  joins {}", self.text(*segment)),
            Effect::LeaveSegment(segment) => writeln!(f, "  leaves {}", self.text(*segment)),
            Effect::SendEmail(email) => {
                write!(f, "  sends {} “{}”", self.text(email.template), self.text(email.subject))?;
                if let Some(topic) = email.topic {
                    write!(f, " on {}", self.text(topic))?;
                }
                f.write_str(if email.transactional { ", transactional\n" } else { "\n" })
            }
            Effect::AssignOwner(assignment) => {
                write!(f, "  assigns to {}", self.text(assignment.representative))?;
                if let Some(team) = assignment.team {
                    write!(f, " of {}", self.text(team))?;
                }
                writeln!(f, " ({})", self.text(assignment.because))
            }
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (turn, (directive, reason)) in self.0.directives.iter().zip(&self.0.reasons).enumerate() {
            match directive {
                Directive::Proceed => write!(f, "{turn} proceeds"),
                Directive::Output(output) => write!(f, "{turn} takes output {output}"),
                Directive::WaitUntil(at_ms) => write!(f, "{turn} waits until {at_ms}"),
                Directive::Exit => write!(f, "{turn} exits"),
                Directive::FailTransient(None) => write!(f, "{turn} fails for now"),
                Directive::FailTransient(Some(at_ms)) => write!(f, "{turn} fails until {at_ms}"),
                Directive::FailPermanent => write!(f, "{turn} fails"),
            }?;
            writeln!(f, ": {}", self.text(*reason))?;
            let wanted = self.0.wanted.turns.iter().zip(&self.0.wanted.effects);
            for (_, effect) in wanted.filter(|(of, _)| **of as usize == turn) {
                let effect = self.0.effects.get(*effect as usize).ok_or(fmt::Error)?;
                self.write_effect(effect, f)?;
            }
        }
        Ok(())
    }
}

impl Cell for bool {
    fn data(values: Vec<Option<Self>>) -> ColumnData {
        ColumnData::Booleans(bits(values.into_iter().map(|value| value == Some(true))))
    }
}

impl Cell for i64 {
    fn data(values: Vec<Option<Self>>) -> ColumnData {
        ColumnData::Integers(values.into_iter().map(Option::unwrap_or_default).collect())
    }
}

impl Cell for f64 {
    fn data(values: Vec<Option<Self>>) -> ColumnData {
        ColumnData::Floats(values.into_iter().map(Option::unwrap_or_default).collect())
    }
}

impl Cell for &str {
    fn data(values: Vec<Option<Self>>) -> ColumnData {
        let mut column = types::TextColumn { bytes: Vec::new(), offsets: vec![0] };
        for text in values {
            column.bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
            column.offsets.push(column.bytes.len() as u32);
        }
        ColumnData::Texts(column)
    }
}

fn bits(values: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut bits = vec![0; values.len().div_ceil(8)];
    for (index, value) in values.enumerate() {
        if let Some(byte) = bits.get_mut(index / 8) {
            *byte |= u8::from(value) << (index % 8);
        }
    }
    bits
}
