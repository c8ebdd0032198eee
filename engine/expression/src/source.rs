//! Where an expression's values come from.
//!
//! When an expression is compiled, each path in it (`contact.scores.fit`) and each constant that is dear to build (a
//! list, a date, a pattern) becomes one variable, named by its position in a table of [`Source`]s. Evaluating then
//! takes from a contact just what is asked for, without a map of the whole contact.

use std::collections::{BTreeSet, HashMap};

use cel::{
    common::{
        types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString},
        value::{CowVal, Val},
    },
    context::VariableResolver,
};
use dripline_model::{
    batch::ColumnType,
    contact::{Needs, PastEvent},
};
use serde_json::Value as Json;

use crate::{
    Subject,
    history::{History, Tally, Which},
    time,
    types::Type,
};

/// What one variable stands for.
#[derive(Debug)]
pub(crate) enum Source {
    /// A path from a root.
    Path(Path),
    /// Whether a path leads to a value; `true` in the second place turns the answer round.
    Has(Path, bool),
    /// The value at a path, or none.
    Optional(Path),
    /// Whether the contact has the tag.
    HasTag(String),
    /// Whether the contact is a member of the segment.
    InSegment(String),
    /// A number, or yes or no, about past events.
    Tally(History, Tally),
    /// A value that does not depend on the contact.
    Constant(Box<dyn Val>, Type),
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path {
    Contact,
    Id,
    ExternalId,
    Email,
    Owner,
    CreatedAt,
    Tags,
    Segments,
    Scores,
    Score(String),
    Grades,
    Grade(String),
    Consents,
    Consent(String),
    /// An attribute, and the way on inside of it.
    Attribute(Vec<String>),
    Event,
    EventName,
    EventAt,
    Properties,
    /// A property, and the way on inside of it.
    Property(Vec<String>),
    Now,
    /// With what the run was called, and its type.
    Input(String, ColumnType),
    /// A past event, and a field of it as of an event.
    Occurrence(Occurrence, Box<Self>),
}

/// What a path leads to, where it is one value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field<'v> {
    Boolean(bool),
    Whole(i64),
    Float(f64),
    Text(&'v str),
}

impl<'v> Field<'v> {
    fn of(value: &'v Json) -> Option<Self> {
        Some(match value {
            Json::Bool(yes) => Self::Boolean(*yes),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Self::Whole(whole),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::Text(text),
            Json::Null | Json::Array(_) | Json::Object(_) => return None,
        })
    }

    fn boxed(self) -> Box<dyn Val + 'v> {
        match self {
            Self::Boolean(yes) => boolean(yes),
            Self::Whole(whole) => number(whole),
            Self::Float(float) => Box::new(CelDouble::from(float)),
            Self::Text(string) => text(string),
        }
    }
}

/// The first or the last event of some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Occurrence {
    pub(crate) history: History,
    pub(crate) which: Which,
}

impl Occurrence {
    fn written(&self) -> String {
        let which = match self.which {
            Which::First => "first()",
            Which::Last => "last()",
        };
        format!("{}.{which}", self.history.written())
    }
}

