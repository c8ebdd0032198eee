//! A backend's two doors, and the verbs that need no more than these.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use dripline_model::{
    Contact, Digest,
    field::ValueTypes,
    filter::{Filter, Narrowing},
    id::{ContactId, MessageId, RunId, VersionId, WorkflowId},
    score::Scores,
    team::{Representative, Team},
};
use jiff::{Timestamp, civil::Date};

use crate::{
    Activity, Catalog, Coming, ContactFilter, ContactRow, Counts, EventRow, HeldPoints, History, Import,
    Ingest, Lead, MessageFilter, MessageRow, NewSegment, NewVersion, Pause, Prunable, Pruned, Pruning,
    Publication, Published, Release, Released, Reports, Result, RowResult, RunFilter, RunRow, Scoring,
    Segments, SegmentsPublished, Standing, StandingPoints, StoredProgram, StoredSegment, TimelineEntry,
    answers::Answers,
    declared::Declared,
    error::{Doing as _, Raw},
    logic::{
        catalog::{self, Origin},
        declared_scores, import_contacts, import_events, limit, maybe_at, ms,
        prune::{self, Prune},
        report, segments, teams, timeline, watch,
    },
    publishing::{CatalogAnswers, ProgramRow, Publishing},
    release::PublicationRow,
    sets::Sets,
};

/// A database that keeps a contact store.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// A connection that reads.
    type Reader: Answers + CatalogAnswers;
    /// A write transaction.
    type Writer: Publishing + Prune + Commit + 'static;

    /// Takes a connection to read.
    async fn reader(&self) -> Raw<Self::Reader>;
    /// Begins a write transaction.
    async fn writer(&self) -> Raw<Self::Writer>;
    /// Begins the write transaction of an import: one at a time.
    async fn importer(&self) -> Raw<Self::Writer>;

    /// Begins the write transaction of one who publishes: one at a time, and beside an import only where that may miss what
    /// is new.
    async fn publisher(&self, concerns_imports: bool) -> Raw<Self::Writer>;

    /// The declared scores, as this process knows them.
    fn declared(&self) -> &Declared;

    /// How many contacts a filter selects.
    async fn count_selected(&self, filter: &Filter) -> Raw<u64>;
    /// The contacts that a filter selects, in the order of their ids.
    async fn selected(&self, filter: &Filter) -> Raw<Vec<ContactId>>;
    /// Makes the indexes by which these rules are found, and drops those of others.
    async fn make_indexes(&self, rules: &[Narrowing]) -> Raw<()>;
}

/// A transaction that can be kept; dropped, it never was.
#[async_trait]
pub(crate) trait Commit: Send {
    /// Keeps everything, and tells those who wait for changes if there are any.
    async fn commit(self) -> Raw<()>;

    /// Tells the planner what this transaction has brought so far, and that nobody else may say otherwise before its end:
    /// statistics that are taken beside a large import take a million contacts for none, and joins are planned by them.
    /// Nothing where the planner does without statistics.
    async fn take_statistics(&mut self) -> Raw<()> {
        Ok(())
    }
}

#[async_trait]
impl<B: Backend> Reports for B {
    async fn list_contacts(&self, filter: &ContactFilter, limit: usize) -> Result<Vec<Contact>> {
        let contacts = async { report::contacts(&mut self.reader().await?, filter, limit).await };
        contacts.await.doing("list contacts")
    }

    async fn timeline(&self, contact: ContactId) -> Result<Vec<TimelineEntry>> {
        let timeline = async { timeline::timeline(&mut self.reader().await?, contact).await };
        timeline.await.doing(format!("load what happened to contact {contact}"))
    }

    async fn coming(&self, contact: ContactId) -> Result<Vec<Coming>> {
        let coming = async { timeline::coming(&mut self.reader().await?, contact).await };
        coming.await.doing(format!("load what comes for contact {contact}"))
    }

    async fn leads(&self, limit: usize) -> Result<Vec<Lead>> {
        let leads = async { report::leads(&mut self.reader().await?, limit).await };
        leads.await.doing("list leads")
    }

    async fn list_runs(&self, filter: &RunFilter, limit: usize) -> Result<Vec<RunRow>> {
        let runs = async { report::runs(&mut self.reader().await?, filter, limit).await };
        runs.await.doing("list runs")
    }

