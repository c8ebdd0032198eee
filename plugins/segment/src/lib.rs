//! The segment step: puts contacts into static segments, takes them out, or asks whether they are members of any.

#[cfg(test)]
mod tests;

use dripline_sdk::{Batch, EffectKind, Manifest, Member, Outcomes, Problem, Step};
use schemars::JsonSchema;
use serde::Deserialize;

/// Makes the contact a member of a segment, ends its membership, or asks about it. One of the three.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// The static segment that the contact joins.
    join: Option<dripline_sdk::Segment>,
    /// The static segment that the contact leaves.
    leave: Option<dripline_sdk::Segment>,
    /// The segment, static or dynamic, about which to ask. Lead on from the answers by `paths`.
    check: Option<Member>,
}

impl Step for Segment {
    const NAME: &'static str = "segment";
    const SUMMARY: &'static str = "Joins or leaves a segment, or asks whether the contact is a member.";

    fn describe(manifest: Manifest) -> Manifest {
        manifest
            .output("member", "the contact is a member of the segment asked about")
            .output("not_member", "the contact is not a member of the segment asked about")
            .effect(EffectKind::Segment, "joins and leaves the segments that the workflow names")
    }

    fn check(&self) -> Vec<Problem> {
        let given = [self.join.is_some(), self.leave.is_some(), self.check.is_some()];
        match given.into_iter().filter(|given| *given).count() {
            1 => Vec::new(),
            0 => vec![Problem::at("", "nothing to do").help("write one of `join`, `leave` and `check`")],
            _ => vec![
                Problem::at("", "more than one of `join`, `leave` and `check` is given")
                    .help("make a step of each"),
            ],
        }
    }

    fn run(&self, batch: &Batch, out: &mut Outcomes) -> Result<(), String> {
        match (&self.join, &self.leave, self.check) {
            (Some(segment), None, None) => {
                let (segment, reason) =
                    (out.text(segment.as_str()), out.text(format_args!("joined {segment}")));
                for turn in batch.turns() {
                    out.join_segment(turn, segment);
                    out.proceed(turn, reason);
                }
            }
            (None, Some(segment), None) => {
                let (segment, reason) =
                    (out.text(segment.as_str()), out.text(format_args!("left {segment}")));
                for turn in batch.turns() {
                    out.leave_segment(turn, segment);
                    out.proceed(turn, reason);
                }
            }
            (None, None, Some(member)) => {
                for turn in batch.turns() {
                    if member.of(turn) == Some(true) {
                        out.output(turn, "member", "a member of the segment");
                    } else {
                        out.output(turn, "not_member", "not a member of the segment");
                    }
                }
            }
            _ => return Err("exactly one of `join`, `leave` and `check` is needed".to_owned()),
        }
        Ok(())
    }
}

dripline_sdk::export!(Segment);
