//! What the next batch will ask for first, read while the one before it is committed.
//!
//! A commit waits for the disk, and until it has ended nobody else may write. But of a large workflow the next batch is
//! known: the runs that are due next, and their contacts. Another connection reads them in the meantime, without the
//! contacts of the batch that is committed, which are all that it changes.
//!
//! What was read is taken only if nothing else was written in between: by this connection, which counts the rows that it
//! changes, or by others, whose commits it is told of (<https://www.sqlite.org/pragma.html#pragma_data_version>).
//! Otherwise, and whenever in doubt, the next batch reads for itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use dripline_model::{
    Contact,
    contact::Needs,
    id::{ContactId, RunId, VersionId, WorkflowId},
    program::NodeIndex,
};
use jiff::Timestamp;
use sqlx::{SqliteConnection, query_as, query_scalar};
use tokio::task::JoinHandle;

use super::{
    Shared, contacts,
    rows::json_rows,
    transaction::{CLAIM_RUNS, RunTuple, one},
    writer::Writer,
};
use crate::{
    ClaimedRun,
    error::Raw,
    logic::{distinct, limit, ms},
};

/// So few runs are read sooner than they are read ahead.
const FEW: usize = 64;

/// After so many batches one is committed while nobody reads. SQLite copies its log into the database at a commit, as far as
/// nobody reads an older state, and begins it anew only when all of it is copied.
const LONGEST_ROW: u32 = 32;

/// What a connection has changed so far, and how often others have committed.
const STAMP: &str = "SELECT total_changes(), data_version FROM pragma_data_version";

type Stamp = (i64, i64);

/// What is read ahead of the next transaction.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<Option<Reading>>);

#[derive(Debug)]
pub(super) struct Reading {
    /// How things were when it began, but for the batch that was committed then.
    stamp: Stamp,
    claim: Claim,
    /// How many batches have followed on each other by then.
    in_a_row: u32,
    /// `None` where nobody reads.
    read: Option<JoinHandle<Raw<Option<Read>>>>,
}

/// The question for runs that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) workflow: WorkflowId,
    pub(super) count: usize,
}

/// What was read.
#[derive(Debug)]
struct Read {
    runs: Vec<ClaimedRun>,
    people: Option<People>,
}

/// Contacts as they are before anything is written.
#[derive(Debug)]
pub(super) struct People {
    needs: Needs,
    contacts: BTreeMap<i64, Contact>,
}

/// A batch of many runs of one workflow.
#[derive(Debug)]
pub(super) struct Batch {
    claim: Claim,
    pub(super) now: Timestamp,
    runs: BTreeSet<RunId>,
    contacts: BTreeSet<ContactId>,
    /// Where they stood, if it was one place.
    place: Option<Place>,
    /// What was needed of their contacts first.
    needs: Option<Needs>,
    /// How many batches of its workflow it follows on, directly one on the other: the next one may follow on it.
    in_a_row: u32,
}

type Place = (VersionId, NodeIndex);

impl Claim {
    /// The runs, the longest due first.
    async fn ask(self, conn: &mut SqliteConnection, now: Timestamp, beside: usize) -> Raw<Vec<ClaimedRun>> {
        let query =
            query_scalar(CLAIM_RUNS).bind(self.workflow.0).bind(ms(now)).bind(limit(self.count + beside));
        let rows: Vec<RunTuple> = json_rows(conn, query).await?;
        rows.into_iter().map(one).collect()
    }
}

impl Writer {
    /// Up to so many runs that are due, by contacts.
    pub(super) async fn claim(&mut self, claim: Claim, now: Timestamp) -> Raw<Vec<ClaimedRun>> {
        let before = self.before(claim).await?;
        let in_a_row = before.as_ref().map_or(0, |before| before.in_a_row + 1);
        let mut runs = match read(before).await {
            Some(Read { runs, people }) => {
                self.people = people;
                runs
            }
            None => claim.ask(self.conn().await?, now, 0).await?,
        };
        // The longest due are the ones chosen; contact order is what makes the rest of the batch fast.
        runs.sort_unstable_by_key(|run| (run.contact, run.run));
        self.batch = Batch::of(claim, now, &runs, in_a_row);
        Ok(runs)
    }

    /// What was read while the batch before was committed, if nothing was written since.
    async fn before(&mut self, claim: Claim) -> Raw<Option<Reading>> {
        if claim.count <= FEW {
            return Ok(None);
        }
        let Some(reading) = self.shared.ahead.set(None) else { return Ok(None) };
        let is_last = reading.claim == claim && reading.stamp == stamp(self.conn().await?).await?;
        Ok(is_last.then_some(reading))
    }

