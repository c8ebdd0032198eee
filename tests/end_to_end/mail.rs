//! Mails really leave: what the receiving server accepted is compared with what the store says.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    smtp::{Received, Receiver},
    workspace::{Data, Workspace},
};

/// Every mail that the store calls sent was accepted once, and nothing else was.
pub(crate) fn assert_same(workspace: &Workspace, received: &[Received]) {
    let ids: BTreeMap<String, u64> = received.iter().fold(BTreeMap::new(), |mut ids, mail| {
        *ids.entry(mail.message_id()).or_default() += 1;
        ids
    });
    let twice: Vec<_> = ids.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "mails that were accepted more than once: {twice:?}");
    let sent: BTreeSet<String> = workspace
        .json(&["mail", "list", "--limit", "1000000"])
        .iter()
        .filter(|mail| mail["status"] == "sent")
        .map(|mail| mail["message_id"].as_str().unwrap().to_owned())
        .collect();
    let accepted: BTreeSet<String> = ids.into_keys().collect();
    assert_eq!(sent.difference(&accepted).count(), 0, "mails that the store calls sent and nobody received");
    assert_eq!(
        accepted.difference(&sent).count(),
        0,
        "mails that were received and the store does not call sent"
    );
}

#[test]
fn the_sample_campaigns_reach_a_real_server_once_each() {
    let receiver = Receiver::start();
    let workspace = Workspace::shipped();
    workspace.send_through(receiver.port, "");
    workspace.import(&Data::sample());
    workspace.ok(&["run", "--fast-forward"]);

    let received = receiver.received();
    assert!(received.len() > 100, "the campaigns send some hundreds of mails, not {}", received.len());
    assert_same(&workspace, &received);

    for mail in &received {
        let (subject, text, html) = mail.read();
        assert!(
            !subject.contains("{{") && !text.contains("{{"),
            "a template was left unrendered: {subject}\n{text}"
        );
        assert!(html && !text.trim().is_empty(), "both parts are there");
        let source = String::from_utf8_lossy(&mail.source);
        assert!(source.contains("List-Unsubscribe: "), "RFC 2369");
    }
}

#[test]
fn a_server_that_is_not_there_delays_mail_and_loses_none() {
    let workspace =
        Workspace::with_steps("  - email: {template: hello, subject: Hello, transactional: true}\n");
    workspace.write("templates/hello.txt", "Hello {{contact.external_id}}\n");
    // A port on which nobody listens: bound, and given back at once.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = std::fs::read_to_string(workspace.path("dripline.yaml")).unwrap();
    workspace.send_through(port, "");
    workspace.enroll();
    let queued = workspace.json(&["mail", "list"]);
    assert_eq!(queued.len(), 3);
    assert!(queued.iter().all(|mail| mail["status"] == "queued" && mail["attempts"] == 1), "{queued:#?}");

    let receiver = Receiver::start();
    workspace.write("dripline.yaml", &settings);
    workspace.send_through(receiver.port, "");
    workspace.ok(&["run", "--fast-forward"]);
    assert_eq!(receiver.received().len(), 3);
    assert_same(&workspace, &receiver.received());
}

#[test]
fn the_next_server_takes_over_from_one_that_is_not_there() {
    let receiver = Receiver::start();
    let workspace =
        Workspace::with_steps("  - email: {template: hello, subject: Hello, transactional: true}\n");
    workspace.write("templates/hello.txt", "Hello {{contact.external_id}}\n");
    // A port on which nobody listens: bound, and given back at once.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = std::fs::read_to_string(workspace.path("dripline.yaml")).unwrap();
    let server = |name: &str, port: u16| {
        format!("    - {{name: {name}, host: 127.0.0.1, port: {port}, tls: none, rate: 2 per second}}\n")
    };
    let servers = server("first", nobody) + &server("second", receiver.port);
    workspace.write("dripline.yaml", &format!("{settings}\nmail:\n  transports:\n{servers}"));
    workspace.enroll();
    // Three mails at two a second: the last one is waited for.
    assert_eq!(receiver.received().len(), 3);
    assert!(workspace.json(&["mail", "list"]).iter().all(|mail| mail["attempts"] == 1));
    assert_same(&workspace, &receiver.received());
}

/// The engine sleeps until something is due or arrives, from whichever process it comes.
#[test]
fn a_running_engine_hears_what_another_process_writes_and_stops_orderly() {
    let receiver = Receiver::start();
    let workspace =
        Workspace::with_steps("  - email: {template: hello, subject: Hello, transactional: true}\n");
    workspace.write("templates/hello.txt", "Hello {{contact.external_id}}\n");
    workspace.send_through(receiver.port, "");
    let mut engine = workspace.command(&["run", "--forever"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(engine.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.is_ok_and(|line| line.starts_with("Running"))), "it says that it runs");

    workspace.ok(&["enroll", "test", "a", "b"]);
    receiver.wait_for(2);
    workspace.ok(&["enroll", "test", "c"]);
    receiver.wait_for(3);

    let other = workspace.run(&["run"]);
    assert!(!other.status.success(), "one process runs a workspace at a time");
    let terminated = Command::new("kill").args(["-TERM", &engine.id().to_string()]).status().unwrap();
    assert!(terminated.success());
    assert!(engine.wait().unwrap().success());
    assert_same(&workspace, &receiver.received());
}

/// aiosmtpd is what CI sends through beside the server that the tests bring: another implementation of the protocol.
#[test]
fn aiosmtpd_accepts_what_we_send() {
    let Some(python) = std::env::var_os("DRIPLINE_TEST_AIOSMTPD") else {
        assert!(std::env::var_os("CI").is_none(), "CI must set DRIPLINE_TEST_AIOSMTPD");
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/end_to_end/aiosmtpd_receiver.py");
    let child = Command::new(python).arg(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut server = Stopped(child);
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let port: u16 = lines.next().unwrap().unwrap().parse().unwrap();

    let workspace =
        Workspace::with_steps("  - email: {template: hello, subject: Grüße, transactional: true}\n");
    workspace.write(
        "templates/hello.txt",
        "Hello {{contact.external_id}}\n.\n.. a line of dots does not end the mail\n",
    );
    workspace.send_through(port, "");
    workspace.enroll();

    let mut received = BTreeMap::new();
    for line in lines.by_ref().take(3) {
        let mail: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(mail["subject"], "Grüße");
        received.insert(
            mail["to"].as_str().unwrap().to_owned(),
            mail["text"].as_str().unwrap().replace("\r\n", "\n"),
        );
    }
    assert_eq!(
        received["b@dripline.example"].trim_end(),
        "Hello b\n.\n.. a line of dots does not end the mail"
    );
    assert_eq!(received.len(), 3);
}

struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
