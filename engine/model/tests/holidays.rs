//! The holidays of countries, as another library has them (`holidays/generate.py` says which).

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::holidays;
use jiff::civil::Date;

const OTHERS: &str = include_str!("holidays/holidays.csv");

#[test]
fn every_country_has_the_holidays_that_another_library_has() {
    let mut others = BTreeMap::<(&str, i16), BTreeSet<Date>>::new();
    for line in OTHERS.lines().skip(1) {
        let mut fields = line.splitn(3, ',');
        let (country, day) = (fields.next().unwrap(), fields.next().unwrap());
        let day: Date = day.parse().unwrap();
        others.entry((country, day.year())).or_default().insert(day);
    }
    let compared: BTreeSet<&str> = others.keys().map(|(country, _)| *country).collect();
    assert!(holidays::countries().eq(compared.iter().copied()) && compared.len() >= 20);
    for ((country, year), days) in others {
        assert_eq!(holidays::of_country(country, year), days, "{country} in {year}");
    }
}
