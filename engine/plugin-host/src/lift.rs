//! A guest's answer on its way out: nothing of it is believed before it was looked at.

use std::sync::Arc;

use dripline_model::{
    Directive, Effect, Failure, FailureKind, Manifest, Outcome, contact::RESERVED_FIELDS,
    effect::EmailRequest, manifest::StateScope,
};
use jiff::Timestamp;

use crate::{bindings::wit, error::CallErrorKind, limits::Limits, plugin::Answer};

/// The most that an attribute's value may have as JSON: parsed, it takes many times as much.
const FIELD_BYTES: usize = 4 << 10;

type Result<T, E = CallErrorKind> = std::result::Result<T, E>;

/// The answer to a batch of `turns` turns, if it keeps to the contract, the manifest and the limits.
pub(crate) fn answer(
    outcomes: wit::Outcomes,
    turns: usize,
    manifest: &Manifest,
    limits: &Limits,
) -> Result<Answer> {
    let wit::Outcomes { strings, directives, reasons, effects, wanted, state } = outcomes;
    same_length("directives", directives.len(), turns)?;
    same_length("reasons", reasons.len(), turns)?;
    let mut lift = Lift { texts: Texts::new(&strings, limits)?, manifest };
    let mut counts = vec![0; turns];
    for turn in &wanted.turns {
        counts.get_mut(*turn as usize).into_iter().for_each(|count: &mut usize| *count += 1);
    }
    let mut outcomes = Vec::with_capacity(turns);
    for (turn, ((directive, reason), count)) in directives.into_iter().zip(reasons).zip(counts).enumerate() {
        let reason = lift.texts.get(reason)?;
        let directive =
            lift.directive(directive, &reason).map_err(|error| at(format!("turn {turn}"), error))?;
        let effects = Vec::with_capacity(count.min(limits.effects_per_turn));
        outcomes.push(Outcome { directive, effects, reason });
    }
    let effects = (0..)
        .zip(effects)
        .map(|(index, effect)| {
            let before = lift.texts.left;
            let effect = lift.effect(effect).map_err(|error| at(format!("effect {index}"), error))?;
            Ok((Arc::new(effect), before - lift.texts.left))
        })
        .collect::<Result<Vec<_>>>()?;
    if wanted.turns.len() != wanted.effects.len() {
        let (turns, effects) = (wanted.turns.len(), wanted.effects.len());
        return Err(bad(format!("{effects} effects are wanted by {turns} turns")));
    }
    for (turn, index) in wanted.turns.into_iter().zip(wanted.effects) {
        let (turn, index) = (turn as usize, index as usize);
        let outcome = outcomes
            .get_mut(turn)
            .ok_or_else(|| bad(format!("an effect is for turn {turn} of a batch of {turns}")))?;
        if outcome.effects.len() == limits.effects_per_turn {
            return Err(bad(format!("turn {turn} has more than {} effects", limits.effects_per_turn)));
        }
        let (effect, bytes) = effects
            .get(index)
            .ok_or_else(|| bad(format!("turn {turn} wants effect {index} of {}", effects.len())))?;
        // The first use was paid for when the effect was read.
        if Arc::strong_count(effect) > 1 {
            lift.texts.spend(*bytes)?;
        }
        outcome.effects.push(Arc::clone(effect));
    }
    if let Some(state) = &state {
        if manifest.state == StateScope::None {
            return Err(bad("it writes state, and its manifest says that it keeps none"));
        }
        if state.len() > limits.state_bytes {
            return Err(bad(format!(
                "its state has {} bytes, the limit is {}",
                state.len(),
                limits.state_bytes
            )));
        }
    }
    Ok(Answer { outcomes, state })
}

fn bad(what: impl Into<String>) -> CallErrorKind {
    CallErrorKind::BadOutput(what.into())
}

fn at(place: String, error: CallErrorKind) -> CallErrorKind {
    match error {
        CallErrorKind::BadOutput(what) => bad(format!("{place}: {what}")),
        other => other,
    }
}

