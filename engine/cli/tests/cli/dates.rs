//! Dates, holidays and events that wait, from the files to what is shown of a contact.

use insta::assert_snapshot;

use crate::support::{TestWorkspace, steady};

const RENEWAL: &str = "name: renewal
on: {date: contact.renewal_date, before: 30d, at: \"09:00\"}
enroll: {again: always, concurrency: queue}
steps:
  - wait: {between: \"10:00-17:00\", days: mon-fri, holidays: \"contact, office\"}
  - email: {template: welcome, subject: Your renewal}
";

const CART: &str = "name: cart
on: {event: cart.updated, debounce: 30m}
enroll: {again: always}
steps:
  - email: {template: welcome, subject: Your cart}
";

/// 24 December 2024 is a Tuesday; the 25th and 26th are holidays in Germany, the 27th is one of the office's own.
const TESTS: &str = "workflow: [renewal, cart]
from: 2024-12-01T09:00
time_zone: Europe/Berlin
contacts:
  mia: {email: mia@harbour.example, country: DE, renewal_date: 2025-01-24, consent: {email: true}}
  tom: {email: tom@anchor.example, country: FR, renewal_date: 2025-01-25, consent: {email: true}}
tests:
  - name: the reminder comes thirty days before, on a workday
    for: 60d
    expect:
      mia:
        mails: [{template: welcome, at: 2024-12-30T10:00}]
        no_other_mails: true
      tom:
        mails: [{template: welcome, at: 2024-12-26T10:00}]
        no_other_mails: true
  - name: one mail for a cart that is filled in three steps
    events:
      - {contact: mia, event: cart.updated, at: 10m}
      - {contact: mia, event: cart.updated, at: 20m}
      - {contact: mia, event: cart.updated, at: 45m}
    for: 3d
    expect:
      mia:
        mails: [{template: welcome, at: 75m}]
        no_other_mails: true
";

fn workspace() -> TestWorkspace {
    let workspace = TestWorkspace::new();
    workspace.remove("workflows/welcome.yaml");
    workspace.remove("workflows/welcome.test.yaml");
    workspace.write("workflows/renewal.yaml", RENEWAL);
    workspace.write("workflows/cart.yaml", CART);
    workspace.write("workflows/dates.test.yaml", TESTS);
    workspace.write("holidays.yaml", "calendars:\n  office: {days: [2024-12-27]}\n");
    workspace
}

#[test]
fn tests_of_campaigns_know_dates_holidays_and_events_that_wait() {
    let _steady = steady();
    let workspace = workspace();
    assert_snapshot!(workspace.run(&["test"]).shown(), @"
    [exit 0]
    ok    workflows/dates.test.yaml: the reminder comes thirty days before, on a workday  [time]
    ok    workflows/dates.test.yaml: one mail for a cart that is filled in three steps  [time]

    2 tests run: 2 passed, 0 failed in [time]
    cart: 1 of 1 steps taken
    renewal: 2 of 2 steps taken
    ");
    // Without its day the 27th is a workday.
    workspace.write("holidays.yaml", "calendars:\n  ofice: {days: [2024-12-27]}\n");
    assert_snapshot!(workspace.run(&["check"]).shown(), @r#"
    [exit 1]
    error[E0430]: there is no calendar of holidays `office`
     --> workflows/renewal.yaml:5:61
      |
    5 |   - wait: {between: "10:00-17:00", days: mon-fri, holidays: "contact, office"}
      |                                                             ^^^^^^^^^^^^^^^^^
      = help: did you mean `ofice`?

    2 workflows and 1 test file checked: 1 error
    For more about a complaint: dripline explain E0430
    "#);
    workspace.write("holidays.yaml", "calendars:\n  office: {days: [27.12.2024]}\n");
    assert_snapshot!(workspace.run(&["check"]).shown(), @r#"
    [exit 1]
    error[E0431]: `27.12.2024` is no date
     --> holidays.yaml:2:19
      |
    2 |   office: {days: [27.12.2024]}
      |                   ^^^^^^^^^^
      = help: write for example 2026-12-28

    error[E0430]: there is no calendar of holidays `office`
     --> workflows/renewal.yaml:5:61
      |
    5 |   - wait: {between: "10:00-17:00", days: mon-fri, holidays: "contact, office"}
      |                                                             ^^^^^^^^^^^^^^^^^
      = help: write `contact`, the code of a country (AT, AU, BE, BR, CH, CZ, DE, DK, EE, ES, FI, FR, GB, HR, IE, IT, LT, LU, NL, NO, PL, PT, SE, SI, SK, US), or the name of a calendar in holidays.yaml

    2 workflows and 1 test file checked: 2 errors
    For more about a complaint: dripline explain E0431
    "#);
}

#[test]
fn what_comes_is_shown_of_a_contact_and_of_a_workflow() {
    let _steady = steady();
    let workspace = workspace();
    workspace.write("people.csv", "external_id,email,renewal_date\nc1,c1@harbour.example,2099-04-20\n");
    let imported = workspace.run(&["import", "people.csv"]);
    assert_eq!(imported.code, 0, "{}{}", imported.out, imported.err);
    let ran = workspace.run(&["run"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let shown = workspace.run(&["contacts", "show", "c1"]);
    let coming = shown.out.split("What comes").nth(1).unwrap_or_default();
    assert!(
        coming.contains(
            "2099-03-21 08:00:00  date 2099-04-20 (30d before contact.renewal_date, at 09:00) [renewal]"
        ),
        "{}",
        shown.out
    );
    let json: serde_json::Value =
        serde_json::from_str(&workspace.run(&["contacts", "show", "c1", "--json"]).out).unwrap();
    assert_eq!(json["coming"][0]["at"], "2099-03-21T08:00:00Z");
    let shown = workspace.run(&["workflows", "show", "renewal"]).out;
    assert!(shown.contains("starts on date 30d before contact.renewal_date, at 09:00"), "{shown}");
    assert!(shown.contains("events wait for the run before to end"), "{shown}");
    let shown = workspace.run(&["workflows", "show", "cart"]).out;
    assert!(shown.contains("starts on event cart.updated, the last within 30m"), "{shown}");
}
