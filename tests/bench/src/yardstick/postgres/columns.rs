//! What a batch writes, as one array for each column.

use dripline_model::decision::DecisionKind;

use super::dictionary::Dictionary;
use crate::{
    Result,
    campaign::{Plan, RULES, words},
    yardstick::lead::{Lead, held},
};

/// The columns of the score's entries.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) contacts: Vec<i64>,
    pub(super) points: Vec<i64>,
    pub(super) totals: Vec<i64>,
    pub(super) because: Vec<i64>,
    pub(super) runs: Vec<i64>,
}

impl Entries {
    pub(super) fn of(leads: &[Lead], words: &Dictionary) -> Result<Self> {
        let because = RULES.iter().map(|rule| words.id(rule.because)).collect::<Result<Vec<_>>>()?;
        let mut all = Self::default();
        for lead in leads {
            let mut total = 0;
            for (position, rule) in held(lead.rules) {
                total += rule.points;
                all.contacts.push(lead.contact);
                all.points.push(rule.points);
                all.totals.push(total);
                all.because.push(because.get(position).copied().unwrap_or_default());
                all.runs.push(lead.run);
            }
        }
        Ok(all)
    }
}

/// The columns of the messages, but for runs and contacts.
pub(super) struct Mails<'a> {
    pub(super) nodes: Vec<i32>,
    pub(super) templates: Vec<i64>,
    pub(super) recipients: Vec<&'a str>,
    pub(super) subjects: Vec<&'a str>,
}

impl<'a> Mails<'a> {
    pub(super) fn of(leads: &'a [Lead], plan: &Plan, words: &Dictionary) -> Result<Self> {
        let offer = (i32::try_from(plan.offer)?, words.id(words::template(true))?);
        let hello = (i32::try_from(plan.hello)?, words.id(words::template(false))?);
        let (nodes, templates) = leads.iter().map(|lead| if lead.hot { offer } else { hello }).unzip();
        Ok(Self {
            nodes,
            templates,
            recipients: leads.iter().map(|lead| lead.recipient.as_str()).collect(),
            subjects: leads.iter().map(|lead| lead.subject.as_str()).collect(),
        })
    }
}

/// The columns of the decisions, five for each run.
#[derive(Default)]
pub(super) struct Decisions {
    pub(super) runs: Vec<i64>,
    pub(super) contacts: Vec<i64>,
    pub(super) nodes: Vec<i32>,
    pub(super) turns: Vec<i32>,
    pub(super) kinds: Vec<i16>,
    pub(super) reasons: Vec<i64>,
}

impl Decisions {
    pub(super) fn of(leads: &[Lead], plan: &Plan, words: &Dictionary, assigned: &[i64]) -> Result<Self> {
        let [done, branched, ended] =
            [DecisionKind::Done, DecisionKind::Branched, DecisionKind::Ended].map(DecisionKind::code);
        let exit = words.id(words::EXIT)?;
        let way = |hot: bool, node| {
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((
                words.id(&words::branch(hot))?,
                node,
                words.id(&words::queued(hot))?,
            ))
        };
        let (hot, cold) = (way(true, plan.offer)?, way(false, plan.hello)?);
        let mut all = Self::default();
        for (lead, assigned) in leads.iter().zip(assigned) {
            let (branch, mail, queued) = if lead.hot { hot } else { cold };
            let steps = [
                (plan.fit, done, words.reason(lead.rules)?),
                (plan.gate, branched, branch),
                (mail, done, queued),
                (plan.owner, done, *assigned),
                (plan.done, ended, exit),
            ];
            for (turn, (node, kind, reason)) in (0..).zip(steps) {
                all.runs.push(lead.run);
                all.contacts.push(lead.contact);
                all.nodes.push(i32::try_from(node)?);
                all.turns.push(turn);
                all.kinds.push(i16::try_from(kind)?);
                all.reasons.push(reason);
            }
        }
        Ok(all)
    }
}
