//! The static check: what a template includes, calls and reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use dripline_model::{contact::Needs, suggest};
use handlebars::{
    Path, PathSeg, Template, TemplateErrorReason,
    template::{BlockParam, DecoratorTemplate, HelperTemplate, Parameter, TemplateElement},
};
use serde_json::Value as Json;

use crate::{FieldKind, FieldUse, Problem, helpers, scan};

/// How often partials may be included in all, counted where they are used; this bounds what rendering costs.
const MAX_INCLUDES: usize = 200;

/// What the templates of emails see.
const EMAIL_ROOTS: &[&str] = &["contact", "input", "message", "sender", "unsubscribe_url"];

/// What every contact may have beside its attributes.
const OWN: [&str; 5] = ["id", "external_id", "email", "owner", "created_at"];

/// What templates read of a contact.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reads {
    pub(crate) needs: Needs,
    /// What is read of [`OWN`].
    pub(crate) own: BTreeSet<&'static str>,
    /// Scores by name, so that one which was never given can be 0.
    pub(crate) scores: BTreeSet<String>,
    /// Consents by topic, so that one which was never asked can be false.
    pub(crate) consents: BTreeSet<String>,
    /// Where each attribute, topic and score is read.
    pub(crate) uses: BTreeSet<FieldUse>,
    /// Where it is read with what the run was called.
    pub(crate) inputs: BTreeSet<FieldUse>,
}

/// What a walk reached.
pub(crate) struct Reached {
    /// Parsed, by path.
    pub(crate) templates: BTreeMap<String, Rc<Template>>,
    pub(crate) reads: Reads,
}

/// What a path without a block around it is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// The root, where `contact` is.
    Root,
    /// Something inside: an element, or what `with` names.
    Inside,
    /// Not known, because the template is looked at by itself.
    Unknown,
}

/// A block around the place looked at.
#[derive(Debug)]
struct Frame {
    base: Base,
    /// Names that the block binds.
    bound: Vec<String>,
}

/// Walks templates as rendering would.
pub(crate) struct Walker<'s> {
    sources: &'s BTreeMap<String, String>,
    /// The names at the root.
    roots: &'static [&'static str],
    /// Whether partials may be included.
    partials: bool,
    parsed: BTreeMap<String, Option<Rc<Template>>>,
    /// The templates that include the one looked at, outermost first, and it.
    including: Vec<String>,
    /// For each of them after the first, whether it was given a block.
    given_block: Vec<bool>,
    frames: Vec<Frame>,
    includes: usize,
    /// Where the element looked at stands.
    position: (u32, u32),
    reads: Reads,
    pub(crate) problems: Vec<Problem>,
}

impl<'s> Walker<'s> {
    /// A walker over the templates of emails.
    pub(crate) fn over(sources: &'s BTreeMap<String, String>) -> Self {
        Self {
            sources,
            roots: EMAIL_ROOTS,
            partials: true,
            parsed: BTreeMap::new(),
            including: Vec::new(),
            given_block: Vec::new(),
            frames: Vec::new(),
            includes: 0,
            position: (1, 1),
            reads: Reads::default(),
            problems: Vec::new(),
        }
    }

    /// A walker over one template that sees only the contact, and with what the run was called.
    pub(crate) fn inline(sources: &'s BTreeMap<String, String>) -> Self {
        Self { roots: &["contact", "input"], partials: false, ..Self::over(sources) }
    }

    /// Walks the template at `path` as one that is rendered.
    pub(crate) fn render(&mut self, path: &str) {
        self.enter(path, Base::Root);
    }

    /// Walks the template at `path` by itself: it may be one that others include with names of their own.
    pub(crate) fn alone(&mut self, path: &str) {
        self.given_block.push(true);
        self.enter(path, Base::Unknown);
    }