impl Path {
    /// As an expression writes it.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::Contact => "contact".into(),
            Self::Id => "contact.id".into(),
            Self::ExternalId => "contact.external_id".into(),
            Self::Email => "contact.email".into(),
            Self::Owner => "contact.owner".into(),
            Self::CreatedAt => "contact.created_at".into(),
            Self::Tags => "contact.tags".into(),
            Self::Segments => "contact.segments".into(),
            Self::Scores => "contact.scores".into(),
            Self::Score(name) => format!("contact.scores.{name}"),
            Self::Grades => "contact.grades".into(),
            Self::Grade(name) => format!("contact.grades.{name}"),
            Self::Consents => "contact.consent".into(),
            Self::Consent(topic) => format!("contact.consent.{topic}"),
            Self::Attribute(path) => format!("contact.{}", path.join(".")),
            Self::Event => "event".into(),
            Self::EventName => "event.name".into(),
            Self::EventAt => "event.at".into(),
            Self::Properties => "event.properties".into(),
            Self::Property(path) => format!("event.properties.{}", path.join(".")),
            Self::Now => "now".into(),
            Self::Input(name, _) => format!("input.{name}"),
            Self::Occurrence(occurrence, field) => {
                let field = field.written();
                format!("{}{}", occurrence.written(), field.strip_prefix("event").unwrap_or_default())
            }
        }
    }

    /// Without the contact, of whom all messages are: `title`, `scores.fit`, `event.properties.plan`.
    pub(crate) fn short(&self) -> String {
        let written = self.written();
        written.strip_prefix("contact.").map(str::to_owned).unwrap_or(written)
    }

    pub(crate) fn gives(&self) -> Type {
        match self {
            Self::Id | Self::Score(_) => Type::Number,
            Self::ExternalId | Self::Email | Self::Owner | Self::EventName | Self::Grade(_) => Type::Text,
            Self::CreatedAt | Self::EventAt | Self::Now => Type::Timestamp,
            Self::Tags | Self::Segments => Type::List,
            Self::Contact | Self::Scores | Self::Grades | Self::Consents | Self::Event | Self::Properties => {
                Type::Map
            }
            Self::Consent(_) => Type::Boolean,
            Self::Attribute(_) | Self::Property(_) => Type::Json,
            Self::Input(_, column) => Type::of_column(*column),
            Self::Occurrence(_, field) => field.gives(),
        }
    }

    /// Adds what this path reads of a contact.
    fn need(&self, needs: &mut Needs) {
        match self {
            Self::Contact => {
                needs.all_attributes = true;
                needs.scores = true;
                needs.tags = true;
                needs.consents = true;
                needs.segments = true;
                needs.owner = true;
            }
            Self::Owner => needs.owner = true,
            Self::Tags => needs.tags = true,
            Self::Segments => needs.segments = true,
            Self::Scores | Self::Score(_) | Self::Grades | Self::Grade(_) => needs.scores = true,
            Self::Consents | Self::Consent(_) => needs.consents = true,
            Self::Attribute(path) => needs.attributes.extend(path.first().cloned()),
            Self::Occurrence(occurrence, field) => {
                let property = match field.as_ref() {
                    Self::Property(path) => path.first().map(String::as_str),
                    _ => None,
                };
                let all = matches!(field.as_ref(), Self::Event | Self::Properties);
                occurrence.history.need(needs, property, all);
            }
            _ => {}
        }
    }

    /// Whether there is a value: of a score or a consent, whether it was ever given; JSON's null is none.
    fn is_there(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Score(name) => subject.contact.scores.contains_key(name),
            Self::Consent(topic) => subject.contact.consents.contains_key(topic),
            _ => self.field(subject).is_some() || self.whole(subject).is_some(),
        }
    }

    /// The value, where it is a text, a number, or yes or no.
    fn field<'v>(&self, subject: &Subject<'v>) -> Option<Field<'v>> {
        let contact = subject.contact;
        Some(match self {
            Self::Id => Field::Whole(contact.id.0),
            Self::ExternalId => Field::Text(contact.external_id.as_deref()?),
            Self::Email => Field::Text(contact.email.as_deref()?),
            Self::Owner => Field::Text(contact.owner.as_deref()?),
            Self::Score(name) => Field::Whole(contact.score(name, subject.now)),
            Self::Consent(topic) => Field::Boolean(contact.consents.get(topic).copied().unwrap_or(false)),
            Self::Attribute(path) => Field::of(within(&contact.attributes, path)?)?,
            Self::EventName => Field::Text(&subject.event?.name),
            Self::Property(path) => Field::of(within(&subject.event?.properties, path)?)?,
            _ => return None,
        })
    }

    fn read<'v>(&self, subject: &Subject<'v>) -> Option<Box<dyn Val + 'v>> {
        self.field(subject).map(Field::boxed).or_else(|| self.whole(subject))
    }

    /// The value, where it is more than a [`Field`].
    fn whole<'v>(&self, subject: &Subject<'v>) -> Option<Box<dyn Val + 'v>> {
        let contact = subject.contact;
        Some(match self {
            Self::Contact => whole_contact(subject),
            Self::CreatedAt => Box::new(time::to_cel(contact.created_at)?),
            Self::Tags => list(&contact.tags),
            Self::Segments => list(&contact.segments),
            Self::Scores => map(contact
                .scores
                .keys()
                .map(|name| (name.as_str(), number(contact.score(name, subject.now))))),
            Self::Grades => map(contact.grades(subject.now).map(|(name, grade)| (name, text(grade)))),
            Self::Grade(name) => text(contact.grade(name, subject.now)?),
            Self::Consents => {
                map(contact.consents.iter().map(|(topic, given)| (topic.as_str(), boolean(*given))))
            }
            Self::Attribute(path) => json(within(&contact.attributes, path)?),
            Self::Event => {
                let event = subject.event?;
                whole_event(&event.name, event.at, &event.properties)
            }
            Self::EventAt => Box::new(time::to_cel(subject.event?.at)?),
            Self::Properties => object(&subject.event?.properties),
            Self::Property(path) => json(within(&subject.event?.properties, path)?),
            Self::Occurrence(occurrence, field) => {
                let event = occurrence.history.one(occurrence.which, subject)?;
                match field.as_ref() {
                    Self::EventName => Box::new(CelString::from(occurrence.history.name.clone())),
                    Self::EventAt => Box::new(time::to_cel(event.at)?),
                    Self::Properties => object(&event.properties),
                    Self::Property(path) => json(within(&event.properties, path)?),
                    _ => whole_past_event(&occurrence.history.name, event),
                }
            }
            Self::Now => Box::new(time::to_cel(subject.now)?),
            Self::Input(name, _) => json(contact.inputs.get(name).filter(|value| !value.is_null())?),
            Self::Id
            | Self::ExternalId
            | Self::Email
            | Self::Owner
            | Self::Score(_)
            | Self::Consent(_)
            | Self::EventName => return None,
        })
    }
}

