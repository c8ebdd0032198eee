//! The contacts of a test.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{GivenContact, file::Context};
use crate::{
    Code, fields,
    source::Report,
    yaml::{Kind, Node},
};

const EXAMPLE: &str = "{mia: {email: mia@harbour.example, consent: {email: true}}}";

/// Reads contacts by their names.
pub(super) fn contacts(
    node: &Node,
    context: &Context<'_>,
    from: Timestamp,
    report: &mut Report<'_>,
) -> BTreeMap<String, GivenContact> {
    let entries = report.read_mapping(node, "`contacts`", EXAMPLE).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| {
            let contact = contact(&entry.key, &entry.value, context, from, report)?;
            Some((entry.key.clone(), contact))
        })
        .collect()
}

fn contact(
    name: &str,
    node: &Node,
    context: &Context<'_>,
    from: Timestamp,
    report: &mut Report<'_>,
) -> Option<GivenContact> {
    let mut contact = GivenContact { external_id: name.to_owned(), ..GivenContact::default() };
    if node.is_null() {
        return Some(contact);
    }
    let entries = report.read_mapping(node, &format!("the contact `{name}`"), EXAMPLE)?;
    for entry in entries {
        let value = &entry.value;
        match entry.key.as_str() {
            "external_id" => {
                contact.external_id = report.read_name(value, "`external_id`").unwrap_or_default()
            }
            "email" if value.is_null() => {}
            "email" => contact.email = email(value, report),
            "consent" => contact.consents = consents(value, context, report),
            "tags" => contact.tags = names(value, "`tags`", report),
            "segments" => contact.segments = names(value, "`segments`", report).into_iter().collect(),
            "scores" => contact.scores = scores(value, report),
            "owner" => contact.owner = representative(value, context, report),
            "created_at" => contact.created_at = context.moment(value, "`created_at`", from, report),
            "id" => {
                report
                    .error(Code::GivenContact, &entry.key_span, "the store gives `id`; a test cannot")
                    .help("write `external_id`");
            }
            _ => {
                if let Some(fields) = context.environment.fields {
                    fields::fits(entry, fields, report);
                }
                contact.attributes.insert(entry.key.clone(), value.value());
            }
        }
    }
    Some(contact)
}

/// Complains of two contacts with one address or key.
pub(super) fn check_keys(contacts: &BTreeMap<String, GivenContact>, test: &Node, report: &mut Report<'_>) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, contact) in contacts {
        let keys: BTreeSet<&str> =
            [Some(contact.external_id.as_str()), contact.email.as_deref()].into_iter().flatten().collect();
        for key in keys {
            if let Some(other) = seen.insert(key, name) {
                report.error(
                    Code::GivenContact,
                    &test.span,
                    format!("the contacts `{other}` and `{name}` are both known as `{key}`"),
                );
            }
        }
    }
}

fn email(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let text = report.read_name(node, "`email`")?;
    let is_address = text.split_once('@').is_some_and(|(user, domain)| {
        !user.is_empty() && domain.contains('.') && !text.contains(char::is_whitespace)
    });
    if !is_address {
        report
            .error(Code::GivenContact, &node.span, format!("`{text}` is not an email address"))
            .help("write for example mia@harbour.example; `null` where the contact has none");
        return None;
    }
    Some(text.to_lowercase())
}

/// `{email: true, news: false}`, or `true` for email as such.
fn consents(node: &Node, context: &Context<'_>, report: &mut Report<'_>) -> BTreeMap<String, bool> {
    const TOPICS: &str = "{email: true, news: false}";
    if let Some(given) = node.value().as_bool() {
        return BTreeMap::from([("email".to_owned(), given)]);
    }
    let entries = report.read_mapping(node, "`consent`", TOPICS).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| {
            if let Some(fields) = context.environment.fields {
                fields::fits_topic(entry, fields, report);
            }
            let given = entry.value.value().as_bool();
            if given.is_none() {
                report
                    .wrong_type(&entry.value, &format!("consent to `{}`", entry.key), "true or false")
                    .help(format!("write for example {TOPICS}"));
            }
            Some((entry.key.clone(), given?))
        })
        .collect()
}

fn scores(node: &Node, report: &mut Report<'_>) -> BTreeMap<String, i64> {
    let entries = report.read_mapping(node, "`scores`", "{fit: 30}").unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| {
            let points = entry.value.value().as_i64();
            if points.is_none() {
                report.wrong_type(&entry.value, &format!("the score `{}`", entry.key), "a whole number");
            }
            Some((entry.key.clone(), points?))
        })
        .collect()
}

/// Names as a list, or a single one.
pub(super) fn names(node: &Node, name: &str, report: &mut Report<'_>) -> Vec<String> {
    let nodes: Vec<&Node> = match &node.kind {
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    nodes.into_iter().filter_map(|node| report.read_name(node, name)).collect()
}

/// The key of a representative that there is.
pub(super) fn representative(node: &Node, context: &Context<'_>, report: &mut Report<'_>) -> Option<String> {
    let key = report.read_name(node, "`owner`")?;
    let known = context.environment.representatives;
    if !known.contains(&key) {
        report
            .error(Code::NoSuchRepresentative, &node.span, format!("no representative has the key `{key}`"))
            .suggest(&key, known.iter().map(String::as_str));
    }
    Some(key)
}
