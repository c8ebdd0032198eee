//! What a plugin's JSON Schema says of a configuration, in words for people.

use dripline_model::manifest::mark;
use jsonschema::{
    JsonType, ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind},
    paths::LocationSegment,
};
use serde_json::Value;

use crate::{
    Code,
    diagnostic::one_of,
    document::Format,
    marks::escape,
    read::misspelt,
    source::Report,
    yaml::{Entry, what},
};

/// Most complaints about one configuration.
const MOST: usize = 20;

/// Complains of everything in `config` that does not fit.
pub(crate) fn complain(
    validator: &Validator,
    schema: &Value,
    config: &Value,
    verb: &Entry,
    report: &mut Report<'_>,
) {
    fit(validator, schema, config, verb, Codes::PLUGIN, &[], report);
}

/// The codes under which misfits are reported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Codes {
    unknown_key: Code,
    missing_key: Code,
    wrong_type: Code,
    value: Code,
    form: Code,
}

impl Codes {
    /// Those of a plugin's configuration.
    const PLUGIN: Self = Self {
        unknown_key: Code::UnknownConfigKey,
        missing_key: Code::MissingConfigKey,
        wrong_type: Code::ConfigType,
        value: Code::ConfigValue,
        form: Code::ConfigForm,
    };

    /// Those of a file that the language itself describes.
    pub(crate) const SETTINGS: Self = Self {
        unknown_key: Code::UnknownKey,
        missing_key: Code::MissingKey,
        wrong_type: Code::WrongType,
        value: Code::Settings,
        form: Code::Settings,
    };

    /// Those of the sample contacts.
    pub(crate) const SAMPLES: Self = Self {
        unknown_key: Code::SampleKey,
        missing_key: Code::Samples,
        wrong_type: Code::Samples,
        value: Code::Samples,
        form: Code::Samples,
    };
}

/// Complains of everything in `config`, the value of `verb`, that does not fit.
pub(crate) fn fit(
    validator: &Validator,
    schema: &Value,
    config: &Value,
    verb: &Entry,
    codes: Codes,
    formats: &[Format],
    report: &mut Report<'_>,
) {
    let mut complaints = Complaints { schema, verb, codes, formats, report };
    let errors: Vec<ValidationError<'_>> = validator.iter_errors(config).take(MOST).collect();
    complaints.all(&errors);
}

struct Complaints<'c, 'r, 's> {
    schema: &'c Value,
    /// The plugin's name and the configuration in the file.
    verb: &'c Entry,
    codes: Codes,
    /// What is wrong with a text that has not its form.
    formats: &'c [Format],
    report: &'r mut Report<'s>,
}

