//! Expressions that need no interpreter: fields, and fields beside values that are written out, joined by `&&`, `||` and
//! `!`. Most conditions of campaigns are such, and each is asked of every contact.
//!
//! What is plain is found out when an expression is compiled. Where a plain expression has no answer, because a field is
//! missing or of another type than what it is compared with, the interpreter is asked, which knows the reason.

use cel::{
    IdedExpr,
    common::ast::{Expr, operators},
};
use dripline_model::{
    batch::ColumnType,
    filter::{Order, Scalar},
};

use crate::{
    Subject, Value,
    narrow::{EXACT, list_of, literal, order},
    source::{Field, Source, named_at},
};

/// A plain expression. Sources are named by their positions.
#[derive(Debug)]
pub(crate) enum Plain {
    Field(usize),
    Compare(usize, Order, Scalar),
    In(usize, Vec<Scalar>),
    Contains(usize, Part, String),
    Both(Box<[Self; 2]>),
    Either(Box<[Self; 2]>),
    Not(Box<Self>),
}

/// Which part of a text another text is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Start,
    End,
    Any,
}

impl Plain {
    /// The expression, if it is plain.
    pub(crate) fn of(tree: &IdedExpr, sources: &[Source]) -> Option<Self> {
        let of = |node: &IdedExpr| Self::of(node, sources);
        let call = match &tree.expr {
            Expr::Ident(name) => return named_at(name).map(Self::Field),
            Expr::Call(call) => call,
            _ => return None,
        };
        Some(match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => Self::Both(Box::new([of(left)?, of(right)?])),
            (operators::LOGICAL_OR, [left, right]) => Self::Either(Box::new([of(left)?, of(right)?])),
            (operators::LOGICAL_NOT, [operand]) => Self::Not(Box::new(of(operand)?)),
            (operators::IN, [value, list]) => {
                Self::In(variable(value)?, list_of(sources.get(variable(list)?)?)?)
            }
            (function, [text]) if let Some(target) = &call.target => {
                let part = match function {
                    "startsWith" => Part::Start,
                    "endsWith" => Part::End,
                    "contains" => Part::Any,
                    _ => return None,
                };
                let Scalar::Text(text) = literal(text)? else { return None };
                Self::Contains(variable(target)?, part, text)
            }
            (sign, [left, right]) if call.target.is_none() => {
                let order = order(sign)?;
                match (variable(left), variable(right)) {
                    (Some(left), None) => Self::Compare(left, order, literal(right)?),
                    (None, Some(right)) => Self::Compare(right, order.turned(), literal(left)?),
                    _ => return None,
                }
            }
            _ => return None,
        })
    }

    /// The value of the declared type; `None` where the interpreter has to say what comes of it.
    pub(crate) fn value(
        &self,
        sources: &[Source],
        subject: &Subject<'_>,
        declared: ColumnType,
    ) -> Option<Value> {
        let Self::Field(index) = self else {
            return self.holds(sources, subject).map(Value::Boolean);
        };
        Some(match (declared, sources.get(*index)?.field(subject)?) {
            (ColumnType::Boolean, Field::Boolean(yes)) => Value::Boolean(yes),
            (ColumnType::Integer, Field::Whole(number)) => Value::Integer(number),
            (ColumnType::Float, Field::Whole(number)) => Value::Float(number as f64),
            (ColumnType::Float, Field::Float(number)) if number.is_finite() => Value::Float(number),
            (ColumnType::Text, Field::Text(text)) => Value::Text(text.to_owned()),
            _ => return None,
        })
    }

    fn holds(&self, sources: &[Source], subject: &Subject<'_>) -> Option<bool> {
        let field = |index: &usize| sources.get(*index)?.field(subject);
        Some(match self {
            Self::Field(index) => match field(index)? {
                Field::Boolean(yes) => yes,
                _ => return None,
            },
            Self::Compare(index, order, with) => match (field(index)?, with) {
                (Field::Text(text), Scalar::Text(with)) => order.holds(text, with.as_str()),
                (Field::Boolean(yes), Scalar::Boolean(with)) => match order {
                    Order::Equal => yes == *with,
                    Order::NotEqual => yes != *with,
                    _ => return None,
                },
                (field, Scalar::Number(with)) => order.holds(field.exactly()?, *with),
                _ => return None,
            },
            Self::In(index, list) => match field(index)? {
                Field::Text(text) => {
                    list.iter().any(|value| matches!(value, Scalar::Text(known) if known == text))
                }
                Field::Boolean(_) => return None,
                number => {
                    let number = number.exactly()?;
                    list.iter().any(|value| matches!(value, Scalar::Number(known) if *known == number))
                }
            },
            Self::Contains(index, part, with) => match (field(index)?, part) {
                (Field::Text(text), Part::Start) => text.starts_with(with),
                (Field::Text(text), Part::End) => text.ends_with(with),
                (Field::Text(text), Part::Any) => text.contains(with),
                _ => return None,
            },
            // As CEL has it: what decides alone decides also beside what cannot be worked out.
            Self::Both(parts) => joined(parts, false, sources, subject)?,
            Self::Either(parts) => joined(parts, true, sources, subject)?,
            Self::Not(part) => !part.holds(sources, subject)?,
        })
    }
}

