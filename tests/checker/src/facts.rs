//! What a store holds, read with statements that both databases understand.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use serde_json::Value;
use thiserror::Error;
use tokio_postgres::{NoTls, types::Type};

use crate::program::Program;

const CONTACTS: &str = "SELECT id, coalesce(external_id, email) FROM contacts";

const VERSIONS: &str = "
SELECT v.id, w.name, CAST(v.program AS text) FROM workflow_versions v JOIN workflows w ON w.id = v.workflow_id";

const RUNS: &str = "
SELECT id, version_id, contact_id, node, status, turn, CASE WHEN due_at IS NULL THEN 0 ELSE 1 END,
    CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END, parent_id, parent_turn,
    coalesce((SELECT w.word FROM words w WHERE w.id = runs.path), '')
FROM runs ORDER BY id";

/// With the reasons of ends, which say whether a step came to it or a goal.
const DECISIONS: &str = "
SELECT d.id, d.run_id, d.version_id, d.contact_id, d.node, d.turn, d.kind, d.event_id, CASE WHEN d.kind = 9 THEN w.word END
FROM decisions d JOIN words w ON w.id = d.reason ORDER BY d.id";

const SCORES: &str =
    "SELECT s.contact_id, w.word, s.value FROM contact_scores s JOIN words w ON w.id = s.score";

const ENTRIES: &str = "
SELECT e.contact_id, w.word, e.points, e.run_id, e.turn, p.word, CASE WHEN e.cleared_at IS NULL THEN 0 ELSE 1 END
FROM score_entries e JOIN words w ON w.id = e.score JOIN words p ON p.id = e.step ORDER BY e.id";

const MEMBERS: &str =
    "SELECT m.contact_id, s.name FROM segment_members m JOIN segments s ON s.id = m.segment_id";

const TAGS: &str = "SELECT t.contact_id, w.word FROM contact_tags t JOIN words w ON w.id = t.tag";

const ASSIGNMENTS: &str = "SELECT id, contact_id, rep_id, run_id, turn FROM assignments ORDER BY id";

const OWNERS: &str = "SELECT contact_id, assignment_id, rep_id FROM owners";

const MESSAGES: &str = "
SELECT m.id, m.run_id, m.turn, m.effect, m.contact_id, m.version_id, m.node, w.word, m.status,
    CASE WHEN m.due_at IS NULL THEN 0 ELSE 1 END, m.message_id
FROM messages m JOIN words w ON w.id = m.template ORDER BY m.id";

const EVENTS: &str = "SELECT e.id, e.contact_id, w.word, e.state FROM events e JOIN words w ON w.id = e.name WHERE e.state <> 0";

/// A store that cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// SQLite said so.
    #[error("failed to read the store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL said so.
    #[error("failed to read the store: {0}")]
    Postgres(#[from] tokio_postgres::Error),
    /// A value is not what it should be.
    #[error("the store has a value that cannot be read: {0}")]
    Value(String),
}

/// What a store holds.
#[derive(Debug, Default)]
pub struct Facts {
    /// External ids (or addresses) by key.
    pub(crate) contacts: BTreeMap<i64, String>,
    pub(crate) versions: BTreeMap<i64, Version>,
    pub(crate) runs: BTreeMap<i64, Run>,
    /// In the order in which they were taken.
    pub(crate) decisions: Vec<Decision>,
    pub(crate) scores: BTreeMap<(i64, String), i64>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) members: BTreeSet<(i64, String)>,
    pub(crate) tags: BTreeSet<(i64, String)>,
    pub(crate) assignments: Vec<Assignment>,
    /// The assignment that holds and its representative, by contact.
    pub(crate) owners: BTreeMap<i64, (i64, i64)>,
    pub(crate) messages: Vec<Message>,
    /// The live ones.
    pub(crate) events: Vec<Event>,
}

#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) workflow: String,
    pub(crate) program: Program,
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) contact: i64,
    pub(crate) node: i64,
    pub(crate) status: i64,
    pub(crate) turn: i64,
    pub(crate) is_due: bool,
    pub(crate) has_ended: bool,
    /// The run to which it belongs, and in which turn of that it began.
    pub(crate) parent: Option<(i64, i64)>,
    /// Which path of that it is.
    pub(crate) path: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) id: i64,
    pub(crate) run: Option<i64>,
    pub(crate) version: i64,
    pub(crate) contact: i64,
    pub(crate) node: Option<i64>,
    pub(crate) turn: i64,
    pub(crate) kind: i64,
    pub(crate) event: Option<i64>,
    pub(crate) reason: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) contact: i64,
    pub(crate) score: String,
    pub(crate) points: i64,
    pub(crate) run: i64,
    pub(crate) turn: i64,
    pub(crate) step: String,
    pub(crate) is_cleared: bool,
}

