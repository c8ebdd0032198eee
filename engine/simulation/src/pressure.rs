//! How many mails contacts get within a week.

use std::collections::{BTreeMap, HashMap};

use dripline_model::id::ContactId;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::play::Mail;

/// A week: any seven days.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How many of those over the limit are named.
const MOST_NAMED: usize = 1_000;

/// How many mails contacts get within a week.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pressure {
    /// More than so many mails within seven days are too many.
    pub limit: u32,
    /// Contacts who would get more.
    pub over: u64,
    /// By the number of mails in a contact's fullest seven days, how many contacts.
    pub fullest_week: BTreeMap<u32, u64>,
    /// Those over the limit, the most mails first; at most 1,000.
    pub contacts: Vec<OverLimit>,
}

/// A contact who would get too many mails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OverLimit {
    /// The address.
    pub contact: String,
    /// Mails in the fullest seven days.
    pub mails: u32,
    /// The first of them.
    pub from: Timestamp,
    /// The last of them.
    pub until: Timestamp,
}

impl Pressure {
    /// What these mails, in the order of their times, mean for their receivers.
    pub(crate) fn of(mails: &[Mail], limit: u32) -> Self {
        let mut times: HashMap<ContactId, (&str, Vec<Timestamp>)> = HashMap::new();
        for mail in mails.iter().filter(|mail| mail.failure.is_none()) {
            times.entry(mail.contact).or_insert_with(|| (mail.to.as_str(), Vec::new())).1.push(mail.at);
        }
        let mut pressure = Self { limit, ..Self::default() };
        for (contact, times) in times.values() {
            let Some((mails, from, until)) = fullest(times) else { continue };
            *pressure.fullest_week.entry(mails).or_default() += 1;
            if mails > limit {
                pressure.over += 1;
                pressure.contacts.push(OverLimit { contact: (*contact).to_owned(), mails, from, until });
            }
        }
        pressure
            .contacts
            .sort_by(|one, other| other.mails.cmp(&one.mails).then_with(|| one.contact.cmp(&other.contact)));
        pressure.contacts.truncate(MOST_NAMED);
        pressure
    }
}

/// The fullest seven days among times that rise: how many, the first and the last of them.
fn fullest(times: &[Timestamp]) -> Option<(u32, Timestamp, Timestamp)> {
    let mut best: Option<(usize, Timestamp, Timestamp)> = None;
    let mut first = 0;
    for (last, until) in times.iter().enumerate() {
        while times.get(first).is_some_and(|from| until.duration_since(*from) >= WEEK) {
            first += 1;
        }
        let number = last + 1 - first;
        if let Some(from) = times.get(first)
            && best.is_none_or(|(most, ..)| number > most)
        {
            best = Some((number, *from, *until));
        }
    }
    best.map(|(number, from, until)| (u32::try_from(number).unwrap_or(u32::MAX), from, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_any_seven_days() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let times =
            ["2024-01-01T09:00:00Z", "2024-01-05T09:00:00Z", "2024-01-08T08:59:59Z", "2024-01-08T09:00:00Z"];
        let times = times.map(at);
        assert_eq!(fullest(&times), Some((3, times[0], times[2])));
        assert_eq!(fullest(&[]), None);
    }
}
