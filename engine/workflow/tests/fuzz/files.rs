//! Readers of the files beside workflows: segments, behaviours, tests; and of parts of the day.

use std::{collections::BTreeSet, fs, path::Path, sync::LazyLock};

use dripline_model::{policy::QuietHours, program::Program};
use dripline_plugin_wait::Wait;
use dripline_sdk::testing::Bench;
use dripline_template::Templates;
use dripline_workflow::{
    Environment,
    behaviour::{self, Known},
    campaign_test::{self, TestEnvironment},
    check, segments,
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use crate::targets::{PLUGINS, blocks, known, read, source};

const WELCOME: &str = "\
name: welcome
on: [{event: signed_up}, manual]
steps:
  - id: greet
    email: {template: trial/welcome, subject: Hi}
  - wait: 1d
  - if: contact.country == \"DE\"
    then:
      - email: {template: trial/nudge, subject: Still there?}
";
const OTHER: &str = "name: other\non: {event: b}\nsteps:\n  - wait: 1d\n";

/// The programs that tests and behaviours speak of.
static PROGRAMS: LazyLock<Vec<Program>> = LazyLock::new(|| {
    let files = TEMPLATES.map(|name| (format!("{name}.txt"), "Hi".to_owned()));
    let environment = Environment {
        plugins: &PLUGINS,
        templates: &Templates::from_sources(files.into_iter().collect()),
        teams: &BTreeSet::new(),
        dynamic_segments: &BTreeSet::new(),
        calendars: &Default::default(),
        attributes: None,
        inputs: None,
        default_time_zone: "UTC",
        now: None,
    };
    [WELCOME, OTHER].map(|text| check(&source(text), &environment).program.unwrap()).into()
});

const TEMPLATES: [&str; 2] = ["trial/welcome", "trial/nudge"];

/// The files whose names end so, of the tests of the language and of the shipped campaigns.
fn files(ending: &str) -> Vec<String> {
    let mut seeds = Vec::new();
    for folder in ["engine/workflow/tests/simulation", "workflows"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.to_str().is_some_and(|path| path.ends_with(ending)));
        paths.sort();
        seeds.extend(paths.iter().map(|path| fs::read_to_string(path).unwrap()));
    }
    seeds
}

pub(crate) fn segment_seeds() -> Vec<String> {
    let mut seeds = blocks("docs/workflows.md", "# segments/");
    let by_time =
        "name: a\nif: '\"b\" in contact.segments && now - contact.created_at > duration(\"30d\")'\n";
    seeds.push(by_time.to_owned());
    seeds
}

/// Two segments, the second of which depends on the first.
pub(crate) fn segment(text: &str) {
    let other = "name: b\nif: '!(\"hot-leads\" in contact.segments)'\n";
    let (files, diagnostics) = segments::check(vec![source(text), source(other)], Some(&known()));
    diagnostics.iter().for_each(|diagnostic| drop(diagnostic.render()));
    assert_eq!(files.len(), 2);
}

pub(crate) fn behaviour_seeds() -> Vec<String> {
    let mut seeds = files("behaviour.yaml");
    seeds.extend(blocks("docs/simulation.md", "mails:"));
    seeds
}

pub(crate) fn behaviour(text: &str) {
    let programs: Vec<&Program> = PROGRAMS.iter().collect();
    let fields = known();
    let known = Known { programs: &programs, templates: &TEMPLATES, fields: Some(&fields) };
    if let Err(complaints) = behaviour::parse(&source(text), &known) {
        complaints.iter().for_each(|complaint| drop(complaint.render()));
    }
}

pub(crate) fn test_seeds() -> Vec<String> {
    let mut seeds = files(".test.yaml");
    seeds.push(read("engine/cli/starter/workflows/welcome.test.yaml"));
    seeds
}

pub(crate) fn test(text: &str) {
    let programs: Vec<&Program> = PROGRAMS.iter().collect();
    let fields = known();
    let environment = TestEnvironment {
        programs: &programs,
        templates: &TEMPLATES,
        representatives: &BTreeSet::from(["ada".to_owned()]),
        time_zone: &TimeZone::UTC,
        fields: Some(&fields),
    };
    if let Err(complaints) = campaign_test::parse(&source(text), &environment) {
        complaints.iter().for_each(|complaint| drop(complaint.render()));
    }
}

/// Parts of the day, days of the week and dates, as `wait` and `quiet_hours` read them.
pub(crate) fn window(text: &str) {
    let now: Timestamp = "2024-03-30T23:30:00Z".parse().unwrap();
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    if let Ok(hours) = QuietHours::parse(text) {
        assert!(hours.end(now, &zone).is_none_or(|end| end > now));
        assert_eq!(QuietHours::parse(&hours.to_string()), Ok(hours));
    }
    for key in ["for", "until", "at", "between", "days", "spread", "time_zone"] {
        let mut config = json!({key: text});
        if let Value::Object(fields) = &mut config
            && !matches!(key, "for" | "until")
        {
            fields.insert("weekday".into(), "monday".into());
        }
        let bench = Bench::<Wait>::new(config).now_ms(now.as_millisecond());
        if bench.check().is_empty() {
            let zones = [Some("Europe/Berlin"), Some(text), None];
            assert!(bench.column("contact.time_zone", zones).run().is_ok(), "{key}: {text:?}");
        }
    }
}
