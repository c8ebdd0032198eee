//! Compiled templates and their rendering.

use std::{collections::BTreeMap, sync::Arc};

use dripline_model::{Contact, contact::Needs};
use handlebars::{Context, Handlebars, RenderErrorReason, html_escape, no_escape};
use serde_json::{Map, Value as Json, json};

use crate::{
    FieldUse, Problem, RenderError,
    check::{Reached, Reads, Walker, without_nulls},
    helpers, sources,
};

/// A text that is written in a workflow, such as a subject; clones share it. It sees `contact` and
/// `input` alone.
#[derive(Debug, Clone)]
pub struct Inline(Arc<Compiled>);

/// An email's templates, compiled; clones share them.
#[derive(Debug, Clone)]
pub struct Email(Arc<CompiledEmail>);

#[derive(Debug)]
struct Compiled {
    registry: Handlebars<'static>,
    reads: Reads,
}

#[derive(Debug)]
struct CompiledEmail {
    html: Option<(String, Handlebars<'static>)>,
    text: Option<(String, Handlebars<'static>)>,
    reads: Reads,
}

/// What an email's templates see.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// `contact`
    pub contact: &'a Contact,
    /// `message.subject`
    pub subject: &'a str,
    /// `message.topic`
    pub topic: Option<&'a str>,
    /// `sender.name`
    pub sender_name: &'a str,
    /// `sender.email`
    pub sender_email: &'a str,
    /// `unsubscribe_url`
    pub unsubscribe_url: &'a str,
}

/// An email's rendered parts; at least one is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The HTML part.
    pub html: Option<String>,
    /// The text part.
    pub text: Option<String>,
}

/// The name of an inline template in its registry, and in problems.
const INLINE: &str = "";

impl Inline {
    /// Compiles `source`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn compile(source: &str) -> Result<Self, Problem> {
        let sources = BTreeMap::from([(INLINE.to_owned(), source.to_owned())]);
        let mut walker = Walker::inline(&sources);
        walker.render(INLINE);
        let Reached { templates, reads } = walker.finish().map_err(|problems| {
            problems.into_iter().next().unwrap_or_else(|| Problem {
                path: INLINE.to_owned(),
                message: "this is not a template".to_owned(),
                line: 1,
                column: 1,
                help: None,
            })
        })?;
        let mut registry = helpers::registry(no_escape);
        templates.iter().for_each(|(path, template)| registry.register_template(path, (**template).clone()));
        Ok(Self(Arc::new(Compiled { registry, reads })))
    }

    /// Which parts of the contact it reads.
    pub fn needs(&self) -> &Needs {
        &self.0.reads.needs
    }

    /// The attributes and topics that it reads.
    pub fn uses(&self) -> impl Iterator<Item = &FieldUse> {
        self.0.reads.uses.iter()
    }

    /// Where it reads with what the run was called.
    pub fn inputs(&self) -> impl Iterator<Item = &FieldUse> {
        self.0.reads.inputs.iter()
    }

    /// The text for `contact`, on one line: line breaks and tabs become spaces, and other control characters are left
    /// out, so that no value can begin a header of its own.
    ///
    /// # Errors
    /// A field that the contact lacks, or a value that a helper cannot take.
    pub fn render(&self, contact: &Contact) -> Result<String, RenderError> {
        let context = Context::from(
            json!({ "contact": contact_json(contact, &self.0.reads), "input": contact.inputs }),
        );
        let text = self.0.registry.render_with_context(INLINE, &context).map_err(failure)?;
        let breaks = |c: char| c.is_whitespace() || matches!(c, '\u{2028}' | '\u{2029}');
        let line: String =
            text.chars().map(|c| if breaks(c) { ' ' } else { c }).filter(|c| !c.is_control()).collect();
        Ok(line.trim().to_owned())
    }
}

impl Email {
    /// Compiles the email `name` (`trial/welcome`) from `sources`, by path, which hold all that it includes.
    ///
    /// # Errors
    /// Everything that is wrong with it and what it includes.
    pub fn compile(name: &str, sources: &BTreeMap<String, String>) -> Result<Self, Vec<Problem>> {
        let Reached { templates, reads } = sources::prepare(name, sources)?.finish()?;
        let part = |path: String, escape: fn(&str) -> String| {
            templates.contains_key(&path).then(|| {
                let mut registry = helpers::registry(escape);
                templates
                    .iter()
                    .for_each(|(path, template)| registry.register_template(path, (**template).clone()));
                (path, registry)
            })
        };
        let [html, text] = sources::parts(name);
        Ok(Self(Arc::new(CompiledEmail {
            html: part(html, html_escape),
            text: part(text, no_escape),
            reads,
        })))
    }

    /// Which parts of the contact it reads.
    pub fn needs(&self) -> &Needs {
        &self.0.reads.needs
    }

