//! Reading nodes as what they have to be, with a complaint where they are not.

use dripline_expression::{Expression, Scope};
use dripline_model::batch::ColumnType;
use serde_json::Value;

use crate::{
    Code, Diagnostic, scalar,
    source::Report,
    yaml::{Entry, Kind, Node},
};

impl Report<'_> {
    /// The node as text. `name` is what people call it: "`name`".
    pub(crate) fn read_text(&mut self, node: &Node, name: &str) -> Option<String> {
        match node.value() {
            Value::String(text) => Some(text),
            Value::Number(_) | Value::Bool(_) => {
                let written = node.scalar().unwrap_or_default();
                self.wrong_type(node, name, "text").help(format!("put it in quotes: \"{written}\""));
                None
            }
            _ => {
                self.wrong_type(node, name, "text");
                None
            }
        }
    }

    /// The node as text that is not empty.
    pub(crate) fn read_name(&mut self, node: &Node, name: &str) -> Option<String> {
        let text = self.read_text(node, name)?;
        if text.trim().is_empty() {
            self.error(Code::WrongType, &node.span, format!("{name} is empty"));
            return None;
        }
        Some(text)
    }

    /// The node's entries.
    pub(crate) fn read_mapping<'n>(
        &mut self,
        node: &'n Node,
        name: &str,
        example: &str,
    ) -> Option<&'n [Entry]> {
        match &node.kind {
            Kind::Mapping(entries) => Some(entries),
            _ => {
                self.wrong_type(node, name, "a mapping").help(format!("write for example {example}"));
                None
            }
        }
    }

    /// The node's items.
    pub(crate) fn read_list<'n>(&mut self, node: &'n Node, name: &str, example: &str) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::List(items) => Some(items),
            _ => {
                self.wrong_type(node, name, "a list").help(format!("write for example {example}"));
                None
            }
        }
    }

    pub(crate) fn wrong_type(&mut self, node: &Node, name: &str, wanted: &str) -> &mut Diagnostic {
        let found = node.what();
        self.error(Code::WrongType, &node.span, format!("{name} must be {wanted}, but this is {found}"))
    }

    /// Complains of entries with other keys than `known`.
    pub(crate) fn unknown_keys(&mut self, entries: &[Entry], known: &[&str], place: &str) {
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            self.error(Code::UnknownKey, &entry.key_span, format!("{place} has no key `{}`", entry.key))
                .suggest(&entry.key, known.iter().copied());
        }
    }

    /// The node as a CEL expression whose value is a `result`.
    pub(crate) fn read_cel(
        &mut self,
        node: &Node,
        name: &str,
        result: ColumnType,
        scope: &Scope<'_>,
    ) -> Option<String> {
        let Some(source) = node.scalar().filter(|_| !node.is_null()) else {
            self.wrong_type(node, name, "an expression")
                .help("write for example contact.country == \"DE\"; one that begins with a quotation mark, `!` or `[` has to stand in single quotes");
            return None;
        };
        match Expression::compile(source, result, scope) {
            Ok(_) => Some(source.to_owned()),
            Err(problems) => {
                // An attribute that no contact has may come with the next import, unless it looks like a slip.
                let only_unknown =
                    Expression::compile(source, result, &Scope { attributes: None, ..*scope }).is_ok();
                let mut usable = only_unknown;
                for problem in problems {
                    let place = scalar::place(self.text(), node, &problem.span);
                    if only_unknown && problem.help.is_none() {
                        self.warning(Code::NoSuchAttribute, &place, problem.message).help(
                            "until an import brings it, the expression is no match; `has(…)` asks whether it is there",
                        );
                    } else {
                        usable = false;
                        self.error(Code::Expression, &place, problem.message).help = problem.help;
                    }
                }
                usable.then(|| source.to_owned())
            }
        }
    }

    /// The node as a duration.
    pub(crate) fn read_duration(&mut self, node: &Node, name: &str) -> Option<String> {
        let Some(text) = node.scalar().filter(|_| !node.is_null()) else {
            self.wrong_type(node, name, "a duration").help("write for example 30m, 4h, 3d or 2w");
            return None;
        };
        match dripline_model::duration::parse(text) {
            Ok(_) => Some(text.to_owned()),
            Err(message) => {
                self.error(Code::Duration, &node.span, message);
                None
            }
        }
    }
}

/// The entry with this key.
pub(crate) fn entry<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Entry> {
    entries.iter().find(|entry| entry.key == key)
}

/// Whether one of the `unknown` keys is `key`, misspelt: one complaint is enough then.
pub(crate) fn misspelt<'k>(key: &str, known: &[&str], mut unknown: impl Iterator<Item = &'k str>) -> bool {
    unknown.any(|unknown| {
        !known.contains(&unknown)
            && dripline_model::suggest::closest(unknown, known.iter().copied()) == Some(key)
    })
}
