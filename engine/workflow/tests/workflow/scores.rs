//! What `scores.yaml` declares, against what workflows and texts say of scores.

use dripline_model::field::Fields;
use dripline_workflow::{Source, scores, segments};

use crate::support::Workspace;

const SCORES: &str = "
scores:
  fit: {max: 100, grades: {A: 80, B: 60, C: 0}}
  intent: {decay: {half_life: 14d}, grades: {hot: 60, warm: 30, cold: 0}}
  visits:
";

fn declared() -> Fields {
    let source = Source { path: scores::FILE.into(), text: SCORES.into() };
    Fields::anything().with_scores(scores::parse(&source).unwrap())
}

fn rendered(workspace: &Workspace, text: &str) -> String {
    let (_, checked) = workspace.check(text);
    let all: Vec<String> = checked.diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
    all.join("\n")
}

const WRONG: &str = r#"
name: scoring
on: manual
enroll: {if: contact.scores.intnt >= 3 && contact.anything == 7}
steps:
  - score: {name: fitt, add: 5, because: a slip}
  - score: {name: interest, add: 5}
  - if: contact.grades.intent == "hott" || contact.grades.fit in ["A", "D"]
    exit: never
  - if: contact.grades.visits == "hot" && contact.grades.itent == "hot"
    exit: never
  - if: contact.grades.intent > 3
    exit: never
  - email: {template: mail, subject: "{{contact.grades.visits}} of {{contact.scores.intent}}"}
"#;

