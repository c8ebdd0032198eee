use dripline_sdk::testing::{Bench, manifest};
use insta::assert_snapshot;
use serde_json::json;

use crate::Email;

#[test]
fn the_language_chooses_the_variant() {
    let bench = Bench::<Email>::new(json!({
        "template": "trial/welcome",
        "subject": "Welcome, {{contact.first_name}}",
        "language": "contact.language",
        "variants": {
            "de": {"template": "trial/willkommen", "subject": "Willkommen"},
            "de-CH": {"subject": "Grüezi"},
        },
        "topic": "onboarding",
    }));
    let languages = [Some("de"), Some("DE_at"), Some("de_ch"), Some("fr"), None];
    let answer = bench
        .column("/language", languages)
        .column("/subject", languages.map(|_| Some("Welcome, Ada")))
        .column("/variants/de/subject", languages.map(|_| Some("Willkommen, Ada")))
        .column("/variants/de-CH/subject", languages.map(|_| Some("Grüezi, Ada")))
        .run();
    assert_snapshot!(answer.unwrap(), @r"
    0 proceeds: queued trial/willkommen in de
      sends trial/willkommen “Willkommen, Ada” on onboarding
    1 proceeds: queued trial/willkommen in de
      sends trial/willkommen “Willkommen, Ada” on onboarding
    2 proceeds: queued trial/welcome in de-CH
      sends trial/welcome “Grüezi, Ada” on onboarding
    3 proceeds: queued trial/welcome; there is no variant in fr
      sends trial/welcome “Welcome, Ada” on onboarding
    4 proceeds: queued trial/welcome
      sends trial/welcome “Welcome, Ada” on onboarding
    ");
}

#[test]
fn one_subject_that_is_missing_fails_one_contact() {
    let bench =
        Bench::<Email>::new(json!({"template": "receipt", "subject": "{{x}}", "transactional": true}));
    assert_snapshot!(bench.column("/subject", [Some("Thanks"), None]).run().unwrap(), @r"
    0 proceeds: queued receipt
      sends receipt “Thanks”, transactional
    1 fails: the subject could not be written for this contact
    ");
}

#[test]
fn what_the_schema_cannot_say_is_checked() {
    let check = |config| Bench::<Email>::new(config).check();
    let variants = json!({"de": {"subject": "a"}, "DE": {"subject": "b"}, "fr": {}});
    assert_snapshot!(check(json!({"template": "a", "subject": "b", "variants": variants})), @r"
    /variants: nothing chooses among the variants; say where the language comes from: `language: contact.language`
    /variants/de: the same language as `DE`
    /variants/fr: the variant changes nothing; give it a `template` or a `subject`
    ");
    assert_snapshot!(check(json!({"template": "a", "subject": "b", "language": "contact.language"})), @"/language: there are no `variants` to choose among");
    assert_snapshot!(check(json!({"template": "a", "subject": "b", "topic": "news", "transactional": true})), @"/topic: a transactional email needs no consent, so a topic has no meaning; leave out `topic` or `transactional`");
    assert_snapshot!(check(json!({"template": "a", "subject": "b"})), @"");
}

#[test]
fn the_manifest_changes_only_on_purpose() {
    assert_snapshot!(manifest::<Email>(), @r#"
    {
      "name": "email",
      "summary": "Sends an email, in the contact's language where there is a variant for it.",
      "outputs": [],
      "reads": [],
      "effects": [
        "EffectKind::Email: queues the email that the workflow names"
      ],
      "state": "StateScope::None",
      "may_wait": false,
      "config": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "template": {
            "type": "string",
            "x-dripline": {
              "kind": "email-template"
            },
            "description": "The email's body: the name of a file in `templates/`, without its ending."
          },
          "subject": {
            "type": "string",
            "x-dripline": {
              "kind": "template"
            },
            "description": "The subject line."
          },
          "language": {
            "type": "string",
            "x-dripline": {
              "kind": "cel",
              "result": "text"
            },
            "description": "The contact's language (`contact.language`); chooses among `variants`."
          },
          "variants": {
            "type": "object",
            "additionalProperties": {
              "type": "object",
              "additionalProperties": false,
              "properties": {
                "template": {
                  "type": "string",
                  "x-dripline": {
                    "kind": "email-template"
                  },
                  "description": "The email's body in this language."
                },
                "subject": {
                  "type": "string",
                  "x-dripline": {
                    "kind": "template"
                  },
                  "description": "The subject line in this language."
                }
              },
              "description": "The email in another language; what is left out is as in the step itself."
            },
            "description": "Other templates and subjects by language: `de`, or `de-AT` for a region of it. A contact whose language is not\nhere gets the step's own."
          },
          "topic": {
            "type": "string",
            "description": "The topic (`newsletter`) to which the contact must have consented, beside email as such.",
            "x-dripline": {
              "kind": "topic"
            }
          },
          "transactional": {
            "type": "boolean",
            "description": "Whether the email answers something that the contact did (a receipt, a password) and so needs no consent.",
            "default": false
          }
        },
        "required": [
          "template",
          "subject"
        ],
        "description": "Sends an email to the contact, if it consented to it.",
        "title": "Email",
        "$schema": "https://json-schema.org/draft/2020-12/schema"
      }
    }
    "#);
}
