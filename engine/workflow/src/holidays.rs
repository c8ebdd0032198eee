//! Holidays: `holidays.yaml`, and which calendars a step means.

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{
    holidays::{self, CONTACT, Calendar, Holidays},
    suggest::closest,
};
use jiff::civil::{Date, date};

use crate::{
    Code, Diagnostic, Environment, Source,
    read::entry,
    source::Report,
    yaml::{self, Entry, Node},
};

/// The file's name.
pub const FILE: &str = "holidays.yaml";

/// The calendars of a workspace by name. One that has the code of a country stands for that country's.
pub type Calendars = BTreeMap<String, Calendar>;

const EXAMPLE: &str = "`calendars: {office: {countries: [DE], days: [2026-12-28]}}`";

const KEYS: &[&str] = &["countries", "days", "yearly", "except"];

/// Reads `holidays.yaml`.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn parse(source: &Source) -> Result<Calendars, Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let tree = yaml::parse(source, &mut report);
    let calendars = tree.map(|tree| document(&tree, &mut report)).unwrap_or_default();
    if report.errors() > 0 { Err(report.into_diagnostics()) } else { Ok(calendars) }
}

fn document(tree: &Node, report: &mut Report<'_>) -> Calendars {
    let mut calendars = Calendars::new();
    let Some(entries) = report.read_mapping(tree, "the file", EXAMPLE) else { return calendars };
    report.unknown_keys(entries, &["calendars"], FILE);
    let Some(list) = entry(entries, "calendars").filter(|entry| !entry.value.is_null()) else {
        return calendars;
    };
    for entry in report.read_mapping(&list.value, "`calendars`", EXAMPLE).unwrap_or_default() {
        name(entry, report);
        if let Some(calendar) = calendar(entry, report) {
            calendars.insert(entry.key.clone(), calendar);
        }
    }
    calendars
}

/// A calendar's name: small letters, or the code of a country.
fn name(entry: &Entry, report: &mut Report<'_>) {
    let key = entry.key.as_str();
    let is_name = key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let is_code = key.len() == 2 && key.chars().all(|c| c.is_ascii_uppercase());
    if key == CONTACT {
        report
            .error(Code::Calendar, &entry.key_span, "`contact` means the calendar of the contact's country")
            .help("give the calendar another name");
    } else if key.is_empty() || !(is_name || is_code) {
        report.error(Code::Calendar, &entry.key_span, format!("`{key}` is no name of a calendar")).help(
            "write small letters, digits and `-`; or the code of a country, DE, whose calendar it replaces",
        );
    }
}

fn calendar(named: &Entry, report: &mut Report<'_>) -> Option<Calendar> {
    let place = format!("the calendar `{}`", named.key);
    let entries = report.read_mapping(&named.value, &place, "{countries: [DE], days: [2026-12-28]}")?;
    report.unknown_keys(entries, KEYS, &place);
    let mut items = |key: &str, example: &str| -> Vec<Node> {
        let Some(entry) = entry(entries, key).filter(|entry| !entry.value.is_null()) else {
            return Vec::new();
        };
        report.read_list(&entry.value, &format!("`{key}`"), example).unwrap_or_default().to_vec()
    };
    let (countries, days) = (items("countries", "[DE, AT]"), items("days", "[2026-12-28]"));
    let (yearly, except) = (items("yearly", "[12-24]"), items("except", "[2026-10-31]"));
    let countries: BTreeSet<String> = countries.iter().filter_map(|node| country(node, report)).collect();
    let mut dates =
        |nodes: &[Node]| -> BTreeSet<Date> { nodes.iter().filter_map(|node| day(node, report)).collect() };
    let (days, except) = (dates(&days), dates(&except));
    let yearly = yearly.iter().filter_map(|node| day_of_year(node, report)).collect();
    Some(Calendar { countries, days, yearly, except })
}

fn country(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let code = node.scalar().filter(|_| !node.is_null()).unwrap_or_default().trim();
    if holidays::countries().any(|known| known == code) {
        return Some(code.to_owned());
    }
    let diagnostic = report.error(
        Code::Calendar,
        &node.span,
        format!("the holidays of `{}` are not known", node.scalar().unwrap_or(node.what())),
    );
    let upper = code.to_ascii_uppercase();
    match holidays::countries().find(|known| *known == upper) {
        Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
        None => {
            diagnostic.help(format!("known are {}; list the days of others in `days`", known_countries()))
        }
    };
    None
}

fn day(node: &Node, report: &mut Report<'_>) -> Option<Date> {
    let text = node.scalar().filter(|_| !node.is_null()).unwrap_or_default().trim();
    let day = (text.len() == 10).then(|| text.parse().ok()).flatten();
    if day.is_none() {
        let message = format!("`{}` is no date", node.scalar().unwrap_or(node.what()));
        report.error(Code::Calendar, &node.span, message).help("write for example 2026-12-28");
    }
    day
}

fn day_of_year(node: &Node, report: &mut Report<'_>) -> Option<(i8, i8)> {
    let text = node.scalar().filter(|_| !node.is_null()).unwrap_or_default().trim();
    let number = |text: &str| (text.len() == 2).then(|| text.parse::<i8>().ok()).flatten();
    let parts = text.split_once('-').and_then(|(month, day)| Some((number(month)?, number(day)?)));
    // A year that has a 29 February.
    let day = parts.filter(|(month, day)| date(2024, 1, 1).with().month(*month).day(*day).build().is_ok());
    if day.is_none() {
        let message = format!("`{}` is no day of the year", node.scalar().unwrap_or(node.what()));
        report.error(Code::Calendar, &node.span, message).help("write month and day, for example 12-24");
    }
    day
}

fn known_countries() -> String {
    holidays::countries().collect::<Vec<_>>().join(", ")
}

/// The calendars that a step names, several with commas between.
pub(crate) fn of_step(
    text: &str,
    node: &Node,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Holidays> {
    let own = environment.calendars;
    let mut wanted = Holidays::default();
    let mut is_right = true;
    for name in text.split(',').map(str::trim) {
        if let Some(calendar) = own.get(name) {
            wanted.calendars.push(calendar.clone());
        } else if name == CONTACT {
            let of_countries = own.iter().filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase()));
            wanted.by_country =
                Some(of_countries.map(|(name, calendar)| (name.clone(), calendar.clone())).collect());
        } else if holidays::countries().any(|known| known == name) {
            wanted.calendars.push(Calendar::of(name));
        } else {
            is_right = false;
            unknown(name, node, own, report);
        }
    }
    is_right.then_some(wanted)
}

fn unknown(name: &str, node: &Node, own: &Calendars, report: &mut Report<'_>) {
    let diagnostic =
        report.error(Code::NoCalendar, &node.span, format!("there is no calendar of holidays `{name}`"));
    let countries = holidays::countries().map(|code: &str| code);
    let names: Vec<&str> = countries.chain(own.keys().map(String::as_str)).chain([CONTACT]).collect();
    let upper = name.to_ascii_uppercase();
    let near = names.iter().copied().find(|known| *known == upper);
    match near.or_else(|| closest(name, names.iter().copied())) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!(
            "write `contact`, the code of a country ({}), or the name of a calendar in {FILE}",
            known_countries()
        )),
    };
}
