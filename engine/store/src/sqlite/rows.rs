//! Many rows in one statement.
//!
//! sqlx costs tens of microseconds for each statement and two to three for each row that it loads, which is far more
//! than SQLite needs for the row itself. So rows go in as multi-row `VALUES`, in chunks of a few fixed sizes (every size
//! is a statement of its own in the connection's cache), and many rows come out as one JSON array.

use serde::de::DeserializeOwned;
use sqlx::{
    Arguments as _, AssertSqlSafe, Encode, FromRow, Sqlite, SqliteConnection, Type,
    error::BoxDynError,
    query::QueryScalar,
    query_as_with, query_with,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::error::{Raw, from_json};

/// How many rows the chunks of a statement have, largest first. Each connection keeps what SQLite makes of each, some kilobytes for
/// every ten rows, so that larger ones would cost memory. 512 rows of 20 values stay well below SQLite's limit of 32,766 parameters.
const CHUNKS: [usize; 6] = [512, 128, 32, 8, 2, 1];

/// A statement with a row of values for each of many things: `head (…), (…) tail`.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowsSql {
    /// What stands before the rows, `VALUES` included.
    pub(super) head: &'static str,
    /// One row, in parentheses, with a `?` for each value.
    pub(super) row: &'static str,
    /// What stands after the rows.
    pub(super) tail: &'static str,
}

impl RowsSql {
    /// Binds the values of every row, in the order of the row's `?`.
    pub(super) fn over<T>(&self, rows: impl IntoIterator<Item = T>, bind: impl Fn(&mut Binds, T)) -> Chunks {
        self.chunked(rows, bind, |rest| CHUNKS.into_iter().find(|size| *size <= rest))
    }

    /// The same for a statement to which a row of NULLs means nothing: the last chunks are filled up with such rows, so that
    /// there are few statements.
    pub(super) fn padded<T>(
        &self,
        rows: impl IntoIterator<Item = T>,
        bind: impl Fn(&mut Binds, T),
    ) -> Chunks {
        // More than half full.
        self.chunked(rows, bind, |rest| CHUNKS.into_iter().find(|size| *size < rest * 2))
    }

    fn chunked<T>(
        &self,
        rows: impl IntoIterator<Item = T>,
        bind: impl Fn(&mut Binds, T),
        size_for: impl Fn(usize) -> Option<usize>,
    ) -> Chunks {
        let mut rows: Vec<T> = rows.into_iter().collect();
        let count = rows.len();
        let places = self.row.bytes().filter(|byte| *byte == b'?').count();
        let mut statements = Vec::new();
        let mut rest = rows.drain(..);
        while let Some(size) = size_for(rest.len()) {
            let taken = rest.len().min(size);
            let mut binds = Binds::with_places(taken * places);
            rest.by_ref().take(size).for_each(|row| bind(&mut binds, row));
            statements.push(Statement { sql: self.sql(size), binds, values: taken * places });
        }
        Chunks { statements, rows: count }
    }

    /// The statement for this many rows.
    pub(super) fn sql(&self, rows: usize) -> String {
        let separated = format!("{}, ", self.row);
        let all = separated.repeat(rows);
        format!("{} {} {}", self.head, all.trim_end_matches(", "), self.tail)
    }
}

/// Statements with their values, ready to go.
#[derive(Debug)]
pub(super) struct Chunks {
    statements: Vec<Statement>,
    rows: usize,
}

#[derive(Debug)]
struct Statement {
    sql: String,
    binds: Binds,
    /// How many values there have to be; places without one are NULL.
    values: usize,
}

impl Chunks {
    /// How many rows they have.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Runs them; answers how many rows changed.
    pub(super) async fn execute(self, conn: &mut SqliteConnection) -> Raw<u64> {
        let mut changed = 0;
        for Statement { sql, binds, values } in self.statements {
            let arguments = binds.checked(values, &sql)?;
            // Put together from constants; every value is bound.
            changed += query_with(AssertSqlSafe(sql), arguments).execute(&mut *conn).await?.rows_affected();
        }
        Ok(changed)
    }

