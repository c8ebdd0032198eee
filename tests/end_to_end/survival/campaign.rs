//! A campaign of which a small model knows what becomes of each contact, from the contact's number alone.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    process::{Command, Output},
};

use dripline_checker::{ContactExpected, Expected, Facts, Report, Step, check};
use dripline_model::pretend;
use dripline_test_postgres::Server;

use crate::{
    smtp::Receiver,
    workspace::{Workspace, texts},
};

/// Scores, a branch, a segment that starts another workflow, mails, waits, a loop, an assignment, a guard that skips, a goal
/// and an exit; the cap holds those back who would get two mails at once.
const NURTURE: &str = r#"
name: nurture
on: {event: lead.created}
enroll: {if: contact.number % 10 != 9}
goals:
  - if: contact.number % 11 == 5 && contact.scores.visits >= 3
exits:
  - if: contact.number % 13 == 8 && contact.scores.visits >= 4
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

/// A step that fails for everybody, and is skipped by hand.
const FRAGILE: &str = r#"
name: fragile
on: {event: lead.created}
enroll: {if: contact.number % 10 == 4}
steps:
  - id: before
    score: {name: tries, add: 1, because: came in}
  - id: letter
    email: {template: welcome, subject: "Dear {{contact.nickname}}"}
  - id: after
    score: {name: tries, add: 1, because: went on}
"#;

const TEAMS: &str = "
representatives:
  - {key: ada, name: Ada}
  - {key: bo, name: Bo}
teams:
  - {key: sales, name: Sales, members: [{rep: ada, weight: 2}, {rep: bo}]}
";

/// The file that says how wrong the clock is.
const CLOCK: &str = "clock";

/// How long the campaign pauses, and between which mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Days, for a clock that is driven.
    Days,
    /// Seconds, for the machine's clock.
    Seconds,
    /// Days, and no cap: what a clock that is set does to a cap cannot be foretold.
    DaysUncapped,
}

pub(crate) struct Campaign {
    pub(crate) workspace: Workspace,
    pub(crate) contacts: u32,
    pace: Pace,
    /// The PostgreSQL database with the store; without one it is a file of the workspace.
    database: Option<Database>,
}

/// A database of a server.
#[derive(Clone)]
struct Database {
    url: String,
    /// The server, if its databases may be copied.
    server: Option<&'static Server>,
}

impl Campaign {
    /// The campaign with contacts `c0`, `c1`, … whose events are still to arrive.
    pub(crate) fn new(contacts: u32) -> Self {
        let campaign = Self::without_contacts(contacts);
        campaign.import();
        campaign
    }

    /// [`Campaign::new`] in a database of the server that all tests share; none where there is no server.
    pub(crate) fn in_shared_postgres(contacts: u32) -> Option<Self> {
        let server = Server::shared()?;
        let mut campaign = Self::in_postgres(contacts, Pace::Days, block_on(server.database()));
        campaign.database = campaign.database.map(|database| Database { server: Some(server), ..database });
        campaign.import();
        Some(campaign)
    }

    /// The campaign with the files of its contacts.
    pub(crate) fn without_contacts(contacts: u32) -> Self {
        Self::with_pace(contacts, Pace::Days)
    }

    /// The campaign over a PostgreSQL database, with the files of its contacts.
    pub(crate) fn in_postgres(contacts: u32, pace: Pace, url: String) -> Self {
        let campaign = Self::with_pace(contacts, pace);
        campaign.workspace.set(&format!("store: {{postgres: {{url: '{url}'}}}}\n"));
        Self { database: Some(Database { url, server: None }), ..campaign }
    }

    /// The campaign with the files of its contacts.
    pub(crate) fn with_pace(contacts: u32, pace: Pace) -> Self {
        let workspace = Workspace::empty();
        let (long, short, cap) = match pace {
            Pace::Days => ("1d", "3h", Some("1h")),
            Pace::Seconds => ("2s", "1s", Some("1s")),
            Pace::DaysUncapped => ("1d", "3h", None),
        };
        if let Some(within) = cap {
            workspace.set(&format!("caps: [{{at_most: 1, in: {within}}}]\n"));
        }
        let nurture = NURTURE.replace("LONG", long).replace("SHORT", short);
        workspace.write("workflows/nurture.yaml", &nurture);
        workspace.write("workflows/odd-ones.yaml", ODD_ONES);
        workspace.write("workflows/fragile.yaml", FRAGILE);
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
        Self { workspace, contacts, pace, database: None }
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

    /// The same campaign, elsewhere.
    pub(crate) fn twin(&self) -> Self {
        let workspace = self.workspace.copy();
        let database = self.database.clone().map(|original| {
            let server = original.server.expect("a database that may be copied");
            let url = block_on(server.copy(&original.url));
            workspace.replace("dripline.yaml", &original.url, &url);
            Database { url, ..original }
        });
        Self { workspace, contacts: self.contacts, pace: self.pace, database }
    }

    /// A command, by the campaign's clock.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.workspace.command(arguments);
        command.env(pretend::CLOCK, self.workspace.path(CLOCK));
        command
    }

