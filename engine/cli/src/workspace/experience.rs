//! What is known of contacts from the store, for the checker.

use dripline_model::{Contact, field::ValueTypes};
use dripline_store::{ContactFilter, Store};
use jiff::Timestamp;

use super::Workspace;
use crate::problem::Problem;

/// How many contacts of the store templates are rendered for.
const SAMPLES: usize = 20;

/// What contacts of a store are like; nothing where there is no store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Experience {
    /// The attributes that they have, and which types their values have had.
    pub(super) attributes: Vec<(String, ValueTypes)>,
    /// Some of them.
    pub(super) contacts: Vec<Contact>,
    /// When the workflows begin to run; now where nothing is said.
    pub(super) begins: Option<Timestamp>,
}

impl Experience {
    /// What a store knows.
    pub(crate) async fn of(store: &dyn Store) -> Result<Self, Problem> {
        Ok(Self {
            attributes: store.known_attributes().await?,
            contacts: store.list_contacts(&ContactFilter::default(), SAMPLES).await?,
            begins: None,
        })
    }

    /// Of workflows that begin to run at this moment, on a clock of their own.
    pub(crate) fn beginning(self, at: Timestamp) -> Self {
        Self { begins: Some(at), ..self }
    }
}

impl Workspace {
    /// What the workspace's store knows; a store that is not there knows nothing.
    pub(crate) async fn experience(&self) -> Result<Experience, Problem> {
        if self.is_store_missing() {
            return Ok(Experience::default());
        }
        Experience::of(self.open_store().await?.as_ref()).await
    }
}
