//! A message on its way out.

use serde::{Deserialize, Serialize};

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// In the outbox; due at its due time.
    Queued,
    /// Recorded as being on the wire.
    Sending,
    /// Accepted by the receiving server, or kept in the built-in mailbox.
    Sent,
    /// Refused for good, or not renderable.
    Failed,
    /// The process ended between *sending* and the server's answer: nobody here can know.
    Uncertain,
}

impl MessageStatus {
    /// All states; the position is the code in the store.
    pub const ALL: &[Self] = &[Self::Queued, Self::Sending, Self::Sent, Self::Failed, Self::Uncertain];

    /// The code in the store.
    pub fn code(self) -> i64 {
        self as i64
    }

    /// The state with this code.
    pub fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code).ok().and_then(|index| Self::ALL.get(index)).copied()
    }

    /// The name for people and for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Uncertain => "uncertain",
        }
    }
}
