//! `workflows/*.test.yaml`: tests of campaigns. Given contacts and what they do, which mails, scores, owners and steps
//! are to be expected.

mod expect;
mod file;
mod given;

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{field::Fields, program::Program};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use crate::{Diagnostic, Source, behaviour::Behaviour};

/// How the names of test files end.
pub const SUFFIXES: [&str; 2] = [".test.yaml", ".test.yml"];

/// What a test may name.
#[derive(Debug, Clone, Copy)]
pub struct TestEnvironment<'a> {
    /// The workflows of the workspace.
    pub programs: &'a [&'a Program],
    /// Names of the email templates.
    pub templates: &'a [&'a str],
    /// Keys of the representatives.
    pub representatives: &'a BTreeSet<String>,
    /// The workspace's zone.
    pub time_zone: &'a TimeZone,
    /// What is known of contacts' attributes and topics; `None` where nothing is, and then any is accepted.
    pub fields: Option<&'a Fields>,
}

/// A file of tests.
#[derive(Debug, Clone, PartialEq)]
pub struct TestFile {
    /// Names of the workflows that are tested, and run together.
    pub workflows: Vec<String>,
    /// The zone of its times.
    pub time_zone: TimeZone,
    /// The tests, in their order.
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Its name, unique in the file.
    pub name: String,
    /// The line where it begins, from 1.
    pub line: u32,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// Who is there, by the names that the test gives them.
    pub contacts: BTreeMap<String, GivenContact>,
    /// What contacts do.
    pub events: Vec<GivenEvent>,
    /// Who is enrolled by hand.
    pub enrolments: Vec<GivenEnrolment>,
    /// What contacts do with mails.
    pub behaviour: Behaviour,
    /// The seed of what is left to chance.
    pub seed: u64,
    /// What is to be expected, in the file's order.
    pub expected: Vec<Expected>,
}

/// A contact of a test, as it is when the test begins.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GivenContact {
    /// The caller's key.
    pub external_id: String,
    /// The address, in lower case.
    pub email: Option<String>,
    /// Attributes.
    pub attributes: Map<String, Value>,
    /// Consent by topic.
    pub consents: BTreeMap<String, bool>,
    /// Tags.
    pub tags: Vec<String>,
    /// Points by score.
    pub scores: BTreeMap<String, i64>,
    /// Segments of which it is a member.
    pub segments: BTreeSet<String>,
    /// Key of the representative who owns it.
    pub owner: Option<String>,
    /// When it came to be.
    pub created_at: Option<Timestamp>,
}

/// Something that a contact of a test does.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenEvent {
    /// Who.
    pub contact: String,
    /// What.
    pub event: String,
    /// When.
    pub at: Timestamp,
    /// What else is known of it.
    pub properties: Map<String, Value>,
}

/// A contact of a test that is enrolled by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenEnrolment {
    /// Who.
    pub contact: String,
    /// In which workflow.
    pub workflow: String,
    /// When.
    pub at: Timestamp,
}

/// Something that is expected of a contact.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Who.
    pub contact: String,
    /// The line where it stands, from 1.
    pub line: u32,
    /// What.
    pub what: Expectation,
}

/// What can be expected.
#[derive(Debug, Clone, PartialEq)]
pub enum Expectation {
    /// A mail.
    Mail(ExpectedMail),
    /// No mail of these templates; without any, no mail at all.
    NoMails(Vec<String>),
    /// No mail beside those that are expected.
    NoOtherMails,
    /// A score.
    Score(String, Comparison),
    /// An attribute; `null` where there shall be none.
    Attribute(String, Value),
    /// One of these representatives owns the contact; without any, nobody does.
    Owner(Vec<String>),
    /// The contact has the tag, or has not.
    Tag(String, bool),
    /// The contact is a member of the segment, or is not.
    Segment(String, bool),
    /// These steps are taken, in this order; others may lie between them.
    Steps(Vec<StepName>),
    /// The step is not taken.
    Never(StepName),
    /// The contact enters a workflow of the test, or does not.
    Enrolled(bool),
    /// How the contact's last run ends.
    End(ExpectedEnd),
}

/// A mail that is expected.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExpectedMail {
    /// Its template.
    pub template: String,
    /// When exactly, to the minute.
    pub at: Option<Timestamp>,
    /// When at the latest.
    pub by: Option<Timestamp>,
    /// Its subject.
    pub subject: Option<String>,
    /// Its receiver's address.
    pub to: Option<String>,
}

/// What a number shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// How the number compares with `value`.
    pub operator: Operator,
    /// With what.
    pub value: i64,
}

/// How two numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `30`
    Is,
    /// `>= 30`
    AtLeast,
    /// `> 30`
    MoreThan,
    /// `<= 30`
    AtMost,
    /// `< 30`
    LessThan,
}

/// A step of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepName {
    /// The workflow, where the test says it.
    pub workflow: Option<String>,
    /// The step's id.
    pub step: String,
}

/// How a run is expected to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedEnd {
    /// The name of a run's status.
    pub status: Option<String>,
    /// The reason of its last decision.
    pub reason: Option<String>,
    /// Where it stands.
    pub step: Option<StepName>,
}

impl Comparison {
    /// Whether it holds for a number.
    pub fn holds(self, number: i64) -> bool {
        match self.operator {
            Operator::Is => number == self.value,
            Operator::AtLeast => number >= self.value,
            Operator::MoreThan => number > self.value,
            Operator::AtMost => number <= self.value,
            Operator::LessThan => number < self.value,
        }
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operator = match self.operator {
            Operator::Is => "",
            Operator::AtLeast => ">= ",
            Operator::MoreThan => "> ",
            Operator::AtMost => "<= ",
            Operator::LessThan => "< ",
        };
        write!(f, "{operator}{}", self.value)
    }
}

impl std::fmt::Display for StepName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.workflow {
            Some(workflow) => write!(f, "{workflow}/{}", self.step),
            None => f.write_str(&self.step),
        }
    }
}

/// Whether a file of this name holds tests.
pub fn is_test_file(name: &str) -> bool {
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Reads a file of tests.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(source: &Source, environment: &TestEnvironment<'_>) -> Result<TestFile, Vec<Diagnostic>> {
    file::parse(source, environment)
}
