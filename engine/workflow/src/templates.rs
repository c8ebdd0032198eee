//! What templates read of contacts, against what is known of them.

use dripline_model::{
    contact::{CHANNEL_EMAIL, RESERVED_FIELDS},
    field::Fields,
    suggest,
};
use dripline_template::{FieldKind, FieldUse};

use crate::{Code, Severity};

/// A field that contacts do not have.
#[derive(Debug)]
pub(crate) enum Unknown {
    /// An attribute that is most like this one.
    Slip(String),
    /// An attribute that is not declared.
    Undeclared,
    /// An attribute that no contact has so far.
    NotYet,
    /// A topic that is not declared, and what is most like it.
    Topic(Option<String>),
    /// A score that is not declared, and what is most like it.
    Score(Option<String>),
    /// A score that has no grades.
    Ungraded,
}

impl Unknown {
    /// What is wrong with `used`, if anything.
    pub(crate) fn find(fields: &Fields, used: &FieldUse) -> Option<Self> {
        let name = used.name.as_str();
        if used.kind == FieldKind::Topic {
            let topics = fields.topics()?;
            let near = || suggest::closest(name, topics.iter().map(String::as_str)).map(str::to_owned);
            return (name != CHANNEL_EMAIL && !topics.contains(name)).then(|| Self::Topic(near()));
        }
        if matches!(used.kind, FieldKind::Score | FieldKind::Grade) {
            let is_graded = used.kind == FieldKind::Grade;
            let Some(scores) = fields.scores() else { return is_graded.then_some(Self::Ungraded) };
            return match scores.get(name) {
                None => Some(Self::Score(suggest::closest(name, scores.names()).map(str::to_owned))),
                Some(score) => (is_graded && score.grades.is_empty()).then_some(Self::Ungraded),
            };
        }
        if fields.contains(name) {
            return None;
        }
        let near = suggest::closest(name, fields.names().chain(RESERVED_FIELDS.iter().copied()));
        Some(match near {
            Some(near) => Self::Slip(near.to_owned()),
            None if fields.is_closed() => Self::Undeclared,
            None => Self::NotYet,
        })
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Slip(_) | Self::Undeclared => Code::TemplateField,
            Self::NotYet => Code::TemplateAttribute,
            Self::Topic(_) => Code::NoTopic,
            Self::Score(_) => Code::NoScore,
            Self::Ungraded => Code::NoGrade,
        }
    }

    pub(crate) fn severity(&self) -> Severity {
        if matches!(self, Self::NotYet) { Severity::Warning } else { Severity::Error }
    }

    pub(crate) fn message(&self, used: &FieldUse) -> String {
        match self {
            Self::Topic(_) => format!("there is no topic `{}` to consent to", used.name),
            Self::Score(_) => format!("there is no score `{}`", used.name),
            Self::Ungraded => format!("the score `{}` has no grades", used.name),
            _ => format!("no contact has `{}`", used.name),
        }
    }

    pub(crate) fn help(&self, used: &FieldUse) -> String {
        let name = &used.name;
        match self {
            Self::Slip(near) => format!("did you mean `contact.{near}`?"),
            Self::Undeclared => format!("declare `{name}` in fields.yaml"),
            Self::NotYet => format!(
                "until an import brings it, say what to write instead: {{{{default contact.{name} \"…\"}}}}"
            ),
            Self::Topic(Some(near)) => format!("did you mean `contact.consent.{near}`?"),
            Self::Topic(None) => format!("declare the topic `{name}` in fields.yaml"),
            Self::Score(Some(near)) => format!("did you mean `{near}`?"),
            Self::Score(None) => format!("declare the score `{name}` in scores.yaml"),
            Self::Ungraded => {
                format!("give it some in scores.yaml: {name}: {{grades: {{hot: 60, warm: 30, cold: 0}}}}")
            }
        }
    }
}

/// Line, column and length of the field within the tag in which it stands; of the tag's beginning, where it is written
/// otherwise.
pub(crate) fn written(text: &str, used: &FieldUse) -> (u32, u32, u32) {
    let found = || {
        let start = offset(text, used.line, used.column);
        let behind = text.get(start..)?;
        let wanted = format!("{}{}", used.kind.prefix(), used.name);
        let at = start
            + behind.match_indices(&wanted).map(|(at, _)| at).find(|at| {
                let next = behind.get(at + wanted.len()..).and_then(|rest| rest.chars().next());
                !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
            })?;
        let before = text.get(..at)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some((
            u32::try_from(line).ok()?,
            u32::try_from(column).ok()?,
            u32::try_from(wanted.chars().count()).ok()?,
        ))
    };
    found().unwrap_or((used.line, used.column, 1))
}

/// The byte at a line and column, in characters from 1.
pub(crate) fn offset(text: &str, line: u32, column: u32) -> usize {
    let start: usize = text.split_inclusive('\n').take((line as usize).saturating_sub(1)).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start + rest.chars().take((column as usize).saturating_sub(1)).map(char::len_utf8).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_within_its_tag() {
        let used = |line, column, name: &str| FieldUse {
            path: String::new(),
            line,
            column,
            name: name.into(),
            kind: FieldKind::Attribute,
        };
        let text = "Ä {{contact.first_name}}\n{{#if contact.first}}x{{/if}}";
        assert_eq!(written(text, &used(1, 3, "first_name")), (1, 5, 18));
        assert_eq!(written(text, &used(1, 3, "first")), (2, 7, 13));
        assert_eq!(written(text, &used(2, 1, "last")), (2, 1, 1));
    }
}