    /// Runs them and loads what they answer.
    pub(super) async fn fetch<R>(self, conn: &mut SqliteConnection) -> Raw<Vec<R>>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut rows = Vec::new();
        for Statement { sql, binds, values } in self.statements {
            let arguments = binds.checked(values, &sql)?;
            // As above.
            rows.extend(query_as_with::<_, R, _>(AssertSqlSafe(sql), arguments).fetch_all(&mut *conn).await?);
        }
        Ok(rows)
    }
}

/// The values of one statement.
#[derive(Debug, Default)]
pub(super) struct Binds {
    arguments: SqliteArguments,
    failed: Option<BoxDynError>,
}

impl Binds {
    fn with_places(places: usize) -> Self {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(places, 0);
        Self { arguments, failed: None }
    }

    /// Adds the next value.
    pub(super) fn add<'t>(&mut self, value: impl Encode<'t, Sqlite> + Type<Sqlite>) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.failed = Some(error);
        }
        self
    }

    /// SQLite takes values that are missing for NULL and lets superfluous ones pass, so the count is checked here.
    fn checked(self, places: usize, sql: &str) -> Raw<SqliteArguments> {
        if let Some(error) = self.failed {
            return Err(sqlx::Error::Encode(error).into());
        }
        let values = self.arguments.len();
        if places != values {
            let message = format!("{values} values for {places} places in {sql}");
            return Err(sqlx::Error::Encode(message.into()).into());
        }
        Ok(self.arguments)
    }
}

/// Integers as a JSON array, for `json_each`.
pub(super) fn json_ids<'a>(ids: impl IntoIterator<Item = &'a i64>) -> String {
    let mut json = String::from("[");
    for (position, id) in ids.into_iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        json.push_str(&id.to_string());
    }
    json.push(']');
    json
}

/// Runs a query whose answer is one JSON array with an array for each row.
pub(super) async fn json_rows<T: DeserializeOwned>(
    conn: &mut SqliteConnection,
    query: QueryScalar<'_, Sqlite, String, SqliteArguments>,
) -> Raw<Vec<T>> {
    from_json("rows", &query.fetch_one(conn).await?)
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;

    const PAIRS: RowsSql = RowsSql { head: "VALUES", row: "(?, ?)", tail: "" };

    #[tokio::test]
    async fn every_row_goes_through_whatever_the_chunks() {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for count in [0_i64, 1, 5, 255, 256, 257, 1000] {
            let rows = PAIRS.over(0..count, |binds, row| {
                binds.add(row).add(row.to_string());
            });
            let back: Vec<(i64, String)> = rows.fetch(&mut conn).await.unwrap();
            assert!((0..count).map(|row| (row, row.to_string())).eq(back), "{count} rows");
        }
    }

    #[tokio::test]
    async fn chunks_that_are_not_full_have_rows_of_nulls() {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        const KNOWN: RowsSql =
            RowsSql { head: "SELECT * FROM (VALUES", row: "(?, ?)", tail: ") WHERE column1 IS NOT NULL" };
        for (count, statements) in
            [(0_i64, 0), (1, 1), (3, 2), (5, 1), (128, 1), (257, 1), (1000, 2), (1075, 4)]
        {
            let rows = KNOWN.padded(0..count, |binds, row| {
                binds.add(row).add(row.to_string());
            });
            assert_eq!(rows.statements.len(), statements, "{count} rows");
            let back: Vec<(i64, String)> = rows.fetch(&mut conn).await.unwrap();
            assert!((0..count).map(|row| (row, row.to_string())).eq(back), "{count} rows");
        }
    }

    #[tokio::test]
    async fn a_forgotten_value_is_an_error_and_not_a_null() {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let rows = PAIRS.over([1], |binds, row| {
            binds.add(row);
        });
        assert!(rows.execute(&mut conn).await.unwrap_err().to_string().contains("1 values for 2 places"));
    }
}
