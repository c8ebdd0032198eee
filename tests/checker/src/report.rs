//! What a check came to.

use std::fmt;

/// How many offenders a report names of each kind.
const NAMED: usize = 5;

/// What kind of damage a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something that should have happened did not.
    Loss,
    /// Something happened twice, or to somebody to whom it should not have.
    Duplicate,
    /// Something happened otherwise than it should have.
    Wrong,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of damage it is.
    pub kind: Kind,
    /// The offender and the offence, in words.
    pub what: String,
}

/// What a check came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Contacts in the store.
    pub contacts: usize,
    /// Runs.
    pub runs: usize,
    /// Turns that were taken.
    pub turns: usize,
    /// Messages of the outbox.
    pub messages: usize,
    /// Messages that the server accepted.
    pub accepted: u64,
    /// Messages of which the store says that nobody can know whether they arrived.
    pub uncertain: usize,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
}

impl Report {
    /// How many problems are of this kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.problems.iter().filter(|problem| problem.kind == kind).count()
    }

    /// Whether everything is as it should be.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn loss(&mut self, what: String) {
        self.problems.push(Problem { kind: Kind::Loss, what });
    }

    pub(crate) fn duplicate(&mut self, what: String) {
        self.problems.push(Problem { kind: Kind::Duplicate, what });
    }

    pub(crate) fn wrong(&mut self, what: String) {
        self.problems.push(Problem { kind: Kind::Wrong, what });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { contacts, runs, turns, messages, accepted, uncertain, .. } = self;
        write!(
            f,
            "{contacts} contacts, {runs} runs, {turns} turns, {messages} messages, {accepted} accepted, \
             {uncertain} uncertain; {} losses, {} duplicates, {} wrong",
            self.count(Kind::Loss),
            self.count(Kind::Duplicate),
            self.count(Kind::Wrong)
        )?;
        for kind in [Kind::Loss, Kind::Duplicate, Kind::Wrong] {
            for problem in self.problems.iter().filter(|problem| problem.kind == kind).take(NAMED) {
                write!(f, "\n  {kind:?}: {}", problem.what)?;
            }
        }
        Ok(())
    }
}
