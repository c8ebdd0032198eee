//! Lists, counts and summaries from their rows.

use std::collections::HashMap;

use dripline_model::{
    Contact,
    clock::from_ms,
    contact::Needs,
    decision::{Awaited, DecisionKind, RunStatus},
    id::{ContactId, MessageId, RunId, VersionId},
    message::MessageStatus,
    program::NodeIndex,
};
use jiff::{Timestamp, civil::Date, tz::Offset};

use super::{declared_scores, distinct, everything, in_order, limit, maybe_at, ms};
use crate::{
    Activity, AssignmentCount, ContactFilter, Counts, DecisionCount, Lead, LeadReason, MOST_REASONS,
    MessageFilter, MessageRow, ReasonCount, RunFilter, RunRow, Standing, VisitCount, Waiting,
    answers::{Answers, MessageFields},
    error::{Raw, damaged},
};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Contacts that a filter lets through.
pub(crate) async fn contacts(
    answers: &mut impl Answers,
    filter: &ContactFilter,
    count: usize,
) -> Raw<Vec<Contact>> {
    let ids = answers.contact_ids(filter, limit(count)).await?;
    let ids: Vec<ContactId> = ids.into_iter().map(ContactId).collect();
    let mut loaded = answers.contacts(&distinct(&ids), &everything()).await?;
    declared_scores::grade(&mut loaded, &answers.declared_scores());
    Ok(in_order(&ids, loaded))
}

/// Runs that a filter lets through.
pub(crate) async fn runs(answers: &mut impl Answers, filter: &RunFilter, count: usize) -> Raw<Vec<RunRow>> {
    let rows = answers.runs(filter, limit(count)).await?;
    let mut runs = Vec::with_capacity(rows.len());
    for row in rows {
        let version = answers.version(VersionId(row.version_id)).await?;
        runs.push(RunRow {
            run: RunId(row.id),
            workflow: version.workflow_name.clone(),
            version_id: VersionId(row.version_id),
            version: version.number,
            contact: ContactId(row.contact_id),
            contact_name: row.contact_name,
            status: run_status(row.status)?,
            step: version.step(row.node),
            due_at: maybe_at(row.due_at),
            enrolled_at: from_ms(row.enrolled_at),
            ended_at: maybe_at(row.ended_at),
            reason: row.reason,
            parent: row.parent_id.map(RunId),
            path: row.path,
        });
    }
    Ok(runs)
}

/// How many runs stand where.
pub(crate) async fn standing(answers: &mut impl Answers) -> Raw<Vec<Standing>> {
    let rows = answers.standing().await?;
    rows.into_iter()
        .map(|(version, node, status, are_paths, runs)| {
            Ok(Standing {
                version: VersionId(version),
                node: NodeIndex::try_from(node).map_err(|error| damaged("run's node", error))?,
                status: run_status(status)?,
                are_paths,
                runs: number(runs),
            })
        })
        .collect()
}

/// Messages that a filter lets through.
pub(crate) async fn messages(
    answers: &mut impl Answers,
    filter: &MessageFilter,
    count: usize,
) -> Raw<Vec<MessageRow>> {
    let rows = answers.messages(filter, None, limit(count)).await?;
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        messages.push(message_row(answers, row).await?);
    }
    Ok(messages)
}

/// One message and its source.
pub(crate) async fn message(
    answers: &mut impl Answers,
    message: MessageId,
) -> Raw<Option<(MessageRow, Option<Vec<u8>>)>> {
    let rows = answers.messages(&MessageFilter::default(), Some(message.0), 1).await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let source = answers.message_source(message.0).await?;
    Ok(Some((message_row(answers, row).await?, source)))
}

async fn message_row(answers: &mut impl Answers, row: MessageFields) -> Raw<MessageRow> {
    let version = answers.version(VersionId(row.version_id)).await?;
    Ok(MessageRow {
        id: MessageId(row.id),
        run: RunId(row.run_id),
        contact: ContactId(row.contact_id),
        workflow: version.workflow_name.clone(),
        step: version.step(row.node),
        message_id: row.message_id,
        to: row.recipient,
        template: row.template,
        subject: row.subject,
        status: message_status(row.status)?,
        attempts: row.attempts,
        queued_at: from_ms(row.queued_at),
        due_at: maybe_at(row.due_at),
        sent_at: maybe_at(row.sent_at),
        detail: row.detail,
    })
}

/// Messages sent, by template.
pub(crate) async fn sent_by_template(answers: &mut impl Answers) -> Raw<Vec<(String, u64)>> {
    let rows = answers.sent_by_template().await?;
    Ok(rows.into_iter().map(|(template, messages)| (template, number(messages))).collect())
}

/// Messages sent, by day.
pub(crate) async fn sent_by_day(answers: &mut impl Answers) -> Raw<Vec<(Date, u64)>> {
    let rows = answers.sent_by_day().await?;
    Ok(rows.into_iter().map(|(days, messages)| (utc_day(days), number(messages))).collect())
}

