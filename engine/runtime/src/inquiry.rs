//! What the conditions of a workflow say of one contact now, part by part: for whoever asks why something happened, or did
//! not. Nothing here decides anything; it asks the same expressions that the engine evaluates.

use dripline_expression::{Expression, Scope, Subject, Value};
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::{EventView, Needs},
};
use jiff::Timestamp;

/// One part of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// As it is written.
    pub source: String,
    /// Whether it holds; where that cannot be worked out, why.
    pub holds: Result<bool, String>,
    /// Whether the answer would be another without it.
    pub decides: bool,
    /// What it looks at, and what that is for the contact.
    pub values: Vec<(String, String)>,
}

/// What a condition says of a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The condition as it is written.
    pub source: String,
    /// Whether it holds; where that cannot be worked out, why.
    pub holds: Result<bool, String>,
    /// Its parts, as `&&`, `||` and `!` join them.
    pub clauses: Vec<Clause>,
}

impl Verdict {
    /// Whether the condition lets the contact through; one that cannot be worked out does not.
    pub fn admits(&self) -> bool {
        self.holds == Ok(true)
    }

    pub(crate) fn of(condition: &Expression, subject: &Subject<'_>) -> Self {
        Self {
            source: condition.source().to_owned(),
            holds: condition.test(subject).map_err(|error| error.reason),
            clauses: clauses(condition, subject),
        }
    }
}

/// The parts of a condition.
pub(crate) fn clauses(condition: &Expression, subject: &Subject<'_>) -> Vec<Clause> {
    let parts = condition.clauses(subject).into_iter();
    parts
        .map(|part| Clause {
            source: part.source,
            holds: part.holds.map_err(|error| error.reason),
            decides: part.decides,
            values: part.values,
        })
        .collect()
}

/// An expression of a published program, ready to be asked.
#[derive(Debug, Clone)]
pub struct Question(Expression);

impl Question {
    /// A condition; `sees_event` says whether it may look at the event that it is about.
    ///
    /// # Errors
    /// A sentence, when this program does not understand it.
    pub fn condition(source: &str, sees_event: bool) -> Result<Self, String> {
        Self::new(source, ColumnType::Boolean, sees_event)
    }

    /// An expression whose value is a text.
    ///
    /// # Errors
    /// As for [`Question::condition`].
    pub fn text(source: &str) -> Result<Self, String> {
        Self::new(source, ColumnType::Text, false)
    }

    fn new(source: &str, result: ColumnType, event: bool) -> Result<Self, String> {
        Expression::compile(source, result, &Scope { event, ..Scope::default() })
            .map(Self)
            .map_err(|_| format!("`{source}` does not compile"))
    }

    /// What of a contact it looks at.
    pub fn needs(&self) -> &Needs {
        self.0.needs()
    }

    /// What the condition says of a contact that has what it looks at.
    pub fn ask(&self, contact: &Contact, event: Option<&EventView>, now: Timestamp) -> Verdict {
        Verdict::of(&self.0, &Subject::new(contact, event, now))
    }

    /// The text for a contact; where there is none, why.
    ///
    /// # Errors
    /// Why it cannot be worked out.
    pub fn value(&self, contact: &Contact, now: Timestamp) -> Result<String, String> {
        match self.0.evaluate(&Subject::new(contact, None, now)) {
            Ok(Value::Text(text)) => Ok(text),
            Ok(_) => Err("it is no text".to_owned()),
            Err(error) => Err(error.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use dripline_model::id::ContactId;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_verdict_says_what_stands_in_the_way() {
        let mut contact = Contact::new(ContactId(1));
        contact.attributes.insert("employees".into(), json!(150));
        let question =
            Question::condition("contact.employees >= 200 && contact.country == \"DE\"", false).unwrap();
        let verdict = question.ask(&contact, None, Timestamp::UNIX_EPOCH);
        assert!(!verdict.admits());
        let [large, german] = verdict.clauses.as_slice() else { panic!("{verdict:?}") };
        assert_eq!(large.holds, Ok(false));
        assert_eq!(large.values, [("contact.employees".to_owned(), "150".to_owned())]);
        assert_eq!(german.holds, Err("contact has no `country`".to_owned()));
        assert!(Question::condition("event.name == \"a\"", false).is_err());
        let country = Question::text("contact.country").unwrap();
        assert_eq!(
            country.value(&contact, Timestamp::UNIX_EPOCH),
            Err("contact has no `country`".to_owned())
        );
    }
}