fn same_length(what: &str, count: usize, turns: usize) -> Result<()> {
    if count == turns {
        return Ok(());
    }
    Err(bad(format!("{count} {what} for {turns} turns")))
}

/// The texts of an answer, and how many bytes of them it may still use: one text may be referred to many times.
struct Texts<'a> {
    all: &'a str,
    offsets: &'a [u32],
    left: usize,
    limits: &'a Limits,
}

impl<'a> Texts<'a> {
    fn new(column: &'a wit::TextColumnResult, limits: &'a Limits) -> Result<Self> {
        let all = std::str::from_utf8(&column.bytes).map_err(|_| bad("its texts are not UTF-8"))?;
        let offsets = column.offsets.as_slice();
        let ends_fit =
            offsets.first() == Some(&0) && offsets.last().is_some_and(|end| *end as usize == all.len());
        if !ends_fit || !offsets.is_sorted() {
            return Err(bad("the offsets of its texts do not rise from 0 to their end"));
        }
        Ok(Self { all, offsets, left: limits.output_bytes, limits })
    }

    fn str(&mut self, text: wit::TextRef) -> Result<&'a str> {
        let index = text as usize;
        let (Some(start), Some(end)) = (self.offsets.get(index), self.offsets.get(index.saturating_add(1)))
        else {
            let count = self.offsets.len().saturating_sub(1);
            return Err(bad(format!("it refers to text {index} of {count}")));
        };
        let text = self
            .all
            .get(*start as usize..*end as usize)
            .ok_or_else(|| bad(format!("text {index} begins or ends within a character")))?;
        if text.len() > self.limits.text_bytes {
            return Err(bad(format!(
                "text {index} has {} bytes, the limit is {}",
                text.len(),
                self.limits.text_bytes
            )));
        }
        self.spend(text.len())?;
        Ok(text)
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            bad(format!("its texts have more than {} bytes in all", self.limits.output_bytes))
        })?;
        Ok(())
    }

    fn get(&mut self, text: wit::TextRef) -> Result<String> {
        self.str(text).map(str::to_owned)
    }

    fn named(&mut self, what: &str, text: wit::TextRef) -> Result<String> {
        let text = self.get(text)?;
        if text.is_empty() { Err(bad(format!("the name of a {what} is empty"))) } else { Ok(text) }
    }

    fn optional(&mut self, what: &str, text: Option<wit::TextRef>) -> Result<Option<String>> {
        text.map(|text| self.named(what, text)).transpose()
    }
}

struct Lift<'a> {
    texts: Texts<'a>,
    manifest: &'a Manifest,
}

