//! The assign step: gives contacts to the representatives of a team, each by their share.

mod round_robin;
#[cfg(test)]
mod tests;

use dripline_sdk::{Batch, ColumnType, EffectKind, Manifest, Outcomes, StateScope, Step, Team, Text};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::round_robin::Rotation;

/// Gives the contact to a representative of a team.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    /// The team, as in `teams.yaml`. Members receive contacts in proportion to their weights; all steps that assign to
    /// the same team take turns together.
    team: Team,
    /// How the representative is chosen.
    #[serde(default)]
    #[schemars(default)]
    by: By,
    /// Whether a contact that has an owner already stays with that owner, of whichever team.
    #[serde(default = "yes")]
    keep_owner: bool,
}

/// How a representative is chosen.
#[derive(Debug, Clone, Copy, Default, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    /// In turn, spread as evenly as the weights allow.
    #[default]
    RoundRobin,
}

fn yes() -> bool {
    true
}

const OWNER: &str = "contact.owner";

impl Step for Assign {
    const NAME: &'static str = "assign";
    const SUMMARY: &'static str = "Gives the contact to a representative of a team, in turn and by weight.";

    fn describe(manifest: Manifest) -> Manifest {
        manifest
            .read(OWNER, ColumnType::Text, "leaves a contact with the owner that it has")
            .effect(EffectKind::Assign, "makes a representative of the team the owner")
            .state(StateScope::Field("team".to_owned()))
    }

    fn run(&self, batch: &Batch, out: &mut Outcomes) -> Result<(), String> {
        let By::RoundRobin = self.by;
        let owners: Text = batch.field(OWNER);
        let mut rotation = Rotation::resume(batch.state_json(), &self.team.members);
        let mut assigned = false;
        for turn in batch.turns() {
            if let Some(owner) = owners.of(turn).filter(|_| self.keep_owner) {
                out.proceed(turn, format_args!("stays with {owner}"));
                continue;
            }
            let Some(member) = rotation.next() else {
                out.fail_permanent(turn, format_args!("{}", self.nobody()));
                continue;
            };
            assigned = true;
            let team = &self.team.key;
            let reason = out.text(format_args!(
                "{}, {} of {} shares of {team}",
                member.name,
                member.weight,
                rotation.shares()
            ));
            out.assign_owner(turn, &member.rep, Some(team), reason);
            out.proceed(turn, reason);
        }
        if assigned {
            out.set_state_json(&rotation.position())?;
        }
        Ok(())
    }
}

impl Assign {
    fn nobody(&self) -> String {
        let team = &self.team.key;
        if self.team.members.is_empty() {
            format!("the team {team} has no members; add some in teams.yaml")
        } else {
            format!(
                "every member of the team {team} has the weight 0, so nobody can receive the contact; see teams.yaml"
            )
        }
    }
}

dripline_sdk::export!(Assign);
