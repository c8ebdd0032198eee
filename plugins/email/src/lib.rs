//! The email step: queues an email in the contact's language. Consent, addresses and sending are the engine's.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use dripline_sdk::{Batch, EffectKind, EmailTemplate, Manifest, Outcomes, Problem, Step, Template, Text};
use schemars::JsonSchema;
use serde::Deserialize;

/// Sends an email to the contact, if it consented to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// The email's body: the name of a file in `templates/`, without its ending.
    template: EmailTemplate,
    /// The subject line.
    subject: Template,
    /// The contact's language (`contact.language`); chooses among `variants`.
    language: Option<Text>,
    /// Other templates and subjects by language: `de`, or `de-AT` for a region of it. A contact whose language is not
    /// here gets the step's own.
    #[serde(default)]
    variants: BTreeMap<String, Variant>,
    /// The topic (`newsletter`) to which the contact must have consented, beside email as such.
    #[schemars(extend("x-dripline" = {"kind": "topic"}))]
    topic: Option<String>,
    /// Whether the email answers something that the contact did (a receipt, a password) and so needs no consent.
    #[serde(default)]
    transactional: bool,
}

/// The email in another language; what is left out is as in the step itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Variant {
    /// The email's body in this language.
    template: Option<EmailTemplate>,
    /// The subject line in this language.
    subject: Option<Template>,
}

impl Step for Email {
    const NAME: &'static str = "email";
    const SUMMARY: &'static str =
        "Sends an email, in the contact's language where there is a variant for it.";

    fn describe(manifest: Manifest) -> Manifest {
        manifest.effect(EffectKind::Email, "queues the email that the workflow names")
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !self.variants.is_empty() && self.language.is_none() {
            problems.push(
                Problem::at("/variants", "nothing chooses among the variants")
                    .help("say where the language comes from: `language: contact.language`"),
            );
        }
        if self.variants.is_empty() && self.language.is_some() {
            problems.push(Problem::at("/language", "there are no `variants` to choose among"));
        }
        for (language, variant) in &self.variants {
            let pointer = format!("/variants/{}", language.replace('~', "~0").replace('/', "~1"));
            if variant.template.is_none() && variant.subject.is_none() {
                problems.push(
                    Problem::at(&pointer, "the variant changes nothing")
                        .help("give it a `template` or a `subject`"),
                );
            }
            let same = |other: &&String| *other < language && other.eq_ignore_ascii_case(language);
            if let Some(other) = self.variants.keys().find(same) {
                problems.push(Problem::at(&pointer, format!("the same language as `{other}`")));
            }
        }
        if self.transactional && self.topic.is_some() {
            problems.push(
                Problem::at("/topic", "a transactional email needs no consent, so a topic has no meaning")
                    .help("leave out `topic` or `transactional`"),
            );
        }
        problems
    }

    fn run(&self, batch: &Batch, out: &mut Outcomes) -> Result<(), String> {
        for turn in batch.turns() {
            let language = self.language.and_then(|language| language.of(turn));
            let variant = language.and_then(|language| self.variant(language));
            let template =
                variant.and_then(|(_, variant)| variant.template.as_ref()).unwrap_or(&self.template);
            let subject = variant.and_then(|(_, variant)| variant.subject).unwrap_or(self.subject);
            let Some(subject) = subject.of(turn) else {
                out.fail_permanent(turn, "the subject could not be written for this contact");
                continue;
            };
            out.send_email(
                turn,
                dripline_sdk::Email {
                    template: template.as_str(),
                    subject,
                    topic: self.topic.as_deref(),
                    transactional: self.transactional,
                },
            );
            match (variant, language) {
                (Some((name, _)), _) => out.proceed(turn, format_args!("queued {template} in {name}")),
                (None, Some(language)) => {
                    out.proceed(turn, format_args!("queued {template}; there is no variant in {language}"));
                }
                (None, None) => out.proceed(turn, format_args!("queued {template}")),
            }
        }
        Ok(())
    }
}

impl Email {
    /// The variant for `language`: of its region if there is one (`de-AT`, also written `de_AT`), else of the language.
    fn variant(&self, language: &str) -> Option<(&String, &Variant)> {
        let named = |wanted: &str| {
            let same = |name: &str| {
                name.len() == wanted.len()
                    && name.bytes().zip(wanted.bytes()).all(|(a, b)| {
                        a.eq_ignore_ascii_case(&b) || (matches!(a, b'-' | b'_') && matches!(b, b'-' | b'_'))
                    })
            };
            self.variants.iter().find(|(name, _)| same(name))
        };
        let general = language.split(['-', '_']).next().unwrap_or(language);
        named(language).or_else(|| named(general))
    }
}

dripline_sdk::export!(Email);
