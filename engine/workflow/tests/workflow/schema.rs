//! The JSON Schemas say what the readers say: what is right fits them, what is built wrongly does not.

use std::{fs, path::Path};

use dripline_workflow::{
    Code, Source,
    document::Document,
    fields,
    json_schema::{self, DRAFT},
    teams,
};
use serde_json::Value;

use crate::support::Workspace;

/// Complaints about the build of a file, and not about what it refers to.
const OF_BUILD: &[Code] = &[
    Code::NotMapping,
    Code::UnknownKey,
    Code::MissingKey,
    Code::Name,
    Code::WrongType,
    Code::Trigger,
    Code::Again,
    Code::Concurrency,
    Code::Share,
    Code::Priority,
    Code::OnError,
    Code::AfterPause,
    Code::OnPublish,
    Code::NoSteps,
    Code::NoVerb,
    Code::TwoVerbs,
    Code::UnknownPlugin,
    Code::Id,
    Code::NoCondition,
    Code::BranchWithVerb,
    Code::Paths,
    Code::UnknownStepKey,
    Code::UnknownConfigKey,
    Code::MissingConfigKey,
    Code::ConfigType,
    Code::ConfigValue,
    Code::ConfigForm,
];

fn validator(schema: &Value) -> jsonschema::Validator {
    assert_eq!(schema["$schema"], DRAFT);
    jsonschema::draft7::meta::validate(schema).unwrap_or_else(|error| panic!("{error}"));
    jsonschema::draft7::new(schema).unwrap()
}

fn misfits(validator: &jsonschema::Validator, text: &str) -> Option<Vec<String>> {
    let source = Source { path: "x.yaml".into(), text: text.into() };
    let value = Document::parse(&source).ok()?.value();
    Some(validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect())
}

fn repository(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

fn blocks(page: &str, first: &str) -> Vec<String> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.filter(|block| block.starts_with(first)).map(str::to_owned).collect()
}

#[test]
fn what_is_right_fits() {
    let workspace = Workspace::new();
    let workflow = validator(&json_schema::workflow(workspace.environment().plugins));
    let mut examples = blocks(&repository("docs/workflows.md"), "name:");
    assert!(examples.len() > 5, "the examples are gone");
    examples.extend(
        [
            "workflows/trial-nurture.yaml",
            "workflows/lead-routing.yaml",
            "engine/cli/starter/workflows/welcome.yaml",
        ]
        .map(repository),
    );
    examples.push(include_str!("valid.yaml").to_owned());
    for example in examples {
        assert_eq!(misfits(&workflow, &example), Some(Vec::new()), "{example}");
    }
    let teams = validator(&json_schema::teams());
    for example in blocks(&repository("docs/workflows.md"), "representatives:")
        .into_iter()
        .chain(["teams.yaml", "engine/cli/starter/teams.yaml"].map(repository))
    {
        assert_eq!(misfits(&teams, &example), Some(Vec::new()), "{example}");
    }
    examples = blocks(&repository("docs/scoring.md"), "name:");
    assert!(!examples.is_empty(), "the examples are gone");
    for example in examples {
        assert_eq!(misfits(&workflow, &example), Some(Vec::new()), "{example}");
    }
    let scores = validator(&json_schema::scores());
    let examples = blocks(&repository("docs/scoring.md"), "scores:");
    assert!(!examples.is_empty(), "the examples are gone");
    for example in examples {
        assert_eq!(misfits(&scores, &example), Some(Vec::new()), "{example}");
    }
    for wrong in ["scores: {a: {decay: {}}}", "scores: {a: {max: many}}", "scores: {2nd: {}}", "score: {}"] {
        assert_ne!(misfits(&scores, wrong), Some(Vec::new()), "{wrong}");
    }
    let fields = validator(&json_schema::fields());
    let examples = blocks(&repository("docs/checking.md"), "fields:");
    assert!(!examples.is_empty(), "the examples are gone");
    for example in examples {
        let source = Source { path: "fields.yaml".into(), text: example.clone() };
        assert!(fields::parse(&source).is_ok(), "{example}");
        assert_eq!(misfits(&fields, &example), Some(Vec::new()), "{example}");
    }
}