    /// The attributes and topics that it and what it includes read, in the order of their places.
    pub fn uses(&self) -> impl Iterator<Item = &FieldUse> {
        self.0.reads.uses.iter()
    }

    /// Where it and what it includes read with what the run was called.
    pub fn inputs(&self) -> impl Iterator<Item = &FieldUse> {
        self.0.reads.inputs.iter()
    }

    /// The email for `view`.
    ///
    /// # Errors
    /// A field that the contact lacks, or a value that a helper cannot take.
    pub fn render(&self, view: &View<'_>) -> Result<Rendered, RenderError> {
        let mut message = Map::from_iter([("subject".to_owned(), Json::from(view.subject))]);
        message.extend(view.topic.map(|topic| ("topic".to_owned(), Json::from(topic))));
        let context = Context::from(json!({
            "contact": contact_json(view.contact, &self.0.reads),
            "input": view.contact.inputs,
            "message": message,
            "sender": { "name": view.sender_name, "email": view.sender_email },
            "unsubscribe_url": view.unsubscribe_url,
        }));
        let render = |part: &Option<(String, Handlebars<'static>)>| {
            let Some((path, registry)) = part else { return Ok(None) };
            registry.render_with_context(path, &context).map(Some).map_err(failure)
        };
        Ok(Rendered { html: render(&self.0.html)?, text: render(&self.0.text)? })
    }
}

/// What templates see of a contact: of the wide parts, what they read.
fn contact_json(contact: &Contact, reads: &Reads) -> Json {
    let needs = &reads.needs;
    let mut fields = Map::new();
    if needs.all_attributes {
        let present = contact.attributes.iter().filter(|(_, value)| !value.is_null());
        fields.extend(present.map(|(name, value)| (name.clone(), without_nulls(value))));
    } else {
        let present = needs.attributes.iter().filter_map(|name| Some((name, contact.attributes.get(name)?)));
        let present = present.filter(|(_, value)| !value.is_null());
        fields.extend(present.map(|(name, value)| (name.clone(), without_nulls(value))));
    }
    let mut set = |name: &str, value: Json| _ = fields.insert(name.to_owned(), value);
    for name in &reads.own {
        let text = |text: &Option<String>| text.as_deref().map(Json::from);
        let value = match *name {
            "id" => Some(contact.id.0.into()),
            "external_id" => text(&contact.external_id),
            "email" => text(&contact.email),
            "owner" => text(&contact.owner),
            "created_at" => Some(contact.created_at.to_string().into()),
            _ => None,
        };
        if let Some(value) = value {
            set(name, value);
        }
    }
    if needs.tags {
        set("tags", contact.tags.iter().map(String::as_str).collect());
    }
    if needs.segments {
        set("segments", contact.segments.iter().map(String::as_str).collect());
    }
    if needs.scores {
        let given = contact.scores.iter().map(|(name, points)| (name.clone(), Json::from(*points)));
        let asked = reads.scores.iter().map(|name| (name.clone(), Json::from(0)));
        set("scores", Json::Object(asked.chain(given).collect()));
        let names = contact.graded.iter().flat_map(|scores| scores.iter());
        let grades = names.filter_map(|(name, score)| {
            let value = contact.scores.get(name).copied().unwrap_or(0);
            Some((name.to_owned(), Json::from(score.grade(value)?)))
        });
        set("grades", Json::Object(grades.collect()));
    }
    if needs.consents {
        let given = contact.consents.iter().map(|(topic, given)| (topic.clone(), Json::from(*given)));
        let asked = reads.consents.iter().map(|topic| (topic.clone(), Json::from(false)));
        set("consent", Json::Object(asked.chain(given).collect()));
    }
    Json::Object(fields)
}

/// An error of the renderer in a marketer's words.
fn failure(error: handlebars::RenderError) -> RenderError {
    let (message, help) = match error.reason() {
        RenderErrorReason::MissingVariable(Some(path)) => {
            let path =
                path.trim_start_matches("../").trim_start_matches("@root.").trim_start_matches("this.");
            let message = match path.strip_prefix("contact.") {
                Some(field) => format!("contact has no `{field}`"),
                None if path.starts_with("input.") => {
                    format!("the run was called without `{}`", path.trim_start_matches("input."))
                }
                None => format!("there is no `{path}`"),
            };
            (message, Some(format!("give a default: {{{{default {path} \"there\"}}}}")))
        }
        RenderErrorReason::MissingVariable(None) => ("a value is missing".to_owned(), None),
        reason => (reason.to_string(), None),
    };
    let number = |n: Option<usize>| n.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    RenderError {
        template: error.template_name.clone().unwrap_or_default(),
        line: number(error.line_no),
        column: number(error.column_no),
        message,
        help,
    }
}