    /// The contacts, if they were read ahead and nothing is written.
    pub(super) fn people_ahead(&mut self, ids: &[i64], needs: &Needs) -> Option<Vec<Contact>> {
        if let Some(batch) = &mut self.batch {
            batch.needs.get_or_insert_with(|| needs.clone());
        }
        let People { needs: read, mut contacts } = self.people.take()?;
        if read != *needs {
            return None;
        }
        ids.iter().map(|id| contacts.remove(id)).collect()
    }
}

async fn stamp(conn: &mut SqliteConnection) -> Raw<Stamp> {
    Ok(query_as(STAMP).fetch_one(conn).await?)
}

/// What was read. What went wrong there goes wrong again where it is read now, and is told there.
async fn read(before: Option<Reading>) -> Option<Read> {
    before?.read?.await.ok()?.ok()?
}

impl Batch {
    /// None where it took all that there was.
    fn of(claim: Claim, now: Timestamp, runs: &[ClaimedRun], in_a_row: u32) -> Option<Self> {
        (claim.count > FEW && runs.len() == claim.count).then(|| Self {
            claim,
            now,
            runs: runs.iter().map(|run| run.run).collect(),
            contacts: runs.iter().map(|run| run.contact).collect(),
            place: one_place(runs),
            needs: None,
            in_a_row,
        })
    }

    /// Its runs.
    pub(super) fn runs(&self) -> impl Iterator<Item = RunId> {
        self.runs.iter().copied()
    }

    /// Begins to read for the next one. This one has written everything, and is not committed.
    pub(super) async fn read_on(self, shared: &Arc<Shared>, conn: &mut SqliteConnection) -> Raw<Reading> {
        let (stamp, claim, in_a_row) = (stamp(conn).await?, self.claim, self.in_a_row);
        let reads = in_a_row > 0 && !in_a_row.is_multiple_of(LONGEST_ROW);
        let read = reads.then(|| tokio::spawn(self.next(Arc::clone(shared))));
        Ok(Reading { stamp, claim, in_a_row, read })
    }

    /// The next one, if it is a full one.
    async fn next(self, shared: Arc<Shared>) -> Raw<Option<Read>> {
        let mut conn = shared.readers.acquire().await?;
        let mut runs = Vec::with_capacity(self.claim.count);
        for run in self.claim.ask(&mut conn, self.now, self.runs.len()).await? {
            if self.runs.contains(&run.run) {
                continue;
            }
            // What becomes of it, the batch says.
            if self.contacts.contains(&run.contact) {
                return Ok(None);
            }
            runs.push(run);
        }
        runs.truncate(self.claim.count);
        if runs.len() < self.claim.count {
            return Ok(None);
        }
        let people = match self.needs {
            Some(needs) if self.place.is_some() && one_place(&runs) == self.place => {
                let ids = distinct(&runs.iter().map(|run| run.contact).collect::<Vec<_>>());
                let contacts = contacts::load(&mut conn, &ids, &needs).await?;
                Some(People {
                    needs,
                    contacts: contacts.into_iter().map(|contact| (contact.id.0, contact)).collect(),
                })
            }
            _ => None,
        };
        Ok(Some(Read { runs, people }))
    }
}

fn one_place(runs: &[ClaimedRun]) -> Option<Place> {
    let mut places = runs.iter().map(|run| (run.version, run.node));
    let first = places.next()?;
    places.all(|place| place == first).then_some(first)
}

impl Ahead {
    pub(super) fn set(&self, reading: Option<Reading>) -> Option<Reading> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), reading)
    }
}

#[cfg(test)]
mod tests {
    use dripline_model::{
        clock::from_ms,
        decision::{DecisionKind, RunStatus},
    };
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

    use super::*;
    use crate::{
        Advance, AppliedTurn, Transaction as _,
        backend::Backend as _,
        logic::pending::Pending,
        sqlite::{SqliteStore, open, transaction::SqliteTransaction},
    };

    const WORKFLOW: WorkflowId = WorkflowId(1);
    const COUNT: usize = 100;
    const NOW: i64 = 1_000;

    /// A thousand contacts in a workflow, due one after the other in another order than theirs.
    const DUE: &str = "
        INSERT INTO workflows (id, name, created_at) VALUES (1, 'w', 0);
        INSERT INTO workflow_versions VALUES (1, 1, 1, '', '', '', 0, NULL, NULL);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO contacts (id, uid, external_id, attributes, created_at, updated_at)
        SELECT i, x'00', i, jsonb_object('plan', 'pro'), 0, 0 FROM n;
        INSERT INTO runs (id, workflow_id, version_id, contact_id, node, status, due_at, turn, attempts, hops, enrolled_at)
        SELECT id, 1, 1, id, 0, 0, id * 7 % 1000, 0, 0, 0, 0 FROM contacts";

