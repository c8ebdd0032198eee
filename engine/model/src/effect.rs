//! What a plugin answers: for each turn a directive, effects, and a reason for humans.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The answer to one turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Where the run goes.
    pub directive: Directive,
    /// What shall be done, in order. Many turns of a batch want the same.
    pub effects: Vec<Arc<Effect>>,
    /// Why, in a sentence that a marketer reads.
    pub reason: String,
}

/// Where a run goes after a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Directive {
    /// On to the next step.
    Continue,
    /// Along the named output.
    Output(String),
    /// On to the next step, but not before this instant.
    WaitUntil(Timestamp),
    /// The run ends here.
    Exit,
    /// The turn failed.
    Fail(Failure),
}

/// Why a turn failed and whether trying again may help.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What happened, for people.
    pub message: String,
    /// When to try again; `None` leaves it to the engine's policy.
    pub retry_at: Option<Timestamp>,
}

/// Kinds of failure, as recorded in decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The plugin says that trying again may help.
    Transient,
    /// The plugin says that trying again cannot help.
    Permanent,
    /// The plugin's code trapped.
    Trap,
    /// The plugin asked for more memory than its limit.
    Memory,
    /// The plugin did not end in time.
    Time,
    /// The batch ran out of time before the plugin was called for this turn.
    Unreached,
    /// The plugin's answer does not fit the batch or the contract.
    BadOutput,
    /// The plugin wanted something that was not granted.
    Denied,
    /// A template of the step could not be rendered for the contact.
    Template,
    /// The run went round without ever waiting.
    Loop,
    /// The step's plugin or version is not there.
    Missing,
}

impl FailureKind {
    /// Whether the engine tries the turn again by itself.
    pub fn is_retried(self) -> bool {
        matches!(
            self,
            Self::Transient | Self::Trap | Self::Memory | Self::Time | Self::Unreached | Self::BadOutput
        )
    }

    /// The recorded name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Trap => "trap",
            Self::Memory => "memory",
            Self::Time => "time",
            Self::Unreached => "unreached",
            Self::BadOutput => "bad_output",
            Self::Denied => "denied",
            Self::Template => "template",
            Self::Loop => "loop",
            Self::Missing => "missing",
        }
    }
}

/// Something that a turn wants done. The engine decides what of it happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Set an attribute (`null` removes it).
    SetField {
        /// The attribute's name.
        field: String,
        /// Its new value.
        value: Value,
    },
    /// Put a tag on the contact.
    AddTag(String),
    /// Take a tag off.
    RemoveTag(String),
    /// Change a named score by `points`, keeping it within the bounds.
    AddScore {
        /// The score's name.
        score: String,
        /// Points to add; negative takes away.
        points: i64,
        /// Why, in words.
        because: String,
        /// Lowest value the score may take.
        min: Option<i64>,
        /// Highest value the score may take.
        max: Option<i64>,
        /// How many of the points that this step of this workflow gave for the same reason may count at a time.
        at_most: Option<i64>,
    },
    /// Forget the points that this step of this workflow gave to the contact's score before, so that a step which
    /// works out a score anew does not count the same fact twice.
    ClearScore(String),
    /// Make the contact a member of a static segment.
    JoinSegment(String),
    /// End the membership.
    LeaveSegment(String),
    /// Queue an email.
    SendEmail(EmailRequest),
    /// Make a representative the contact's owner.
    AssignOwner {
        /// Key of the representative.
        rep: String,
        /// Key of the team for which the assignment was made.
        team: Option<String>,
        /// Why this one.
        because: String,
    },
}

/// An email that a step wants sent.
#[derive(Debug, Clone, PartialEq)]
pub struct EmailRequest {
    /// Template name, `trial/welcome`.
    pub template: String,
    /// The rendered subject.
    pub subject: String,
    /// Consent topic, beside the channel's own consent.
    pub topic: Option<String>,
    /// Whether the mail answers something that the contact did (a receipt, a password) and so needs no consent.
    pub transactional: bool,
}

/// The kinds of effect, as manifests ask for them and operators grant them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectKind {
    /// [`Effect::SetField`]
    SetField,
    /// [`Effect::AddTag`] and [`Effect::RemoveTag`]
    Tag,
    /// [`Effect::AddScore`] and [`Effect::ClearScore`]
    Score,
    /// [`Effect::JoinSegment`] and [`Effect::LeaveSegment`]
    Segment,
    /// [`Effect::SendEmail`]
    Email,
    /// [`Effect::AssignOwner`]
    Assign,
}

impl EffectKind {
    /// The name in manifests and grants.
    pub fn name(self) -> &'static str {
        match self {
            Self::SetField => "set-field",
            Self::Tag => "tag",
            Self::Score => "score",
            Self::Segment => "segment",
            Self::Email => "email",
            Self::Assign => "assign",
        }
    }
}

impl Effect {
    /// The kind under which the effect is granted.
    pub fn kind(&self) -> EffectKind {
        match self {
            Self::SetField { .. } => EffectKind::SetField,
            Self::AddTag(_) | Self::RemoveTag(_) => EffectKind::Tag,
            Self::AddScore { .. } | Self::ClearScore(_) => EffectKind::Score,
            Self::JoinSegment(_) | Self::LeaveSegment(_) => EffectKind::Segment,
            Self::SendEmail(_) => EffectKind::Email,
            Self::AssignOwner { .. } => EffectKind::Assign,
        }
    }
}
