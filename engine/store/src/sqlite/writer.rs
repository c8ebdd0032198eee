//! The one write transaction of a moment, and the dictionary of words that its statements use.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError},
};

use dripline_model::{Digest, id::VersionId, program::Program};
use sqlx::{
    FromRow, Sqlite, SqliteConnection,
    query::{Query, QueryAs},
    query_as, query_scalar,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    Shared,
    rows::{Chunks, Raw, RowsSql, damaged, from_json},
};

const BEGIN: &str = "BEGIN IMMEDIATE";

const FIND_WORDS: RowsSql = RowsSql {
    head: "WITH wanted(word) AS (VALUES",
    row: "(?)",
    tail: ") SELECT words.id, words.word FROM wanted CROSS JOIN words ON words.word = wanted.word",
};

const LAST_WORD: &str = "SELECT coalesce(max(id), 0) FROM words";

const INSERT_WORDS: RowsSql =
    RowsSql { head: "INSERT INTO words (id, word) VALUES", row: "(?, ?)", tail: "" };

const VERSION: &str = "
SELECT w.name, v.number, v.program
FROM workflow_versions v JOIN workflows w ON w.id = v.workflow_id
WHERE v.id = ?1";

/// Words that the store keeps in memory before it starts anew; reasons may be all different.
const WORDS_KEPT: usize = 1 << 16;

/// A write transaction. Dropped without [`Writer::commit`], it is rolled back.
#[derive(Debug)]
pub(super) struct Writer {
    tx: sqlx::Transaction<'static, Sqlite>,
    pub(super) shared: Arc<Shared>,
    words: HashMap<Arc<str>, i64>,
    wrote: bool,
}

impl Writer {
    /// Waits for the write connection, and for other processes, and begins.
    pub(super) async fn begin(shared: &Arc<Shared>) -> Raw<Self> {
        let tx = shared.writer.begin_with(BEGIN).await?;
        Ok(Self { tx, shared: Arc::clone(shared), words: HashMap::new(), wrote: false })
    }

    /// The connection, to read.
    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }

    /// Writes; answers how many rows changed.
    pub(super) async fn run(&mut self, statement: Query<'_, Sqlite, SqliteArguments>) -> Raw<u64> {
        let changed = statement.execute(&mut *self.tx).await?.rows_affected();
        self.wrote |= changed > 0;
        Ok(changed)
    }

    /// Writes one row; answers what the statement returns of it.
    pub(super) async fn run_returning<R>(
        &mut self,
        statement: QueryAs<'_, Sqlite, R, SqliteArguments>,
    ) -> Raw<R>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let row = statement.fetch_one(&mut *self.tx).await?;
        self.wrote = true;
        Ok(row)
    }

    /// Writes many rows; answers how many changed.
    pub(super) async fn put(&mut self, rows: Chunks) -> Raw<u64> {
        let changed = rows.execute(&mut self.tx).await?;
        self.wrote |= changed > 0;
        Ok(changed)
    }

    /// Writes many rows; answers what the statement returns of those that changed.
    pub(super) async fn put_returning<R>(&mut self, rows: Chunks) -> Raw<Vec<R>>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let changed = rows.fetch(&mut self.tx).await?;
        self.wrote |= !changed.is_empty();
        Ok(changed)
    }

    /// Commits, and tells those who wait for changes if there are any.
    pub(super) async fn commit(self) -> Raw<()> {
        self.tx.commit().await?;
        self.shared.remember_words(self.words);
        if self.wrote {
            self.shared.changes.bump();
        }
        Ok(())
    }

    /// Looks up words, and stores those that are new; [`Writer::word`] then knows them.
    pub(super) async fn intern(&mut self, words: Vec<&str>) -> Raw<()> {
        let mut wanted = BTreeSet::new();
        {
            let known = self.shared.words.lock().unwrap_or_else(PoisonError::into_inner);
            for word in words {
                if self.words.contains_key(word) {
                    continue;
                }
                match known.get_key_value(word) {
                    Some((word, id)) => drop(self.words.insert(Arc::clone(word), *id)),
                    None => drop(wanted.insert(word)),
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let find = FIND_WORDS.over(&wanted, |binds, word| {
            binds.add(*word);
        });
        for (id, word) in find.fetch::<(i64, String)>(&mut self.tx).await? {
            wanted.remove(word.as_str());
            self.words.insert(word.into(), id);
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let last: i64 = query_scalar(LAST_WORD).fetch_one(&mut *self.tx).await?;
        let new: Vec<(i64, &str)> = (last + 1..).zip(wanted).collect();
        let insert = INSERT_WORDS.over(&new, |binds, (id, word)| {
            binds.add(*id).add(*word);
        });
        self.put(insert).await?;
        self.words.extend(new.into_iter().map(|(id, word)| (Arc::from(word), id)));
        Ok(())
    }

    /// The id of a word that was interned in this transaction.
    pub(super) fn word(&self, word: &str) -> Raw<i64> {
        self.words.get(word).copied().ok_or_else(|| damaged("dictionary", format!("`{word}` is missing")))
    }

    /// What a version is; see [`Shared::version`].
    pub(super) async fn version(&mut self, id: VersionId) -> Raw<Arc<Version>> {
        self.shared.version(&mut self.tx, id).await
    }
}

/// A workflow's version, read once; versions never change.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) workflow_name: String,
    pub(super) number: i64,
    pub(super) templates: Arc<BTreeMap<String, Digest>>,
    steps: Vec<String>,
}

impl Version {
    /// The id of the step at a node; for a node that is not there, its number.
    pub(super) fn step(&self, node: i64) -> String {
        let step = usize::try_from(node).ok().and_then(|node| self.steps.get(node));
        step.cloned().unwrap_or_else(|| format!("#{node}"))
    }
}

impl Shared {
    /// What a version is.
    pub(super) async fn version(&self, conn: &mut SqliteConnection, id: VersionId) -> Raw<Arc<Version>> {
        if let Some(version) = self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Arc::clone(version));
        }
        let row: Option<(String, i64, String)> = query_as(VERSION).bind(id.0).fetch_optional(conn).await?;
        let (workflow_name, number, program) =
            row.ok_or_else(|| damaged("workflow version", format!("version {id} is missing")))?;
        let program: Program = from_json("program", &program)?;
        let version = Arc::new(Version {
            workflow_name,
            number,
            templates: Arc::new(program.templates),
            steps: program.nodes.into_iter().map(|node| node.id).collect(),
        });
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&version));
        Ok(version)
    }

    /// Keeps the words of a committed transaction.
    fn remember_words(&self, words: HashMap<Arc<str>, i64>) {
        let mut known = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + words.len() > WORDS_KEPT {
            known.clear();
        }
        known.extend(words);
    }
}
