//! What comes from outside: [`Ingest`] and the transaction of an import.

use std::{collections::HashMap, fmt::Debug};

use async_trait::async_trait;
use dripline_model::id::ContactId;
use jiff::Timestamp;
use sqlx::query_scalar;

use super::{
    SqliteStore,
    rows::{Doing as _, Raw},
    writer::Writer,
};
use crate::{ContactRow, EventRow, Import, Ingest, Result, RowResult};

const FIND: &str = "
SELECT id FROM (
    SELECT 1 AS place, id FROM contacts WHERE id = ?1
    UNION ALL SELECT 2, id FROM contacts WHERE external_id = ?2
    UNION ALL SELECT 3, id FROM contacts WHERE email = ?3)
ORDER BY place LIMIT 1";

/// An import in progress.
#[derive(Debug)]
pub(super) struct SqliteImport {
    pub(super) writer: Writer,
    /// The contacts that events named so far, by what they were named by; none where there is no such contact.
    pub(super) named: HashMap<String, Option<ContactId>>,
}

#[async_trait]
impl Ingest for SqliteStore {
    async fn begin_import(&self) -> Result<Box<dyn Import>> {
        let writer = self.writer().await.doing("begin an import")?;
        Ok(Box::new(SqliteImport { writer, named: HashMap::new() }))
    }

    async fn find_contact(&self, key: &str) -> Result<Option<ContactId>> {
        self.find(key).await.doing(format!("find the contact `{key}`"))
    }
}

impl SqliteStore {
    async fn find(&self, key: &str) -> Raw<Option<ContactId>> {
        let id: Option<i64> = query_scalar(FIND)
            .bind(key.parse::<i64>().ok())
            .bind(key)
            .bind(key.to_lowercase())
            .fetch_optional(&self.shared.readers)
            .await?;
        Ok(id.map(ContactId))
    }
}

#[async_trait]
impl Import for SqliteImport {
    async fn upsert_contacts(&mut self, rows: &[ContactRow], now: Timestamp) -> Result<Vec<RowResult>> {
        // What was not there may be there now, and addresses may have moved.
        self.named.clear();
        self.upsert(rows, now).await.doing("import contacts")
    }

    async fn insert_events(&mut self, rows: &[EventRow], _now: Timestamp) -> Result<Vec<RowResult>> {
        self.insert(rows).await.doing("import events")
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.writer.commit().await.doing("commit an import")
    }
}
