//! `teams.yaml`: who receives leads.

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::team::{Member, Representative, Team};
use serde_json::Value;

use crate::{
    Code, Diagnostic, Source,
    read::entry,
    source::Report,
    yaml::{self, Entry, Node},
};

/// Largest weight.
const MAX_WEIGHT: u32 = 1_000_000;

/// Reads `teams.yaml`. An empty file has no teams.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn parse(source: &Source) -> Result<(Vec<Representative>, Vec<Team>), Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let tree = if source.text.trim().is_empty() { None } else { yaml::parse(source, &mut report) };
    let (representatives, teams) = tree.map(|tree| document(&tree, &mut report)).unwrap_or_default();
    if report.errors() > 0 { Err(report.into_diagnostics()) } else { Ok((representatives, teams)) }
}

fn document(tree: &Node, report: &mut Report<'_>) -> (Vec<Representative>, Vec<Team>) {
    let Some(entries) = report.read_mapping(tree, "the file", "`representatives: []` and `teams: []`") else {
        return Default::default();
    };
    report.unknown_keys(entries, &["representatives", "teams"], "teams.yaml");
    let mut keys = Keys::default();
    let mut representatives = Vec::new();
    for (entries, node) in items(entries, "representatives", "{key: ada, name: Ada}", report) {
        report.unknown_keys(entries, &["key", "name", "email"], "a representative");
        let key = keyed(entries, "key", node, &mut keys, report);
        let name = entry(entries, "name").and_then(|entry| report.read_name(&entry.value, "`name`"));
        let email = entry(entries, "email").filter(|entry| !entry.value.is_null());
        let email = email.and_then(|entry| report.read_name(&entry.value, "`email`"));
        if let Some(key) = key {
            representatives.push(Representative { name: name.unwrap_or_else(|| key.clone()), key, email });
        }
    }
    let known: BTreeSet<&str> =
        representatives.iter().map(|representative| representative.key.as_str()).collect();
    let mut keys = Keys::default();
    let mut teams = Vec::new();
    for (entries, node) in
        items(entries, "teams", "{key: enterprise, name: Enterprise, members: [{rep: ada}]}", report)
    {
        report.unknown_keys(entries, &["key", "name", "members"], "a team");
        let key = keyed(entries, "key", node, &mut keys, report);
        let name = entry(entries, "name").and_then(|entry| report.read_name(&entry.value, "`name`"));
        let members = members(entries, &known, report);
        if let Some(key) = key {
            teams.push(Team { name: name.unwrap_or_else(|| key.clone()), key, members });
        }
    }
    (representatives, teams)
}

fn members(team: &[Entry], known: &BTreeSet<&str>, report: &mut Report<'_>) -> Vec<Member> {
    let mut keys = Keys::default();
    let mut members = Vec::new();
    for (entries, node) in items(team, "members", "{rep: ada, weight: 2}", report) {
        report.unknown_keys(entries, &["rep", "weight"], "a member");
        let weight = entry(entries, "weight").map_or(Some(1), |entry| weight(&entry.value, report));
        let rep = keyed(entries, "rep", node, &mut keys, report);
        if let Some(rep) = &rep
            && !known.contains(rep.as_str())
            && let Some(entry) = entry(entries, "rep")
        {
            report
                .error(
                    Code::NoRepresentative,
                    &entry.value.span,
                    format!("no representative has the key `{rep}`"),
                )
                .suggest(rep, known.iter().copied());
        }
        if let (Some(rep), Some(weight)) = (rep, weight) {
            members.push(Member { rep, weight });
        }
    }
    members
}

/// The mappings in the list under `key`; a list that is not there is empty.
fn items<'n>(
    entries: &'n [Entry],
    key: &str,
    example: &str,
    report: &mut Report<'_>,
) -> Vec<(&'n [Entry], &'n Node)> {
    let Some(list) = entry(entries, key).filter(|entry| !entry.value.is_null()) else { return Vec::new() };
    let name = format!("`{key}`");
    let list = report.read_list(&list.value, &name, &format!("[{example}]")).unwrap_or_default();
    list.iter()
        .filter_map(|item| Some((report.read_mapping(item, &format!("an item of {name}"), example)?, item)))
        .collect()
}

/// Lines of the keys that were seen.
type Keys = BTreeMap<String, u32>;

/// The text under `name`, which must be there and may be there once.
fn keyed(
    entries: &[Entry],
    name: &str,
    node: &Node,
    keys: &mut Keys,
    report: &mut Report<'_>,
) -> Option<String> {
    let Some(entry) = entry(entries, name) else {
        report.error(Code::MissingKey, &node.span, format!("`{name}` is missing"));
        return None;
    };
    let key = report.read_name(&entry.value, &format!("`{name}`"))?;
    let line = report.line(entry.value.span.start);
    match keys.insert(key.clone(), line) {
        None => Some(key),
        Some(before) => {
            report
                .error(Code::DuplicateTeamKey, &entry.value.span, format!("`{key}` is there twice"))
                .label(format!("first in line {before}"));
            None
        }
    }
}

fn weight(node: &Node, report: &mut Report<'_>) -> Option<u32> {
    let value = node.value();
    let weight =
        value.as_u64().and_then(|weight| u32::try_from(weight).ok()).filter(|weight| *weight <= MAX_WEIGHT);
    if weight.is_none() {
        let found = match &value {
            Value::Number(number) => number.to_string(),
            _ => node.what().to_owned(),
        };
        report
            .error(Code::Weight, &node.span, format!("`weight` cannot be {found}"))
            .help("a whole number from 0 (receives none) to 1000000");
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Vec<Representative>, Vec<Team>), Vec<Diagnostic>> {
        super::parse(&Source { path: "teams.yaml".into(), text: text.into() })
    }

    #[test]
    fn a_weight_is_one_unless_written() {
        let (representatives, teams) = parse(
            "representatives:\n  - {key: ada, name: Ada, email: ada@dripline.example}\n  - {key: bo}\n\
             teams:\n  - {key: all, members: [{rep: ada, weight: 2}, {rep: bo}]}\n",
        )
        .unwrap();
        assert_eq!(representatives[1], Representative { key: "bo".into(), name: "bo".into(), email: None });
        let weights: Vec<u32> = teams[0].members.iter().map(|member| member.weight).collect();
        assert_eq!(weights, [2, 1]);
        assert_eq!(parse("").unwrap(), (vec![], vec![]));
    }

    #[test]
    fn every_mistake_is_placed() {
        let diagnostics = parse(
            "representatives:\n  - {key: ada, nam: Ada}\n  - {key: ada}\nteams:\n\
             \x20 - {key: all, members: [{rep: adda, weight: -1}, {rep: ada}, {rep: ada, weight: much}]}\n  - {name: x}\n",
        )
        .unwrap_err();
        let rendered: Vec<String> = diagnostics
            .iter()
            .map(|d| {
                format!(
                    "{} {}:{} {} ({})",
                    d.code,
                    d.line,
                    d.column,
                    d.message,
                    d.help.clone().unwrap_or_default()
                )
            })
            .collect();
        insta::assert_snapshot!(rendered.join("\n"), @"
        E0201 2:16 a representative has no key `nam` (did you mean `name`?)
        E0702 3:11 `ada` is there twice ()
        E0701 5:32 no representative has the key `adda` (did you mean `ada`?)
        E0703 5:46 `weight` cannot be -1 (a whole number from 0 (receives none) to 1000000)
        E0702 5:69 `ada` is there twice ()
        E0703 5:82 `weight` cannot be text (a whole number from 0 (receives none) to 1000000)
        E0202 6:5 `key` is missing ()
        ");
    }
}