#[test]
fn scores_and_grades_that_there_are_not_are_found() {
    let templates = [("mail.html", "{{contact.scores.fitt}} {{contact.grades.intent}} {{contact.name}}")];
    let workspace = Workspace::new().knowing(declared()).with_templates(&templates);
    insta::assert_snapshot!(rendered(&workspace, WRONG), @r#"
    error[E0850]: there is no score `intnt`
     --> workflows/x.yaml:4:14
      |
    4 | enroll: {if: contact.scores.intnt >= 3 && contact.anything == 7}
      |              ^^^^^^^^^^^^^^^^^^^^
      = help: did you mean `intent`?

    error[E0851]: there is no score `fitt`
     --> workflows/x.yaml:6:19
      |
    6 |   - score: {name: fitt, add: 5, because: a slip}
      |                   ^^^^
      = help: did you mean `fit`?

    error[E0851]: there is no score `interest`
     --> workflows/x.yaml:7:19
      |
    7 |   - score: {name: interest, add: 5}
      |                   ^^^^^^^^
      = help: declare the score `interest` in scores.yaml

    error[E0852]: the grade of `intent` is never "hott"
     --> workflows/x.yaml:8:34
      |
    8 |   - if: contact.grades.intent == "hott" || contact.grades.fit in ["A", "D"]
      |                                  ^^^^^^
      = help: did you mean "hot"?

    error[E0852]: the grade of `fit` is never "D"
     --> workflows/x.yaml:8:72
      |
    8 |   - if: contact.grades.intent == "hott" || contact.grades.fit in ["A", "D"]
      |                                                                        ^^^
      = help: its grades are A, B, C

    error[E0852]: the score `visits` has no grades
      --> workflows/x.yaml:10:9
       |
    10 |   - if: contact.grades.visits == "hot" && contact.grades.itent == "hot"
       |         ^^^^^^^^^^^^^^^^^^^^^
       = help: give it some in scores.yaml: visits: {grades: {hot: 60, warm: 30, cold: 0}}

    error[E0850]: there is no score `itent`
      --> workflows/x.yaml:10:43
       |
    10 |   - if: contact.grades.visits == "hot" && contact.grades.itent == "hot"
       |                                           ^^^^^^^^^^^^^^^^^^^^
       = help: did you mean `intent`?

    error[E0511]: `>` cannot compare text with a number
      --> workflows/x.yaml:12:9
       |
    12 |   - if: contact.grades.intent > 3
       |         ^^^^^^^^^^^^^^^^^^^^^^^^^
       = help: leave the quotation marks off the number, or put both sides between them

    error[E0852]: the score `visits` has no grades
      --> workflows/x.yaml:14:41
       |
    14 |   - email: {template: mail, subject: "{{contact.grades.visits}} of {{contact.scores.intent}}"}
       |                                         ^^^^^^^^^^^^^^^^^^^^^
       = help: give it some in scores.yaml: visits: {grades: {hot: 60, warm: 30, cold: 0}}

    error[E0850]: there is no score `fitt`
     --> templates/mail.html:1:3
      |
    1 | {{contact.scores.fitt}} {{contact.grades.intent}} {{contact.name}}
      |   ^^^^^^^^^^^^^^^^^^^
      = help: did you mean `fit`?
    "#);
}

#[test]
fn without_the_file_any_score_goes_and_none_has_grades() {
    let workspace = Workspace::new()
        .knowing(Fields::anything())
        .with_templates(&[("mail.html", "{{contact.scores.fitt}}")]);
    insta::assert_snapshot!(rendered(&workspace, &WRONG.replace("contact.anything == 7", "true")), @r#"
    error[E0852]: the score `intent` has no grades
     --> workflows/x.yaml:8:9
      |
    8 |   - if: contact.grades.intent == "hott" || contact.grades.fit in ["A", "D"]
      |         ^^^^^^^^^^^^^^^^^^^^^
      = help: give it some in scores.yaml: intent: {grades: {hot: 60, warm: 30, cold: 0}}

    error[E0852]: the score `fit` has no grades
     --> workflows/x.yaml:8:44
      |
    8 |   - if: contact.grades.intent == "hott" || contact.grades.fit in ["A", "D"]
      |                                            ^^^^^^^^^^^^^^^^^^
      = help: give it some in scores.yaml: fit: {grades: {hot: 60, warm: 30, cold: 0}}

    error[E0852]: the score `visits` has no grades
      --> workflows/x.yaml:10:9
       |
    10 |   - if: contact.grades.visits == "hot" && contact.grades.itent == "hot"
       |         ^^^^^^^^^^^^^^^^^^^^^
       = help: give it some in scores.yaml: visits: {grades: {hot: 60, warm: 30, cold: 0}}

    error[E0852]: the score `itent` has no grades
      --> workflows/x.yaml:10:43
       |
    10 |   - if: contact.grades.visits == "hot" && contact.grades.itent == "hot"
       |                                           ^^^^^^^^^^^^^^^^^^^^
       = help: give it some in scores.yaml: itent: {grades: {hot: 60, warm: 30, cold: 0}}

    error[E0511]: `>` cannot compare text with a number
      --> workflows/x.yaml:12:9
       |
    12 |   - if: contact.grades.intent > 3
       |         ^^^^^^^^^^^^^^^^^^^^^^^^^
       = help: leave the quotation marks off the number, or put both sides between them

    error[E0852]: the score `intent` has no grades
      --> workflows/x.yaml:12:9
       |
    12 |   - if: contact.grades.intent > 3
       |         ^^^^^^^^^^^^^^^^^^^^^
       = help: give it some in scores.yaml: intent: {grades: {hot: 60, warm: 30, cold: 0}}

    error[E0852]: the score `visits` has no grades
      --> workflows/x.yaml:14:41
       |
    14 |   - email: {template: mail, subject: "{{contact.grades.visits}} of {{contact.scores.intent}}"}
       |                                         ^^^^^^^^^^^^^^^^^^^^^
       = help: give it some in scores.yaml: visits: {grades: {hot: 60, warm: 30, cold: 0}}
    "#);
}

#[test]
fn a_rule_of_a_segment_may_ask_for_scores_that_fade() {
    let source =
        |text: &str| Source { path: "segments/hot.yaml".into(), text: format!("name: hot\nif: {text}\n") };
    let check = |text: &str| {
        let (files, diagnostics) = segments::check(vec![source(text)], Some(&declared()));
        (
            files[0].segment.is_some(),
            diagnostics.iter().map(|diagnostic| diagnostic.code.as_str()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(check("contact.grades.intent == \"hot\" && contact.scores.visits > 3"), (true, vec![]));
    assert_eq!(check("contact.scores.visit > 3"), (false, vec!["E0850"]));
    assert_eq!(check("contact.grades.intent == \"HOT\""), (false, vec!["E0852"]));
}
