//! Filters as PostgreSQL takes them, and the indexes that it finds contacts by.
//!
//! An index is on expressions that give the value if it is of one type, and so compare as that type does; of a text it
//! holds the beginning, because an entry must not grow large.

use std::collections::BTreeSet;

use dripline_model::{
    Digest,
    filter::{Filter, Is, Narrowing, Scalar, Test},
    id::ContactId,
};
use sqlx::{
    Arguments as _, AssertSqlSafe, Connection as _, Executor as _, postgres::PgArguments, query_scalar,
};

use super::{PostgresStore, rows::text as clean};
use crate::{
    error::Raw,
    logic::narrow::{Bind, Binds, Condition, Dialect, condition},
    segments::{Kind, indexable},
};

const INDEXES: &str = "
SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE i.relnamespace = current_schema()::regnamespace AND NOT i.relispartition
    AND i.relname LIKE 'segment\\_fields\\_%'";

/// The events of one name in the order of their times.
const EVENTS: &str = "CREATE INDEX IF NOT EXISTS segment_events ON events (name, at, contact_id)";

const NO_EVENTS: &str = "DROP INDEX IF EXISTS segment_events";

/// One makes or drops indexes at a time.
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('dripline segment indexes', 0))";

/// So much of a text is in an index.
const BEGINNING: usize = 100;

/// A value of an attribute if it is of this kind, as an index has it. The attribute's name is letters, digits and `_`.
fn value(table: &str, name: &str, kind: Kind) -> String {
    let typed = |kind: &str, value: String| {
        format!("(CASE WHEN jsonb_typeof({table}attributes -> '{name}') = '{kind}' THEN {value} END)")
    };
    let raw = format!("({table}attributes ->> '{name}')");
    match kind {
        Kind::Text => format!("({} COLLATE \"C\")", typed("string", format!("left({raw}, {BEGINNING})"))),
        Kind::Number => typed("number", format!("{raw}::float8")),
        Kind::Boolean => typed("boolean", format!("{raw}::bool")),
    }
}

/// PostgreSQL's words.
pub(super) struct Words;

impl Dialect for Words {
    fn place(&self, number: usize) -> String {
        format!("${number}")
    }

    fn word(&self, word: &str, binds: &mut Binds<'_>) -> String {
        format!("(SELECT w.id FROM words w WHERE w.key = {})", binds.text(&super::writer::key(word)))
    }

    fn flag(&self, column: &str, value: bool) -> String {
        format!("{column} = {value}")
    }

    fn field(&self, test: &Test, binds: &mut Binds<'_>) -> String {
        match test {
            Test::Attribute(name, is) => attribute(name, is, binds),
            Test::Email(is) => text("c.email", is, binds),
            Test::ExternalId(is) => text("c.external_id", is, binds),
            Test::Owner(is) => {
                let owner = "(SELECT r.key FROM owners o JOIN representatives r ON r.id = o.rep_id WHERE o.contact_id = c.id)";
                text(owner, is, binds)
            }
            _ => "TRUE".to_owned(),
        }
    }
}

fn attribute(name: &str, is: &Is, binds: &mut Binds<'_>) -> String {
    let kind = format!("jsonb_typeof(c.attributes -> '{name}')");
    match is {
        Is::Present => format!("{kind} <> 'null'"),
        Is::Missing => format!("coalesce({kind}, 'null') = 'null'"),
        Is::Text => format!("{kind} = 'string'"),
        Is::AnyOf(values) => any_of(name, values, binds),
        Is::NoneOf(values) => {
            format!("({kind} <> 'null' AND NOT coalesce({}, FALSE))", any_of(name, values, binds))
        }
        Is::Number(order, number) => {
            format!("{} {} {}", value("c.", name, Kind::Number), order.sql(), binds.add(Bind::Float(*number)))
        }
        Is::Compared(..) | Is::Contains(..) | Is::StartsWith(..) | Is::EndsWith(..) => {
            let raw = format!("(c.attributes ->> '{name}')");
            format!("({kind} = 'string' AND {})", text(&raw, is, binds))
        }
    }
}

/// Whether an attribute is one of these.
fn any_of(name: &str, values: &[Scalar], binds: &mut Binds<'_>) -> String {
    let mut parts = Vec::new();
    let mut texts = Vec::new();
    let mut numbers = Vec::new();
    for scalar in values {
        match scalar {
            Scalar::Text(text) if text.chars().count() < BEGINNING => texts.push(binds.text(text)),
            Scalar::Text(text) => {
                let beginning: String = text.chars().take(BEGINNING).collect();
                let (beginning, whole) = (binds.text(&beginning), binds.text(text));
                let indexed = value("c.", name, Kind::Text);
                parts.push(format!("({indexed} = {beginning} AND (c.attributes ->> '{name}') = {whole})"));
            }
            Scalar::Number(number) => numbers.push(binds.add(Bind::Float(*number))),
            Scalar::Boolean(yes) => parts.push(format!("{} = {yes}", value("c.", name, Kind::Boolean))),
        }
    }
    for (kind, places) in [(Kind::Text, texts), (Kind::Number, numbers)] {
        if !places.is_empty() {
            parts.push(format!("{} IN ({})", value("c.", name, kind), places.join(", ")));
        }
    }
    if parts.is_empty() { "FALSE".to_owned() } else { format!("({})", parts.join(" OR ")) }
}

