//! Requests of other programs that count once, however often they arrive: what was answered first is answered again.

use async_trait::async_trait;
use dripline_model::Digest;
use jiff::{SignedDuration, Timestamp};

use crate::Result;

/// How long a request is remembered.
pub const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// Verbs on requests, within the transaction that does what they ask for.
#[async_trait]
pub trait Requests: Send {
    /// What was answered to a request since `now` minus [`REMEMBERED`]. A twin that arrives meanwhile waits for this transaction.
    async fn answered(&mut self, key: &str, now: Timestamp) -> Result<Option<Answered>>;

    /// Records what is answered to a request, and lets go of some that are too old.
    async fn answer(&mut self, key: &str, answered: &Answered, now: Timestamp) -> Result<()>;
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What was asked.
    pub digest: Digest,
    /// The answer, as JSON.
    pub answer: String,
}
