//! `tests/simulation/CASE.yaml`, a behaviour or a file of tests, gives the diagnostics in `CASE.stderr` beside it.

use std::{collections::BTreeSet, fs, path::Path};

use dripline_model::program::Program;
use dripline_workflow::{
    Source,
    behaviour::{self, Known},
    campaign_test::{self, TestEnvironment},
};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::support::Workspace;

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

/// The complaints about a file.
fn complaints(text: &str, is_test: bool) -> String {
    let workspace = Workspace::new();
    let programs: Vec<Program> =
        [WELCOME, OTHER].map(|text| workspace.check(text).1.program.unwrap()).into_iter().collect();
    let programs: Vec<&Program> = programs.iter().collect();
    let templates = ["trial/welcome", "trial/nudge"];
    let declared = "fields: {country: text, employees: integer, plan: {type: text, values: [free, pro]}}\ntopics: {news: what is new}\n";
    let declared = Source { path: "fields.yaml".into(), text: declared.into() };
    let fields = dripline_workflow::fields::parse(&declared).unwrap();
    let source = Source { path: "x.yaml".into(), text: text.into() };
    let found = if is_test {
        let representatives = BTreeSet::from(["ada".to_owned(), "bo".to_owned()]);
        let environment = TestEnvironment {
            programs: &programs,
            templates: &templates,
            representatives: &representatives,
            time_zone: &TimeZone::UTC,
            fields: Some(&fields),
        };
        campaign_test::parse(&source, &environment).map(drop)
    } else {
        behaviour::parse(
            &source,
            &Known { programs: &programs, templates: &templates, fields: Some(&fields) },
        )
        .map(drop)
    };
    let rendered: Vec<String> =
        found.err().unwrap_or_default().iter().map(|diagnostic| diagnostic.render()).collect();
    rendered.join("\n")
}

#[test]
fn every_case_gives_its_diagnostics() {
    let bless = std::env::var_os("DRIPLINE_BLESS").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulation");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    assert!(cases.len() >= 5, "the cases are gone");
    let mut different = Vec::new();
    for case in cases {
        let is_test = campaign_test::is_test_file(case.to_str().unwrap());
        let rendered = complaints(&fs::read_to_string(&case).unwrap(), is_test);
        let expected = case.with_extension("stderr");
        if bless {
            fs::write(&expected, rendered).unwrap();
        } else if fs::read_to_string(&expected).unwrap() != rendered {
            different.push(format!("{}:\n{rendered}", case.display()));
        }
    }
    assert!(different.is_empty(), "{}\nThese differ; DRIPLINE_BLESS=1 writes them.", different.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is put in the place of a part of a right file: complaints, and no panic.
    #[test]
    fn nothing_makes_the_readers_panic(
        at in 0_usize..2_000,
        length in 0_usize..40,
        put in "[-\\[\\]{}:,.%>=a-z0-9\\n \"'&*!|#ä]{0,12}",
        is_test in any::<bool>(),
    ) {
        let right = if is_test {
            include_str!("../simulation/right.test.yaml")
        } else {
            include_str!("../simulation/right-behaviour.yaml")
        };
        let boundary = |mut at: usize| {
            at %= right.len() + 1;
            while !right.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (from, to) = (boundary(at), boundary((at % (right.len() + 1) + length).min(right.len())));
        let text = format!("{}{put}{}", &right[..from.min(to)], &right[from.max(to)..]);
        let _ = complaints(&text, is_test);
    }
}
