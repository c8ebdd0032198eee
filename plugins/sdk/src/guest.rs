//! A [`Step`] behind the contract's three functions; [`export!`](crate::export) calls them.

use crate::{Manifest, Outcomes, Problem, Step, batch::Batch, bindings::dripline::step::types};

/// The plugin's manifest.
pub fn describe<S: Step>(version: &str) -> Manifest {
    Manifest::of::<S>(version)
}

/// What is wrong with a configuration that fits the schema.
pub fn check<S: Step>(config: &str) -> Vec<Problem> {
    match serde_json::from_str::<S>(config) {
        Ok(step) => step.check(),
        Err(error) => vec![Problem::at("", error.to_string())],
    }
}

/// Runs the step for every turn of the batch.
///
/// # Errors
/// A sentence for people: a configuration that does not fit, the step's own error, or an answer with gaps.
pub fn run<S: Step>(config: &str, batch: types::Batch) -> Result<types::Outcomes, String> {
    let step: S =
        serde_json::from_str(config).map_err(|error| format!("the configuration does not fit: {error}"))?;
    let batch = Batch::new(batch)?;
    let outputs = S::describe(Manifest::empty()).outputs;
    let mut out = Outcomes::new(&batch, outputs.into_iter().map(|output| output.name).collect());
    step.run(&batch, &mut out)?;
    out.finish()
}
