//! Smooth weighted round robin: shares by weight, spread as evenly as can be.
//!
//! The algorithm is nginx's (`ngx_http_upstream_round_robin.c`): at each choice everybody's credit grows by their
//! weight, the one with the most credit is chosen (the first of equals) and pays the sum of all weights. Weights 5, 1, 1
//! give a a b a c a a, not a a a a a b c.

use std::collections::BTreeMap;

use dripline_sdk::TeamMember;
use serde::{Deserialize, Serialize};

/// The durable part: everybody's credit by the representative's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    version: u32,
    credit: BTreeMap<String, i64>,
}

const VERSION: u32 = 1;

/// A team's members in the order in which they are chosen.
#[derive(Debug)]
pub(crate) struct Rotation<'team> {
    members: Vec<(&'team TeamMember, i64)>,
    shares: i64,
}

impl<'team> Rotation<'team> {
    /// Goes on at `position`. Who left the team is forgotten; who is new starts without credit, as everybody did.
    pub(crate) fn resume(position: Option<Position>, members: &'team [TeamMember]) -> Self {
        let credit = position
            .filter(|position| position.version == VERSION)
            .map(|position| position.credit)
            .unwrap_or_default();
        let shares: i64 = members.iter().map(|member| i64::from(member.weight)).sum();
        let members = members
            .iter()
            .filter(|member| member.weight > 0)
            // Credit stays within the sum of the weights by itself; when that shrinks, an old debt shrinks with it.
            .map(|member| (member, credit.get(&member.rep).copied().unwrap_or(0).clamp(-shares, shares)))
            .collect();
        Self { members, shares }
    }

    /// Who is next; nobody if no member has a weight.
    pub(crate) fn next(&mut self) -> Option<&'team TeamMember> {
        let mut best: Option<&mut (&'team TeamMember, i64)> = None;
        for candidate in &mut self.members {
            candidate.1 += i64::from(candidate.0.weight);
            if best.as_ref().is_none_or(|best| candidate.1 > best.1) {
                best = Some(candidate);
            }
        }
        let (member, credit) = best?;
        *credit -= self.shares;
        Some(member)
    }

    /// The sum of all weights.
    pub(crate) fn shares(&self) -> i64 {
        self.shares
    }

    /// Where to go on.
    pub(crate) fn position(&self) -> Position {
        let credit = self.members.iter().map(|(member, credit)| (member.rep.clone(), *credit)).collect();
        Position { version: VERSION, credit }
    }
}
