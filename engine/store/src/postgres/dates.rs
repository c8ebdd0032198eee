//! Dates of contacts that start workflows.

use dripline_model::id::ContactId;
use sqlx::{PgConnection, query, query_as};

use super::{
    rows::{bind_columns, text},
    writer::Writer,
};
use crate::{
    ContactDate, StoredDateTrigger,
    error::Raw,
    logic::{
        dates::{self, DateRow, TriggerRow},
        distinct,
    },
};

const TRIGGERS: &str =
    "SELECT id, workflow_id, wording, published_at, last, done FROM date_triggers ORDER BY id";

/// There are as many triggers as workflows have, which is few.
pub(super) const OF: &str = "
SELECT d.trigger_id, d.contact_id, d.due_at, d.date, d.came
FROM unnest($1::int8[]) AS trigger(id) CROSS JOIN unnest($2::int8[]) AS wanted(id)
JOIN contact_dates d ON d.trigger_id = trigger.id AND d.contact_id = wanted.id";

const PUT: &str = "
INSERT INTO contact_dates (trigger_id, contact_id, due_at, date, came)
SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::text[], $5::text[])
ON CONFLICT (trigger_id, contact_id) DO UPDATE SET due_at = excluded.due_at, date = excluded.date, came = excluded.came";

/// All date triggers.
pub(super) async fn triggers(conn: &mut PgConnection) -> Raw<Vec<StoredDateTrigger>> {
    let rows: Vec<TriggerRow> = query_as(TRIGGERS).fetch_all(conn).await?;
    Ok(rows.into_iter().map(dates::trigger).collect())
}

/// What is known of the dates of these contacts.
pub(super) async fn of(conn: &mut PgConnection, contacts: &[ContactId]) -> Raw<Vec<ContactDate>> {
    let triggers: Vec<i64> = triggers(conn).await?.into_iter().map(|trigger| trigger.id.0).collect();
    let of = query_as(OF).bind(triggers).bind(distinct(contacts));
    let rows: Vec<DateRow> = of.fetch_all(conn).await?;
    Ok(rows.into_iter().map(dates::date).collect())
}

/// Writes what is known.
pub(super) async fn put(writer: &mut Writer, known: &[ContactDate]) -> Raw<()> {
    if known.is_empty() {
        return Ok(());
    }
    let rows: Vec<DateRow> = known.iter().map(dates::row).collect();
    let put = bind_columns!(
        query(PUT),
        rows,
        |row| row.0,
        row.1,
        row.2,
        row.3.as_deref().map(|date| text(date).into_owned()),
        row.4.as_deref().map(|date| text(date).into_owned()),
    );
    writer.run(put).await.map(drop)
}
