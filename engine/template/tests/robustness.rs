//! Whatever is written, compiling and rendering end without a panic.

use std::collections::BTreeMap;

use dripline_model::{Contact, id::ContactId};
use dripline_template::{Email, Inline, Templates, View};
use proptest::prelude::*;

/// Pieces of templates, so that random sequences of them get past the first look.
fn piece() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "{{",
        "}}",
        "{{{",
        "}}}",
        "{{#if contact.a}}",
        "{{/if}}",
        "{{else}}",
        "{{^}}",
        "{{#each contact.tags}}",
        "{{/each}}",
        "{{#with contact}}",
        "{{/with}}",
        "{{> a.html}}",
        "{{#> a.html}}",
        "{{/a.html}}",
        "{{> @partial-block}}",
        "{{!-- x --}}",
        "{{! x }}",
        "{{~",
        "~}}",
        "contact",
        ".first_name",
        "this",
        "../",
        "@root",
        "@index",
        "(",
        ")",
        "[",
        "]",
        "|x|",
        " as ",
        "default",
        "date",
        "eq",
        "lookup",
        "len",
        "\"x\"",
        "'y'",
        "1",
        "-1.5",
        "true",
        "null",
        "=",
        " ",
        "\n",
        "ä",
        "\\",
        "*inline ",
        "{{contact.email}}",
        "{{date contact.created_at \"%Y\"}}",
        "{{#unless (eq contact.id 1)}}",
        "{{/unless}}",
    ])
}

fn try_out(source: &str) {
    let contact = Contact::new(ContactId(1));
    match Inline::compile(source) {
        Ok(inline) => _ = inline.render(&contact),
        Err(problem) => assert!(problem.line >= 1 && problem.column >= 1),
    }
    let sources = BTreeMap::from([
        ("mail.html".to_owned(), source.to_owned()),
        ("a.html".to_owned(), "a {{> @partial-block}}{{this.x}}".to_owned()),
    ]);
    let templates = Templates::from_sources(sources.clone());
    _ = templates.check("mail.html");
    if let Ok(email) = Email::compile("mail", &sources) {
        let view = View {
            contact: &contact,
            subject: "",
            topic: None,
            sender_name: "",
            sender_email: "",
            unsubscribe_url: "",
        };
        _ = email.render(&view);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(source in any::<String>()) {
        try_out(&source);
    }

    #[test]
    fn any_sequence_of_pieces(pieces in proptest::collection::vec(piece(), 0..16)) {
        try_out(&pieces.concat());
    }

    #[test]
    fn any_tag(pieces in proptest::collection::vec(piece(), 0..8)) {
        try_out(&format!("{{{{{}}}}}", pieces.concat()));
    }
}
