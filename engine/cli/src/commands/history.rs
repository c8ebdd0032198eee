//! Everything that is known of one contact, for the commands that show it.

use dripline_model::Contact;
use dripline_store::{ContactFilter, MessageFilter, MessageRow, Store, TimelineEntry};
use jiff::Timestamp;

use super::find_contact;
use crate::problem::Problem;

/// A contact and all that happened to it.
pub(super) struct History {
    /// Who it is, and what is known.
    pub(super) contact: Contact,
    /// What happened, oldest first.
    pub(super) timeline: Vec<TimelineEntry>,
    /// Its mails, oldest first.
    pub(super) mails: Vec<MessageRow>,
}

impl History {
    /// The history of whom somebody means by an id, an external id or an address, with what is left of points at `now`.
    pub(super) async fn of(store: &dyn Store, key: &str, now: Timestamp) -> Result<Self, Problem> {
        let id = find_contact(store, key).await?;
        let filter = ContactFilter { id: Some(id), ..ContactFilter::default() };
        let contact = store.list_contacts(&filter, 1).await?.pop();
        let mut contact = contact
            .ok_or_else(|| Problem::internal(format!("contact {id} was found, but cannot be read")))?;
        contact.as_of(now);
        let scores = store.declared_scores().await?;
        let mut timeline = store.timeline(id).await?;
        timeline.iter_mut().for_each(|entry| entry.as_of(&scores, now));
        let filter = MessageFilter { contact: Some(id), ..MessageFilter::default() };
        let mut mails = store.list_messages(&filter, u32::MAX as usize).await?;
        mails.reverse();
        Ok(Self { contact, timeline, mails })
    }
}
