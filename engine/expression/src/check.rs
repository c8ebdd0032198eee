//! The static check: names, functions and types, and the lowering of paths and constants to variables.

mod fields;
mod history;
mod operations;
mod paths;
mod rule;

use cel::{
    IdedExpr,
    common::{
        ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators},
        types::CelList,
        value::Val,
    },
};
use dripline_model::{batch::ColumnType, contact::Needs, suggest};

pub(crate) use self::operations::written_operator;
use self::paths::Written;
use crate::{
    Problem, ProblemKind, Scope,
    clock::Clock,
    contradiction, explain,
    history::USAGE,
    library::{self, Pattern},
    parse::{Parsed, Places},
    plain::Plain,
    source::{self, Source},
    time,
    types::Type,
};

/// The deepest nesting of `all`, `exists`, `map` and the like: their work multiplies.
const MAX_LOOPS: usize = 3;
/// The largest compiled regular expression, in bytes.
const MAX_PATTERN: usize = 1 << 20;

/// An expression ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) tree: IdedExpr,
    pub(crate) sources: Vec<Source>,
    /// The same without an interpreter, where it needs none.
    pub(crate) plain: Option<Plain>,
    pub(crate) needs: Needs,
    pub(crate) contradictions: Vec<Problem>,
    pub(crate) clock: Clock,
    /// Where the parts stand that `&&`, `||` and `!` join.
    pub(crate) parts: Vec<std::ops::Range<usize>>,
}

/// What an expression is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is evaluated when a turn comes.
    Step,
    /// It is the rule of a segment, evaluated whenever its value may have changed.
    Rule,
}

/// Checks a parsed expression and lowers it.
pub(crate) fn check(
    parsed: Parsed<'_>,
    result: ColumnType,
    scope: &Scope<'_>,
    r#use: Use,
) -> Result<Checked, Vec<Problem>> {
    let Parsed { mut tree, places } = parsed;
    let whole = places.whole(&tree);
    let contradictions = contradiction::find(&tree, &places);
    let mut checker =
        Checker { places, scope, bound: Vec::new(), loops: 0, sources: Vec::new(), problems: Vec::new() };
    let gives = checker.visit(&mut tree);
    if checker.problems.is_empty() && !gives.fits(result) {
        let wanted = Type::of_column(result);
        let help = match (result, gives) {
            (ColumnType::Boolean, Type::List | Type::Map | Type::Text) => {
                Some("compare it with something, or ask for its size".to_owned())
            }
            (ColumnType::Boolean, _) => Some("compare it with something: … >= 30".to_owned()),
            (ColumnType::Text, Type::Boolean) => {
                Some("for yes or no there is `if` with `then` and `else`".to_owned())
            }
            _ => None,
        };
        let message = format!("this gives {}, but {} is wanted here", gives.noun(), wanted.noun());
        checker.problems.push(Problem { kind: ProblemKind::Types, message, span: whole, help });
    }
    let clock = Clock::of(&tree, &checker.sources);
    if r#use == Use::Rule && checker.problems.is_empty() {
        checker.rule(&tree, &clock);
    }
    if !checker.problems.is_empty() {
        return Err(checker.problems);
    }
    let mut needs = Needs::default();
    checker.sources.iter().for_each(|source| source.need(&mut needs));
    let mut parts = Vec::new();
    explain::collect_parts(&tree, &mut parts);
    let parts = parts.into_iter().map(|part| checker.places.written(part)).collect();
    let plain = Plain::of(&tree, &checker.sources);
    Ok(Checked { sources: checker.sources, plain, needs, tree, contradictions, clock, parts })
}

