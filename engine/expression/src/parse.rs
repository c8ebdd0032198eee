//! From source to CEL's tree, with the parser's complaints put into a marketer's words.

use std::{collections::HashMap, ops::Range};

use cel::{
    IdedExpr,
    common::ast::{Expr, SourceInfo},
    parser::{ParseError, ParseErrors},
};

use crate::{
    Problem, ProblemKind, library,
    token::{self, Kind, Tokens},
};

/// A parsed source.
#[derive(Debug)]
pub(crate) struct Parsed<'s> {
    pub(crate) tree: IdedExpr,
    pub(crate) places: Places<'s>,
}

/// Where the nodes of a tree stand in the source.
#[derive(Debug)]
pub(crate) struct Places<'s> {
    tokens: Tokens<'s>,
    offsets: SourceInfo,
    /// What nodes covered that have since been taken apart or lowered, by their ids.
    kept: HashMap<u64, Range<usize>>,
}

/// Parses `source`.
pub(crate) fn parse(source: &str) -> Result<Parsed<'_>, Problem> {
    let tokens = token::tokens(source)?;
    match library::env().parser().parse_with_source_info(source) {
        Ok((tree, offsets)) => Ok(Parsed { tree, places: Places { tokens, offsets, kept: HashMap::new() } }),
        Err(errors) => Err(syntax_problem(&tokens, errors)),
    }
}

/// The first complaint; those that follow are most often its consequences.
fn syntax_problem(tokens: &Tokens<'_>, errors: ParseErrors) -> Problem {
    let Some(error) = errors.errors.into_iter().next() else {
        return Problem {
            kind: ProblemKind::Syntax,
            message: "this is not an expression".to_owned(),
            span: 0..tokens.source.len(),
            help: None,
        };
    };
    let index = tokens.at(offset(tokens.source, &error));
    let Some((index, token)) = index.and_then(|index| Some((index, tokens.get(index)?))) else {
        let last = tokens.last().map(|token| (token.span.clone(), tokens.text(token)));
        let (span, text) = last.unwrap_or_default();
        return Problem {
            kind: ProblemKind::Syntax,
            message: format!("something is missing after `{text}`"),
            span,
            help: Some("an operator needs a value on both of its sides".to_owned()),
        };
    };
    let text = tokens.text(token);
    let previous = index.checked_sub(1).and_then(|previous| tokens.get(previous));
    let before = previous.map(|token| tokens.text(token)).unwrap_or_default();
    let is_value = |kind: Kind| matches!(kind, Kind::Name | Kind::Literal);
    let (message, help) = if error.msg.starts_with("reserved identifier") {
        (format!("`{text}` is a reserved word and cannot be a name"), None)
    } else if error.msg.starts_with("invalid argument to has") {
        ("`has` asks for a field".to_owned(), Some("write has(contact.title)".to_owned()))
    } else if error.msg.starts_with("argument must be a simple name") {
        (
            format!("`{text}` cannot name the elements of a list"),
            Some("give a plain name first: contact.tags.exists(tag, tag == \"vip\")".to_owned()),
        )
    } else if error.msg.starts_with("invalid int") || error.msg.starts_with("invalid uint") {
        (
            format!("`{text}` is too large for a whole number"),
            Some("write it with a decimal point".to_owned()),
        )
    } else if error.msg.starts_with("invalid double") {
        (format!("`{text}` is too large for a number"), None)
    } else if error.msg.starts_with("invalid") && token.kind == Kind::Literal {
        (
            "the text has an escape that CEL does not know".to_owned(),
            Some("write a backslash twice, or put r before the text: r\"\\d+\"".to_owned()),
        )
    } else if previous.is_some_and(|token| is_value(token.kind) || token.kind == Kind::Close)
        && is_value(token.kind)
    {
        if before.starts_with(|c: char| c.is_ascii_digit())
            && crate::time::duration(&format!("{before}{text}")).is_some()
        {
            let message = format!("`{before}{text}` is not a number");
            let help = format!("a length of time stands in quotation marks: \"{before}{text}\"");
            let start = previous.map_or(token.span.start, |previous| previous.span.start);
            return Problem {
                kind: ProblemKind::Syntax,
                message,
                span: start..token.span.end,
                help: Some(help),
            };
        }
        let message = format!("an operator is missing between `{before}` and `{text}`");
        (message, Some("join conditions with `&&` or `||`, compare values with `==` or `>=`".to_owned()))
    } else if previous.is_some_and(|token| token.kind == Kind::Operator) && !is_value(token.kind) {
        (format!("a value is missing between `{before}` and `{text}`"), None)
    } else {
        (format!("`{text}` is not expected here"), None)
    };
    Problem { kind: ProblemKind::Syntax, message, span: token.span.clone(), help }
}

