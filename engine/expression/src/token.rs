//! A first look at the source: tokens with byte positions, and every mistake that can be told from them alone.
//!
//! The CEL parser of the `cel` crate decides what is an expression. This comes before it for two reasons: its messages
//! are its grammar's, not a marketer's, and both it and the interpreter recurse, so what would nest too deeply for the
//! stack must not reach them.

use std::ops::Range;

use crate::{Problem, ProblemKind};

/// The longest source, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// The deepest nesting of brackets and conditional branches.
const MAX_NESTING: usize = 24;
/// The deepest tree, which unoptimised takes 1 MiB of stack to evaluate: brackets, and operators that hang from each other in a row without `&&`, `||` or a comma between.
const MAX_DEPTH: usize = 64;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Name,
    Literal,
    /// An opening bracket and the index of the token that closes it.
    Open(usize),
    Close,
    Operator,
}

/// A piece of the source.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
}

/// A source cut into tokens.
#[derive(Debug)]
pub(crate) struct Tokens<'s> {
    pub(crate) source: &'s str,
    all: Vec<Token>,
}

impl<'s> Tokens<'s> {
    pub(crate) fn get(&self, index: usize) -> Option<&Token> {
        self.all.get(index)
    }

    /// The index of the token that covers or follows the byte at `offset`.
    pub(crate) fn at(&self, offset: usize) -> Option<usize> {
        let index = self.all.partition_point(|token| token.span.end <= offset);
        (index < self.all.len()).then_some(index)
    }

    pub(crate) fn last(&self) -> Option<&Token> {
        self.all.last()
    }

    pub(crate) fn text(&self, token: &Token) -> &'s str {
        self.source.get(token.span.clone()).unwrap_or_default()
    }

    /// The text of the token at `index`; empty past the ends.
    pub(crate) fn text_at(&self, index: usize) -> &'s str {
        self.get(index).map(|token| self.text(token)).unwrap_or_default()
    }
}

