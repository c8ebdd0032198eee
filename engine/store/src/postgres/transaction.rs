//! The scheduler's verbs: [`Scheduling`] and one batch.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use dripline_model::{
    Contact,
    clock::from_ms,
    contact::{EventView, Needs},
    id::{ContactId, EventId, FiringId, HeldId, RunId, VersionId, WorkflowId},
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::{FromRow as _, Row as _, query, query_as, query_scalar};

use super::{
    PostgresStore, dates, firings, held,
    rows::bind_columns,
    segments,
    writer::{self, Writer},
};
use crate::{
    ActiveRun, AppliedTurn, Arrived, Changed, ClaimedEvent, ClaimedRun, ContactDate, Enrolment, Firing,
    FiringProgress, HeldEvent, LatestRun, Look, Mailed, Membership, NEVER, NewEvent, NewFiring, NewHeld,
    Parent, Refusal, Result, RunMove, Scheduling, ScoreValue, StoredDateTrigger, Timer, Transaction,
    backend::{Backend as _, Commit as _},
    error::{Doing as _, Raw, damaged, from_json},
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
    UNION ALL SELECT min(at) FROM firings WHERE NOT done
    UNION ALL SELECT min(due_at) FROM segment_changes
    UNION ALL SELECT min(due_at) FROM segment_timers WHERE NOT repeats
    UNION ALL SELECT min(published_at) FROM segment_rules WHERE NOT done
    UNION ALL SELECT min(published_at) FROM date_triggers WHERE NOT done
    UNION ALL SELECT min(due_at) FROM held_events WHERE due_at IS NOT NULL
    UNION ALL SELECT (SELECT min(due_at) FROM runs WHERE workflow_id = workflows.id AND due_at IS NOT NULL)
        FROM workflows WHERE paused_at IS NULL OR resumed_at IS NOT NULL) AS moments";

/// With its contact, so that nobody else decides about the contact meanwhile.
pub(super) const CLAIM_EVENTS: &str = "
SELECT e.id, e.contact_id, w.word, e.at, e.properties::text
FROM events e JOIN contacts c ON c.id = e.contact_id JOIN words w ON w.id = e.name
WHERE e.state = 1 AND e.at <= $1 ORDER BY e.at, e.id LIMIT $2
FOR NO KEY UPDATE OF e, c SKIP LOCKED";

pub(super) const FINISH_EVENTS: &str = "
UPDATE events SET state = 2 FROM unnest($1::int8[], $2::int8[]) AS t(contact_id, id)
WHERE events.contact_id = t.contact_id AND events.id = t.id";

pub(super) const ARRIVED: &str = "
SELECT EXISTS (SELECT 1 FROM events WHERE state = 1 AND at <= $1),
    EXISTS (SELECT 1 FROM held_events WHERE due_at <= $1)";

/// Everything at once, because each answer that is waited for costs a batch as much as a seek. One seek into the index of
/// due runs for each workflow.
pub(super) const LOOK: &str = "
SELECT EXISTS (SELECT 1 FROM firings WHERE NOT done),
    ARRAY(SELECT id FROM workflows
        WHERE (SELECT min(due_at) FROM runs WHERE workflow_id = workflows.id AND due_at IS NOT NULL) <= $1
            AND (paused_at IS NULL OR resumed_at IS NOT NULL)
        ORDER BY id),
    EXISTS (SELECT 1 FROM events WHERE state = 1 AND at <= $1),
    EXISTS (SELECT 1 FROM segment_changes WHERE due_at <= $1)
        OR EXISTS (SELECT 1 FROM segment_timers WHERE due_at <= $1)
        OR EXISTS (SELECT 1 FROM segment_rules WHERE NOT done)
        OR EXISTS (SELECT 1 FROM date_triggers WHERE NOT done),
    EXISTS (SELECT 1 FROM held_events WHERE due_at <= $1)";

/// With its contact, so that two runs of one contact never go on side by side.
pub(super) const CLAIM_RUNS: &str = "
SELECT r.id, r.contact_id, r.workflow_id, r.version_id, r.node, r.turn, r.attempts, r.hops,
    coalesce(r.first_due_at, r.due_at), r.waits_for::int8, r.waits_since, r.waits_until, r.parent_id, r.path IS NOT NULL
FROM runs r JOIN contacts c ON c.id = r.contact_id
WHERE r.workflow_id = $1 AND r.due_at <= $2 ORDER BY r.due_at, r.contact_id LIMIT $3
FOR NO KEY UPDATE OF r, c SKIP LOCKED";

