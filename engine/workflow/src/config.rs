//! A plugin step's configuration: fitted to the plugin's schema, its marked fields compiled and replaced.

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{
    Digest,
    batch::ColumnType,
    contact::CHANNEL_EMAIL,
    manifest::{StateScope, mark},
    program::{ColumnSource, NodeIndex, PluginStep, ValueSource},
};
use dripline_template::{Email, FieldUse, Inline};
use jiff::tz::Offset;
use serde_json::Value;

use crate::{
    Code, Diagnostic, Environment, PluginInfo, Severity, Source, holidays,
    marks::{self, Mark, Marked},
    scalar, schema,
    source::{Report, at_line},
    templates::{self, Unknown},
    yaml::{self, Entry, Kind, Node},
};

/// A step's configuration as the plugin sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginConfig {
    /// The plugin's name.
    pub plugin: String,
    /// The step.
    pub node: NodeIndex,
    /// The configuration, marked fields replaced; teams are still keys.
    pub config: Value,
    /// JSON pointer to the configuration in the file: `/steps/0/score`.
    pub path: String,
}

/// A complaint of the plugin itself about `config`, at the place in the file that `pointer` (a JSON pointer into the
/// configuration) names. Where nothing stands there, the nearest place above it is marked.
pub fn plugin_problem(
    source: &Source,
    config: &PluginConfig,
    pointer: &str,
    message: &str,
    help: Option<&str>,
) -> Diagnostic {
    let tree = yaml::parse(source, &mut Report::new(source));
    let mut report = Report::new(source);
    let span = tree.as_ref().map(|tree| {
        let (step, key) = tree.at(&config.path);
        let (value, _) = step.at(pointer);
        // A complaint about all of it points at the verb.
        key.filter(|_| std::ptr::eq(step, value) && matches!(step.kind, Kind::Mapping(_)))
            .unwrap_or(&value.span)
            .clone()
    });
    let diagnostic =
        report.error(Code::PluginCheck, &span.unwrap_or(0..0), format!("{}: {message}", config.plugin));
    diagnostic.help = help.map(str::to_owned);
    diagnostic.clone()
}

/// The field whose values are the zones in which contacts live.
const TIME_ZONE: &str = "contact.time_zone";

/// The plugin step to prepare.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The verb and its configuration.
    pub(crate) verb: &'a Entry,
    pub(crate) info: &'a PluginInfo,
    pub(crate) node: NodeIndex,
    /// `WORKFLOW/STEP`
    pub(crate) state_cell: String,
    /// JSON pointer to the configuration in the file.
    pub(crate) pointer: String,
}

/// What is gathered over all plugin steps of a file.
#[derive(Debug, Default)]
pub(crate) struct Configs {
    /// Every template that is sent.
    pub(crate) templates: BTreeMap<String, Digest>,
    /// The configurations in which no error was found.
    pub(crate) checked: Vec<PluginConfig>,
    validators: BTreeMap<String, Option<jsonschema::Validator>>,
    /// Email templates that were looked at.
    emails: BTreeMap<String, bool>,
    /// The fields in them that were looked at.
    read: BTreeSet<FieldUse>,
}

