use dripline_sdk::testing::{Bench, manifest};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::Score;

fn rules(max: Value) -> Bench<Score> {
    Bench::new(json!({
        "name": "fit",
        "rules": [
            {"if": "contact.title.contains('VP')", "add": 20, "because": "senior title"},
            {"if": "contact.employees >= 200", "add": 15, "because": "company size"},
            {"if": "contact.country == 'XX'", "add": -50},
        ],
        "max": max,
    }))
    .column("/rules/0/if", [Some(true), Some(true), None, Some(false)])
    .column("/rules/1/if", [Some(true), Some(false), Some(true), None])
    .column("/rules/2/if", [Some(false), Some(true), None, None])
}

#[test]
fn every_rule_that_holds_gives_its_points_and_its_reason() {
    assert_snapshot!(rules(Value::Null).run().unwrap(), @r"
    0 proceeds: fit 35: senior title +20, company size +15
      clears fit
      scores fit +20 (senior title)
      scores fit +15 (company size)
    1 proceeds: fit -30: senior title +20, rule 3 -50
      clears fit
      scores fit +20 (senior title)
      scores fit -50 (rule 3)
    2 proceeds: fit 15: company size +15
      clears fit
      scores fit +15 (company size)
    3 proceeds: fit 0: no rule holds
      clears fit
    ");
}

#[test]
fn a_bound_goes_with_every_change_and_holds_the_total() {
    assert_snapshot!(rules(json!(30)).run().unwrap(), @r"
    0 proceeds: fit 30: senior title +20, company size +15, held at its maximum
      clears fit
      scores fit +20, at most 30 (senior title)
      scores fit +15, at most 30 (company size)
    1 proceeds: fit -30: senior title +20, rule 3 -50
      clears fit
      scores fit +20, at most 30 (senior title)
      scores fit -50, at most 30 (rule 3)
    2 proceeds: fit 15: company size +15
      clears fit
      scores fit +15, at most 30 (company size)
    3 proceeds: fit 0: no rule holds
      clears fit
    ");
}

#[test]
fn points_may_be_added_each_time() {
    let bench =
        Bench::<Score>::new(json!({"name": "intent", "add": 10, "because": "clicked the mail", "min": 0}));
    assert_snapshot!(bench.turns(2).run().unwrap(), @r"
    0 proceeds: intent +10: clicked the mail
      scores intent +10, at least 0 (clicked the mail)
    1 proceeds: intent +10: clicked the mail
      scores intent +10, at least 0 (clicked the mail)
    ");
    let bench = Bench::<Score>::new(json!({"name": "intent", "add": -5}));
    assert_snapshot!(bench.turns(1).run().unwrap(), @r"
    0 proceeds: intent -5
      scores intent -5 (came by this step)
    ");
}

#[test]
fn what_the_schema_cannot_say_is_checked() {
    let check = |config| Bench::<Score>::new(config).check();
    assert_snapshot!(check(json!({"name": "fit"})), @": neither `rules` nor `add` is given; write one of the two");
    assert_snapshot!(check(json!({"name": "fit", "add": 1, "rules": [{"if": "true", "add": 1}]})), @"/add: both `rules` and `add` are given; write only one of the two");
    assert_snapshot!(check(json!({"name": "fit", "because": "x", "rules": [{"if": "true", "add": 1}]})), @"/because: `because` goes with `add`; write a `because` in each rule instead");
    assert_snapshot!(check(json!({"name": "fit", "add": 1, "min": 5, "max": 4})), @"/min: `min` 5 is above `max` 4");
    assert_snapshot!(check(json!({"name": "fit", "add": 1, "points": 4})), @": unknown field `points`, expected one of `name`, `rules`, `add`, `because`, `at_most`, `min`, `max` at line 1 column 30");
    assert_snapshot!(check(json!({"name": "fit", "rules": [{"if": "true", "add": 1}], "min": 0, "max": 0})), @"");
}

#[test]
fn the_sum_of_huge_points_does_not_overflow() {
    let bench = Bench::<Score>::new(json!({
        "name": "fit",
        "rules": [{"if": "true", "add": i64::MAX}, {"if": "true", "add": i64::MAX}],
    }));
    let answer = bench.column("/rules/0/if", [Some(true)]).column("/rules/1/if", [Some(true)]).run().unwrap();
    assert!(answer.to_string().starts_with("0 proceeds: fit 9223372036854775807: "));
}

#[test]
fn the_manifest_changes_only_on_purpose() {
    assert_snapshot!(manifest::<Score>(), @r#"
    {
      "name": "score",
      "summary": "Gives points to a contact's score by rules, or a fixed number each time.",
      "outputs": [],
      "reads": [],
      "effects": [
        "EffectKind::Score: gives the points of the rules that hold"
      ],
      "state": "StateScope::None",
      "may_wait": false,
      "config": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "name": {
            "type": "string",
            "description": "The score's name; expressions read it as `contact.scores.NAME`.",
            "minLength": 1,
            "x-dripline": {
              "kind": "score"
            }
          },
          "rules": {
            "type": "array",
            "items": {
              "description": "Points for contacts that meet a condition.",
              "type": "object",
              "properties": {
                "if": {
                  "description": "Who gets the points. A contact for which this cannot be told does not.",
                  "type": "string",
                  "x-dripline": {
                    "kind": "cel",
                    "result": "boolean"
                  }
                },
                "add": {
                  "description": "How many points; negative takes away.",
                  "type": "integer",
                  "format": "int64"
                },
                "because": {
                  "description": "Why, in words that a sales representative understands.",
                  "type": "string"
                }
              },
              "additionalProperties": false,
              "required": [
                "if",
                "add"
              ]
            },
            "description": "Each rule that holds gives its points. The points that this step gave before are forgotten first, so that a\ncontact which comes by again is not counted twice.",
            "minItems": 1,
            "maxItems": 60
          },
          "add": {
            "type": "integer",
            "format": "int64",
            "description": "Points to add each time a contact comes by; negative takes away."
          },
          "because": {
            "type": "string",
            "description": "Why the points are added, in words that a sales representative understands. Goes with `add`."
          },
          "at_most": {
            "type": "integer",
            "format": "int64",
            "description": "How many of the points that this step gave may count at a time. Goes with `add`.",
            "minimum": 1
          },
          "min": {
            "type": "integer",
            "format": "int64",
            "description": "The lowest value that the score may take."
          },
          "max": {
            "type": "integer",
            "format": "int64",
            "description": "The highest value that the score may take."
          }
        },
        "required": [
          "name"
        ],
        "description": "Gives points to a contact's score: either by rules, worked out anew each time, or a fixed number each time.",
        "title": "Score",
        "$schema": "https://json-schema.org/draft/2020-12/schema"
      }
    }
    "#);
}
