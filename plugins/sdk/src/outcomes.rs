//! What a plugin answers.

use std::fmt::{Arguments, Write as _};

use serde::Serialize;
use serde_json::Value;

use crate::{
    batch::{Batch, Turn},
    bindings::dripline::step::types::{self, Directive, Effect, TurnEffects},
    dictionary::Dictionary,
};

/// The answer to a batch: for each turn one directive with its reason, and effects in the order in which they shall
/// happen. The last directive that a turn is given counts; a turn without one is an error.
///
/// Reasons are sentences that marketers read when they ask why something happened. Each distinct text is kept once;
/// `format_args!` writes one without allocating, [`Outcomes::text`] prepares one that many turns use.
#[derive(Debug)]
pub struct Outcomes {
    strings: Dictionary,
    /// Formatted texts are written here before they are looked up.
    scratch: String,
    directives: Vec<Directive>,
    reasons: Vec<u32>,
    effects: Vec<Effect>,
    wanted: TurnEffects,
    state: Option<Vec<u8>>,
    outputs: Vec<String>,
    mistake: Option<String>,
}

/// The reason of a turn on which nothing was decided yet.
const UNDECIDED: u32 = u32::MAX;

/// A text of an answer, ready for use by any of its turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextRef(u32);

/// An effect of an answer, ready for use by any of its turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectRef(u32);

/// What may stand as a text in an answer: texts, `format_args!(…)` and prepared [`TextRef`]s.
pub trait IntoText {
    /// The text's reference in `out`.
    fn into_text(self, out: &mut Outcomes) -> TextRef;
}

/// The lowest and the highest value that a score may take, and how much of it may come from one reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The lowest; `None` sets no limit.
    pub min: Option<i64>,
    /// The highest; `None` sets no limit.
    pub max: Option<i64>,
    /// How many of the points that this step gave for the same reason may count at a time; `None` sets no limit.
    pub at_most: Option<i64>,
}

/// An email to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Email<'text> {
    /// The template's name.
    pub template: &'text str,
    /// The subject, rendered.
    pub subject: &'text str,
    /// Consent topic, beside the channel's own consent.
    pub topic: Option<&'text str>,
    /// Whether the mail answers something that the contact did and so needs no consent.
    pub transactional: bool,
}

impl Outcomes {
    /// An answer to `batch` in which nothing is decided; `outputs` are the manifest's.
    pub(crate) fn new(batch: &Batch, outputs: Vec<String>) -> Self {
        Self {
            strings: Dictionary::new(),
            scratch: String::new(),
            directives: vec![Directive::Proceed; batch.len()],
            reasons: vec![UNDECIDED; batch.len()],
            effects: Vec::new(),
            // Memory that is reserved and not touched costs nothing; growing touches it over and over.
            wanted: TurnEffects {
                turns: Vec::with_capacity(4 * batch.len()),
                effects: Vec::with_capacity(4 * batch.len()),
            },
            state: None,
            outputs,
            mistake: None,
        }
    }

