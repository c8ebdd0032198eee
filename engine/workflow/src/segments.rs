//! `segments/*.yaml`: who is a member of what.

mod filled;

use std::collections::{BTreeMap, BTreeSet};

use dripline_expression::{Expression, Scope};
use dripline_model::{
    field::Fields,
    segment::{FORMAT, Segment, in_order},
};

pub use self::filled::filled_by;
use crate::{
    Code, Diagnostic, Severity, Source,
    read::entry,
    source::Report,
    yaml::{self, Node},
};

const KEYS: &[&str] = &["name", "description", "if", "static"];
const EXAMPLE: &str = "`if: contact.scores.fit >= 30`, or `static: true` where steps put members in";

/// A segment's file.
#[derive(Debug, Clone)]
pub struct SegmentFile {
    /// The file.
    pub source: Source,
    /// What it means; nothing if there is an error in it.
    pub segment: Option<Segment>,
}

/// A file in the middle of being checked.
struct Read {
    segment: Segment,
    /// Where the name and the rule stand.
    name: std::ops::Range<usize>,
    rule: Option<std::ops::Range<usize>>,
}

/// Checks the segments of a workspace together. `fields` is what is known of contacts, if anything is.
pub fn check(sources: Vec<Source>, fields: Option<&Fields>) -> (Vec<SegmentFile>, Vec<Diagnostic>) {
    let mut reports: Vec<Report<'_>> = sources.iter().map(Report::new).collect();
    let read: Vec<Option<Read>> = sources
        .iter()
        .zip(&mut reports)
        .map(|(source, report)| yaml::parse(source, report).and_then(|tree| document(&tree, fields, report)))
        .collect();
    complain_of_twins(&sources, &read, &mut reports);
    complain_of_circles(&read, &mut reports);
    // Else it is known what steps fill, and each rule was checked against it.
    if fields.and_then(Fields::segments).is_none() {
        complain_of_strangers(&read, &mut reports);
    }
    let mut diagnostics = Vec::new();
    let mut segments = Vec::with_capacity(read.len());
    for (read, report) in read.into_iter().zip(reports) {
        let own = report.into_diagnostics();
        let is_wrong = own.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        segments.push(read.filter(|_| !is_wrong).map(|read| read.segment));
        diagnostics.extend(own);
    }
    let files =
        sources.into_iter().zip(segments).map(|(source, segment)| SegmentFile { source, segment }).collect();
    (files, diagnostics)
}

fn document(tree: &Node, fields: Option<&Fields>, report: &mut Report<'_>) -> Option<Read> {
    let entries =
        report.read_mapping(tree, "a segment", "`name: hot-leads` and `if: contact.scores.fit >= 30`")?;
    report.unknown_keys(entries, KEYS, "a segment");
    let start = tree.span.start..tree.span.start;
    let name = entry(entries, "name");
    if name.is_none() {
        report.error(Code::MissingKey, &start, "`name` is missing").help("add `name: hot-leads`");
    }
    let description =
        entry(entries, "description").and_then(|entry| report.read_text(&entry.value, "`description`"));
    let is_static = entry(entries, "static");
    let rule = entry(entries, "if");
    match (rule, is_static) {
        (None, None) => {
            report
                .error(Code::SegmentMembers, &start, "the segment does not say who is in it")
                .help(format!("add {EXAMPLE}"));
        }
        (Some(_), Some(is_static)) => {
            report
                .error(Code::SegmentMembers, &is_static.key_span, "a segment is static, or has a rule")
                .help("keep `if` or `static`");
        }
        (None, Some(is_static)) if is_static.value.value().as_bool() != Some(true) => {
            report
                .error(Code::SegmentMembers, &is_static.value.span, "`static` can only be true")
                .help(format!("write {EXAMPLE}"));
        }
        _ => {}
    }
    let expression = rule.and_then(|entry| read_rule(&entry.value, fields, report));
    let name = name?;
    let name_span = name.value.span.clone();
    let name = report.read_name(&name.value, "`name`")?;
    Some(Read {
        name: name_span,
        rule: rule.map(|entry| entry.value.span.clone()),
        segment: Segment {
            format: FORMAT,
            name,
            description,
            needs: expression.as_ref().map(|rule| rule.needs().clone()).unwrap_or_default(),
            depends_on: expression.iter().flat_map(|rule| rule.segments()).map(str::to_owned).collect(),
            rule: expression.map(|rule| rule.source().to_owned()),
        },
    })
}

fn read_rule(node: &Node, fields: Option<&Fields>, report: &mut Report<'_>) -> Option<Expression> {
    let scope = Scope { attributes: fields, ..Scope::default() };
    report.read_expression(node, "`if`", &scope, Expression::compile_rule)
}

/// Two files of one name would undo each other.
fn complain_of_twins(sources: &[Source], read: &[Option<Read>], reports: &mut [Report<'_>]) {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for ((source, read), report) in sources.iter().zip(read).zip(reports) {
        let Some(read) = read else { continue };
        match first.get(read.segment.name.as_str()) {
            Some(path) => {
                let message = format!("{path} defines the segment `{}` too", read.segment.name);
                report.error(Code::SegmentTwin, &read.name, message).help("give one of them another name");
            }
            None => drop(first.insert(&read.segment.name, &source.path)),
        }
    }
}

