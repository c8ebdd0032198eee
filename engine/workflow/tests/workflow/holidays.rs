//! `holidays.yaml`, and what steps say of its calendars.

use dripline_model::{
    holidays::{Calendar, Holidays},
    program::{Action, Program, ValueSource},
};
use dripline_workflow::{Source, holidays};
use insta::assert_snapshot;
use jiff::civil::date;

use crate::support::Workspace;

fn source(text: &str) -> Source {
    Source { path: holidays::FILE.into(), text: text.into() }
}

#[test]
fn a_file_gives_its_calendars() {
    let text = "calendars:
  office:
    countries: [DE, AT]
    days: [2026-12-28]
    yearly: [12-24, 02-29]
    except: [2026-10-31]
  DE: {countries: [DE]}
  none:
";
    let calendars = holidays::parse(&source(text));
    let Err(complaints) = &calendars else { panic!("{calendars:?}") };
    assert_eq!(complaints.len(), 1, "a calendar without anything is a slip");
    let calendars = holidays::parse(&source(&text.replace("  none:\n", ""))).unwrap();
    let office = Calendar {
        countries: ["DE".to_owned(), "AT".to_owned()].into(),
        days: [date(2026, 12, 28)].into(),
        yearly: [(12, 24), (2, 29)].into(),
        except: [date(2026, 10, 31)].into(),
    };
    assert_eq!(calendars["office"], office);
    assert_eq!(calendars["DE"], Calendar::of("DE"));
    assert_eq!(holidays::parse(&source("calendars:\n")).unwrap().len(), 0);
}

#[test]
fn mistakes_have_their_places() {
    let text = "calendars:
  contact: {countries: [DE]}
  The Office: {countries: [de, Germany, XX]}
  office:
    days: [2026-13-01, tomorrow, 2026-1-1]
    yearly: [02-30, \"1-1\"]
    except: 2026-10-31
    closed: [sun]
calendar: {}
";
    let complaints = holidays::parse(&source(text)).unwrap_err();
    let said: Vec<String> = complaints.iter().map(|complaint| complaint.render()).collect();
    assert_snapshot!(said.join("\n"), @r#"
    error[E0431]: `contact` means the calendar of the contact's country
     --> holidays.yaml:2:3
      |
    2 |   contact: {countries: [DE]}
      |   ^^^^^^^
      = help: give the calendar another name

    error[E0431]: `The Office` is no name of a calendar
     --> holidays.yaml:3:3
      |
    3 |   The Office: {countries: [de, Germany, XX]}
      |   ^^^^^^^^^^
      = help: write small letters, digits and `-`; or the code of a country, DE, whose calendar it replaces

    error[E0431]: the holidays of `de` are not known
     --> holidays.yaml:3:28
      |
    3 |   The Office: {countries: [de, Germany, XX]}
      |                            ^^
      = help: did you mean `DE`?

    error[E0431]: the holidays of `Germany` are not known
     --> holidays.yaml:3:32
      |
    3 |   The Office: {countries: [de, Germany, XX]}
      |                                ^^^^^^^
      = help: known are AT, AU, BE, BR, CH, CZ, DE, DK, EE, ES, FI, FR, GB, HR, IE, IT, LT, LU, NL, NO, PL, PT, SE, SI, SK, US; list the days of others in `days`

    error[E0431]: the holidays of `XX` are not known
     --> holidays.yaml:3:41
      |
    3 |   The Office: {countries: [de, Germany, XX]}
      |                                         ^^
      = help: known are AT, AU, BE, BR, CH, CZ, DE, DK, EE, ES, FI, FR, GB, HR, IE, IT, LT, LU, NL, NO, PL, PT, SE, SI, SK, US; list the days of others in `days`

    error[E0431]: `2026-13-01` is no date
     --> holidays.yaml:5:12
      |
    5 |     days: [2026-13-01, tomorrow, 2026-1-1]
      |            ^^^^^^^^^^
      = help: write for example 2026-12-28

    error[E0431]: `tomorrow` is no date
     --> holidays.yaml:5:24
      |
    5 |     days: [2026-13-01, tomorrow, 2026-1-1]
      |                        ^^^^^^^^
      = help: write for example 2026-12-28

    error[E0431]: `2026-1-1` is no date
     --> holidays.yaml:5:34
      |
    5 |     days: [2026-13-01, tomorrow, 2026-1-1]
      |                                  ^^^^^^^^
      = help: write for example 2026-12-28

    error[E0431]: `02-30` is no day of the year
     --> holidays.yaml:6:14
      |
    6 |     yearly: [02-30, "1-1"]
      |              ^^^^^
      = help: write month and day, for example 12-24

    error[E0431]: `1-1` is no day of the year
     --> holidays.yaml:6:21
      |
    6 |     yearly: [02-30, "1-1"]
      |                     ^^^^^
      = help: write month and day, for example 12-24

    error[E0204]: `except` must be a list, but this is text
     --> holidays.yaml:7:13
      |
    7 |     except: 2026-10-31
      |             ^^^^^^^^^^
      = help: write for example [2026-10-31]

    error[E0201]: the calendar `office` has no key `closed`
     --> holidays.yaml:8:5
      |
    8 |     closed: [sun]
      |     ^^^^^^
      = help: it can be `countries`, `days`, `yearly` or `except`

    error[E0201]: holidays.yaml has no key `calendar`
     --> holidays.yaml:9:1
      |
    9 | calendar: {}
      | ^^^^^^^^
      = help: did you mean `calendars`?
    "#);
}

fn wait(program: &Program) -> &Holidays {
    let Some(Action::Plugin(step)) = program.nodes.first().map(|node| &node.action) else {
        panic!("no plugin")
    };
    let found = step.columns.iter().find_map(|column| match &column.value {
        ValueSource::Holidays(holidays) if column.name == "/holidays" => Some(holidays),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_step_takes_the_calendars_that_it_names_into_the_program() {
    let mut workspace = Workspace::new();
    let own =
        holidays::parse(&source("calendars: {office: {days: [2026-12-28]}, AT: {yearly: [12-24]}}")).unwrap();
    workspace.calendars = own.clone();
    let program = |holidays: &str, workspace: &Workspace| {
        let text = format!(
            "name: x\non: manual\nsteps:\n  - wait: {{for: 1d, holidays: {holidays}}}\n  - exit: over\n"
        );
        let (_, checked) = workspace.check(&text);
        checked.program.unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
    };
    let one = program("DE", &workspace);
    assert_eq!(*wait(&one), Holidays { calendars: vec![Calendar::of("DE")], by_country: None });
    let all = program("'contact, office, AT'", &workspace);
    let calendars = vec![own["office"].clone(), own["AT"].clone()];
    let by_country = Some([("AT".to_owned(), own["AT"].clone())].into());
    assert_eq!(*wait(&all), Holidays { calendars, by_country });
    assert_eq!(all.format, 3);
    // What it says of itself is the same when it comes back from a store.
    let json = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<Program>(&json).unwrap(), all);
    // Another calendar is another version.
    workspace.calendars = own.into_iter().filter(|(name, _)| name == "office").collect();
    assert_ne!(program("contact", &workspace).digest(), all.digest());
}
