//! The scheduler's verbs: [`Scheduling`] and one batch.

use std::{collections::BTreeMap, fmt::Debug};

use async_trait::async_trait;
use dripline_model::{
    Contact,
    clock::from_ms,
    contact::{EventView, Needs},
    id::{ContactId, EventId, FiringId, HeldId, RunId, VersionId, WorkflowId},
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::{query, query_as, query_scalar};

use super::{
    SqliteStore,
    ahead::Claim,
    contacts, dates, firings, held,
    rows::{json_ids, json_rows},
    segments,
    writer::Writer,
};
use crate::{
    ActiveRun, AppliedTurn, Arrived, Changed, ClaimedEvent, ClaimedRun, ContactDate, Enrolment, Firing,
    FiringProgress, HeldEvent, LatestRun, Mailed, Membership, NEVER, NewEvent, NewFiring, NewHeld, Parent,
    Refusal, Result, RunMove, Scheduling, ScoreValue, StoredDateTrigger, Timer, Transaction,
    backend::{Backend as _, Commit as _},
    error::{Doing as _, Raw},
    logic::{
        self, apply, by_hand, changes, distinct, enroll, limit, load_contacts, load_parts, maybe_at, ms,
        pending::Pending, report::waiting,
    },
    sets::Sets as _,
};

const NEXT_DATE: &str = "SELECT min(due_at) FROM contact_dates WHERE due_at IS NOT NULL";

const NEXT_ARRIVAL: &str = "SELECT min(at) FROM events WHERE state = 1";

pub(super) const NEXT_DUE: &str = "
SELECT min(at) FROM (
    SELECT min(at) AS at FROM events WHERE state = 1
    UNION ALL SELECT min(at) FROM firings WHERE done = 0
    UNION ALL SELECT min(due_at) FROM segment_changes
    UNION ALL SELECT min(due_at) FROM segment_timers WHERE repeats = 0
    UNION ALL SELECT min(published_at) FROM segment_rules INDEXED BY segment_rules_new WHERE done = 0
    UNION ALL SELECT min(published_at) FROM date_triggers INDEXED BY date_triggers_new WHERE done = 0
    UNION ALL SELECT min(due_at) FROM held_events WHERE due_at IS NOT NULL
    UNION ALL SELECT (SELECT min(due_at) FROM runs WHERE workflow_id = workflows.id AND due_at IS NOT NULL)
        FROM workflows WHERE paused_at IS NULL OR resumed_at IS NOT NULL)";

pub(super) const CLAIM_EVENTS: &str = "
SELECT json_group_array(json_array(id, contact_id, name, at, properties) ORDER BY at, id) FROM (
    SELECT e.id, e.contact_id, w.word AS name, e.at, e.properties
    FROM events e JOIN words w ON w.id = e.name
    WHERE e.state = 1 AND e.at <= ?1 ORDER BY e.at, e.id LIMIT ?2)";

pub(super) const FINISH_EVENTS: &str =
    "UPDATE events SET state = 2 WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const ARRIVED: &str = "
SELECT EXISTS (SELECT 1 FROM events WHERE state = 1 AND at <= ?1),
    EXISTS (SELECT 1 FROM held_events WHERE due_at <= ?1)";

/// One seek into the index of due runs for each workflow.
pub(super) const DUE_WORKFLOWS: &str = "
SELECT id FROM workflows
WHERE (SELECT min(due_at) FROM runs WHERE workflow_id = workflows.id AND due_at IS NOT NULL) <= ?1
    AND (paused_at IS NULL OR resumed_at IS NOT NULL)
ORDER BY id";

pub(super) const CLAIM_RUNS: &str = "
SELECT json_group_array(json_array(id, contact_id, workflow_id, version_id, node, turn, attempts, hops, due,
    waits_for, waits_since, waits_until, parent_id, path IS NOT NULL)) FROM (
    SELECT id, contact_id, workflow_id, version_id, node, turn, attempts, hops, coalesce(first_due_at, due_at) AS due,
        waits_for, waits_since, waits_until, parent_id, path
    FROM runs WHERE workflow_id = ?1 AND due_at <= ?2 ORDER BY due_at, contact_id LIMIT ?3)";

pub(super) const WAITING_RUNS: &str = "
SELECT json_group_array(json_array(r.id, r.contact_id, r.workflow_id, r.version_id, r.node, r.turn, r.attempts, r.hops,
    coalesce(r.first_due_at, r.due_at), r.waits_for, r.waits_since, r.waits_until, r.parent_id, r.path IS NOT NULL))
FROM json_each(?1) wanted CROSS JOIN runs r INDEXED BY runs_waiting
ON r.contact_id = wanted.value AND r.waits_for IS NOT NULL";

pub(super) const PENDING_EVENTS: &str = "
SELECT json_group_array(json_array(e.contact_id, e.at))
FROM json_each(?1) wanted CROSS JOIN events e INDEXED BY events_of ON e.contact_id = wanted.value
WHERE e.at <= ?3 AND e.state = 1 AND e.name = (SELECT id FROM words WHERE word = ?2)";

pub(super) const LATEST_RUNS: &str = "
SELECT json_group_array(json_array(r.contact_id, r.id, r.enrolled_at, EXISTS (
    SELECT 1 FROM runs WHERE contact_id = r.contact_id AND workflow_id = ?2 AND status = 0)))
FROM json_each(?1) wanted CROSS JOIN runs r ON r.id = (
    SELECT max(id) FROM runs WHERE contact_id = wanted.value AND workflow_id = ?2 AND path IS NULL)";

pub(super) const ACTIVE_RUNS: &str = "
SELECT json_group_array(json_array(json_array(r.id, r.contact_id, r.workflow_id, r.version_id, r.node, r.turn,
    r.attempts, r.hops, coalesce(r.first_due_at, r.due_at), r.waits_for, r.waits_since, r.waits_until, r.parent_id,
    r.path IS NOT NULL), r.due_at,
    r.enrolled_at))
FROM json_each(?1) wanted CROSS JOIN runs r ON r.contact_id = wanted.value AND r.status = 0";

pub(super) const MAILED: &str = "
SELECT json_group_array(json_array(m.contact_id, m.queued_at, m.transactional) ORDER BY m.contact_id, m.queued_at)
FROM json_each(?1) wanted CROSS JOIN messages m ON m.contact_id = wanted.value AND m.queued_at > ?2
WHERE m.status NOT IN (3, 5)";

pub(super) const PAST_EVENTS: &str = "
SELECT json_group_array(json_array(id, contact_id, name, at, properties) ORDER BY at, id) FROM (
    SELECT e.id, e.contact_id, w.word AS name, e.at, e.properties
    FROM json_each(?1) wanted CROSS JOIN events e INDEXED BY events_of
        ON e.contact_id = wanted.value AND e.at >= ?3
    JOIN words w ON w.id = e.name
    WHERE e.state <> 1 AND w.word = ?2)";

#[async_trait]
impl Scheduling for SqliteStore {
    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        let writer = self.writer().await.doing("begin a batch")?;
        Ok(Box::new(SqliteTransaction { writer, pending: Pending::default() }))
    }

    fn has_one_writer(&self) -> bool {
        true
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        let next: sqlx::Result<Option<i64>> = query_scalar(NEXT_DUE).fetch_one(&self.shared.readers).await;
        // Who waits for other runs is not due.
        next.map(|next| maybe_at(next).filter(|at| *at < NEVER)).doing("find out what is due next")
    }

    async fn last_firing(&self, workflow: WorkflowId) -> Result<Option<Timestamp>> {
        self.last_schedule(workflow).await.doing("find a schedule's last firing")
    }

    async fn begin_firing(&self, new: &NewFiring) -> Result<FiringId> {
        self.put_firing(new).await.doing("begin a firing")
    }

    async fn firing(&self, firing: FiringId) -> Result<Option<Firing>> {
        firings::one(&self.shared.readers, firing).await.doing("read a firing")
    }

    async fn open_firings(&self) -> Result<Vec<Firing>> {
        firings::open(&self.shared.readers).await.doing("read the open firings")
    }

    async fn next_arrival(&self) -> Result<Option<Timestamp>> {
        let next: sqlx::Result<Option<i64>> =
            query_scalar(NEXT_ARRIVAL).fetch_one(&self.shared.readers).await;
        next.map(maybe_at).doing("find out which event arrives next")
    }

    async fn next_date(&self) -> Result<Option<Timestamp>> {
        let next: sqlx::Result<Option<i64>> = query_scalar(NEXT_DATE).fetch_one(&self.shared.readers).await;
        next.map(maybe_at).doing("find out which date comes next")
    }

    async fn changed(&self) {
        self.shared.changes.after(&self.seen).await;
    }

    async fn retry_runs(&self, run: Option<RunId>, now: Timestamp) -> Result<u64> {
        let retry = async { by_hand::retry(self.writer().await?, run, now).await };
        retry.await.doing("retry failed runs")
    }

    async fn skip_runs(&self, run: Option<RunId>, now: Timestamp) -> Result<u64> {
        let skip = async { by_hand::skip(self.writer().await?, run, now).await };
        skip.await.doing("skip the steps of failed runs")
    }

    async fn migrate_runs(
        &self,
        to: VersionId,
        moves: &[RunMove],
        reason: &str,
        now: Timestamp,
    ) -> Result<u64> {
        let moved = async { by_hand::move_over(self.writer().await?, to, moves, reason, now).await };
        moved.await.doing("move runs to another version")
    }

    async fn drain_runs(
        &self,
        workflow: WorkflowId,
        current: VersionId,
        reason: &str,
        now: Timestamp,
    ) -> Result<u64> {
        let drain = async { by_hand::drain(self.writer().await?, workflow, current, reason, now).await };
        drain.await.doing("end the runs of older versions")
    }

    async fn cancel_run(&self, run: RunId, reason: &str, now: Timestamp) -> Result<bool> {
        let cancel = async { by_hand::cancel(self.writer().await?, run, reason, now).await };
        cancel.await.doing(format!("cancel run {run}"))
    }
}

