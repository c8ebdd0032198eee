//! What a run of the five steps has left behind: so that nobody is fast by leaving something out.

use std::fmt;

use rusqlite::Connection;

use crate::{Result, place::Database, yardstick::postgres::connect};

/// A table, and the query for how many rows the job wrote there and a sum over what is in them. Both databases take them.
const QUERIES: &[(&str, &str)] = &[
    (
        "runs that ended",
        "SELECT count(*), CAST(coalesce(sum(turn * 100 + node), 0) AS BIGINT) FROM runs WHERE status = 1 AND due_at IS NULL AND ended_at IS NOT NULL",
    ),
    (
        "decisions",
        "SELECT count(*), CAST(coalesce(sum(d.turn * 1000 + d.node * 100 + d.kind), 0) AS BIGINT) FROM decisions d WHERE node IS NOT NULL",
    ),
    (
        "their reasons",
        "SELECT count(*), CAST(coalesce(sum(length(w.word)), 0) AS BIGINT) FROM decisions d JOIN words w ON w.id = d.reason",
    ),
    (
        "score entries",
        "SELECT count(*), CAST(coalesce(sum(e.points * 1000 + e.total + length(w.word)), 0) AS BIGINT) FROM score_entries e JOIN words w ON w.id = e.because",
    ),
    ("scores", "SELECT count(*), CAST(coalesce(sum(value), 0) AS BIGINT) FROM contact_scores"),
    (
        "messages",
        "SELECT count(*), CAST(coalesce(sum(node * 1000 + length(recipient) + length(subject)), 0) AS BIGINT) FROM messages WHERE due_at = queued_at AND topic IS NOT NULL",
    ),
    (
        "assignments",
        "SELECT count(*), CAST(coalesce(sum(a.rep_id * 1000 + a.turn * 100 + length(w.word)), 0) AS BIGINT) FROM assignments a JOIN words w ON w.id = a.because",
    ),
    (
        "owners",
        "SELECT count(*), CAST(coalesce(sum(o.rep_id), 0) AS BIGINT) FROM owners o JOIN assignments a ON a.id = o.assignment_id AND a.rep_id = o.rep_id",
    ),
    ("words", "SELECT count(*), CAST(coalesce(sum(length(word)), 0) AS BIGINT) FROM words"),
    ("cells of state", "SELECT count(*), CAST(0 AS BIGINT) FROM plugin_state"),
];

/// Rows and sums, by table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tally(Vec<(&'static str, i64, i64)>);

impl Tally {
    /// Counts.
    pub(crate) async fn of(database: &Database) -> Result<Self> {
        match database {
            Database::Sqlite(path) => {
                let connection = Connection::open(path)?;
                let counted = QUERIES.iter().map(|(table, sql)| {
                    let row = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
                    row.map(|(rows, sum)| (*table, rows, sum))
                });
                Ok(Self(counted.collect::<std::result::Result<_, _>>()?))
            }
            Database::Postgres { url, .. } => {
                let client = connect(url).await?;
                let mut counted = Vec::with_capacity(QUERIES.len());
                for (table, sql) in QUERIES {
                    let row = client.query_one(*sql, &[]).await?;
                    counted.push((*table, row.try_get(0)?, row.try_get(1)?));
                }
                Ok(Self(counted))
            }
        }
    }

    /// Whether both are the same; else how they differ.
    pub(crate) fn must_equal(&self, other: &Self, whose: &str) -> Result<()> {
        let differs = self.0.iter().zip(&other.0).find(|(one, other)| one != other);
        differs
            .map_or(Ok(()), |(one, other)| Err(format!("{whose} wrote {other:?}, the engine {one:?}").into()))
    }

    /// How many rows were written in all.
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub(crate) fn rows_for_each(&self, contacts: usize) -> f64 {
        let rows: i64 =
            self.0.iter().filter(|(table, ..)| *table != "their reasons").map(|(_, rows, _)| rows).sum();
        rows as f64 / contacts.max(1) as f64
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(|(table, rows, _)| format!("{rows} {table}")).collect();
        f.write_str(&all.join(", "))
    }
}