#[test]
fn what_is_built_wrongly_does_not_fit_and_all_else_does() {
    let workspace = Workspace::new();
    let validator = validator(&json_schema::workflow(workspace.environment().plugins));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let (mut wrong, mut right) = (0, 0);
    for case in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if case.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&case).unwrap();
        let Some(misfits) = misfits(&validator, &text) else { continue };
        let (_, checked) = workspace.check(&text);
        let of_build: Vec<Code> = checked
            .diagnostics
            .iter()
            .map(|diagnostic| diagnostic.code)
            .filter(|code| OF_BUILD.contains(code))
            .collect();
        assert_eq!(misfits.is_empty(), of_build.is_empty(), "{}: {of_build:?} {misfits:?}", case.display());
        if of_build.is_empty() { right += 1 } else { wrong += 1 }
    }
    assert!(wrong > 8 && right > 2, "{wrong} wrong, {right} right: the cases are gone");
}

#[test]
fn small_mistakes_do_not_fit() {
    let workspace = Workspace::new();
    let workflow = validator(&json_schema::workflow(workspace.environment().plugins));
    let step = |step: &str| format!("name: a\non: manual\nsteps:\n  - {step}\n");
    for right in [
        step("wait: 3d"),
        step("{if: true, wait: {for: 3d}}"),
        step("exit:"),
        step("exit: {}"),
        step("{if: contact.a, then: [{wait: 1d}]}"),
        step("{segment: {check: a}, paths: {member: [{exit: x}]}}"),
    ] {
        assert_eq!(misfits(&workflow, &right), Some(Vec::new()), "{right}");
    }
    for wrong in [
        step("{wait: 3d, exit: x}"),
        step("{if: true}"),
        step("{if: true, then: []}"),
        step("{then: [{wait: 1d}]}"),
        step("{wait: 1d, then: [{wait: 1d}], if: true}"),
        step("{wait: 1d, paths: {member: [{exit: x}]}}"),
        step("{segment: {check: a}, paths: {mebmer: [{exit: x}]}}"),
        step("{email: {template: a}}"),
        step("{score: {name: fit, rules: [{if: true, ad: 3}]}}"),
        step("{id: A B, exit: x}"),
        "name: a\non: {event: a, schedule: x}\nsteps: [{exit: x}]\n".to_owned(),
        "name: a\non: {event: a, time_zone: UTC}\nsteps: [{exit: x}]\n".to_owned(),
        "name: a\non: []\nsteps: [{exit: x}]\n".to_owned(),
    ] {
        assert_ne!(misfits(&workflow, &wrong), Some(Vec::new()), "{wrong}");
        assert!(workspace.check(&wrong).1.program.is_none(), "{wrong}");
    }
    let teams_schema = validator(&json_schema::teams());
    for wrong in ["teams: [{name: a}]", "teams: {}", "representatives: [{key: a, weight: 3}]", "team: []"] {
        assert_ne!(misfits(&teams_schema, wrong), Some(Vec::new()), "{wrong}");
        assert!(teams::parse(&Source { path: "teams.yaml".into(), text: wrong.into() }).is_err(), "{wrong}");
    }
    let fields_schema = validator(&json_schema::fields());
    for wrong in [
        "fields: [a]",
        "fields: {a: string}",
        "fields: {a b: text}",
        "fields: {a: {values: [x]}}",
        "fields: {a: {type: text, values: []}}",
        "fields: {a: {type: text, value: [x]}}",
        "topics: [email]",
        "topics: [a b]",
        "topics: x",
        "field: {}",
    ] {
        assert_ne!(misfits(&fields_schema, wrong), Some(Vec::new()), "{wrong}");
        assert!(
            fields::parse(&Source { path: "fields.yaml".into(), text: wrong.into() }).is_err(),
            "{wrong}"
        );
    }
}