impl Source {
    pub(crate) fn gives(&self) -> Type {
        match self {
            Self::Path(path) => path.gives(),
            Self::Has(..) | Self::HasTag(_) | Self::InSegment(_) => Type::Boolean,
            Self::Optional(_) => Type::Optional,
            Self::Tally(_, tally) => tally.gives(),
            Self::Constant(_, gives) => *gives,
        }
    }

    /// The value for `subject`, where it is a text, a number, or yes or no.
    pub(crate) fn field<'v>(&self, subject: &Subject<'v>) -> Option<Field<'v>> {
        Some(match self {
            Self::Path(path) => path.field(subject)?,
            Self::Has(path, negated) => Field::Boolean(path.is_there(subject) != *negated),
            Self::HasTag(tag) => Field::Boolean(subject.contact.tags.contains(tag)),
            Self::InSegment(name) => Field::Boolean(subject.contact.segments.contains(name)),
            Self::Optional(_) | Self::Tally(..) | Self::Constant(..) => return None,
        })
    }

    /// Adds what this source reads of a contact.
    pub(crate) fn need(&self, needs: &mut Needs) {
        match self {
            Self::Path(path) | Self::Has(path, _) | Self::Optional(path) => path.need(needs),
            Self::HasTag(_) => needs.tags = true,
            Self::InSegment(_) => needs.segments = true,
            Self::Tally(history, tally) => history.need(needs, tally.property(), false),
            Self::Constant(..) => {}
        }
    }

    pub(crate) fn reads_now(&self) -> bool {
        match self {
            Self::Path(path) | Self::Has(path, _) | Self::Optional(path) => match path {
                Path::Now => true,
                Path::Occurrence(occurrence, _) => occurrence.history.within.is_some(),
                _ => false,
            },
            // Events leave the window.
            Self::Tally(history, _) => history.within.is_some(),
            _ => false,
        }
    }

    /// Why the subject has no value here.
    pub(crate) fn missing(&self) -> String {
        match self {
            Self::Path(path @ (Path::Event | Path::EventName | Path::EventAt | Path::Properties)) => {
                format!("there is no event, and so no `{}`", path.written())
            }
            Self::Path(Path::Property(path)) => format!("event has no property `{}`", path.join(".")),
            Self::Path(Path::Occurrence(occurrence, field)) => match field.as_ref() {
                Path::Property(path) => {
                    format!("`{}` has no property `{}`", occurrence.written(), path.join("."))
                }
                _ => format!("there is no `{}`", occurrence.written()),
            },
            Self::Path(Path::Input(name, _)) => format!("there is no input `{name}`"),
            Self::Path(path) => format!("contact has no `{}`", path.short()),
            Self::Tally(history, tally) => {
                format!("there is no number for `{}.{}`", history.written(), tally.written())
            }
            _ => "a value is missing".to_owned(),
        }
    }

    /// What of the contact it is, as an expression writes it.
    pub(crate) fn written(&self) -> Option<String> {
        Some(match self {
            Self::Path(path) | Self::Optional(path) => path.written(),
            Self::Has(path, false) => format!("has({})", path.written()),
            Self::Has(path, true) => format!("{} == null", path.written()),
            Self::HasTag(tag) => format!("\"{tag}\" in contact.tags"),
            Self::InSegment(name) => format!("\"{name}\" in contact.segments"),
            Self::Tally(history, tally) => format!("{}.{}", history.written(), tally.written()),
            Self::Constant(..) => return None,
        })
    }

    /// What to call the value in a message, if it comes from a path.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Path(path) => Some(path.short()),
            Self::Tally(history, tally) => Some(format!("{}.{}", history.written(), tally.written())),
            _ => None,
        }
    }
}

/// The name of the variable at `index` of the table; no name in a source starts with `@`.
pub(crate) fn variable(index: usize) -> String {
    format!("@{index}")
}

/// Where in the table a variable of this name stands.
pub(crate) fn named_at(variable: &str) -> Option<usize> {
    variable.strip_prefix('@')?.parse().ok()
}