fn complain_of_circles(read: &[Option<Read>], reports: &mut [Report<'_>]) {
    let mut left: Vec<Segment> = read.iter().flatten().map(|read| read.segment.clone()).collect();
    while let Err(circle) = in_order(left.clone()) {
        // Each of them once, so that circles beside this one are found too.
        let Some(name) = circle.first().cloned() else { return };
        left.retain(|segment| !circle.contains(&segment.name));
        let place = read.iter().position(|read| read.as_ref().is_some_and(|read| read.segment.name == name));
        let found = place.and_then(|place| Some((read.get(place)?.as_ref()?, reports.get_mut(place)?)));
        let Some((read, report)) = found else { return };
        let way = circle.join("` needs `");
        report
            .error(
                Code::SegmentCircle,
                read.rule.as_ref().unwrap_or(&read.name),
                format!("who is in `{name}` depends on who is in `{name}`: `{way}`"),
            )
            .help("leave one of the segments out of the other's rule");
    }
}

/// A name in a rule that is nearly that of a segment is a slip of the pen.
fn complain_of_strangers(read: &[Option<Read>], reports: &mut [Report<'_>]) {
    let known: BTreeSet<&str> = read.iter().flatten().map(|read| read.segment.name.as_str()).collect();
    for (read, report) in read.iter().zip(reports) {
        let Some(read) = read else { continue };
        for name in read.segment.depends_on.iter().filter(|name| !known.contains(name.as_str())) {
            let place = read.rule.as_ref().unwrap_or(&read.name);
            let diagnostic =
                report.warning(Code::NoSuchSegment, place, format!("no file defines the segment `{name}`"));
            match dripline_model::suggest::closest(name, known.iter().copied()) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.help(format!(
                    "if steps put members in, say so in segments/{name}.yaml: `name: {name}` and `static: true`"
                )),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(files: &[&str]) -> String {
        let sources = files
            .iter()
            .enumerate()
            .map(|(index, text)| Source { path: format!("segments/{index}.yaml"), text: (*text).to_owned() })
            .collect();
        let fields = Fields::from_iter(["country", "employees"]);
        let (files, diagnostics) = check(sources, Some(&fields));
        let is_wrong = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        assert_eq!(files.iter().any(|file| file.segment.is_none()), is_wrong);
        let lines = diagnostics.iter().map(|d| {
            let help = d.help.as_deref().unwrap_or_default();
            format!("{} {}:{}:{} {} ({help})", d.code, d.path, d.line, d.column, d.message)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn right_files_are_read() {
        let text = "name: hot\ndescription: Those to call.\nif: contact.country == \"DE\" && \"b\" in contact.segments\n";
        let sources =
            [text, "name: b\nstatic: true\n"].map(|text| Source { path: "x".into(), text: text.into() });
        let (files, diagnostics) = check(sources.into(), None);
        assert!(diagnostics.is_empty());
        let hot = files[0].segment.clone().unwrap();
        assert_eq!(hot.depends_on, ["b"]);
        assert!(hot.needs.segments && hot.needs.attributes.contains("country"));
        assert_eq!(files[1].segment.as_ref().unwrap().rule, None);
    }

    #[test]
    fn every_mistake_is_placed() {
        insta::assert_snapshot!(complaints(&[
            "name: a\n",
            "name: b\nif: contact.contry == \"DE\" && string(now) == \"x\"\n",
            "name: c\nif: true\nstatic: true\n",
            "name: d\nstatic: false\nwhy: x\n",
            "name: b\nif: contact.revenue > 3\n",
            "name: e\nif: '\"f\" in contact.segments'\n",
            "name: f\nif: '!(\"g\" in contact.segments)'\n",
            "name: g\nif: '\"e\" in contact.segments && \"dd\" in contact.segments'\n",
            "if: now > 3\n",
            "name: h\nif: events(\"a\").last(30d).count() > 3\n",
        ]), @r#"
        E0801 segments/0.yaml:1:1 the segment does not say who is in it (add `if: contact.scores.fit >= 30`, or `static: true` where steps put members in)
        E0510 segments/1.yaml:2:5 no contact has `contry` (did you mean `contact.country`?)
        E0801 segments/2.yaml:3:1 a segment is static, or has a rule (keep `if` or `static`)
        E0801 segments/3.yaml:2:9 `static` can only be true (write `if: contact.scores.fit >= 30`, or `static: true` where steps put members in)
        E0201 segments/3.yaml:3:1 a segment has no key `why` (it can be `name`, `description`, `if` or `static`)
        E0803 segments/4.yaml:1:7 segments/1.yaml defines the segment `b` too (give one of them another name)
        W0501 segments/4.yaml:2:5 no contact has `revenue` (until an import brings it, the expression is no match; `has(…)` asks whether it is there)
        E0802 segments/5.yaml:2:5 who is in `e` depends on who is in `e`: `e` needs `f` needs `g` needs `e` (leave one of the segments out of the other's rule)
        W0801 segments/7.yaml:2:5 no file defines the segment `dd` (did you mean `d`?)
        E0202 segments/8.yaml:1:1 `name` is missing (add `name: hot-leads`)
        E0511 segments/8.yaml:1:5 `>` cannot compare a timestamp with a number ()
        E0501 segments/9.yaml:2:22 `30d` is not a number (a length of time stands in quotation marks: "30d")
        "#);
    }
}
