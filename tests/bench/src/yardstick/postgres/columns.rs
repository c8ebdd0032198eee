//! What a batch writes: one array for each column, or rows for `COPY`.

use std::pin::pin;

use dripline_model::decision::DecisionKind;
use tokio_postgres::{
    Client, Statement,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::dictionary::Dictionary;
use crate::{
    Result,
    campaign::{Plan, RULES, words},
    yardstick::lead::{Lead, held},
};

/// The score's entries.
pub(super) struct Entries(Vec<Entry>);

struct Entry {
    contact: i64,
    points: i64,
    total: i64,
    because: i64,
    run: i64,
}

impl Entries {
    pub(super) fn of(leads: &[Lead], words: &Dictionary) -> Result<Self> {
        let because = RULES.iter().map(|rule| words.id(rule.because)).collect::<Result<Vec<_>>>()?;
        let mut all = Vec::with_capacity(5 * leads.len());
        for lead in leads {
            let mut total = 0;
            for (position, rule) in held(lead.rules) {
                total += rule.points;
                all.push(Entry {
                    contact: lead.contact,
                    points: rule.points,
                    total,
                    because: because.get(position).copied().unwrap_or_default(),
                    run: lead.run,
                });
            }
        }
        Ok(Self(all))
    }

    pub(super) async fn copy(
        &self,
        client: &Client,
        statement: &Statement,
        score: i64,
        workflow: i64,
        now_ms: i64,
    ) -> std::result::Result<(), tokio_postgres::Error> {
        let types = [
            Type::INT8,
            Type::INT8,
            Type::INT8,
            Type::INT8,
            Type::INT8,
            Type::INT8,
            Type::INT8,
            Type::INT4,
            Type::INT8,
            Type::INT8,
        ];
        let mut rows = pin!(BinaryCopyInWriter::new(client.copy_in(statement).await?, &types));
        for Entry { contact, points, total, because, run } in &self.0 {
            let row: [&(dyn ToSql + Sync); 10] =
                [contact, &score, points, total, because, &now_ms, run, &0_i32, &workflow, &score];
            rows.as_mut().write(&row).await?;
        }
        rows.finish().await?;
        Ok(())
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

/// The decisions, five for each run.
pub(super) struct Decisions(Vec<Decision>);

struct Decision {
    run: i64,
    contact: i64,
    node: i32,
    turn: i32,
    kind: i16,
    reason: i64,
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
        let mut all = Vec::with_capacity(5 * leads.len());
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
                all.push(Decision {
                    run: lead.run,
                    contact: lead.contact,
                    node: i32::try_from(node)?,
                    turn,
                    kind: i16::try_from(kind)?,
                    reason,
                });
            }
        }
        Ok(Self(all))
    }

    pub(super) async fn copy(
        &self,
        client: &Client,
        statement: &Statement,
        version: i64,
        now_ms: i64,
    ) -> std::result::Result<(), tokio_postgres::Error> {
        let types =
            [Type::INT8, Type::INT8, Type::INT8, Type::INT4, Type::INT4, Type::INT8, Type::INT2, Type::INT8];
        let mut rows = pin!(BinaryCopyInWriter::new(client.copy_in(statement).await?, &types));
        for Decision { run, contact, node, turn, kind, reason } in &self.0 {
            let row: [&(dyn ToSql + Sync); 8] = [run, &version, contact, node, turn, &now_ms, kind, reason];
            rows.as_mut().write(&row).await?;
        }
        rows.finish().await?;
        Ok(())
    }
}