impl Lift<'_> {
    fn directive(&self, directive: wit::Directive, reason: &str) -> Result<Directive> {
        let fail = |kind, retry_at| Directive::Fail(Failure { kind, message: reason.to_owned(), retry_at });
        Ok(match directive {
            wit::Directive::Proceed => Directive::Continue,
            wit::Directive::Output(index) => {
                let outputs = &self.manifest.outputs;
                let output = outputs
                    .get(index as usize)
                    .ok_or_else(|| bad(format!("it takes output {index} of {}", outputs.len())))?;
                Directive::Output(output.name.clone())
            }
            wit::Directive::WaitUntil(_) if !self.manifest.may_wait => {
                return Err(bad("it waits, and its manifest says that it never does"));
            }
            wit::Directive::WaitUntil(ms) => Directive::WaitUntil(instant(ms)?),
            wit::Directive::Exit => Directive::Exit,
            wit::Directive::FailTransient(retry) => {
                fail(FailureKind::Transient, retry.map(instant).transpose()?)
            }
            wit::Directive::FailPermanent => fail(FailureKind::Permanent, None),
        })
    }

    fn effect(&mut self, effect: wit::Effect) -> Result<Effect> {
        let texts = &mut self.texts;
        let effect = match effect {
            wit::Effect::SetField(change) => {
                let field = texts.named("field", change.field)?;
                if RESERVED_FIELDS.contains(&field.as_str()) {
                    return Err(bad(format!("`{field}` is no attribute and cannot be set")));
                }
                let json = texts.str(change.value)?;
                if json.len() > FIELD_BYTES {
                    return Err(bad(format!("the value for `{field}` is larger than {FIELD_BYTES} bytes")));
                }
                let value = serde_json::from_str(json)
                    .map_err(|error| bad(format!("the value for `{field}` is not JSON: {error}")))?;
                Effect::SetField { field, value }
            }
            wit::Effect::AddTag(tag) => Effect::AddTag(texts.named("tag", tag)?),
            wit::Effect::RemoveTag(tag) => Effect::RemoveTag(texts.named("tag", tag)?),
            wit::Effect::AddScore(change) => {
                let score = texts.named("score", change.score)?;
                if let (Some(min), Some(max)) = (change.min, change.max)
                    && min > max
                {
                    return Err(bad(format!("the score `{score}` is to lie between {min} and {max}")));
                }
                if let Some(at_most) = change.at_most.filter(|at_most| *at_most < 1) {
                    return Err(bad(format!("at most {at_most} points of the score `{score}` are to count")));
                }
                Effect::AddScore {
                    score,
                    points: change.points,
                    because: texts.get(change.because)?,
                    min: change.min,
                    max: change.max,
                    at_most: change.at_most,
                }
            }
            wit::Effect::ClearScore(score) => Effect::ClearScore(texts.named("score", score)?),
            wit::Effect::JoinSegment(segment) => Effect::JoinSegment(texts.named("segment", segment)?),
            wit::Effect::LeaveSegment(segment) => Effect::LeaveSegment(texts.named("segment", segment)?),
            wit::Effect::SendEmail(email) => Effect::SendEmail(EmailRequest {
                template: texts.named("template", email.template)?,
                subject: texts.get(email.subject)?,
                topic: texts.optional("topic", email.topic)?,
                transactional: email.transactional,
            }),
            wit::Effect::AssignOwner(assignment) => Effect::AssignOwner {
                rep: texts.named("representative", assignment.representative)?,
                team: texts.optional("team", assignment.team)?,
                because: texts.get(assignment.because)?,
            },
        };
        let kind = effect.kind();
        if self.manifest.effects.iter().any(|request| request.kind == kind) {
            Ok(effect)
        } else {
            Err(CallErrorKind::Denied(kind))
        }
    }
}

fn instant(ms: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(ms).map_err(|_| bad(format!("{ms} milliseconds since 1970 is no instant")))
}

#[cfg(test)]
mod tests {
    use dripline_model::{
        effect::EffectKind,
        manifest::{EffectRequest, NamedOutput},
    };
    use serde_json::json;

    use super::*;

    fn manifest() -> Manifest {
        let kinds = [EffectKind::SetField, EffectKind::Tag, EffectKind::Score, EffectKind::Assign];
        Manifest {
            name: "test".into(),
            version: "0.1.0".into(),
            summary: "Tests.".into(),
            config_schema: json!({}),
            outputs: vec![NamedOutput { name: "member".into(), summary: String::new() }],
            reads: Vec::new(),
            effects: kinds.into_iter().map(|kind| EffectRequest { kind, why: String::new() }).collect(),
            state: StateScope::Step,
            may_wait: true,
        }
    }

    fn texts(all: &[&str]) -> wit::TextColumnResult {
        let mut offsets = vec![0];
        offsets.extend(all.iter().scan(0, |end, text| {
            *end += text.len() as u32;
            Some(*end)
        }));
        wit::TextColumnResult { bytes: all.concat().into_bytes(), offsets }
    }

    /// An answer to one turn, with the texts `["", "a", "id", "{", "7"]`.
    fn one() -> wit::Outcomes {
        wit::Outcomes {
            strings: texts(&["", "a", "id", "{", "7"]),
            directives: vec![wit::Directive::Proceed],
            reasons: vec![1],
            effects: Vec::new(),
            wanted: wit::TurnEffects { turns: Vec::new(), effects: Vec::new() },
            state: None,
        }
    }

