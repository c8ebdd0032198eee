//! Why an expression has no value, in a marketer's words.

use cel::{
    Context, ExecutionError, IdedExpr, Value,
    common::{
        ast::{CallExpr, Expr, operators},
        value::CowVal,
    },
};

use crate::{
    check::written_operator,
    library,
    source::{self, Source},
    types::Type,
};

/// Puts `error`, which `tree` failed with in `context`, into words.
///
/// What is missing names itself. For the rest the interpreter tells types but not operands, so the tree is evaluated
/// once more, node by node, down to the one that fails.
pub(crate) fn reason(
    error: &ExecutionError,
    tree: &IdedExpr,
    sources: &[Source],
    context: &Context<'_, '_>,
) -> String {
    match error {
        ExecutionError::UndeclaredReference(name) => {
            source::named(sources, name).map_or_else(|| format!("`{name}` is unknown"), Source::missing)
        }
        ExecutionError::NoSuchKey(name) => format!("there is no `{name}`"),
        ExecutionError::IndexOutOfBounds(_) => "the list has fewer elements than asked for".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "a division by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number or a time grows too large".to_owned(),
        ExecutionError::FunctionError { function, message } => {
            format!("`{}`: {message}", function.trim_start_matches('@'))
        }
        _ => culprit(tree, sources, context).unwrap_or_else(|| match error {
            ExecutionError::NoSuchOverload(overload) => {
                let nouns: Vec<_> =
                    overload.argument_types().iter().map(|name| Type::of_cel(name).noun()).collect();
                format!(
                    "`{}` does not go with {}",
                    written_operator(overload.function()),
                    nouns.join(" and ")
                )
            }
            _ => "its values do not fit together".to_owned(),
        }),
    }
}

/// The node that fails although its operands do not, in words.
fn culprit(node: &IdedExpr, sources: &[Source], context: &Context<'_, '_>) -> Option<String> {
    match &node.expr {
        Expr::Call(call) => {
            let mut operands = Vec::with_capacity(call.args.len() + 1);
            for operand in call.target.iter().map(AsRef::as_ref).chain(&call.args) {
                match Value::resolve_val(operand, context) {
                    Ok(value) => operands.push((operand, value)),
                    Err(error) => return Some(reason(&error, operand, sources, context)),
                }
                // The branches of a condition are not both evaluated.
                if call.func_name == operators::CONDITIONAL {
                    let (_, condition) = operands.first()?;
                    let chosen = match condition.downcast_ref::<cel::common::types::CelBool>() {
                        Some(yes) => call.args.get(if *yes.inner() { 1 } else { 2 })?,
                        None => break,
                    };
                    return culprit(chosen, sources, context);
                }
            }
            Some(mismatch(call, &operands, sources))
        }
        Expr::Select(select) => culprit(&select.operand, sources, context).or_else(|| {
            let value = Value::resolve_val(&select.operand, context).ok()?;
            Some(format!("{} has no field `{}`", Type::of_value(value.as_ref()).noun(), select.field))
        }),
        Expr::Comprehension(comprehension) => match Value::resolve_val(&comprehension.iter_range, context) {
            Ok(value) if value.as_iterable().is_none() => {
                Some(format!("{}, not a list", described(&comprehension.iter_range, &value, sources)))
            }
            Ok(_) => None,
            Err(error) => Some(reason(&error, &comprehension.iter_range, sources, context)),
        },
        _ => None,
    }
}

/// `employees` is text
fn described(node: &IdedExpr, value: &CowVal<'_, '_>, sources: &[Source]) -> String {
    let noun = Type::of_value(value.as_ref()).noun();
    match name(node, sources) {
        Some(name) => format!("`{name}` is {noun}"),
        None => format!("a part of it is {noun}"),
    }
}

fn name(node: &IdedExpr, sources: &[Source]) -> Option<String> {
    match &node.expr {
        Expr::Ident(variable) => source::named(sources, variable)?.name(),
        _ => None,
    }
}

/// A call whose operands do not fit.
fn mismatch(call: &CallExpr, operands: &[(&IdedExpr, CowVal<'_, '_>)], sources: &[Source]) -> String {
    let sign = written_operator(&call.func_name);
    let gives =
        |index: usize| operands.get(index).map_or(Type::Any, |(_, value)| Type::of_value(value.as_ref()));
    let wants = |index: usize, wanted: Type| {
        operands.get(index).map_or_else(
            || format!("`{sign}` does not fit its values"),
            |(node, value)| format!("{}, `{sign}` wants {}", described(node, value, sources), wanted.noun()),
        )
    };
    let function = library::find(sign, !operands.is_empty() && (call.target.is_some() || sign == "matches"));
    if let Some(function) = function {
        let wanted = function.on.first().into_iter().chain(function.takes);
        return match wanted.enumerate().find(|(index, wanted)| !gives(*index).may_be(**wanted)) {
            Some((index, wanted)) => wants(index, *wanted),
            None => wants(0, Type::Any).replace("wants a value", "cannot take it"),
        };
    }
    match call.func_name.as_str() {
        operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT | operators::CONDITIONAL => {
            let wrong = (0..operands.len()).find(|index| gives(*index) != Type::Boolean).unwrap_or(0);
            wants(wrong, Type::Boolean)
        }
        operators::NEGATE => wants(0, Type::Number),
        operators::IN => wants(1, Type::List),
        _ => {
            // The side that has a name is the one to look at; the other says what is wanted.
            let named = (0..operands.len())
                .find(|index| operands.get(*index).is_some_and(|(node, _)| name(node, sources).is_some()));
            let at = named.unwrap_or(0);
            wants(at, gives(1 - at.min(1)))
        }
    }
}