/// Contacts with an owner, and why their scores are what they are.
pub(crate) async fn leads(answers: &mut impl Answers, count: usize) -> Raw<Vec<Lead>> {
    let rows = answers.leads(limit(count)).await?;
    let ids: Vec<ContactId> = rows.iter().map(|row| ContactId(row.contact_id)).collect();
    let ids = distinct(&ids);
    let needs = Needs { segments: false, ..everything() };
    let mut loaded = answers.contacts(&ids, &needs).await?;
    declared_scores::grade(&mut loaded, &answers.declared_scores());
    let mut contacts: HashMap<i64, Contact> =
        loaded.into_iter().map(|contact| (contact.id.0, contact)).collect();
    let mut reasons_of: HashMap<i64, Vec<LeadReason>> = HashMap::new();
    for (contact, score, points, because, times) in answers.lead_reasons(&ids).await? {
        let reason = LeadReason { score, points, because, times: number(times) };
        reasons_of.entry(contact).or_default().push(reason);
    }
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(Lead {
                contact: contacts.remove(&row.contact_id)?,
                rep: row.rep,
                rep_name: row.rep_name,
                team: row.team,
                assigned_at: from_ms(row.at),
                because: row.because,
                reasons: reasons_of.remove(&row.contact_id).unwrap_or_default(),
            })
        })
        .collect())
}

/// Totals.
pub(crate) async fn counts(answers: &mut impl Answers) -> Raw<Counts> {
    let (contacts, events, pending_events, decisions, leads) = answers.totals().await?;
    let runs: HashMap<i64, i64> = answers.runs_by_status().await?.into_iter().collect();
    let messages: HashMap<i64, i64> = answers.messages_by_status().await?.into_iter().collect();
    let of = |counts: &HashMap<i64, i64>, code: i64| number(counts.get(&code).copied().unwrap_or_default());
    Ok(Counts {
        contacts: number(contacts),
        events: number(events - pending_events),
        pending_events: number(pending_events),
        runs: RunStatus::ALL.iter().map(|status| (*status, of(&runs, status.code()))).collect(),
        messages: MessageStatus::ALL.iter().map(|status| (*status, of(&messages, status.code()))).collect(),
        decisions: number(decisions),
        leads: number(leads),
    })
}

/// What happened since an instant, in sums.
pub(crate) async fn activity(answers: &mut impl Answers, since: Timestamp) -> Raw<Activity> {
    // What a run does on its way says little in sums, and each wait has a reason of its own.
    let plain = [DecisionKind::Done, DecisionKind::Waiting, DecisionKind::Retrying].map(DecisionKind::code);
    let since = ms(since);
    let decisions = answers.decision_counts(since).await?.into_iter().map(|row| {
        let (version, node, kind, decisions) = row;
        Ok(DecisionCount {
            version: VersionId(version),
            node: maybe_node(node)?,
            kind: decision_kind(kind)?,
            decisions: number(decisions),
        })
    });
    let decisions = decisions.collect::<Raw<_>>()?;
    let visits = answers.visit_counts(since).await?.into_iter().map(|(version, node, runs)| {
        let node = NodeIndex::try_from(node).map_err(|error| damaged("decision's node", error))?;
        Ok(VisitCount { version: VersionId(version), node, runs: number(runs) })
    });
    let visits = visits.collect::<Raw<_>>()?;
    let reasons = answers.reason_counts(since, plain, limit(MOST_REASONS)).await?.into_iter().map(|row| {
        let (version, node, kind, reason, decisions) = row;
        Ok(ReasonCount {
            version: VersionId(version),
            node: maybe_node(node)?,
            kind: decision_kind(kind)?,
            reason,
            decisions: number(decisions),
        })
    });
    let reasons = reasons.collect::<Raw<_>>()?;
    let assignments = answers.assignment_counts(since).await?.into_iter();
    let assignments = assignments
        .map(|(rep, rep_name, day, assignments)| AssignmentCount {
            rep,
            rep_name,
            day: utc_day(day),
            assignments: number(assignments),
        })
        .collect();
    Ok(Activity { decisions, visits, reasons, assignments })
}

fn maybe_node(node: Option<i64>) -> Raw<Option<NodeIndex>> {
    node.map(NodeIndex::try_from).transpose().map_err(|error| damaged("decision's node", error))
}

fn decision_kind(code: i64) -> Raw<DecisionKind> {
    DecisionKind::from_code(code).ok_or_else(|| damaged("decision", format!("kind {code}")))
}

/// The day so many days after the epoch.
fn utc_day(days: i64) -> Date {
    Offset::UTC.to_datetime(from_ms(days.saturating_mul(DAY_MS))).date()
}

/// A count, from a database that knows only signed numbers.
fn number(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// A run's status, from a store.
pub(crate) fn run_status(code: i64) -> Raw<RunStatus> {
    RunStatus::from_code(code).ok_or_else(|| damaged("run status", code))
}

/// What a run waits for, from a store.
pub(crate) fn waiting(what: Option<i64>, since: Option<i64>, until: Option<i64>) -> Raw<Option<Waiting>> {
    let (Some(code), Some(since), Some(until)) = (what, since, until) else { return Ok(None) };
    let what = Awaited::from_code(code).ok_or_else(|| damaged("run's wait", code))?;
    Ok(Some(Waiting { what, since: from_ms(since), until: from_ms(until) }))
}

/// A message's status, from a store.
pub(crate) fn message_status(code: i64) -> Raw<MessageStatus> {
    MessageStatus::from_code(code).ok_or_else(|| damaged("message status", code))
}
