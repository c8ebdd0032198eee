//! What is known of contacts, against what workflows and templates say of them.

use std::collections::BTreeMap;

use dripline_model::{Contact, field::Fields, field::ValueTypes, id::ContactId};
use dripline_template::Templates;
use dripline_workflow::{Code, Severity, Source, fields, samples, segments};
use serde_json::json;

use crate::support::Workspace;

const FIELDS: &str = "
fields:
  country: text
  title: {type: text, description: what it says on the card}
  employees: {type: integer}
  plan: {type: text, values: [free, pro]}
  renewal: date
  first_name: text
topics: [newsletter]
";

fn declared() -> Fields {
    fields::parse(&Source { path: "fields.yaml".into(), text: FIELDS.into() }).unwrap()
}

fn rendered(workspace: &Workspace, text: &str) -> String {
    let (_, checked) = workspace.check(text);
    let is_error = checked.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    assert_eq!(checked.program.is_none(), is_error);
    let all: Vec<String> = checked.diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
    all.join("\n")
}

#[test]
fn every_mistake_about_fields_is_found_at_once() {
    let text = r#"
name: twelve
on: {segment_joined: hot-leeds}
enroll: {if: contact.consent.newsleter && contact.contry == "DE"}
steps:
  - if: contact.employees > "200"
    exit: too large
  - if: contact.plan == "prof"
    exit: pays
  - if: contact.title.startWith("VP")
    exit: senior
  - if: contact.renewal < now
    exit: late
  - if: contact.plan == "free" && contact.plan == "pro"
    exit: never
  - email: {template: mail, subject: "Hi {{contact.first_nam}}", topic: newslettr}
  - wait: {until: 2025-12-24T09:00}
  - segment: {check: hott}
  - if: contact.shoe_size > 3
    exit: none
  - id: round
    wait: 1d
  - goto: round
"#;
    let templates =
        [("mail.html", "<p>\n  {{contact.first_name}} of {{upper contact.compny}}</p>\n{{contact.city}}")];
    let workspace = Workspace::new()
        .knowing(declared().with_segments(["hot-leads".to_owned(), "hot".to_owned()]))
        .with_templates(&templates);
    insta::assert_snapshot!(rendered(&workspace, text), @r#"
    warning[W0513]: nothing puts contacts into a segment `hot-leeds`
     --> workflows/x.yaml:3:22
      |
    3 | on: {segment_joined: hot-leeds}
      |                      ^^^^^^^^^
      = help: did you mean `hot-leads`?

    error[E0514]: there is no topic `newsleter` to consent to
     --> workflows/x.yaml:4:14
      |
    4 | enroll: {if: contact.consent.newsleter && contact.contry == "DE"}
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^
      = help: did you mean `contact.consent.newsletter`?

    error[E0510]: no contact has `contry`
     --> workflows/x.yaml:4:43
      |
    4 | enroll: {if: contact.consent.newsleter && contact.contry == "DE"}
      |                                           ^^^^^^^^^^^^^^
      = help: did you mean `contact.country`?

    error[E0511]: `>` cannot compare a number with text
     --> workflows/x.yaml:6:9
      |
    6 |   - if: contact.employees > "200"
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^
      = help: `contact.employees` is a whole number, as fields.yaml says

    error[E0512]: `contact.plan` is never "prof"
     --> workflows/x.yaml:8:25
      |
    8 |   - if: contact.plan == "prof"
      |                         ^^^^^^
      = help: did you mean "pro"?

    error[E0513]: the function `startWith` is unknown
      --> workflows/x.yaml:10:23
       |
    10 |   - if: contact.title.startWith("VP")
       |                       ^^^^^^^^^
       = help: did you mean contact.title.startsWith("VP")?

    error[E0511]: `<` cannot compare text with a timestamp
      --> workflows/x.yaml:12:9
       |
    12 |   - if: contact.renewal < now
       |         ^^^^^^^^^^^^^^^^^^^^^
       = help: make a timestamp of it: timestamp(contact.renewal)

    warning[W0512]: this never holds together with what stands before it about `contact.plan`
      --> workflows/x.yaml:14:35
       |
    14 |   - if: contact.plan == "free" && contact.plan == "pro"
       |                                   ^^^^^^^^^^^^^^^^^^^^^
       = help: join alternatives with `||`, or write `in [ … ]`

    error[E0520]: no contact has `first_nam`
      --> workflows/x.yaml:16:44
       |
    16 |   - email: {template: mail, subject: "Hi {{contact.first_nam}}", topic: newslettr}
       |                                            ^^^^^^^^^^^^^^^^^
       = help: did you mean `contact.first_name`?

    error[E0514]: there is no topic `newslettr` to consent to
      --> workflows/x.yaml:16:73
       |
    16 |   - email: {template: mail, subject: "Hi {{contact.first_nam}}", topic: newslettr}
       |                                                                         ^^^^^^^^^
       = help: did you mean `newsletter`?

    warning[W0522]: 2025-12-24T09:00 has passed: nobody waits here
      --> workflows/x.yaml:17:19
       |
    17 |   - wait: {until: 2025-12-24T09:00}
       |                   ^^^^^^^^^^^^^^^^
       = help: name a later date, or remove the step

    warning[W0513]: nothing puts contacts into a segment `hott`
      --> workflows/x.yaml:18:22
       |
    18 |   - segment: {check: hott}
       |                      ^^^^
       = help: did you mean `hot`?

    error[E0510]: no contact has `shoe_size`
      --> workflows/x.yaml:19:9
       |
    19 |   - if: contact.shoe_size > 3
       |         ^^^^^^^^^^^^^^^^^
       = help: declare `shoe_size` in fields.yaml

    warning[W0302]: from here back to `round` no way leads to an end
      --> workflows/x.yaml:23:11
       |
    23 |   - goto: round
       |           ^^^^^
       = help: leave the loop by a condition, for example with `if` and `exit`

    error[E0520]: no contact has `compny`
     --> templates/mail.html:2:37
      |
    2 |   {{contact.first_name}} of {{upper contact.compny}}</p>
      |                                     ^^^^^^^^^^^^^^
      = help: declare `compny` in fields.yaml

    error[E0520]: no contact has `city`
     --> templates/mail.html:3:3
      |
    3 | {{contact.city}}
      |   ^^^^^^^^^^^^
      = help: declare `city` in fields.yaml
    "#);
}

#[test]
fn what_was_learnt_makes_warnings() {
    let text = "name: a\non: manual\nsteps:\n  - if: contact.seats == \"many\" && contact.shoe_size > 3\n    exit: none\n  - if: contact.seats > 3 && contact.seat\n    exit: none\n";
    let fields = Fields::default().learning([("seats".to_owned(), ValueTypes::of(&json!(3)))]);
    insta::assert_snapshot!(rendered(&Workspace::new().knowing(fields), text), @r#"
    warning[W0511]: a number never equals text
     --> workflows/x.yaml:4:9
      |
    4 |   - if: contact.seats == "many" && contact.shoe_size > 3
      |         ^^^^^^^^^^^^^^^^^^^^^^^
      = help: `contact.seats` is a whole number, for all contacts that have it

    warning[W0501]: no contact has `shoe_size`
     --> workflows/x.yaml:4:36
      |
    4 |   - if: contact.seats == "many" && contact.shoe_size > 3
      |                                    ^^^^^^^^^^^^^^^^^
      = help: until an import brings it, the expression is no match; `has(…)` asks whether it is there

    error[E0510]: no contact has `seat`
     --> workflows/x.yaml:6:30
      |
    6 |   - if: contact.seats > 3 && contact.seat
      |                              ^^^^^^^^^^^^
      = help: did you mean `contact.seats`?
    "#);
}

#[test]
fn a_doubt_hides_no_certain_mistake() {
    let text = "name: a\non: manual\nsteps:\n  - if: contact.seats + 1\n    exit: none\n  - if: contact.shoe_size + 1\n    exit: none\n";
    let fields = Fields::default().learning([("seats".to_owned(), ValueTypes::of(&json!("x")))]);
    insta::assert_snapshot!(rendered(&Workspace::new().knowing(fields), text), @"
    error[E0511]: this gives a number, but true or false is wanted here
     --> workflows/x.yaml:4:9
      |
    4 |   - if: contact.seats + 1
      |         ^^^^^^^^^^^^^^^^^
      = help: compare it with something: … >= 30

    warning[W0511]: `+` does not go with text and a number
     --> workflows/x.yaml:4:9
      |
    4 |   - if: contact.seats + 1
      |         ^^^^^^^^^^^^^^^^^
      = help: make a text of the number: string(…)

    error[E0511]: this gives a number, but true or false is wanted here
     --> workflows/x.yaml:6:9
      |
    6 |   - if: contact.shoe_size + 1
      |         ^^^^^^^^^^^^^^^^^^^^^
      = help: compare it with something: … >= 30

    warning[W0501]: no contact has `shoe_size`
     --> workflows/x.yaml:6:9
      |
    6 |   - if: contact.shoe_size + 1
      |         ^^^^^^^^^^^^^^^^^
      = help: until an import brings it, the expression is no match; `has(…)` asks whether it is there
    ");
}

#[test]
fn segments_that_steps_fill_are_known() {
    let text = "name: a\non: manual\nsteps:\n  - segment: {join: hot}\n  - if: true\n    then:\n      - segment: {join: warm}\n      - segment: {check: cold}\n";
    let source = Source { path: "workflows/a.yaml".into(), text: text.into() };
    let workspace = Workspace::new();
    let filled = segments::filled_by(&source, workspace.environment().plugins);
    assert_eq!(filled.into_iter().collect::<Vec<_>>(), ["hot", "warm"]);
}

fn contact(id: i64, attributes: serde_json::Value, consents: bool) -> Contact {
    let mut contact = Contact::new(ContactId(id));
    contact.email = Some(format!("c{id}@north.example"));
    contact.attributes = attributes.as_object().unwrap().clone();
    contact.consents.insert("email".into(), consents);
    contact
}

#[test]
fn samples_that_come_to_a_mail_are_rendered() {
    let text = r#"
name: a
on: manual
enroll: {if: contact.consent.email && contact.scores.fit > 1000}
steps:
  - email: {template: mail, subject: "Hi {{contact.first_name}}"}
  - if: contact.country == "DE"
    then:
      - email: {template: german, subject: Hallo}
    else:
      - if: has(contact.country)
        email: {template: other, subject: Hello}
"#;
    let templates = [
        ("mail.txt", "Hi"),
        ("german.txt", "Hallo\n{{contact.city}}"),
        ("other.html", "{{> part.html}}"),
        ("part.html", "<p>{{date contact.renewal \"%Y\"}}</p>"),
    ];
    let workspace = Workspace::new().with_templates(&templates);
    let (source, checked) = workspace.check(text);
    let contacts = [
        contact(1, json!({"first_name": "Ada", "country": "DE"}), true),
        contact(2, json!({"country": "DE"}), true),
        contact(3, json!({"country": "AT", "renewal": "soon"}), true),
        contact(4, json!({"first_name": "Bo"}), true),
        contact(5, json!({}), false),
    ];
    let complaints = samples::check(&source, &checked.configs, &workspace.environment(), &contacts);
    assert!(complaints.iter().all(|complaint| complaint.severity == Severity::Warning));
    let all: Vec<String> = complaints.iter().map(|complaint| complaint.render()).collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    warning[W0521]: contact has no `first_name`: so for c2@north.example and 2 more, of 5 sample contacts
     --> workflows/x.yaml:6:42
      |
    6 |   - email: {template: mail, subject: "Hi {{contact.first_name}}"}
      |                                          ^^^^^^^^^^^^^^^^^^^^^^
      = help: give a default: {{default contact.first_name "there"}}

    warning[W0521]: "soon" is not a date: so for c3@north.example, of 1 sample contact
     --> templates/part.html:1:4
      |
    1 | <p>{{date contact.renewal "%Y"}}</p>
      |    ^

    warning[W0521]: contact has no `city`: so for c1@north.example and 1 more, of 2 sample contacts
     --> templates/german.txt:2:1
      |
    2 | {{contact.city}}
      | ^
      = help: give a default: {{default contact.city "there"}}
    "#);
    assert!(samples::check(&source, &checked.configs, &workspace.environment(), &[]).is_empty());
}

#[test]
fn loops_without_a_way_out_are_warned_of_and_others_are_not() {
    let codes = |steps: &str| {
        let (_, checked) = Workspace::new().check(&format!("name: a\non: manual\nsteps:\n{steps}"));
        checked.diagnostics.iter().map(|diagnostic| diagnostic.code).collect::<Vec<_>>()
    };
    let wait = "  - id: a\n    wait: 1d\n";
    assert_eq!(codes(&format!("{wait}  - goto: a\n")), [Code::NeverEnds]);
    let both = "  - if: contact.country == \"DE\"\n    then:\n      - wait: 2d\n      - goto: a\n    else:\n      - goto: a\n";
    assert_eq!(codes(&format!("{wait}{both}")), [Code::NeverEnds, Code::NeverEnds]);
    assert_eq!(
        codes(&format!("{wait}{both}  - wait: 1d\n")),
        [Code::NeverEnds, Code::NeverEnds, Code::Unreachable]
    );
    for fine in [
        "  - goto: a\n    if: contact.country == \"DE\"\n",
        "  - exit: done\n    if: contact.country == \"DE\"\n  - goto: a\n",
        "  - if: contact.country == \"DE\"\n    then:\n      - goto: a\n",
        "  - if: contact.country == \"DE\"\n    then:\n      - exit:\n    else:\n      - goto: a\n",
    ] {
        assert_eq!(codes(&format!("{wait}{fine}")), [], "{fine}");
    }
    let goals = format!("name: a\non: manual\ngoals: [{{event: paid}}]\nsteps:\n{wait}  - goto: a\n");
    let (_, checked) = Workspace::new().check(&goals);
    assert!(
        checked.diagnostics.iter().all(|diagnostic| diagnostic.code != Code::NeverEnds),
        "a goal ends it"
    );
}

#[test]
fn templates_without_known_fields_are_left_alone() {
    let templates = BTreeMap::from([("mail.txt".to_owned(), "{{contact.anything}}".to_owned())]);
    let environment = Workspace::new();
    let environment = dripline_workflow::Environment {
        templates: &Templates::from_sources(templates),
        attributes: None,
        ..environment.environment()
    };
    let text = "name: a\non: manual\nsteps:\n  - email: {template: mail, subject: \"{{contact.else}}\"}\n";
    let source = Source { path: "workflows/a.yaml".into(), text: text.into() };
    assert!(dripline_workflow::check(&source, &environment).diagnostics.is_empty());
}
