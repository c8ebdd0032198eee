//! A release and the one before it work side by side: a migration adds, or says that programs before it may not go on.
//!
//! What an older program does is read and write the columns that it knows, by name, and rely on what keeps its rows unique. So
//! every column stays with its type, what is new may be left out, and no row that was right is wrong afterwards. A migration
//! that cannot keep to this raises `dripline.oldest_program` to its own number.

use std::collections::{BTreeMap, BTreeSet};

use dripline_test_postgres::Server;
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, migrate::Migrator, query_as, query_scalar,
};

use super::open::MIGRATIONS;

const COLUMNS: &str = "
SELECT c.relname::text || '.' || a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> ''
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
    AND c.relname <> '_sqlx_migrations'";

const RULES: &str = "
SELECT c.relname::text, pg_get_constraintdef(r.oid),
    ARRAY(SELECT c.relname || '.' || a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY(r.conkey))
FROM pg_constraint r JOIN pg_class c ON c.oid = r.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND NOT c.relispartition AND c.relname <> '_sqlx_migrations'
UNION
SELECT c.relname::text, regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE UNIQUE INDEX \\S+', 'UNIQUE'),
    ARRAY(SELECT c.relname || '.' || a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY(i.indkey))
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND NOT c.relispartition AND c.relname <> '_sqlx_migrations' AND i.indisunique";

/// A schema as an older program sees it.
#[derive(Debug, Default)]
struct Seen {
    /// By table and name: type, whether it must have a value, whether it has one by itself.
    columns: BTreeMap<String, (String, bool, bool)>,
    /// Table, rule, and the columns that it is about.
    rules: BTreeSet<(String, String, Vec<String>)>,
    oldest_program: i64,
}

impl Seen {
    async fn of(conn: &mut PgConnection) -> Self {
        let columns: Vec<(String, String, bool, bool)> =
            query_as(COLUMNS).fetch_all(&mut *conn).await.unwrap();
        let rules: Vec<(String, String, Vec<String>)> = query_as(RULES).fetch_all(&mut *conn).await.unwrap();
        let oldest = query_scalar("SELECT oldest_program FROM dripline").fetch_one(conn).await.unwrap();
        Self {
            columns: columns
                .into_iter()
                .map(|(name, kind, needed, given)| (name, (kind, needed, given)))
                .collect(),
            rules: rules.into_iter().collect(),
            oldest_program: oldest,
        }
    }

    fn has_table(&self, table: &str) -> bool {
        self.columns.keys().any(|name| name.split_once('.').is_some_and(|(of, _)| of == table))
    }

    /// What of `after`, the schema of version `to`, a program of this schema could not bear.
    fn unbearable(&self, after: &Self, to: i64) -> Vec<String> {
        if after.oldest_program >= to {
            return Vec::new();
        }
        let mut wrong = Vec::new();
        for (name, (kind, needed, _)) in &self.columns {
            match after.columns.get(name) {
                None => wrong.push(format!("{name} is gone")),
                Some((other, ..)) if other != kind => wrong.push(format!("{name} is {other} and was {kind}")),
                Some((_, now, _)) if now != needed => {
                    wrong.push(format!("whether {name} may be NULL is changed"))
                }
                Some(_) => {}
            }
        }
        for (name, (_, needed, given)) in &after.columns {
            let table = name.split_once('.').map_or("", |(table, _)| table);
            if !self.columns.contains_key(name) && self.has_table(table) && *needed && !given {
                wrong.push(format!("{name} must be given, and who does not know it does not"));
            }
        }
        // A rule about new columns alone is kept by who leaves them out.
        let is_new = |columns: &[String]| {
            !columns.is_empty() && columns.iter().all(|column| !self.columns.contains_key(column))
        };
        let rules = |one: &Self, other: &Self, what: &str| -> Vec<String> {
            let differ = one.rules.difference(&other.rules);
            let differ = differ.filter(|(table, _, columns)| self.has_table(table) && !is_new(columns));
            differ.map(|(table, rule, _)| format!("{table}: {what} {rule}")).collect()
        };
        wrong.extend(rules(after, self, "new is"));
        wrong.extend(rules(self, after, "gone is"));
        wrong
    }
}

