//! `samples.yaml`: contacts for which templates are rendered when they are checked.

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{Contact, id::ContactId};
use dripline_workflow::{Code, Diagnostic, Source, document::Document};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The file's name.
pub(super) const FILE: &str = "samples.yaml";

/// A contact as the file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    email: Option<String>,
    external_id: Option<String>,
    #[serde(default)]
    attributes: Map<String, Value>,
    #[serde(default)]
    consents: BTreeMap<String, bool>,
    #[serde(default)]
    tags: BTreeSet<String>,
    #[serde(default)]
    scores: BTreeMap<String, i64>,
    #[serde(default)]
    segments: BTreeSet<String>,
    owner: Option<String>,
}

/// The contacts in the file.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn parse(source: &Source) -> Result<Vec<Contact>, Vec<Diagnostic>> {
    let document = Document::parse(source)?;
    let Value::Array(items) = document.value() else {
        let help = Some("write for example `- {email: ada@dripline.example, attributes: {first_name: Ada}}`");
        return Err(vec![document.complaint(Code::Samples, "", "samples are a list of contacts", help)]);
    };
    let mut mistakes = Vec::new();
    let mut contacts = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
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
        let parse = |text: &str| parse(&Source { path: FILE.into(), text: text.into() });
        let contacts = parse("- {email: a@b.example, attributes: {n: 3}, consents: {email: true}}\n- {}\n").unwrap();
        assert_eq!((contacts.len(), contacts[0].consents["email"], contacts[1].id), (2, true, ContactId(2)));
        let mistakes = parse("- {emial: x}\n- {scores: {fit: many}}\n- 3\n").unwrap_err();
        assert_eq!(mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(parse("a: 3").unwrap_err().len(), 1);
    }
}