impl Configs {
    /// Prepares a step; none if anything is wrong with it.
    pub(crate) fn prepare(
        &mut self,
        place: &Place<'_>,
        environment: &Environment<'_>,
        report: &mut Report<'_>,
    ) -> Option<PluginStep> {
        let errors_before = report.errors();
        let Place { verb, info, .. } = place;
        let manifest = &info.manifest;
        let schema = &manifest.config_schema;
        granted(place, report);
        let shorthand = schema.get(mark::SHORTHAND).and_then(Value::as_str);
        let mut config = match (&verb.value.kind, shorthand) {
            _ if verb.value.is_null() => Value::Object(serde_json::Map::new()),
            (Kind::Scalar(..), Some(field)) => {
                Value::Object([(field.to_owned(), verb.value.value())].into_iter().collect())
            }
            _ => verb.value.value(),
        };
        let mut marked = marks::find(schema, &config);
        // In the order of the file.
        marked.sort_by_key(|marked| verb.value.at(&marked.pointer).0.span.start);
        for marked in marked.iter().filter(|marked| matches!(marked.mark, Mark::Cel(_) | Mark::Duration)) {
            // `if: true` is an expression, although YAML says that it is none.
            if let Some(value) = config.pointer_mut(&marked.pointer)
                && matches!(value, Value::Bool(_) | Value::Number(_))
            {
                let (node, _) = verb.value.at(&marked.pointer);
                *value = Value::String(node.scalar().unwrap_or_default().to_owned());
            }
        }
        self.fit(place, &config, report);
        let mut columns: Vec<ColumnSource> = manifest
            .reads
            .iter()
            .map(|read| ColumnSource {
                name: read.field.clone(),
                column: read.column,
                value: match read.field.as_str() {
                    TIME_ZONE => ValueSource::Zone,
                    field => ValueSource::Cel(field.to_owned()),
                },
            })
            .collect();
        let mut teams = Vec::new();
        for Marked { pointer, mark } in marked {
            let Some(Value::String(text)) = config.pointer(&pointer) else { continue };
            let text = text.clone();
            let (node, _) = verb.value.at(&pointer);
            let column = match mark {
                Mark::Cel(result) => {
                    let scope = environment.scope();
                    report
                        .read_cel(node, "this", result, &scope)
                        .map(|source| (result, ValueSource::Cel(source)))
                }
                Mark::Template => template(&text, node, environment, report)
                    .map(|()| (ColumnType::Text, ValueSource::Template(text))),
                Mark::Member => {
                    segment(&text, node, environment, report);
                    Some((ColumnType::Boolean, ValueSource::Member(text)))
                }
                Mark::Holidays => holidays::of_step(&text, node, environment, report)
                    .map(|holidays| (ColumnType::Text, ValueSource::Holidays(holidays))),
                Mark::Team => {
                    team(&text, node, environment, report);
                    teams.push(pointer);
                    continue;
                }
                Mark::EmailTemplate => {
                    self.email(&text, node, environment, report);
                    continue;
                }
                Mark::Duration => {
                    report.read_duration(node, "this");
                    continue;
                }
                Mark::TimeZone => {
                    if let Err(message) = crate::schedule::zone(&text) {
                        report
                            .error(Code::TimeZone, &node.span, message)
                            .help("write an IANA name such as Europe/Berlin or UTC");
                    }
                    continue;
                }
                Mark::Topic => {
                    topic(&text, node, environment, report);
                    continue;
                }
                Mark::Score => {
                    score(&text, node, environment, report);
                    continue;
                }
                Mark::LocalTime => {
                    passed(&text, node, environment, report);
                    continue;
                }
                Mark::Segment => {
                    has_no_rule(&text, node, environment, report);
                    segment(&text, node, environment, report);
                    continue;
                }
                Mark::Unknown(kind) => {
                    report
                        .error(Code::PluginSchema, &verb.key_span, format!("`{}` marks a field as `{kind}`, which this version of Dripline does not know", verb.key))
                        .help("use the Dripline that the plugin was made for, or an older version of the plugin");
                    continue;
                }
            };
            if let Some((column, value)) = column {
                if let Some(slot) = config.pointer_mut(&pointer) {
                    *slot = Value::from(columns.len());
                }
                columns.push(ColumnSource { name: pointer, column, value });
            }
        }
        if report.errors() > errors_before {
            return None;
        }
        put_time_zones(schema, &mut config, environment.default_time_zone);
        let state_key = match &manifest.state {
            StateScope::None => None,
            StateScope::Step => Some(place.state_cell.clone()),
            StateScope::Field(field) => Some(match config.get(field) {
                Some(Value::String(text)) => format!("{field}={text}"),
                Some(value) => format!("{field}={value}"),
                None => format!("{field}="),
            }),
        };
        self.checked.push(PluginConfig {
            plugin: manifest.name.clone(),
            node: place.node,
            config: config.clone(),
            path: place.pointer.clone(),
        });
        Some(PluginStep {
            plugin: manifest.name.clone(),
            digest: info.digest.clone(),
            config,
            teams,
            columns,
            state_key,
            paths: BTreeMap::new(),
        })
    }

    /// Checks the configuration against the plugin's schema.
    fn fit(&mut self, place: &Place<'_>, config: &Value, report: &mut Report<'_>) {
        let Place { verb, info, .. } = place;
        let schema = &info.manifest.config_schema;
        let validator = self
            .validators
            .entry(verb.key.clone())
            .or_insert_with(|| jsonschema::draft202012::new(schema).ok());
        match validator {
            Some(validator) => schema::complain(validator, schema, config, verb, report),
            None => {
                report
                    .error(
                        Code::PluginSchema,
                        &verb.key_span,
                        format!("the configuration schema of `{}` is broken", verb.key),
                    )
                    .help("this is a mistake in the plugin; tell its author, or use another version");
            }
        }
    }