    /// What was reached, unless there is a problem.
    pub(crate) fn finish(self) -> Result<Reached, Vec<Problem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let reached = self.parsed.into_iter().filter_map(|(path, template)| Some((path, template?)));
        Ok(Reached { templates: reached.collect(), reads: self.reads })
    }

    fn enter(&mut self, path: &str, base: Base) {
        self.frames.push(Frame { base, bound: Vec::new() });
        self.include(path);
        self.frames.pop();
    }

    fn problem(&mut self, message: impl Into<String>, help: Option<String>) {
        let path = self.including.last().cloned().unwrap_or_default();
        let (line, column) = self.position;
        let problem = Problem { path, message: message.into(), line, column, help };
        // A partial that is included twice is walked twice.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn include(&mut self, path: &str) {
        let Some(template) = self.template(path) else { return };
        let position = self.position;
        self.including.push(path.to_owned());
        self.template_body(&template);
        self.including.pop();
        self.position = position;
    }

    /// The parsed template at `path`.
    fn template(&mut self, path: &str) -> Option<Rc<Template>> {
        if let Some(known) = self.parsed.get(path) {
            return known.clone();
        }
        let source = self.sources.get(path)?;
        let parsed = match parse(path, source) {
            Ok(template) => Some(Rc::new(template)),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        };
        self.parsed.insert(path.to_owned(), parsed.clone());
        parsed
    }

    fn template_body(&mut self, template: &Template) {
        for (index, element) in template.elements.iter().enumerate() {
            if let Some(place) = template.mapping.get(index) {
                self.position = (number(place.0), number(place.1));
            }
            match element {
                TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => {
                    self.expression(call)
                }
                TemplateElement::HelperBlock(call) => self.call(call),
                TemplateElement::PartialExpression(partial) => self.partial(partial, false),
                TemplateElement::PartialBlock(partial) => self.partial(partial, true),
                TemplateElement::DecoratorExpression(_) | TemplateElement::DecoratorBlock(_) => {
                    self.problem("decorators are not part of the language", None);
                }
                _ => {}
            }
        }
    }

    fn expression(&mut self, call: &HelperTemplate) {
        if !call.params.is_empty() || !call.hash.is_empty() || call.block {
            return self.call(call);
        }
        match &call.name {
            Parameter::Path(path) => match path {
                Path::Relative((_, raw)) if helpers::find(raw).is_some() => self.call(call),
                path => self.path(path),
            },
            Parameter::Name(name) => self.named(name, &[]),
            parameter => self.parameter(parameter),
        }
    }

    fn parameter(&mut self, parameter: &Parameter) {
        match parameter {
            Parameter::Path(path) => self.path(path),
            Parameter::Subexpression(inner) => {
                if let TemplateElement::Expression(call) = inner.as_element() {
                    self.expression(call);
                }
            }
            _ => {}
        }
    }

    fn call(&mut self, call: &HelperTemplate) {
        let name = name_of(&call.name).unwrap_or_default();
        call.params.iter().chain(call.hash.values()).for_each(|parameter| self.parameter(parameter));
        match helpers::find(name) {
            None => {
                let names = helpers::HELPERS.iter().map(|usage| usage.name);
                let help = suggest::closest(name, names).and_then(helpers::find).map(|usage| usage.example);
                let help = help.map(|example| format!("did you mean {example}?"));
                self.problem(format!("the helper `{name}` is unknown"), help);
            }
            Some(usage) if usage.block != call.block || !usage.takes.contains(&call.params.len()) => {
                self.problem(
                    format!("`{name}` is not called like this"),
                    Some(format!("for example {}", usage.example)),
                );
            }
            Some(_) => {}
        }
        if let ("date", Some(Parameter::Literal(format))) = (name, call.params.get(1))
            && !format.as_str().is_some_and(helpers::is_date_format)
        {
            let help = "for example \"%d %B %Y\", as strftime has it".to_owned();
            self.problem(format!("{format} is not a form of dates"), Some(help));
        }
        if let Some(body) = &call.template {
            let enters = matches!(name, "each" | "with");
            if enters {
                let bound = match &call.block_param {
                    Some(BlockParam::Single(name)) => vec![name],
                    Some(BlockParam::Pair((first, second))) => vec![first, second],
                    _ => Vec::new(),
                };
                let bound = bound.into_iter().filter_map(name_of).map(str::to_owned).collect();
                let unknown = self.frames.last().is_some_and(|frame| frame.base == Base::Unknown);
                let base = if unknown { Base::Unknown } else { Base::Inside };
                self.frames.push(Frame { base, bound });
            }
            self.template_body(body);
            if enters {
                self.frames.pop();
            }
        }
        if let Some(otherwise) = &call.inverse {
            self.template_body(otherwise);
        }
    }

    fn partial(&mut self, partial: &DecoratorTemplate, has_block: bool) {
        partial.params.iter().chain(partial.hash.values()).for_each(|parameter| self.parameter(parameter));
        let Some(name) = name_of(&partial.name).map(str::to_owned) else {
            return self
                .problem("a partial is named by its path", Some("for example {{> layout.html}}".to_owned()));
        };
        if !self.partials {
            return self.problem("partials cannot be included here", None);
        }
        if name == "@partial-block" {
            if self.given_block.last() != Some(&true) && partial.template.is_none() {
                let path = self.including.last().cloned().unwrap_or_default();
                let help = format!("include this template with {{{{#> {path}}}}}…{{{{/{path}}}}}");
                self.problem("there is no block to put here", Some(help));
            }
            if let Some(fallback) = &partial.template {
                self.template_body(fallback);
            }
            return;
        }
        if !self.sources.contains_key(&name) {
            let close = suggest::closest(&name, self.sources.keys().map(String::as_str));
            let close = close.map(|close| format!("did you mean {{{{> {close}}}}}?"));
            let help = close
                .unwrap_or_else(|| "a partial is named by its path under templates/, with extension".into());
            return self.problem(format!("there is no template `{name}`"), Some(help));
        }
        if let Some(start) = self.including.iter().position(|path| *path == name) {
            let cycle: Vec<&str> =
                self.including.iter().skip(start).map(String::as_str).chain([name.as_str()]).collect();
            let message = format!("`{name}` includes itself: {}", cycle.join(" → "));
            return self.problem(message, None);
        }
        self.includes += 1;
        if self.includes > MAX_INCLUDES {
            if self.includes == MAX_INCLUDES + 1 {
                self.problem(format!("more than {MAX_INCLUDES} partials are included in all"), None);
            }
            return;
        }
        let around = self.frames.last().map_or(Base::Root, |frame| frame.base);
        let base = if partial.params.is_empty() || around == Base::Unknown { around } else { Base::Inside };
        self.frames.push(Frame { base, bound: partial.hash.keys().cloned().collect() });
        if let Some(block) = &partial.template {
            self.template_body(block);
        }
        self.given_block.push(has_block);
        self.include(&name);
        self.given_block.pop();
        self.frames.pop();
    }

    fn path(&mut self, path: &Path) {
        // `@index` and the like belong to the blocks around.
        let Path::Relative((segments, raw)) = path else { return };
        let names: Vec<&str> = segments
            .iter()
            .filter_map(|segment| match segment {
                PathSeg::Named(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        self.named(raw, &names);
    }

    /// A path as written and the names in it.
    fn named(&mut self, raw: &str, names: &[&str]) {
        let from_root = raw.starts_with("@root");
        let ups = raw.matches("../").count();
        let index = self.frames.len().saturating_sub(1 + ups);
        let base = self.frames.get(index).map_or(Base::Root, |frame| frame.base);
        let names =
            if names.is_empty() && !matches!(raw, "" | "this" | "." | "@root") { &[raw] } else { names };
        let names = names.strip_prefix(&["this"]).unwrap_or(names);
        if !from_root && ups == 0 && names.first().is_some_and(|first| self.is_bound(first)) {
            return;
        }
        match (from_root || base == Base::Root, names) {
            (true, []) => self.read_contact(&[]),
            (true, [first, rest @ ..]) => self.root(first, rest),
            (false, [first @ "contact", ..]) if base == Base::Inside => {
                let help = format!("write @root.{}", names.join("."));
                self.problem(format!("inside of this block there is no `{first}`"), Some(help));
            }
            // In a partial looked at by itself, what begins with `contact` most likely is the contact.
            (false, ["contact", rest @ ..]) => self.read_contact(rest),
            (false, _) => {}
        }
    }

    fn is_bound(&self, name: &str) -> bool {
        self.frames.iter().any(|frame| frame.bound.iter().any(|bound| bound == name))
    }

    fn root(&mut self, first: &str, rest: &[&str]) {
        let fields: &[&str] = match first {
            "message" => &["subject", "topic"],
            "sender" => &["name", "email"],
            _ => &[],
        };
        if !self.roots.contains(&first) {
            let help = match suggest::closest(first, self.roots.iter().copied()) {
                Some(close) => format!("did you mean `{close}`?"),
                None if EMAIL_ROOTS.contains(&first) => "only `contact` is known here".to_owned(),
                None => format!("fields of the contact are written contact.{first}"),
            };
            return self.problem(format!("`{first}` is unknown"), Some(help));
        }
        if first == "contact" {
            return self.read_contact(rest);
        }
        if first == "input" {
            let Some(name) = rest.first() else {
                let help = "write for example input.product".to_owned();
                return self.problem("`input` has to be followed by a name", Some(help));
            };
            let used = self.used(name);
            self.reads.inputs.insert(used);
            return;
        }
        if let (false, Some(field)) = (fields.is_empty(), rest.first())
            && !fields.contains(field)
        {
            let help = format!(
                "there are {}",
                fields.iter().map(|field| format!("{first}.{field}")).collect::<Vec<_>>().join(" and ")
            );
            self.problem(format!("`{first}` has no `{field}`"), Some(help));
        }
    }

    /// A use at the place looked at.
    fn used(&self, name: &str) -> FieldUse {
        let (line, column) = self.position;
        let path = self.including.last().cloned().unwrap_or_default();
        FieldUse { path, line, column, name: name.to_owned(), kind: FieldKind::Attribute }
    }

    /// Notes that a field of the contact is read, or, without names, the contact as a whole.
    fn read_contact(&mut self, names: &[&str]) {
        let of = self.used("");
        let used = |field: &str, kind: FieldKind| FieldUse { name: field.to_owned(), kind, ..of.clone() };
        let Reads { needs, own, scores, consents, uses, .. } = &mut self.reads;
        own.extend(OWN.into_iter().filter(|name| names.first().is_none_or(|read| read == name)));
        match names {
            [] => {
                needs.all_attributes = true;
                needs.scores = true;
                needs.tags = true;
                needs.consents = true;
                needs.segments = true;
                needs.owner = true;
            }
            ["id" | "external_id" | "email" | "created_at", ..] => {}
            ["owner", ..] => needs.owner = true,
            ["tags", ..] => needs.tags = true,
            ["segments", ..] => needs.segments = true,
            ["scores", rest @ ..] => {
                needs.scores = true;
                scores.extend(rest.first().map(|name| (*name).to_owned()));
                uses.extend(rest.first().map(|name| used(name, FieldKind::Score)));
            }
            ["grades", rest @ ..] => {
                needs.scores = true;
                uses.extend(rest.first().map(|name| used(name, FieldKind::Grade)));
            }
            ["consent", rest @ ..] => {
                needs.consents = true;
                consents.extend(rest.first().map(|topic| (*topic).to_owned()));
                uses.extend(rest.first().map(|topic| used(topic, FieldKind::Topic)));
            }
            [attribute, ..] => {
                needs.attributes.insert((*attribute).to_owned());
                uses.insert(used(attribute, FieldKind::Attribute));
            }
        }
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn name_of(parameter: &Parameter) -> Option<&str> {
    parameter.as_name()
}

/// Parses the template at `path`.
fn parse(path: &str, source: &str) -> Result<Template, Problem> {
    scan::scan(path, source)?;
    Template::compile_with_name(source, path.to_owned()).map_err(|error| {
        let (line, column) = error.pos().unwrap_or((1, 1));
        let (message, help) = match error.reason() {
            TemplateErrorReason::MismatchingClosedHelper(open, close) => {
                (format!("`{open}` is still open at `{{{{/{close}}}}}`"), None)
            }
            TemplateErrorReason::NestedSubexpression | TemplateErrorReason::InvalidParam(_) => {
                ("an argument of the tag cannot be read".to_owned(), None)
            }
            _ => (
                "this is not Handlebars".to_owned(),
                Some(
                    "a tag is {{contact.first_name}}, {{helper argument}} or {{#if condition}}…{{/if}}"
                        .to_owned(),
                ),
            ),
        };
        Problem { path: path.to_owned(), message, line: number(line), column: number(column), help }
    })
}

/// A JSON value without the fields that are null, which for a template are missing.
pub(crate) fn without_nulls(value: &Json) -> Json {
    match value {
        Json::Object(fields) => Json::Object(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect(),
        ),
        Json::Array(values) => Json::Array(values.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}
