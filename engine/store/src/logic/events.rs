//! Past events of contacts, as conditions count them.

use dripline_model::{
    Contact,
    clock::from_ms,
    contact::{Needs, PastEvent},
};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::ms;
use crate::{
    error::{Raw, from_json},
    sets::{PastEvents, Sets},
};

/// Adds the events that are needed to contacts with these distinct ids.
pub(crate) async fn add(
    sets: &mut impl Sets,
    ids: &[i64],
    needs: &Needs,
    now: Timestamp,
    contacts: &mut [Contact],
) -> Raw<()> {
    if needs.events.is_empty() || contacts.is_empty() {
        return Ok(());
    }
    contacts.sort_unstable_by_key(|contact| contact.id);
    for (name, wanted) in &needs.events {
        let now_ms = ms(now);
        let asked = PastEvents {
            name,
            after_ms: wanted.within_ms.map_or(i64::MIN, |within| now_ms.saturating_sub(within)),
            until_ms: now_ms,
            with_properties: wanted.any_property(),
        };
        for ids in ids.chunks(super::CONTACTS_AT_ONCE) {
            for (contact, at, properties) in sets.past_events(ids, &asked).await? {
                let place = contacts.binary_search_by_key(&contact, |contact| contact.id.0).ok();
                let Some(contact) = place.and_then(|place| contacts.get_mut(place)) else { continue };
                let properties: Option<Map<String, Value>> =
                    properties.map(|json| from_json("event's properties", &json)).transpose()?;
                let event = PastEvent { at: from_ms(at), properties: properties.unwrap_or_default() };
                match contact.events.get_mut(name) {
                    Some(events) => events.push(event),
                    None => drop(contact.events.insert(name.clone(), vec![event])),
                }
            }
        }
    }
    Ok(())
}
