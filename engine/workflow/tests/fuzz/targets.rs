//! What reads what people write. To add a reader, add a target.

use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{
    Contact, Manifest,
    batch::ColumnType,
    contact::EventView,
    field::Fields,
    id::ContactId,
    manifest::Grant,
    policy::{Cap, CapClass},
};
use dripline_template::{Inline, Templates};
use dripline_workflow::{
    Environment, PluginInfo, Source, check, document::Document, fields, json_schema, pace, samples,
    schedule::Schedule, scores, segments, teams,
};
use jiff::Timestamp;
use serde_json::json;

use crate::files;

/// A reader of one kind of text.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Right inputs.
    pub(crate) seeds: fn() -> Vec<String>,
    /// What means something to it.
    pub(crate) pieces: &'static [&'static str],
    /// Answers an input; what it says is of no matter here, only that it does.
    pub(crate) run: fn(&str),
}

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "workflow",
        seeds: workflows,
        pieces: &[
            "name: ",
            "on: ",
            "steps:",
            "if: ",
            "then: ",
            "else: ",
            "goto: ",
            "exit: ",
            "paths: ",
            "wait: ",
            "email: ",
            "score: ",
            "segment: ",
            "again: ",
            "{event: a}",
            "schedule: ",
            "contact.",
            "id: a",
            "{{#if contact.a}}",
        ],
        run: workflow,
    },
    Target {
        name: "expression",
        seeds: expressions,
        pieces: &[
            "contact",
            ".",
            ".?",
            "event.properties",
            "now",
            "has(",
            "&&",
            "||",
            "!",
            "==",
            "!=",
            "<=",
            "in ",
            "+",
            "-",
            "*",
            "/",
            "duration(\"30d\")",
            "timestamp(",
            ".matches(\"",
            "(?i)",
            ".exists(x, ",
            "size(",
            "r\"",
            "\"\"\"",
            "1u",
        ],
        run: expression,
    },
    Target {
        name: "template",
        seeds: templates,
        pieces: &[
            "{{#each contact.tags}}",
            "{{/if}}",
            "{{else}}",
            "{{> ",
            "default ",
            "date ",
            "../",
            "@root",
            "(",
            "|x|",
        ],
        run: template,
    },
    Target {
        name: "cron",
        seeds: || {
            ["30 9 * * 1-5", "*/15 0-6 1,15 jan-dec sun", "0 0 29 2 *", "59 23 31 12 7"]
                .map(str::to_owned)
                .into()
        },
        pieces: &["*", "*/", "-", ",", "jan", "mon", "60", "L", "#", "@daily", "1-0", "*/4294967296"],
        run: cron,
    },
    Target {
        name: "duration",
        seeds: || {
            ["30m", "4h", "3d", "2w", "1h 30m", "2 weeks", "1 month", "5 working hours"]
                .map(str::to_owned)
                .into()
        },
        pieces: &["y", "mo", "d", "h", "ms", "µs", "ago", "-", "years ", "19999"],
        run: duration,
    },
    Target {
        name: "fields",
        seeds: || vec![example("docs/checking.md", "fields:"), "fields: {a: text}\ntopics: [a]\n".to_owned()],
        pieces: &["type: ", "values: ", "text", "integer", "topics:", "fields:"],
        run: |text| drop(fields::parse(&source(text))),
    },
    Target {
        name: "scores",
        seeds: || vec![example("docs/scoring.md", "scores:"), "scores: {a: {max: 3}, b: }\n".to_owned()],
        pieces: &["decay: ", "half_life: ", "linear: ", "expires: ", "grades: ", "min: ", "14d", "-1"],
        run: |text| drop(scores::parse(&source(text))),
    },
    Target {
        name: "teams",
        seeds: || vec![read("teams.yaml"), example("docs/workflows.md", "representatives:")],
        pieces: &["rep: ", "weight: ", "members: ", "key: ", "email: "],
        run: |text| drop(teams::parse(&source(text))),
    },
    Target {
        name: "segment",
        seeds: files::segment_seeds,
        pieces: &[
            "name: ",
            "if: ",
            "static: true",
            "contact.segments",
            "events(\"a\")",
            ".last(\"30d\")",
            ".count()",
            "now",
        ],
        run: files::segment,
    },
    Target {
        name: "behaviour",
        seeds: files::behaviour_seeds,
        pieces: &[
            "mails:", "events:", "open: ", "40%", "chance: ", "after: ", "1m..3h", "when: ", "if: ", "on: ",
        ],
        run: files::behaviour,
    },
    Target {
        name: "test",
        seeds: files::test_seeds,
        pieces: &[
            "workflow: ",
            "contacts:",
            "tests:",
            "events:",
            "expect:",
            "enroll: ",
            "mails: ",
            "steps: ",
            "never: ",
            "end: ",
            "at: ",
            "for: ",
            "from: ",
            "2024-03-04T09:00",
            ">= 30",
            "owner: ",
            "mia",
        ],
        run: files::test,
    },
    Target {
        name: "window",
        seeds: || {
            [
                "20:00-08:00",
                "09:00-17:00",
                "mon-fri",
                "sat,sun",
                "09:00",
                "2026-12-24T09:00",
                "Europe/Berlin",
                "2h 30m",
            ]
            .map(str::to_owned)
            .into()
        },
        pieces: &[
            ":", "-", ",", "T", "24:00", "00:00", "mon", "sunday", "+02:00", "Z", "[UTC]", "9999", "-9999",
        ],
        run: files::window,
    },
    Target {
        name: "document",
        seeds: || vec![read("dripline.yaml"), read("engine/cli/starter/dripline.yaml"), read("teams.yaml")],
        pieces: &["sender: ", "email: ", "mail: ", "smtp: ", "store: ", "retention: "],
        run: document,
    },
];

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

