//! Filters as SQLite takes them, and the indexes that it finds contacts by.
//!
//! A field that a rule compares becomes a generated column, which costs nothing by itself; the fields of one rule
//! together, with the types of their values, become an index that tells whom they select without a look at the contacts.
//! Column and index are named by digests: attributes may be called anything, and differ by case.

use std::collections::BTreeSet;

use dripline_model::{
    Digest,
    filter::{Filter, Is, Narrowing, Scalar, Test},
    id::ContactId,
};
use sqlx::{Arguments as _, AssertSqlSafe, SqliteConnection, query, query_scalar, sqlite::SqliteArguments};

use super::{SqliteStore, writer::Writer};
use crate::{
    backend::{Backend as _, Commit as _},
    error::Raw,
    logic::narrow::{Bind, Binds, Condition, Dialect, condition, in_two},
    segments::{Kind, indexable},
};

const COLUMNS: &str =
    "SELECT name FROM pragma_table_xinfo('contacts') WHERE name LIKE 'field\\_%' ESCAPE '\\'";

const INDEXES: &str = "
SELECT name FROM sqlite_schema WHERE type = 'index' AND name LIKE 'segment\\_fields\\_%' ESCAPE '\\'";

/// The events of one name in the order of their times.
const EVENTS: &str = "CREATE INDEX IF NOT EXISTS segment_events ON events (name, at, contact_id)";

const NO_EVENTS: &str = "DROP INDEX IF EXISTS segment_events";

/// The generated column of an attribute.
fn column(attribute: &str) -> String {
    format!("field_{}", Digest::of(attribute.as_bytes()).short())
}

/// The type of an attribute's value, of the table that `of` names (with its point). Conditions and indexes have it in the same
/// words, by which SQLite finds it in an index; a generated column it would work out anew for each contact.
fn kind(of: &str, attribute: &str) -> String {
    format!("json_type({of}attributes, '$.{attribute}')")
}

/// SQLite's words. `columns` are the generated columns that there are.
pub(super) struct Words {
    columns: BTreeSet<String>,
}

impl Words {
    pub(super) async fn of(conn: &mut SqliteConnection) -> Raw<Self> {
        let columns: Vec<String> = query_scalar(COLUMNS).fetch_all(conn).await?;
        Ok(Self { columns: columns.into_iter().collect() })
    }

    fn value(&self, attribute: &str) -> String {
        let column = column(attribute);
        if self.columns.contains(&column) {
            return format!("c.{column}");
        }
        format!("(c.attributes ->> '$.{attribute}')")
    }
}

impl Dialect for Words {
    fn place(&self, number: usize) -> String {
        format!("?{number}")
    }

    fn word(&self, word: &str, binds: &mut Binds<'_>) -> String {
        format!("(SELECT w.id FROM words w WHERE w.word = {})", binds.text(word))
    }

    fn flag(&self, column: &str, value: bool) -> String {
        format!("{column} = {}", i64::from(value))
    }

    fn field(&self, test: &Test, binds: &mut Binds<'_>) -> String {
        match test {
            Test::Attribute(name, is) => attribute(&self.value(name), &kind("c.", name), is, binds),
            Test::Email(is) => text("c.email", is, binds),
            Test::ExternalId(is) => text("c.external_id", is, binds),
            Test::Owner(is) => {
                let owner = "(SELECT r.key FROM owners o JOIN representatives r ON r.id = o.rep_id WHERE o.contact_id = c.id)";
                text(owner, is, binds)
            }
            _ => "1 = 1".to_owned(),
        }
    }
}

/// A question about an attribute: its value, and the type of that, which comes second because it may be dearer.
fn attribute(value: &str, kind: &str, is: &Is, binds: &mut Binds<'_>) -> String {
    match is {
        Is::Present => format!("{kind} <> 'null'"),
        Is::Missing => format!("coalesce({kind}, 'null') = 'null'"),
        Is::Text => format!("{kind} = 'text'"),
        Is::AnyOf(values) => any_of(value, kind, values, binds),
        Is::NoneOf(values) => format!("({kind} <> 'null' AND NOT {})", any_of(value, kind, values, binds)),
        Is::Number(order, number) => {
            let number = binds.add(Bind::Float(*number));
            format!("({value} {} {number} AND {kind} IN ('integer', 'real'))", order.sql())
        }
        Is::Compared(..) | Is::Contains(..) | Is::StartsWith(..) | Is::EndsWith(..) => {
            format!("({} AND {kind} = 'text')", text(value, is, binds))
        }
    }
}

