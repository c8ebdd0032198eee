use dripline_sdk::{
    TeamMember,
    testing::{Bench, manifest},
};
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    Assign,
    round_robin::{Position, Rotation},
};

fn team(members: Value) -> Bench<Assign> {
    Bench::new(json!({"team": {"key": "enterprise", "name": "Enterprise", "members": members}}))
}

fn ada_and_bob() -> Bench<Assign> {
    team(json!([{"rep": "rep_1", "name": "Ada", "weight": 2}, {"rep": "rep_2", "name": "Bob", "weight": 1}]))
}

fn members(weights: &[u32]) -> Vec<TeamMember> {
    let member = |(index, weight): (usize, &u32)| TeamMember {
        rep: format!("rep_{index}"),
        name: String::new(),
        weight: *weight,
    };
    weights.iter().enumerate().map(member).collect()
}

fn turns(rotation: &mut Rotation<'_>, count: usize) -> Vec<String> {
    (0..count).map_while(|_| rotation.next()).map(|member| member.rep.clone()).collect()
}

#[test]
fn shares_are_spread_evenly_and_the_next_batch_goes_on() {
    let first = ada_and_bob().turns(2).run().unwrap();
    assert_snapshot!(first, @r"
    0 proceeds: Ada, 2 of 3 shares of enterprise
      assigns to rep_1 of enterprise (Ada, 2 of 3 shares of enterprise)
    1 proceeds: Bob, 1 of 3 shares of enterprise
      assigns to rep_2 of enterprise (Bob, 1 of 3 shares of enterprise)
    ");
    let state = first.state().unwrap();
    assert_snapshot!(String::from_utf8_lossy(state), @r#"{"version":1,"credit":{"rep_1":1,"rep_2":-1}}"#);
    assert_snapshot!(ada_and_bob().state(state).turns(2).run().unwrap(), @r"
    0 proceeds: Ada, 2 of 3 shares of enterprise
      assigns to rep_1 of enterprise (Ada, 2 of 3 shares of enterprise)
    1 proceeds: Ada, 2 of 3 shares of enterprise
      assigns to rep_1 of enterprise (Ada, 2 of 3 shares of enterprise)
    ");
}

#[test]
fn an_owner_is_kept_unless_told_otherwise() {
    let owners = [Some("rep_9"), None];
    assert_snapshot!(ada_and_bob().column("contact.owner", owners).run().unwrap(), @r"
    0 proceeds: stays with rep_9
    1 proceeds: Ada, 2 of 3 shares of enterprise
      assigns to rep_1 of enterprise (Ada, 2 of 3 shares of enterprise)
    ");
    let bench = Bench::<Assign>::new(json!({
        "team": {"key": "smb", "name": "SMB", "members": [{"rep": "rep_1", "name": "Ada", "weight": 1}]},
        "by": "round_robin",
        "keep_owner": false,
    }));
    assert_snapshot!(bench.column("contact.owner", owners).run().unwrap(), @r"
    0 proceeds: Ada, 1 of 1 shares of smb
      assigns to rep_1 of smb (Ada, 1 of 1 shares of smb)
    1 proceeds: Ada, 1 of 1 shares of smb
      assigns to rep_1 of smb (Ada, 1 of 1 shares of smb)
    ");
}

#[test]
fn a_team_without_anybody_to_receive_says_so() {
    let nobody = team(json!([])).turns(1).run().unwrap();
    assert_snapshot!(nobody, @"0 fails: the team enterprise has no members; add some in teams.yaml");
    assert_eq!(nobody.state(), None);
    assert_snapshot!(team(json!([{"rep": "rep_1", "name": "Ada", "weight": 0}])).turns(1).run().unwrap(), @"0 fails: every member of the team enterprise has the weight 0, so nobody can receive the contact; see teams.yaml");
}

#[test]
fn nginx_gives_this_order() {
    let members = members(&[5, 1, 1]);
    let order = turns(&mut Rotation::resume(None, &members), 7);
    assert_eq!(order, ["rep_0", "rep_0", "rep_1", "rep_0", "rep_2", "rep_0", "rep_0"]);
}

#[test]
fn who_left_is_forgotten_and_who_is_new_waits_no_longer_than_others() {
    let before = members(&[3, 1, 2]);
    let mut rotation = Rotation::resume(None, &before);
    turns(&mut rotation, 4);
    let position = rotation.position();
    let after: Vec<TeamMember> = members(&[3, 1, 2, 2]).split_off(1);
    let mut rotation = Rotation::resume(Some(position), &after);
    let order = turns(&mut rotation, 5);
    for (member, share) in [("rep_1", 1), ("rep_2", 2), ("rep_3", 2)] {
        let got = order.iter().filter(|rep| *rep == member).count();
        assert!(got.abs_diff(share) <= 1, "{order:?}");
    }
    assert!(!serde_json::to_string(&rotation.position()).unwrap().contains("rep_0"));
}

#[test]
fn yesterdays_state_is_read_and_an_unknown_one_starts_anew() {
    let yesterday = r#"{"version":1,"credit":{"rep_1":-1,"rep_2":1}}"#;
    assert!(ada_and_bob().state(yesterday).turns(1).run().unwrap().to_string().contains("Bob"));
    for unknown in ["", "7", r#"{"version":2,"credit":{"rep_1":-1,"rep_2":1}}"#] {
        assert!(ada_and_bob().state(unknown).turns(1).run().unwrap().to_string().contains("Ada"));
    }
}

proptest! {
    #[test]
    fn a_full_round_gives_everybody_exactly_their_weight(
        weights in prop::collection::vec(0_u32..9, 1..12),
        batch in 1_usize..10,
    ) {
        let members = members(&weights);
        let shares: u32 = weights.iter().sum();
        let mut position: Option<Position> = None;
        let mut order = Vec::new();
        while order.len() < 2 * shares as usize {
            // Where batches begin and end makes no difference.
            let mut rotation = Rotation::resume(position.take(), &members);
            order.extend(turns(&mut rotation, batch));
            position = Some(rotation.position());
        }
        for round in order.chunks_exact((shares as usize).max(1)) {
            for (member, weight) in members.iter().zip(&weights) {
                prop_assert_eq!(round.iter().filter(|rep| **rep == member.rep).count(), *weight as usize);
            }
        }
    }

    #[test]
    fn shares_converge_from_whatever_position(
        weights in prop::collection::vec(1_u32..9, 1..8),
        credit in prop::collection::vec(-1_000_i64..1_000, 8),
    ) {
        let members = members(&weights);
        let credit: serde_json::Map<String, Value> =
            credit.iter().enumerate().map(|(index, credit)| (format!("rep_{index}"), json!(credit))).collect();
        let position = serde_json::from_value(json!({"version": 1, "credit": credit})).unwrap();
        let shares: usize = weights.iter().sum::<u32>() as usize;
        let order = turns(&mut Rotation::resume(Some(position), &members), 50 * shares);
        for (member, weight) in members.iter().zip(&weights) {
            let got = order.iter().filter(|rep| **rep == member.rep).count();
            prop_assert!(got.abs_diff(50 * *weight as usize) <= 2 * shares, "{} of {}", got, 50 * weight);
        }
    }
}

#[test]
fn the_manifest_changes_only_on_purpose() {
    assert_snapshot!(manifest::<Assign>(), @r#"
    {
      "name": "assign",
      "summary": "Gives the contact to a representative of a team, in turn and by weight.",
      "outputs": [],
      "reads": [
        "contact.owner as ColumnType::Text: leaves a contact with the owner that it has"
      ],
      "effects": [
        "EffectKind::Assign: makes a representative of the team the owner"
      ],
      "state": "StateScope::Field(\"team\")",
      "may_wait": false,
      "config": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "team": {
            "type": "string",
            "x-dripline": {
              "kind": "team"
            },
            "description": "The team, as in `teams.yaml`. Members receive contacts in proportion to their weights; all steps that assign to\nthe same team take turns together."
          },
          "by": {
            "oneOf": [
              {
                "type": "string",
                "const": "round_robin",
                "description": "In turn, spread as evenly as the weights allow."
              }
            ],
            "description": "How the representative is chosen.",
            "default": "round_robin"
          },
          "keep_owner": {
            "type": "boolean",
            "description": "Whether a contact that has an owner already stays with that owner, of whichever team.",
            "default": true
          }
        },
        "required": [
          "team"
        ],
        "description": "Gives the contact to a representative of a team.",
        "title": "Assign",
        "$schema": "https://json-schema.org/draft/2020-12/schema"
      }
    }
    "#);
}
