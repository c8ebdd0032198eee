//! `samples.yaml`: contacts for which templates are rendered when they are checked.

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{Contact, field::Fields, id::ContactId};
use dripline_workflow::{Code, Diagnostic, Source, document::Document};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The file's name.
pub(super) const FILE: &str = "samples.yaml";

/// A contact as the file has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sample {
    /// The address, by which complaints name the contact.
    email: Option<String>,
    /// The caller's key.
    external_id: Option<String>,
    /// Attributes by name.
    #[serde(default)]
    attributes: Map<String, Value>,
    /// What the contact said by topic; `email` is the channel as a whole.
    #[serde(default)]
    consents: BTreeMap<String, bool>,
    /// Tags.
    #[serde(default)]
    tags: BTreeSet<String>,
    /// Points by score.
    #[serde(default)]
    scores: BTreeMap<String, i64>,
    /// The segments in which the contact is.
    #[serde(default)]
    segments: BTreeSet<String>,
    /// Key of the representative who owns the contact.
    owner: Option<String>,
}

/// The JSON Schema of the file.
pub(crate) fn schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Vec<Sample>>().to_value()
}

/// The contacts in the file.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn parse(source: &Source, fields: Option<&Fields>) -> Result<Vec<Contact>, Vec<Diagnostic>> {
    let document = Document::parse(source)?;
    let mut mistakes = document.wrong_samples(&schema());
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let Value::Array(items) = document.value() else { return Ok(Vec::new()) };
    let mut contacts = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        if let Some(fields) = fields {
            mistakes.extend(document.wrong_fields(&format!("/{index}"), fields));
        }
        let sample: Sample = match serde_json::from_value(item) {
            Ok(sample) => sample,
            Err(error) => {
                let message = format!("this is no contact: {error}");
                mistakes.push(document.complaint(Code::Samples, &format!("/{index}"), &message, None));
                continue;
            }
        };
        let id = ContactId(i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1));
        contacts.push(Contact {
            email: sample.email,
            external_id: sample.external_id,
            attributes: sample.attributes,
            consents: sample.consents,
            tags: sample.tags,
            scores: sample.scores,
            segments: sample.segments,
            owner: sample.owner,
            ..Contact::new(id)
        });
    }
    if mistakes.is_empty() { Ok(contacts) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_read_and_mistakes_are_placed() {
        let parse = |text: &str| parse(&Source { path: FILE.into(), text: text.into() }, None);
        let contacts =
            parse("- {email: a@b.example, attributes: {n: 3}, consents: {email: true}}\n- {}\n").unwrap();
        assert_eq!((contacts.len(), contacts[0].consents["email"], contacts[1].id), (2, true, ContactId(2)));
        let mistakes = parse("- {emial: x}\n- {scores: {fit: many}}\n- 3\n").unwrap_err();
        assert_eq!(mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(
            mistakes.iter().map(|mistake| mistake.code).collect::<Vec<_>>(),
            [Code::SampleKey, Code::Samples, Code::Samples]
        );
        assert_eq!(parse("a: 3").unwrap_err()[0].code, Code::Samples);
    }

    #[test]
    fn samples_have_what_is_declared() {
        let file = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        let fields = file("fields.yaml", "fields: {employees: integer}\ntopics: {news: what is new}\n");
        let fields = dripline_workflow::fields::parse(&fields).unwrap();
        let text = "- attributes: {employes: 3}\n- attributes: {employees: \"3\"}\n  consents: {nws: true, email: true}\n";
        let mistakes = parse(&file(FILE, text), Some(&fields)).unwrap_err();
        let found: Vec<_> = mistakes.iter().map(|mistake| (mistake.line, mistake.code)).collect();
        assert_eq!(found, [(1, Code::NotAField), (2, Code::NotItsType), (3, Code::NoTopic)]);
        let text = "- attributes: {employees: 3}\n  consents: {news: true}\n";
        assert_eq!(parse(&file(FILE, text), Some(&fields)).unwrap().len(), 1);
    }
}
