//! `fields.yaml`, `samples.yaml`, and what `dripline check` and `dripline schema` make of a whole workspace.

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{TestWorkspace, steady};

const FIELDS: &str = "\
fields:
  first_name: text
  title: text
  country: {type: text, values: [DE, AT, CH]}
  employees: integer
  renewal: date
topics: [newsletter]
";

#[test]
fn an_import_keeps_to_the_declared_fields() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("fields.yaml", FIELDS);
    workspace.write(
        "people.csv",
        "email,country,employees,renewal,first_name,extra\n\
         a@north.example,DE,12,2024-01-31,123,x\n\
         b@north.example,FR,12,2024-01-31,Bo,x\n\
         c@north.example,DE,many,2024-01-31,Cy,x\n\
         d@north.example,DE,12,31.01.2024,Di,x\n\
         e@north.example,,,,,\n",
    );
    assert_snapshot!(workspace.run(&["import", "people.csv"]).shown(), @"
    [exit 0]
    column      becomes             type
    email       email
    country     contact.country     text
    employees   contact.employees   integer
    renewal     contact.renewal     date
    first_name  contact.first_name  text
    extra       contact.extra       text

    2 contacts from people.csv in [time]: 2 new, 0 changed, 0 unchanged
    3 rows rejected, written to people.rejected.csv:
      line 3: `FR` in `country` is none of DE, AT, CH
      line 4: `many` in `employees` is not of type integer
      line 5: `31.01.2024` in `renewal` is not of type date
    ");
    let contact = workspace.json(&["contacts", "show", "a@north.example"]);
    assert_snapshot!(contact["attributes"], @r#"{"country":"DE","employees":12,"renewal":"2024-01-31","first_name":"123","extra":"x"}"#);
    let other = workspace.run(&["import", "people.csv", "--map", "employees=employees:text"]);
    assert_snapshot!(other.shown(), @r#"
    [exit 1]
    error: failed to import people.csv: --map gives `employees` another type than fields.yaml, where `employees` is integer; nothing was imported
    help: leave the type out: --map "employees=employees"; or change fields.yaml
    "#);
    workspace.write("fields.yaml", "fields: {country: txt}\n");
    assert_snapshot!(workspace.run(&["import", "people.csv"]).shown(), @"
    [exit 1]
    error: fields.yaml:1: there is no type `txt`; nothing was imported
    help: `dripline check` shows every mistake in fields.yaml
    ");
}

#[test]
fn an_import_that_changes_a_type_says_so() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    workspace.write("more.csv", "email,employees\nx@north.example,1000-1999\n");
    assert_snapshot!(workspace.run(&["import", "more.csv"]).shown(), @"
    [exit 0]
    column     becomes            type
    email      email
    employees  contact.employees  text
    note: column `employees` is text, but all contacts that have `contact.employees` have integer there: conditions that compare it hold for one kind only; declare its type in fields.yaml to have the other rejected

    1 contact from more.csv in [time]: 1 new, 0 changed, 0 unchanged
    ");
    let again = workspace.run(&["import", "more.csv"]);
    assert!(!again.out.contains("note"), "now that both are there: {}", again.out);
}

#[test]
fn types_that_contacts_have_are_learnt_and_those_declared_hold() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    workspace.write(
        "workflows/size.yaml",
        "name: size\non: manual\nsteps:\n  - if: contact.employees == \"12\"\n    exit: small\n",
    );
    let learnt = workspace.run(&["check", "workflows/size.yaml"]);
    assert_snapshot!(learnt.shown(), @r#"
    [exit 0]
    warning[W0511]: a number never equals text
     --> workflows/size.yaml:4:9
      |
    4 |   - if: contact.employees == "12"
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^
      = help: `contact.employees` is a whole number, for all contacts that have it

    1 workflow checked: 1 warning
    "#);
    workspace.write("fields.yaml", FIELDS);
    let declared = workspace.run(&["check", "workflows/size.yaml"]);
    assert_snapshot!(declared.shown(), @r#"
    [exit 1]
    error[E0511]: a number never equals text
     --> workflows/size.yaml:4:9
      |
    4 |   - if: contact.employees == "12"
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^
      = help: `contact.employees` is a whole number, as fields.yaml says

    1 workflow checked: 1 error
    For more about a complaint: dripline explain E0511
    "#);
}

#[test]
fn templates_are_rendered_for_samples() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    workspace.write("templates/size.txt", "Hi\n{{contact.employees}} people");
    workspace.write(
        "workflows/size.yaml",
        "name: size\non: manual\nsteps:\n  - email: {template: size, subject: \"Hi {{contact.first_name}}\"}\n",
    );
    assert_snapshot!(workspace.run(&["check", "workflows/size.yaml"]).shown(), @r#"
    [exit 0]
    warning[W0521]: contact has no `employees`: so for tom@anchor.example, of 5 sample contacts
     --> templates/size.txt:2:1
      |
    2 | {{contact.employees}} people
      | ^
      = help: give a default: {{default contact.employees "there"}}

    1 workflow checked: 1 warning
    "#);
    workspace.write("samples.yaml", "- {email: z@north.example, attributes: {employees: 3}}\n");
    assert_snapshot!(workspace.run(&["check", "workflows/size.yaml"]).shown(), @r#"
    [exit 0]
    warning[W0521]: contact has no `first_name`: so for z@north.example, of 1 sample contact
     --> workflows/size.yaml:4:42
      |
    4 |   - email: {template: size, subject: "Hi {{contact.first_name}}"}
      |                                          ^^^^^^^^^^^^^^^^^^^^^^
      = help: give a default: {{default contact.first_name "there"}}

    1 workflow checked: 1 warning
    "#);
    workspace.write("samples.yaml", "- {emial: z@north.example}\n- 3\n");
    assert_snapshot!(workspace.run(&["check", "workflows/size.yaml"]).shown(), @"
    [exit 1]
    error[E0922]: item 1 of `samples.yaml` has no key `emial`
     --> samples.yaml:1:4
      |
    1 | - {emial: z@north.example}
      |    ^^^^^
      = help: did you mean `email`?

    error[E0721]: item 2 of `samples.yaml` must be a mapping, but this is a number
     --> samples.yaml:2:3
      |
    2 | - 3
      |   ^
      = help: write {key: value}; the keys are `email`, `external_id`, `attributes`, `consents`, `tags`, `scores`, `segments` or `owner`

    1 workflow checked: 2 errors
    For more about a complaint: dripline explain E0922
    ");
}

#[test]
fn every_file_is_checked_at_once() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write(
        "dripline.yaml",
        "sender: {name: Demo, email: nobody}\ntime_zne: UTC\nmail:\n  smtp: {host: x, tls: ssl, username: me, rate: fast}\n",
    );
    workspace.write("teams.yaml", "teams:\n  - {key: a, members: [{rep: ada, weight: -1}]}\n");
    workspace.write("fields.yaml", "fields: {email: text}\n");
    assert_snapshot!(workspace.run(&["check"]).shown(), @"
    [exit 1]
    error[E0720]: `email`: `nobody` is not an email address
     --> dripline.yaml:1:29
      |
    1 | sender: {name: Demo, email: nobody}
      |                             ^^^^^^

    error[E0201]: `dripline.yaml` has no key `time_zne`
     --> dripline.yaml:2:1
      |
    2 | time_zne: UTC
      | ^^^^^^^^
      = help: did you mean `time_zone`?

    error[E0720]: `username` and `password_env` come together or not at all
     --> dripline.yaml:4:3
      |
    4 |   smtp: {host: x, tls: ssl, username: me, rate: fast}
      |   ^^^^

    error[E0720]: `tls` cannot be `ssl`
     --> dripline.yaml:4:24
      |
    4 |   smtp: {host: x, tls: ssl, username: me, rate: fast}
      |                        ^^^
      = help: it can be `none`, `starttls` or `tls`

    error[E0720]: `rate`: `fast` is not a rate
     --> dripline.yaml:4:49
      |
    4 |   smtp: {host: x, tls: ssl, username: me, rate: fast}
      |                                                 ^^^^
      = help: write for example `14 per second`, `600 per minute` or `5000 per hour`

    error[E0701]: no representative has the key `ada`
     --> teams.yaml:2:30
      |
    2 |   - {key: a, members: [{rep: ada, weight: -1}]}
      |                              ^^^

    error[E0703]: `weight` cannot be -1
     --> teams.yaml:2:43
      |
    2 |   - {key: a, members: [{rep: ada, weight: -1}]}
      |                                           ^^
      = help: a whole number from 0 (receives none) to 1000000

    error[E0711]: every contact has `contact.email` anyway, so no attribute can be called so
     --> fields.yaml:1:10
      |
    1 | fields: {email: text}
      |          ^^^^^

    error[E0409]: there is no team `sales`
      --> workflows/welcome.yaml:26:24
       |
    26 |       - assign: {team: sales, by: round_robin}
       |                        ^^^^^
       = help: teams are written in teams.yaml, which has none

    1 workflow and 1 test file checked: 9 errors
    For more about a complaint: dripline explain E0720
    ");
    let other = workspace.run(&["contacts", "list"]);
    assert_snapshot!(other.shown(), @"
    [exit 1]
    error: [workspace]/dripline.yaml:1:29: `email`: `nobody` is not an email address (and 4 more)
    help: `dripline check` shows every mistake with its line
    ");
}

#[test]
fn sarif_names_rules_places_and_texts() {
    let workspace = TestWorkspace::new();
    workspace.write(
        "workflows/bad name.yaml",
        "name: bad\non: manual\nsteps:\n  - emial: x\n  - exit: done\n  - wait: 1d\n",
    );
    let answer = workspace.run(&["check", "--format", "sarif"]);
    assert_eq!(answer.code, 1);
    let log: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules: Vec<&str> = run["tool"]["driver"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["id"].as_str().unwrap())
        .collect();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(result["ruleId"], rules[index]);
    }
    assert_snapshot!(serde_json::to_string(&results[0]).unwrap(), @r#"{"ruleId":"E0305","ruleIndex":0,"level":"error","message":{"text":"no plugin is called `emial`\ndid you mean `email`?"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"workflows/bad%20name.yaml"},"region":{"startLine":4,"startColumn":5,"endColumn":10}}}]}"#);
    assert_eq!(results[1]["level"], "warning");
    let json = workspace.run(&["check", "--format", "json"]);
    assert_eq!(json.out, workspace.run(&["check", "--json"]).out);
    assert_eq!(workspace.run(&["check", "--json", "--format", "text"]).code, 2);
}

#[test]
fn schemas_are_printed_and_fit_what_init_makes() {
    let workspace = TestWorkspace::new();
    for (file, path) in
        [("workflow", "workflows/welcome.yaml"), ("teams", "teams.yaml"), ("settings", "dripline.yaml")]
    {
        let answer = workspace.run(&["schema", file]);
        assert_eq!(answer.code, 0, "{}", answer.err);
        let schema: Value = serde_json::from_str(&answer.out).unwrap();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#", "{file}");
        let validator = jsonschema::draft7::new(&schema).unwrap();
        let value: Value = serde_yaml::from_str(&workspace.read(path)).unwrap();
        let misfits: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(misfits, Vec::<String>::new(), "{path}");
        assert!(!validator.is_valid(&serde_json::json!({"nonsense": 1})), "{file}");
    }
    assert_eq!(workspace.run(&["schema", "fields"]).code, 0);
    assert_eq!(workspace.run(&["schema"]).out, workspace.run(&["schema", "workflow"]).out);
}
