//! Paths from the variables of the language: `contact`, `event` and `now`.

use cel::{
    IdedExpr,
    common::ast::{Expr, LiteralValue, operators},
};
use dripline_model::{contact::RESERVED_FIELDS, suggest};

use super::{Checker, history, usage};
use crate::{ProblemKind, library, source::Path};

/// A path as written: root, fields, and whether `.?` is among them.
pub(super) struct Written {
    pub(super) root: String,
    pub(super) fields: Vec<String>,
    pub(super) optional: bool,
    /// `events("…").last()`, where the path begins with that.
    pub(super) occurrence: Option<Box<IdedExpr>>,
}

impl Checker<'_> {
    /// `node` as a path from a root that is not bound by a macro.
    pub(super) fn written(&self, node: &IdedExpr) -> Option<Written> {
        let step = |operand: &IdedExpr, field: &IdedExpr, optional: bool| {
            let Expr::Literal(LiteralValue::String(field)) = &field.expr else { return None };
            let mut written = self.written(operand)?;
            written.fields.push(field.inner().to_owned());
            written.optional |= optional;
            Some(written)
        };
        match &node.expr {
            Expr::Ident(root) if root.starts_with('@') || self.bound.contains(root) => None,
            Expr::Ident(root) => {
                Some(Written { root: root.clone(), fields: Vec::new(), optional: false, occurrence: None })
            }
            Expr::Call(call) if history::occurrence(call).is_some() => Some(Written {
                root: String::new(),
                fields: Vec::new(),
                optional: false,
                occurrence: Some(Box::new(node.clone())),
            }),
            Expr::Select(select) if !select.test => {
                let mut written = self.written(&select.operand)?;
                written.fields.push(select.field.clone());
                Some(written)
            }
            Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::INDEX, [operand, field]) => step(operand, field, false),
                (operators::OPT_SELECT | operators::OPT_INDEX, [operand, field]) => {
                    step(operand, field, true)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// What a written path means; where it means nothing, that is a problem.
    pub(super) fn path(&mut self, node: &IdedExpr, written: &Written) -> Option<Path> {
        let fields = written.fields.as_slice();
        if let Some(call) = &written.occurrence {
            let occurrence = self.occurrence(call)?;
            let (field, rest) = self.event_path(node, fields)?;
            return self.whole(node, Path::Occurrence(occurrence, Box::new(field)), rest);
        }
        let (path, rest) = match written.root.as_str() {
            "contact" => self.contact_path(node, fields)?,
            "event" if self.scope.event => self.event_path(node, fields)?,
            "event" => {
                let help = "use it in `enroll.if`, and keep what later steps need in a field of the contact";
                self.unknown_name(node, "`event` is not known here", Some(help.to_owned()));
                return None;
            }
            "now" => (Path::Now, fields),
            "input" => self.input_path(node, fields)?,
            unknown => {
                self.unknown_root(node, unknown);
                return None;
            }
        };
        self.whole(node, path, rest)
    }

    /// A path that no field is left of.
    fn whole(&mut self, node: &IdedExpr, path: Path, rest: &[String]) -> Option<Path> {
        if let Some(field) = rest.first() {
            let message =
                format!("`{}` is {} and has no field `{field}`", path.written(), path.gives().noun());
            let help = match path {
                Path::Tags => Some(format!("write \"{field}\" in contact.tags")),
                Path::Segments => Some(format!("write \"{field}\" in contact.segments")),
                _ => None,
            };
            self.problem(node, message, help);
            return None;
        }
        Some(path)
    }

    fn contact_path<'f>(&mut self, node: &IdedExpr, fields: &'f [String]) -> Option<(Path, &'f [String])> {
        let Some((field, rest)) = fields.split_first() else { return Some((Path::Contact, fields)) };
        Some(match field.as_str() {
            "id" => (Path::Id, rest),
            "external_id" => (Path::ExternalId, rest),
            "email" => (Path::Email, rest),
            "owner" => (Path::Owner, rest),
            "created_at" => (Path::CreatedAt, rest),
            "tags" => (Path::Tags, rest),
            "segments" => (Path::Segments, rest),
            "scores" => match rest.split_first() {
                Some((name, rest)) => {
                    self.known_score(node, name);
                    (Path::Score(name.clone()), rest)
                }
                None => (Path::Scores, rest),
            },
            "grades" => match rest.split_first() {
                Some((name, rest)) => {
                    self.has_grades(node, name);
                    (Path::Grade(name.clone()), rest)
                }
                None => (Path::Grades, rest),
            },
            "consent" => match rest.split_first() {
                Some((topic, rest)) => {
                    self.known_topic(node, topic);
                    (Path::Consent(topic.clone()), rest)
                }
                None => (Path::Consents, rest),
            },
            name => {
                if let Some(known) = self.scope.attributes
                    && !known.contains(name)
                {
                    let candidates = known.names().chain(RESERVED_FIELDS.iter().copied());
                    let help = suggest::closest(name, candidates)
                        .map(|close| format!("did you mean `contact.{close}`?"))
                        .or_else(|| known.is_closed().then(|| format!("declare `{name}` in fields.yaml")));
                    self.unknown_name(node, format!("no contact has `{name}`"), help);
                    return None;
                }
                (Path::Attribute(fields.to_vec()), &[])
            }
        })
    }

    fn event_path<'f>(&mut self, node: &IdedExpr, fields: &'f [String]) -> Option<(Path, &'f [String])> {
        let Some((field, rest)) = fields.split_first() else { return Some((Path::Event, fields)) };
        Some(match field.as_str() {
            "name" => (Path::EventName, rest),
            "at" => (Path::EventAt, rest),
            "properties" if rest.is_empty() => (Path::Properties, rest),
            "properties" => (Path::Property(rest.to_vec()), &[]),
            name => {
                let help = suggest::closest(name, ["name", "at", "properties"]).map_or_else(
                    || format!("did you mean `event.properties.{name}`?"),
                    |close| format!("did you mean `event.{close}`?"),
                );
                self.unknown_name(node, format!("an event has no `{name}`"), Some(help));
                return None;
            }
        })
    }

    fn input_path<'f>(&mut self, node: &IdedExpr, fields: &'f [String]) -> Option<(Path, &'f [String])> {
        let Some(inputs) = self.scope.inputs else {
            let help = "only a workflow that says `inputs:` is called with something";
            self.unknown_name(node, "`input` is not known here", Some(help.to_owned()));
            return None;
        };
        let Some((name, rest)) = fields.split_first() else {
            let help = inputs.keys().next().map(|name| format!("write for example input.{name}"));
            self.problem(node, "`input` has to be followed by a name", help);
            return None;
        };
        let Some(column) = inputs.get(name) else {
            let help = suggest::closest(name, inputs.keys().map(String::as_str)).map_or_else(
                || format!("declare it: inputs: {{{name}: text}}"),
                |close| format!("did you mean `input.{close}`?"),
            );
            self.unknown_name(node, format!("there is no input `{name}`"), Some(help));
            return None;
        };
        Some((Path::Input(name.clone(), *column), rest))
    }

    fn unknown_name(&mut self, node: &IdedExpr, message: impl Into<String>, help: Option<String>) {
        self.problem_of(ProblemKind::Name, self.places.whole(node), message, help);
    }

    fn unknown_root(&mut self, node: &IdedExpr, name: &str) {
        let mut root = node;
        while let Some(operand) = match &root.expr {
            Expr::Select(select) => Some(select.operand.as_ref()),
            Expr::Call(call) => call.args.first(),
            _ => None,
        } {
            root = operand;
        }
        let help = if library::names().any(|function| function == name) {
            usage(name).map(|usage| format!("it is a function: {usage}"))
        } else if self.scope.attributes.is_some_and(|known| known.contains(name))
            || RESERVED_FIELDS.contains(&name)
        {
            Some(format!("did you mean `contact.{name}`?"))
        } else {
            let variables = ["contact", "now", "true", "false", "null"]
                .into_iter()
                .chain(self.scope.event.then_some("event"))
                .chain(self.scope.inputs.map(|_| "input"));
            match suggest::closest(name, variables.chain(self.bound.iter().map(String::as_str))) {
                Some(close) => Some(format!("did you mean `{close}`?")),
                None => Some("attributes are written contact.NAME, and texts between \" and \"".to_owned()),
            }
        };
        self.unknown_name(root, format!("`{name}` is unknown"), help);
    }
}