fn problem(span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Problem {
    Problem { kind: ProblemKind::Syntax, message: message.into(), span, help: Some(help.into()) }
}

/// Cuts `source` into tokens and checks its brackets and depth.
pub(crate) fn tokens(source: &str) -> Result<Tokens<'_>, Problem> {
    if source.len() > MAX_BYTES {
        return Err(problem(
            0..source.len(),
            format!(
                "the expression is {} KiB long; at most {} KiB are allowed",
                source.len() / 1024,
                MAX_BYTES / 1024
            ),
            "split it over several steps",
        ));
    }
    let mut tokens = Tokens { source, all: Vec::new() };
    let mut at = 0;
    while let Some(rest) = source.get(at..)
        && let Some(first) = rest.chars().next()
    {
        if first.is_ascii_whitespace() {
            at += 1;
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else {
            let (kind, length) = token(rest, first, at, ends_operand(&tokens))?;
            tokens.all.push(Token { kind, span: at..at + length });
            at += length;
        }
    }
    if tokens.all.is_empty() {
        return Err(problem(
            0..source.len(),
            "the expression is empty",
            "write a condition, such as contact.country == \"DE\"",
        ));
    }
    words(&tokens)?;
    brackets(&mut tokens)?;
    Ok(tokens)
}

/// Whether the last token can end an operand.
fn ends_operand(tokens: &Tokens<'_>) -> bool {
    tokens.last().is_some_and(|token| token.kind != Kind::Operator && !matches!(token.kind, Kind::Open(_)))
}

fn token(rest: &str, first: char, at: usize, after_operand: bool) -> Result<(Kind, usize), Problem> {
    let second = rest.chars().nth(1);
    let length_while = |accept: fn(char) -> bool| rest.find(|c| !accept(c)).unwrap_or(rest.len());
    match first {
        'a'..='z' | 'A'..='Z' | '_' => {
            let length = length_while(|c| c.is_ascii_alphanumeric() || c == '_');
            let (word, after) = rest.split_at(length);
            let prefix = word.to_ascii_lowercase();
            if after.starts_with(['"', '\'']) && matches!(prefix.as_str(), "r" | "b" | "br" | "rb") {
                return Ok((Kind::Literal, length + text(after, prefix.contains('r'), at + length)?));
            }
            Ok((Kind::Name, length))
        }
        '"' | '\'' => Ok((Kind::Literal, text(rest, false, at)?)),
        '0'..='9' => Ok((Kind::Literal, number(rest))),
        '.' if !after_operand && second.is_some_and(|c| c.is_ascii_digit()) => {
            Ok((Kind::Literal, number(rest)))
        }
        '(' | '[' | '{' => Ok((Kind::Open(0), 1)),
        ')' | ']' | '}' => Ok((Kind::Close, 1)),
        '&' | '|' | '=' if second == Some(first) => Ok((Kind::Operator, 2)),
        '!' | '<' | '>' if second == Some('=') => Ok((Kind::Operator, 2)),
        '+' | '-' | '*' | '/' | '%' | '<' | '>' | '!' | '?' | ':' | '.' | ',' => Ok((Kind::Operator, 1)),
        '=' => Err(problem(at..at + 1, "`=` is not an operator", "compare with `==`")),
        '&' | '|' => Err(problem(
            at..at + 1,
            format!("`{first}` is not an operator"),
            format!("join conditions with `{first}{first}`"),
        )),
        '“' | '”' | '„' | '‘' | '’' | '«' | '»' | '`' => Err(problem(
            at..at + first.len_utf8(),
            format!("{first} is not a quotation mark here"),
            "put texts between \" and \"",
        )),
        _ => Err(Problem {
            kind: ProblemKind::Syntax,
            message: format!("`{}` has no meaning here", first.escape_debug()),
            span: at..at + first.len_utf8(),
            help: first.is_alphanumeric().then(|| "put texts between \" and \"".to_owned()),
        }),
    }
}

/// The length of the number at the start of `rest`.
fn number(rest: &str) -> usize {
    let digits = |from: usize| {
        let tail = rest.get(from..).unwrap_or_default();
        from + tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len())
    };
    let follows = |at: usize, any: &[char]| rest.get(at..).is_some_and(|tail| tail.starts_with(any));
    let mut end = digits(0);
    if rest.starts_with("0x") {
        let tail = rest.get(2..).unwrap_or_default();
        end = 2 + tail.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(tail.len());
    } else {
        if follows(end, &['.']) && digits(end + 1) > end + 1 {
            end = digits(end + 1);
        }
        if follows(end, &['e', 'E']) {
            let sign = usize::from(follows(end + 1, &['+', '-']));
            if digits(end + 1 + sign) > end + 1 + sign {
                end = digits(end + 1 + sign);
            }
        }
    }
    end + usize::from(follows(end, &['u', 'U']))
}

/// The length of the text literal at the start of `rest`, quotes included.
fn text(rest: &str, raw: bool, at: usize) -> Result<usize, Problem> {
    let quote = rest.get(..1).unwrap_or_default();
    let long = [quote; 3].concat();
    let (mark, multiline) = if rest.starts_with(&long) { (long.as_str(), true) } else { (quote, false) };
    let mut escaped = false;
    let mut index = mark.len();
    for c in rest.get(index..).unwrap_or_default().chars() {
        if !escaped && rest.get(index..).is_some_and(|tail| tail.starts_with(mark)) {
            return Ok(index + mark.len());
        }
        if !multiline && matches!(c, '\n' | '\r') {
            break;
        }
        if escaped
            && !matches!(
                c,
                'a' | 'b'
                    | 'f'
                    | 'n'
                    | 'r'
                    | 't'
                    | 'v'
                    | '?'
                    | '"'
                    | '\''
                    | '`'
                    | '\\'
                    | 'x'
                    | 'X'
                    | 'u'
                    | 'U'
                    | '0'..='3'
            )
        {
            return Err(problem(
                at + index - 1..at + index + c.len_utf8(),
                format!("`\\{c}` stands for nothing in a text"),
                "write the backslash twice, or put r before the text: r\"\\d+\"",
            ));
        }
        escaped = !raw && !escaped && c == '\\';
        index += c.len_utf8();
    }
    Err(problem(at..at + index, "the text is never closed", format!("end it with {mark}")))
}