    async fn run_decisions(&self, run: RunId) -> Result<Vec<TimelineEntry>> {
        let decisions = async { timeline::run_decisions(&mut self.reader().await?, run).await };
        decisions.await.doing(format!("load what happened to run {run}"))
    }

    async fn standing(&self) -> Result<Vec<Standing>> {
        let standing = async { report::standing(&mut self.reader().await?).await };
        standing.await.doing("count where runs stand")
    }

    async fn list_messages(&self, filter: &MessageFilter, limit: usize) -> Result<Vec<MessageRow>> {
        let messages = async { report::messages(&mut self.reader().await?, filter, limit).await };
        messages.await.doing("list messages")
    }

    async fn message(&self, message: MessageId) -> Result<Option<(MessageRow, Option<Vec<u8>>)>> {
        let found = async { report::message(&mut self.reader().await?, message).await };
        found.await.doing(format!("load message {message}"))
    }

    async fn messages_by_template(&self) -> Result<Vec<(String, u64)>> {
        let sent = async { report::sent_by_template(&mut self.reader().await?).await };
        sent.await.doing("count messages by template")
    }

    async fn messages_by_day(&self) -> Result<Vec<(Date, u64)>> {
        let sent = async { report::sent_by_day(&mut self.reader().await?).await };
        sent.await.doing("count messages by day")
    }

    async fn counts(&self) -> Result<Counts> {
        let counts = async { report::counts(&mut self.reader().await?).await };
        counts.await.doing("count what is in the store")
    }

    async fn activity(&self, since: Timestamp) -> Result<Activity> {
        let activity = async { report::activity(&mut self.reader().await?, since).await };
        activity.await.doing("sum up what happened")
    }

    async fn known_attributes(&self) -> Result<Vec<(String, ValueTypes)>> {
        let types = async { self.reader().await?.attribute_types().await };
        let types = types.await.doing("list the attributes of contacts")?;
        Ok(types.into_iter().map(|(name, bits)| (name, ValueTypes::from_bits(bits))).collect())
    }
}

#[async_trait]
impl<B: Backend> Catalog for B {
    async fn put_teams(&self, reps: &[Representative], teams: &[Team]) -> Result<()> {
        let put = async {
            let mut writer = self.publisher(false).await?;
            if catalog::put_teams(&mut writer, reps, teams).await? { writer.commit().await } else { Ok(()) }
        };
        put.await.doing("store the teams")
    }

    async fn teams(&self) -> Result<Vec<Team>> {
        let teams = async { teams::from_rows(self.reader().await?.teams().await?) };
        teams.await.doing("load the teams")
    }

    async fn representatives(&self) -> Result<Vec<Representative>> {
        let reps = async { self.reader().await?.representatives().await.map(teams::representatives) };
        reps.await.doing("load the representatives")
    }

    async fn publish(&self, version: &NewVersion<'_>, now: Timestamp) -> Result<Published> {
        let publish = async {
            let mut writer = self.publisher(catalog::has_dates(version)).await?;
            let published = catalog::put_version(&mut writer, version, Origin::default(), now).await?;
            writer.commit().await.map(|()| published)
        };
        publish.await.doing(format!("publish `{}`", version.program.name))
    }

    async fn release(&self, release: &Release<'_>, now: Timestamp) -> Result<Released> {
        let publish = async {
            let mut writer = self.publisher(catalog::concerns_imports(release)).await?;
            let released = catalog::release(&mut writer, release, now).await?;
            if !released.is_empty() {
                writer.commit().await?;
            }
            Raw::Ok(released)
        };
        publish.await.doing("publish")
    }

    async fn retire_all_but(&self, names: &BTreeSet<&str>, now: Timestamp) -> Result<Vec<String>> {
        let retire = async {
            let mut writer = self.publisher(false).await?;
            let retired = catalog::retire(&mut writer, |name| !names.contains(name), now).await?;
            writer.commit().await?;
            Raw::Ok(retired.into_iter().map(|(_, name)| name).collect())
        };
        retire.await.doing("retire workflows")
    }

    async fn history(&self, workflow: &str) -> Result<Option<History>> {
        let history = async { catalog::history(&mut self.reader().await?, workflow).await };
        history.await.doing(format!("list the versions of `{workflow}`"))
    }

    async fn publications(&self, most: usize) -> Result<Vec<Publication>> {
        let publications = async {
            let rows = self.reader().await?.publications(limit(most)).await?;
            rows.into_iter().map(PublicationRow::into_publication).collect::<Raw<_>>()
        };
        publications.await.doing("list what was published")
    }