    /// Runs a command, which must succeed.
    pub(crate) fn ok(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        let (out, err) = texts(&output);
        assert!(output.status.success(), "dripline {arguments:?} ended with {}\n{out}\n{err}", output.status);
    }

    /// Sets the clock of its processes, those that run included, to so many milliseconds ahead of the machine's.
    pub(crate) fn set_clock(&self, ahead_ms: i64) {
        self.workspace.write("clock.new", &ahead_ms.to_string());
        // At once, because somebody may be reading it.
        fs::rename(self.workspace.path("clock.new"), self.workspace.path(CLOCK)).unwrap();
    }

    /// Sets the clock from pause to pause, each time far beyond, until none is left.
    pub(crate) fn leap_to_the_end(&self) {
        const MONTH_MS: i64 = 30 * 24 * 3_600_000;
        for month in 1..=9 {
            self.set_clock(month * MONTH_MS);
            self.ok(&["run"]);
        }
    }

    /// Runs it to its end, which it must reach. Who failed is set going again by hand, and fails again, and is let go on.
    pub(crate) fn finish(&self) {
        let run: &[&str] = if self.pace == Pace::Days { &["run", "--fast-forward"] } else { &["run"] };
        self.ok(run);
        self.mend(run);
    }

    /// What people do about the runs that failed; `run` does what is due then.
    pub(crate) fn mend(&self, run: &[&str]) {
        if self.facts().has_failed() {
            self.ok(&["runs", "retry", "--all"]);
            self.ok(run);
            self.ok(&["runs", "skip", "--all"]);
            self.ok(run);
        }
    }

    /// Runs it to wherever it gets.
    pub(crate) fn run(&self) -> Output {
        self.workspace.run(&["run", "--fast-forward"])
    }

    pub(crate) fn facts(&self) -> Facts {
        match &self.database {
            Some(Database { url, .. }) => block_on(Facts::of_postgres(url)).unwrap(),
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
            if number % 10 == 4 {
                let steps =
                    [("before", "done"), ("letter", "failed"), ("letter", "failed"), ("letter", "skipped")];
                let steps = steps.into_iter().chain([("after", "done")]);
                expected.runs.insert(key("fragile"), steps.map(|(id, how)| step(id, how)).collect());
            } else {
                expected.refused.insert(key("fragile"));
            }
            if number % 10 == 9 {
                expected.refused.insert(key("nurture"));
            } else {
                let is_capped = self.pace != Pace::DaysUncapped;
                expected.runs.insert(key("nurture"), turns(number, is_capped));
                outcome = outcome_of(number);
                if number % 10 == 4 {
                    outcome.scores.insert("tries".to_owned(), 2);
                }
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

/// After how many visits the run ends wherever it stands.
fn visits_to_the_end(number: u32) -> Option<i64> {
    match number {
        _ if number % 11 == 5 => Some(3),
        _ if number % 13 == 8 => Some(4),
        _ => None,
    }
}

fn turns(number: u32, is_capped: bool) -> Vec<Step> {
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
    if is_capped && is_odd && points(number) >= 5 && consents(number) {
        turns.push(step("reminder", "held"));
    }
    turns.push(step("reminder", if points(number) >= 5 { mail } else { "skipped" }));
    for visit in 2..=4 {
        turns.push(step("again", "done"));
        if visits_to_the_end(number) == Some(visit) {
            turns.push(step("nap", "ended"));
            return turns;
        }
        turns.extend([step("nap", "waiting"), step("enough", "branched")]);
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
    outcome.scores.insert("visits".to_owned(), visits_to_the_end(number).unwrap_or(4));
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
    outcome.assignments = usize::from(number.is_multiple_of(4) && visits_to_the_end(number).is_none());
    outcome
}
