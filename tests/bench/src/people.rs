//! Contacts that look like contacts: twelve attributes, the same for the same number on every machine.

use std::collections::BTreeMap;

use dripline_model::{id::ContactId, random};
use dripline_store::{ContactRow, Enrolment, RowResult, Store, StoredProgram};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::Result;

const COUNTRIES: &[&str] = &["DE", "AT", "CH", "FR", "GB", "US"];
const INDUSTRIES: &[&str] = &["logistics", "manufacturing", "retail", "health", "software"];
const SENIORITIES: &[&str] = &["junior", "senior", "manager", "vp", "c_suite"];
const TITLES: &[&str] = &["Head of Purchasing", "VP Finance", "Clerk", "Director Operations", "Analyst"];
const PLANS: &[&str] = &["free", "trial", "paid"];
const CITIES: &[&str] = &["Berlin", "Graz", "Basel", "Lyon", "Leeds", "Austin", "Bremen"];
const NAMES: &[&str] = &["Ada", "Bob", "Cem", "Dana", "Eve", "Finn", "Gül", "Hugo", "Ida", "Jan"];

/// How many rows one call to the store takes.
const SLICE: u32 = 1_000;

/// The external id of a contact.
pub(crate) fn key(number: u32) -> String {
    format!("c{number}")
}

/// The twelve attributes of a contact.
pub(crate) fn attributes(number: u32) -> Map<String, Value> {
    let mut dice = random::mix(u64::from(number).wrapping_add(random::GAMMA));
    let mut roll = |sides: u64| {
        let rolled = dice % sides;
        dice = random::mix(dice.wrapping_add(random::GAMMA));
        rolled
    };
    let mut pick = |from: &[&'static str]| {
        let index = usize::try_from(roll(from.len() as u64)).unwrap_or_default();
        Value::from(from.get(index).copied().unwrap_or_default())
    };
    let texts = [
        ("first_name", pick(NAMES)),
        ("title", pick(TITLES)),
        ("seniority", pick(SENIORITIES)),
        ("country", pick(COUNTRIES)),
        ("city", pick(CITIES)),
        ("industry", pick(INDUSTRIES)),
        ("plan", pick(PLANS)),
        ("company", json!(format!("Company {} Ltd", number % 5_000))),
        ("time_zone", json!("Europe/Berlin")),
    ];
    let mut all: Map<String, Value> =
        texts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    all.insert("employees".to_owned(), roll(3_000).into());
    all.insert("visits".to_owned(), roll(25).into());
    all.insert("customer".to_owned(), (roll(2) == 0).into());
    all
}

/// Imports the contacts from `first` on and answers their ids in that order.
pub(crate) async fn import(
    store: &dyn Store,
    first: u32,
    count: u32,
    now: Timestamp,
) -> Result<Vec<ContactId>> {
    let mut ids = Vec::with_capacity(count as usize);
    let mut import = store.begin_import().await?;
    for start in (first..first + count).step_by(SLICE as usize) {
        let rows: Vec<_> = (start..(start + SLICE).min(first + count))
            .map(|number| ContactRow {
                external_id: Some(key(number)),
                email: Some(format!("person{number}@customer{}.example", number % 5_000)),
                attributes: attributes(number),
                consents: BTreeMap::from([("email".to_owned(), true)]),
                ..ContactRow::default()
            })
            .collect();
        for result in import.upsert_contacts(&rows, now).await? {
            match result {
                RowResult::Inserted(id) | RowResult::Updated(id) | RowResult::Unchanged(id) => ids.push(id),
                RowResult::Rejected(reason) => return Err(reason.into()),
            }
        }
    }
    import.commit().await?;
    Ok(ids)
}

/// Enrols `count` of the contacts, spread evenly over all of them, as `dripline enroll` does.
pub(crate) async fn enrol(
    store: &dyn Store,
    program: &StoredProgram,
    contacts: &[ContactId],
    count: usize,
    now: Timestamp,
) -> Result<()> {
    let stride = (contacts.len() / count.max(1)).max(1);
    let chosen: Vec<ContactId> = contacts.iter().step_by(stride).take(count).copied().collect();
    for some in chosen.chunks(SLICE as usize) {
        let enrolments: Vec<_> = some
            .iter()
            .map(|contact| Enrolment {
                workflow: program.workflow,
                version: program.version,
                contact: *contact,
                event: None,
                lane: 0,
                reason: "by hand".to_owned(),
            })
            .collect();
        let mut transaction = store.begin().await?;
        transaction.enroll(&enrolments, now).await?;
        transaction.commit().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_differ_and_stay_the_same() {
        assert_eq!(attributes(7), attributes(7));
        assert_ne!(attributes(7), attributes(8));
        assert_eq!(attributes(7).len(), 12);
    }
}
