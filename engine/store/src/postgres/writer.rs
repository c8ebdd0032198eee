//! A write transaction, and the dictionary of words that its statements use.

use std::sync::Arc;

use async_trait::async_trait;
use dripline_model::Digest;
use sqlx::{
    FromRow, PgConnection, Postgres,
    postgres::{PgArguments, PgRow},
    query,
    query::{Query, QueryAs},
    query_as,
};

use super::{
    Shared,
    append::Rows,
    changes::{CHANNEL, EVENTS},
    rows::text,
};
use crate::{backend::Commit, behind::Behind, error::Raw, words::Words};

const FIND_WORDS: &str = "
SELECT t.place, w.id FROM unnest($1::text[]) WITH ORDINALITY AS t(key, place) JOIN words w ON w.key = t.key";

const INSERT_WORDS: &str = "
INSERT INTO words (key, word) SELECT * FROM unnest($1::text[], $2::text[]) AS t(key, word) ORDER BY key
ON CONFLICT (key) DO NOTHING";

/// What an import writes, as of this transaction, which counts its own rows and keeps others from counting without them
/// (<https://www.postgresql.org/docs/current/explicit-locking.html>: `SHARE UPDATE EXCLUSIVE`, against itself).
const STATISTICS: &str = "ANALYZE contacts, consents, contact_tags, segment_changes, events";

const NOTIFY: &str = "SELECT pg_notify($1, $2)";

/// Words up to this many bytes are their own keys; an index takes no more than 2,700.
const LONGEST_KEY: usize = 1_000;

/// A write transaction. Dropped without [`Commit::commit`], it is rolled back.
#[derive(Debug)]
pub(crate) struct Writer {
    tx: Behind<sqlx::Transaction<'static, Postgres>>,
    pub(super) shared: Arc<Shared>,
    pub(super) words: Words,
    pub(super) representatives: Words,
    wrote: bool,
    /// Whether something was written that other processes wait for.
    pub(super) wakes_others: bool,
    /// Whether live events are among it.
    pub(super) brings_events: bool,
    /// How often events had come when it began.
    arrivals: u64,
}

impl Writer {
    /// Begins.
    pub(super) async fn begin(shared: &Arc<Shared>) -> Raw<Self> {
        let tx = shared.writers.begin().await?;
        Ok(Self {
            tx: Behind::new(tx),
            shared: Arc::clone(shared),
            words: Words::default(),
            representatives: Words::default(),
            wrote: false,
            wakes_others: false,
            brings_events: false,
            arrivals: shared.changes.arrivals(),
        })
    }

    /// Whether events have come since it began.
    pub(super) fn others_wait(&self) -> bool {
        self.shared.changes.arrivals() != self.arrivals
    }

    /// The connection, to read: everything is written by then.
    pub(super) async fn conn(&mut self) -> Raw<&mut PgConnection> {
        Ok(&mut *self.tx.here().await?)
    }

    /// Writes what this transaction hardly reads: it goes on behind.
    pub(super) async fn run_behind(&mut self, statement: Query<'static, Postgres, PgArguments>) {
        self.tx
            .write(Box::new(move |tx| {
                Box::pin(async move { Ok(statement.execute(&mut **tx).await?.rows_affected()) })
            }))
            .await;
    }

    /// Appends rows behind.
    pub(super) async fn append_behind(&mut self, sql: &'static str, rows: Rows) {
        self.tx.write(Box::new(move |tx| Box::pin(rows.append(tx, sql)))).await;
    }

    /// Writes; answers how many rows changed.
    pub(super) async fn run(&mut self, statement: Query<'_, Postgres, PgArguments>) -> Raw<u64> {
        let changed = statement.execute(self.conn().await?).await?.rows_affected();
        self.wrote |= changed > 0;
        Ok(changed)
    }

    /// Writes; answers what the statement returns of those rows that changed.
    pub(super) async fn run_returning<R>(
        &mut self,
        statement: QueryAs<'_, Postgres, R, PgArguments>,
    ) -> Raw<Vec<R>>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let changed = statement.fetch_all(self.conn().await?).await?;
        self.wrote |= !changed.is_empty();
        Ok(changed)
    }

    /// Looks up words, and stores those that are new, beside this transaction: a word is never deleted, so it does no
    /// harm to be there although nobody used it, and no batch waits for another's.
    pub(super) async fn find_words(&mut self, words: Vec<&str>) -> Raw<()> {
        let wanted: Vec<&str> = self.words.missing(&self.shared.dictionary, words).into_iter().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = wanted.iter().map(|word| key(word)).collect();
        let mut conn = self.shared.readers.acquire().await?;
        for is_last in [false, true] {
            let found: Vec<(i64, i64)> = query_as(FIND_WORDS).bind(&keys).fetch_all(&mut *conn).await?;
            for (place, id) in &found {
                let place = usize::try_from(place - 1).unwrap_or_default();
                wanted.get(place).into_iter().for_each(|word| self.words.insert(word, *id));
            }
            if is_last || found.len() == wanted.len() {
                break;
            }
            let stored: Vec<_> = wanted.iter().map(|word| text(word)).collect();
            query(INSERT_WORDS).bind(&keys).bind(&stored).execute(&mut *conn).await?;
        }
        Ok(())
    }
}

/// What is unique about a word.
pub(super) fn key(word: &str) -> String {
    if word.len() <= LONGEST_KEY && !word.contains('\0') {
        return word.to_owned();
    }
    format!("\u{1}{}", Digest::of(word.as_bytes()).as_str())
}

#[async_trait]
impl Commit for Writer {
    async fn commit(mut self) -> Raw<()> {
        if self.wakes_others {
            let what = if self.brings_events { EVENTS } else { "" };
            query(NOTIFY).bind(CHANNEL).bind(what).execute(self.conn().await?).await?;
        }
        dripline_model::crash::point("store.commit.before");
        let (tx, changed) = self.tx.into_inner().await?;
        tx.commit().await?;
        dripline_model::crash::point("store.commit.after");
        self.shared.dictionary.remember(self.words);
        self.shared.representatives.remember(self.representatives);
        if self.wrote || changed > 0 {
            if self.brings_events {
                self.shared.changes.arrived();
            }
            self.shared.changes.bump();
        }
        Ok(())
    }

    async fn take_statistics(&mut self) -> Raw<()> {
        query(STATISTICS).execute(self.conn().await?).await?;
        Ok(())
    }
}