/// The source that a variable of this name stands for.
pub(crate) fn named<'s>(sources: &'s [Source], variable: &str) -> Option<&'s Source> {
    sources.get(named_at(variable)?)
}

/// Answers the interpreter's questions for variables.
pub(crate) struct Resolver<'a> {
    pub(crate) sources: &'a [Source],
    pub(crate) subject: &'a Subject<'a>,
}

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let subject = self.subject;
        Some(CowVal::Owned(match named(self.sources, variable)? {
            Source::Path(path) => path.read(subject)?,
            Source::Optional(path) => {
                Box::new(path.read(subject).map_or_else(CelOptional::none, CelOptional::of))
            }
            source @ (Source::Has(..) | Source::HasTag(_) | Source::InSegment(_)) => {
                source.field(subject)?.boxed()
            }
            Source::Tally(history, tally) => tally.of(history.events(subject))?,
            Source::Constant(value, _) => return Some(CowVal::Borrowed(value.as_ref())),
        }))
    }
}

fn within<'a>(fields: &'a serde_json::Map<String, Json>, path: &[String]) -> Option<&'a Json> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(fields.get(first)?, |value, name| value.get(name)).filter(|value| !value.is_null())
}

fn text<'v>(text: &'v str) -> Box<dyn Val + 'v> {
    Box::new(CelString::from(text))
}

fn number<'v>(number: i64) -> Box<dyn Val + 'v> {
    Box::new(CelInt::from(number))
}

fn boolean<'v>(yes: bool) -> Box<dyn Val + 'v> {
    Box::new(CelBool::from(yes))
}

fn list(names: &BTreeSet<String>) -> Box<dyn Val + '_> {
    Box::new(CelList::from(names.iter().map(|name| text(name)).collect::<Vec<_>>()))
}

fn map<'v>(entries: impl Iterator<Item = (&'v str, Box<dyn Val + 'v>)>) -> Box<dyn Val + 'v> {
    let entries: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> =
        entries.map(|(name, value)| (CelMapKey::from(name), value)).collect();
    Box::new(CelMap::from(entries))
}

/// Fields that are null are left out: for an expression they are missing.
fn object(fields: &serde_json::Map<String, Json>) -> Box<dyn Val + '_> {
    map(fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.as_str(), json(value))))
}

fn json(value: &Json) -> Box<dyn Val + '_> {
    match value {
        Json::Array(values) => Box::new(CelList::from(values.iter().map(json).collect::<Vec<_>>())),
        Json::Object(fields) => object(fields),
        value => Field::of(value).map_or_else(|| Box::new(CelNull) as _, Field::boxed),
    }
}

fn whole_contact<'v>(subject: &Subject<'v>) -> Box<dyn Val + 'v> {
    let fields = [
        ("id", Path::Id),
        ("external_id", Path::ExternalId),
        ("email", Path::Email),
        ("owner", Path::Owner),
        ("created_at", Path::CreatedAt),
        ("tags", Path::Tags),
        ("segments", Path::Segments),
        ("scores", Path::Scores),
        ("grades", Path::Grades),
        ("consent", Path::Consents),
    ];
    let attributes = subject.contact.attributes.iter().filter(|(_, value)| !value.is_null());
    let entries: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = attributes
        .map(|(name, value)| (CelMapKey::from(name.as_str()), json(value)))
        .chain(
            fields.into_iter().filter_map(|(name, path)| Some((CelMapKey::from(name), path.read(subject)?))),
        )
        .collect();
    Box::new(CelMap::from(entries))
}

fn whole_event<'v>(
    name: &'v str,
    at: jiff::Timestamp,
    properties: &'v serde_json::Map<String, Json>,
) -> Box<dyn Val + 'v> {
    event_map(text(name), at, properties)
}

/// Its name is not the contact's but the expression's, so that it is copied.
fn whole_past_event<'v>(name: &str, event: &'v PastEvent) -> Box<dyn Val + 'v> {
    event_map(Box::new(CelString::from(name.to_owned())), event.at, &event.properties)
}

fn event_map<'v>(
    name: Box<dyn Val + 'v>,
    at: jiff::Timestamp,
    properties: &'v serde_json::Map<String, Json>,
) -> Box<dyn Val + 'v> {
    let at = time::to_cel(at).map(|at| (CelMapKey::from("at"), Box::new(at) as Box<dyn Val>));
    let entries: HashMap<CelMapKey<'_>, Box<dyn Val + '_>> =
        [(CelMapKey::from("name"), name), (CelMapKey::from("properties"), object(properties))]
            .into_iter()
            .chain(at)
            .collect();
    Box::new(CelMap::from(entries))
}
