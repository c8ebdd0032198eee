//! Mails that got stuck, and what a person decides about them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    thread,
};

use insta::assert_snapshot;

use crate::support::{TestWorkspace, steady};

const WORKFLOW: &str = "\
name: greet
on: manual
steps:
  - email: {template: welcome, subject: 'Welcome, {{contact.first_name}}', transactional: true}
";

/// An SMTP server that refuses Tom, and hangs up on everybody else when it has heard the whole message.
fn dying_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(b"220 ready\r\n").unwrap();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap();
                let answer: &[u8] = match line.split([' ', ':']).next().unwrap_or_default() {
                    "." => break,
                    "RCPT" if line.contains("tom@") => b"550 no such user\r\n",
                    "EHLO" | "MAIL" | "RCPT" | "RSET" | "QUIT" | "NOOP" => b"250 ok\r\n",
                    "DATA" => b"354 go on\r\n",
                    _ => b"",
                };
                stream.write_all(answer).unwrap();
            }
        }
    });
    port
}

/// A workspace in which mails 1 and 2 are uncertain and mail 3 failed.
fn stuck() -> TestWorkspace {
    let workspace = TestWorkspace::with_contacts();
    workspace.remove("workflows/welcome.yaml");
    workspace.write("workflows/greet.yaml", WORKFLOW);
    let settings = workspace.read("dripline.yaml");
    let mail = format!(
        "mail:\n  transports:\n    - {{name: dying, host: 127.0.0.1, port: {}, tls: none, connections: 1}}\n",
        dying_server()
    );
    workspace.write("dripline.yaml", format!("{settings}\n{mail}"));
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_eq!(workspace.run(&["enroll", "greet", "c-001", "c-002", "c-004"]).code, 0);
    let ran = workspace.run(&["run"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    // From here on mails are kept in the built-in mailbox.
    workspace.write("dripline.yaml", settings);
    workspace
}

#[test]
fn uncertain_mails_are_listed_and_decided_about() {
    let _steady = steady();
    let workspace = stuck();
    assert_snapshot!(workspace.run(&["mail", "uncertain"]).shown(), @"
    [exit 0]
    mail  to                   subject        template  status     workflow  queued (UTC)         next try (UTC)  sent (UTC)
    2     noah@quay.example    Welcome, Noah  welcome   uncertain  greet     [time]
    1     mia@harbour.example  Welcome, Mia   welcome   uncertain  greet     [time]
    ");
    let listed = workspace.json(&["mail", "uncertain"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert_eq!(listed[0]["status"], "uncertain");
    let complaints: Vec<String> = [
        &["mail", "uncertain", "--all"] as &[&str],
        &["mail", "uncertain", "--drop"],
        &["mail", "uncertain", "99", "--drop"],
        &["mail", "uncertain", "1", "3", "--resend"],
        &["mail", "uncertain", "1", "--all", "--resend"],
    ]
    .iter()
    .map(|args| workspace.run(args).shown())
    .collect();
    assert_snapshot!(complaints.join("\n"), @"
    [exit 1]
    error: what becomes of these mails?
    help: add --resend, --sent or --drop; `dripline mail uncertain --help` explains them

    [exit 1]
    error: which mails?
    help: name their ids, or say --all; `dripline mail list --status uncertain` shows them

    [exit 1]
    error: there is no mail 99
    help: `dripline mail list` shows them

    [exit 1]
    error: mail 3 is not uncertain: it is failed; nothing was changed
    help: `dripline mail list --status uncertain` shows those that are

    [exit 2]
    error: the argument '[ID]...' cannot be used with '--all'

    Usage: dripline mail uncertain --resend <ID>...

    For more information, try '--help'.
    ");

    assert_snapshot!(workspace.run(&["mail", "uncertain", "1", "--resend"]).shown(), @"
    [exit 0]
    1 mail will be sent again; `dripline run` sends.
    ");
    assert_snapshot!(workspace.run(&["mail", "show", "1"]).shown(), @"
    [exit 0]
    Welcome, Mia
      to        mia@harbour.example
      status    queued (sent again by hand)
      next try  [time] UTC
      template  welcome
      because   step-1 of greet, run 1

    Hello Mia,

    welcome aboard! Reply to this mail whenever something is unclear: it reaches a
    person.

    The Harbour Team

    You get this mail because you agreed to it. [Unsubscribe][1]

    [1]: mailto:unsubscribe@harbour.example?subject=unsubscribe%20[token]
    ");
    assert_snapshot!(workspace.run(&["mail", "uncertain", "--all", "--sent"]).shown(), @"
    [exit 0]
    1 mail recorded as sent.
    ");
    assert_snapshot!(workspace.run(&["mail", "uncertain", "--all", "--drop"]).shown(), @"
    [exit 0]
    No mail is uncertain.
    ");
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_snapshot!(workspace.run(&["mail", "list"]).shown(), @"
    [exit 0]
    mail  to                   subject        template  status  workflow  queued (UTC)         next try (UTC)  sent (UTC)
    3     tom@anchor.example   Welcome, Tom   welcome   failed  greet     [time]
    2     noah@quay.example    Welcome, Noah  welcome   sent    greet     [time]                  [time]
    1     mia@harbour.example  Welcome, Mia   welcome   sent    greet     [time]                  [time]
    ");
}

#[test]
fn failed_mails_are_tried_again_by_hand() {
    let _steady = steady();
    let workspace = stuck();
    assert_snapshot!(workspace.run(&["mail", "retry"]).shown(), @"
    [exit 1]
    error: which mails?
    help: name their ids, or say --all; `dripline mail list --status failed` shows them
    ");
    assert_snapshot!(workspace.run(&["mail", "retry", "1"]).shown(), @"
    [exit 1]
    error: mail 1 is not failed: it is uncertain; nothing was changed
    help: `dripline mail list --status failed` shows those that are
    ");
    assert_snapshot!(workspace.run(&["mail", "retry", "3"]).shown(), @"
    [exit 0]
    1 mail will be sent again; `dripline run` sends.
    ");
    assert_snapshot!(workspace.run(&["mail", "list", "--status", "queued"]).shown(), @"
    [exit 0]
    mail  to                  subject       template  status  workflow  queued (UTC)         next try (UTC)       sent (UTC)
    3     tom@anchor.example  Welcome, Tom  welcome   queued  greet     [time]  [time]
    ");
    assert_snapshot!(workspace.run(&["mail", "retry", "--all"]).shown(), @"
    [exit 0]
    No mail has failed.
    ");
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_eq!(workspace.json(&["mail", "list", "--status", "sent"])[0]["id"], 3);
}