/// Whoever else has one of these runs, such as a person who ends it, is waited for.
pub(super) const WAITING_RUNS: &str = "
SELECT r.id, r.contact_id, r.workflow_id, r.version_id, r.node, r.turn, r.attempts, r.hops,
    coalesce(r.first_due_at, r.due_at), r.waits_for::int8, r.waits_since, r.waits_until, r.parent_id, r.path IS NOT NULL
FROM unnest($1::int8[]) AS wanted(id) JOIN runs r ON r.contact_id = wanted.id AND r.waits_for IS NOT NULL
FOR NO KEY UPDATE OF r";

pub(super) const PENDING_EVENTS: &str = "
SELECT e.contact_id, e.at
FROM unnest($1::int8[]) AS wanted(id) JOIN events e ON e.contact_id = wanted.id
WHERE e.at <= $3 AND e.state = 1 AND e.name = (SELECT id FROM words WHERE key = $2)";

/// In the order of the ids, so that two who lock the same contacts never wait for each other.
pub(super) const LOCK_CONTACTS: &str = "
SELECT c.id FROM contacts c WHERE c.id = ANY($1::int8[]) ORDER BY c.id FOR NO KEY UPDATE";

/// Without an order of its own: where sorting is off, the planner would rather walk over all runs from the newest than sort
/// those of a contact.
pub(super) const LATEST_RUNS: &str = "
SELECT wanted.id, r.id, r.enrolled_at, r.is_active
FROM unnest($1::int8[]) AS wanted(id) CROSS JOIN LATERAL (
    SELECT max(id) AS id, (array_agg(enrolled_at ORDER BY id DESC))[1] AS enrolled_at, bool_or(status = 0) AS is_active
    FROM runs WHERE contact_id = wanted.id AND workflow_id = $2 AND path IS NULL) AS r
WHERE r.id IS NOT NULL";

pub(super) const ACTIVE_RUNS: &str = "
SELECT r.id, r.contact_id, r.workflow_id, r.version_id, r.node, r.turn, r.attempts, r.hops,
    coalesce(r.first_due_at, r.due_at), r.waits_for::int8, r.waits_since, r.waits_until, r.parent_id, r.path IS NOT NULL,
    r.due_at, r.enrolled_at
FROM unnest($1::int8[]) AS wanted(id) JOIN runs r ON r.contact_id = wanted.id AND r.status = 0";

/// `OFFSET 0`, here and below: see [`super::statements::STANDING_ENTRIES`].
pub(super) const MAILED: &str = "
SELECT wanted.id, m.queued_at, m.transactional FROM unnest($1::int8[]) AS wanted(id) CROSS JOIN LATERAL (
    SELECT m.queued_at, m.transactional FROM messages m
    WHERE m.contact_id = wanted.id AND m.queued_at > $2::int8 AND m.status NOT IN (3, 5) OFFSET 0) AS m
ORDER BY wanted.id, m.queued_at";

pub(super) const PAST_EVENTS: &str = "
SELECT e.id, wanted.id, w.word, e.at, e.properties FROM words w, unnest($1::int8[]) AS wanted(id) CROSS JOIN LATERAL (
    SELECT e.id, e.at, e.properties::text AS properties FROM events e
    WHERE e.contact_id = wanted.id AND e.name = w.id AND e.at >= $3 AND e.state <> 1 OFFSET 0) AS e
WHERE w.key = $2";