    /// Checks what an email's templates read of contacts.
    fn email_fields(&mut self, email: &Email, environment: &Environment<'_>, report: &mut Report<'_>) {
        for used in email.inputs().filter(|used| !environment.has_input(&used.name)) {
            let text = environment.templates.get(&used.path).unwrap_or_default().to_owned();
            let file = Source { path: format!("templates/{}", used.path), text };
            let placed = at_line(Code::UnknownInput, &file, used.line, used.column);
            report.elsewhere(Diagnostic {
                severity: Severity::Error,
                message: format!("the workflow has no input `{}`", used.name),
                help: Some(environment.input_help(&used.name)),
                ..placed
            });
        }
        let Some(fields) = environment.attributes else { return };
        for used in email.uses() {
            // Two emails include the same layout.
            if !self.read.insert(used.clone()) {
                continue;
            }
            let Some(unknown) = Unknown::find(fields, used) else { continue };
            let text = environment.templates.get(&used.path).unwrap_or_default().to_owned();
            let file = Source { path: format!("templates/{}", used.path), text };
            let (line, column, length) = templates::written(&file.text, used);
            let placed = at_line(unknown.code(), &file, line, column);
            report.elsewhere(Diagnostic {
                length,
                severity: unknown.severity(),
                message: unknown.message(used),
                help: Some(unknown.help(used)),
                ..placed
            });
        }
    }

    /// Checks an email template and takes its files into the program.
    fn email(&mut self, name: &str, node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) {
        let names = environment.templates.email_names();
        if !names.contains(name) {
            let diagnostic =
                report.error(Code::NoTemplate, &node.span, format!("there is no email template `{name}`"));
            let bare = name.strip_suffix(".html").or_else(|| name.strip_suffix(".txt"));
            match bare.filter(|bare| names.contains(*bare)) {
                Some(bare) => diagnostic.help(format!("leave the ending off: `{bare}`")),
                None => match dripline_model::suggest::closest(name, names.iter().map(String::as_str)) {
                    Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                    None => diagnostic
                        .help(format!("write templates/{name}.html, or templates/{name}.txt, or both")),
                },
            };
            return;
        }
        // Complain of a template once, however many steps send it.
        if self.emails.contains_key(name) {
            if self.emails.get(name) == Some(&false) {
                report.error(
                    Code::TemplateFile,
                    &node.span,
                    format!("the email template `{name}` has errors"),
                );
            }
            return;
        }
        let closure = environment.templates.closure(name);
        self.emails.insert(name.to_owned(), closure.is_ok());
        match closure {
            Ok(files) => {
                if let Ok(email) = Email::compile(name, &files) {
                    self.email_fields(&email, environment, report);
                }
                let digests = files.into_iter().map(|(path, source)| (path, Digest::of(source.as_bytes())));
                self.templates.extend(digests);
            }
            Err(problems) => {
                for problem in problems {
                    let text = environment.templates.get(&problem.path).unwrap_or_default().to_owned();
                    let file = Source { path: format!("templates/{}", problem.path), text };
                    let placed = at_line(Code::TemplateFile, &file, problem.line, problem.column);
                    report.elsewhere(Diagnostic {
                        message: problem.message,
                        help: problem.help,
                        severity: Severity::Error,
                        ..placed
                    });
                }
            }
        }
    }
}

/// Puts the workspace's time zone where the configuration could name one and does not.
fn put_time_zones(schema: &Value, config: &mut Value, zone: &str) {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let marked = properties.filter(|(_, field)| marks::is_time_zone(field));
    if let Value::Object(config) = config {
        for (name, _) in marked {
            config.entry(name.as_str()).or_insert_with(|| Value::from(zone));
        }
    }
}

/// Complains where the operator has not granted what the plugin needs.
fn granted(place: &Place<'_>, report: &mut Report<'_>) {
    let Place { verb, info, .. } = place;
    let reads = info.manifest.reads.iter().map(|read| read.field.as_str());
    let reads = reads
        .filter(|field| !info.grant.reads.iter().any(|granted| granted == field))
        .map(|field| format!("read `{field}`"));
    let effects = info.manifest.effects.iter().map(|request| request.kind);
    let effects = effects
        .filter(|kind| !info.grant.effects.contains(kind))
        .map(|kind| format!("cause `{}`", kind.name()));
    let missing: Vec<String> = reads.chain(effects).collect();
    if !missing.is_empty() {
        report
            .error(
                Code::NotGranted,
                &verb.key_span,
                format!("`{}` needs to {}, and that is not granted", verb.key, missing.join(" and ")),
            )
            .help("an operator can allow it: dripline plugin add FILE --grant all");
    }
}

