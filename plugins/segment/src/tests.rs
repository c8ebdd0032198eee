use dripline_sdk::testing::{Bench, manifest};
use insta::assert_snapshot;
use serde_json::json;

use crate::Segment;

#[test]
fn contacts_join_and_leave() {
    assert_snapshot!(Bench::<Segment>::new(json!({"join": "hot-leads"})).turns(2).run().unwrap(), @r"
    0 proceeds: joined hot-leads
      joins hot-leads
    1 proceeds: joined hot-leads
      joins hot-leads
    ");
    assert_snapshot!(Bench::<Segment>::new(json!({"leave": "hot-leads"})).turns(1).run().unwrap(), @r"
    0 proceeds: left hot-leads
      leaves hot-leads
    ");
}

#[test]
fn a_check_leads_along_its_outputs() {
    let bench = Bench::<Segment>::new(json!({"check": "hot-leads"}));
    assert_snapshot!(bench.column("/check", [Some(true), Some(false), None]).run().unwrap(), @r"
    0 takes output 0: a member of the segment
    1 takes output 1: not a member of the segment
    2 takes output 1: not a member of the segment
    ");
}

#[test]
fn exactly_one_thing_is_done() {
    let check = |config| Bench::<Segment>::new(config).check();
    assert_snapshot!(check(json!({})), @": nothing to do; write one of `join`, `leave` and `check`");
    assert_snapshot!(check(json!({"join": "a", "check": "b"})), @": more than one of `join`, `leave` and `check` is given; make a step of each");
    assert_snapshot!(check(json!({"leave": "a"})), @"");
}

#[test]
fn the_manifest_changes_only_on_purpose() {
    assert_snapshot!(manifest::<Segment>(), @r#"
    {
      "name": "segment",
      "summary": "Joins or leaves a segment, or asks whether the contact is a member.",
      "outputs": [
        "member: the contact is a member of the segment asked about",
        "not_member: the contact is not a member of the segment asked about"
      ],
      "reads": [],
      "effects": [
        "EffectKind::Segment: joins and leaves the segments that the workflow names"
      ],
      "state": "StateScope::None",
      "may_wait": false,
      "config": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "join": {
            "type": "string",
            "x-dripline": {
              "kind": "segment"
            },
            "description": "The static segment that the contact joins."
          },
          "leave": {
            "type": "string",
            "x-dripline": {
              "kind": "segment"
            },
            "description": "The static segment that the contact leaves."
          },
          "check": {
            "type": "string",
            "x-dripline": {
              "kind": "member"
            },
            "description": "The segment, static or dynamic, about which to ask. Lead on from the answers by `paths`."
          }
        },
        "description": "Makes the contact a member of a segment, ends its membership, or asks about it. One of the three.",
        "title": "Segment",
        "$schema": "https://json-schema.org/draft/2020-12/schema"
      }
    }
    "#);
}
