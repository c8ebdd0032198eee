//! `dripline doctor`
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use assert_cmd::cargo::cargo_bin;
use dripline_test_postgres::Server;
use insta::assert_snapshot;

use crate::{
    faults_server::{block_on, on_server, sql},
    support::{TestWorkspace, steady},
};

/// A mail server that takes everybody, and answers AUTH with `login`.
fn mail_server(login: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(b"220 ready\r\n").unwrap();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let answer = match line.unwrap().split(' ').next().unwrap_or_default() {
                    "EHLO" => "250-here\r\n250 AUTH PLAIN",
                    "AUTH" => login,
                    _ => "221 bye",
                };
                if stream.write_all(format!("{answer}\r\n").as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    port
}

fn with_mail(workspace: &TestWorkspace, transports: &[String]) {
    let settings = workspace.read("dripline.yaml");
    let transports: String = transports.iter().map(|line| format!("    - {{{line}}}\n")).collect();
    workspace.write("dripline.yaml", format!("{settings}\nmail:\n  transports:\n{transports}"));
}

#[test]
fn a_new_workspace_is_well() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    assert_snapshot!(workspace.run(&["doctor"]).shown(), @"
    [exit 0]
    ok       settings   dripline.yaml can be read
    ok       store      there is none yet; the first import or run makes it
    ok       mail       mails stay in the built-in mailbox: dripline.yaml names no server
    ok       plugins    5 plugins can be used
    ok       workflows  1 workflow checked, nothing is wrong
    ");
    assert!(!workspace.path(".dripline/dripline.db").exists(), "a doctor makes no store");
    assert_eq!(workspace.run(&["import", "contacts.csv"]).code, 0);
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_snapshot!(workspace.run(&["doctor"]).shown(), @"
    [exit 0]
    ok       settings   dripline.yaml can be read
    ok       store      it opens, and every page of the file is whole
    ok       schema     version [newest] is up to date
    ok       indexes    all are there
    ok       disk       [room] free beside .dripline/dripline.db
    ok       processes  0 processes are there
    ok       runs       none failed
    ok       mails      none failed, none is uncertain
    ok       mail       mails stay in the built-in mailbox: dripline.yaml names no server
    ok       plugins    5 plugins can be used
    ok       workflows  1 workflow checked, nothing is wrong
    ok       published  the files are what is published
    ");
    let json = workspace.json(&["doctor"]);
    assert_eq!((&json["errors"], &json["warnings"]), (&0.into(), &0.into()));
    assert_eq!(json["checks"][0]["check"], "settings");
    assert_eq!(json["checks"][0]["grade"], "ok");
}

#[test]
fn settings_that_cannot_be_read() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("dripline.yaml", "sender: {name: Demo}\n");
    assert_snapshot!(workspace.run(&["doctor"]).shown(), @"
    [exit 1]
    error    settings   [workspace]/dripline.yaml:1:1: `sender` needs the key `email`
             mend:      `email`: The address.; `dripline check` shows every mistake with its line
    ");
}

#[test]
fn mail_servers_are_asked_whether_they_take_us() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let login = "username: me, password_env: DOCTOR_PASSWORD";
    with_mail(
        &workspace,
        &[
            format!("name: good, host: 127.0.0.1, port: {}, tls: none, {login}", mail_server("235 welcome")),
            format!(
                "name: strict, host: 127.0.0.1, port: {}, tls: none, {login}",
                mail_server("535 who are you")
            ),
            format!("name: plain, host: 127.0.0.1, port: {}", mail_server("")),
            format!("name: gone, host: 127.0.0.1, port: {nobody}, tls: none"),
            "name: unset, host: 127.0.0.1, username: me, password_env: NO_SUCH_PASSWORD".to_owned(),
        ],
    );
    let answer = workspace.run_with(&[("DOCTOR_PASSWORD", "hunter2")], &["doctor"]);
    assert!(!answer.out.contains("hunter2"));
    let mail: String = answer.out.split_inclusive('\n').skip_while(|line| !line.contains(" mail ")).collect();
    let mail = mail.split("ok       plugins").next().unwrap_or_default();
    let mail: String = mail.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    assert_eq!(answer.code, 1);
    assert_snapshot!(mail, @"
    ok       mail       the server good takes us
    error    mail       the server strict does not take us: no connection to 127.0.0.1:[port]: the login was refused: 535 who are you
             mend:      `mail` in dripline.yaml names its host, port, tls, username and password_env
    error    mail       the server plain does not take us: no connection to 127.0.0.1:[port]: the server does not offer STARTTLS, and without it nothing is sent
             mend:      `mail` in dripline.yaml names its host, port, tls, username and password_env
    error    mail       the server gone does not take us: no connection to 127.0.0.1:[port]: Connection refused (os error 111)
             mend:      `mail` in dripline.yaml names its host, port, tls, username and password_env
    error    mail       the environment variable NO_SUCH_PASSWORD, which dripline.yaml names for the SMTP password, is not set
             mend:      set it where dripline is started: export NO_SUCH_PASSWORD=…
    ");
}

#[test]
fn plugins_are_compared_with_the_lock_and_with_what_is_published() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("strange.wasm", dripline_bundled::MISBEHAVING);
    assert_eq!(workspace.run(&["plugin", "add", "strange.wasm", "--grant", "all"]).code, 0);
    let lock = workspace.read("plugins.lock");
    let grant = lock.find("    effects:").unwrap();
    let less = format!("{}    effects: []\n", &lock[..grant]);
    workspace.write("plugins.lock", less);
    workspace.write("plugins/stray.wasm", "no plugin");
    workspace.write("workflows/bad.yaml", "name: bad\non: manual\nsteps:\n  - emial: {template: welcome}\n");
    let shown = workspace.run(&["doctor"]);
    assert_eq!(shown.code, 1);
    assert_snapshot!(shown.shown(), @"
    [exit 1]
    ok       settings   dripline.yaml can be read
    ok       store      there is none yet; the first import or run makes it
    ok       mail       mails stay in the built-in mailbox: dripline.yaml names no server
    warning  plugins    `misbehaving` asks for more than it was granted: tag
             mend:      dripline plugin add plugins/misbehaving-0.1.0.wasm --grant all
    warning  plugins    plugins/stray.wasm is not installed
             mend:      dripline plugin add plugins/stray.wasm
    ok       plugins    6 plugins can be used
    error    workflows  2 workflows checked: 1 error
             mend:      dripline check
    ");

    let locked: serde_yaml::Value = serde_yaml::from_str(&lock).unwrap();
    fs::write(workspace.path(locked["plugins"][0]["file"].as_str().unwrap()), "another").unwrap();
    let answer = workspace.run(&["doctor"]);
    assert!(answer.out.contains("error    plugins    plugins/misbehaving"), "{}", answer.out);
}

fn worker(workspace: &TestWorkspace, url: &str) -> Child {
    Command::new(cargo_bin!("dripline"))
        .current_dir(workspace.path(""))
        .env("DATABASE_URL", url)
        .arg("worker")
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn until(url: &str, question: &str, answer: &str) {
    let began = Instant::now();
    while sql(url, question).as_deref() != Some(answer) {
        assert!(began.elapsed() < Duration::from_secs(60), "{question}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn signal(process: &Child, signal: &str) {
    Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
}

#[test]
fn processes_on_a_server_are_seen_and_their_clocks_compared() {
    let _steady = steady();
    let Some(server) = Server::shared() else { return };
    let url = block_on(server.database());
    let workspace = on_server();
    let doctor = || workspace.run_with(&[("DATABASE_URL", &url)], &["doctor"]);
    assert_eq!(doctor().code, 0, "{}", doctor().out);
    let count = "SELECT count(*) FROM processes";
    let (mut first, mut second) = (worker(&workspace, &url), worker(&workspace, &url));
    until(&url, count, "2");
    assert_snapshot!(doctor().shown(), @"
    [exit 0]
    ok       settings   dripline.yaml can be read
    ok       store      the database answers
    ok       schema     version [newest] is up to date
    ok       indexes    all are there
    ok       server     autovacuum is on; there is room for [number] connections, and a process opens up to 16
    ok       processes  2 processes are there
    ok       clocks     they agree to within two seconds
    ok       runs       none failed
    ok       mails      none failed, none is uncertain
    ok       mail       mails stay in the built-in mailbox: dripline.yaml names no server
    ok       plugins    5 plugins can be used
    ok       workflows  1 workflow checked, nothing is wrong
    ok       published  nothing is published yet: dripline run publishes the files
    ");

    signal(&first, "-TERM");
    first.wait().unwrap();
    until(&url, count, "1");
    second.kill().unwrap();
    second.wait().unwrap();
    // What it would look like two minutes later, had it been at a mail, on a machine whose clock is a minute and more off.
    sql(
        &url,
        "UPDATE processes SET claimant = 'there/7/x', seen_at = seen_at - 120000;
        INSERT INTO processes SELECT 'fast/1/x', version, 'fast', work, started_at, seen_at + 190000, 70000 FROM processes;
        INSERT INTO messages (run_id, contact_id, version_id, template, queued_at, lease_until, turn, effect, node, status,
            transactional, recipient, subject, claimed_by)
        VALUES (1, 1, 1, 1, 0, 0, 0, 0, 0, 1, FALSE, 'a@b.example', 'Hi', 'there/7/x');
        DROP INDEX runs_failed; ALTER TABLE runs SET (autovacuum_enabled = off);",
    );
    let answer = doctor();
    assert_eq!(answer.code, 1, "{}", answer.out);
    assert_snapshot!(answer.shown(), @r#"
    [exit 1]
    ok       settings   dripline.yaml can be read
    ok       store      the database answers
    ok       schema     version [newest] is up to date
    error    indexes    the index runs_failed is missing
             mend:      psql "$DATABASE_URL" -c 'CREATE INDEX runs_failed ON runs USING btree (id) WHERE (status = 2)'
    error    server     autovacuum is off for the table runs
             mend:      psql "$DATABASE_URL" -c 'ALTER TABLE runs RESET (autovacuum_enabled)'
    warning  processes  process there/7/x ended while it sent 1 mail
             mend:      `dripline run` settles them, and so does any process that runs; then: dripline mail uncertain
    error    clocks     the clock of fast is 70 s before that of this machine
             mend:      let the machines' clocks be set: timedatectl set-ntp true
    ok       runs       none failed
    ok       mails      none failed, none is uncertain
    ok       mail       mails stay in the built-in mailbox: dripline.yaml names no server
    ok       plugins    5 plugins can be used
    ok       workflows  1 workflow checked, nothing is wrong
    ok       published  nothing is published yet: dripline run publishes the files
    "#);
}

#[test]
fn a_process_on_a_file_is_seen_from_its_start_to_its_end() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    let mut process = Command::new(cargo_bin!("dripline"))
        .current_dir(workspace.path(""))
        .args(["run", "--forever"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let processes = || -> i64 {
        let Ok(file) = rusqlite::Connection::open(workspace.path(".dripline/dripline.db")) else { return -1 };
        file.query_row("SELECT count(*) FROM processes", [], |row| row.get(0)).unwrap_or(-1)
    };
    let wait_for = |wanted| {
        let began = Instant::now();
        while processes() != wanted {
            assert!(began.elapsed() < Duration::from_secs(60), "{wanted} processes");
            thread::sleep(Duration::from_millis(50));
        }
    };
    wait_for(1);
    let answer = workspace.run(&["doctor"]);
    assert!(answer.out.contains("ok       processes  1 process is there\n"), "{}", answer.out);
    signal(&process, "-TERM");
    assert!(process.wait().unwrap().success());
    wait_for(0);
    let answer = workspace.run(&["doctor"]);
    assert!(answer.out.contains("ok       processes  0 processes are there\n"), "{}", answer.out);
}
