//! `tests/diagnostics/CASE.yaml` gives the diagnostics in `CASE.stderr` beside it.

use std::{fs, path::Path};

use dripline_workflow::{Code, Severity, codes, explain, plugin_problem, teams};

use crate::support::Workspace;

const BLESS: &str = "DRIPLINE_BLESS";

#[test]
fn every_case_gives_its_diagnostics() {
    let workspace = Workspace::new();
    let bless = std::env::var_os(BLESS).is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    assert!(cases.len() > 20, "the cases are gone");
    let mut different = Vec::new();
    for case in cases {
        let text = fs::read_to_string(&case).unwrap();
        let (_, checked) = workspace.check(&text);
        let is_error = checked.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        assert_eq!(checked.program.is_none(), is_error, "{}", case.display());
        let rendered: Vec<String> =
            checked.diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
        let (rendered, expected) = (rendered.join("\n"), case.with_extension("stderr"));
        if bless {
            fs::write(&expected, rendered).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != rendered {
            different.push(format!("{}:\n{rendered}", case.display()));
        }
    }
    assert!(
        different.is_empty(),
        "{}\nThese differ. If that is right, run the test once more with {BLESS}=1 and read the diff.",
        different.join("\n")
    );
}

/// Files that are awkward to keep as files.
#[test]
fn monstrous_files_are_refused_and_nothing_more() {
    let workspace = Workspace::new();
    let code = |text: &str| {
        let (_, checked) = workspace.check(text);
        checked.diagnostics.first().map(|diagnostic| diagnostic.code)
    };
    assert_eq!(code(&"[".repeat(10_000)), Some(Code::Depth));
    assert_eq!(code(&"- ".repeat(10_000)), Some(Code::Depth));
    let nested: String = (0..10_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).take(1000).collect();
    assert_eq!(code(&nested), Some(Code::Depth));
    assert_eq!(code(&format!("name: {}", "a".repeat(1 << 20))), Some(Code::TooLarge));
    assert_eq!(code(&format!("steps: [{}]", "1,".repeat(150_000))), Some(Code::Nodes));
    let bomb: String =
        (1..40).map(|level| format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1)).collect();
    assert_eq!(code(&format!("a0: &a0 [x, x]\n{bomb}")), Some(Code::Nodes));
    let long = "x".repeat(100_000);
    assert_eq!(code(&format!("a: &a {long}\nb: [{}]", "*a,".repeat(1000))), Some(Code::Nodes));
    assert_eq!(code("a: &a [*a]"), Some(Code::Alias));
    assert_eq!(code(""), Some(Code::Empty));
    assert_eq!(code("# nothing\n"), Some(Code::Empty));
    let steps = "  - wait: 1d\n".repeat(1001);
    assert_eq!(code(&format!("name: x\non: manual\nsteps:\n{steps}")), Some(Code::TooManySteps));
}

#[test]
fn a_plugins_own_complaint_is_placed_in_the_file() {
    let text = "name: x\non: manual\nsteps:\n  - wait: 1d\n  - if: contact.country == \"DE\"\n    then:\n      - score: {name: fit, min: 5, max: 1, add: 1}\n";
    let (source, checked) = Workspace::new().check(text);
    let place = |index: usize, pointer: &str| {
        let diagnostic = plugin_problem(&source, &checked.configs[index], pointer, "no", Some("yes"));
        let marked: String = diagnostic
            .source_line
            .chars()
            .skip(diagnostic.column as usize - 1)
            .take(diagnostic.length as usize)
            .collect();
        (diagnostic.line, marked)
    };
    assert_eq!(place(1, "/min"), (7, "5".to_owned()));
    assert_eq!(place(1, ""), (7, "score".to_owned()));
    assert_eq!(place(0, "/for"), (4, "1d".to_owned()));
}

#[test]
fn every_code_has_a_page() {
    for code in codes() {
        assert!(explain(code.as_str()).unwrap().len() > 20, "{code}");
    }
    assert_eq!(explain("e0102"), Some(Code::Syntax.explanation()));
    assert_eq!(explain("E9999"), None);
    let source = dripline_workflow::Source { path: "teams.yaml".into(), text: "teams: 3".into() };
    assert_eq!(teams::parse(&source).unwrap_err().len(), 1);
}
