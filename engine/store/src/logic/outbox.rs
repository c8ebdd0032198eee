//! Messages that are claimed, and what becomes of them.

use std::collections::HashMap;

use dripline_model::{
    Contact,
    clock::from_ms,
    id::{ContactId, MessageId, RunId, VersionId},
    message::MessageStatus,
};
use jiff::Timestamp;
use sqlx::FromRow;

use super::{declared_scores, distinct, everything, ms};
use crate::{
    Delivery, DeliveryResult, DueMessage, OnUncertain,
    answers::Answers,
    error::{Raw, from_json},
};

/// A claimed message as stored.
#[derive(Debug, FromRow)]
pub(crate) struct DueRow {
    pub(crate) id: i64,
    pub(crate) run_id: i64,
    pub(crate) turn: i64,
    pub(crate) effect: i64,
    pub(crate) contact_id: i64,
    pub(crate) version_id: i64,
    pub(crate) node: i64,
    pub(crate) template: String,
    pub(crate) topic: Option<String>,
    pub(crate) transactional: bool,
    pub(crate) attempts: i64,
    pub(crate) queued_at: i64,
    pub(crate) recipient: String,
    pub(crate) subject: String,
}

/// Messages with what rendering needs.
pub(crate) async fn due_messages(
    answers: &mut impl Answers,
    rows: Vec<DueRow>,
    now: Timestamp,
) -> Raw<Vec<DueMessage>> {
    let ids: Vec<ContactId> = rows.iter().map(|row| ContactId(row.contact_id)).collect();
    let mut loaded = answers.contacts(&distinct(&ids), &everything()).await?;
    loaded.iter_mut().for_each(|contact| contact.as_of(now));
    declared_scores::grade(&mut loaded, &answers.declared_scores());
    let receivers: HashMap<i64, Contact> =
        loaded.into_iter().map(|contact| (contact.id.0, contact)).collect();
    let mut called = Vec::new();
    for row in &rows {
        if answers.version(VersionId(row.version_id)).await?.has_inputs {
            called.push(row.run_id);
        }
    }
    let inputs = match called.as_slice() {
        [] => Vec::new(),
        called => answers.inputs_of(called).await?,
    };
    let inputs: HashMap<i64, String> = inputs.into_iter().collect();
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        let version = answers.version(VersionId(row.version_id)).await?;
        let Some(mut contact) = receivers.get(&row.contact_id).cloned() else { continue };
        if let Some(inputs) = inputs.get(&row.run_id) {
            contact.inputs = from_json("run's inputs", inputs)?;
        }
        messages.push(DueMessage {
            id: MessageId(row.id),
            key: format!("{}/{}/{}", row.run_id, row.turn, row.effect),
            run: RunId(row.run_id),
            workflow: version.workflow_name.clone(),
            step: version.step(row.node),
            contact,
            template: row.template,
            templates: version.templates.clone(),
            subject: row.subject,
            to: row.recipient,
            topic: row.topic,
            transactional: row.transactional,
            attempts: row.attempts,
            queued_at: from_ms(row.queued_at),
        });
    }
    Ok(messages)
}

/// What becomes of a message, as the stores keep it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settlement<'a> {
    pub(crate) message: i64,
    pub(crate) status: i64,
    /// Tries to count.
    pub(crate) tries: i64,
    pub(crate) due_ms: Option<i64>,
    pub(crate) sent_ms: Option<i64>,
    pub(crate) detail: &'a str,
}

/// What results mean.
pub(crate) fn settlements(results: &[Delivery], now: Timestamp) -> Vec<Settlement<'_>> {
    results.iter().map(|delivery| settlement(delivery, now)).collect()
}

fn settlement(Delivery { id, result }: &Delivery, now: Timestamp) -> Settlement<'_> {
    let (status, due, sent_at, detail) = match result {
        DeliveryResult::Sent(answer) => (MessageStatus::Sent, None, Some(now), answer),
        DeliveryResult::Retry { due, reason } | DeliveryResult::Untried { due, reason } => {
            (MessageStatus::Queued, Some(*due), None, reason)
        }
        DeliveryResult::Failed(reason) => (MessageStatus::Failed, None, None, reason),
        DeliveryResult::Uncertain(reason) => (MessageStatus::Uncertain, None, None, reason),
    };
    Settlement {
        message: id.0,
        status: status.code(),
        tries: i64::from(!matches!(result, DeliveryResult::Untried { .. })),
        due_ms: due.map(ms),
        sent_ms: sent_at.map(ms),
        detail,
    }
}

/// Status and due time of a message that a process left *sending*.
pub(crate) fn recovered(rule: OnUncertain, now: Timestamp) -> (i64, Option<i64>) {
    match rule {
        OnUncertain::Hold => (MessageStatus::Uncertain.code(), None),
        OnUncertain::Resend => (MessageStatus::Queued.code(), Some(ms(now))),
    }
}
