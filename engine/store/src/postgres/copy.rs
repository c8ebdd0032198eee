//! A copy of a store in which one may try things out: table by table into a store in a temporary file, which has the same
//! tables, column for column.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, query_as, query_scalar};

use super::{PostgresConfig, PostgresStore, open};
use crate::{
    Result, Scoring as _,
    error::{Doing as _, Raw},
    sqlite::{SqliteStore, Table},
};

/// Rows that are copied at once.
const SLICE: usize = 2_000;

/// One state of all tables, whoever writes meanwhile.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

const COLUMNS: &str = "
SELECT table_name::text, column_name::text, data_type::text
FROM information_schema.columns WHERE table_schema = current_schema()";

impl PostgresStore {
    /// A copy of the database, which is only read: a store as [`SqliteStore::in_memory`] makes it. A database without
    /// tables gives an empty one.
    ///
    /// # Errors
    /// As for [`PostgresStore::open`].
    pub async fn copy_of(config: &PostgresConfig) -> Result<SqliteStore> {
        let target = SqliteStore::in_memory().await?;
        copy(config, &target).await.doing(open::doing("copy", config))?;
        target.declared_scores().await?;
        Ok(target)
    }
}

async fn copy(config: &PostgresConfig, target: &SqliteStore) -> Raw<()> {
    let Some(mut conn) = open::to_read(config).await? else { return Ok(()) };
    conn.execute(BEGIN).await?;
    let columns: Vec<(String, String, String)> = query_as(COLUMNS).fetch_all(&mut conn).await?;
    let mut types: HashMap<String, HashMap<String, String>> = HashMap::new();
    for (table, column, data_type) in columns {
        types.entry(table).or_default().insert(column, data_type);
    }
    for table in target.tables().await? {
        let Some(types) = types.get(&table.name) else { continue };
        copy_table(&mut conn, target, &table, types).await?;
    }
    Ok(conn.close().await?)
}

async fn copy_table(
    conn: &mut PgConnection,
    target: &SqliteStore,
    table: &Table,
    types: &HashMap<String, String>,
) -> Raw<()> {
    let (mut names, mut taken, mut put) = (Vec::new(), Vec::new(), Vec::new());
    for (name, _) in &table.columns {
        let Some(data_type) = types.get(name) else { continue };
        let value = format!("json_extract(value, '$[{}]')", names.len());
        let (take, put_as) = match data_type.as_str() {
            "bytea" => (format!("encode({name}, 'hex')"), format!("unhex({value})")),
            "json" | "jsonb" => (format!("{name}::text"), format!("jsonb({value})")),
            "boolean" => (format!("{name}::int"), value),
            _ => (name.clone(), value),
        };
        names.push(name.as_str());
        taken.push(take);
        put.push(put_as);
    }
    let insert = format!(
        "INSERT INTO {} ({}) SELECT {} FROM json_each(?1)",
        table.name,
        names.join(", "),
        put.join(", ")
    );
    // The names come from the schema.
    let select = format!("SELECT json_build_array({})::text FROM {}", taken.join(", "), table.name);
    let mut rows = query_scalar::<_, String>(AssertSqlSafe(select)).fetch(conn);
    let mut slice = Vec::with_capacity(SLICE);
    let mut is_first = true;
    loop {
        let row = rows.try_next().await?;
        let is_last = row.is_none();
        slice.extend(row);
        if is_last || slice.len() == SLICE {
            target.fill(table, &insert, &slice, is_first).await?;
            slice.clear();
            is_first = false;
        }
        if is_last {
            return Ok(());
        }
    }
}