/// Words of other languages that mean an operator.
fn words(tokens: &Tokens<'_>) -> Result<(), Problem> {
    for (index, token) in tokens.all.iter().enumerate().filter(|(_, token)| token.kind == Kind::Name) {
        let before = index.checked_sub(1).and_then(|before| tokens.get(before));
        let after = tokens.get(index + 1);
        let follows_operand =
            before.is_some_and(|token| matches!(token.kind, Kind::Name | Kind::Literal | Kind::Close));
        let before_operand = after.is_some_and(|token| matches!(token.kind, Kind::Name | Kind::Literal));
        let operator = match tokens.text(token) {
            "and" | "AND" if follows_operand => "&&",
            "or" | "OR" if follows_operand => "||",
            "is" | "IS" if follows_operand => "==",
            "not" | "NOT" if before_operand => "!",
            _ => continue,
        };
        return Err(problem(
            token.span.clone(),
            format!("`{}` is not an operator", tokens.text(token)),
            format!("write `{operator}`"),
        ));
    }
    Ok(())
}

/// Pairs brackets and bounds the depth of the tree that the tokens can make.
fn brackets(tokens: &mut Tokens<'_>) -> Result<(), Problem> {
    /// What one level of brackets adds to the depth.
    #[derive(Default)]
    struct Level {
        open: usize,
        /// Operators since the last separator: each holds what stands before it.
        operators: usize,
        /// Fields, indexes and calls that hang from the operand at hand, and the most of any operand.
        suffixes: usize,
        longest: usize,
        /// `?` holds all that follows, past separators too.
        ternaries: usize,
    }

    impl Level {
        fn suffix(&mut self, depth: &mut usize) {
            self.suffixes += 1;
            if self.suffixes > self.longest {
                self.longest = self.suffixes;
                *depth += 1;
            }
        }

        fn separate(&mut self, depth: &mut usize) {
            *depth -= self.operators + self.longest;
            (self.operators, self.suffixes, self.longest) = (0, 0, 0);
        }
    }

    let mut levels = vec![Level::default()];
    let mut depth = 0usize;
    let mut nesting = 0usize;
    for index in 0..tokens.all.len() {
        let Some(token) = tokens.get(index).cloned() else { break };
        let text = tokens.text(&token);
        let nested = levels.len() > 1;
        let Some(level) = levels.last_mut() else { break };
        match token.kind {
            Kind::Open(_) => {
                level.suffix(&mut depth);
                nesting += 1;
                levels.push(Level { open: index, ..Level::default() });
            }
            Kind::Close => {
                let opened = nested.then(|| tokens.text_at(level.open));
                if !matches!((opened, text), (Some("("), ")") | (Some("["), "]") | (Some("{"), "}")) {
                    let help = opened
                        .map(|open| format!("`{open}` is open here, so its closing bracket comes first"));
                    return Err(Problem {
                        kind: ProblemKind::Syntax,
                        message: format!("`{text}` closes nothing"),
                        span: token.span,
                        help,
                    });
                }
                level.separate(&mut depth);
                depth -= level.ternaries;
                nesting -= 1 + level.ternaries;
                let open = level.open;
                levels.pop();
                if let Some(token) = tokens.all.get_mut(open) {
                    token.kind = Kind::Open(index);
                }
            }
            Kind::Operator if matches!(text, "&&" | "||" | ",") => {
                level.separate(&mut depth);
            }
            Kind::Operator if text == "?" => {
                level.ternaries += 1;
                depth += 1;
                nesting += 1;
            }
            Kind::Operator if text == "." => level.suffix(&mut depth),
            // `in` is spelt like a name.
            Kind::Operator | Kind::Name if token.kind == Kind::Operator || text == "in" => {
                level.suffixes = 0;
                level.operators += 1;
                depth += 1;
            }
            _ => {}
        }
        if nesting > MAX_NESTING || depth > MAX_DEPTH {
            return Err(problem(
                token.span,
                "the expression nests too deeply",
                format!(
                    "at most {MAX_NESTING} brackets or `?` inside each other, and {MAX_DEPTH} operators or calls in a row"
                ),
            ));
        }
    }
    match levels.last() {
        Some(level) if levels.len() > 1 => {
            let span = tokens.get(level.open).map(|token| token.span.clone()).unwrap_or_default();
            let open = tokens.text_at(level.open);
            let close = match open {
                "(" => ")",
                "[" => "]",
                _ => "}",
            };
            Err(problem(
                span,
                format!("`{open}` is never closed"),
                format!("add the `{close}` that belongs to it"),
            ))
        }
        _ => Ok(()),
    }
}