impl Complaints<'_, '_, '_> {
    /// Complains of all, but only once of the same mistake.
    fn all(&mut self, errors: &[ValidationError<'_>]) {
        let same_place =
            |a: &ValidationError<'_>, b: &ValidationError<'_>| a.instance_path() == b.instance_path();
        for error in errors {
            let said_better = errors.iter().filter(|other| same_place(error, other)).any(|other| {
                match (error.kind(), other.kind()) {
                    // What it can be says more than the type.
                    (
                        ValidationErrorKind::Type { .. },
                        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. },
                    ) => true,
                    (
                        ValidationErrorKind::Required { property },
                        ValidationErrorKind::AdditionalProperties { unexpected },
                    ) => {
                        let known = self.beside(other, "properties");
                        let known: Vec<&str> = known.iter().map(String::as_str).collect();
                        let property = property.as_str().unwrap_or_default();
                        misspelt(property, &known, unexpected.iter().map(String::as_str))
                    }
                    _ => false,
                }
            });
            if !said_better {
                self.of(error);
            }
        }
    }

    fn of(&mut self, error: &ValidationError<'_>) {
        let pointer = error.instance_path().as_str();
        let name = self.name(error);
        let (node, key) = self.verb.value.at(pointer);
        // Something about a mapping as a whole is said of its key, or of the verb.
        let whole = if pointer.is_empty() { &self.verb.key_span } else { key.unwrap_or(&node.span) };
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known = self.beside(error, "properties");
                for key in unexpected {
                    let (_, span) = node.at(&format!("/{}", escape(key)));
                    let also = self.also(error, key);
                    let diagnostic = self.report.error(
                        self.codes.unknown_key,
                        span.unwrap_or(whole),
                        format!("{name} has no key `{key}`"),
                    );
                    match also {
                        Some((known, says)) => diagnostic.help(format!("write `{known}`. {says}")),
                        None => diagnostic.suggest(key, known.iter().map(String::as_str)),
                    };
                }
            }
            ValidationErrorKind::Required { property } => {
                let property = property.as_str().unwrap_or_default();
                let says = self.describe(error, property);
                let diagnostic = self.report.error(
                    self.codes.missing_key,
                    whole,
                    format!("{name} needs the key `{property}`"),
                );
                if let Some(says) = says {
                    diagnostic.help(format!("`{property}`: {says}"));
                }
            }
            ValidationErrorKind::Type { kind } => {
                let wanted = types(kind);
                let found = what(error.instance());
                let mut help = None;
                if wanted.contains("text")
                    && let Some(written) = node.scalar()
                    && !error.instance().is_null()
                {
                    help = Some(format!("put it in quotes: \"{written}\""));
                } else if wanted.contains("number")
                    && let Some(written) =
                        error.instance().as_str().filter(|text| text.parse::<f64>().is_ok())
                {
                    help = Some(format!("write it without quotes: {written}"));
                } else if wanted == what(&Value::Object(serde_json::Map::new())) {
                    let known = self.beside(error, "properties");
                    help = one_of(known.iter().map(String::as_str))
                        .map(|keys| format!("write {{key: value}}; the keys are {keys}"));
                }
                let diagnostic = self.report.error(
                    self.codes.wrong_type,
                    &node.span,
                    format!("{name} must be {wanted}, but this is {found}"),
                );
                diagnostic.help = help;
            }
            ValidationErrorKind::Enum { options } => {
                let options: Vec<&Value> = options.as_array().into_iter().flatten().collect();
                self.choice(error, &name, &options);
            }
            ValidationErrorKind::Constant { expected_value } => self.choice(error, &name, &[expected_value]),
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.forms(error, &name, context);
            }
            ValidationErrorKind::OneOfMultipleValid { .. } => {
                self.report
                    .error(self.codes.form, whole, format!("{name} can be read in more than one way"))
                    .help("keep the keys of one form only; the plugin's page shows the forms");
            }
            ValidationErrorKind::Format { format }
                if self.formats.iter().any(|(known, _)| known == format) =>
            {
                let text = error.instance();
                let text = text.as_str().unwrap_or_default();
                let checks = self.formats.iter().filter(|(known, _)| known == format);
                for message in checks.filter_map(|(_, check)| check(text).err()) {
                    let (message, help) = match message.split_once("; ") {
                        Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
                        None => (message, None),
                    };
                    self.report.error(self.codes.value, &node.span, format!("{name}: {message}")).help = help;
                }
            }
            kind => {
                let message = limit(kind, &name).unwrap_or_else(|| format!("{name}: {error}"));
                self.report.error(self.codes.value, &node.span, message);
            }
        }
    }

    /// How people call the value: its key, or its place in a list.
    fn name(&self, error: &ValidationError<'_>) -> String {
        let mut name = format!("`{}`", self.verb.key);
        for segment in error.instance_path().segments() {
            name = match segment {
                LocationSegment::Property(key) => format!("`{key}`"),
                LocationSegment::Index(index) => format!("item {} of {name}", index + 1),
            };
        }
        name
    }

    /// The schema object whose keyword was broken.
    fn object(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let path = error.schema_path().as_str();
        self.schema.pointer(path.rsplit_once('/').map_or("", |(parent, _)| parent))
    }

    /// The keys of the object under `keyword`, beside the broken keyword.
    fn beside(&self, error: &ValidationError<'_>, keyword: &str) -> Vec<String> {
        let object = self.object(error).and_then(|schema| schema.get(keyword)).and_then(Value::as_object);
        object.map(|object| object.keys().cloned().collect()).unwrap_or_default()
    }

    /// The property that people may also look for under `key`, and what the schema says of it.
    fn also(&self, error: &ValidationError<'_>, key: &str) -> Option<(String, String)> {
        let properties = self.object(error)?.get("properties")?.as_object()?;
        let is_meant = |schema: &Value| {
            let names = schema.get(mark::ALSO).and_then(Value::as_array);
            names.is_some_and(|names| names.iter().any(|name| name.as_str() == Some(key)))
        };
        let (property, _) = properties.iter().find(|(_, schema)| is_meant(schema))?;
        Some((property.clone(), self.describe(error, property).unwrap_or_default()))
    }

    /// What the schema says of a property, in its first sentence.
    fn describe(&self, error: &ValidationError<'_>, property: &str) -> Option<String> {
        let object = self.object(error)?;
        let says = object.get("properties")?.get(property)?.get("description")?.as_str()?;
        Some(says.lines().collect::<Vec<_>>().join(" "))
    }

    fn choice(&mut self, error: &ValidationError<'_>, name: &str, options: &[&Value]) {
        let texts: Vec<String> =
            options.iter().filter(|option| !option.is_null()).map(|option| plain(option)).collect();
        let found = error.instance();
        let (node, _) = self.verb.value.at(error.instance_path().as_str());
        let found = match found.as_ref() {
            Value::Array(_) | Value::Object(_) => what(found).to_owned(),
            value => format!("`{}`", plain(value)),
        };
        let diagnostic = self.report.error(self.codes.value, &node.span, format!("{name} cannot be {found}"));
        let near =
            dripline_model::suggest::closest(found.trim_matches('`'), texts.iter().map(String::as_str));
        match (near, one_of(texts.iter().map(String::as_str))) {
            (Some(near), _) => diagnostic.help(format!("did you mean `{near}`?")),
            (None, Some(all)) => diagnostic.help(format!("it can be {all}")),
            (None, None) => diagnostic,
        };
    }

    /// A value that fits none of several forms: what is wrong with the form that it is most like.
    fn forms(&mut self, error: &ValidationError<'_>, name: &str, context: &[Vec<ValidationError<'static>>]) {
        let depth = error.instance_path().segments().count();
        let constants: Option<Vec<&Value>> =
            context.iter().filter(|errors| !wants_null(errors)).map(|errors| constant(errors)).collect();
        if let Some(constants) = constants.filter(|constants| constants.len() > 1) {
            let flat: Vec<&Value> = constants
                .into_iter()
                .flat_map(|value| value.as_array().map_or_else(|| vec![value], |all| all.iter().collect()))
                .collect();
            return self.choice(error, name, &flat);
        }
        let mut ranked: Vec<(usize, &Vec<ValidationError<'static>>)> = context
            .iter()
            .filter(|errors| !wants_null(errors))
            .map(|errors| (errors.iter().map(|error| distance(error, depth)).sum(), errors))
            .collect();
        ranked.sort_by_key(|(distance, _)| *distance);
        match ranked.as_slice() {
            [(_, only)] => self.all(only),
            [(best, errors), (second, _), ..] if best < second => self.all(errors),
            _ => {
                let (node, key) = self.verb.value.at(error.instance_path().as_str());
                let span = key.unwrap_or(if depth == 0 { &self.verb.key_span } else { &node.span });
                let mut forms: Vec<String> =
                    ranked.iter().flat_map(|(_, errors)| errors.iter()).filter_map(wanted).collect();
                forms.dedup();
                let diagnostic = self.report.error(
                    self.codes.form,
                    span,
                    format!("{name} fits none of the forms that it can have"),
                );
                if !forms.is_empty() {
                    diagnostic.help(format!("it can be {}", forms.join(", or ")));
                }
            }
        }
    }
}

