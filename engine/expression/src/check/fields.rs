//! What is known of the contact's fields: types, the values that there may be, topics, segments.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, Expr, LiteralValue, operators},
};
use dripline_model::{
    contact::CHANNEL_EMAIL,
    field::{Field, FieldType},
    suggest,
};

use super::{Checker, paths::Written};
use crate::{
    ProblemKind,
    source::{self, Path, Source},
    types::Type,
};

impl Checker<'_> {
    /// Makes a path a variable, whose type may be known of the attribute.
    pub(super) fn lower_path(&mut self, node: &mut IdedExpr, path: Path) -> Type {
        let known = match &path {
            Path::Attribute(names) => self.typed(names).map(|(_, field_type)| field_type),
            _ => None,
        };
        if let (Path::Attribute(names), Some(field_type)) = (&path, known)
            && let [name, inner, ..] = names.as_slice()
        {
            let message = format!("`contact.{name}` is {} and has no field `{inner}`", noun(field_type));
            self.problem_at(self.places.whole(node), message, None);
        }
        let gives = self.lower(node, Source::Path(path));
        known.map_or(gives, type_of)
    }

    /// Why one of a call's operands has its type, where that is known of an attribute.
    pub(super) fn origin(&self, call: &CallExpr) -> Option<String> {
        call.args.iter().find_map(|arg| {
            let Expr::Ident(variable) = &arg.expr else { return None };
            let Source::Path(Path::Attribute(names)) = source::named(&self.sources, variable)? else {
                return None;
            };
            let (field, field_type) = self.typed(names)?;
            let name = names.first()?;
            let says = if field.declared { "as fields.yaml says" } else { "for all contacts that have it" };
            Some(match field_type {
                FieldType::Date | FieldType::Timestamp => {
                    format!("make a timestamp of it: timestamp(contact.{name})")
                }
                field_type => format!("`contact.{name}` is {}, {says}", noun(field_type)),
            })
        })
    }

    /// What is known of the attribute at the beginning of a path, and its type.
    fn typed(&self, names: &[String]) -> Option<(&Field, FieldType)> {
        let field = self.scope.attributes?.attribute(names.first()?)?;
        Some((field, field.field_type?))
    }

    /// Complains where a field is compared with a text that it can never be.
    pub(super) fn known_values(&mut self, call: &CallExpr) {
        let [left, right] = call.args.as_slice() else { return };
        let (field, others) = match call.func_name.as_str() {
            operators::EQUALS | operators::NOT_EQUALS => match self.written(left) {
                Some(written) => (written, std::slice::from_ref(right)),
                None => match self.written(right) {
                    Some(written) => (written, std::slice::from_ref(left)),
                    None => return,
                },
            },
            operators::IN => match (self.written(left), &right.expr) {
                (Some(written), Expr::List(list)) => (written, list.elements.as_slice()),
                _ => return,
            },
            _ => return,
        };
        let Written { root, fields, optional, .. } = field;
        if let ([grades, name], "contact") = (fields.as_slice(), root.as_str())
            && grades == "grades"
        {
            return self.known_grades(name, others);
        }
        let ([name], "contact", false) = (fields.as_slice(), root.as_str(), optional) else { return };
        let Some(known) = self.scope.attributes.and_then(|known| known.attribute(name)) else { return };
        for other in others {
            let Expr::Literal(literal) = &other.expr else { continue };
            match literal {
                LiteralValue::String(text)
                    if !known.values.is_empty()
                        && !known.values.iter().any(|value| value == text.inner()) =>
                {
                    let near = suggest::closest(text.inner(), known.values.iter().map(String::as_str));
                    let help = match near {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => format!("fields.yaml allows {}", known.values.join(", ")),
                    };
                    let message = format!("`contact.{name}` is never \"{}\"", text.inner());
                    self.problem_of(ProblemKind::Value, self.places.whole(other), message, Some(help));
                }
                // Two values are compared where their types are; here it is each of a list.
                literal if call.func_name == operators::IN => {
                    let have = super::literal_type(literal);
                    if let Some(field_type) = known.field_type
                        && !have.may_be(type_of(field_type))
                    {
                        let says = if known.declared {
                            "as fields.yaml says"
                        } else {
                            "for all contacts that have it"
                        };
                        let message = format!("`contact.{name}` is never {}", have.noun());
                        let help = format!("`contact.{name}` is {}, {says}", noun(field_type));
                        self.problem_at(self.places.whole(other), message, Some(help));
                    }
                }
                _ => {}
            }
        }
    }

    /// Complains of a score that is not declared, where scores are.
    pub(super) fn known_score(&mut self, node: &IdedExpr, name: &str) -> bool {
        let Some(scores) = self.scope.attributes.and_then(|known| known.scores()) else { return true };
        if scores.get(name).is_some() {
            return true;
        }
        let help = match suggest::closest(name, scores.names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declare the score `{name}` in scores.yaml"),
        };
        let message = format!("there is no score `{name}`");
        self.problem_of(ProblemKind::Score, self.places.whole(node), message, Some(help));
        false
    }

    /// Complains of a score that has no grades, where that is known.
    pub(super) fn has_grades(&mut self, node: &IdedExpr, name: &str) {
        let Some(known) = self.scope.attributes else { return };
        if !self.known_score(node, name) {
            return;
        }
        if known.scores().and_then(|scores| scores.get(name)).is_none_or(|score| score.grades.is_empty()) {
            let help =
                format!("give it some in scores.yaml: {name}: {{grades: {{hot: 60, warm: 30, cold: 0}}}}");
            let message = format!("the score `{name}` has no grades");
            self.problem_of(ProblemKind::Grade, self.places.whole(node), message, Some(help));
        }
    }

    /// Complains where a grade is compared with what is none of the score's.
    fn known_grades(&mut self, name: &str, others: &[IdedExpr]) {
        let scores = self.scope.attributes.and_then(|known| known.scores());
        let Some(score) = scores.and_then(|scores| scores.get(name)) else { return };
        if score.grades.is_empty() {
            return;
        }
        let grades: Vec<&str> = score.grades.iter().map(|grade| grade.name.as_str()).collect();
        for other in others {
            let Expr::Literal(LiteralValue::String(text)) = &other.expr else { continue };
            if grades.contains(&text.inner()) {
                continue;
            }
            // Of single letters any is near to any other.
            let near = suggest::closest(text.inner(), grades.iter().copied());
            let help = match near.filter(|_| text.inner().chars().count() > 2) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("its grades are {}", grades.join(", ")),
            };
            let message = format!("the grade of `{name}` is never \"{}\"", text.inner());
            self.problem_of(ProblemKind::Grade, self.places.whole(other), message, Some(help));
        }
    }

    /// Complains of a topic that is not declared, where topics are.
    pub(super) fn known_topic(&mut self, node: &IdedExpr, topic: &str) {
        let Some(topics) = self.scope.attributes.and_then(|known| known.topics()) else { return };
        if topic != CHANNEL_EMAIL && !topics.contains(topic) {
            let candidates = topics.iter().map(String::as_str).chain([CHANNEL_EMAIL]);
            let help = match suggest::closest(topic, candidates) {
                Some(near) => format!("did you mean `contact.consent.{near}`?"),
                None => format!("declare the topic `{topic}` in fields.yaml"),
            };
            let message = format!("there is no topic `{topic}` to consent to");
            self.problem_of(ProblemKind::Topic, self.places.whole(node), message, Some(help));
        }
    }

    /// Complains of a segment that nobody is put into, where that is known.
    pub(super) fn known_segment(&mut self, node: &IdedExpr, name: &str) {
        let Some(segments) = self.scope.attributes.and_then(|known| known.segments()) else { return };
        if !segments.contains(name) {
            let near = suggest::closest(name, segments.iter().map(String::as_str));
            let help = near.map(|near| format!("did you mean \"{near}\"?"));
            let message = format!("nothing puts contacts into a segment `{name}`");
            self.problem_of(ProblemKind::Segment, self.places.whole(node), message, help);
        }
    }
}

/// What a value of an attribute is to an expression.
fn type_of(field_type: FieldType) -> Type {
    match field_type {
        FieldType::Text | FieldType::Date | FieldType::Timestamp => Type::Text,
        FieldType::Number | FieldType::Integer => Type::Number,
        FieldType::Boolean => Type::Boolean,
    }
}

/// As a noun with its article.
fn noun(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::Text => "text",
        FieldType::Number => "a number",
        FieldType::Integer => "a whole number",
        FieldType::Boolean => "true or false",
        FieldType::Date => "a date",
        FieldType::Timestamp => "a timestamp",
    }
}
