//! How contacts and events come in.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dripline_model::id::ContactId;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::Result;

/// Verbs on what comes from outside.
#[async_trait]
pub trait Ingest: Send + Sync {
    /// Begins an import: one transaction over all its slices.
    async fn begin_import(&self) -> Result<Box<dyn Import>>;

    /// The contact with this id (`12`), external id or email address.
    async fn find_contact(&self, key: &str) -> Result<Option<ContactId>>;
}

/// An import in progress; dropped without [`Import::commit`], it leaves nothing behind.
#[async_trait]
pub trait Import: Send {
    /// Inserts or updates a slice of contacts: by external id where there is one, else by email address. What a row
    /// does not mention stays. The answer has one entry for each row.
    async fn upsert_contacts(&mut self, rows: &[ContactRow], now: Timestamp) -> Result<Vec<RowResult>>;

    /// Inserts a slice of events; one whose `key` is already known is skipped as [`RowResult::Unchanged`].
    async fn insert_events(&mut self, rows: &[EventRow], now: Timestamp) -> Result<Vec<RowResult>>;

    /// Keeps everything.
    async fn commit(self: Box<Self>) -> Result<()>;
}

/// A contact on its way in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ContactRow {
    /// The caller's key.
    pub external_id: Option<String>,
    /// The address, already lower-cased and checked.
    pub email: Option<String>,
    /// Attributes to set.
    pub attributes: Map<String, Value>,
    /// Consents to record, by topic.
    pub consents: BTreeMap<String, bool>,
    /// Tags to add.
    pub tags: Vec<String>,
    /// When the contact came to be, if known.
    pub created_at: Option<Timestamp>,
}

/// An event on its way in.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// The caller's key, which makes a second import of the same event a no-op.
    pub key: Option<String>,
    /// External id or email address of the contact.
    pub contact: String,
    /// `trial.started`
    pub name: String,
    /// When it happened or will arrive.
    pub at: Timestamp,
    /// What else is known.
    pub properties: Map<String, Value>,
    /// Whether it arrives at its own time and triggers workflows; history does neither.
    pub live: bool,
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowResult {
    /// A new contact or event.
    Inserted(ContactId),
    /// A known contact, changed.
    Updated(ContactId),
    /// Nothing new in it.
    Unchanged(ContactId),
    /// Not taken, and why.
    Rejected(String),
}
