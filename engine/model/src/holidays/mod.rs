//! Public holidays: of countries, worked out from their rules, and days of one's own.

mod rules;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::Contact;

/// The word for the calendar of the country in which a contact lives.
pub const CONTACT: &str = "contact";

/// The attribute that says where a contact lives.
pub const COUNTRY: &str = "country";

/// For how long ahead a step is told the holidays, in years.
const YEARS_AHEAD: i16 = 3;

/// The countries of which the holidays are known, by their codes (ISO 3166-1 alpha-2), sorted.
pub fn countries() -> impl Iterator<Item = &'static str> {
    rules::COUNTRIES.iter().map(|(code, _)| *code)
}

/// The public holidays of a whole country in a year; none where the country is not known. The days are those of the law as
/// it stands in 2026.
pub fn of_country(code: &str, year: i16) -> BTreeSet<Date> {
    let mut days = BTreeSet::new();
    let place = rules::COUNTRIES.binary_search_by(|(known, _)| known.cmp(&code)).ok();
    if let Some((_, rules)) = place.and_then(|place| rules::COUNTRIES.get(place)) {
        // One that falls on a weekend may be kept in another year: that of the first of January.
        for of in [year, year.saturating_add(1)] {
            rules.iter().for_each(|rule| rule.add(of, &mut days));
        }
        days.retain(|day| day.year() == year);
    }
    days
}

/// Days on which nothing happens, as `holidays.yaml` names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calendar {
    /// The holidays of these countries are among them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub countries: BTreeSet<String>,
    /// Single days.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub days: BTreeSet<Date>,
    /// Days of every year: month, day.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub yearly: BTreeSet<(i8, i8)>,
    /// Days that are none after all.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<Date>,
}

impl Calendar {
    /// The calendar of a country.
    pub fn of(country: &str) -> Self {
        Self { countries: BTreeSet::from([country.to_owned()]), ..Self::default() }
    }

    fn add(&self, years: impl Iterator<Item = i16>, all: &mut BTreeSet<Date>) {
        let mut days = self.days.clone();
        for year in years {
            days.extend(self.countries.iter().flat_map(|country| of_country(country, year)));
            // A 29 February is none in other years.
            days.extend(self.yearly.iter().filter_map(|(month, day)| Date::new(year, *month, *day).ok()));
        }
        all.extend(days.difference(&self.except));
    }
}

/// Which holidays hold for a step: those of all these calendars together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holidays {
    /// The same for everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calendars: Vec<Calendar>,
    /// By the country in which the contact lives, with the workspace's own calendars of countries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_country: Option<BTreeMap<String, Calendar>>,
}

impl Holidays {
    /// The country of a contact, as far as it makes a difference.
    pub fn country_of(&self, contact: &Contact) -> Option<String> {
        self.by_country.as_ref()?;
        let country = contact.attributes.get(COUNTRY).and_then(serde_json::Value::as_str)?;
        Some(country.trim().to_ascii_uppercase())
    }

    /// The days from about `now` on and for three years, for who lives in a country: dates with a space between, in order.
    pub fn days(&self, country: Option<&str>, now: Timestamp) -> String {
        let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
        let years = || today.year().saturating_sub(1)..=today.year().saturating_add(YEARS_AHEAD);
        let mut days = BTreeSet::new();
        self.calendars.iter().for_each(|calendar| calendar.add(years(), &mut days));
        if let (Some(own), Some(country)) = (&self.by_country, country) {
            match own.get(country) {
                Some(calendar) => calendar.add(years(), &mut days),
                None => Calendar::of(country).add(years(), &mut days),
            }
        }
        let from = today.yesterday().and_then(Date::yesterday).unwrap_or(today);
        let mut text = String::new();
        for day in days.range(from..).filter(|day| day.year() <= today.year().saturating_add(YEARS_AHEAD)) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&day.to_string());
        }
        text
    }
}

/// Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher).
fn easter(year: i16) -> Option<Date> {
    let year = i32::from(year);
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e, f) = (b / 4, b % 4, (b + 8) / 25);
    let g = (b - f + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let n = h + l - 7 * m + 114;
    Date::new(i16::try_from(year).ok()?, i8::try_from(n / 31).ok()?, i8::try_from(n % 31 + 1).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;
    use crate::id::ContactId;

    #[test]
    fn easter_is_where_the_church_has_it() {
        for day in
            [date(2000, 4, 23), date(2008, 3, 23), date(2019, 4, 21), date(2024, 3, 31), date(2038, 4, 25)]
        {
            assert_eq!(easter(day.year()), Some(day));
        }
    }

    #[test]
    fn own_days_come_to_those_of_countries_and_may_take_some_back() {
        let own = Calendar {
            countries: ["DE".to_owned()].into(),
            days: [date(2026, 12, 28)].into(),
            yearly: [(12, 24), (2, 29)].into(),
            except: [date(2026, 12, 26)].into(),
        };
        let holidays = Holidays { calendars: vec![own], by_country: None };
        let now = "2026-12-20T00:00:00Z".parse().unwrap();
        let days = holidays.days(None, now);
        assert!(days.starts_with("2026-12-24 2026-12-25 2026-12-28 2027-01-01 2027-03-26 "), "{days}");
        assert!(days.contains("2028-02-29") && !days.contains("2027-02-29") && days.ends_with("2029-12-26"));
    }

    #[test]
    fn a_contact_has_the_holidays_of_its_country_or_of_the_workspaces_calendar_for_it() {
        let own = BTreeMap::from([("DE".to_owned(), Calendar::of("AT"))]);
        let holidays = Holidays { calendars: Vec::new(), by_country: Some(own) };
        let mut contact = Contact::new(ContactId(1));
        assert_eq!(holidays.country_of(&contact), None);
        contact.attributes.insert("country".to_owned(), json!(" fr "));
        let country = holidays.country_of(&contact);
        assert_eq!(country.as_deref(), Some("FR"));
        let now = "2026-07-01T00:00:00Z".parse().unwrap();
        assert!(holidays.days(country.as_deref(), now).starts_with("2026-07-14 2026-08-15 "));
        assert!(holidays.days(Some("DE"), now).starts_with("2026-08-15 2026-10-26 "));
        assert_eq!(holidays.days(Some("XX"), now), "");
        assert_eq!(holidays.days(None, now), "");
    }
}
