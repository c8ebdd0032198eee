//! YAML with the place of every node: a marked tree, built from the parser's events within limits.
//!
//! `saphyr-parser` gives events with their places; nothing here or there recurses deeper than [`MAX_DEPTH`], whatever
//! the input. What a plain scalar means (`12`, `true`, `~`) is serde_yaml's answer, so that workflows and settings,
//! which serde_yaml reads as a whole, agree on it.

use std::{collections::HashMap, ops::Range};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use serde_json::{Map, Value};

use crate::{Code, Source, source::Report};

/// Deepest nesting of lists and mappings.
pub(crate) const MAX_DEPTH: usize = 64;

/// Most nodes, those behind aliases counted each time.
const MAX_NODES: usize = 100_000;

/// Most bytes of text behind aliases, counted each time.
const MAX_ALIASED_BYTES: usize = 4 << 20;

/// Largest file.
const MAX_BYTES: usize = 1 << 20;

/// Longest key, the limit of YAML 1.2 §7.4.2 for keys on one line.
const MAX_KEY: usize = 1024;

/// A node and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Bytes of the source. For a value that was left out, those of its key.
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// The text without quotes and escapes, and how it was written.
    Scalar(String, ScalarStyle),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: Node,
}

impl Node {
    /// The value as JSON. Numbers that JSON does not have (`.inf`) are null.
    pub(crate) fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(text, ScalarStyle::Plain) => plain_value(text),
            Kind::Scalar(text, _) => Value::String(text.clone()),
            Kind::List(items) => items.iter().map(Self::value).collect(),
            Kind::Mapping(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// What it is, in words: "a number".
    pub(crate) fn what(&self) -> &'static str {
        what(&self.value_head())
    }

    /// The value, without looking inside a list or mapping.
    fn value_head(&self) -> Value {
        match &self.kind {
            Kind::Scalar(..) => self.value(),
            Kind::List(_) => Value::Array(Vec::new()),
            Kind::Mapping(_) => Value::Object(Map::new()),
        }
    }

    /// Whether nothing, or `null`, was written.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(..)) && self.value().is_null()
    }

    /// The text as written, of any scalar.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// The node at a JSON pointer; where there is none, the nearest above it. With it, the place of its key, if any.
    pub(crate) fn at(&self, pointer: &str) -> (&Self, Option<&Range<usize>>) {
        let mut found = (self, None);
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match &found.0.kind {
                Kind::Mapping(entries) => entries
                    .iter()
                    .find(|entry| entry.key == part)
                    .map(|entry| (&entry.value, Some(&entry.key_span))),
                Kind::List(items) => {
                    part.parse::<usize>().ok().and_then(|index| items.get(index)).map(|item| (item, None))
                }
                Kind::Scalar(..) => None,
            };
            match next {
                Some(next) => found = next,
                None => break,
            }
        }
        found
    }
}

/// What a value is, in words.
pub(crate) fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// What an unquoted scalar means.
fn plain_value(text: &str) -> Value {
    // Numbers and the few words that mean something are made of these; and a document mark is none of them here.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+-_~".contains(&byte);
    if text.len() > 40 || !text.bytes().all(plain) || text.starts_with("---") || text.starts_with("...") {
        return Value::String(text.to_owned());
    }
    match serde_yaml::from_str::<Value>(text) {
        Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// Reads a file of one document. Complaints go to `report`; none is returned where nothing can be said beyond them.
pub(crate) fn parse(source: &Source, report: &mut Report<'_>) -> Option<Node> {
    let text = source.text.as_str();
    if text.len() > MAX_BYTES {
        report
            .error(
                Code::TooLarge,
                &(0..0),
                format!("the file is {} KiB large; 1024 KiB is the most", text.len() / 1024),
            )
            .help("split it into several workflows");
        return None;
    }
    let events = events(text, report)?;
    let mut tree = Tree {
        events: &events,
        report,
        anchors: HashMap::new(),
        nodes: 0,
        aliased_bytes: 0,
        open: Vec::new(),
    };
    if events.is_empty() {
        tree.report.error(Code::Empty, &(0..0), "the file is empty");
        return None;
    }
    tree.node(&mut 0, 0)
}

/// An event and the bytes that it covers.
type Marked<'t> = (Event<'t>, Range<usize>);

/// The events of the first document's nodes.
fn events<'t>(text: &'t str, report: &mut Report<'_>) -> Option<Vec<Marked<'t>>> {
    // The parser counts characters.
    let offsets: Option<Vec<usize>> =
        (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).chain([text.len()]).collect());
    let byte = |index: usize| match &offsets {
        None => index.min(text.len()),
        Some(offsets) => offsets.get(index).copied().unwrap_or(text.len()),
    };
    let mut events = Vec::new();
    let (mut depth, mut documents) = (0_usize, 0);
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok((event, span)) => (event, byte(span.start.index())..byte(span.end.index())),
            Err(error) => {
                syntax(&error, byte(error.marker().index()), text, report);
                return None;
            }
        };
        match event {
            Event::DocumentStart(_) if documents > 0 => {
                report
                    .error(Code::Documents, &span, "a second document starts here")
                    .help("a file holds one document: remove the `---`, or make it two files");
                return None;
            }
            Event::DocumentStart(_) => documents += 1,
            Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => depth = depth.saturating_sub(1),
            Event::Scalar(..) | Event::Alias(_) => {}
            _ => continue,
        }
        if depth > MAX_DEPTH {
            too_deep(&span, report);
            return None;
        }
        if events.len() > 2 * MAX_NODES {
            too_many(&span, report);
            return None;
        }
        if !matches!(event, Event::DocumentStart(_)) {
            events.push((event, span));
        }
    }
    // A document of nothing but comments is an empty scalar.
    if let [(Event::Scalar(text, ScalarStyle::Plain, 0, None), _)] = events.as_slice()
        && text.is_empty()
    {
        events.clear();
    }
    Some(events)
}

