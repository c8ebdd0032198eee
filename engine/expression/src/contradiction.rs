//! Conditions that can never hold, because what is joined by `&&` contradicts itself: `x == "a" && x == "b"`,
//! `x > 5 && x < 3`, `has(x) && !has(x)`.
//!
//! Only comparisons of one path with literals are looked at, so what is found is certain.

use std::collections::HashMap;

use cel::{
    IdedExpr,
    common::ast::{Expr, LiteralValue, operators},
};

use crate::{Problem, ProblemKind, parse::Places};

/// The parts of a condition that never hold.
pub(crate) fn find(tree: &IdedExpr, places: &Places<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    alternatives(tree, places, &mut problems);
    problems
}

/// Looks at every side of `||` by itself.
fn alternatives(node: &IdedExpr, places: &Places<'_>, problems: &mut Vec<Problem>) {
    if let Expr::Call(call) = &node.expr
        && call.func_name == operators::LOGICAL_OR
    {
        return call.args.iter().for_each(|side| alternatives(side, places, problems));
    }
    let mut known: HashMap<String, Allowed> = HashMap::new();
    let mut open = vec![node];
    while let Some(part) = open.pop() {
        match &part.expr {
            Expr::Call(call) if call.func_name == operators::LOGICAL_AND => {
                open.extend(call.args.iter().rev())
            }
            Expr::Call(call) if call.func_name == operators::LOGICAL_OR => {
                alternatives(part, places, problems)
            }
            _ => {
                let Some((path, restriction)) = restriction(part) else { continue };
                let allowed = known.entry(path.clone()).or_default();
                allowed.restrict(restriction);
                if allowed.is_nothing() {
                    problems.push(Problem {
                        kind: ProblemKind::Contradiction,
                        message: format!(
                            "this never holds together with what stands before it about `{path}`"
                        ),
                        span: places.whole(part),
                        help: Some("join alternatives with `||`, or write `in [ … ]`".to_owned()),
                    });
                    return;
                }
            }
        }
    }
}

/// A literal that can be compared.
#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Text(String),
    Number(f64),
    Boolean(bool),
}

#[derive(Debug)]
enum Restriction {
    /// One of these.
    Among(Vec<Literal>),
    Not(Literal),
    /// More than, or also equal.
    Above(f64, bool),
    /// Less than, or also equal.
    Below(f64, bool),
    /// Whether it is there at all.
    Present(bool),
}

/// What a path may be, by all that was said of it so far.
#[derive(Debug, Default)]
struct Allowed {
    among: Option<Vec<Literal>>,
    not: Vec<Literal>,
    above: Option<(f64, bool)>,
    below: Option<(f64, bool)>,
    present: bool,
    absent: bool,
}

impl Allowed {
    fn restrict(&mut self, restriction: Restriction) {
        match restriction {
            Restriction::Among(literals) => {
                self.among = Some(match self.among.take() {
                    Some(before) => before.into_iter().filter(|one| literals.contains(one)).collect(),
                    None => literals,
                });
            }
            Restriction::Not(literal) => self.not.push(literal),
            Restriction::Above(limit, also) => {
                let is_tighter = self
                    .above
                    .is_none_or(|(before, was)| limit > before || (limit == before && was && !also));
                if is_tighter {
                    self.above = Some((limit, also));
                }
            }
            Restriction::Below(limit, also) => {
                let is_tighter = self
                    .below
                    .is_none_or(|(before, was)| limit < before || (limit == before && was && !also));
                if is_tighter {
                    self.below = Some((limit, also));
                }
            }
            Restriction::Present(true) => self.present = true,
            Restriction::Present(false) => self.absent = true,
        }
    }

