//! What templates give, and what a marketer reads when one is wrong.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use dripline_model::{Contact, contact::Needs, id::ContactId};
use dripline_template::{Email, Inline, Problem, Rendered, Templates, View};
use serde_json::json;

fn contact() -> Contact {
    let mut contact = Contact::new(ContactId(7));
    contact.email = Some("ada@example.com".into());
    contact.attributes = json!({
        "first_name": "Ada", "company": "Babbage & Sons", "phone": null, "blank": " ", "renewal_date": "2026-03-01",
        "seen_at": "2026-01-01T23:30:00Z", "plan": "pro", "seats": 3, "interests": ["engines", "poetry"],
        "address": {"city": "London", "zip": null}, "bad": "Hi\r\nBcc: all@example.com\u{0}\u{2028}x",
    })
    .as_object()
    .unwrap()
    .clone();
    contact.scores.insert("fit".into(), 20);
    contact.consents.insert("email".into(), true);
    contact.tags.extend(["beta".to_owned(), "vip".to_owned()]);
    contact
}

fn sources(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(path, source)| ((*path).to_owned(), (*source).to_owned())).collect()
}

fn inline(source: &str) -> String {
    let inline = Inline::compile(source).unwrap_or_else(|problem| panic!("{source}: {problem:?}"));
    inline.render(&contact()).unwrap_or_else(|error| error.to_string())
}

fn render(files: &[(&str, &str)]) -> Result<Rendered, String> {
    let email = Email::compile("mail", &sources(files)).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let view = View {
        contact: &contact(),
        subject: "Hello <Ada>",
        topic: None,
        sender_name: "Dripline",
        sender_email: "hello@dripline.example",
        unsubscribe_url: "https://dripline.example/u?a=1&b=2",
    };
    email.render(&view).map_err(|error| error.to_string())
}

fn html(files: &[(&str, &str)]) -> String {
    render(files).unwrap_or_else(|error| panic!("{error}")).html.unwrap()
}

fn listed(problems: impl IntoIterator<Item = Problem>) -> String {
    let line = |problem: Problem| {
        let help = problem.help.map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{}:{}: {}{help}\n", problem.path, problem.line, problem.column, problem.message)
    };
    problems.into_iter().map(line).collect()
}

#[test]
fn subjects() {
    for (source, expected) in [
        ("Welcome, {{contact.first_name}}", "Welcome, Ada"),
        ("For {{contact.company}}", "For Babbage & Sons"),
        (
            "{{default contact.nickname \"there\"}} {{default contact.phone \"-\"}} {{default contact.blank \"b\"}}",
            "there - b",
        ),
        ("{{default contact.nickname contact.first_name \"there\"}}", "Ada"),
        (
            "{{contact.scores.fit}} {{contact.scores.intent}} {{contact.consent.email}} {{contact.consent.sms}}",
            "20 0 true false",
        ),
        ("{{#if contact.nickname}}a{{else}}b{{/if}}{{#unless contact.phone}}c{{/unless}}", "bc"),
        ("{{#if (eq contact.plan \"pro\")}}pro{{/if}}{{#if (eq contact.nickname \"x\")}}x{{/if}}", "pro"),
        (
            "{{#if (and (gte contact.seats 3) (lt contact.seats 4.5))}}team{{/if}}{{#if (gt contact.none 3)}}x{{/if}}",
            "team",
        ),
        ("{{#if (or contact.none (not contact.plan))}}x{{else if contact.plan}}y{{/if}}", "y"),
        (
            "{{date contact.renewal_date \"%d %B %Y\"}}, {{date contact.renewal_date}}",
            "01 March 2026, 1 March 2026",
        ),
        (
            "{{date contact.seen_at \"%H:%M\" zone=\"Europe/Berlin\"}} {{date contact.seen_at \"%-d.%-m.\"}}",
            "00:30 1.1.",
        ),
        ("{{upper contact.first_name}} {{lower contact.first_name}} {{len contact.tags}}", "ADA ada 2"),
        ("{{#each contact.tags}}{{@index}}{{this}}{{#unless @last}}, {{/unless}}{{/each}}", "0beta, 1vip"),
        (
            "{{#each contact.interests as |interest|}}{{interest}}/{{@root.contact.first_name}} {{/each}}",
            "engines/Ada poetry/Ada",
        ),
        ("{{#with contact.address}}{{city}} {{../contact.plan}}{{/with}}", "London pro"),
        ("{{lookup contact \"first_name\"}} {{contact.id}} {{contact.email}}", "Ada 7 ada@example.com"),
        // No header can be injected.
        ("{{contact.bad}}", "Hi  Bcc: all@example.com x"),
        ("a\n\tb", "a  b"),
        (r"\{{contact.first_name}}", "{{contact.first_name}}"),
    ] {
        assert_eq!(inline(source), expected, "{source}");
    }
}

