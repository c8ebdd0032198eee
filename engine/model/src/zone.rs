//! Which clock a contact lives by.
//!
//! The order: the contact's attribute `time_zone`; else the zone of the attribute `country`, where all of that country keeps
//! one time; else what the caller falls back on, mostly the workspace's zone.

use jiff::tz::TimeZone;

use crate::{Contact, countries::ZONES};

/// The attributes of a contact that [`of_contact`] looks at.
pub const ATTRIBUTES: [&str; 2] = ["time_zone", "country"];

/// The zone in which a contact lives, by its attributes; `None` where they do not say.
pub fn of_contact(contact: &Contact) -> Option<TimeZone> {
    TimeZone::get(name_of(contact)?).ok()
}

/// The IANA name of the zone in which a contact lives, by its attributes. A `time_zone` that is none counts as missing.
pub fn name_of(contact: &Contact) -> Option<&str> {
    let [time_zone, country] =
        ATTRIBUTES.map(|name| contact.attributes.get(name).and_then(serde_json::Value::as_str));
    let own = time_zone.map(str::trim).filter(|name| TimeZone::get(name).is_ok());
    own.or_else(|| of_country(country?))
}

/// The zone of a country that keeps one time, by its code of two letters (ISO 3166-1 alpha-2), in any case.
pub fn of_country(code: &str) -> Option<&'static str> {
    let code = code.trim();
    let place = ZONES
        .binary_search_by(|(known, _)| known.bytes().cmp(code.bytes().map(|byte| byte.to_ascii_uppercase())));
    place.ok().and_then(|place| ZONES.get(place)).map(|(_, zone)| *zone)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::ContactId;

    fn zone(attributes: serde_json::Value) -> Option<String> {
        let mut contact = Contact::new(ContactId(1));
        contact.attributes = attributes.as_object().cloned().unwrap_or_default();
        name_of(&contact).map(str::to_owned)
    }

    #[test]
    fn the_contacts_own_zone_comes_before_that_of_its_country() {
        let own = json!({"time_zone": "Asia/Tokyo", "country": "DE"});
        assert_eq!(zone(own).as_deref(), Some("Asia/Tokyo"));
        assert_eq!(zone(json!({"country": "de"})).as_deref(), Some("Europe/Berlin"));
        assert_eq!(zone(json!({"time_zone": "Mars/Base", "country": "JP"})).as_deref(), Some("Asia/Tokyo"));
        assert_eq!(zone(json!({"country": "US"})), None, "a country of several times says nothing");
        assert_eq!(zone(json!({"country": "Germany"})), None);
        assert_eq!(zone(json!({"country": 49})), None);
    }

    #[test]
    fn every_country_has_a_zone_that_there_is() {
        assert!(ZONES.is_sorted_by_key(|(code, _)| *code) && ZONES.len() > 200);
        for (code, zone) in ZONES {
            assert!(TimeZone::get(zone).is_ok(), "{code}: {zone}");
        }
    }
}