    fn is_nothing(&self) -> bool {
        let is_compared =
            self.among.is_some() || !self.not.is_empty() || self.above.is_some() || self.below.is_some();
        if self.absent && (self.present || is_compared) {
            return true;
        }
        if let (Some((low, also_low)), Some((high, also_high))) = (self.above, self.below)
            && (low > high || (low == high && !(also_low && also_high)))
        {
            return true;
        }
        self.among.as_ref().is_some_and(|among| among.iter().all(|one| !self.admits(one)))
    }

    fn admits(&self, literal: &Literal) -> bool {
        let fits = |limit: Option<(f64, bool)>, above: bool| match (limit, literal) {
            (None, _) => true,
            (Some((limit, also)), Literal::Number(number)) => {
                (also && *number == limit) || (if above { *number > limit } else { *number < limit })
            }
            // Texts have an order too, which is not looked at here.
            (Some(_), _) => true,
        };
        !self.not.contains(literal) && fits(self.above, true) && fits(self.below, false)
    }
}

/// What a condition says of one path.
fn restriction(node: &IdedExpr) -> Option<(String, Restriction)> {
    if let Some(path) = path(node) {
        return Some((path, Restriction::Among(vec![Literal::Boolean(true)])));
    }
    if let Expr::Select(select) = &node.expr
        && select.test
    {
        return Some((format!("{}.{}", path(&select.operand)?, select.field), Restriction::Present(true)));
    }
    let Expr::Call(call) = &node.expr else { return None };
    match call.args.as_slice() {
        [operand] if call.func_name == operators::LOGICAL_NOT => match restriction(operand)? {
            (path, Restriction::Present(true)) => Some((path, Restriction::Present(false))),
            (path, Restriction::Among(one)) if one == [Literal::Boolean(true)] => {
                Some((path, Restriction::Among(vec![Literal::Boolean(false)])))
            }
            _ => None,
        },
        [left, right] if call.func_name == operators::IN => {
            let Expr::List(list) = &right.expr else { return None };
            let literals: Option<Vec<Literal>> = list.elements.iter().map(literal).collect();
            Some((path(left)?, Restriction::Among(literals?)))
        }
        [left, right] => match (path(left), literal(right)) {
            (Some(path), Some(literal)) => Some((path, comparison(&call.func_name, literal, false)?)),
            _ => Some((path(right)?, comparison(&call.func_name, literal(left)?, true)?)),
        },
        _ => None,
    }
}

/// The comparison of a path with a literal; `mirrored` where the literal stands before the operator.
fn comparison(operator: &str, literal: Literal, mirrored: bool) -> Option<Restriction> {
    match (operator, literal) {
        (operators::EQUALS, literal) => Some(Restriction::Among(vec![literal])),
        (operators::NOT_EQUALS, literal) => Some(Restriction::Not(literal)),
        (operator, Literal::Number(number)) => {
            let (above, also) = match operator {
                operators::GREATER => (true, false),
                operators::GREATER_EQUALS => (true, true),
                operators::LESS => (false, false),
                operators::LESS_EQUALS => (false, true),
                _ => return None,
            };
            let restriction = if above == mirrored { Restriction::Below } else { Restriction::Above };
            Some(restriction(number, also))
        }
        _ => None,
    }
}

/// A path from `contact` or `event`, as it is written.
fn path(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Expr::Ident(root) if matches!(root.as_str(), "contact" | "event") => Some(root.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", path(&select.operand)?, select.field)),
        _ => None,
    }
}

fn literal(node: &IdedExpr) -> Option<Literal> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(Literal::Text(text.inner().to_owned())),
        Expr::Literal(LiteralValue::Boolean(yes)) => Some(Literal::Boolean(*yes.inner())),
        // Beyond 2^53 neighbours would become one.
        Expr::Literal(LiteralValue::Int(number)) => {
            let number = *number.inner();
            let float = number as f64;
            (number.unsigned_abs() < 1 << 53).then_some(Literal::Number(float))
        }
        Expr::Literal(LiteralValue::Double(number)) => Some(Literal::Number(*number.inner())),
        _ => None,
    }
}
