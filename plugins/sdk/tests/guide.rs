//! The plugin that `docs/plugins.md` builds up, and that the guide shows it as it is here.

use dripline_sdk::{Batch, Condition, EffectKind, Manifest, Outcomes, Problem, Step};
use schemars::JsonSchema;
use serde::Deserialize;

/// Puts a label on the contacts that meet a condition.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The label, which becomes a tag of the contact.
    text: String,
    /// Who gets it. A contact for which this cannot be told does not.
    when: Condition,
}

impl Step for Label {
    const NAME: &'static str = "label";
    const SUMMARY: &'static str = "Puts a label on contacts.";

    fn describe(manifest: Manifest) -> Manifest {
        manifest.effect(EffectKind::Tag, "puts the label on the contact")
    }

    fn check(&self) -> Vec<Problem> {
        if self.text.contains(' ') {
            return vec![Problem::at("/text", "a label is one word").help("join the words with `-`")];
        }
        Vec::new()
    }

    fn run(&self, batch: &Batch, out: &mut Outcomes) -> Result<(), String> {
        for turn in batch.turns() {
            if self.when.holds(turn) {
                out.add_tag(turn, &self.text);
                out.proceed(turn, format_args!("labelled {}", self.text));
            } else {
                out.proceed(turn, "not labelled: the condition does not hold");
            }
        }
        Ok(())
    }
}

dripline_sdk::export!(Label);

mod tests {
    use dripline_sdk::testing::Bench;
    use serde_json::json;

    use super::Label;

    #[test]
    fn only_contacts_that_meet_the_condition_are_labelled() {
        let answer = Bench::<Label>::new(json!({"text": "big-fish", "when": "contact.employees >= 500"}))
            .column("/when", [Some(true), Some(false), None])
            .run()
            .unwrap();
        insta::assert_snapshot!(answer, @r"
        0 proceeds: labelled big-fish
          adds the tag big-fish
        1 proceeds: not labelled: the condition does not hold
        2 proceeds: not labelled: the condition does not hold
        ");
    }
}

#[test]
fn the_guide_shows_this_plugin() {
    let (guide, here) = (include_str!("../../../docs/plugins.md"), include_str!("guide.rs"));
    let blocks: Vec<&str> =
        guide.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        assert!(here.contains(block), "the guide shows this, which is not in this file:\n{block}");
    }
}

#[test]
fn what_the_plugin_finds_wrong_is_told_with_its_place() {
    let check = |text| {
        dripline_sdk::testing::Bench::<Label>::new(serde_json::json!({"text": text, "when": "true"})).check()
    };
    assert_eq!(check("big fish"), "/text: a label is one word; join the words with `-`\n");
    assert_eq!(check("big-fish"), "");
}

#[test]
fn an_answer_with_gaps_is_an_error() {
    struct Lazy;
    impl<'de> Deserialize<'de> for Lazy {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
        }
    }
    impl JsonSchema for Lazy {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Lazy".into()
        }
        fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
            schemars::json_schema!({"type": "object"})
        }
    }
    impl Step for Lazy {
        const NAME: &'static str = "lazy";
        const SUMMARY: &'static str = "Decides on the first turn only.";
        fn run(&self, batch: &Batch, out: &mut Outcomes) -> Result<(), String> {
            batch.turns().take(1).for_each(|turn| out.proceed(turn, "done"));
            Ok(())
        }
    }
    let error = dripline_sdk::testing::Bench::<Lazy>::new(serde_json::json!({})).turns(2).run().unwrap_err();
    assert_eq!(error, "the plugin decided nothing about turn 1 of the batch");
}