/// The schema of each version, from a database that goes through them.
async fn schemas(server: &Server) -> Vec<(i64, Seen)> {
    let mut conn = PgConnection::connect(&server.database().await).await.unwrap();
    let mut seen = Vec::new();
    for migration in MIGRATIONS.iter() {
        let known = MIGRATIONS.iter().filter(|other| other.version <= migration.version).cloned();
        Migrator::with_migrations(known.collect()).run_direct(None, &mut conn, false).await.unwrap();
        seen.push((migration.version, Seen::of(&mut conn).await));
    }
    seen
}

#[tokio::test]
async fn a_migration_adds_or_says_that_older_programs_may_not_go_on() {
    let Some(server) = Server::shared() else { return };
    let schemas = schemas(server).await;
    assert!(schemas.len() > 5);
    for ((_, before), (to, after)) in schemas.iter().zip(schemas.iter().skip(1)) {
        let wrong = before.unbearable(after, *to);
        assert!(
            wrong.is_empty(),
            "migration {to} needs `UPDATE dripline SET oldest_program = {to}`:\n{}",
            wrong.join("\n")
        );
    }
}

#[tokio::test]
async fn what_an_older_program_cannot_bear_is_found() {
    let Some(server) = Server::shared() else { return };
    let bearable = "CREATE TABLE more (id BIGINT PRIMARY KEY, what TEXT NOT NULL CHECK (what <> ''));
        ALTER TABLE runs ADD COLUMN note TEXT UNIQUE REFERENCES teams (key); ALTER TABLE runs ADD COLUMN rank BIGINT NOT NULL DEFAULT 1;
        CREATE INDEX runs_note ON runs (note); DROP INDEX runs_ended";
    let cases = [
        (bearable, None),
        ("ALTER TABLE runs DROP COLUMN hops", Some("runs.hops is gone")),
        ("ALTER TABLE runs RENAME COLUMN hops TO steps", Some("runs.hops is gone")),
        ("ALTER TABLE runs ALTER COLUMN node TYPE BIGINT", Some("runs.node is bigint and was integer")),
        (
            "ALTER TABLE runs ALTER COLUMN hops DROP NOT NULL",
            Some("whether runs.hops may be NULL is changed"),
        ),
        ("ALTER TABLE runs ADD COLUMN note TEXT NOT NULL", Some("runs.note must be given")),
        ("CREATE UNIQUE INDEX runs_one ON runs (contact_id)", Some("runs: new is UNIQUE")),
        ("DROP INDEX runs_active", Some("runs: gone is UNIQUE")),
        ("ALTER TABLE runs ADD CHECK (hops < 9)", Some("runs: new is CHECK")),
        ("DROP TABLE segment_timers", Some("segment_timers.due_at is gone")),
        ("DROP INDEX runs_active; UPDATE dripline SET oldest_program = 999", None),
    ];
    let mut conn = PgConnection::connect(&server.database().await).await.unwrap();
    MIGRATIONS.run_direct(None, &mut conn, false).await.unwrap();
    let before = Seen::of(&mut conn).await;
    for (sql, expected) in cases {
        let mut tx = conn.begin().await.unwrap();
        tx.execute(AssertSqlSafe(sql)).await.unwrap();
        let wrong = before.unbearable(&Seen::of(&mut tx).await, 999);
        match expected {
            Some(words) => assert!(wrong.iter().any(|wrong| wrong.starts_with(words)), "{sql}: {wrong:?}"),
            None => assert!(wrong.is_empty(), "{sql}: {wrong:?}"),
        }
        tx.rollback().await.unwrap();
    }
}