#[async_trait]
impl Scheduling for PostgresStore {
    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        let writer = self.writer().await.doing("begin a batch")?;
        Ok(Box::new(PostgresTransaction { writer, pending: Pending::default(), events: HashMap::new() }))
    }

    fn has_one_writer(&self) -> bool {
        false
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
pub(super) struct PostgresTransaction {
    pub(super) writer: Writer,
    pub(super) pending: Pending,
    /// The contacts of the claimed events, by which their partitions are found.
    events: HashMap<EventId, ContactId>,
}

#[async_trait]
impl Transaction for PostgresTransaction {
    async fn claim_events(&mut self, now: Timestamp, limit: usize) -> Result<Vec<ClaimedEvent>> {
        self.claim_arrived(now, limit).await.doing("claim events")
    }

    async fn finish_events(&mut self, events: &[EventId]) -> Result<()> {
        let rows: Vec<(i64, i64)> =
            events.iter().filter_map(|event| Some((self.events.get(event)?.0, event.0))).collect();
        let finish = bind_columns!(query(FINISH_EVENTS), rows, |row| row.0, row.1);
        self.writer.run(finish).await.map(drop).doing("finish events")
    }

    async fn look(&mut self, now: Timestamp) -> Result<Look> {
        self.look_around(now).await.doing("look for what is due")
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
        self.look(now).await.map(|look| look.workflows)
    }

    async fn claim_runs(
        &mut self,
        workflow: WorkflowId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ClaimedRun>> {
        self.claim_due(workflow, now, limit).await.doing("claim runs")
    }

    async fn lock_contacts(&mut self, ids: &[ContactId]) -> Result<()> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        self.lock(ids).await.doing("lock contacts")
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
        firings::contacts_after(conn, segment, after, limit).await.doing("list contacts")
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
        firings::take(conn, firing).await.doing("read a firing")
    }

    async fn advance_firing(&mut self, firing: FiringId, progress: &FiringProgress) -> Result<()> {
        firings::advance(&mut self.writer, firing, progress).await.doing("advance a firing")
    }

    async fn has_segment_work(&mut self, now: Timestamp) -> Result<bool> {
        self.look(now).await.map(|look| look.segments)
    }

    async fn claim_changed(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Changed>> {
        self.pending.others_may_wait();
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
        self.writer.others_wait()
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        self.pending.flush(&mut self.writer).await.doing("move runs on")?;
        self.writer.commit().await.doing("commit a batch")
    }
}

impl PostgresTransaction {
    async fn claim_arrived(&mut self, now: Timestamp, count: usize) -> Raw<Vec<ClaimedEvent>> {
        self.pending.others_may_wait();
        let claim = query_as(CLAIM_EVENTS).bind(ms(now)).bind(limit(count));
        let events = views(claim.fetch_all(self.writer.conn().await?).await?)?;
        self.events.extend(events.iter().map(|event| (event.id, event.contact)));
        Ok(events)
    }

    async fn pending_of(
        &mut self,
        contacts: &[ContactId],
        name: &str,
        now: Timestamp,
    ) -> Raw<Vec<(ContactId, Timestamp)>> {
        let ids: Vec<i64> = contacts.iter().map(|contact| contact.0).collect();
        let query = query_as(PENDING_EVENTS).bind(ids).bind(writer::key(name)).bind(ms(now));
        let rows: Vec<(i64, i64)> = query.fetch_all(self.writer.conn().await?).await?;
        Ok(rows.into_iter().map(|(contact, at)| (ContactId(contact), from_ms(at))).collect())
    }

    async fn past(&mut self, contacts: &[ContactId], name: &str, since: Timestamp) -> Raw<Vec<ClaimedEvent>> {
        let ids: Vec<i64> = contacts.iter().map(|contact| contact.0).collect();
        let query = query_as(PAST_EVENTS).bind(ids).bind(writer::key(name)).bind(ms(since));
        views(query.fetch_all(self.writer.conn().await?).await?)
    }

    async fn lock(&mut self, contacts: Vec<i64>) -> Raw<()> {
        self.pending.others_may_wait();
        query(LOCK_CONTACTS).bind(contacts).execute(self.writer.conn().await?).await?;
        Ok(())
    }

    async fn arrivals(&mut self, now: Timestamp) -> Raw<Arrived> {
        let arrived = query_as(ARRIVED).bind(ms(now)).fetch_one(self.writer.conn().await?).await?;
        let (events, held): (bool, bool) = arrived;
        Ok(Arrived { events, held })
    }

    async fn look_around(&mut self, now: Timestamp) -> Raw<Look> {
        self.pending.flush_runs(&mut self.writer).await?;
        let look = query_as(LOOK).bind(ms(now)).fetch_one(self.writer.conn().await?).await?;
        let (firings, workflows, arrivals, segments, held): (bool, Vec<i64>, bool, bool, bool) = look;
        let workflows = workflows.into_iter().map(WorkflowId).collect();
        Ok(Look { firings, workflows, arrivals, held, segments })
    }

    async fn claim_due(
        &mut self,
        workflow: WorkflowId,
        now: Timestamp,
        count: usize,
    ) -> Raw<Vec<ClaimedRun>> {
        self.pending.flush_runs(&mut self.writer).await?;
        self.pending.others_may_wait();
        let claim = query_as(CLAIM_RUNS).bind(workflow.0).bind(ms(now)).bind(limit(count));
        claimed(claim.fetch_all(self.writer.conn().await?).await?)
    }

    async fn runs_at(&mut self, sql: &'static str, contacts: &[ContactId]) -> Raw<Vec<ClaimedRun>> {
        self.pending.flush_runs(&mut self.writer).await?;
        let ids: Vec<i64> = contacts.iter().map(|contact| contact.0).collect();
        claimed(query_as(sql).bind(ids).fetch_all(self.writer.conn().await?).await?)
    }

    async fn active(&mut self, contacts: &[ContactId]) -> Raw<Vec<ActiveRun>> {
        self.pending.flush_runs(&mut self.writer).await?;
        let find = query(ACTIVE_RUNS).bind(distinct(contacts));
        let rows = find.fetch_all(self.writer.conn().await?).await?;
        let active = rows.iter().map(|row| {
            let (due_at, enrolled_at) =
                (from_ms(row.try_get("due_at")?), from_ms(row.try_get("enrolled_at")?));
            Ok(ActiveRun { run: one(RunRow::from_row(row)?)?, due_at, enrolled_at })
        });
        active.collect()
    }

    async fn mailed_since(&mut self, contacts: &[ContactId], since: Timestamp) -> Raw<Vec<Mailed>> {
        let find = query_as(MAILED).bind(distinct(contacts)).bind(ms(since));
        let rows: Vec<(i64, i64, bool)> = find.fetch_all(self.writer.conn().await?).await?;
        let mailed = rows.into_iter().map(|(contact, at, transactional)| Mailed {
            contact: ContactId(contact),
            at: from_ms(at),
            transactional,
        });
        Ok(mailed.collect())
    }

    async fn latest(
        &mut self,
        workflow: WorkflowId,
        contacts: &[ContactId],
    ) -> Raw<BTreeMap<ContactId, LatestRun>> {
        self.pending.flush_runs(&mut self.writer).await?;
        let ids: Vec<i64> = contacts.iter().map(|contact| contact.0).collect();
        let rows: Vec<(i64, i64, i64, bool)> =
            query_as(LATEST_RUNS).bind(ids).bind(workflow.0).fetch_all(self.writer.conn().await?).await?;
        rows.into_iter()
            .map(|(contact, run, enrolled_at, is_active)| {
                let latest = LatestRun { run: RunId(run), enrolled_at: from_ms(enrolled_at), is_active };
                Ok((ContactId(contact), latest))
            })
            .collect()
    }
}

pub(super) type RunRow =
    (i64, i64, i64, i64, i32, i32, i32, i32, i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>, bool);

pub(super) fn one(row: RunRow) -> Raw<ClaimedRun> {
    let (
        run,
        contact,
        workflow,
        version,
        node,
        turn,
        attempts,
        hops,
        due,
        what,
        since,
        until,
        parent,
        is_path,
    ) = row;
    Ok(ClaimedRun {
        run: RunId(run),
        contact: ContactId(contact),
        workflow: WorkflowId(workflow),
        version: VersionId(version),
        node: u32::try_from(node).map_err(|error| damaged("run's node", error))?,
        turn: turn.into(),
        attempts: attempts.into(),
        hops: hops.into(),
        due: from_ms(due),
        waiting: waiting(what, since, until)?,
        parent: parent.map(|run| Parent { run: RunId(run), is_path }),
    })
}

/// The longest due are the ones chosen; contact order is what makes the rest of the batch fast.
fn claimed(rows: Vec<RunRow>) -> Raw<Vec<ClaimedRun>> {
    let mut runs = rows.into_iter().map(one).collect::<Raw<Vec<_>>>()?;
    runs.sort_unstable_by_key(|run| (run.contact, run.run));
    Ok(runs)
}

type EventRow = (i64, i64, String, i64, Option<String>);

/// In the order of their times: locking may bring rows out of it.
fn views(rows: Vec<EventRow>) -> Raw<Vec<ClaimedEvent>> {
    let mut events = Vec::with_capacity(rows.len());
    for (id, contact, name, at, properties) in rows {
        let properties: Option<Map<String, Value>> =
            properties.map(|json| from_json("event's properties", &json)).transpose()?;
        let event = EventView { name, at: from_ms(at), properties: properties.unwrap_or_default() };
        events.push(ClaimedEvent { id: EventId(id), contact: ContactId(contact), event });
    }
    events.sort_by_key(|claimed| (claimed.event.at, claimed.id));
    Ok(events)
}
