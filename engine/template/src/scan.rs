//! A first look at a template's source: its tags, whether they are closed, and how deep blocks nest.
//!
//! The Handlebars parser decides what is a template. This comes before it because its messages are its grammar's, and
//! because it recurses for each block inside a block, so that what nests too deeply must not reach it.

use crate::Problem;

/// The largest template, in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting of blocks, and of parentheses within a tag.
const MAX_NESTING: usize = 24;

/// Looks at the tags of `source`, the template at `path`.
pub(crate) fn scan(path: &str, source: &str) -> Result<(), Problem> {
    let problem = |at: usize, message: String, help: Option<String>| {
        let (line, column) = position(source, at);
        Problem { path: path.to_owned(), message, line, column, help }
    };
    if source.len() > MAX_BYTES {
        return Err(problem(0, "the template is larger than 1 MiB".to_owned(), None));
    }
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut from = 0;
    while let Some(at) = source.get(from..).and_then(|rest| rest.find("{{")).map(|found| from + found) {
        let before = source.get(..at).unwrap_or_default();
        // One backslash makes the braces text; two make a backslash before a tag.
        if before.ends_with('\\') && !before.ends_with("\\\\") {
            from = at + 2;
            continue;
        }
        let tag = Tag::at(source, at).map_err(|message| problem(at, message.to_owned(), None))?;
        from = tag.end;
        if tag.nesting > MAX_NESTING {
            return Err(problem(at, "the parentheses of the tag nest too deeply".to_owned(), None));
        }
        match tag.kind {
            Kind::Open(name) => {
                open.push((at, name));
                if open.len() > MAX_NESTING {
                    let help =
                        format!("at most {MAX_NESTING} blocks may stand inside each other; use a partial");
                    return Err(problem(at, "the blocks nest too deeply".to_owned(), Some(help)));
                }
            }
            Kind::Close(name) => match open.pop() {
                None => return Err(problem(at, format!("`{{{{/{name}}}}}` closes nothing"), None)),
                Some((_, opened)) if opened != name => {
                    let help = Some(format!("close it with {{{{/{opened}}}}} first"));
                    return Err(problem(at, format!("`{opened}` is still open at `{{{{/{name}}}}}`"), help));
                }
                Some(_) => {}
            },
            Kind::Else if open.is_empty() => {
                return Err(problem(at, "`{{else}}` stands outside of any block".to_owned(), None));
            }
            Kind::Else | Kind::Other => {}
        }
    }
    match open.pop() {
        Some((at, name)) => {
            let help = Some(format!("add {{{{/{name}}}}} where the block ends"));
            Err(problem(at, format!("`{name}` is never closed"), help))
        }
        None => Ok(()),
    }
}

/// The line and column, from 1, of the byte at `at`; columns count characters.
fn position(source: &str, at: usize) -> (u32, u32) {
    let before = source.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

enum Kind<'s> {
    /// A block begins; its helper or partial.
    Open(&'s str),
    /// A block ends.
    Close(&'s str),
    Else,
    Other,
}

struct Tag<'s> {
    kind: Kind<'s>,
    /// The byte after the tag.
    end: usize,
    /// How deep its parentheses nest.
    nesting: usize,
}

impl<'s> Tag<'s> {
    fn at(source: &'s str, at: usize) -> Result<Self, &'static str> {
        let rest = source.get(at..).unwrap_or_default();
        let other = |length: usize| Self { kind: Kind::Other, end: at + length, nesting: 0 };
        if rest.starts_with("{{!--") {
            return rest
                .find("--}}")
                .map(|end| other(end + 4))
                .ok_or("the comment is never closed with --}}");
        }
        if rest.starts_with("{{!") {
            return rest.find("}}").map(|end| other(end + 2)).ok_or("the comment is never closed with }}");
        }
        if rest.starts_with("{{{{") {
            return Err("raw blocks are not part of the language");
        }
        let (opening, closing) = if rest.starts_with("{{{") { (3, "}}}") } else { (2, "}}") };
        let (content, nesting) = content(rest.get(opening..).unwrap_or_default(), closing)?;
        let end = at + opening + content.len() + closing.len();
        let inner = content.trim_matches(|c: char| c == '~' || c.is_whitespace());
        let word = |text: &'s str| {
            let text = text.trim_start_matches(['>', '~']).trim_start();
            text.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default()
        };
        let kind = match inner.chars().next() {
            None => return Err("the tag is empty"),
            Some('*') => {
                return Err("decorators are not part of the language; put the text into a file of its own");
            }
            Some('#') if inner.get(1..).is_some_and(|rest| rest.trim_start().starts_with('*')) => {
                return Err(
                    "inline partials are not part of the language; put the text into a file of its own",
                );
            }
            Some('#') => Kind::Open(word(inner.get(1..).unwrap_or_default().trim_start())),
            Some('/') => Kind::Close(word(inner.get(1..).unwrap_or_default().trim_start())),
            Some('^') => Kind::Else,
            _ if word(inner) == "else" => Kind::Else,
            _ => Kind::Other,
        };
        Ok(Self { kind, end, nesting })
    }
}

/// What stands before `closing`, texts in quotes aside, and how deep its parentheses and brackets nest.
fn content<'s>(rest: &'s str, closing: &str) -> Result<(&'s str, usize), &'static str> {
    let (mut quote, mut escaped) = (None, false);
    let (mut nesting, mut deepest) = (0usize, 0usize);
    for (index, c) in rest.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(mark) if c == mark => quote = None,
            Some(_) => {}
            None => {
                let tail = rest.get(index..).unwrap_or_default();
                if tail.starts_with(closing) {
                    return Ok((rest.get(..index).unwrap_or_default(), deepest));
                }
                if tail.starts_with("{{") {
                    break;
                }
                match c {
                    '"' | '\'' => quote = Some(c),
                    '(' | '[' | '{' => nesting += 1,
                    ')' | ']' | '}' => nesting = nesting.saturating_sub(1),
                    _ => {}
                }
                deepest = deepest.max(nesting);
            }
        }
    }
    Err(if quote.is_some() { "a text in the tag is never closed" } else { "the tag is never closed" })
}