    fn with_effect(effect: wit::Effect) -> wit::Outcomes {
        let wanted = wit::TurnEffects { turns: vec![0], effects: vec![0] };
        wit::Outcomes { effects: vec![effect], wanted, ..one() }
    }

    fn refused(outcomes: wit::Outcomes) -> String {
        answer(outcomes, 1, &manifest(), &Limits::default()).unwrap_err().to_string()
    }

    #[test]
    fn a_good_answer_comes_out_as_it_went_in() {
        let effects = [
            wit::Effect::SetField(wit::FieldChange { field: 1, value: 4 }),
            wit::Effect::AddScore(wit::ScoreChange {
                score: 1,
                points: -3,
                because: 0,
                min: Some(0),
                max: None,
                at_most: Some(20),
            }),
            wit::Effect::AssignOwner(wit::Assignment { representative: 1, team: Some(2), because: 0 }),
        ];
        let outcomes = wit::Outcomes {
            directives: vec![wit::Directive::Output(0)],
            effects: effects.into(),
            wanted: wit::TurnEffects { turns: vec![0; 3], effects: vec![0, 1, 2] },
            state: Some(vec![7]),
            ..one()
        };
        let answer = answer(outcomes, 1, &manifest(), &Limits::default()).unwrap();
        insta::assert_debug_snapshot!(answer, @r#"
        Answer {
            outcomes: [
                Outcome {
                    directive: Output(
                        "member",
                    ),
                    effects: [
                        SetField {
                            field: "a",
                            value: Number(7),
                        },
                        AddScore {
                            score: "a",
                            points: -3,
                            because: "",
                            min: Some(
                                0,
                            ),
                            max: None,
                            at_most: Some(
                                20,
                            ),
                        },
                        AssignOwner {
                            rep: "a",
                            team: Some(
                                "id",
                            ),
                            because: "",
                        },
                    ],
                    reason: "a",
                },
            ],
            state: Some(
                [
                    7,
                ],
            ),
        }
        "#);
    }

    #[test]
    fn what_does_not_fit_the_batch_or_the_manifest_is_refused() {
        let directive = |directive| wit::Outcomes { directives: vec![directive], ..one() };
        let strings = |bytes: &[u8], offsets: &[u32]| wit::Outcomes {
            strings: wit::TextColumnResult { bytes: bytes.into(), offsets: offsets.into() },
            ..one()
        };
        let wanted = |turns: &[u32], effects: &[u32]| wit::Outcomes {
            wanted: wit::TurnEffects { turns: turns.into(), effects: effects.into() },
            ..with_effect(wit::Effect::AddTag(1))
        };
        let refusals = [
            wit::Outcomes { directives: Vec::new(), ..one() },
            wit::Outcomes { reasons: vec![1, 1], ..one() },
            wit::Outcomes { reasons: vec![5], ..one() },
            wit::Outcomes { reasons: vec![u32::MAX], ..one() },
            strings(b"a\xff", &[0, 1, 2]),
            strings("ä".as_bytes(), &[0, 1, 2]),
            strings(b"ab", &[0, 2, 1, 2]),
            strings(b"ab", &[0, 3]),
            strings(b"ab", &[1, 2]),
            strings(b"", &[]),
            directive(wit::Directive::Output(1)),
            directive(wit::Directive::WaitUntil(i64::MAX)),
            directive(wit::Directive::FailTransient(Some(i64::MIN))),
            wanted(&[1], &[0]),
            wanted(&[0], &[1]),
            wanted(&[0, 0], &[0]),
            wanted(&[0; 65], &[0; 65]),
            wit::Outcomes { state: Some(vec![0; (1 << 20) + 1]), ..one() },
            with_effect(wit::Effect::SetField(wit::FieldChange { field: 0, value: 4 })),
            with_effect(wit::Effect::SetField(wit::FieldChange { field: 2, value: 4 })),
            with_effect(wit::Effect::SetField(wit::FieldChange { field: 1, value: 3 })),
            with_effect(wit::Effect::AddTag(0)),
            with_effect(wit::Effect::AddScore(wit::ScoreChange {
                score: 1,
                points: 1,
                because: 1,
                min: Some(2),
                max: Some(1),
                at_most: None,
            })),
            with_effect(wit::Effect::AddScore(wit::ScoreChange {
                score: 1,
                points: 1,
                because: 1,
                min: None,
                max: None,
                at_most: Some(0),
            })),
            with_effect(wit::Effect::JoinSegment(1)),
        ]
        .map(refused);
        insta::assert_snapshot!(refusals.join("\n"), @"
        its answer does not fit: 0 directives for 1 turns
        its answer does not fit: 2 reasons for 1 turns
        its answer does not fit: it refers to text 5 of 5
        its answer does not fit: it refers to text 4294967295 of 5
        its answer does not fit: its texts are not UTF-8
        its answer does not fit: text 1 begins or ends within a character
        its answer does not fit: the offsets of its texts do not rise from 0 to their end
        its answer does not fit: the offsets of its texts do not rise from 0 to their end
        its answer does not fit: the offsets of its texts do not rise from 0 to their end
        its answer does not fit: the offsets of its texts do not rise from 0 to their end
        its answer does not fit: turn 0: it takes output 1 of 1
        its answer does not fit: turn 0: 9223372036854775807 milliseconds since 1970 is no instant
        its answer does not fit: turn 0: -9223372036854775808 milliseconds since 1970 is no instant
        its answer does not fit: an effect is for turn 1 of a batch of 1
        its answer does not fit: turn 0 wants effect 1 of 1
        its answer does not fit: 1 effects are wanted by 2 turns
        its answer does not fit: turn 0 has more than 64 effects
        its answer does not fit: its state has 1048577 bytes, the limit is 1048576
        its answer does not fit: effect 0: the name of a field is empty
        its answer does not fit: effect 0: `id` is no attribute and cannot be set
        its answer does not fit: effect 0: the value for `a` is not JSON: EOF while parsing an object at line 1 column 1
        its answer does not fit: effect 0: the name of a tag is empty
        its answer does not fit: effect 0: the score `a` is to lie between 2 and 1
        its answer does not fit: effect 0: at most 0 points of the score `a` are to count
        it emitted the effect `segment`, for which its manifest does not ask
        ");
    }

    #[test]
    fn waiting_and_state_have_to_be_announced() {
        let silent = Manifest { may_wait: false, state: StateScope::None, ..manifest() };
        let waits = wit::Outcomes { directives: vec![wit::Directive::WaitUntil(0)], ..one() };
        let writes = wit::Outcomes { state: Some(Vec::new()), ..one() };
        for outcomes in [waits, writes] {
            let error = answer(outcomes, 1, &silent, &Limits::default()).unwrap_err();
            assert!(matches!(error, CallErrorKind::BadOutput(_)), "{error}");
        }
    }

    #[test]
    fn a_text_that_is_used_a_thousand_times_counts_a_thousand_times() {
        let long = "x".repeat(1_000);
        let reasons = wit::Outcomes {
            strings: texts(&[&long]),
            directives: vec![wit::Directive::Proceed; 1_000],
            reasons: vec![0; 1_000],
            ..one()
        };
        let effects = wit::Outcomes {
            strings: texts(&["", &long]),
            reasons: vec![0; 1_000],
            effects: vec![wit::Effect::AddTag(1)],
            wanted: wit::TurnEffects { turns: (0..1_000).collect(), effects: vec![0; 1_000] },
            ..reasons.clone()
        };
        for outcomes in [reasons, effects] {
            let answer = |limits| answer(outcomes.clone(), 1_000, &manifest(), &limits);
            let limits = Limits { output_bytes: 1_000_000, ..Limits::default() };
            answer(limits).unwrap();
            answer(Limits { output_bytes: 999_999, ..limits }).unwrap_err();
            answer(Limits { text_bytes: 999, ..limits }).unwrap_err();
        }
    }
}
