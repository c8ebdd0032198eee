//! What a batch, an import and a question mean, once for both backends. Only [`crate::sets`] and the row types of the
//! reading side know that there is a database.

pub(crate) mod apply;
pub(crate) mod attributes;
pub(crate) mod by_hand;
pub(crate) mod catalog;
pub(crate) mod changes;
pub(crate) mod dates;
pub(crate) mod declared_scores;
pub(crate) mod enroll;
pub(crate) mod events;
pub(crate) mod experiments;
pub(crate) mod firings;
pub(crate) mod held;
pub(crate) mod import_contacts;
pub(crate) mod import_events;
pub(crate) mod kin;
pub(crate) mod narrow;
pub(crate) mod nul;
pub(crate) mod outbox;
pub(crate) mod pending;
pub(crate) mod prune;
pub(crate) mod report;
pub(crate) mod scores;
pub(crate) mod segments;
pub(crate) mod teams;
pub(crate) mod timeline;
pub(crate) mod triggers;
pub(crate) mod watch;

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{Contact, contact::Needs, id::ContactId};
use jiff::Timestamp;

use crate::{error::Raw, sets::Sets};

/// How many contacts are loaded at a time.
pub(crate) const CONTACTS_AT_ONCE: usize = 1000;

/// Everything that there is to know of a contact.
pub(crate) fn everything() -> Needs {
    Needs {
        attributes: BTreeSet::new(),
        all_attributes: true,
        scores: true,
        tags: true,
        consents: true,
        segments: true,
        owner: true,
        ..Needs::default()
    }
}

/// The id of a word, which is stored if it is new.
pub(crate) async fn word(sets: &mut impl Sets, word: &str) -> Raw<i64> {
    sets.intern(vec![word]).await?;
    sets.word(word)
}

/// The ids in their own order, which is that of their pages, and each once.
pub(crate) fn distinct(ids: &[ContactId]) -> Vec<i64> {
    ids.iter().map(|id| id.0).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The contacts in the order of `ids`, as often as they stand there; one that is gone is left out.
pub(crate) fn in_order(ids: &[ContactId], loaded: Vec<Contact>) -> Vec<Contact> {
    let is_each_once = ids.len() == loaded.len();
    let mut contacts: BTreeMap<ContactId, Contact> =
        loaded.into_iter().map(|contact| (contact.id, contact)).collect();
    if is_each_once {
        return ids.iter().filter_map(|id| contacts.remove(id)).collect();
    }
    ids.iter().filter_map(|id| contacts.get(id).cloned()).collect()
}

/// Loads contacts within a transaction; see [`in_order`].
pub(crate) async fn load_contacts(
    sets: &mut impl Sets,
    ids: &[ContactId],
    needs: &Needs,
    now: Timestamp,
) -> Raw<Vec<Contact>> {
    let distinct = distinct(ids);
    let mut loaded = sets.contacts(&distinct, needs).await?;
    events::add(sets, &distinct, needs, now, &mut loaded).await?;
    if needs.scores {
        loaded.iter_mut().for_each(|contact| contact.as_of(now));
        declared_scores::grade(&mut loaded, &sets.declared_scores());
    }
    Ok(in_order(ids, loaded))
}

/// Loads parts of contacts within a transaction; their scores are as they were when they last changed.
pub(crate) async fn load_parts(sets: &mut impl Sets, ids: &[ContactId], needs: &Needs) -> Raw<Vec<Contact>> {
    let mut loaded = sets.contact_parts(&distinct(ids), needs).await?;
    if needs.scores {
        declared_scores::grade(&mut loaded, &sets.declared_scores());
    }
    Ok(loaded)
}

/// Contacts have changed outside of a batch: their runs that wait for a condition are looked at again. The contacts are
/// locked, because a batch that is under way may have looked at one before it changed.
pub(crate) async fn wake(
    sets: &mut impl Sets,
    contacts: impl Iterator<Item = ContactId>,
    now: Timestamp,
) -> Raw<()> {
    let contacts: Vec<ContactId> = contacts.collect();
    let contacts = distinct(&contacts);
    sets.lock(&contacts).await?;
    sets.wake_runs(&contacts, ms(now)).await
}

/// An instant as the stores keep it.
pub(crate) fn ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// An instant that may be missing, from a store.
pub(crate) fn maybe_at(ms: Option<i64>) -> Option<Timestamp> {
    ms.map(dripline_model::clock::from_ms)
}

/// A limit as the databases take it.
pub(crate) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