/// A part of a condition, as `&&` and `||` join them.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// As it is written.
    pub source: String,
    /// Whether it holds.
    pub holds: Result<bool, crate::Unevaluable>,
    /// Whether the whole would have another answer if this part had.
    pub decides: bool,
    /// What it looks at, with the values that are there.
    pub values: Vec<(String, String)>,
}

/// What `tree` is made of, how each part comes out, and which of them decide. `spans` are the places of the parts in the
/// source, in their order.
pub(crate) fn clauses(
    tree: &IdedExpr,
    source: &str,
    spans: &[std::ops::Range<usize>],
    sources: &[Source],
    context: &Context<'_, '_>,
) -> Vec<Clause> {
    let mut parts = Vec::new();
    collect_parts(tree, &mut parts);
    let outcomes: Vec<Option<bool>> = parts.iter().map(|part| outcome(part, context)).collect();
    let whole = combined(tree, &mut outcomes.iter().copied());
    parts
        .iter()
        .enumerate()
        .map(|(index, part)| {
            let turned = |answer: bool| {
                let mut outcomes = outcomes.clone();
                if let Some(slot) = outcomes.get_mut(index) {
                    *slot = Some(answer);
                }
                combined(tree, &mut outcomes.into_iter()) == Some(true)
            };
            let mut names = Vec::new();
            variables(part, &mut names);
            let written = spans.get(index).and_then(|span| source.get(span.clone())).unwrap_or_default();
            Clause {
                source: written.to_owned(),
                holds: match Value::resolve_val(part, context) {
                    Ok(value) => match value.downcast_ref::<cel::common::types::CelBool>() {
                        Some(holds) => Ok(*holds.inner()),
                        None => Err(crate::Unevaluable { reason: "it is no condition".to_owned() }),
                    },
                    Err(error) => Err(crate::Unevaluable { reason: reason(&error, part, sources, context) }),
                },
                decides: turned(true) != (whole == Some(true)) || turned(false) != (whole == Some(true)),
                values: names.iter().filter_map(|name| value_of(name, sources, context)).collect(),
            }
        })
        .collect()
}

/// The parts that `&&`, `||` and `!` join, in their order.
pub(crate) fn collect_parts<'t>(node: &'t IdedExpr, parts: &mut Vec<&'t IdedExpr>) {
    match &node.expr {
        Expr::Call(call)
            if matches!(
                call.func_name.as_str(),
                operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT
            ) =>
        {
            call.args.iter().for_each(|arg| collect_parts(arg, parts));
        }
        _ => parts.push(node),
    }
}

fn outcome(part: &IdedExpr, context: &Context<'_, '_>) -> Option<bool> {
    let value = Value::resolve_val(part, context).ok()?;
    value.downcast_ref::<cel::common::types::CelBool>().map(|holds| *holds.inner())
}

/// The answer of the whole, from those of its parts; what decides wins over what cannot be worked out.
fn combined(node: &IdedExpr, outcomes: &mut impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let Expr::Call(call) = &node.expr else { return outcomes.next().flatten() };
    let decisive = match call.func_name.as_str() {
        operators::LOGICAL_AND => false,
        operators::LOGICAL_OR => true,
        operators::LOGICAL_NOT => {
            let operand = call.args.first()?;
            return combined(operand, outcomes).map(|holds| !holds);
        }
        _ => return outcomes.next().flatten(),
    };
    let parts: Vec<Option<bool>> = call.args.iter().map(|arg| combined(arg, outcomes)).collect();
    if parts.contains(&Some(decisive)) {
        return Some(decisive);
    }
    parts.iter().all(|part| part.is_some()).then_some(!decisive)
}

fn variables<'t>(node: &'t IdedExpr, names: &mut Vec<&'t str>) {
    if let Expr::Ident(name) = &node.expr
        && name.starts_with('@')
        && !names.contains(&name.as_str())
    {
        names.push(name);
    }
    let mut children = Vec::new();
    crate::clock::children_of(node, &mut children);
    children.into_iter().for_each(|child| variables(child, names));
}

/// A variable as an expression writes it, and its value as people read it.
fn value_of(name: &str, sources: &[Source], context: &Context<'_, '_>) -> Option<(String, String)> {
    let written = source::named(sources, name)?.written()?;
    let variable = IdedExpr { id: 0, expr: Expr::Ident(name.to_owned()) };
    let value = Value::resolve_val(&variable, context);
    let shown = match value {
        Ok(value) => shown(value.as_ref()),
        Err(_) => "missing".to_owned(),
    };
    Some((written, shown))
}

/// A value on one line.
fn shown(value: &dyn cel::common::value::Val) -> String {
    use cel::common::types::{CelBool, CelDouble, CelDuration, CelInt, CelList, CelString, CelTimestamp};
    if let Some(yes) = value.downcast_ref::<CelBool>() {
        yes.inner().to_string()
    } else if let Some(whole) = value.downcast_ref::<CelInt>() {
        whole.inner().to_string()
    } else if let Some(float) = value.downcast_ref::<CelDouble>() {
        float.inner().to_string()
    } else if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        serde_json::Value::from(text.inner()).to_string()
    } else if let Some(at) = value.downcast_ref::<CelTimestamp>() {
        crate::time::from_cel(at).map_or_else(|| "a timestamp".to_owned(), |at| at.to_string())
    } else if let Some(length) = value.downcast_ref::<CelDuration>() {
        format!("{}s", length.inner().num_seconds())
    } else if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        format!("[{}]", list.inner().iter().map(|value| shown(value.as_ref())).collect::<Vec<_>>().join(", "))
    } else {
        Type::of_value(value).noun().to_owned()
    }
}
