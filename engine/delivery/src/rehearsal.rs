//! Messages of which nothing leaves: what a simulation would have sent.

use std::sync::{Arc, Mutex, PoisonError};

use dripline_store::DueMessage;
use jiff::Timestamp;

/// What a [`Transport::Rehearsal`](crate::Transport::Rehearsal) would have sent and nobody has taken yet; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Rehearsal(Arc<Mutex<Vec<Rehearsed>>>);

/// A message that would have been sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// The message, with its receiver as known at that moment.
    pub message: DueMessage,
    /// When.
    pub at: Timestamp,
    /// Why it could not have been sent.
    pub failure: Option<String>,
}

impl Rehearsal {
    /// Takes what has come together since the last call, in the order of sending.
    pub fn take(&self) -> Vec<Rehearsed> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn add(&self, messages: Vec<Rehearsed>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(messages);
    }
}

/// Whether they are the same rehearsal.
impl PartialEq for Rehearsal {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
