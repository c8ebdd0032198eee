//! A campaign of which a small model knows what becomes of each contact, from the contact's number alone.

use std::{collections::BTreeSet, fmt::Write as _, process::Output};

use dripline_checker::{ContactExpected, Expected, Facts, Report, Step, check};

use crate::{
    smtp::Receiver,
    workspace::{Workspace, texts},
};

/// Scores, a branch, a segment that starts another workflow, mails, waits, a loop, an assignment, a guard that skips.
const NURTURE: &str = r#"
name: nurture
on: {event: lead.created}
enroll: {if: contact.number % 10 != 9}
steps:
  - id: points
    score:
      name: points
      rules:
        - {if: contact.number % 2 == 0, add: 3, because: even}
        - {if: contact.number % 3 == 0, add: 5, because: divisible by three}
  - id: visit
    score: {name: visits, add: 1, because: came in}
  - id: welcome
    email: {template: welcome, subject: "Hello {{contact.external_id}}"}
  - id: odd
    if: contact.number % 2 == 1
    then:
      - id: join
        segment: {join: odd-ones}
  - id: pause
    wait: LONG
  - id: ask
    segment: {check: odd-ones}
    paths:
      member:
        - id: odd-mail
          email: {template: odd, subject: Odd}
  - id: reminder
    if: contact.scores.points >= 5
    email: {template: reminder, subject: Reminder}
  - id: again
    score: {name: visits, add: 1, because: came again}
  - id: nap
    wait: SHORT
  - id: enough
    if: contact.scores.visits < 4
    goto: again
  - id: hot
    if: contact.number % 4 == 0
    then:
      - id: hand-over
        assign: {team: sales}
  - id: end
    exit: came to the end
"#;

const ODD_ONES: &str = "
name: odd-ones
on: {segment_joined: odd-ones}
steps:
  - id: mark
    score: {name: odd, add: 7, because: is odd}
";

const TEAMS: &str = "
representatives:
  - {key: ada, name: Ada}
  - {key: bo, name: Bo}
teams:
  - {key: sales, name: Sales, members: [{rep: ada, weight: 2}, {rep: bo}]}
";

pub(crate) struct Campaign {
    pub(crate) workspace: Workspace,
    pub(crate) contacts: u32,
    /// The PostgreSQL database with the store; without one it is a file of the workspace.
    pub(crate) database: Option<String>,
}

impl Campaign {
    /// The campaign with contacts `c0`, `c1`, … whose events are still to arrive.
    pub(crate) fn new(contacts: u32) -> Self {
        let campaign = Self::without_contacts(contacts);
        campaign.import();
        campaign
    }

    /// The campaign with the files of its contacts.
    pub(crate) fn without_contacts(contacts: u32) -> Self {
        Self::with_pauses(contacts, "1d", "3h")
    }

    /// The campaign over a PostgreSQL database, with pauses short enough for the machine's clock.
    pub(crate) fn in_postgres(contacts: u32, url: String) -> Self {
        let campaign = Self::with_pauses(contacts, "2s", "1s");
        campaign.workspace.set(&format!("store: {{postgres: {{url: '{url}'}}}}\n"));
        Self { database: Some(url), ..campaign }
    }

    fn with_pauses(contacts: u32, long: &str, short: &str) -> Self {
        let workspace = Workspace::empty();
        let nurture = NURTURE.replace("LONG", long).replace("SHORT", short);
        workspace.write("workflows/nurture.yaml", &nurture);
        workspace.write("workflows/odd-ones.yaml", ODD_ONES);
        workspace.write("teams.yaml", TEAMS);
        for template in ["welcome", "odd", "reminder"] {
            let text = format!("{template} for {{{{contact.external_id}}}}\n");
            workspace.write(&format!("templates/{template}.txt"), &text);
        }
        let mut people = "external_id,email,number,consent_email\n".to_owned();
        let mut events = "event_id,contact,event,at\n".to_owned();
        for number in 0..contacts {
            let consent = if consents(number) { "yes" } else { "no" };
            writeln!(people, "c{number},c{number}@dripline.example,{number},{consent}").unwrap();
            writeln!(events, "e{number},c{number},lead.created,2024-01-01T0{}:00:00Z", number % 5).unwrap();
        }
        workspace.write("contacts.csv", &people);
        workspace.write("events.csv", &events);
        Self { workspace, contacts, database: None }
    }

    pub(crate) fn import(&self) {
        self.workspace.ok(&["import", "contacts.csv"]);
        self.workspace.ok(&["events", "import", "--live", "events.csv"]);
    }

