//! What of a condition a store can look for by itself.
//!
//! For each node two filters are made: one that selects at least those contacts for whom it is true, one at least those
//! for whom it is false. Of the others it cannot be worked out. Negation changes the two, so that neither ever has to be
//! turned round, which would make too few of too many.

use cel::{
    IdedExpr,
    common::{
        ast::{CallExpr, Expr, LiteralValue, operators},
        types::{CelBool, CelDouble, CelInt, CelList, CelString, CelTimestamp},
        value::Val,
    },
};
use dripline_model::{
    field::is_identifier,
    filter::{Filter, Is, Narrowing, Order, Scalar, Test},
    score::Scores,
};
use jiff::Timestamp;

use crate::{
    history::Tally,
    source::{self, Path, Source},
    time,
};

/// Up to here all whole numbers are exact as floating point numbers.
pub(crate) const EXACT: f64 = 9_007_199_254_740_992.0;

/// The longest text that is looked for.
const LONGEST: usize = 200;

/// For whom a condition is true, and for whom it is false.
struct Bounds {
    yes: Filter,
    no: Filter,
    is_exact: bool,
}

impl Bounds {
    fn exactly(yes: Test, no: Test) -> Self {
        Self { yes: Filter::Is(yes), no: Filter::Is(no), is_exact: true }
    }

    fn unknown() -> Self {
        Self { yes: Filter::Everyone, no: Filter::Everyone, is_exact: false }
    }
}

/// Narrows a condition as of `now`.
pub(crate) fn narrow(tree: &IdedExpr, sources: &[Source], scores: &Scores, now: Timestamp) -> Narrowing {
    let Bounds { yes, is_exact, .. } =
        Narrower { sources, scores, now }.bounds(tree).unwrap_or_else(Bounds::unknown);
    Narrowing { filter: yes, is_exact }
}

struct Narrower<'n> {
    sources: &'n [Source],
    scores: &'n Scores,
    now: Timestamp,
}