/// A question about a text, or NULL.
fn text(value: &str, is: &Is, binds: &mut Binds<'_>) -> String {
    let not = |is: bool| if is { "" } else { "NOT " };
    match is {
        Is::Present | Is::Text => format!("{value} IS NOT NULL"),
        Is::Missing => format!("{value} IS NULL"),
        Is::AnyOf(values) | Is::NoneOf(values) => {
            let texts: Vec<String> = values
                .iter()
                .filter_map(|value| match value {
                    Scalar::Text(text) => Some(binds.text(text)),
                    _ => None,
                })
                .collect();
            match (is, texts.is_empty()) {
                (Is::AnyOf(_), true) => "FALSE".to_owned(),
                (Is::AnyOf(_), false) => format!("{value} IN ({})", texts.join(", ")),
                (_, true) => format!("{value} IS NOT NULL"),
                (_, false) => format!("{value} NOT IN ({})", texts.join(", ")),
            }
        }
        Is::Number(..) => "FALSE".to_owned(),
        Is::Compared(order, with) => format!("{value} COLLATE \"C\" {} {}", order.sql(), binds.text(with)),
        Is::Contains(part, is) => format!("{}strpos({value}, {}) > 0", not(*is), binds.text(part)),
        Is::StartsWith(part, is) => format!("{}starts_with({value}, {})", not(*is), binds.text(part)),
        Is::EndsWith(part, is) => {
            let length = part.chars().count();
            format!("{}right({value}, {length}) = {}", not(*is), binds.text(part))
        }
    }
}

/// A condition's values, as sqlx takes them.
fn arguments(condition: &Condition) -> Raw<PgArguments> {
    let mut arguments = PgArguments::default();
    for bind in &condition.binds {
        let added = match bind {
            Bind::Text(text) => arguments.add(clean(text).into_owned()),
            Bind::Float(float) => arguments.add(*float),
            Bind::Integer(whole) => arguments.add(*whole),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

impl PostgresStore {
    pub(super) async fn count_by(&self, filter: &Filter) -> Raw<u64> {
        let condition = condition(filter, &Words);
        // Put together from constants and names that are letters, digits and `_`; every value is bound.
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM contacts c WHERE {}", condition.sql));
        let count: i64 =
            sqlx::query_scalar_with(sql, arguments(&condition)?).fetch_one(&self.shared.readers).await?;
        Ok(count.unsigned_abs())
    }

    pub(super) async fn select_by(&self, filter: &Filter) -> Raw<Vec<ContactId>> {
        let condition = condition(filter, &Words);
        // As above.
        let sql = AssertSqlSafe(format!("SELECT c.id FROM contacts c WHERE {}", condition.sql));
        let mut ids: Vec<i64> =
            sqlx::query_scalar_with(sql, arguments(&condition)?).fetch_all(&self.shared.readers).await?;
        ids.sort_unstable();
        Ok(ids.into_iter().map(ContactId).collect())
    }

    pub(super) async fn index_by(&self, rules: &[Narrowing]) -> Raw<()> {
        // Out of the pool, because it takes long and its settings and lock end with it.
        let mut conn = self.shared.readers.acquire().await?.detach();
        conn.execute("SET statement_timeout = 0").await?;
        conn.execute(LOCK).await?;
        let there: Vec<String> = query_scalar(INDEXES).fetch_all(&mut conn).await?;
        let mut wanted = BTreeSet::new();
        let mut counts_events = false;
        for rule in rules {
            let (fields, counts) = indexable(&rule.filter);
            counts_events |= counts;
            if fields.is_empty() {
                continue;
            }
            let values: Vec<String> = fields.iter().map(|(name, kind)| value("", name, *kind)).collect();
            let values = values.join(", ");
            let index = format!("segment_fields_{}", Digest::of(values.as_bytes()).short());
            if wanted.insert(index.clone()) && !there.contains(&index) {
                // The name is a digest; attributes' names are letters, digits and `_`. Beside what goes on meanwhile.
                let sql = format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON contacts ({values})");
                conn.execute(AssertSqlSafe(sql)).await?;
            }
        }
        for index in there.iter().filter(|index| !wanted.contains(*index)) {
            // A name that was found in the schema, and is made of our own words.
            conn.execute(AssertSqlSafe(format!("DROP INDEX CONCURRENTLY IF EXISTS {index}"))).await?;
        }
        conn.execute(if counts_events { EVENTS } else { NO_EVENTS }).await?;
        conn.close().await?;
        Ok(())
    }
}
