//! What time makes of a workflow: caps, quiet hours, waits at the end.

use dripline_model::{
    duration,
    policy::{Cap, CapClass},
};
use dripline_workflow::pace;
use insta::assert_snapshot;

use crate::support::Workspace;

/// The warnings about steps under these caps (`at_most`, `within`).
fn warnings(top: &str, steps: &str, caps: &[(u32, &str)]) -> String {
    let workspace = Workspace::new();
    let (source, checked) = workspace.check(&format!("name: x\non: manual\n{top}steps:\n{steps}"));
    let program = checked.program.as_ref().unwrap_or_else(|| panic!("{:#?}", checked.diagnostics));
    let cap = |(at_most, within): &(u32, &str)| Cap {
        class: CapClass::Marketing,
        at_most: *at_most,
        within: duration::parse(within).unwrap(),
    };
    let caps: Vec<Cap> = caps.iter().map(cap).collect();
    let environment = workspace.environment();
    let found = pace::check(&source, program, &checked.configs, environment.plugins, &caps);
    found.iter().map(|diagnostic| diagnostic.render()).collect::<Vec<_>>().join("\n")
}

fn mail(rest: &str) -> String {
    format!("  - email: {{template: trial/nudge, subject: Hi}}\n{rest}")
}

const SOON: &str = "    expires: 1d\n";

#[test]
fn mails_that_a_cap_never_lets_out() {
    let weekly: &[(u32, &str)] = &[(1, "7d")];
    let three = [mail(SOON), mail(SOON), mail(SOON)].concat();
    assert_snapshot!(warnings("", &three, weekly), @r"
    warning[W0730]: this mail is always skipped: at most 1 marketing email in 7d, and the mails before it leave no room before `expires: 1d`
     --> workflows/x.yaml:6:5
      |
    6 |   - email: {template: trial/nudge, subject: Hi}
      |     ^^^^^
      = help: wait before it until there is room again, let it come later (`expires`), or leave one of the mails out

    warning[W0730]: this mail is always skipped: at most 1 marketing email in 7d, and the mails before it leave no room before `expires: 1d`
     --> workflows/x.yaml:8:5
      |
    8 |   - email: {template: trial/nudge, subject: Hi}
      |     ^^^^^
      = help: wait before it until there is room again, let it come later (`expires`), or leave one of the mails out
    ");
    // There is room for all, or they wait long enough.
    assert_eq!(warnings("", &three, &[(3, "7d")]), "");
    assert_eq!(warnings("", &[mail(SOON), mail("    expires: 8d\n")].concat(), weekly), "");
    assert_eq!(warnings("", &[mail(SOON), mail("")].concat(), weekly), "");
    assert_eq!(warnings("", &[mail(""), "  - wait: 8d\n".into(), mail(SOON)].concat(), weekly), "");
    // Six days of seven are waited, and one day it may be late: in a week in which the clocks are set that may do.
    assert_eq!(warnings("", &[mail(""), "  - wait: 6d\n".into(), mail(SOON)].concat(), weekly), "");
    let short = [mail(""), "  - wait: 3d\n".into(), mail(SOON)].concat();
    assert_snapshot!(warnings("", &short, weekly), @r"
    warning[W0730]: this mail is always skipped: at most 1 marketing email in 7d, and the mails before it leave no room before `expires: 1d`
     --> workflows/x.yaml:6:5
      |
    6 |   - email: {template: trial/nudge, subject: Hi}
      |     ^^^^^
      = help: wait before it until there is room again, let it come later (`expires`), or leave one of the mails out
    ");
    // How long an event takes is not known, but no longer than `within`.
    let event = |within: &str| {
        format!(
            "  - wait_for: {{event: a, within: {within}}}\n    then:\n      - score: {{name: b, add: 1}}\n"
        )
    };
    assert_eq!(warnings("", &[mail(""), event("10d"), mail(SOON)].concat(), weekly), "");
    assert_ne!(warnings("", &[mail(""), event("2d"), mail(SOON)].concat(), weekly), "");
    // Where one way leads past the first mail, the second may go out.
    let guarded = [mail("    if: contact.country == \"DE\"\n"), mail(SOON)].concat();
    assert_eq!(warnings("", &guarded, weekly), "");
    // A receipt does not count.
    let receipt = "  - email: {template: trial/nudge, subject: Hi, transactional: true}\n".to_owned();
    assert_eq!(warnings("", &[receipt, mail(SOON)].concat(), weekly), "");
}

#[test]
fn loops_come_to_an_end_in_the_checker_too() {
    let steps = format!(
        "  - id: again\n    email: {{template: trial/nudge, subject: Hi}}\n{SOON}  - wait: 1m\n  - if: contact.country == \"DE\"\n    exit: done\n  - goto: again\n"
    );
    assert_eq!(warnings("", &[mail(""), steps].concat(), &[(1, "300d"), (2, "7d")]), "");
}

#[test]
fn waits_that_end_in_the_quiet_hours() {
    let top = "settings: {quiet_hours: \"20:00-08:00\"}\n";
    let wait = |config: &str| format!("  - wait: {config}\n  - score: {{name: a, add: 1}}\n{}", mail(""));
    assert_snapshot!(warnings(top, &wait("{between: \"21:00-23:00\", days: mon-fri}"), &[]), @r#"
    warning[W0731]: this wait ends in the quiet hours 20:00-08:00, so the mail behind it waits for their end
     --> workflows/x.yaml:5:21
      |
    5 |   - wait: {between: "21:00-23:00", days: mon-fri}
      |                     ^^^^^^^^^^^^^
      = help: let it end outside of `settings.quiet_hours`, or change these
    "#);
    assert_snapshot!(warnings(top, &wait("{at: \"07:30\"}"), &[]), @r#"
    warning[W0731]: this wait ends in the quiet hours 20:00-08:00, so the mail behind it waits for their end
     --> workflows/x.yaml:5:16
      |
    5 |   - wait: {at: "07:30"}
      |                ^^^^^^^
      = help: let it end outside of `settings.quiet_hours`, or change these
    "#);
    for right in ["{between: \"07:00-09:00\"}", "{at: \"08:00\"}", "3d", "{at: \"07:30\", spread: 2h}"] {
        assert_eq!(warnings(top, &wait(right), &[]), "", "{right}");
    }
    assert_eq!(warnings("", &wait("{at: \"07:30\"}"), &[]), "", "it is never quiet");
    let later = format!("  - wait: {{at: \"07:30\"}}\n  - wait: 3h\n{}", mail(""));
    assert_eq!(warnings(top, &later, &[]), "", "another wait lies between");
}

#[test]
fn waits_at_the_end_reach_no_goal() {
    let steps = format!("{}  - wait: 14d\n", mail(""));
    assert_snapshot!(warnings("goals: {event: subscription.paid}\n", &steps, &[]), @r"
    warning[W0732]: no step follows this wait, so the run ends here at once
     --> workflows/x.yaml:6:5
      |
    6 |   - wait: 14d
      |     ^^^^
      = help: `goals` and `exits` are not waited for behind the last step; put a step behind the wait, for example `exit: not won`
    ");
    assert_eq!(warnings("", &steps, &[]), "", "nothing is waited for");
    let right = format!("{steps}  - exit: not won\n");
    assert_eq!(warnings("goals: {event: subscription.paid}\n", &right, &[]), "");
}