impl Narrower<'_> {
    fn of(&self, node: &IdedExpr) -> Bounds {
        self.bounds(node).unwrap_or_else(Bounds::unknown)
    }

    fn bounds(&self, node: &IdedExpr) -> Option<Bounds> {
        match &node.expr {
            Expr::Literal(LiteralValue::Boolean(holds)) => {
                let (yes, no) = if *holds.inner() {
                    (Filter::Everyone, Filter::Nobody)
                } else {
                    (Filter::Nobody, Filter::Everyone)
                };
                Some(Bounds { yes, no, is_exact: true })
            }
            Expr::Ident(_) => self.is_true(self.source(node)?),
            Expr::Call(call) => self.call(call),
            _ => None,
        }
    }

    fn source(&self, node: &IdedExpr) -> Option<&Source> {
        match &node.expr {
            Expr::Ident(name) => source::named(self.sources, name),
            _ => None,
        }
    }

    /// A variable that is a condition by itself.
    fn is_true(&self, source: &Source) -> Option<Bounds> {
        let both = |test: &dyn Fn(bool) -> Test| Some(Bounds::exactly(test(true), test(false)));
        match source {
            Source::HasTag(tag) => both(&|has| Test::Tag(tag.clone(), has)),
            Source::InSegment(name) => both(&|is| Test::Member(name.clone(), is)),
            Source::Path(Path::Consent(topic)) => both(&|given| Test::Consent(topic.clone(), given)),
            Source::Path(Path::Attribute(path)) => {
                let name = plain(path)?;
                both(&|yes| Test::Attribute(name.to_owned(), Is::AnyOf(vec![Scalar::Boolean(yes)])))
            }
            Source::Has(path, negated) => {
                let test: Box<dyn Fn(bool) -> Test> = match path {
                    Path::Score(name) => Box::new(|is| Test::Scored(name.clone(), is)),
                    Path::Consent(topic) => Box::new(|is| Test::Answered(topic.clone(), is)),
                    path => {
                        let ask = field(path)?;
                        Box::new(move |is| ask(if is { Is::Present } else { Is::Missing }))
                    }
                };
                Some(Bounds::exactly(test(!negated), test(*negated)))
            }
            Source::Tally(history, Tally::Never) => {
                let test = |order| self.events(history, order, 0.0);
                Some(Bounds::exactly(test(Order::Equal), test(Order::NotEqual)))
            }
            _ => None,
        }
    }

    fn call(&self, call: &CallExpr) -> Option<Bounds> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => {
                let (left, right) = (self.of(left), self.of(right));
                Some(Bounds {
                    yes: Filter::all([left.yes, right.yes]),
                    no: Filter::any([left.no, right.no]),
                    is_exact: left.is_exact && right.is_exact,
                })
            }
            (operators::LOGICAL_OR, [left, right]) => {
                let (left, right) = (self.of(left), self.of(right));
                Some(Bounds {
                    yes: Filter::any([left.yes, right.yes]),
                    no: Filter::all([left.no, right.no]),
                    is_exact: left.is_exact && right.is_exact,
                })
            }
            (operators::LOGICAL_NOT, [operand]) => {
                let Bounds { yes, no, is_exact } = self.of(operand);
                Some(Bounds { yes: no, no: yes, is_exact })
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                let (condition, yes, no) = (self.of(condition), self.of(yes), self.of(no));
                let both = |then: Filter, otherwise: Filter| {
                    Filter::any([
                        Filter::all([condition.yes.clone(), then]),
                        Filter::all([condition.no.clone(), otherwise]),
                    ])
                };
                Some(Bounds {
                    yes: both(yes.yes, no.yes),
                    no: both(yes.no, no.no),
                    is_exact: condition.is_exact && yes.is_exact && no.is_exact,
                })
            }
            (operators::IN, [value, list]) => {
                let ask = field(path_of(self.source(value)?)?)?;
                let all = list_of(self.source(list)?)?;
                Some(Bounds::exactly(ask(Is::AnyOf(all.clone())), ask(Is::NoneOf(all))))
            }
            (sign, [left, right]) if call.target.is_none() => {
                let order = order(sign)?;
                self.compare(left, order, right).or_else(|| self.compare(right, order.turned(), left))
            }
            (function, [argument]) => {
                let ask = field(path_of(self.source(call.target.as_ref()?)?)?)?;
                let Scalar::Text(text) = literal(argument)? else { return None };
                let is: fn(String, bool) -> Is = match function {
                    "contains" => Is::Contains,
                    "startsWith" => Is::StartsWith,
                    "endsWith" => Is::EndsWith,
                    _ => return None,
                };
                if text.is_empty() {
                    return Some(Bounds {
                        yes: Filter::Is(ask(Is::Text)),
                        no: Filter::Nobody,
                        is_exact: true,
                    });
                }
                Some(Bounds::exactly(ask(is(text.clone(), true)), ask(is(text, false))))
            }
            _ => None,
        }
    }

    /// Something of a contact beside a value that is written out.
    fn compare(&self, value: &IdedExpr, order: Order, with: &IdedExpr) -> Option<Bounds> {
        let source = self.source(value)?;
        let both = |test: &dyn Fn(Order) -> Test| Some(Bounds::exactly(test(order), test(order.opposite())));
        match source {
            Source::Tally(history, Tally::Count) => {
                let Scalar::Number(count) = literal(with)? else { return None };
                both(&|order| self.events(history, order, count))
            }
            Source::Path(Path::Score(name)) => {
                let Scalar::Number(points) = literal(with)? else { return None };
                // Of one that fades the store knows between which values it lies, and nothing of where.
                let is_exact = self.scores.law(name).is_none();
                let test = |order| Filter::Is(Test::Score(name.clone(), order, points));
                Some(Bounds { yes: test(order), no: test(order.opposite()), is_exact })
            }
            Source::Path(Path::CreatedAt) => {
                let Source::Constant(at, _) = self.source(with)? else { return None };
                let at = time::from_cel(at.downcast_ref::<CelTimestamp>()?)?;
                // What is finer than the store's unit cannot be compared there.
                let ms = Timestamp::from_millisecond(at.as_millisecond()).ok().filter(|ms| *ms == at)?;
                both(&|order| Test::CreatedAt(order, ms.as_millisecond()))
            }
            Source::HasTag(_) | Source::InSegment(_) | Source::Path(Path::Consent(_)) => {
                let Scalar::Boolean(wanted) = literal(with)? else { return None };
                let Bounds { yes, no, is_exact } = self.is_true(source)?;
                let is_turned = match order {
                    Order::Equal => !wanted,
                    Order::NotEqual => wanted,
                    _ => return None,
                };
                Some(if is_turned {
                    Bounds { yes: no, no: yes, is_exact }
                } else {
                    Bounds { yes, no, is_exact }
                })
            }
            source => {
                let ask = field(path_of(source)?)?;
                let with = literal(with)?;
                match (order, with) {
                    (Order::Equal, with) => {
                        Some(Bounds::exactly(ask(Is::AnyOf(vec![with.clone()])), ask(Is::NoneOf(vec![with]))))
                    }
                    (Order::NotEqual, with) => {
                        Some(Bounds::exactly(ask(Is::NoneOf(vec![with.clone()])), ask(Is::AnyOf(vec![with]))))
                    }
                    (_, Scalar::Number(with)) => both(&|order| ask(Is::Number(order, with))),
                    (_, Scalar::Text(with)) => both(&|order| ask(Is::Compared(order, with.clone()))),
                    (_, Scalar::Boolean(_)) => None,
                }
            }
        }
    }

    fn events(&self, history: &crate::history::History, order: Order, count: f64) -> Test {
        let after = history.within.as_ref().map(|within| {
            self.now
                .as_millisecond()
                .saturating_sub(i64::try_from(within.length.as_millis()).unwrap_or(i64::MAX))
        });
        Test::Events {
            name: history.name.clone(),
            after_ms: after,
            until_ms: self.now.as_millisecond(),
            order,
            count,
        }
    }
}

