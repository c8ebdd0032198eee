//! The types that operators take and give.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, operators},
};

use super::Checker;
use crate::types::Type;

impl Checker<'_> {
    /// The type that the operator `call` gives where its operands are of `types`; operands that cannot meet are problems.
    pub(super) fn operator_type(&mut self, node: &IdedExpr, call: &CallExpr, types: &[Type]) -> Type {
        let sign = written_operator(&call.func_name);
        match (call.func_name.as_str(), call.args.as_slice(), types) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, args, types) => {
                for (arg, have) in args.iter().zip(types) {
                    if !have.may_be(Type::Boolean) {
                        let help = "a condition is true or false; compare the value with something";
                        self.problem(
                            arg,
                            format!("`{sign}` wants conditions, and this is {}", have.noun()),
                            Some(help.into()),
                        );
                    }
                }
                Type::Boolean
            }
            (operators::CONDITIONAL, [condition, ..], [have, yes, no]) => {
                if !have.may_be(Type::Boolean) {
                    self.problem(
                        condition,
                        format!("`?` wants a condition before it, and this is {}", have.noun()),
                        None,
                    );
                }
                if yes == no { *yes } else { Type::Any }
            }
            (operators::EQUALS | operators::NOT_EQUALS, _, [left, right]) => {
                let null = [left, right].contains(&&Type::Null);
                if !null && !left.may_be(*right) {
                    let message = format!("{} never equals {}", left.noun(), right.noun());
                    let help = self.origin(call).or_else(|| conversion(*left, *right));
                    self.problem(node, message, help);
                }
                Type::Boolean
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                _,
                [left, right],
            ) => {
                let ordered = |t: &Type| !matches!(t, Type::List | Type::Map | Type::Null | Type::Optional);
                if !left.may_be(*right) || !ordered(left) || !ordered(right) {
                    let message = format!("`{sign}` cannot compare {} with {}", left.noun(), right.noun());
                    let help = self.origin(call).or_else(|| conversion(*left, *right));
                    self.problem(node, message, help);
                }
                Type::Boolean
            }
            (operators::IN, [_, container], [_, have]) => {
                if !have.may_be(Type::List) && !have.may_be(Type::Map) {
                    let help = (*have == Type::Text)
                        .then(|| "to look inside a text use text.contains(\"…\")".to_owned());
                    self.problem(
                        container,
                        format!("`in` wants a list after it, and this is {}", have.noun()),
                        help,
                    );
                }
                Type::Boolean
            }
            (operators::NEGATE, [arg], [have]) => {
                if !have.may_be(Type::Number) && *have != Type::Duration {
                    self.problem(arg, format!("`-` wants a number, and this is {}", have.noun()), None);
                    return Type::Any;
                }
                *have
            }
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO,
                _,
                [left, right],
            ) => match arithmetic(&call.func_name, *left, *right) {
                Some(gives) => gives,
                None => {
                    let message = format!("`{sign}` does not go with {} and {}", left.noun(), right.noun());
                    let help = match (left, right) {
                        (Type::Text, Type::Number) | (Type::Number, Type::Text) if sign == "+" => {
                            Some("make a text of the number: string(…)".to_owned())
                        }
                        _ => self.origin(call).or_else(|| conversion(*left, *right)),
                    };
                    self.problem(node, message, help)
                }
            },
            (operators::INDEX, [container, _], [have, _]) => {
                if matches!(
                    have,
                    Type::Boolean | Type::Number | Type::Text | Type::Timestamp | Type::Duration | Type::Null
                ) {
                    self.problem(container, format!("{} has no elements", have.noun()), None);
                }
                Type::Any
            }
            (operators::OPT_INDEX | operators::OPT_SELECT, ..) => Type::Optional,
            _ => Type::Any,
        }
    }
}

/// The type of `left` operator `right`; `None` where no values of these types go together.
fn arithmetic(operator: &str, left: Type, right: Type) -> Option<Type> {
    use Type::{Any, Duration, Json, List, Number, Text, Timestamp};
    Some(match (operator, left, right) {
        (_, Any, _) | (_, _, Any) => Any,
        (_, Number, Number) => Number,
        (operators::ADD, Text, Text) => Text,
        (operators::ADD, List, List) => List,
        (operators::ADD, Timestamp, Duration) | (operators::ADD, Duration, Timestamp) => Timestamp,
        (operators::SUBSTRACT, Timestamp, Duration) => Timestamp,
        (operators::SUBSTRACT, Timestamp, Timestamp) => Duration,
        (operators::ADD | operators::SUBSTRACT, Duration, Duration) => Duration,
        (operators::ADD, Json, Json) => Any,
        (operators::ADD, Json, other @ (Text | List)) | (operators::ADD, other @ (Text | List), Json) => {
            other
        }
        (_, Json, Json | Number) | (_, Number, Json) => Number,
        _ => return None,
    })
}

/// How to make two types meet.
fn conversion(left: Type, right: Type) -> Option<String> {
    use Type::{Duration, Json, Number, Text, Timestamp};
    let help = match (left, right) {
        (Timestamp, Json | Text) | (Json | Text, Timestamp) => {
            "make a timestamp of it: timestamp(contact.renewal_date)"
        }
        (Duration, Json | Text | Number) | (Json | Text | Number, Duration) => {
            "a duration is written duration(\"30d\")"
        }
        (Text, Number) | (Number, Text) => {
            "leave the quotation marks off the number, or put both sides between them"
        }
        _ => return None,
    };
    Some(help.to_owned())
}

/// An operator or function as an expression writes it.
pub(crate) fn written_operator(function: &str) -> &str {
    match function {
        operators::INDEX | operators::OPT_INDEX => "[…]",
        operators::CONDITIONAL => "?",
        _ => function.trim_matches(['_', '@']),
    }
}