pub(crate) fn blocks(page: &str, first: &str) -> Vec<String> {
    let page = read(page);
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.filter(|block| block.starts_with(first)).map(str::to_owned).collect()
}

fn example(page: &str, first: &str) -> String {
    blocks(page, first).into_iter().next().unwrap()
}

pub(crate) fn source(text: &str) -> Source {
    Source { path: "x.yaml".into(), text: text.into() }
}

fn workflows() -> Vec<String> {
    let mut seeds = blocks("docs/workflows.md", "name:");
    seeds.extend([read("workflows/trial-nurture.yaml"), read("workflows/lead-routing.yaml")]);
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut cases: Vec<_> = fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    seeds.extend(cases.iter().map(|path| fs::read_to_string(path).unwrap()));
    seeds
}

fn expressions() -> Vec<String> {
    let mut seeds: Vec<String> = [
        r#"contact.country in ["DE", "AT"] && contact.employees >= 200"#,
        r#"contact.title.matches("(?i)vp|head|chief")"#,
        r#"now - contact.created_at > duration("30d") || has(contact.phone)"#,
        r#"contact.tags.exists(tag, tag.startsWith("eu-")) ? 1 + 2 : int(contact.size)"#,
        r#"contact.?title.orValue("") == "x" && !("vip" in contact.segments)"#,
        r#"timestamp(contact.renewal).getFullYear("Europe/Berlin") == 2024"#,
        r#"event.properties.plan == "pro" && contact.consent.newsletter"#,
    ]
    .map(str::to_owned)
    .into();
    for workflow in workflows() {
        let lines =
            workflow.lines().filter_map(|line| line.split_once("if: ").map(|(_, rest)| rest.to_owned()));
        seeds.extend(lines.take(3));
    }
    seeds
}

fn templates() -> Vec<String> {
    [
        "Welcome, {{default contact.first_name \"there\"}}",
        "{{#if contact.scores.fit}}{{contact.first_name}}{{else}}{{upper contact.title}}{{/if}}",
        "{{#each contact.tags as |tag|}}{{@index}}: {{tag}}{{/each}}",
        "{{date contact.created_at \"%d %B %Y\"}} {{{contact.email}}}",
        "{{#unless (eq contact.id 1)}}x{{/unless}}",
    ]
    .map(str::to_owned)
    .into()
}

fn contact() -> Contact {
    let mut contact = Contact::new(ContactId(1));
    contact.email = Some("ada@dripline.example".into());
    let attributes = json!({
        "country": "DE", "employees": 250, "title": "Head", "renewal": "2024-03-01", "a": {"b": [1, null]}, "size": 1.5,
    });
    contact.attributes = attributes.as_object().unwrap().clone();
    contact.tags.insert("eu-west".into());
    contact
}

