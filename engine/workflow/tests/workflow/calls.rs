//! Workflows that call each other: what only all files together can say.

use dripline_workflow::calls;

use crate::support::Workspace;

const CALLED: &str = "name: nurture
on: called
inputs: {product: text, times: {type: integer, default: 2}}
steps:
  - run: relay
  - wait: 1d
";

const RELAY: &str = "name: relay\non: called\nsteps:\n  - if: now > timestamp(\"2024-01-01T00:00:00Z\")\n    then:\n      - run: {workflow: caller, wait: false}\n";

#[test]
fn calls_are_held_against_what_the_others_say() {
    let workspace = Workspace::new().generous();
    let text = "name: caller
on: called
inputs: {plan: text}
steps:
  - run: {workflow: nurture, with: {times: input.plan, prodct: '\"x\"'}}
  - run: {workflow: nurtur}
  - run: {workflow: other, with: {more: '1'}}
  - run: {workflow: other}
";
    let (source, checked) = workspace.check(text);
    let program = checked.program.unwrap();
    let all: Vec<_> = [text, CALLED, RELAY, "name: other\non: manual\nsteps:\n  - wait: 1d\n"]
        .into_iter()
        .filter_map(|text| calls::signature(&workspace.check(text).0))
        .collect();
    assert_eq!(all[1].calls.iter().map(String::as_str).collect::<Vec<_>>(), ["relay"]);
    let found = calls::check(&source, &program, &checked.calls, &all, &workspace.environment());
    let rendered: Vec<String> = found.iter().map(|diagnostic| diagnostic.render()).collect();
    insta::assert_snapshot!(rendered.join("\n"), @r#"
    error[E0374]: this workflow would call itself: caller calls nurture calls relay calls caller
     --> workflows/x.yaml:5:21
      |
    5 |   - run: {workflow: nurture, with: {times: input.plan, prodct: '"x"'}}
      |                     ^^^^^^^
      = help: a run would start runs without end; leave one of these calls out

    error[E0373]: `nurture` needs the input `product`
     --> workflows/x.yaml:5:30
      |
    5 |   - run: {workflow: nurture, with: {times: input.plan, prodct: '"x"'}}
      |                              ^^^^
      = help: add with: {product: …}

    error[E0373]: `times` of `nurture`: this gives text, but a number is wanted here
     --> workflows/x.yaml:5:44
      |
    5 |   - run: {workflow: nurture, with: {times: input.plan, prodct: '"x"'}}
      |                                            ^^^^^^^^^^

    error[E0373]: `nurture` has no input `prodct`
     --> workflows/x.yaml:5:64
      |
    5 |   - run: {workflow: nurture, with: {times: input.plan, prodct: '"x"'}}
      |                                                                ^^^^^
      = help: did you mean `product`?

    error[E0372]: there is no workflow `nurtur`
     --> workflows/x.yaml:6:21
      |
    6 |   - run: {workflow: nurtur}
      |                     ^^^^^^
      = help: did you mean `nurture`?

    error[E0373]: `other` has no input `more`
     --> workflows/x.yaml:7:41
      |
    7 |   - run: {workflow: other, with: {more: '1'}}
      |                                         ^^^
      = help: it has no `inputs`; remove it
    "#);
}

#[test]
fn who_is_only_called_may_be_called_again() {
    let workspace = Workspace::new().generous();
    let again = |on: &str| {
        let (_, checked) = workspace.check(&format!("name: x\non: {on}\nsteps:\n  - wait: 1d\n"));
        serde_json::to_value(checked.program.unwrap().again).unwrap()
    };
    assert_eq!(again("called"), "always");
    assert_eq!((again("[called, manual]"), again("manual")), ("never".into(), "never".into()));
}