#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) id: i64,
    pub(crate) contact: i64,
    pub(crate) rep: i64,
    pub(crate) run: i64,
    pub(crate) turn: i64,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: i64,
    pub(crate) run: i64,
    pub(crate) turn: i64,
    pub(crate) effect: i64,
    pub(crate) contact: i64,
    pub(crate) version: i64,
    pub(crate) node: i64,
    pub(crate) template: String,
    pub(crate) status: i64,
    pub(crate) is_due: bool,
    pub(crate) message_id: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: i64,
    pub(crate) contact: i64,
    pub(crate) name: String,
    pub(crate) state: i64,
}

impl Facts {
    /// Reads an SQLite file. Nobody may write to it meanwhile.
    ///
    /// # Errors
    /// It cannot be read, or is not what Dripline writes.
    pub fn of_sqlite(path: &Path) -> Result<Self, Unreadable> {
        // To read a file that a process left when it was killed is to recover it, which writes.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        let damage: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if damage != "ok" {
            return Err(Unreadable::Value(damage));
        }
        let mut tables = BTreeMap::new();
        for sql in STATEMENTS {
            let mut statement = connection.prepare(sql)?;
            let columns = statement.column_count();
            let rows = statement.query_map([], |row| {
                (0..columns).map(|column| row.get_ref(column).map(Cell::of_sqlite)).collect()
            })?;
            tables.insert(*sql, rows.collect::<Result<Vec<Vec<Cell>>, _>>()?);
        }
        Self::from_tables(tables)
    }

    /// Reads a PostgreSQL database, in one snapshot.
    ///
    /// # Errors
    /// It cannot be read, or is not what Dripline writes.
    pub async fn of_postgres(url: &str) -> Result<Self, Unreadable> {
        let (mut client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let served = tokio::spawn(connection);
        let snapshot = client
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let mut tables = BTreeMap::new();
        for sql in STATEMENTS {
            let rows = snapshot.query(*sql, &[]).await?;
            let rows =
                rows.iter().map(|row| (0..row.len()).map(|column| Cell::of_postgres(row, column)).collect());
            tables.insert(*sql, rows.collect::<Result<Vec<Vec<Cell>>, _>>()?);
        }
        snapshot.commit().await?;
        drop(client);
        // How the connection ends is nobody's concern any more.
        let _ = served.await;
        Self::from_tables(tables)
    }

    fn from_tables(mut tables: BTreeMap<&'static str, Vec<Vec<Cell>>>) -> Result<Self, Unreadable> {
        let mut rows = |sql: &'static str| {
            let rows = tables.remove(sql).unwrap_or_default();
            rows.into_iter().map(|cells| Row(cells.into_iter()))
        };
        let mut facts = Self::default();
        for mut row in rows(CONTACTS) {
            facts.contacts.insert(row.int()?, row.text()?);
        }
        for mut row in rows(VERSIONS) {
            let (id, workflow, program) = (row.int()?, row.text()?, row.text()?);
            let program: Value =
                serde_json::from_str(&program).map_err(|error| Unreadable::Value(error.to_string()))?;
            let program = Program::of(&program)
                .ok_or_else(|| Unreadable::Value(format!("the program of version {id}")))?;
            facts.versions.insert(id, Version { workflow, program });
        }
        for mut row in rows(RUNS) {
            let run = Run {
                id: row.int()?,
                version: row.int()?,
                contact: row.int()?,
                node: row.int()?,
                status: row.int()?,
                turn: row.int()?,
                is_due: row.int()? == 1,
                has_ended: row.int()? == 1,
                parent: row.maybe_int()?.zip(row.maybe_int()?),
                path: Some(row.text()?).filter(|path| !path.is_empty()),
            };
            facts.runs.insert(run.id, run);
        }
        for mut row in rows(DECISIONS) {
            facts.decisions.push(Decision {
                id: row.int()?,
                run: row.maybe_int()?,
                version: row.int()?,
                contact: row.int()?,
                node: row.maybe_int()?,
                turn: row.int()?,
                kind: row.int()?,
                event: row.maybe_int()?,
                reason: row.maybe_text()?,
            });
        }
        for mut row in rows(SCORES) {
            facts.scores.insert((row.int()?, row.text()?), row.int()?);
        }
        for mut row in rows(ENTRIES) {
            facts.entries.push(Entry {
                contact: row.int()?,
                score: row.text()?,
                points: row.int()?,
                run: row.int()?,
                turn: row.int()?,
                step: row.text()?,
                is_cleared: row.int()? == 1,
            });
        }
        for mut row in rows(MEMBERS) {
            facts.members.insert((row.int()?, row.text()?));
        }
        for mut row in rows(TAGS) {
            facts.tags.insert((row.int()?, row.text()?));
        }
        for mut row in rows(ASSIGNMENTS) {
            facts.assignments.push(Assignment {
                id: row.int()?,
                contact: row.int()?,
                rep: row.int()?,
                run: row.int()?,
                turn: row.int()?,
            });
        }
        for mut row in rows(OWNERS) {
            facts.owners.insert(row.int()?, (row.int()?, row.int()?));
        }
        for mut row in rows(MESSAGES) {
            facts.messages.push(Message {
                id: row.int()?,
                run: row.int()?,
                turn: row.int()?,
                effect: row.int()?,
                contact: row.int()?,
                version: row.int()?,
                node: row.int()?,
                template: row.text()?,
                status: row.int()?,
                is_due: row.int()? == 1,
                message_id: row.maybe_text()?,
            });
        }
        for mut row in rows(EVENTS) {
            facts.events.push(Event {
                id: row.int()?,
                contact: row.int()?,
                name: row.text()?,
                state: row.int()?,
            });
        }
        Ok(facts)
    }

    /// Whether nothing is left to do: no run is active, no event has yet to arrive, no message is on its way.
    pub fn is_over(&self) -> bool {
        self.runs.values().all(|run| run.has_ended)
            && self.events.iter().all(|event| event.state != 1)
            && self.messages.iter().all(|message| !crate::mails::is_on_its_way(message))
    }

    /// Whether a run has failed, and waits for somebody to do something about it.
    pub fn has_failed(&self) -> bool {
        self.runs.values().any(|run| run.status == crate::runs::FAILED)
    }

    /// What people call the contact.
    pub(crate) fn contact(&self, id: i64) -> &str {
        self.contacts.get(&id).map_or("a contact that is gone", String::as_str)
    }

    /// The workflow of a version.
    pub(crate) fn workflow(&self, version: i64) -> &str {
        self.versions.get(&version).map_or("a workflow that is gone", |version| &version.workflow)
    }
}