    async fn program(&self, version: VersionId) -> Result<Option<StoredProgram>> {
        let program = async {
            let row = CatalogAnswers::program(&mut self.reader().await?, version.0).await?;
            row.map(ProgramRow::into_stored).transpose()
        };
        program.await.doing(format!("load version {version}"))
    }

    async fn current_programs(&self) -> Result<Vec<StoredProgram>> {
        let programs = async {
            let rows = self.reader().await?.current_programs().await?;
            rows.into_iter().map(ProgramRow::into_stored).collect::<Raw<_>>()
        };
        programs.await.doing("load the workflows")
    }

    async fn pause(&self, workflow: WorkflowId, now: Timestamp) -> Result<bool> {
        let pause = async {
            let mut writer = self.publisher(false).await?;
            let is_new = catalog::pause(&mut writer, workflow, now).await?;
            writer.commit().await.map(|()| is_new)
        };
        pause.await.doing(format!("pause workflow {workflow}"))
    }

    async fn resume(&self, workflow: WorkflowId, spread: bool, now: Timestamp) -> Result<bool> {
        let resume = async {
            let mut writer = self.publisher(false).await?;
            let was_paused = catalog::resume(&mut writer, workflow, spread, now).await?;
            writer.commit().await.map(|()| was_paused)
        };
        resume.await.doing(format!("resume workflow {workflow}"))
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        let pauses = async { catalog::pauses(&mut self.reader().await?).await };
        pauses.await.doing("list the pauses of workflows")
    }

    async fn revision(&self) -> Result<i64> {
        let revision = async { self.reader().await?.revision().await };
        revision.await.doing("read the catalog's revision")
    }

    async fn any_goals(&self) -> Result<bool> {
        let found = async { self.reader().await?.any_goals().await };
        found.await.doing("look for workflows with goals")
    }

    async fn any_experiments(&self) -> Result<bool> {
        let found = async { self.reader().await?.any_experiments().await };
        found.await.doing("look for workflows with experiments")
    }

    async fn plugin(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let wasm = async { self.reader().await?.plugin(digest.as_str()).await };
        wasm.await.doing(format!("load plugin {}", digest.short()))
    }

    async fn template(&self, digest: &Digest) -> Result<Option<String>> {
        let source = async { self.reader().await?.template(digest.as_str()).await };
        source.await.doing(format!("load template {}", digest.short()))
    }
}

#[async_trait]
impl<B: Backend> Segments for B {
    async fn publish_segments(
        &self,
        segments: &[NewSegment<'_>],
        now: Timestamp,
    ) -> Result<SegmentsPublished> {
        let publish = async {
            // No import goes on beside it that knows nothing of a new rule.
            let mut writer = self.importer().await?;
            let published = segments::publish(&mut writer, segments, now).await?;
            writer.commit().await.map(|()| published)
        };
        publish.await.doing("publish segments")
    }

    async fn segments(&self) -> Result<Vec<StoredSegment>> {
        let list = async { segments::list(&mut self.reader().await?).await };
        list.await.doing("list segments")
    }

    async fn count_members(&self, segment: &str) -> Result<u64> {
        let count = async { self.reader().await?.count_members(segment).await };
        let count: i64 = count.await.doing(format!("count the members of `{segment}`"))?;
        Ok(count.unsigned_abs())
    }

    async fn count_narrowed(&self, filter: &Filter) -> Result<u64> {
        self.count_selected(filter).await.doing("count contacts")
    }

    async fn narrowed(&self, filter: &Filter) -> Result<Vec<ContactId>> {
        self.selected(filter).await.doing("look for contacts")
    }

    async fn index_for(&self, rules: &[Narrowing]) -> Result<()> {
        self.make_indexes(rules).await.doing("make the indexes of segments")
    }

    async fn next_calendar_change(&self) -> Result<Option<Timestamp>> {
        let next = async { self.reader().await?.next_calendar_change().await };
        next.await.map(maybe_at).doing("find out when the calendar changes a segment")
    }
}

#[async_trait]
impl<B: Backend> Scoring for B {
    async fn publish_scores(&self, scores: &Scores, now: Timestamp) -> Result<Vec<String>> {
        let published: Raw<Vec<String>> = async {
            let mut writer = self.writer().await?;
            let changed = declared_scores::publish(&mut writer, scores, now).await?;
            writer.commit().await?;
            self.declared().set(Arc::new(scores.clone()));
            // Each slice for itself, so that nobody waits for all of them.
            loop {
                let mut writer = self.writer().await?;
                if !declared_scores::rework(&mut writer, now).await? {
                    return Ok(changed);
                }
                writer.commit().await?;
            }
        }
        .await;
        published.doing("publish scores")
    }