/// Complains of a segment that a step fills although its rule decides.
fn has_no_rule(name: &str, node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) {
    if environment.dynamic_segments.contains(name) {
        let message = format!("who is in `{name}` is decided by its rule alone");
        report
            .error(Code::SegmentIsDynamic, &node.span, message)
            .help("set what the rule looks at, or use a segment without a rule");
    }
}

fn team(key: &str, node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) {
    if !environment.teams.contains(key) {
        let diagnostic = report.error(Code::NoTeam, &node.span, format!("there is no team `{key}`"));
        if environment.teams.is_empty() {
            diagnostic.help("teams are written in teams.yaml, which has none");
        } else {
            diagnostic.suggest(key, environment.teams.iter().map(String::as_str));
        }
    }
}

/// Complains of a score that is not declared, where scores are.
fn score(name: &str, node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) {
    let Some(scores) = environment.attributes.and_then(|known| known.scores()) else { return };
    if scores.get(name).is_none() {
        let message = format!("there is no score `{name}`");
        let diagnostic = report.error(Code::PointsForNoScore, &node.span, message);
        match dripline_model::suggest::closest(name, scores.names()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("declare the score `{name}` in scores.yaml")),
        };
    }
}

fn topic(name: &str, node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) {
    let Some(topics) = environment.attributes.and_then(|fields| fields.topics()) else { return };
    if name != CHANNEL_EMAIL && !topics.contains(name) {
        report
            .error(Code::NoTopic, &node.span, format!("there is no topic `{name}` to consent to"))
            .help(format!("declare the topic `{name}` in fields.yaml"))
            .suggest(name, topics.iter().map(String::as_str));
    }
}

/// Warns of a segment that nobody is put into.
pub(crate) fn segment(name: &str, node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) {
    let Some(segments) = environment.attributes.and_then(|fields| fields.segments()) else { return };
    if !segments.contains(name) {
        let diagnostic = report.warning(
            Code::NoSegment,
            &node.span,
            format!("nothing puts contacts into a segment `{name}`"),
        );
        if let Some(near) = dripline_model::suggest::closest(name, segments.iter().map(String::as_str)) {
            diagnostic.help(format!("did you mean `{near}`?"));
        }
    }
}

/// Warns of a date and time that has passed wherever a contact may be.
fn passed(text: &str, node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) {
    let (Some(now), Ok(written)) = (environment.now, text.parse::<jiff::civil::DateTime>()) else { return };
    // The last place on Earth to reach a date is UTC-12.
    let last = Offset::constant(-12).to_timestamp(written);
    if last.is_ok_and(|last| last < now) {
        report
            .warning(Code::PastDate, &node.span, format!("{text} has passed: nobody waits here"))
            .help("name a later date, or remove the step");
    }
}

fn template(text: &str, node: &Node, environment: &Environment<'_>, report: &mut Report<'_>) -> Option<()> {
    let place = |report: &Report<'_>, line: u32, column: u32, length: Option<usize>| {
        let start = templates::offset(text, line, column);
        // A tag as a whole, else one character.
        let behind = text.get(start..).unwrap_or_default();
        let tag = behind.find("}}").filter(|_| behind.starts_with("{{")).map(|end| end + 2);
        let length = length.or(tag).or_else(|| behind.chars().next().map(char::len_utf8)).unwrap_or(0);
        scalar::place(report.text(), node, &(start..start + length))
    };
    match Inline::compile(text) {
        Ok(inline) => {
            if let Some(used) = inline.inputs().find(|used| !environment.has_input(&used.name)) {
                let place = place(report, used.line, used.column, None);
                let message = format!("the workflow has no input `{}`", used.name);
                report.error(Code::UnknownInput, &place, message).help(environment.input_help(&used.name));
                return None;
            }
            let Some(fields) = environment.attributes else { return Some(()) };
            let mut usable = true;
            for used in inline.uses() {
                let Some(unknown) = Unknown::find(fields, used) else { continue };
                let (line, column, length) = templates::written(text, used);
                let place = place(report, line, column, Some(length as usize).filter(|length| *length > 1));
                let diagnostic = match unknown.severity() {
                    Severity::Error => report.error(unknown.code(), &place, unknown.message(used)),
                    Severity::Warning => report.warning(unknown.code(), &place, unknown.message(used)),
                };
                diagnostic.help(unknown.help(used));
                usable &= unknown.severity() == Severity::Warning;
            }
            usable.then_some(())
        }
        Err(problem) => {
            let place = place(report, problem.line, problem.column, None);
            report.error(Code::Template, &place, problem.message).help = problem.help;
            None
        }
    }
}