/// One batch.
#[derive(Debug)]
pub(super) struct SqliteTransaction {
    pub(super) writer: Writer,
    pub(super) pending: Pending,
}

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn claim_events(&mut self, now: Timestamp, limit: usize) -> Result<Vec<ClaimedEvent>> {
        self.events(now, limit).await.doing("claim events")
    }

    async fn finish_events(&mut self, events: &[EventId]) -> Result<()> {
        let ids = json_ids(events.iter().map(|event| &event.0));
        self.writer.run(query(FINISH_EVENTS).bind(ids)).await.map(drop).doing("finish events")
    }

    async fn arrived(&mut self, now: Timestamp) -> Result<Arrived> {
        self.arrivals(now).await.doing("look for events")
    }

    async fn held(&mut self, workflow: WorkflowId, contacts: &[ContactId]) -> Result<Vec<HeldEvent>> {
        held::of(&mut self.writer, workflow, contacts).await.doing("look for held events")
    }

    async fn claim_held(&mut self, now: Timestamp, limit: usize) -> Result<Vec<HeldEvent>> {
        held::claim(&mut self.writer, now, limit).await.doing("claim held events")
    }

    async fn hold(&mut self, events: &[NewHeld]) -> Result<()> {
        held::hold(&mut self.writer, events).await.doing("hold events")
    }

    async fn let_go(&mut self, held: &[HeldId]) -> Result<()> {
        held::change(&mut self.writer, held::LET_GO, held).await.doing("let held events go")
    }

    async fn wait_again(&mut self, held: &[HeldId]) -> Result<()> {
        held::change(&mut self.writer, held::WAIT_AGAIN, held).await.doing("let events wait")
    }

    async fn next_in_line(
        &mut self,
        workflow: WorkflowId,
        contacts: &[ContactId],
        now: Timestamp,
    ) -> Result<()> {
        let next = self.writer.next_in_line(workflow.0, &distinct(contacts), ms(now)).await;
        next.doing("let the next event have its turn")
    }

    async fn due_workflows(&mut self, now: Timestamp) -> Result<Vec<WorkflowId>> {
        self.due(now).await.doing("look for workflows with due runs")
    }

    async fn claim_runs(
        &mut self,
        workflow: WorkflowId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ClaimedRun>> {
        self.runs(workflow, now, limit).await.doing("claim runs")
    }

    /// The one writer decides alone.
    async fn lock_contacts(&mut self, _ids: &[ContactId]) -> Result<()> {
        Ok(())
    }

    async fn load_contacts(
        &mut self,
        ids: &[ContactId],
        needs: &Needs,
        now: Timestamp,
    ) -> Result<Vec<Contact>> {
        let contacts = load_contacts(&mut self.writer, ids, needs, now).await.doing("load contacts")?;
        self.pending.know(&contacts, needs);
        self.pending.know_addresses(&contacts);
        Ok(contacts)
    }

    async fn load_parts(&mut self, ids: &[ContactId], needs: &Needs) -> Result<Vec<Contact>> {
        let contacts = load_parts(&mut self.writer, ids, needs).await.doing("load contacts")?;
        self.pending.know(&contacts, needs);
        Ok(contacts)
    }

    async fn latest_runs(
        &mut self,
        workflow: WorkflowId,
        contacts: &[ContactId],
    ) -> Result<BTreeMap<ContactId, LatestRun>> {
        self.latest(workflow, contacts).await.doing("load the latest runs")
    }

    async fn active_runs(&mut self, contacts: &[ContactId]) -> Result<Vec<ActiveRun>> {
        self.active(contacts).await.doing("load the runs of contacts")
    }

    async fn mailed(&mut self, contacts: &[ContactId], since: Timestamp) -> Result<Vec<Mailed>> {
        self.mailed_since(contacts, since).await.doing("load what contacts were mailed")
    }

    async fn waiting_runs(&mut self, contacts: &[ContactId]) -> Result<Vec<ClaimedRun>> {
        self.runs_at(WAITING_RUNS, contacts).await.doing("find the runs that wait")
    }

    async fn pending_events(
        &mut self,
        contacts: &[ContactId],
        name: &str,
        now: Timestamp,
    ) -> Result<Vec<(ContactId, Timestamp)>> {
        self.pending_of(contacts, name, now).await.doing("look for events")
    }

    async fn past_events(
        &mut self,
        contacts: &[ContactId],
        name: &str,
        since: Timestamp,
    ) -> Result<Vec<ClaimedEvent>> {
        self.past(contacts, name, since).await.doing("look at earlier events")
    }

    async fn emit(&mut self, events: &[NewEvent], now: Timestamp) -> Result<()> {
        changes::emit(&mut self.writer, events, now).await.doing("make events")
    }

    async fn put_back(&mut self, runs: &[(ClaimedRun, Timestamp)]) -> Result<()> {
        runs.iter().for_each(|(run, due)| self.pending.put_back(run, *due));
        Ok(())
    }

    async fn contacts_after(
        &mut self,
        segment: Option<&str>,
        after: ContactId,
        limit: usize,
    ) -> Result<Vec<ContactId>> {
        let conn = self.writer.conn().await.doing("list contacts")?;
        let contacts = match segment {
            Some(segment) => firings::members_after(conn, segment, after, limit).await,
            None => contacts::after(conn, after, limit).await,
        };
        contacts.doing("list contacts")
    }

    async fn enroll(&mut self, enrolments: &[Enrolment], now: Timestamp) -> Result<()> {
        enroll::start(&mut self.writer, &mut self.pending, enrolments, now).await.doing("enroll contacts")
    }

    async fn refuse(&mut self, refusals: &[Refusal], now: Timestamp) -> Result<()> {
        enroll::refuse(&mut self.writer, &mut self.pending, refusals, now)
            .await
            .doing("record who was not enrolled")
    }

    async fn state(&mut self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let state = self.pending.state(&mut self.writer, plugin, key).await;
        state.doing(format!("read the state of `{plugin}`"))
    }

    fn put_state(&mut self, plugin: &str, key: &str, value: &[u8]) {
        self.pending.put_state(plugin, key, value);
    }

    async fn apply(&mut self, turns: &[AppliedTurn], now: Timestamp) -> Result<Vec<ScoreValue>> {
        apply::apply(&mut self.writer, &mut self.pending, turns, now).await.doing("apply a batch's effects")
    }

    async fn open_firings(&mut self) -> Result<Vec<Firing>> {
        let conn = self.writer.conn().await.doing("read the open firings")?;
        firings::open(conn).await.doing("read the open firings")
    }

    async fn firing(&mut self, firing: FiringId) -> Result<Option<Firing>> {
        let conn = self.writer.conn().await.doing("read a firing")?;
        firings::one(conn, firing).await.doing("read a firing")
    }

    async fn advance_firing(&mut self, firing: FiringId, progress: &FiringProgress) -> Result<()> {
        firings::advance(&mut self.writer, firing, progress).await.doing("advance a firing")
    }

    async fn has_segment_work(&mut self, now: Timestamp) -> Result<bool> {
        let has_work = async { segments::has_work(self.writer.conn().await?, now).await };
        has_work.await.doing("look for changed contacts")
    }

    async fn claim_changed(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Changed>> {
        segments::claim(&mut self.writer, now, limit).await.doing("claim changed contacts")
    }

    async fn date_triggers(&mut self) -> Result<Vec<StoredDateTrigger>> {
        let triggers = async { dates::triggers(self.writer.conn().await?).await };
        triggers.await.doing("read the date triggers")
    }

    async fn contact_dates(&mut self, contacts: &[ContactId]) -> Result<Vec<ContactDate>> {
        let known = async { dates::of(self.writer.conn().await?, contacts).await };
        known.await.doing("read the dates of contacts")
    }

    async fn put_contact_dates(&mut self, known: &[ContactDate]) -> Result<()> {
        dates::put(&mut self.writer, known).await.doing("write the dates of contacts")
    }

    async fn unfinished_rules(&mut self) -> Result<Option<ContactId>> {
        let unfinished = async { segments::unfinished(self.writer.conn().await?).await };
        unfinished.await.doing("look for new segments")
    }

    async fn advance_rules(&mut self, from: ContactId, to: ContactId, done: bool) -> Result<()> {
        segments::advance(&mut self.writer, from, to, done).await.doing("record how far new segments are")
    }

    async fn settle_segments(
        &mut self,
        memberships: &[Membership<'_>],
        timers: &[Timer],
        now: Timestamp,
    ) -> Result<()> {
        let settled = logic::segments::settle(&mut self.writer, memberships, timers, now).await;
        settled.doing("change segments")
    }

    fn is_wanted(&self) -> bool {
        self.writer.shared.changes.has_importers()
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        let batch = self.writer.batch.take();
        self.writer.batch = batch.filter(|batch| self.pending.have_gone(batch.runs(), batch.now));
        self.pending.flush(&mut self.writer).await.doing("move runs on")?;
        self.writer.commit().await.doing("commit a batch")
    }
}

pub(super) type RunTuple =
    (i64, i64, i64, i64, u32, i64, i64, i64, i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>, i64);
type EventTuple = (i64, i64, String, i64, Option<Map<String, Value>>);

impl SqliteTransaction {
    async fn events(&mut self, now: Timestamp, count: usize) -> Raw<Vec<ClaimedEvent>> {
        let query = query_scalar(CLAIM_EVENTS).bind(ms(now)).bind(limit(count));
        Ok(views(json_rows(self.writer.conn().await?, query).await?))
    }

    async fn pending_of(
        &mut self,
        contacts: &[ContactId],
        name: &str,
        now: Timestamp,
    ) -> Raw<Vec<(ContactId, Timestamp)>> {
        let ids = json_ids(contacts.iter().map(|contact| &contact.0));
        let query = query_scalar(PENDING_EVENTS).bind(ids).bind(name.to_owned()).bind(ms(now));
        let rows: Vec<(i64, i64)> = json_rows(self.writer.conn().await?, query).await?;
        Ok(rows.into_iter().map(|(contact, at)| (ContactId(contact), from_ms(at))).collect())
    }

    async fn past(&mut self, contacts: &[ContactId], name: &str, since: Timestamp) -> Raw<Vec<ClaimedEvent>> {
        let ids = json_ids(contacts.iter().map(|contact| &contact.0));
        let query = query_scalar(PAST_EVENTS).bind(ids).bind(name.to_owned()).bind(ms(since));
        Ok(views(json_rows(self.writer.conn().await?, query).await?))
    }

    async fn arrivals(&mut self, now: Timestamp) -> Raw<Arrived> {
        let arrived = query_as(ARRIVED).bind(ms(now)).fetch_one(self.writer.conn().await?).await?;
        let (events, held): (bool, bool) = arrived;
        Ok(Arrived { events, held })
    }

    async fn due(&mut self, now: Timestamp) -> Raw<Vec<WorkflowId>> {
        self.pending.flush_runs(&mut self.writer).await?;
        let ids: Vec<i64> =
            query_scalar(DUE_WORKFLOWS).bind(ms(now)).fetch_all(self.writer.conn().await?).await?;
        Ok(ids.into_iter().map(WorkflowId).collect())
    }

    async fn runs(&mut self, workflow: WorkflowId, now: Timestamp, count: usize) -> Raw<Vec<ClaimedRun>> {
        self.pending.flush_runs(&mut self.writer).await?;
        self.writer.claim(Claim { workflow, count }, now).await
    }

    async fn runs_at(&mut self, sql: &'static str, contacts: &[ContactId]) -> Raw<Vec<ClaimedRun>> {
        self.pending.flush_runs(&mut self.writer).await?;
        let ids = json_ids(contacts.iter().map(|contact| &contact.0));
        claimed(json_rows(self.writer.conn().await?, query_scalar(sql).bind(ids)).await?)
    }

    async fn active(&mut self, contacts: &[ContactId]) -> Raw<Vec<ActiveRun>> {
        self.pending.flush_runs(&mut self.writer).await?;
        let query = query_scalar(ACTIVE_RUNS).bind(json_ids(distinct(contacts).iter()));
        let rows: Vec<(RunTuple, i64, i64)> = json_rows(self.writer.conn().await?, query).await?;
        let active = rows.into_iter().map(|(run, due_at, enrolled_at)| {
            let (due_at, enrolled_at) = (from_ms(due_at), from_ms(enrolled_at));
            Ok(ActiveRun { run: one(run)?, due_at, enrolled_at })
        });
        active.collect()
    }

    async fn mailed_since(&mut self, contacts: &[ContactId], since: Timestamp) -> Raw<Vec<Mailed>> {
        let query = query_scalar(MAILED).bind(json_ids(distinct(contacts).iter())).bind(ms(since));
        let rows: Vec<(i64, i64, i64)> = json_rows(self.writer.conn().await?, query).await?;
        let mailed = rows.into_iter().map(|(contact, at, transactional)| Mailed {
            contact: ContactId(contact),
            at: from_ms(at),
            transactional: transactional != 0,
        });
        Ok(mailed.collect())
    }

    async fn latest(
        &mut self,
        workflow: WorkflowId,
        contacts: &[ContactId],
    ) -> Raw<BTreeMap<ContactId, LatestRun>> {
        self.pending.flush_runs(&mut self.writer).await?;
        let ids = json_ids(contacts.iter().map(|contact| &contact.0));
        let query = query_scalar(LATEST_RUNS).bind(ids).bind(workflow.0);
        let rows: Vec<(i64, i64, i64, i64)> = json_rows(self.writer.conn().await?, query).await?;
        rows.into_iter()
            .map(|(contact, run, enrolled_at, is_active)| {
                let is_active = is_active != 0;
                let latest = LatestRun { run: RunId(run), enrolled_at: from_ms(enrolled_at), is_active };
                Ok((ContactId(contact), latest))
            })
            .collect()
    }
}

pub(super) fn one(row: RunTuple) -> Raw<ClaimedRun> {
    let (run, contact, workflow, version, node, turn, attempts, hops, due, what, since, until, parent, path) =
        row;
    Ok(ClaimedRun {
        run: RunId(run),
        contact: ContactId(contact),
        workflow: WorkflowId(workflow),
        version: VersionId(version),
        node,
        turn,
        attempts,
        hops,
        due: from_ms(due),
        waiting: waiting(what, since, until)?,
        parent: parent.map(|run| Parent { run: RunId(run), is_path: path != 0 }),
    })
}

/// The longest due are the ones chosen; contact order is what makes the rest of the batch fast.
fn claimed(rows: Vec<RunTuple>) -> Raw<Vec<ClaimedRun>> {
    let mut runs = rows.into_iter().map(one).collect::<Raw<Vec<_>>>()?;
    runs.sort_unstable_by_key(|run| (run.contact, run.run));
    Ok(runs)
}

fn views(rows: Vec<EventTuple>) -> Vec<ClaimedEvent> {
    let view = |(id, contact, name, at, properties): EventTuple| ClaimedEvent {
        id: EventId(id),
        contact: ContactId(contact),
        event: EventView { name, at: from_ms(at), properties: properties.unwrap_or_default() },
    };
    rows.into_iter().map(view).collect()
}
