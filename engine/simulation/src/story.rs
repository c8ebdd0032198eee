//! What happens to a single contact.

use dripline_model::id::ContactId;
use dripline_store::Store;
use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Result, While};

/// What happens to one contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The address, else the external id.
    pub contact: String,
    /// In the order in which it happens.
    pub lines: Vec<StoryLine>,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoryLine {
    /// When.
    pub at: Timestamp,
    /// A word for what it is: `event`, `mail`, `waiting`.
    pub kind: &'static str,
    /// A sentence.
    pub text: String,
}

/// What happens to a contact from `since` on.
///
/// # Errors
/// When the store fails.
pub async fn story(store: &dyn Store, contact: ContactId, name: &str, since: Timestamp) -> Result<Story> {
    let timeline = store.timeline(contact).await.while_doing("read what happens to a contact")?;
    let lines = timeline.into_iter().filter(|entry| entry.at >= since).map(|entry| {
        let (kind, text) = entry.line();
        StoryLine { at: entry.at, kind, text }
    });
    Ok(Story { contact: name.to_owned(), lines: lines.collect() })
}
