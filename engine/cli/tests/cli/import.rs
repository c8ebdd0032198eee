//! `dripline import` and `dripline events import`: good files, bad rows, bad files.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{TestWorkspace, steady};

#[test]
fn a_good_file_is_imported_with_types() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    assert_snapshot!(workspace.run(&["import", "contacts.csv"]).shown(), @"
    [exit 0]
    column         becomes             type
    email          email
    external_id    external_id
    first_name     contact.first_name  text
    title          contact.title       text
    employees      contact.employees   integer
    country        contact.country     text
    consent_email  consent.email
    tags           tags
    created_at     created_at

    5 contacts from contacts.csv in [time]: 5 new, 0 changed, 0 unchanged
    ");
    let contacts = workspace.json(&["contacts", "list"]);
    assert_eq!(contacts.as_array().map(Vec::len), Some(5));
    assert_eq!(
        contacts[0],
        json!({
            "id": 1,
            "external_id": "c-001",
            "email": "mia@harbour.example",
            "attributes": {"country": "DE", "employees": 450, "first_name": "Mia", "title": "Head of Marketing"},
            "scores": {},
            "grades": {},
            "tags": ["newsletter"],
            "consents": {"email": true},
            "segments": [],
            "owner": null,
            "created_at": "2024-01-08T09:15:00Z",
        })
    );
}

#[test]
fn importing_again_changes_nothing() {
    let workspace = TestWorkspace::with_contacts();
    let summary = workspace.json(&["import", "contacts.csv"]);
    assert_eq!((&summary["inserted"], &summary["unchanged"]), (&json!(0), &json!(5)));
}