/// How far a value is from a form by this error: a wrong type of the value itself says that another form was meant.
fn distance(error: &ValidationError<'_>, depth: usize) -> usize {
    let inside = error.instance_path().segments().count() > depth;
    match error.kind() {
        _ if inside => 1,
        ValidationErrorKind::Type { .. } => 1000,
        ValidationErrorKind::Required { .. } => 100,
        ValidationErrorKind::AdditionalProperties { unexpected } => 10 * unexpected.len(),
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => 50,
        _ => 5,
    }
}

/// What a form asks for, where its error says so.
fn wanted(error: &ValidationError<'static>) -> Option<String> {
    match error.kind() {
        ValidationErrorKind::Type { kind } => Some(types(kind)),
        ValidationErrorKind::Required { property } => {
            Some(format!("a mapping with `{}`", property.as_str()?))
        }
        ValidationErrorKind::Constant { expected_value } => Some(format!("`{}`", plain(expected_value))),
        _ => None,
    }
}

fn wants_null(errors: &[ValidationError<'static>]) -> bool {
    matches!(errors, [error] if matches!(error.kind(), ValidationErrorKind::Type { kind: TypeKind::Single(JsonType::Null) }))
}

/// The value or values that a form is, if it is nothing else.
fn constant<'e>(errors: &'e [ValidationError<'static>]) -> Option<&'e Value> {
    errors.iter().find_map(|error| match error.kind() {
        ValidationErrorKind::Constant { expected_value } => Some(expected_value.as_ref()),
        ValidationErrorKind::Enum { options } => Some(options.as_ref()),
        _ => None,
    })
}

fn types(kind: &TypeKind) -> String {
    let word = |kind: JsonType| match kind {
        JsonType::Null => "nothing",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "text",
        JsonType::Array => "a list",
        JsonType::Object => "a mapping",
    };
    match kind {
        TypeKind::Single(kind) => word(*kind).to_owned(),
        TypeKind::Multiple(kinds) => {
            let words: Vec<&str> = kinds.iter().filter(|kind| *kind != JsonType::Null).map(word).collect();
            words.join(" or ")
        }
    }
}

/// Limits on numbers, texts and lists.
fn limit(kind: &ValidationErrorKind, name: &str) -> Option<String> {
    Some(match kind {
        ValidationErrorKind::Minimum { limit } => format!("{name} must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("{name} must be at most {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("{name} must be more than {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("{name} must be less than {limit}"),
        ValidationErrorKind::MinLength { limit: 1 } => format!("{name} is empty"),
        ValidationErrorKind::MinLength { limit } => format!("{name} needs at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("{name} may have at most {limit} characters"),
        ValidationErrorKind::MinItems { limit: 1 } | ValidationErrorKind::MinProperties { limit: 1 } => {
            format!("{name} is empty")
        }
        ValidationErrorKind::MinItems { limit } => format!("{name} needs at least {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("{name} may have at most {limit} items"),
        ValidationErrorKind::MinProperties { limit } => format!("{name} needs at least {limit} keys"),
        ValidationErrorKind::MaxProperties { limit } => format!("{name} may have at most {limit} keys"),
        ValidationErrorKind::Pattern { pattern } => format!("{name} does not fit the pattern `{pattern}`"),
        ValidationErrorKind::MultipleOf { multiple_of } => {
            format!("{name} must be a multiple of {multiple_of}")
        }
        ValidationErrorKind::UniqueItems => format!("{name} holds an item twice"),
        ValidationErrorKind::Format { format } => format!("{name} is no valid {format}"),
        _ => return None,
    })
}

/// A value as people write it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
