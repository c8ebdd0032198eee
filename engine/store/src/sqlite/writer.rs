//! The one write transaction of a moment, and the dictionary of words that its statements use.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{
    FromRow, Sqlite, SqliteConnection,
    query::{Query, QueryAs},
    query_scalar,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    Shared,
    ahead::{Batch, People},
    open,
    rows::{Chunks, RowsSql},
};
use crate::{backend::Commit, behind::Behind, error::Raw, words::Words};

/// So few rows are written sooner than handed over.
const FEW: usize = 16;

const BEGIN: &str = "BEGIN IMMEDIATE";

const FIND_WORDS: RowsSql = RowsSql {
    head: "WITH wanted(word) AS (VALUES",
    row: "(?)",
    tail: ") SELECT words.id, words.word FROM wanted CROSS JOIN words ON words.word = wanted.word",
};

const LAST_WORD: &str = "SELECT coalesce(max(id), 0) FROM words";

const INSERT_WORDS: RowsSql =
    RowsSql { head: "INSERT INTO words (id, word) VALUES", row: "(?, ?)", tail: "" };

/// A write transaction. Dropped without [`Writer::commit`], it is rolled back.
#[derive(Debug)]
pub(crate) struct Writer {
    tx: Behind<sqlx::Transaction<'static, Sqlite>>,
    pub(super) shared: Arc<Shared>,
    pub(super) words: Words,
    pub(super) representatives: Words,
    /// The last assignment's id, once it was asked for.
    pub(super) last_assignment: Option<i64>,
    /// Of whom the next ones may be read ahead.
    pub(super) batch: Option<Batch>,
    /// Contacts that were read ahead, as long as nothing is written.
    pub(super) people: Option<People>,
    wrote: bool,
}

impl Writer {
    /// Waits for the write connection, and for other processes, and begins.
    pub(super) async fn begin(shared: &Arc<Shared>) -> Raw<Self> {
        let at_once = shared.writer.try_begin_with(BEGIN);
        let tx = match open::audibly(&shared.path, at_once).await? {
            Some(tx) => tx,
            // Behind another writer of this process, which says what it waits for.
            None => shared.writer.begin_with(BEGIN).await?,
        };
        Ok(Self {
            tx: Behind::new(tx),
            shared: Arc::clone(shared),
            words: Words::default(),
            representatives: Words::default(),
            last_assignment: None,
            batch: None,
            people: None,
            wrote: false,
        })
    }

    /// The connection, to read: everything is written by then.
    pub(super) async fn conn(&mut self) -> Raw<&mut SqliteConnection> {
        Ok(&mut *self.tx.here().await?)
    }

    /// The connection, to write.
    async fn writing(&mut self) -> Raw<&mut SqliteConnection> {
        self.people = None;
        self.conn().await
    }

    /// Writes; answers how many rows changed.
    pub(super) async fn run(&mut self, statement: Query<'_, Sqlite, SqliteArguments>) -> Raw<u64> {
        let changed = statement.execute(self.writing().await?).await?.rows_affected();
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
        let row = statement.fetch_one(self.writing().await?).await?;
        self.wrote = true;
        Ok(row)
    }

    /// Writes many rows; answers how many changed.
    pub(super) async fn put(&mut self, rows: Chunks) -> Raw<u64> {
        let changed = rows.execute(self.writing().await?).await?;
        self.wrote |= changed > 0;
        Ok(changed)
    }

    /// Writes rows that this transaction hardly reads: many go on behind.
    pub(super) async fn put_behind(&mut self, rows: Chunks) -> Raw<()> {
        if !self.tx.is_away() && rows.len() < FEW {
            return self.put(rows).await.map(drop);
        }
        self.people = None;
        self.tx.write(Box::new(move |tx| Box::pin(rows.execute(tx)))).await;
        Ok(())
    }

    /// Writes many rows; answers what the statement returns of those that changed.
    pub(super) async fn put_returning<R>(&mut self, rows: Chunks) -> Raw<Vec<R>>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let changed = rows.fetch(self.writing().await?).await?;
        self.wrote |= !changed.is_empty();
        Ok(changed)
    }

    /// Looks up words, and stores those that are new.
    pub(super) async fn find_words(&mut self, words: Vec<&str>) -> Raw<()> {
        let mut wanted = self.words.missing(&self.shared.dictionary, words);
        if wanted.is_empty() {
            return Ok(());
        }
        let find = FIND_WORDS.over(&wanted, |binds, word| {
            binds.add(*word);
        });
        for (id, word) in find.fetch::<(i64, String)>(self.conn().await?).await? {
            wanted.remove(word.as_str());
            self.words.insert(&word, id);
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let last: i64 = query_scalar(LAST_WORD).fetch_one(self.conn().await?).await?;
        let new: Vec<(i64, &str)> = (last + 1..).zip(wanted).collect();
        let insert = INSERT_WORDS.over(&new, |binds, (id, word)| {
            binds.add(*id).add(*word);
        });
        self.put(insert).await?;
        for (id, word) in new {
            self.words.insert(word, id);
        }
        Ok(())
    }
}

#[async_trait]
impl Commit for Writer {
    async fn commit(self) -> Raw<()> {
        dripline_model::crash::point("store.commit.before");
        let (mut tx, changed) = self.tx.into_inner().await?;
        let reading = match self.batch {
            Some(batch) => Some(batch.read_on(&self.shared, &mut tx).await?),
            None => None,
        };
        tx.commit().await?;
        self.shared.ahead.set(reading);
        dripline_model::crash::point("store.commit.after");
        self.shared.dictionary.remember(self.words);
        self.shared.representatives.remember(self.representatives);
        if self.wrote || changed > 0 {
            self.shared.changes.bump();
        }
        Ok(())
    }
}