#[test]
fn what_is_missing_is_an_error() {
    insta::assert_snapshot!(inline("Hello {{contact.nickname}}"), @r#"contact has no `nickname`; give a default: {{default contact.nickname "there"}}"#);
    insta::assert_snapshot!(inline("Hello {{contact.phone}}"), @r#"contact has no `phone`; give a default: {{default contact.phone "there"}}"#);
    insta::assert_snapshot!(inline("Hello {{upper contact.nickname}}"), @r#"contact has no `nickname`; give a default: {{default contact.nickname "there"}}"#);
    insta::assert_snapshot!(inline("Hello {{default contact.nickname contact.phone}}"), @r#"contact has no `nickname`; give a default: {{default contact.nickname "there"}}"#);
    insta::assert_snapshot!(inline("{{#with contact.address}}{{zip}}{{/with}}"), @r#"there is no `zip`; give a default: {{default zip "there"}}"#);
    insta::assert_snapshot!(inline("{{date contact.first_name}}"), @r#""Ada" is not a date"#);
    insta::assert_snapshot!(inline("{{date contact.seen_at \"%H\" zone=\"Mars\"}}"), @"`Mars` is not a time zone");
    insta::assert_snapshot!(render(&[("mail.txt", "Hello,\n\n{{contact.nickname}}")]).unwrap_err(), @r#"template `mail.txt` line 3: contact has no `nickname`; give a default: {{default contact.nickname "there"}}"#);
    let files =
        [("mail.html", "<p>\n{{> parts/name.html}}"), ("parts/name.html", "\n\n {{contact.nickname}}")];
    insta::assert_snapshot!(render(&files).unwrap_err(), @r#"template `parts/name.html` line 3: contact has no `nickname`; give a default: {{default contact.nickname "there"}}"#);
    insta::assert_snapshot!(render(&[("mail.html", "\n{{#each contact.pets}}x{{/each}}")]).unwrap_err(), @r#"template `mail.html` line 2: contact has no `pets`; give a default: {{default contact.pets "there"}}"#);
    insta::assert_snapshot!(render(&[("mail.html", "{{message.topic}}")]).unwrap_err(), @r#"template `mail.html` line 1: there is no `message.topic`; give a default: {{default message.topic "there"}}"#);
}

#[test]
fn html_escapes_and_text_does_not() {
    let rendered = render(&[
        (
            "mail.html",
            "{{contact.company}} {{message.subject}} {{{contact.company}}} <a href=\"{{unsubscribe_url}}\">",
        ),
        (
            "mail.txt",
            "{{contact.company}} {{message.subject}} {{sender.name}} <{{sender.email}}> {{unsubscribe_url}}",
        ),
    ])
    .unwrap();
    insta::assert_snapshot!(rendered.html.unwrap(), @r#"Babbage &amp; Sons Hello &lt;Ada&gt; Babbage & Sons <a href="https://dripline.example/u?a&#x3D;1&amp;b&#x3D;2">"#);
    insta::assert_snapshot!(rendered.text.unwrap(), @"Babbage & Sons Hello <Ada> Dripline <hello@dripline.example> https://dripline.example/u?a=1&b=2");
}

#[test]
fn partials_and_layouts() {
    let files = [
        ("mail.html", "{{#> layout.html title=\"Hi\"}}<p>{{contact.first_name}}</p>{{/layout.html}}"),
        ("layout.html", "<h1>{{title}}</h1>{{> @partial-block}}{{> parts/_foot.html contact who=\"you\"}}"),
        ("parts/_foot.html", "<i>{{first_name}} {{who}} {{@root.sender.name}}</i>"),
    ];
    assert_eq!(html(&files), "<h1>Hi</h1><p>Ada</p><i>Ada you Dripline</i>");
}

#[test]
fn a_closure_holds_what_an_email_includes_and_nothing_else() {
    let templates = Templates::from_sources(sources(&[
        ("trial/welcome.html", "{{> layout.html}}"),
        ("trial/welcome.txt", "{{#if contact.first_name}}{{> parts/name.txt}}{{/if}}"),
        ("layout.html", "{{> parts/foot.html}}"),
        ("parts/foot.html", "bye"),
        ("parts/name.txt", "{{contact.first_name}}"),
        ("other.html", "{{broken"),
    ]));
    let closure = templates.closure("trial/welcome").unwrap();
    let paths: Vec<&str> = closure.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        ["layout.html", "parts/foot.html", "parts/name.txt", "trial/welcome.html", "trial/welcome.txt"]
    );
    assert!(Email::compile("trial/welcome", &closure).is_ok());
    assert!(templates.email_names().contains("trial/welcome"));
    assert_eq!(templates.get("parts/foot.html"), Some("bye"));
}

#[test]
fn needs_name_what_is_read() {
    let needs = |source: &str| Inline::compile(source).unwrap().needs().clone();
    let attributes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        needs(
            "{{contact.first_name}} {{default contact.nickname \"x\"}} {{#if (eq contact.address.city 1)}}{{/if}}{{contact.email}}"
        ),
        Needs { attributes: attributes(&["address", "first_name", "nickname"]), ..Needs::default() }
    );
    assert_eq!(
        needs(
            "{{contact.scores.fit}}{{#each contact.tags}}{{@root.contact.plan}}{{/each}}{{contact.consent.email}}{{contact.owner}}"
        ),
        Needs {
            attributes: attributes(&["plan"]),
            scores: true,
            tags: true,
            consents: true,
            owner: true,
            ..Needs::default()
        }
    );
    assert!(needs("{{#with contact}}{{first_name}}{{/with}}").all_attributes);
    let email =
        Email::compile("mail", &sources(&[("mail.txt", "{{> a.txt}}"), ("a.txt", "{{contact.segments}}")]))
            .unwrap();
    assert_eq!(*email.needs(), Needs { segments: true, ..Needs::default() });
}

#[test]
fn problems_of_syntax_and_names() {
    let problems: String = [
        "Hello {{contact.first_name",
        "Hello {{contact.first_name}",
        "Hello {{}}",
        "{{#if contact.first_name}}Hello",
        "\n  {{#if contact.first_name}}Hello{{/unless}}",
        "Hello{{/if}}",
        "{{else}}",
        "{{! never",
        "{{!-- never }}",
        "{{default contact.first_name \"there}}",
        "{{{{raw}}}}{{{{/raw}}}}",
        "{{#*inline \"x\"}}{{/inline}}",
        "{{contact.first_name | upper}}",
        "{{contact..first_name}}",
        "{{contcat.first_name}}",
        "{{first_name}}",
        "{{message.subject}}",
        "{{defualt contact.first_name \"there\"}}",
        "{{default contact.first_name}}",
        "{{upper}}",
        "{{#upper contact.plan}}{{/upper}}",
        "{{if contact.plan}}",
        "{{#contact.tags}}{{/contact.tags}}",
        "{{#each contact.tags}}{{contact.plan}}{{/each}}",
        "{{date contact.seen_at \"%\"}}",
        "{{log contact.plan}}",
        "{{> layout.html}}",
    ]
    .map(|source| format!("{} => {}", source.escape_debug(), listed(Inline::compile(source).err())))
    .concat();
    insta::assert_snapshot!(problems, @r#"
    Hello {{contact.first_name => :1:7: the tag is never closed
    Hello {{contact.first_name} => :1:7: the tag is never closed
    Hello {{}} => :1:7: the tag is empty
    {{#if contact.first_name}}Hello => :1:1: `if` is never closed (add {{/if}} where the block ends)
    \n  {{#if contact.first_name}}Hello{{/unless}} => :2:34: `if` is still open at `{{/unless}}` (close it with {{/if}} first)
    Hello{{/if}} => :1:6: `{{/if}}` closes nothing
    {{else}} => :1:1: `{{else}}` stands outside of any block
    {{! never => :1:1: the comment is never closed with }}
    {{!-- never }} => :1:1: the comment is never closed with --}}
    {{default contact.first_name \"there}} => :1:1: a text in the tag is never closed
    {{{{raw}}}}{{{{/raw}}}} => :1:1: raw blocks are not part of the language
    {{#*inline \"x\"}}{{/inline}} => :1:1: inline partials are not part of the language; put the text into a file of its own
    {{contact.first_name | upper}} => :1:22: this is not Handlebars (a tag is {{contact.first_name}}, {{helper argument}} or {{#if condition}}…{{/if}})
    {{contact..first_name}} => :1:11: this is not Handlebars (a tag is {{contact.first_name}}, {{helper argument}} or {{#if condition}}…{{/if}})
    {{contcat.first_name}} => :1:1: `contcat` is unknown (did you mean `contact`?)
    {{first_name}} => :1:1: `first_name` is unknown (fields of the contact are written contact.first_name)
    {{message.subject}} => :1:1: `message` is unknown (only `contact` is known here)
    {{defualt contact.first_name \"there\"}} => :1:1: the helper `defualt` is unknown (did you mean {{default contact.first_name "there"}}?)
    {{default contact.first_name}} => :1:1: `default` is not called like this (for example {{default contact.first_name "there"}})
    {{upper}} => :1:1: `upper` is not called like this (for example {{upper contact.country}})
    {{#upper contact.plan}}{{/upper}} => :1:1: `upper` is not called like this (for example {{upper contact.country}})
    {{if contact.plan}} => :1:1: `if` is not called like this (for example {{#if contact.first_name}}…{{/if}})
    {{#contact.tags}}{{/contact.tags}} => :1:11: this is not Handlebars (a tag is {{contact.first_name}}, {{helper argument}} or {{#if condition}}…{{/if}})
    {{#each contact.tags}}{{contact.plan}}{{/each}} => :1:23: inside of this block there is no `contact` (write @root.contact.plan)
    {{date contact.seen_at \"%\"}} => :1:1: "%" is not a form of dates (for example "%d %B %Y", as strftime has it)
    {{log contact.plan}} => :1:1: the helper `log` is unknown
    {{> layout.html}} => :1:1: partials cannot be included here
    "#);
}

#[test]
fn problems_of_emails() {
    let templates = Templates::from_sources(sources(&[
        ("a.html", "x\n{{> layuot.html}}\n {{> b.html}} {{sender.nmae}}"),
        ("b.html", "{{> c.html}}"),
        ("c.html", "\n{{> a.html}}"),
        ("d.txt", "{{> d.txt}}"),
        ("layout.html", "{{> @partial-block}}"),
        ("e.html", "{{> layout.html}}"),
        ("f.html", "{{#if}}{{/if}}{{titel}}"),
        ("g.html", "{{> (lookup contact \"plan\")}}"),
        ("bomb0.html", ""),
        ("bomb1.html", "{{> bomb0.html}}{{> bomb0.html}}"),
        (
            "bomb2.html",
            "{{> bomb1.html}}{{> bomb1.html}}{{> bomb1.html}}{{> bomb1.html}}{{> bomb1.html}}{{> bomb1.html}}",
        ),
        (
            "bomb3.html",
            "{{> bomb2.html}}{{> bomb2.html}}{{> bomb2.html}}{{> bomb2.html}}{{> bomb2.html}}{{> bomb2.html}}",
        ),
        (
            "bomb4.html",
            "{{> bomb3.html}}{{> bomb3.html}}{{> bomb3.html}}{{> bomb3.html}}{{> bomb3.html}}{{> bomb3.html}}",
        ),
    ]));
    let all: String = ["a", "d", "e", "f", "g", "bomb4", "layuot"]
        .map(|email| listed(templates.closure(email).expect_err(email)))
        .concat();
    insta::assert_snapshot!(all, @"
    a.html:2:1: there is no template `layuot.html` (did you mean {{> layout.html}}?)
    c.html:2:1: `a.html` includes itself: a.html → b.html → c.html → a.html
    a.html:3:15: `sender` has no `nmae` (there are sender.name and sender.email)
    d.txt:1:1: `d.txt` includes itself: d.txt → d.txt
    layout.html:1:1: there is no block to put here (include this template with {{#> layout.html}}…{{/layout.html}})
    f.html:1:1: `if` is not called like this (for example {{#if contact.first_name}}…{{/if}})
    f.html:1:15: `titel` is unknown (fields of the contact are written contact.titel)
    g.html:1:1: a partial is named by its path (for example {{> layout.html}})
    bomb1.html:1:1: more than 200 partials are included in all
    :1:1: there is no template `layuot` (did you mean `layout`?)
    ");
    // By itself, a template may use what its includer gives.
    assert_eq!(templates.check("layout.html"), []);
    insta::assert_snapshot!(listed(templates.check("f.html")), @"f.html:1:1: `if` is not called like this (for example {{#if contact.first_name}}…{{/if}})");
}

#[test]
fn what_nests_too_deeply_is_refused() {
    for source in [
        format!("{}{}", "{{#if contact.a}}".repeat(10_000), "{{/if}}".repeat(10_000)),
        format!("{{{{#if {}contact.a{}}}}}{{{{/if}}}}", "(not ".repeat(10_000), ")".repeat(10_000)),
        format!("{{{{upper {}}}}}", "[".repeat(10_000)),
        "{{#if a}}".repeat(10_000),
    ] {
        assert!(Inline::compile(&source).is_err());
    }
    let source = format!("{}x{}", "{{#if contact.plan}}".repeat(24), "{{/if}}".repeat(24));
    assert_eq!(inline(&source), "x");
    let source = format!("{{{{#if {}contact.plan{}}}}}x{{{{/if}}}}", "(not ".repeat(24), ")".repeat(24));
    assert_eq!(inline(&source), "x");
}

#[test]
fn files_are_loaded_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, content: &[u8]| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    assert_eq!(Templates::load(&dir.path().join("none")).unwrap(), Templates::default());
    write("trial/welcome.html", b"Hi");
    write("layout.html", b"");
    write(".hidden", b"\xff");
    write(".git/x.html", b"");
    let templates = Templates::load(dir.path()).unwrap();
    assert_eq!(templates.paths().collect::<Vec<_>>(), ["layout.html", "trial/welcome.html"]);
    write("broken.html", b"\xff");
    let error = Templates::load(dir.path()).unwrap_err().to_string();
    assert!(error.ends_with("broken.html is not UTF-8 text"), "{error}");
    write("broken.html", &vec![b' '; (1 << 20) + 1]);
    let error = Templates::load(dir.path()).unwrap_err().to_string();
    assert!(error.ends_with("broken.html is larger than 1 MiB"), "{error}");
}