/// Whether an attribute that is there is one of these.
fn any_of(value: &str, kind: &str, values: &[Scalar], binds: &mut Binds<'_>) -> String {
    let mut parts = Vec::new();
    let mut list = |of: Kind, kinds: &str, binds: &mut Binds<'_>| {
        let places: Vec<String> = values
            .iter()
            .filter_map(|value| match (of, value) {
                (Kind::Text, Scalar::Text(text)) => Some(binds.text(text)),
                (Kind::Number, Scalar::Number(number)) => Some(binds.add(Bind::Float(*number))),
                _ => None,
            })
            .collect();
        if !places.is_empty() {
            parts.push(format!("({value} IN ({}) AND {kind} IN ({kinds}))", places.join(", ")));
        }
    };
    list(Kind::Text, "'text'", binds);
    list(Kind::Number, "'integer', 'real'", binds);
    for yes in [true, false] {
        if values.contains(&Scalar::Boolean(yes)) {
            parts.push(format!("({value} = {} AND {kind} = '{yes}')", i64::from(yes)));
        }
    }
    if parts.is_empty() { "(1 = 0)".to_owned() } else { format!("({})", parts.join(" OR ")) }
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
                (Is::AnyOf(_), true) => "1 = 0".to_owned(),
                (Is::AnyOf(_), false) => format!("{value} IN ({})", texts.join(", ")),
                (_, true) => format!("{value} IS NOT NULL"),
                (_, false) => format!("{value} NOT IN ({})", texts.join(", ")),
            }
        }
        Is::Number(..) => "1 = 0".to_owned(),
        Is::Compared(order, with) => format!("{value} {} {}", order.sql(), binds.text(with)),
        Is::Contains(part, is) => format!("{}instr({value}, {}) > 0", not(*is), binds.text(part)),
        Is::StartsWith(part, is) => {
            let length = part.chars().count();
            format!("{}substr({value}, 1, {length}) = {}", not(*is), binds.text(part))
        }
        Is::EndsWith(part, is) => {
            let length = part.chars().count();
            format!("{}substr({value}, -{length}) = {}", not(*is), binds.text(part))
        }
    }
}

/// From where the contacts `c` come whom a filter selects, up to the end of the statement.
fn selection(filter: &Filter, words: &Words) -> Condition {
    if let Some((own, Condition { sql, binds })) = in_two(filter, words) {
        // In the order of their ids, which is that of the other tables' indexes: what is asked there next is near what was
        // asked before.
        let own = format!("SELECT c.id FROM contacts c WHERE {own} ORDER BY c.id");
        return Condition { sql: format!("({own}) c WHERE {sql}"), binds };
    }
    let Condition { sql, binds } = condition(filter, words);
    Condition { sql: format!("contacts c WHERE {sql}"), binds }
}

/// A condition's values, as sqlx takes them.
fn arguments(condition: &Condition) -> Raw<SqliteArguments> {
    let mut arguments = SqliteArguments::default();
    for bind in &condition.binds {
        let added = match bind {
            Bind::Text(text) => arguments.add(text.clone()),
            Bind::Float(float) => arguments.add(*float),
            Bind::Integer(whole) => arguments.add(*whole),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

impl SqliteStore {
    pub(super) async fn count_by(&self, filter: &Filter) -> Raw<u64> {
        let mut conn = self.shared.readers.acquire().await?;
        let from = selection(filter, &Words::of(&mut conn).await?);
        // Put together from constants and names that are letters, digits and `_`; every value is bound.
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {}", from.sql));
        let count: i64 = sqlx::query_scalar_with(sql, arguments(&from)?).fetch_one(&mut *conn).await?;
        Ok(count.unsigned_abs())
    }

    pub(super) async fn select_by(&self, filter: &Filter) -> Raw<Vec<ContactId>> {
        let mut conn = self.shared.readers.acquire().await?;
        let from = selection(filter, &Words::of(&mut conn).await?);
        // As above.
        let sql = AssertSqlSafe(format!("SELECT json_group_array(c.id) FROM {}", from.sql));
        let ids: String = sqlx::query_scalar_with(sql, arguments(&from)?).fetch_one(&mut *conn).await?;
        let mut ids: Vec<ContactId> = crate::error::from_json("ids", &ids)?;
        ids.sort_unstable();
        Ok(ids)
    }

    pub(super) async fn index_by(&self, rules: &[Narrowing]) -> Raw<()> {
        let mut writer = self.writer().await?;
        let there: BTreeSet<String> =
            query_scalar(INDEXES).fetch_all(writer.conn().await?).await?.into_iter().collect();
        let mut columns = Words::of(writer.conn().await?).await?.columns;
        let mut wanted = BTreeSet::new();
        let mut counts_events = false;
        for rule in rules {
            let (fields, counts) = indexable(&rule.filter);
            counts_events |= counts;
            let mut names: Vec<&str> = Vec::new();
            for (name, _) in &fields {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
            if names.is_empty() {
                continue;
            }
            let digest = Digest::of(format!("{} with kinds", names.join(" ")).as_bytes());
            let index = format!("segment_fields_{}", digest.short());
            if wanted.insert(index.clone()) && !there.contains(&index) {
                make_index(&mut writer, &index, &names, &mut columns).await?;
            }
        }
        for index in there.difference(&wanted) {
            // A name that was found in the schema, and is made of our own words.
            writer.run(query(AssertSqlSafe(format!("DROP INDEX {index}")))).await?;
        }
        writer.run(query(if counts_events { EVENTS } else { NO_EVENTS })).await?;
        writer.commit().await
    }
}

async fn make_index(
    writer: &mut Writer,
    index: &str,
    attributes: &[&str],
    columns: &mut BTreeSet<String>,
) -> Raw<()> {
    for name in attributes {
        let column = column(name);
        if columns.insert(column.clone()) {
            // The names of column and index are digests, the attribute's is letters, digits and `_`.
            let sql = format!(
                "ALTER TABLE contacts ADD COLUMN {column} ANY GENERATED ALWAYS AS (attributes ->> '$.{name}') VIRTUAL"
            );
            writer.run(query(AssertSqlSafe(sql))).await?;
        }
    }
    let columns = attributes.iter().map(|name| column(name));
    let all: Vec<String> = columns.chain(attributes.iter().map(|name| kind("", name))).collect();
    // As above.
    let sql = format!("CREATE INDEX {index} ON contacts ({})", all.join(", "));
    writer.run(query(AssertSqlSafe(sql))).await?;
    Ok(())
}