pub(crate) fn known() -> Fields {
    let text = "fields: {country: text, employees: integer, plan: {type: text, values: [free, pro]}}\ntopics: [newsletter]\n";
    fields::parse(&source(text)).unwrap()
}

pub(crate) static PLUGINS: LazyLock<BTreeMap<String, PluginInfo>> = LazyLock::new(|| {
    let manifests: Vec<Manifest> = serde_json::from_str(include_str!("../manifests.json")).unwrap();
    let infos = manifests.into_iter().map(|manifest| {
        let grant = Grant::all_of(&manifest);
        let digest = dripline_model::Digest::of(manifest.name.as_bytes());
        (manifest.name.clone(), PluginInfo { manifest, digest, grant })
    });
    infos.collect()
});

fn workflow(text: &str) {
    let sources = [
        ("trial/welcome.html", "Hi {{contact.first_name}}"),
        ("trial/nudge.txt", "{{contact.consent.tips}}"),
    ];
    let templates = sources.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    let known = known().with_segments(["hot-leads".to_owned()]);
    let environment = Environment {
        plugins: &PLUGINS,
        templates: &Templates::from_sources(templates),
        teams: &["enterprise".to_owned()].into(),
        dynamic_segments: &["by-rule".to_owned()].into(),
        calendars: &Default::default(),
        attributes: Some(&known),
        inputs: None,
        default_time_zone: "Europe/Berlin",
        now: "2026-01-01T00:00:00Z".parse().ok(),
    };
    let source = source(text);
    let checked = check(&source, &environment);
    checked.diagnostics.iter().for_each(|diagnostic| drop(diagnostic.render()));
    let rendered = samples::check(&source, &checked.configs, &environment, &[contact()]);
    rendered.iter().for_each(|diagnostic| drop(diagnostic.render()));
    if let Some(program) = &checked.program {
        let week = dripline_model::duration::parse("7d").unwrap();
        let caps = [1, 2].map(|at_most| Cap { class: CapClass::Marketing, at_most, within: week });
        let of_time = pace::check(&source, program, &checked.configs, &PLUGINS, &caps);
        of_time.iter().for_each(|diagnostic| drop(diagnostic.render()));
    }
    segments::filled_by(&source, &PLUGINS);
}

fn expression(text: &str) {
    let known = known();
    let (contact, event) = (
        contact(),
        EventView { name: "a".into(), at: Timestamp::UNIX_EPOCH, properties: serde_json::Map::new() },
    );
    for (result, attributes) in
        [(ColumnType::Boolean, Some(&known)), (ColumnType::Boolean, None), (ColumnType::Text, None)]
    {
        match Expression::compile(text, result, &Scope { attributes, event: true, inputs: None }) {
            Ok(expression) => {
                assert!(
                    expression
                        .contradictions()
                        .iter()
                        .all(|problem| text.get(problem.span.clone()).is_some())
                );
                _ = expression.evaluate(&Subject::new(&contact, Some(&event), Timestamp::UNIX_EPOCH));
            }
            Err(problems) => {
                assert!(
                    problems.iter().all(|problem| text.get(problem.span.clone()).is_some()),
                    "{problems:?}"
                );
            }
        }
    }
}

fn template(text: &str) {
    if let Ok(inline) = Inline::compile(text) {
        inline.uses().for_each(drop);
        _ = inline.render(&contact());
    }
}

fn cron(text: &str) {
    if let Ok(schedule) = Schedule::parse(text, "Europe/Berlin") {
        let mut at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for _ in 0..3 {
            let Some(next) = schedule.next_after(at) else { break };
            assert!(next > at);
            at = next;
        }
    }
}

fn duration(text: &str) {
    if let Ok(span) = dripline_model::duration::parse(text) {
        _ = dripline_model::duration::after(Timestamp::UNIX_EPOCH, span, &jiff::tz::TimeZone::UTC);
    }
}

fn document(text: &str) {
    let source = source(text);
    if let Ok(document) = Document::parse(&source) {
        let misfits = document.misfits(&json_schema::teams(), &[]);
        misfits.iter().for_each(|diagnostic| drop(diagnostic.render()));
    }
}
