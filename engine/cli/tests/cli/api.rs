//! `dripline serve`, asked by another program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use assert_cmd::cargo::cargo_bin;
use insta::assert_snapshot;
use serde_json::{Value, json};
use ureq::Agent;

use crate::support::{TestWorkspace, steady};

const TOKEN: &str = "0123456789abcdef";

const API: &str = "api: {listen: 127.0.0.1:0, tokens: [{name: crm, token_env: CRM_TOKEN}]}\n";

/// A workspace with a workflow that may be entered again and again, one that has no `manual`, and contacts `a` and `b`.
fn workspace() -> TestWorkspace {
    let workspace = TestWorkspace::new();
    workspace.write(
        "workflows/offer.yaml",
        "name: offer\non: manual\nenroll: {if: event.properties.plan == \"pro\", again: always}\nsteps:\n  - exit: done\n",
    );
    workspace.write("workflows/visit.yaml", "name: visit\non: {event: visit}\nsteps:\n  - exit: done\n");
    workspace.write("two.csv", "external_id,email\na,a@dripline.example\nb,b@dripline.example\n");
    let settings = workspace.read("dripline.yaml");
    workspace.write("dripline.yaml", format!("{settings}\n{API}"));
    for command in [&["import", "two.csv"][..], &["publish"]] {
        let answer = workspace.run(command);
        assert_eq!(answer.code, 0, "{}", answer.shown());
    }
    workspace
}

/// A server, until it is stopped.
struct Serving {
    process: Child,
    address: String,
    agent: Agent,
}

