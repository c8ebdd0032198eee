//! Any YAML file that a JSON Schema describes, such as `dripline.yaml`: everything that does not fit, with its place.

use std::ops::Range;

use dripline_model::field::Fields;
use serde_json::Value;

use crate::{
    Code, Diagnostic, Source, fields,
    schema::{self, Codes},
    source::Report,
    yaml::{self, Entry},
};

/// A form that texts may have to have (`format` in the schema), and what is wrong with one that has not.
pub type Format = (&'static str, fn(&str) -> Result<(), String>);

/// A file that could be read as YAML.
#[derive(Debug)]
pub struct Document<'s> {
    source: &'s Source,
    root: Entry,
}

impl<'s> Document<'s> {
    /// Reads a file.
    ///
    /// # Errors
    /// Why it is not YAML.
    pub fn parse(source: &'s Source) -> Result<Self, Vec<Diagnostic>> {
        let mut report = Report::new(source);
        let tree = yaml::parse(source, &mut report);
        match tree {
            Some(value) if report.errors() == 0 => {
                // The whole file is spoken of as the value of its own name.
                let name = source.path.rsplit(['/', '\\']).next().unwrap_or_default();
                let root = Entry { key: name.to_owned(), key_span: 0..0, value };
                Ok(Self { source, root })
            }
            _ => Err(report.into_diagnostics()),
        }
    }

    /// What is in it.
    pub fn value(&self) -> Value {
        self.root.value.value()
    }

    /// Everything that does not fit `schema`, whose formats are checked as `formats` say: as mistakes in settings.
    pub fn misfits(&self, schema: &Value, formats: &[Format]) -> Vec<Diagnostic> {
        self.fit(schema, formats, Codes::SETTINGS)
    }

    /// Everything that does not fit `schema`, as mistakes in sample contacts.
    pub fn wrong_samples(&self, schema: &Value) -> Vec<Diagnostic> {
        self.fit(schema, &[], Codes::SAMPLES)
    }

    fn fit(&self, schema: &Value, formats: &[Format], codes: Codes) -> Vec<Diagnostic> {
        let mut report = Report::new(self.source);
        let mut options = jsonschema::draft202012::options().should_validate_formats(true);
        for (name, check) in formats {
            let check = *check;
            options = options.with_format(*name, move |text| check(text).is_ok());
        }
        match options.build(schema) {
            Ok(validator) => {
                schema::fit(&validator, schema, &self.value(), &self.root, codes, formats, &mut report);
            }
            Err(error) => {
                report.error(Code::Settings, &(0..0), format!("the schema is broken: {error}"));
            }
        }
        report.into_diagnostics()
    }

    /// What is wrong with the attributes and consents of the sample contact at `pointer`, by what is declared of fields.
    pub fn wrong_fields(&self, pointer: &str, fields: &Fields) -> Vec<Diagnostic> {
        let mut report = Report::new(self.source);
        let (contact, _) = self.root.value.at(pointer);
        let yaml::Kind::Mapping(entries) = &contact.kind else { return Vec::new() };
        for part in entries {
            let yaml::Kind::Mapping(own) = &part.value.kind else { continue };
            match part.key.as_str() {
                "attributes" => own.iter().for_each(|entry| fields::fits(entry, fields, &mut report)),
                "consents" => own.iter().for_each(|entry| fields::fits_topic(entry, fields, &mut report)),
                _ => {}
            }
        }
        report.into_diagnostics()
    }

    /// An error about the value at `pointer`, a JSON pointer; where nothing stands there, about the nearest above it.
    pub fn complaint(&self, code: Code, pointer: &str, message: &str, help: Option<&str>) -> Diagnostic {
        let (node, key) = self.root.value.at(pointer);
        let span: &Range<usize> = match (&node.kind, key) {
            (yaml::Kind::Scalar(..), _) | (_, None) => &node.span,
            (_, Some(key)) => key,
        };
        let mut report = Report::new(self.source);
        let diagnostic = report.error(code, span, message);
        diagnostic.help = help.map(str::to_owned);
        diagnostic.clone()
    }
}

/// A file that cannot be read at this place (line and column from 1).
pub fn unreadable(source: &Source, line: usize, column: usize, message: &str) -> Diagnostic {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let placed = crate::source::at_line(Code::Settings, source, number(line), number(column));
    Diagnostic { message: message.to_owned(), ..placed }
}
