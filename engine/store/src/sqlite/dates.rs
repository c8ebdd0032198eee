//! Dates of contacts that start workflows.

use dripline_model::id::ContactId;
use sqlx::{SqliteConnection, query_as, query_scalar};

use super::{
    rows::{RowsSql, json_ids, json_rows},
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
SELECT json_group_array(json_array(d.trigger_id, d.contact_id, d.due_at, d.date, d.came))
FROM date_triggers t CROSS JOIN json_each(?1) wanted CROSS JOIN contact_dates d
    ON d.trigger_id = t.id AND d.contact_id = wanted.value";

const PUT: RowsSql = RowsSql {
    head: "INSERT INTO contact_dates (trigger_id, contact_id, due_at, date, came) VALUES",
    row: "(?, ?, ?, ?, ?)",
    tail: "ON CONFLICT (trigger_id, contact_id) DO UPDATE SET due_at = excluded.due_at, date = excluded.date,
        came = excluded.came",
};

/// All date triggers.
pub(super) async fn triggers(conn: &mut SqliteConnection) -> Raw<Vec<StoredDateTrigger>> {
    let rows: Vec<TriggerRow> = query_as(TRIGGERS).fetch_all(conn).await?;
    Ok(rows.into_iter().map(dates::trigger).collect())
}

/// What is known of the dates of these contacts.
pub(super) async fn of(conn: &mut SqliteConnection, contacts: &[ContactId]) -> Raw<Vec<ContactDate>> {
    let rows: Vec<DateRow> =
        json_rows(conn, query_scalar(OF).bind(json_ids(distinct(contacts).iter()))).await?;
    Ok(rows.into_iter().map(dates::date).collect())
}

/// Writes what is known.
pub(super) async fn put(writer: &mut Writer, known: &[ContactDate]) -> Raw<()> {
    let rows = PUT.over(known.iter().map(dates::row), |binds, (trigger, contact, due, date, came)| {
        binds.add(trigger).add(contact).add(due).add(date).add(came);
    });
    writer.put(rows).await.map(drop)
}