#[test]
fn bad_rows_are_written_down_with_reasons_and_can_be_mended() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    let long = "x".repeat(70_000);
    workspace.write(
        "people.csv",
        format!(
            "email,name,consent_email,created_at\n\
             a@north.example,Anna,yes,2024-01-01\n\
             not-an-address,Bob,yes,\n\
             c@north.example,Cleo,maybe,\n\
             d@north.example,Dan,no,31.01.2024\n\
             e@north.example,Eve\n\
             f@north.example,Fay,yes,,extra\n\
             ,Gus,yes,\n\
             h@north.example,{long},yes,\n\
             \n\
             A@North.Example,Anna-Lena,yes,\n\
             i@localhost,Ida,yes,\n"
        ),
    );
    assert_snapshot!(workspace.run(&["import", "people.csv"]).shown(), @"
    [exit 0]
    column         becomes        type
    email          email
    name           contact.name   text
    consent_email  consent.email
    created_at     created_at

    2 contacts from people.csv in [time]: 1 new, 1 changed, 0 unchanged
    1 row repeated the address or external id of an earlier row; the later row updates the earlier
    8 rows rejected, written to people.rejected.csv:
      line 3: `not-an-address` is not an email address: missing separator character '@'
      line 4: `maybe` in `consent_email` is neither yes nor no; write yes, no or nothing
      line 5: `31.01.2024` in `created_at` is not a time; write [time], [time] (UTC) or 2024-01-31
      line 6: too few columns: 2 where the header has 4
      line 7: too many columns: 5 where the header has 4
      and 3 more
    ");
    let rejected = workspace.read("people.rejected.csv").replace(&long, "[long]");
    assert_snapshot!(rejected, @r#"
    line,reason,email,name,consent_email,created_at
    3,`not-an-address` is not an email address: missing separator character '@',not-an-address,Bob,yes,
    4,"`maybe` in `consent_email` is neither yes nor no; write yes, no or nothing",c@north.example,Cleo,maybe,
    5,"`31.01.2024` in `created_at` is not a time; write [time], [time] (UTC) or 2024-01-31",d@north.example,Dan,no,31.01.2024
    6,too few columns: 2 where the header has 4,e@north.example,Eve
    7,too many columns: 5 where the header has 4,f@north.example,Fay,yes,,extra
    8,the row has neither an address nor an external id,,Gus,yes,
    9,column 2 holds 68 KiB; the most is 64 KiB,h@north.example,[long],yes,
    12,`i@localhost` is not an email address: too few parts in the domain,i@localhost,Ida,yes,
    "#);
    let contacts = workspace.json(&["contacts", "list"]);
    assert_eq!(contacts.as_array().map(Vec::len), Some(1));
    assert_eq!(contacts[0]["attributes"]["name"], "Anna-Lena");

    let mended = "line,reason,email,name,consent_email,created_at\n3,mended,b@north.example,Bob,yes,\n";
    workspace.write("people.rejected.csv", mended);
    let summary = workspace.json(&["import", "people.rejected.csv"]);
    assert_eq!((&summary["inserted"], &summary["rejected"]), (&json!(1), &json!(0)));
    assert_eq!(
        workspace.json(&["contacts", "show", "b@north.example"])["attributes"],
        json!({"name": "Bob"})
    );
}

#[test]
fn a_file_of_which_nothing_can_be_taken_ends_with_1() {
    let workspace = TestWorkspace::new();
    workspace.write("people.csv", "email\nnobody\n");
    assert_eq!(workspace.run(&["import", "people.csv"]).code, 1);
}

#[test]
fn files_that_are_broken_as_a_whole_are_not_imported_at_all() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    let unterminated = "email,name\na@north.example,Anna\nb@north.example,\"Bob\nc@north.example,Cleo\n";
    let mut said = Vec::new();
    for (name, content) in [
        ("missing.csv", None),
        ("empty.csv", Some(&b""[..])),
        ("blank.csv", Some(b"\n\n\n")),
        ("headless.csv", Some(b"a@north.example,Anna\nb@north.example,Bob\n")),
        ("keyless.csv", Some(b"name,city\nAnna,Bremen\n")),
        ("unterminated.csv", Some(unterminated.as_bytes())),
        ("after-quote.csv", Some(b"email,name\na@north.example,\"Anna\" B\n")),
        ("latin1.csv", Some(b"email,name\na@north.example,J\xFCrgen\n")),
        ("utf16.csv", Some(b"\xFF\xFEe\0m\0a\0i\0l\0")),
        ("reserved.csv", Some(b"email,owner\na@north.example,rep_1\n")),
        ("twice.csv", Some(b"email,E-Mail\na@north.example,b@north.example\n")),
        ("zipped.csv", Some(b"PK\x03\x04\x14\0\x06\0")),
    ] {
        if let Some(content) = content {
            workspace.write(name, content);
        }
        let answer = workspace.run(&["import", name]);
        assert_eq!(answer.code, 1, "{name}: {}", answer.err);
        assert_eq!(answer.out, "", "{name}");
        said.push(answer.err);
    }
    assert_snapshot!(said.join("\n"), @r#"
    error: failed to import missing.csv: No such file or directory (os error 2); nothing was imported

    error: failed to import empty.csv: the file is empty; nothing was imported
    help: the first line names the columns, for example: email,first_name

    error: failed to import blank.csv: the file is empty; nothing was imported
    help: the first line names the columns, for example: email,first_name

    error: failed to import headless.csv: the first line is data (`a@north.example`), not a header; nothing was imported
    help: put a line with the names of the columns first, for example: column_1,column_2

    error: failed to import keyless.csv: no column identifies the contact; the columns are `name`, `city`; nothing was imported
    help: name a column `email` or `external_id`, or say which one it is: --map "HEADER=email"

    error: failed to import unterminated.csv: line 3: the quote that is opened here is never closed; nothing was imported
    help: a quote within a quoted field is written twice: "say ""hi"""

    error: failed to import after-quote.csv: line 2: text follows the closing quote of a field, before the next delimiter; nothing was imported
    help: a quote within a quoted field is written twice: "say ""hi"""

    error: failed to import latin1.csv: line 2: byte 18 of the line (0xFC) is not UTF-8; nothing was imported
    help: convert it, for example: iconv -f latin1 -t utf-8 latin1.csv > converted.csv

    error: failed to import utf16.csv: line 1: the file is UTF-16, not UTF-8; nothing was imported
    help: convert it: iconv -f utf-16 -t utf-8 utf16.csv > converted.csv

    error: failed to import reserved.csv: the header `owner` cannot be the name of a `contact` value; nothing was imported
    help: give it another name: --map "owner=NAME", or ignore it: --map "owner=-"

    error: failed to import twice.csv: the columns `email` and `E-Mail` both mean `email`; nothing was imported
    help: ignore one of them: --map "E-Mail=-"

    error: failed to import zipped.csv: the first line holds control characters: this is not a CSV file; nothing was imported
    help: export the sheet as CSV, UTF-8
    "#);
    assert_eq!(workspace.json(&["contacts", "list"]), json!([]));
}

#[test]
fn a_header_of_a_million_characters_is_refused_in_a_short_sentence() {
    let workspace = TestWorkspace::new();
    workspace.write("wide.csv", format!("email,{}\na@north.example,1\n", "x".repeat(1_000_000)));
    let answer = workspace.run(&["import", "wide.csv"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.len() < 300, "{}", answer.err.len());
}

#[test]
fn other_spreadsheets_and_other_headers() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write(
        "crm.csv",
        "\u{feff}E-mail (work);First Name;ZIP;Active?;Notes;\r\nA@North.Example;\"Müller; Anna\";1067;yes;x;\r\n",
    );
    let args = [
        "import",
        "crm.csv",
        "--map",
        "E-mail (work)=email",
        "--map",
        "ZIP=zip:text",
        "--map",
        "Active?=active:boolean",
    ];
    assert_snapshot!(workspace.run(&[&args[..], &["--map", "Notes=-"]].concat()).shown(), @"
    [exit 0]
    column         becomes             type
    E-mail (work)  email
    First Name     contact.first_name  text
    ZIP            contact.zip         text
    Active?        contact.active      boolean
    Notes          (ignored)
                   (ignored)
    The columns are separated by semicolon.
    note: column `First Name` becomes `contact.first_name`
    note: column 6 has no header and is ignored

    1 contact from crm.csv in [time]: 1 new, 0 changed, 0 unchanged
    ");
    let contact = workspace.json(&["contacts", "show", "a@north.example"]);
    assert_eq!(contact["attributes"], json!({"first_name": "Müller; Anna", "zip": "1067", "active": true}));
}

#[test]
fn a_misspelt_map_rule_is_refused() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    assert_snapshot!(workspace.run(&["import", "contacts.csv", "--map", "contry=land"]).shown(), @"
    [exit 1]
    error: failed to import contacts.csv: --map names the column `contry`, which is not in the file; nothing was imported
    help: did you mean `country`?
    ");
}

#[test]
fn events_are_imported_once() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    workspace.write(
        "events.csv",
        "event_id,contact,event,at,plan,seats\n\
         e1,c-001,trial.started,2024-02-01T10:00:00Z,pro,5\n\
         e2,Noah@quay.example,trial.started,2024-02-01 11:00:00,,3\n\
         e3,nobody@north.example,trial.started,2024-02-01,pro,1\n\
         e4,c-003,trial.started,soon,pro,1\n\
         e1,c-001,trial.started,2024-02-01T10:00:00Z,pro,5\n",
    );
    assert_snapshot!(workspace.run(&["events", "import", "events.csv"]).shown(), @"
    [exit 0]
    column    becomes                 type
    event_id  event_id
    contact   contact
    event     event
    at        at
    plan      event.properties.plan   text
    seats     event.properties.seats  integer

    3 events from events.csv in [time]: 2 new, 0 changed, 1 unchanged
    1 row repeated the event id of an earlier row; the first one counts
    2 rows rejected, written to events.rejected.csv:
      line 4: there is no contact nobody@north.example
      line 5: `soon` in `at` is not a time; write [time], [time] (UTC) or 2024-01-31
    ");
    let again = workspace.json(&["events", "import", "events.csv", "--live"]);
    assert_eq!((&again["inserted"], &again["unchanged"]), (&json!(0), &json!(3)));
    let timeline = &workspace.json(&["contacts", "show", "noah@quay.example"])["timeline"];
    let events: Vec<_> =
        timeline.as_array().into_iter().flatten().filter(|entry| entry["kind"] == "event").collect();
    assert_eq!(
        events,
        [&json!({
            "at": "2024-02-01T11:00:00Z", "kind": "event", "name": "trial.started",
            "properties": {"seats": 3}, "live": false,
        })]
    );
}

#[test]
fn events_need_a_contact_a_name_and_a_time() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("a.csv", "event,at\nx,2024-01-01\n");
    workspace.write("b.csv", "email,at\na@north.example,2024-01-01\n");
    workspace.write("c.csv", "email,event\na@north.example,x\n");
    let said = ["a.csv", "b.csv", "c.csv"].map(|file| workspace.run(&["events", "import", file]).err);
    assert_snapshot!(said.join("\n"), @r#"
    error: failed to import a.csv: no column identifies the contact; the columns are `event`, `at`; nothing was imported
    help: name a column `contact` or `external_id` or `email`, or say which one it is: --map "HEADER=contact"

    error: failed to import b.csv: no column names the event; the columns are `email`, `at`; nothing was imported
    help: name a column `event` or `name`, or say which one it is: --map "HEADER=event"

    error: failed to import c.csv: no column says when it happened; the columns are `email`, `event`; nothing was imported
    help: name a column `at` or `time` or `timestamp`, or say which one it is: --map "HEADER=at"
    "#);
}

#[test]
fn many_rows_go_through_in_slices() {
    let workspace = TestWorkspace::new();
    let rows: String = (0..2_500).map(|row| format!("p{row}@north.example,{row}\n")).collect();
    workspace.write("many.csv", format!("email,number\n{rows}p7@north.example,70\n"));
    let summary = workspace.json(&["import", "many.csv"]);
    assert_eq!(
        (&summary["inserted"], &summary["updated"], &summary["repeated"]),
        (&json!(2_500), &json!(1), &json!(1))
    );
    assert_eq!(workspace.json(&["contacts", "list"]).as_array().map(Vec::len), Some(2_500));
    assert_eq!(workspace.json(&["contacts", "list", "--limit", "3"]).as_array().map(Vec::len), Some(3));
    assert_eq!(
        workspace.json(&["contacts", "show", "p7@north.example"])["attributes"],
        json!({"number": 70})
    );
}