const STATEMENTS: &[&str] = &[
    CONTACTS,
    VERSIONS,
    RUNS,
    DECISIONS,
    SCORES,
    ENTRIES,
    MEMBERS,
    TAGS,
    ASSIGNMENTS,
    OWNERS,
    MESSAGES,
    EVENTS,
];

/// A value of either database.
#[derive(Debug)]
enum Cell {
    Null,
    Int(i64),
    Text(String),
    Other,
}

impl Cell {
    fn of_sqlite(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Int(value),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Real(_) | ValueRef::Blob(_) => Self::Other,
        }
    }

    fn of_postgres(row: &tokio_postgres::Row, column: usize) -> Result<Self, tokio_postgres::Error> {
        let int = |value: Option<i64>| value.map_or(Self::Null, Self::Int);
        let kind = row.columns().get(column).map(|column| column.type_());
        Ok(match kind {
            Some(&Type::INT8) => int(row.try_get(column)?),
            Some(&Type::INT4) => int(row.try_get::<_, Option<i32>>(column)?.map(i64::from)),
            Some(&Type::INT2) => int(row.try_get::<_, Option<i16>>(column)?.map(i64::from)),
            Some(&Type::TEXT) => row.try_get::<_, Option<String>>(column)?.map_or(Self::Null, Self::Text),
            _ => Self::Other,
        })
    }
}

/// The cells of a row that are still to be read.
struct Row(std::vec::IntoIter<Cell>);

impl Row {
    fn int(&mut self) -> Result<i64, Unreadable> {
        self.maybe_int()?.ok_or_else(|| Unreadable::Value("a number is missing".to_owned()))
    }

    fn maybe_int(&mut self) -> Result<Option<i64>, Unreadable> {
        match self.0.next() {
            Some(Cell::Int(value)) => Ok(Some(value)),
            Some(Cell::Null) => Ok(None),
            other => Err(Unreadable::Value(format!("{other:?} is not a number"))),
        }
    }

    fn text(&mut self) -> Result<String, Unreadable> {
        self.maybe_text()?.ok_or_else(|| Unreadable::Value("a text is missing".to_owned()))
    }

    fn maybe_text(&mut self) -> Result<Option<String>, Unreadable> {
        match self.0.next() {
            Some(Cell::Text(text)) => Ok(Some(text)),
            Some(Cell::Null) => Ok(None),
            other => Err(Unreadable::Value(format!("{other:?} is not a text"))),
        }
    }
}