impl Serving {
    fn start(workspace: &TestWorkspace) -> Self {
        let mut process = Command::new(cargo_bin!("dripline"))
            .current_dir(workspace.path(""))
            .env("CRM_TOKEN", TOKEN)
            .arg("serve")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.map(Result::unwrap).find(|line| line.contains("answering on ")).unwrap();
        let address = line.split("answering on ").nth(1).and_then(|rest| rest.split(". ").next()).unwrap();
        let agent = Agent::config_builder().http_status_as_error(false).build().new_agent();
        Self { process, address: address.to_owned(), agent }
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let mut request = self.agent.post(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn ask(&self, path: &str, key: Option<&str>, body: &str) -> (u16, Value) {
        let authorization = format!("Bearer {TOKEN}");
        let mut headers = vec![("authorization", &*authorization), ("content-type", "application/json")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        self.post(path, &headers, body)
    }

    /// Asks for an enrolment in `offer`.
    fn offer(&self, key: Option<&str>, contacts: &[&str], plan: &str) -> (u16, Value) {
        let body = json!({ "contacts": contacts, "payload": { "plan": plan } });
        self.ask("/v1/workflows/offer/enrolments", key, &body.to_string())
    }

    /// Ends it in order.
    fn stop(mut self) {
        Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How many runs there are, and how many of them are done.
fn runs(workspace: &TestWorkspace) -> (usize, usize) {
    let runs = workspace.json(&["runs", "list"]);
    let runs = runs.as_array().unwrap();
    (runs.len(), runs.iter().filter(|run| run["status"] == "completed").count())
}

#[test]
fn contacts_are_enrolled_and_go_on_at_once() {
    let _steady = steady();
    let workspace = workspace();
    let server = Serving::start(&workspace);
    let (status, answer) = server.offer(None, &["a", "b@dripline.example", "a"], "pro");
    assert_eq!(status, 200);
    assert_snapshot!(serde_json::to_string_pretty(&answer).unwrap(), @r#"
    {
      "workflow": "offer",
      "enrolled": 2,
      "contacts": [
        {
          "contact": "a",
          "id": 1,
          "enrolled": true
        },
        {
          "contact": "b@dripline.example",
          "id": 2,
          "enrolled": true
        },
        {
          "contact": "a",
          "id": 1,
          "enrolled": true
        }
      ]
    }
    "#);
    let began = Instant::now();
    while runs(&workspace) != (2, 2) {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", runs(&workspace));
        thread::sleep(Duration::from_millis(20));
    }
    let (_, answer) = server.offer(None, &["a"], "trial");
    assert_snapshot!(serde_json::to_string_pretty(&answer).unwrap(), @r#"
    {
      "workflow": "offer",
      "enrolled": 0,
      "contacts": [
        {
          "contact": "a",
          "id": 1,
          "enrolled": false,
          "reason": "`enroll.if` does not hold"
        }
      ]
    }
    "#);
    server.stop();
    assert_snapshot!(workspace.run(&["why", "a", "--workflow", "offer"]).shown(), @r#"
    [exit 0]
    a@dripline.example (times are UTC)

    offer
      [time]  enrolled     by the program `crm`, with {"plan":"pro"}
      [time]  ended        step-1: done
      [time]  not enrolled by the program `crm`, with {"plan":"trial"}: `enroll.if` does not hold
      What would start it again
        by hand: dripline enroll offer a
      It would not be let in again if that happened now:
        `enroll.if` does not hold
          `event.properties.plan == "pro"` is no match: event has no property `plan`
    "#);
}

#[test]
fn a_request_with_a_key_counts_once() {
    let workspace = workspace();
    let server = Serving::start(&workspace);
    let (status, first) = server.offer(Some("one"), &["a"], "pro");
    assert_eq!((status, &first["enrolled"]), (200, &json!(1)));
    assert_eq!(server.offer(Some("one"), &["a"], "pro"), (200, first.clone()));
    server.stop();

    let server = Serving::start(&workspace);
    assert_eq!(server.offer(Some("one"), &["a"], "pro"), (200, first), "another process knows it too");
    for other in [&["a", "b"][..], &["b"]] {
        let (status, problem) = server.offer(Some("one"), other, "pro");
        assert_eq!(status, 422, "{problem}");
    }
    assert_eq!(runs(&workspace).0, 1);
    assert_eq!(server.offer(Some("two"), &["b"], "pro").0, 200);
    assert_eq!(runs(&workspace).0, 2);
}

#[test]
fn twins_that_arrive_together_count_once() {
    let workspace = workspace();
    let server = Serving::start(&workspace);
    let answers: Vec<_> = thread::scope(|scope| {
        let ask = || server.offer(Some("one"), &["a", "b"], "pro");
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(answers[0].1["enrolled"], 2);
    assert_eq!(runs(&workspace).0, 2);
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let _steady = steady();
    let workspace = workspace();
    let server = Serving::start(&workspace);
    let path = "/v1/workflows/offer/enrolments";
    let bearer = format!("Bearer {TOKEN}");
    let many = json!({ "contacts": vec!["a"; 251] }).to_string();
    let large = format!("{{\"contacts\": [\"{}\"]}}", "a".repeat(1024 * 1024));
    let one = r#"{"contacts": ["a"]}"#;
    let json_type = ("content-type", "application/json");
    let answers = [
        server.post(path, &[json_type], one),
        server.post(path, &[json_type, ("authorization", "Basic YTpi")], one),
        server.post(path, &[json_type, ("authorization", "Bearer 0123456789abcdeF")], one),
        server.post(path, &[("authorization", &bearer), ("content-type", "text/plain")], one),
        server.ask("/v1/workflows/ofer/enrolments", None, one),
        server.ask("/v1/workflows/visit/enrolments", None, one),
        server.ask("/v1/workflows/%ff/enrolments", None, one),
        server.ask("/v1/workflows", None, one),
        server.ask("/health", None, one),
        server.ask(path, None, r#"{"contacts": ["a", "nobody", "nobody else"]}"#),
        server.ask(path, None, r#"{"contacts": []}"#),
        server.ask(path, None, &many),
        server.ask(path, None, &large),
        server.ask(path, None, r#"{"contacts": ["a"]"#),
        server.ask(path, None, r#"{"contacts": ["a"], "playload": {}}"#),
        server.ask(path, None, r#"{"contacts": ["a"], "payload": [1]}"#),
        server.ask(path, Some(&"k".repeat(256)), one),
    ];
    let said: Vec<String> = answers
        .iter()
        .map(|(status, problem)| {
            let help = problem["help"].as_str().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{status} {}: {}{help}", problem["title"], problem["detail"])
        })
        .collect();
    assert_snapshot!(said.join("\n"), @r#"
    401 "Unauthorized": "there is no token" (send the header `Authorization: Bearer TOKEN`; `api.tokens` in dripline.yaml names them)
    401 "Unauthorized": "there is no token" (send the header `Authorization: Bearer TOKEN`; `api.tokens` in dripline.yaml names them)
    401 "Unauthorized": "the token is not known" (send the header `Authorization: Bearer TOKEN`; `api.tokens` in dripline.yaml names them)
    415 "Unsupported Media Type": "the body is not `application/json`"
    404 "Not Found": "no workflow `ofer` is published" (did you mean `offer`?)
    409 "Conflict": "the workflow `visit` has no `manual` trigger" (add `manual` to its `on:`, for example: on: [manual, {event: signed_up}])
    400 "Bad Request": "Invalid URL: Invalid UTF-8 in `workflow`"
    404 "Not Found": "there is nothing at /v1/workflows"
    405 "Method Not Allowed": "this cannot be asked for by that method"
    422 "Unprocessable Entity": "there is no contact `nobody`, `nobody else`; nobody was enrolled" (name contacts by id, external id or address, and import those that are new before)
    422 "Unprocessable Entity": "`contacts` names 0; it can be 1 to 250"
    422 "Unprocessable Entity": "`contacts` names 251; it can be 1 to 250"
    413 "Payload Too Large": "the body is larger than 1048576 bytes"
    400 "Bad Request": "EOF while parsing an object at line 1 column 18" (write for example {"contacts": ["c-17"], "payload": {"plan": "pro"}})
    422 "Unprocessable Entity": "playload: unknown field `playload`, expected `contacts` or `payload` at line 1 column 30" (write for example {"contacts": ["c-17"], "payload": {"plan": "pro"}})
    422 "Unprocessable Entity": "payload: invalid type: sequence, expected a map at line 1 column 31" (write for example {"contacts": ["c-17"], "payload": {"plan": "pro"}})
    400 "Bad Request": "an Idempotency-Key has 1 to 255 characters, all of them ASCII"
    "#);
    assert_eq!(runs(&workspace).0, 0);
    let mut health = server.agent.get(format!("{}/health", server.address)).call().unwrap();
    assert_eq!(health.body_mut().read_to_string().unwrap(), r#"{"status":"ok"}"#);
}

#[test]
fn a_server_says_what_it_lacks() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    let settings = workspace.read("dripline.yaml");
    let serve = |api: &str, token: Option<&str>| {
        workspace.write("dripline.yaml", format!("{settings}\n{api}"));
        let variables: Vec<_> = token.map(|token| ("CRM_TOKEN", token)).into_iter().collect();
        workspace.run_with(&variables, &["serve"]).shown()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = API.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    let answers = [
        serve("", None),
        serve(API, None),
        serve(API, Some("short")),
        serve("api: {listen: localhost, tokens: []}\n", None),
        serve("api: {tokens: [{name: crm, token_env: A}, {name: crm, token_env: B}]}\n", None),
        serve(&there, Some(TOKEN)),
    ];
    assert_snapshot!(answers.concat(), @r#"
    [exit 1]
    error: dripline.yaml has no `api`, so nobody could ask anything
    help: name a program and where its token is: api: {tokens: [{name: crm, token_env: CRM_TOKEN}]}
    [exit 1]
    error: the environment variable CRM_TOKEN, which dripline.yaml names for the token of `crm`, is not set
    help: set it where dripline is started: export CRM_TOKEN="$(openssl rand -hex 32)"
    [exit 1]
    error: the environment variable CRM_TOKEN, which dripline.yaml names for the token of `crm`, has to be at least 16 letters, digits and signs, without spaces
    help: set it where dripline is started: export CRM_TOKEN="$(openssl rand -hex 32)"
    [exit 1]
    error: [workspace]/dripline.yaml:15:15: `listen`: `localhost` is no address with a port (and 1 more)
    help: write for example 127.0.0.1:[port] or [::1]:8080; `dripline check` shows every mistake with its line
    [exit 1]
    error: [workspace]/dripline.yaml:15:43: two programs are called `crm`: what each did could not be told apart
    help: `dripline check` shows every mistake with its line
    [exit 74]
    error: failed to listen on 127.0.0.1:[port]: Address already in use (os error 98)
    help: `api.listen` in dripline.yaml says where; is another program there?
    "#);
}