fn path_of(source: &Source) -> Option<&Path> {
    match source {
        Source::Path(path) => Some(path),
        _ => None,
    }
}

/// How to ask about a field.
fn field(path: &Path) -> Option<Box<dyn Fn(Is) -> Test>> {
    Some(match path {
        Path::Attribute(path) => {
            let name = plain(path)?.to_owned();
            Box::new(move |is| Test::Attribute(name.clone(), is))
        }
        Path::Email => Box::new(Test::Email),
        Path::ExternalId => Box::new(Test::ExternalId),
        Path::Owner => Box::new(Test::Owner),
        _ => return None,
    })
}

/// An attribute whose name needs no care in SQL.
fn plain(path: &[String]) -> Option<&str> {
    let [name] = path else { return None };
    (is_identifier(name) && name.len() <= LONGEST).then_some(name)
}

pub(crate) fn order(sign: &str) -> Option<Order> {
    Some(match sign {
        operators::EQUALS => Order::Equal,
        operators::NOT_EQUALS => Order::NotEqual,
        operators::LESS => Order::Less,
        operators::LESS_EQUALS => Order::LessOrEqual,
        operators::GREATER => Order::Greater,
        operators::GREATER_EQUALS => Order::GreaterOrEqual,
        _ => return None,
    })
}

/// A value that is written out, and that both sides compare alike.
pub(crate) fn literal(node: &IdedExpr) -> Option<Scalar> {
    match &node.expr {
        Expr::Literal(value) => scalar(value.to_val().as_ref()),
        Expr::Call(CallExpr { func_name, target: None, args }) if func_name == operators::NEGATE => {
            match args.as_slice() {
                [arg] => match literal(arg)? {
                    Scalar::Number(number) => Some(Scalar::Number(-number)),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}

/// The same of a list.
pub(crate) fn list_of(source: &Source) -> Option<Vec<Scalar>> {
    let Source::Constant(list, _) = source else { return None };
    let list = list.downcast_ref::<CelList<'_>>()?;
    list.inner().iter().map(|value| scalar(value.as_ref())).collect()
}

fn scalar(value: &dyn Val) -> Option<Scalar> {
    if let Some(yes) = value.downcast_ref::<CelBool>() {
        return Some(Scalar::Boolean(*yes.inner()));
    }
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        let text = text.inner();
        return (text.len() <= LONGEST && !text.contains('\0')).then(|| Scalar::Text(text.to_owned()));
    }
    let whole = value.downcast_ref::<CelInt>().map(|whole| *whole.inner() as f64);
    let number = whole.or_else(|| value.downcast_ref::<CelDouble>().map(|float| *float.inner()))?;
    (number.abs() < EXACT).then_some(Scalar::Number(number))
}