/// Whether one of two holds as `decides`, and so both together; else the other's answer.
fn joined(
    [left, right]: &[Plain; 2],
    decides: bool,
    sources: &[Source],
    subject: &Subject<'_>,
) -> Option<bool> {
    match left.holds(sources, subject) {
        Some(holds) if holds != decides => right.holds(sources, subject),
        Some(_) => Some(decides),
        None => right.holds(sources, subject).filter(|holds| *holds == decides),
    }
}

impl Field<'_> {
    /// The number, where it is one that all kinds of numbers have alike.
    fn exactly(self) -> Option<f64> {
        let number = match self {
            Self::Whole(number) => number as f64,
            Self::Float(number) => number,
            Self::Boolean(_) | Self::Text(_) => return None,
        };
        (number.abs() < EXACT).then_some(number)
    }
}

/// The position of a variable's source.
fn variable(node: &IdedExpr) -> Option<usize> {
    match &node.expr {
        Expr::Ident(name) => named_at(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use dripline_model::{Contact, id::ContactId};
    use jiff::Timestamp;
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json, json};

    use super::*;
    use crate::{Expression, Scope};

    fn compile(source: &str, column: ColumnType) -> Option<Expression> {
        Expression::compile(source, column, &Scope::default()).ok()
    }

    #[test]
    fn what_campaigns_ask_is_plain() {
        let conditions = [
            r#"contact.country == "DE""#,
            r#"contact.country in ["DE", "AT"] && 200 <= contact.employees"#,
            r#"contact.title.startsWith("Head") || contact.email.endsWith(".edu")"#,
            r#"contact.consent.email && !("customer" in contact.tags)"#,
            "has(contact.phone) && contact.scores.fit >= -3",
        ];
        let is_plain = |source: &str| compile(source, ColumnType::Boolean).unwrap().0.checked.plain.is_some();
        assert!(conditions.iter().all(|source| is_plain(source)));
        assert!(!is_plain("contact.amount * 2 > 100"));
        assert!(!is_plain("now > contact.created_at"));
    }

    fn literal() -> impl Strategy<Value = String> {
        let all =
            ["true", "false", "0", "-1", "3", "3.0", "2.5", "9007199254740993", r#""""#, r#""b""#, r#""bc""#];
        proptest::sample::select(all.to_vec()).prop_map(str::to_owned)
    }

    fn field() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(vec![
            "contact.a",
            "contact.b.c",
            "contact.email",
            "contact.id",
            "contact.owner",
            "contact.scores.fit",
            "contact.consent.news",
            "has(contact.a)",
            "contact.b == null",
            r#""b" in contact.tags"#,
        ])
    }

    fn condition() -> impl Strategy<Value = String> {
        let sign = proptest::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
        let part = proptest::sample::select(vec!["startsWith", "endsWith", "contains"]);
        let leaf = prop_oneof![
            field().prop_map(|field| format!("({field})")),
            (field(), sign.clone(), literal())
                .prop_map(|(field, sign, with)| format!("({field}) {sign} {with}")),
            (literal(), sign, field()).prop_map(|(with, sign, field)| format!("{with} {sign} ({field})")),
            (field(), part, literal()).prop_map(|(field, part, with)| format!("({field}).{part}({with})")),
            (field(), proptest::collection::vec(literal(), 0..4))
                .prop_map(|(field, list)| format!("({field}) in [{}]", list.join(", "))),
        ];
        leaf.prop_recursive(3, 8, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) && ({right})")),
                (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) || ({right})")),
                inner.prop_map(|operand| format!("!({operand})")),
            ]
        })
    }

    fn value() -> impl Strategy<Value = Json> {
        let all = [
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(3),
            json!(3.0),
            json!(2.5),
            json!(9_007_199_254_740_992_i64),
            json!(9_007_199_254_740_993_i64),
            json!(u64::MAX),
            json!(""),
            json!("b"),
            json!("abc"),
            json!(["b"]),
            json!({"c": "b"}),
            json!({"c": 3}),
        ];
        proptest::sample::select(all.to_vec())
    }

    fn contact() -> impl Strategy<Value = Contact> {
        let attributes = (proptest::option::of(value()), proptest::option::of(value()));
        (attributes, proptest::option::of(-3_i64..5), any::<Option<bool>>(), any::<[bool; 3]>()).prop_map(
            |((a, b), fit, news, [email, owner, tag])| {
                let mut contact = Contact::new(ContactId(3));
                let named = [("a", a), ("b", b)].into_iter();
                let named = named.filter_map(|(name, value)| Some((name.to_owned(), value?)));
                contact.attributes = named.collect::<Map<_, _>>();
                contact.scores.extend(fit.map(|fit| ("fit".to_owned(), fit)));
                contact.consents.extend(news.map(|given| ("news".to_owned(), given)));
                contact.email = email.then(|| "b@c.example".to_owned());
                contact.owner = owner.then(|| "b".to_owned());
                contact.tags.extend(tag.then(|| "b".to_owned()));
                contact
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn what_is_plain_says_what_the_interpreter_says(source in condition(), contact in contact()) {
            let subject = Subject::new(&contact, None, Timestamp::UNIX_EPOCH);
            for column in [ColumnType::Boolean, ColumnType::Integer, ColumnType::Float, ColumnType::Text] {
                let Some(expression) = compile(&source, column) else { continue };
                let checked = &expression.0.checked;
                let Some(plain) = &checked.plain else { continue };
                if let Some(value) = plain.value(&checked.sources, &subject, column) {
                    prop_assert_eq!(expression.interpret(&subject), Ok(value), "{}", source);
                }
            }
        }
    }
}