/// The byte at which a complaint stands; the parser counts lines from 1 and columns in characters from 1.
fn offset(source: &str, error: &ParseError) -> usize {
    let (line, column) = error.pos;
    let (Ok(line), Ok(column)) = (usize::try_from(line - 1), usize::try_from(column - 1)) else { return 0 };
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let text = source.get(start..).unwrap_or_default();
    start + text.char_indices().nth(column).map_or(text.len(), |(at, _)| at)
}

impl Places<'_> {
    fn token_of(&self, node: &IdedExpr) -> Option<usize> {
        let (start, _) = self.offsets.offset_for(node.id)?;
        self.tokens.at(start as usize)
    }

    /// Where the field's name of a selection, or the function's name of a call, stands.
    pub(crate) fn name(&self, node: &IdedExpr) -> Range<usize> {
        let index = self.token_of(node).map(|index| match &node.expr {
            Expr::Select(_) => {
                let step = if self.tokens.text_at(index + 1) == "?" { 2 } else { 1 };
                index + step
            }
            _ if self.tokens.text_at(index) == "(" => index.saturating_sub(1),
            _ => index,
        });
        index.and_then(|index| self.tokens.get(index)).map(|token| token.span.clone()).unwrap_or_default()
    }

    /// The name of the macro from which a comprehension was made.
    pub(crate) fn macro_name(&self, node: &IdedExpr) -> &str {
        self.tokens.source.get(self.name(node)).unwrap_or_default()
    }

    /// Keeps what `node` covers, because it is about to change.
    pub(crate) fn keep(&mut self, node: &IdedExpr) {
        let span = self.whole(node);
        self.kept.insert(node.id, span);
    }

    /// All that a node and its operands cover.
    pub(crate) fn whole(&self, node: &IdedExpr) -> Range<usize> {
        if let Some(kept) = self.kept.get(&node.id) {
            return kept.clone();
        }
        let mut span = self.own(node);
        let mut cover = |child: &IdedExpr| {
            let child = self.whole(child);
            if !child.is_empty() {
                span = if span.is_empty() {
                    child
                } else {
                    span.start.min(child.start)..span.end.max(child.end)
                };
            }
        };
        match &node.expr {
            Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).for_each(cover),
            // `has(contact.title)` stands at its bracket.
            Expr::Select(select) if select.test => {
                span = span.start + 1..span.end.saturating_sub(1).max(span.start + 1)
            }
            Expr::Select(select) => cover(&select.operand),
            Expr::Comprehension(comprehension) => cover(&comprehension.iter_range),
            _ => {}
        }
        span
    }

    /// All that a node covers as it is written: of `has(contact.title)` more than the field.
    pub(crate) fn written(&self, node: &IdedExpr) -> Range<usize> {
        const HAS: &str = "has(";
        let span = self.whole(node);
        let source = self.tokens.source;
        let before = source.get(..span.start).unwrap_or_default();
        let behind = source.get(span.end..).unwrap_or_default();
        match before.strip_suffix(HAS) {
            Some(rest) if behind.starts_with(')') => rest.len()..span.end + 1,
            _ => span,
        }
    }

    /// What the node itself covers: its token, with its name and up to its closing bracket.
    fn own(&self, node: &IdedExpr) -> Range<usize> {
        let Some(index) = self.token_of(node) else { return 0..0 };
        let Some(token) = self.tokens.get(index) else { return 0..0 };
        let mut span = token.span.clone();
        if let Kind::Open(close) = token.kind
            && let Some(close) = self.tokens.get(close)
        {
            span.end = close.span.end;
        }
        let name = self.name(node);
        if !name.is_empty() && !matches!(&node.expr, Expr::List(_) | Expr::Map(_)) {
            span = span.start.min(name.start)..span.end.max(name.end);
        }
        span
    }
}
