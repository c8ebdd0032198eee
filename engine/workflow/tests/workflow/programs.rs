//! What right files become.

use dripline_model::program::{Action, Path, Program, SplitArm};
use dripline_workflow::{Source, scores, segments, teams};

use crate::support::Workspace;

fn program(text: &str) -> Program {
    let (_, checked) = Workspace::new().generous().check(text);
    let rendered: Vec<String> = checked.diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
    assert!(rendered.is_empty(), "{}", rendered.join("\n"));
    checked.program.unwrap()
}

/// Each node on a line: index, id, what it does, where it goes.
fn ways(program: &Program) -> String {
    let to = |next: Option<u32>| next.map_or("end".to_owned(), |next| next.to_string());
    let lines = program.nodes.iter().enumerate().map(|(index, node)| {
        let guard = node.condition.as_ref().map(|condition| format!(" if {condition}")).unwrap_or_default();
        let action = match &node.action {
            Action::Plugin(step) => {
                let paths: String =
                    step.paths.iter().map(|(name, next)| format!(" {name}->{}", to(*next))).collect();
                format!("{}{paths}", step.plugin)
            }
            Action::Branch { condition, otherwise } => format!("branch {condition} else->{}", to(*otherwise)),
            Action::Switch { value, cases, otherwise } => {
                let cases: String =
                    cases.iter().map(|(case, next)| format!(" {case}->{}", to(*next))).collect();
                format!("switch {value}{cases} else->{}", to(*otherwise))
            }
            Action::Split { arms } => {
                let arm = |arm: &SplitArm| format!(" {}*{}->{}", arm.weight, arm.name, to(arm.next));
                format!("split{}", arms.iter().map(arm).collect::<String>())
            }
            Action::Experiment(experiment) => {
                let arm = |arm: &SplitArm| format!(" {}*{}->{}", arm.weight, arm.name, to(arm.next));
                format!("experiment{}", experiment.arms.iter().map(arm).collect::<String>())
            }
            Action::Parallel(parallel) => {
                let path = |path: &Path| format!(" {}->{}..{}", path.name, path.first, path.end);
                format!("parallel {:?}{}", parallel.join, parallel.paths.iter().map(path).collect::<String>())
            }
            Action::WaitFor(wait) => {
                let what = [wait.event.as_deref(), wait.condition.as_deref()];
                let what: Vec<_> = what.into_iter().flatten().collect();
                let (then, otherwise) = (to(wait.then), to(wait.otherwise));
                format!(
                    "wait for {} within {} then->{then} else->{otherwise}",
                    what.join(" with "),
                    wait.within
                )
            }
            Action::Run(call) => {
                let ways: String =
                    call.ways.iter().map(|(end, next)| format!(" {}->{}", end.name(), to(*next))).collect();
                format!("run {} {}{ways}", call.workflow, if call.waits { "waits" } else { "starts" })
            }
            Action::Goto => "goto".to_owned(),
            Action::Exit { reason } => format!("exit {reason:?}"),
        };
        format!("{index} {}: {action}{guard} ->{}", node.id, to(node.next))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_switch_and_a_split_lead_many_ways_and_meet_below() {
    let program = program(
        r#"
name: ways
on: manual
steps:
  - switch: contact.country
    if: contact.consent.email
    cases:
      DE: [{wait: 1d}]
      "United Kingdom":
        - exit: handed over
    default: [{wait: 2d}]
  - id: offer
    split: {discount: 20, nothing: 80}
    paths:
      discount: [{wait: 3d}]
  - switch: contact.title
    cases: {CEO: [{wait: 1d}, {goto: offer}]}
"#,
    );
    assert_eq!(program.format, 2);
    insta::assert_snapshot!(ways(&program), @r#"
    0 step-1: switch contact.country DE->1 United Kingdom->2 else->3 if contact.consent.email ->4
    1 step-1.case-1-1: wait ->4
    2 step-1.case-2-1: exit "handed over" ->4
    3 step-1.default-1: wait ->4
    4 offer: split 20*discount->5 80*nothing->6 ->6
    5 step-2.discount-1: wait ->6
    6 step-3: switch contact.title CEO->7 else->end ->end
    7 step-3.case-1-1: wait ->8
    8 step-3.case-1-2: goto ->4
    "#);
}

#[test]
fn paths_end_at_their_ends_and_experiments_go_on_below() {
    let program = program(
        r#"
name: ways
on: manual
steps:
  - parallel:
      mails:
        - if: contact.country == "DE"
          then: [{wait: 1d}]
        - parallel:
            a: [{wait: 1d}]
            b: [{wait: 2d}, {wait: 3d}]
          join: any
      sales:
        - wait: 4d
  - id: which
    experiment:
      arms: {short: 1, long: 2}
      goal: {if: contact.employees > 5, within: 3d}
      significance: 0.9
    paths:
      short: [{wait: 5d}]
  - wait: 6d
"#,
    );
    assert_eq!(program.format, 3);
    insta::assert_snapshot!(ways(&program), @r#"
    0 step-1: parallel All mails->1..7 sales->7..8 ->8
    1 step-1.mails-1: branch contact.country == "DE" else->3 ->2
    2 step-1.mails-1.then-1: wait ->3
    3 step-1.mails-2: parallel Any a->4..5 b->5..7 ->end
    4 step-1.mails-2.a-1: wait ->end
    5 step-1.mails-2.b-1: wait ->6
    6 step-1.mails-2.b-2: wait ->end
    7 step-1.sales-1: wait ->end
    8 which: experiment 1*short->9 2*long->10 ->10
    9 step-2.short-1: wait ->10
    10 step-3: wait ->end
    "#);
    let within = |index| program.path_of(index).map(|(at, path)| (at, path.name.clone()));
    assert_eq!(within(2), Some((0, "mails".to_owned())));
    assert_eq!(within(6), Some((3, "b".to_owned())));
    assert_eq!((within(0), within(8)), (None, None));
    let Action::Experiment(experiment) = &program.nodes[8].action else { panic!("{program:?}") };
    assert_eq!(
        (experiment.significance, experiment.minimum, experiment.hold_out),
        (Some(0.9), Some(500), None)
    );
}

#[test]
fn blocks_become_nodes_that_know_where_to_go() {
    let program = program(
        r#"
name: trial-nurture
on: [{event: trial.started}, {schedule: "30 9 * * 1-5"}, manual]
enroll:
  if: contact.consent.email && event.name == "trial.started"
  again: {after: 90d}
steps:
  - id: fit
    wait: 3d
  - if: contact.scores.fit >= 30
    then:
      - assign: {team: enterprise}
        if: contact.country == "DE"
      - exit: handed over
    else:
      - segment: {check: hot-leads}
        paths:
          member:
            - exit:
          not_member:
            - if: contact.country == "AT"
              then:
                - wait: 1d
  - if: contact.scores.fit < 5
    goto: fit
  - wait: {weekday: monday, at: 09:00}
"#,
    );
    insta::assert_snapshot!(ways(&program), @r#"
    0 fit: wait ->1
    1 step-2: branch contact.scores.fit >= 30 else->4 ->2
    2 step-2.then-1: assign if contact.country == "DE" ->3
    3 step-2.then-2: exit "handed over" ->8
    4 step-2.else-1: segment member->5 not_member->6 ->8
    5 step-2.else-1.member-1: exit "" ->8
    6 step-2.else-1.not_member-1: branch contact.country == "AT" else->8 ->7
    7 step-2.else-1.not_member-1.then-1: wait ->8
    8 step-3: branch contact.scores.fit < 5 else->9 ->0
    9 step-4: wait ->end
    "#);
    insta::assert_compact_debug_snapshot!(
        (&program.triggers, &program.again, &program.nodes[3].line),
        @r#"([Event("trial.started"), Schedule { cron: "30 9 * * 1-5", time_zone: "Europe/Berlin" }, Manual], After("90d"), 14)"#
    );
}

#[test]
fn marked_fields_become_columns_in_the_order_of_the_file() {
    let program = program(
        r#"
name: columns
on: manual
steps:
  - email:
      variants:
        de: {subject: "Hallo {{contact.first_name}}", template: trial/nudge}
      subject: Hello
      template: trial/welcome
      language: contact.language
  - id: rate
    score:
      name: fit
      rules:
        - {if: true, add: 5}
        - {if: contact.employees > 10, add: 7, because: size}
  - crm: {target: {company: contact.country, employees: 5}, note: "Hi {{contact.title}}"}
  - assign: {team: smb, by: round_robin}
  - segment: {check: hot-leads}
  - wait: 2h 30m
"#,
    );
    let steps: Vec<_> = program
        .nodes
        .iter()
        .filter_map(|node| node.plugin_step())
        .map(|step| {
            let columns: Vec<String> = step
                .columns
                .iter()
                .map(|column| format!("{} {:?} {:?}", column.name, column.column, column.value))
                .collect();
            format!(
                "{} {} state={:?} teams={:?}\n  {}",
                step.plugin,
                step.config,
                step.state_key,
                step.teams,
                columns.join("\n  ")
            )
        })
        .collect();
    insta::assert_snapshot!(steps.join("\n"), @r#"
    email {"variants":{"de":{"subject":0,"template":"trial/nudge"}},"subject":1,"template":"trial/welcome","language":2} state=None teams=[]
      /variants/de/subject Text Template("Hallo {{contact.first_name}}")
      /subject Text Template("Hello")
      /language Text Cel("contact.language")
    score {"name":"fit","rules":[{"if":0,"add":5},{"if":1,"add":7,"because":"size"}]} state=None teams=[]
      /rules/0/if Boolean Cel("true")
      /rules/1/if Boolean Cel("contact.employees > 10")
    crm {"target":{"company":1,"employees":5},"note":2} state=Some("columns/step-3") teams=[]
      contact.email Text Cel("contact.email")
      /target/company Text Cel("contact.country")
      /note Text Template("Hi {{contact.title}}")
    assign {"team":"smb","by":"round_robin"} state=Some("team=smb") teams=["/team"]
      contact.owner Text Cel("contact.owner")
    segment {"check":0} state=None teams=[]
      /check Boolean Member("hot-leads")
    wait {"for":"2h 30m","time_zone":"Europe/Berlin"} state=None teams=[]
      contact.time_zone Text Zone
    "#);
    let templates: Vec<&str> = program.templates.keys().map(String::as_str).collect();
    assert_eq!(templates, ["layout.html", "trial/nudge.txt", "trial/welcome.html", "trial/welcome.txt"]);
}

#[test]
fn aliases_repeat_what_they_mark() {
    let program = program(
        "name: x\non: manual\nsteps:\n  - &pause\n    wait: 1d\n  - if: contact.country == \"DE\"\n    then: [*pause]\n",
    );
    insta::assert_snapshot!(ways(&program), @r#"
    0 step-1: wait ->1
    1 step-2: branch contact.country == "DE" else->end ->2
    2 step-2.then-1: wait ->end
    "#);
}

#[test]
fn the_same_text_is_the_same_version() {
    let text = "name: x\non: manual\nsteps:\n  - wait: 1d\n";
    assert_eq!(program(text).digest(), program(text).digest());
    assert_ne!(program(text).digest(), program(&text.replace("1d", "2d")).digest());
}

/// Every example in the documentation that is a whole workflow is right.
#[test]
fn the_documentations_examples_are_right() {
    let page =
        concat!(include_str!("../../../../docs/workflows.md"), include_str!("../../../../docs/scoring.md"));
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let mut checked = 0;
    for block in blocks {
        if block.starts_with("name:") {
            assert!(!program(block).nodes.is_empty());
            checked += 1;
        } else if block.starts_with("# segments/") {
            let source = Source { path: "segments/x.yaml".into(), text: block.into() };
            let (files, diagnostics) = segments::check(vec![source], None);
            // The other segment that it asks for stands in another example.
            assert!(files[0].segment.is_some(), "{diagnostics:#?}");
            checked += 1;
        } else if block.starts_with("representatives:") {
            let source = Source { path: "teams.yaml".into(), text: block.into() };
            assert_eq!(teams::parse(&source).unwrap().1.len(), 1);
        } else if block.starts_with("scores:") {
            let source = Source { path: "scores.yaml".into(), text: block.into() };
            assert_eq!(scores::parse(&source).unwrap().names().count(), 5);
        }
    }
    assert!(checked >= 3, "the examples are gone");
}

#[test]
fn a_share_is_kept_and_changes_no_program_without_one() {
    let text = |settings: &str| format!("name: a\non: manual\n{settings}steps:\n  - exit: {{}}\n");
    let without = program(&text(""));
    assert_eq!(without.share, None);
    let json = serde_json::to_value(&without).unwrap();
    assert!(json.get("share").is_none(), "older programs keep their digests");
    assert_eq!(serde_json::from_value::<Program>(json).unwrap(), without);
    assert_eq!(program(&text("settings: {share: 100}\n")).share, Some(100));
    assert_eq!(program(&text("settings: {}\n")).share, None);
}