struct Checker<'c> {
    places: Places<'c>,
    scope: &'c Scope<'c>,
    /// Names that macros around here have bound.
    bound: Vec<String>,
    loops: usize,
    sources: Vec<Source>,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn problem(&mut self, node: &IdedExpr, message: impl Into<String>, help: Option<String>) -> Type {
        self.problem_at(self.places.whole(node), message, help)
    }

    fn problem_at(
        &mut self,
        span: std::ops::Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Type {
        self.problem_of(ProblemKind::Types, span, message, help)
    }

    fn problem_of(
        &mut self,
        kind: ProblemKind,
        span: std::ops::Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Type {
        self.problems.push(Problem { kind, message: message.into(), span, help });
        Type::Any
    }

    /// Makes `node` a variable.
    fn lower(&mut self, node: &mut IdedExpr, source: Source) -> Type {
        self.places.keep(node);
        let gives = source.gives();
        node.expr = Expr::Ident(source::variable(self.sources.len()));
        self.sources.push(source);
        gives
    }

    fn visit(&mut self, node: &mut IdedExpr) -> Type {
        if let Some(written) = self.written(node) {
            return match self.path(node, &written) {
                Some(path) if written.optional => self.lower(node, Source::Optional(path)),
                Some(path) => self.lower_path(node, path),
                None => Type::Any,
            };
        }
        if matches!(node.expr, Expr::Call(_) | Expr::Comprehension(_)) {
            self.places.keep(node);
        }
        match &mut node.expr {
            Expr::Literal(literal) => literal_type(literal),
            Expr::Ident(_) => Type::Any,
            Expr::List(list) => {
                list.elements.iter_mut().for_each(|element| _ = self.visit(element));
                let constants: Option<Vec<Box<dyn Val>>> = list
                    .elements
                    .iter()
                    .map(|element| match &element.expr {
                        Expr::Literal(literal) => Some(literal.to_val().into_owned()),
                        _ => None,
                    })
                    .collect();
                match constants {
                    Some(values) => {
                        self.lower(node, Source::Constant(Box::new(CelList::from(values)), Type::List))
                    }
                    None => Type::List,
                }
            }
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        self.visit(&mut entry.key);
                        self.visit(&mut entry.value);
                    }
                }
                Type::Map
            }
            Expr::Select(select) if select.test => match self.written(&select.operand) {
                Some(mut written) => {
                    written.fields.push(select.field.clone());
                    match self.path(node, &written) {
                        Some(path) => self.lower(node, Source::Has(path, false)),
                        None => Type::Boolean,
                    }
                }
                None => {
                    self.visit(&mut select.operand);
                    Type::Boolean
                }
            },
            Expr::Select(_) => self.select(node),
            Expr::Comprehension(comprehension) => {
                let mut comprehension = std::mem::take(comprehension);
                let gives = self.comprehension(node, &mut comprehension);
                node.expr = Expr::Comprehension(comprehension);
                gives
            }
            Expr::Call(call) => {
                let mut call = std::mem::take(call);
                let gives = if history::is_history(&call) {
                    self.tally(node, &call)
                } else if call.func_name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    self.function(node, &mut call)
                } else {
                    self.operator(node, &mut call)
                };
                // A call that was lowered as a whole has put a variable in its own place.
                if matches!(&node.expr, Expr::Call(taken) if taken.func_name.is_empty()) {
                    node.expr = Expr::Call(call);
                }
                gives
            }
            Expr::Struct(_) | Expr::Unspecified => self.problem_of(
                ProblemKind::Syntax,
                self.places.whole(node),
                "messages are not part of the language",
                Some("write a map: {\"key\": value}".into()),
            ),
        }
    }

    /// A selection on something that is no path.
    fn select(&mut self, node: &mut IdedExpr) -> Type {
        let name = self.places.name(node);
        let Expr::Select(select) = &mut node.expr else { return Type::Any };
        let on = self.visit(&mut select.operand);
        if matches!(on, Type::Any | Type::Json | Type::Map | Type::Optional) {
            return Type::Any;
        }
        let message = format!("{} has no field `{}`", on.noun(), select.field);
        self.problem_at(name, message, None)
    }

    fn comprehension(&mut self, node: &IdedExpr, comprehension: &mut ComprehensionExpr) -> Type {
        let name = self.places.macro_name(node).to_owned();
        let over = self.visit(&mut comprehension.iter_range);
        if !over.may_be(Type::List) && !over.may_be(Type::Map) {
            let message = format!("`{name}` wants a list, and this is {}", over.noun());
            self.problem(
                &comprehension.iter_range,
                message,
                usage(&name).map(|usage| format!("for example {usage}")),
            );
        }
        self.loops += 1;
        if self.loops > MAX_LOOPS {
            let message = format!(
                "at most {MAX_LOOPS} of `all`, `exists`, `map` and `filter` may stand inside each other"
            );
            self.problem_of(ProblemKind::Syntax, self.places.whole(node), message, None);
        }
        self.bound.extend(
            [Some(comprehension.iter_var.clone()), comprehension.iter_var2.clone()].into_iter().flatten(),
        );
        self.visit(&mut comprehension.loop_step);
        self.bound.truncate(self.bound.len() - 1 - usize::from(comprehension.iter_var2.is_some()));
        self.loops -= 1;
        if matches!(name.as_str(), "map" | "filter") { Type::List } else { Type::Boolean }
    }

    fn function(&mut self, node: &mut IdedExpr, call: &mut CallExpr) -> Type {
        let name = call.func_name.clone();
        let Some(function) = library::find(&name, call.target.is_some()) else {
            self.unknown_function(node, call);
            return Type::Any;
        };
        let help = || Some(format!("for example {}", function.usage));
        if call.args.len() > function.takes.len()
            || call.args.len() + function.optional < function.takes.len()
        {
            let message = format!("`{name}` does not take {} arguments", call.args.len());
            return self.problem_of(ProblemKind::Function, self.places.name(node), message, help());
        }
        if let Some(target) = &mut call.target {
            let on = self.visit(target);
            if !function.on.iter().any(|wanted| on.may_be(*wanted)) {
                let help = match (on, function.on.contains(&Type::Timestamp)) {
                    (Type::Json, true) => Some("make a timestamp of it: timestamp(…)".to_owned()),
                    _ => help(),
                };
                let message = format!("`{name}` cannot be asked of {}", on.noun());
                return self.problem(target, message, help);
            }
        }
        for (arg, wanted) in call.args.iter_mut().zip(function.takes) {
            let have = self.visit(arg);
            if !have.may_be(*wanted) {
                self.problem(
                    arg,
                    format!("`{name}` wants {}, and this is {}", wanted.noun(), have.noun()),
                    help(),
                );
            }
        }
        match name.as_str() {
            "matches" => self.pattern(call),
            "timestamp" | "duration" => self.constant_time(node, call, &name),
            _ => {}
        }
        if let Some(replacement) = library::replacement(&name) {
            call.func_name = replacement.to_owned();
        }
        function.gives
    }

    fn unknown_function(&mut self, node: &IdedExpr, call: &CallExpr) {
        let name = call.func_name.as_str();
        let (message, help) = match usage(name) {
            Some(usage) => {
                (format!("`{name}` is not called like this"), Some(format!("for example {usage}")))
            }
            None => (
                format!("the function `{name}` is unknown"),
                library::other_word(name)
                    .or_else(|| suggest::closest(name, library::names()))
                    .and_then(usage)
                    .map(|usage| format!("did you mean {usage}?")),
            ),
        };
        // The arguments may hold names that the right macro would have bound, so they are left alone.
        self.problem_of(ProblemKind::Function, self.places.name(node), message, help);
    }

    /// Compiles the pattern of `matches`.
    fn pattern(&mut self, call: &mut CallExpr) {
        let (Some(target), Some(arg)) = (call.target.take(), call.args.pop()) else { return };
        let Expr::Literal(LiteralValue::String(pattern)) = &arg.expr else {
            self.problem_of(
                ProblemKind::Syntax,
                self.places.whole(&arg),
                "the pattern of `matches` is written out, so that it is compiled only once",
                Some("write it between \" and \", or use `contains`".to_owned()),
            );
            return;
        };
        match regex::RegexBuilder::new(pattern.inner()).size_limit(MAX_PATTERN).build() {
            Ok(pattern) => {
                let mut variable = IdedExpr { id: arg.id, expr: Expr::Unspecified };
                self.lower(&mut variable, Source::Constant(Box::new(Pattern(pattern)), Type::Any));
                call.func_name = library::MATCHES.to_owned();
                call.args = vec![*target, variable];
            }
            Err(error) => {
                let error = match error {
                    regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
                    other => {
                        let text = other.to_string();
                        let last = text.lines().last().unwrap_or_default();
                        last.strip_prefix("error: ").unwrap_or(last).to_owned()
                    }
                };
                let help = "patterns are those of RE2, without look-around and back-references";
                let message = format!("the pattern cannot be used: {error}");
                self.problem_of(ProblemKind::Syntax, self.places.whole(&arg), message, Some(help.to_owned()));
            }
        }
    }

    /// Works out `timestamp("2024-03-01")` and `duration("30d")` once, and says where they cannot be.
    fn constant_time(&mut self, node: &mut IdedExpr, call: &CallExpr, function: &str) {
        let Some(IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), .. }) = call.args.first() else {
            return;
        };
        let text = text.inner();
        let (value, gives, like): (Option<Box<dyn Val>>, _, _) = if function == "timestamp" {
            let at = time::instant(text).and_then(time::to_cel);
            (at.map(|at| Box::new(at) as _), Type::Timestamp, "2024-03-01 or 2024-03-01T09:30:00Z")
        } else {
            (
                time::duration(text).map(|duration| Box::new(duration) as _),
                Type::Duration,
                "30d, 12h or 1h 30m",
            )
        };
        match value {
            Some(value) => _ = self.lower(node, Source::Constant(value, gives)),
            None => {
                let message = format!("\"{text}\" is not a {function}");
                if let Some(arg) = call.args.first() {
                    let help = Some(format!("write it like {like}"));
                    self.problem_of(ProblemKind::Syntax, self.places.whole(arg), message, help);
                }
            }
        }
    }

    fn operator(&mut self, node: &mut IdedExpr, call: &mut CallExpr) -> Type {
        let null = |arg: &IdedExpr| matches!(arg.expr, Expr::Literal(LiteralValue::Null));
        // `contact.title == null` asks whether there is a title, and so must not fail where there is none.
        if let (operators::EQUALS | operators::NOT_EQUALS, [left, right]) =
            (call.func_name.as_str(), call.args.as_slice())
            && null(left) != null(right)
            && let Some(written) = self.written(if null(left) { right } else { left })
        {
            let negated = call.func_name == operators::EQUALS;
            return match self.path(if null(left) { right } else { left }, &written) {
                Some(path) => self.lower(node, Source::Has(path, negated)),
                None => Type::Boolean,
            };
        }
        // `"vip" in contact.tags` looks the tag up instead of making a list of them all.
        if let (operators::IN, [left, right]) = (call.func_name.as_str(), call.args.as_slice())
            && let Expr::Literal(LiteralValue::String(name)) = &left.expr
            && let Some(Written { root, fields, optional: false, .. }) = self.written(right)
            && root == "contact"
            && let [field] = fields.as_slice()
        {
            let name = name.inner().to_owned();
            match field.as_str() {
                "tags" => return self.lower(node, Source::HasTag(name)),
                "segments" => {
                    self.known_segment(left, &name);
                    return self.lower(node, Source::InSegment(name));
                }
                _ => {}
            }
        }
        self.known_values(call);
        let types: Vec<Type> = call.args.iter_mut().map(|arg| self.visit(arg)).collect();
        let gives = self.operator_type(node, call, &types);
        // The accumulator of `map` and `filter` stays with CEL, which appends to it in place.
        let accumulates =
            matches!(call.args.first(), Some(IdedExpr { expr: Expr::Ident(name), .. }) if name == "@result");
        if !accumulates && let Some(replacement) = library::replacement(&call.func_name) {
            call.func_name = replacement.to_owned();
        }
        gives
    }
}

fn usage(name: &str) -> Option<&'static str> {
    let in_macros = library::MACROS.iter().find(|(known, _)| *known == name).map(|(_, usage)| *usage);
    in_macros
        .or_else(|| {
            library::FUNCTIONS.iter().find(|function| function.name == name).map(|function| function.usage)
        })
        .or_else(|| history::usage(name))
        .or_else(|| (name == history::EVENTS).then_some(USAGE))
}

fn literal_type(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Boolean,
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Number,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::Null => Type::Null,
        LiteralValue::Bytes(_) => Type::Any,
    }
}