fn syntax(error: &ScanError, at: usize, text: &str, report: &mut Report<'_>) {
    let line_start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let line = text.get(line_start..).unwrap_or_default().split('\n').next().unwrap_or_default();
    let indentation = line.get(..line.len() - line.trim_start().len()).unwrap_or_default();
    if let Some(tab) = indentation.find('\t') {
        let tab = line_start + tab;
        report
            .error(Code::Tab, &(tab..tab + 1), "tabs are not allowed for indentation; use spaces")
            .help("two spaces for each level; most editors can do this for YAML files");
        return;
    }
    let next = text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    let said = error.info();
    if said == "recursion limit exceeded" {
        too_deep(&(at..at + next), report);
        return;
    }
    let diagnostic = report.error(Code::Syntax, &(at..at + next), format!("this is not YAML: {said}"));
    if said.contains("mapping values are not allowed") || said.contains("illegal placement of ':'") {
        diagnostic.help("a text that contains `: ` has to stand in quotes; else check the indentation");
    } else if said.contains("unknown anchor") {
        diagnostic.help("`*name` repeats what `&name` marked further up; a text that begins with `*` has to stand in quotes");
    } else if said.contains("quoted scalar") {
        diagnostic.help("is a quotation mark missing at the end?");
    } else if said.contains("unexpected character") || said.contains("any valid token") {
        diagnostic.help("a text that begins with `@`, `` ` ``, `%` or the like has to stand in quotes");
    } else {
        diagnostic.help("check the indentation and the brackets and quotation marks before this place");
    }
}

fn too_deep(span: &Range<usize>, report: &mut Report<'_>) {
    report
        .error(Code::Depth, span, format!("nested more than {MAX_DEPTH} levels deep"))
        .help("split the workflow in two, or leave a branch with `goto`");
}

fn too_many(span: &Range<usize>, report: &mut Report<'_>) {
    report
        .error(
            Code::Nodes,
            span,
            format!("more than {MAX_NODES} values, what aliases (`*name`) repeat included"),
        )
        .help("use fewer aliases, or write the workflow in several files");
}

/// Builds nodes from events. Depth is bounded by [`MAX_DEPTH`].
struct Tree<'e, 't, 'r, 's> {
    events: &'e [Marked<'t>],
    report: &'r mut Report<'s>,
    /// Index of the event that each anchor marks.
    anchors: HashMap<usize, usize>,
    nodes: usize,
    aliased_bytes: usize,
    /// Aliases that are being followed.
    open: Vec<usize>,
}