    async fn declared_scores(&self) -> Result<Arc<Scores>> {
        let read = async { declared_scores::read(self.reader().await?.score_definitions().await?) };
        let scores = Arc::new(read.await.doing("read the declared scores")?);
        self.declared().set(Arc::clone(&scores));
        Ok(scores)
    }

    async fn standing_points(&self, contacts: &[ContactId]) -> Result<Vec<StandingPoints>> {
        let points = async { declared_scores::standing(&mut self.reader().await?, contacts).await };
        points.await.doing("load for what contacts have points")
    }

    async fn held_points(&self, contact: ContactId) -> Result<Vec<HeldPoints>> {
        let held = async { declared_scores::held(&mut self.reader().await?, contact.0).await };
        held.await.doing(format!("load the points of contact {contact} that bounds kept back"))
    }
}

#[async_trait]
impl<B: Backend> Ingest for B {
    async fn begin_import(&self) -> Result<Box<dyn Import>> {
        let writer = self.importer().await.doing("begin an import")?;
        Ok(Box::new(ImportInProgress { writer, named: import_events::Named::default(), rows: 0 }))
    }

    async fn find_contact(&self, key: &str) -> Result<Option<ContactId>> {
        let find = async {
            let email = key.to_lowercase();
            self.reader().await?.find_contact(key.parse().ok(), key, &email).await
        };
        Ok(find.await.doing(format!("find the contact `{key}`"))?.map(ContactId))
    }
}

#[async_trait]
impl<B: Backend> Pruning for B {
    async fn prune(&self, what: Prunable, before: Timestamp, limit: usize) -> Result<Pruned> {
        let slice = async {
            let mut writer = self.writer().await?;
            let pruned = prune::slice(&mut writer, what, before, limit).await?;
            writer.commit().await.map(|()| pruned)
        };
        slice.await.doing(format!("delete old {}", what.name()))
    }

    async fn count_prunable(&self, what: Prunable, before: Timestamp) -> Result<u64> {
        let count = async { self.reader().await?.count_old(what, ms(before)).await };
        let count: i64 = count.await.doing(format!("count old {}", what.name()))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

/// An import in progress.
struct ImportInProgress<W> {
    writer: W,
    named: import_events::Named,
    /// How many rows came in.
    rows: usize,
}

/// From how many rows on an import is large: a join planned as if they were not there looks at all of them for each row of a
/// slice.
const LARGE_IMPORT: usize = 10_000;

impl<W: Commit> ImportInProgress<W> {
    /// Counts rows that came in.
    async fn count(&mut self, rows: usize) -> Raw<()> {
        let was_large = self.is_large();
        self.rows += rows;
        if self.is_large() && !was_large { self.writer.take_statistics().await } else { Ok(()) }
    }

    fn is_large(&self) -> bool {
        self.rows >= LARGE_IMPORT
    }
}

#[async_trait]
impl<W: Sets + Commit> Import for ImportInProgress<W> {
    async fn upsert_contacts(&mut self, rows: &[ContactRow], now: Timestamp) -> Result<Vec<RowResult>> {
        self.named.clear();
        let upsert = async {
            let results = import_contacts::upsert(&mut self.writer, rows, now).await?;
            watch::contacts(&mut self.writer, &results, now).await?;
            self.count(rows.len()).await.map(|()| results)
        };
        upsert.await.doing("import contacts")
    }

    async fn insert_events(&mut self, rows: &[EventRow], now: Timestamp) -> Result<Vec<RowResult>> {
        let insert = async {
            let results = import_events::insert(&mut self.writer, &mut self.named, rows, now).await?;
            watch::events(&mut self.writer, rows, &results, now).await?;
            self.count(rows.len()).await.map(|()| results)
        };
        insert.await.doing("import events")
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        let commit = async {
            if self.is_large() {
                self.writer.take_statistics().await?;
            }
            self.writer.commit().await
        };
        commit.await.doing("commit an import")
    }
}