    /// The same campaign, elsewhere, with a server of its own.
    pub(crate) fn copy(&self) -> (Self, Receiver) {
        let copy = self.twin();
        let receiver = Receiver::start();
        copy.workspace.send_through(receiver.port, "");
        (copy, receiver)
    }

    /// The same campaign, elsewhere; its store must be a file.
    pub(crate) fn twin(&self) -> Self {
        assert_eq!(self.database, None);
        Self { workspace: self.workspace.copy(), contacts: self.contacts, database: None }
    }

    /// Runs it to its end, which it must reach.
    pub(crate) fn finish(&self) {
        self.workspace.ok(&["run", "--fast-forward"]);
    }

    /// Runs it to wherever it gets.
    pub(crate) fn run(&self) -> Output {
        self.workspace.run(&["run", "--fast-forward"])
    }

    pub(crate) fn facts(&self) -> Facts {
        match &self.database {
            Some(url) => block_on(Facts::of_postgres(url)).unwrap(),
            None => Facts::of_sqlite(&self.workspace.path(".dripline/dripline.db")).unwrap(),
        }
    }

    /// Compares what the store holds with what the server has and with the model.
    pub(crate) fn check(&self, receiver: &Receiver) -> Report {
        check(&self.facts(), Some(&receiver.accepted()), &self.expected())
    }

    /// [`Campaign::check`], which must find nothing.
    pub(crate) fn assert_clean(&self, receiver: &Receiver, when: &str) -> Report {
        let report = self.check(receiver);
        assert!(report.is_clean(), "{when}: {report}");
        report
    }

    /// What should become of each contact.
    pub(crate) fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        for number in 0..self.contacts {
            let contact = format!("c{number}");
            let key = |workflow: &str| (workflow.to_owned(), contact.clone());
            let mut outcome = ContactExpected::default();
            if number % 10 == 9 {
                expected.refused.insert(key("nurture"));
            } else {
                expected.runs.insert(key("nurture"), turns(number));
                outcome = outcome_of(number);
                if number % 2 == 1 {
                    expected.runs.insert(key("odd-ones"), vec![step("mark", "done")]);
                }
            }
            expected.contacts.insert(contact, outcome);
        }
        expected
    }
}

/// What a future comes to.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// That a process could not go on and said why, in words that name what failed.
pub(crate) fn assert_unavailable(output: &Output, words: &[&str]) {
    let (out, err) = texts(output);
    assert_eq!(output.status.code(), Some(74), "{out}\n{err}");
    assert!(words.iter().any(|word| err.contains(word)), "{err}");
    assert!(!err.contains("panicked"), "{err}");
}

fn consents(number: u32) -> bool {
    !number.is_multiple_of(7)
}

fn points(number: u32) -> i64 {
    i64::from(number.is_multiple_of(2)) * 3 + i64::from(number.is_multiple_of(3)) * 5
}

fn step(id: &str, how: &str) -> Step {
    (id.to_owned(), how.to_owned())
}

fn turns(number: u32) -> Vec<Step> {
    let mail = if consents(number) { "done" } else { "suppressed" };
    let is_odd = number % 2 == 1;
    let mut turns = vec![step("points", "done"), step("visit", "done"), step("welcome", mail)];
    turns.push(step("odd", "branched"));
    if is_odd {
        turns.push(step("join", "done"));
    }
    turns.extend([step("pause", "waiting"), step("ask", "done")]);
    if is_odd {
        turns.push(step("odd-mail", mail));
    }
    turns.push(step("reminder", if points(number) >= 5 { mail } else { "skipped" }));
    for _visit in 2..=4 {
        turns.extend([step("again", "done"), step("nap", "waiting"), step("enough", "branched")]);
    }
    turns.push(step("hot", "branched"));
    if number.is_multiple_of(4) {
        turns.push(step("hand-over", "done"));
    }
    turns.push(step("end", "ended"));
    turns
}

fn outcome_of(number: u32) -> ContactExpected {
    let is_odd = number % 2 == 1;
    let mut outcome = ContactExpected::default();
    outcome.scores.insert("visits".to_owned(), 4);
    if points(number) > 0 {
        outcome.scores.insert("points".to_owned(), points(number));
    }
    if is_odd {
        outcome.scores.insert("odd".to_owned(), 7);
        outcome.segments = BTreeSet::from(["odd-ones".to_owned()]);
    }
    if consents(number) {
        let wanted = [("welcome", true), ("odd", is_odd), ("reminder", points(number) >= 5)];
        outcome.mails =
            wanted.iter().filter(|(_, is)| *is).map(|(template, _)| (*template).to_owned()).collect();
    }
    outcome.assignments = usize::from(number.is_multiple_of(4));
    outcome
}
