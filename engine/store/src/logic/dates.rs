//! Dates of contacts that start workflows, from their rows.

use dripline_model::{
    clock::from_ms,
    id::{ContactId, DateTriggerId, WorkflowId},
};

use crate::{ComingDate, ContactDate, StoredDateTrigger};

/// Id, workflow, wording, when published, the last contact that was looked at, whether all were.
pub(crate) type TriggerRow = (i64, i64, String, i64, i64, bool);

/// Trigger, contact, when the next is due, which that is, which came last.
pub(crate) type DateRow = (i64, i64, Option<i64>, Option<String>, Option<String>);

pub(crate) fn trigger((id, workflow, wording, published, last, done): TriggerRow) -> StoredDateTrigger {
    StoredDateTrigger {
        id: DateTriggerId(id),
        workflow: WorkflowId(workflow),
        wording,
        published_at: from_ms(published),
        evaluated_to: (!done).then_some(ContactId(last)),
    }
}

pub(crate) fn date((trigger, contact, due, date, came): DateRow) -> ContactDate {
    ContactDate {
        trigger: DateTriggerId(trigger),
        contact: ContactId(contact),
        next: due.zip(date).map(|(due, date)| ComingDate { due: from_ms(due), date }),
        came,
    }
}

/// The row of what is known of a date.
pub(crate) fn row(known: &ContactDate) -> DateRow {
    let (due, date) = known.next.as_ref().map(|next| (super::ms(next.due), next.date.clone())).unzip();
    (known.trigger.0, known.contact.0, due, date, known.came.clone())
}
