//! Reading nodes as what they have to be, with a complaint where they are not.

use dripline_expression::{Expression, Problem, ProblemKind, Scope};
use dripline_model::{batch::ColumnType, field::Fields};
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
        let compile = |source: &str, scope: &Scope<'_>| Expression::compile(source, result, scope);
        let expression = self.read_expression(node, name, scope, compile)?;
        Some(expression.source().to_owned())
    }

    /// The node as an expression, as `compile` makes it.
    pub(crate) fn read_expression(
        &mut self,
        node: &Node,
        name: &str,
        scope: &Scope<'_>,
        compile: impl Fn(&str, &Scope<'_>) -> Result<Expression, Vec<Problem>>,
    ) -> Option<Expression> {
        let Some(source) = node.scalar().filter(|_| !node.is_null()) else {
            self.wrong_type(node, name, "an expression")
                .help("write for example contact.country == \"DE\"; one that begins with a quotation mark, `!` or `[` has to stand in single quotes");
            return None;
        };
        let place = |report: &Self, problem: &Problem| scalar::place(report.text(), node, &problem.span);
        let problems = match compile(source, scope) {
            Ok(expression) => {
                for problem in expression.contradictions() {
                    let place = place(self, problem);
                    self.warning(Code::Contradiction, &place, problem.message.as_str())
                        .help
                        .clone_from(&problem.help);
                }
                return Some(expression);
            }
            Err(problems) => problems,
        };
        // What contacts have had so far may change with the next import, unless it looks like a slip.
        let declared = scope.attributes.map(Fields::declared_types);
        let certain = Scope { attributes: declared.as_ref(), ..*scope };
        let certain = compile(source, &certain).err().unwrap_or_default();
        let mut usable = true;
        for problem in &problems {
            let place = place(self, problem);
            let is_open = scope.attributes.is_none_or(|fields| !fields.is_closed());
            if problem.kind == ProblemKind::Name && problem.help.is_none() && is_open {
                self.warning(Code::NoSuchAttribute, &place, problem.message.as_str()).help(
                    "until an import brings it, the expression is no match; `has(…)` asks whether it is there",
                );
            } else if problem.kind == ProblemKind::Segment {
                self.warning(Code::NoSegment, &place, problem.message.as_str())
                    .help
                    .clone_from(&problem.help);
            } else if !certain.contains(problem) && problem.kind == ProblemKind::Types {
                let help =
                    problem.help.as_deref().unwrap_or("until an import brings others, it holds for nobody");
                self.warning(Code::LearntType, &place, problem.message.as_str()).help(help);
            } else {
                usable = false;
                self.error(code(problem.kind), &place, problem.message.as_str())
                    .help
                    .clone_from(&problem.help);
            }
        }
        if !usable {
            return None;
        }
        // A doubt may have hidden what is wrong in any case.
        match compile(source, &Scope { attributes: None, ..*scope }) {
            Ok(expression) => Some(expression),
            Err(more) => {
                for problem in more {
                    let place = place(self, &problem);
                    self.error(code(problem.kind), &place, problem.message).help = problem.help;
                }
                None
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

/// The code of an expression's problem.
fn code(kind: ProblemKind) -> Code {
    match kind {
        ProblemKind::Name => Code::UnknownName,
        ProblemKind::Types => Code::Types,
        ProblemKind::Value => Code::FieldValue,
        ProblemKind::Function => Code::Function,
        ProblemKind::Topic => Code::NoTopic,
        ProblemKind::Score => Code::NoScore,
        ProblemKind::Grade => Code::NoGrade,
        _ => Code::Expression,
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