    async fn due() -> SqliteStore {
        let store = SqliteStore::in_memory().await.unwrap();
        store.shared.writer.execute(DUE).await.unwrap();
        store
    }

    struct Taken {
        runs: Vec<i64>,
        plans: BTreeSet<String>,
        was_read_ahead: bool,
    }

    /// Takes a batch and sends its runs on.
    async fn take(store: &SqliteStore, advance: impl Fn(&ClaimedRun) -> Advance) -> Taken {
        let mut tx = Box::new(SqliteTransaction {
            writer: store.writer().await.unwrap(),
            pending: Pending::default(),
        });
        let runs = tx.claim_runs(WORKFLOW, from_ms(NOW), COUNT).await.unwrap();
        let was_read_ahead = tx.writer.people.is_some();
        let ids: Vec<_> = runs.iter().map(|run| run.contact).collect();
        let needs = Needs { attributes: BTreeSet::from(["plan".into()]), ..Needs::default() };
        let people = tx.load_contacts(&ids, &needs, from_ms(NOW)).await.unwrap();
        assert_eq!(people.len(), ids.len());
        let turns: Vec<_> = runs
            .iter()
            .map(|run| AppliedTurn {
                run: *run,
                effects: Vec::new(),
                decision: DecisionKind::Done,
                reason: "on it went".into(),
                advance: advance(run),
            })
            .collect();
        tx.apply(&turns, from_ms(NOW)).await.unwrap();
        tx.commit().await.unwrap();
        let plan = |contact: &Contact| contact.attributes["plan"].as_str().unwrap().to_owned();
        Taken {
            runs: runs.iter().map(|run| run.run.0).collect(),
            plans: people.iter().map(plan).collect(),
            was_read_ahead,
        }
    }

    fn end(_: &ClaimedRun) -> Advance {
        Advance::End(RunStatus::Completed)
    }

    #[tokio::test]
    async fn a_batch_that_follows_on_two_others_is_read_ahead_and_the_same() {
        let (ahead, plainly) = (due().await, due().await);
        for batch in 0..10 {
            plainly.shared.ahead.set(None);
            let (one, other) = (take(&ahead, end).await, take(&plainly, end).await);
            assert_eq!(one.runs, other.runs);
            assert_eq!((one.was_read_ahead, other.was_read_ahead), (batch >= 2, false), "batch {batch}");
        }
        assert_eq!(take(&ahead, end).await.runs, [0; 0]);
    }

    #[tokio::test]
    async fn what_was_written_in_between_is_seen() {
        let store = due().await;
        let mut other = open::plain(&store.shared.path).connect().await.unwrap();
        for batch in 0..8 {
            let change = format!("UPDATE contacts SET attributes = jsonb_object('plan', '{batch}')");
            match batch % 2 {
                0 => store.shared.writer.execute(AssertSqlSafe(change)).await.unwrap(),
                _ => other.execute(AssertSqlSafe(change)).await.unwrap(),
            };
            let taken = take(&store, end).await;
            assert_eq!((taken.was_read_ahead, taken.plans), (false, BTreeSet::from([batch.to_string()])));
        }
    }

    #[tokio::test]
    async fn who_stays_due_is_claimed_again_before_others() {
        let (ahead, plainly) = (due().await, due().await);
        let stays = |run: &ClaimedRun| match run.turn {
            0 if run.run.0 % 50 == 0 => Advance::To { node: 1, due: run.due, waited: false },
            _ => Advance::End(RunStatus::Completed),
        };
        for _ in 0..11 {
            plainly.shared.ahead.set(None);
            assert_eq!(take(&ahead, stays).await.runs, take(&plainly, stays).await.runs);
        }
    }

    #[tokio::test]
    async fn who_is_in_the_workflow_twice_is_claimed_in_the_same_order() {
        let (ahead, plainly) = (due().await, due().await);
        let twice = "INSERT INTO runs (id, workflow_id, version_id, contact_id, node, status, due_at, turn, attempts, hops,
            enrolled_at, lane) SELECT 1000 + id, 1, 1, contact_id, 0, 0, due_at + 30, 0, 0, 0, 0, id FROM runs
            WHERE due_at > 500";
        for store in [&ahead, &plainly] {
            store.shared.writer.execute(twice).await.unwrap();
        }
        let mut times = 0;
        for _ in 0..16 {
            plainly.shared.ahead.set(None);
            let taken = take(&ahead, end).await;
            times += u32::from(taken.was_read_ahead);
            assert_eq!(taken.runs, take(&plainly, end).await.runs);
        }
        assert!((1..13).contains(&times), "{times}");
    }
}