impl Tree<'_, '_, '_, '_> {
    /// The node that begins at the event `at`, which moves behind it. None stops everything: a limit was passed.
    fn node(&mut self, at: &mut usize, depth: usize) -> Option<Node> {
        let events = self.events;
        let (event, span) = events.get(*at)?;
        let first = *at;
        *at += 1;
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            too_many(span, self.report);
            return None;
        }
        if depth > MAX_DEPTH {
            too_deep(span, self.report);
            return None;
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.mark(*anchor, first, tag.is_some(), span);
                if !self.open.is_empty() {
                    self.aliased_bytes += text.len();
                    if self.aliased_bytes > MAX_ALIASED_BYTES {
                        too_many(span, self.report);
                        return None;
                    }
                }
                Some(Node { span: span.clone(), kind: Kind::Scalar(text.to_string(), *style) })
            }
            Event::SequenceStart(anchor, tag) => {
                self.mark(*anchor, first, tag.is_some(), span);
                let mut items = Vec::new();
                while !self.ends(*at) {
                    items.push(self.node(at, depth + 1)?);
                }
                let span = span.start..self.end(*at, span);
                *at += 1;
                Some(Node { span, kind: Kind::List(items) })
            }
            Event::MappingStart(anchor, tag) => {
                self.mark(*anchor, first, tag.is_some(), span);
                let entries = self.entries(at, depth)?;
                let span = span.start..self.end(*at, span);
                *at += 1;
                Some(Node { span, kind: Kind::Mapping(entries) })
            }
            Event::Alias(anchor) => {
                let Some(&target) = self.anchors.get(anchor).filter(|target| !self.open.contains(target))
                else {
                    self.report.error(Code::Alias, span, "this alias stands inside what it repeats");
                    return None;
                };
                self.open.push(target);
                let node = self.node(&mut { target }, depth);
                self.open.pop();
                node
            }
            _ => None,
        }
    }

    fn entries(&mut self, at: &mut usize, depth: usize) -> Option<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Range<usize>> = HashMap::new();
        while !self.ends(*at) {
            let key = self.node(at, depth + 1)?;
            let mut value = self.node(at, depth + 1)?;
            let Kind::Scalar(text, _) = key.kind else {
                self.report.error(Code::Key, &key.span, format!("a key must be text, not {}", key.what()));
                continue;
            };
            if text.len() > MAX_KEY {
                self.report.error(Code::Key, &key.span, format!("a key has at most {MAX_KEY} characters"));
                continue;
            }
            if let Some(before) = seen.get(&text) {
                let line = self.report.line(before.start);
                self.report
                    .error(Code::DuplicateKey, &key.span, format!("`{text}` is written twice"))
                    .label(format!("first written in line {line}"))
                    .help("keep one of the two");
                continue;
            }
            if matches!(&value.kind, Kind::Scalar(text, ScalarStyle::Plain) if text.is_empty()) {
                value.span = key.span.clone();
            }
            seen.insert(text.clone(), key.span.clone());
            entries.push(Entry { key: text, key_span: key.span, value });
        }
        Some(entries)
    }

    /// Whether the collection ends at the event `at`.
    fn ends(&self, at: usize) -> bool {
        matches!(self.events.get(at), None | Some((Event::SequenceEnd | Event::MappingEnd, _)))
    }

    /// Where the collection that ends at the event `at` ends in the text.
    fn end(&self, at: usize, start: &Range<usize>) -> usize {
        self.events.get(at).map_or(start.end, |(_, span)| span.end.max(start.end))
    }

    fn mark(&mut self, anchor: usize, event: usize, tagged: bool, span: &Range<usize>) {
        if anchor > 0 {
            self.anchors.insert(anchor, event);
        }
        if tagged {
            self.report
                .error(Code::Tag, span, "YAML tags (`!name`) have no meaning here")
                .help("remove the tag; put a text that begins with `!` in quotes");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Settings are read by serde_yaml as a whole; a value means the same in both kinds of file.
        #[test]
        fn scalars_mean_what_they_mean_to_serde_yaml(
            scalar in prop_oneof![
                "[-+]?[0-9_.]{1,6}(e[-+]?[0-9]{1,2})?",
                "0[xob][0-9a-f]{1,4}",
                "[-+.~]{0,3}(inf|nan|null|true|True|TRUE|false|yes|no|on|off|NULL|Null|y|n)?",
                "[a-z0-9:#/@.-]{1,8}",
                "['\"]?[a-z ]{0,5}['\"]?",
            ]
        ) {
            let source = Source { path: "x".into(), text: format!("key: {scalar}") };
            let ours = parse(&source, &mut Report::new(&source)).map(|tree| tree.value());
            let theirs = serde_yaml::from_str::<Value>(&source.text);
            if let (Some(ours), Ok(theirs)) = (ours, theirs) {
                prop_assert_eq!(ours, theirs, "{}", scalar);
            }
        }
    }
}
