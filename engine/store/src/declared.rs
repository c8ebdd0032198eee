//! The declared scores, as a process knows them.

use std::sync::{Arc, PoisonError, RwLock};

use dripline_model::score::Scores;

/// What was read last; replaced whole.
#[derive(Debug, Default)]
pub(crate) struct Declared(RwLock<Arc<Scores>>);

impl Declared {
    /// The scores.
    pub(crate) fn get(&self) -> Arc<Scores> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers others.
    pub(crate) fn set(&self, scores: Arc<Scores>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = scores;
    }
}