    /// The answer as the contract has it.
    ///
    /// # Errors
    /// A turn that was not decided, or was sent along an output that the manifest does not name.
    pub(crate) fn finish(self) -> Result<types::Outcomes, String> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        if let Some(turn) = self.reasons.iter().position(|reason| *reason == UNDECIDED) {
            return Err(format!("the plugin decided nothing about turn {turn} of the batch"));
        }
        Ok(types::Outcomes {
            strings: self.strings.into_texts(),
            directives: self.directives,
            reasons: self.reasons,
            effects: self.effects,
            wanted: self.wanted,
            state: self.state,
        })
    }

    /// Prepares a text that many turns use.
    pub fn text(&mut self, text: impl IntoText) -> TextRef {
        text.into_text(self)
    }

    /// The run goes on to the next step.
    pub fn proceed(&mut self, turn: Turn<'_>, reason: impl IntoText) {
        self.decide(turn, Directive::Proceed, reason);
    }

    /// The run leaves along the output of this name, which the manifest has to list.
    pub fn output(&mut self, turn: Turn<'_>, name: &str, reason: impl IntoText) {
        match self.outputs.iter().position(|output| output == name) {
            Some(index) => self.decide(turn, Directive::Output(index as u32), reason),
            None => {
                self.mistake =
                    Some(format!("the plugin takes the output `{name}`, which it does not declare"))
            }
        }
    }

    /// The run goes on to the next step at `at_ms`, in milliseconds since the epoch, UTC.
    pub fn wait_until(&mut self, turn: Turn<'_>, at_ms: i64, reason: impl IntoText) {
        self.decide(turn, Directive::WaitUntil(at_ms), reason);
    }

    /// The run ends here.
    pub fn exit(&mut self, turn: Turn<'_>, reason: impl IntoText) {
        self.decide(turn, Directive::Exit, reason);
    }

    /// The turn failed and trying again may help: at `retry_at_ms` (milliseconds since the epoch, UTC), or when the
    /// engine sees fit.
    pub fn fail_transient(&mut self, turn: Turn<'_>, retry_at_ms: Option<i64>, reason: impl IntoText) {
        self.decide(turn, Directive::FailTransient(retry_at_ms), reason);
    }

    /// The turn failed and trying again cannot help.
    pub fn fail_permanent(&mut self, turn: Turn<'_>, reason: impl IntoText) {
        self.decide(turn, Directive::FailPermanent, reason);
    }

    /// Sets an attribute of the contact; `null` removes it. Needs [`types::EffectKind::SetField`].
    pub fn set_field(&mut self, turn: Turn<'_>, field: impl IntoText, value: &Value) {
        let change =
            types::FieldChange { field: self.index(field), value: self.index(format_args!("{value}")) };
        self.effect(turn, Effect::SetField(change));
    }

    /// Puts a tag on the contact. Needs [`types::EffectKind::Tag`].
    pub fn add_tag(&mut self, turn: Turn<'_>, tag: impl IntoText) {
        let tag = self.index(tag);
        self.effect(turn, Effect::AddTag(tag));
    }

    /// Takes a tag off the contact. Needs [`types::EffectKind::Tag`].
    pub fn remove_tag(&mut self, turn: Turn<'_>, tag: impl IntoText) {
        let tag = self.index(tag);
        self.effect(turn, Effect::RemoveTag(tag));
    }

    /// Adds points to a score, which is kept within `bounds`. Needs [`types::EffectKind::Score`].
    pub fn add_score(
        &mut self,
        turn: Turn<'_>,
        score: impl IntoText,
        points: i64,
        bounds: Bounds,
        because: impl IntoText,
    ) {
        let effect = self.adding_score(score, points, bounds, because);
        self.want(turn, effect);
    }

    /// Prepares [`Outcomes::add_score`] for many turns.
    pub fn adding_score(
        &mut self,
        score: impl IntoText,
        points: i64,
        bounds: Bounds,
        because: impl IntoText,
    ) -> EffectRef {
        let (score, because) = (self.index(score), self.index(because));
        let Bounds { min, max, at_most } = bounds;
        self.prepare(Effect::AddScore(types::ScoreChange { score, points, because, min, max, at_most }))
    }

    /// Forgets the points that this step gave to the score before. Needs [`types::EffectKind::Score`].
    pub fn clear_score(&mut self, turn: Turn<'_>, score: impl IntoText) {
        let effect = self.clearing_score(score);
        self.want(turn, effect);
    }

    /// Prepares [`Outcomes::clear_score`] for many turns.
    pub fn clearing_score(&mut self, score: impl IntoText) -> EffectRef {
        let score = self.index(score);
        self.prepare(Effect::ClearScore(score))
    }

    /// Does for this turn what was prepared, after what was done for it before.
    pub fn want(&mut self, turn: Turn<'_>, effect: EffectRef) {
        self.wanted.turns.push(turn.index() as u32);
        self.wanted.effects.push(effect.0);
    }

    /// Makes the contact a member of a static segment. Needs [`types::EffectKind::Segment`].
    pub fn join_segment(&mut self, turn: Turn<'_>, segment: impl IntoText) {
        let segment = self.index(segment);
        self.effect(turn, Effect::JoinSegment(segment));
    }

    /// Ends the contact's membership of a static segment. Needs [`types::EffectKind::Segment`].
    pub fn leave_segment(&mut self, turn: Turn<'_>, segment: impl IntoText) {
        let segment = self.index(segment);
        self.effect(turn, Effect::LeaveSegment(segment));
    }

    /// Queues an email; the engine looks at consent and address. Needs [`types::EffectKind::Email`].
    pub fn send_email(&mut self, turn: Turn<'_>, email: Email<'_>) {
        let email = types::Email {
            template: self.index(email.template),
            subject: self.index(email.subject),
            topic: email.topic.map(|topic| self.index(topic)),
            transactional: email.transactional,
        };
        self.effect(turn, Effect::SendEmail(email));
    }

    /// Makes a representative the contact's owner, for `team`. Needs [`types::EffectKind::Assign`].
    pub fn assign_owner(
        &mut self,
        turn: Turn<'_>,
        representative: impl IntoText,
        team: Option<&str>,
        because: impl IntoText,
    ) {
        let assignment = types::Assignment {
            representative: self.index(representative),
            team: team.map(|team| self.index(team)),
            because: self.index(because),
        };
        self.effect(turn, Effect::AssignOwner(assignment));
    }

    /// The new value of the plugin's durable cell, for which the manifest has to ask.
    pub fn set_state(&mut self, state: Vec<u8>) {
        self.state = Some(state);
    }

    /// As [`Outcomes::set_state`], written as JSON.
    ///
    /// # Errors
    /// A value that JSON cannot hold.
    pub fn set_state_json(&mut self, state: &impl Serialize) -> Result<(), String> {
        self.set_state(
            serde_json::to_vec(state).map_err(|error| format!("the state cannot be written: {error}"))?,
        );
        Ok(())
    }

    fn decide(&mut self, turn: Turn<'_>, directive: Directive, reason: impl IntoText) {
        let reason = self.index(reason);
        if let (Some(decided), Some(why)) =
            (self.directives.get_mut(turn.index()), self.reasons.get_mut(turn.index()))
        {
            *decided = directive;
            *why = reason;
        }
    }

    fn effect(&mut self, turn: Turn<'_>, effect: Effect) {
        let effect = self.prepare(effect);
        self.want(turn, effect);
    }

    /// The effect's reference. In a loop over turns the last one is often wanted again.
    fn prepare(&mut self, effect: Effect) -> EffectRef {
        if self.effects.last() != Some(&effect) {
            self.effects.push(effect);
        }
        EffectRef(self.effects.len() as u32 - 1)
    }

    fn index(&mut self, text: impl IntoText) -> u32 {
        text.into_text(self).0
    }
}

impl IntoText for TextRef {
    fn into_text(self, _: &mut Outcomes) -> TextRef {
        self
    }
}

impl IntoText for &str {
    fn into_text(self, out: &mut Outcomes) -> TextRef {
        TextRef(out.strings.intern(self))
    }
}

impl IntoText for &String {
    fn into_text(self, out: &mut Outcomes) -> TextRef {
        self.as_str().into_text(out)
    }
}

impl IntoText for String {
    fn into_text(self, out: &mut Outcomes) -> TextRef {
        self.as_str().into_text(out)
    }
}

impl IntoText for Arguments<'_> {
    fn into_text(self, out: &mut Outcomes) -> TextRef {
        if let Some(text) = self.as_str() {
            return text.into_text(out);
        }
        out.scratch.clear();
        // Writing to a String fails only where a `Display` of the plugin's own does; what it wrote until then stays.
        let _ = out.scratch.write_fmt(self);
        TextRef(out.strings.intern(&out.scratch))
    }
}
