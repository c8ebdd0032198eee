//! The workflow language: from YAML to a checked [`Program`], with diagnostics that say what is wrong, where in the
//! file, and what would be right.
//!
//! [`check`] reads a workflow. It never panics and never overflows the stack, whatever the text: nesting, size and
//! aliases are limited before anything is built. [`segments`] reads segments, [`teams`] reads `teams.yaml`, [`schedule`] is five-field cron as
//! people expect it; [`fields`] reads `fields.yaml`, [`scores`] `scores.yaml`, [`holidays`] `holidays.yaml`, [`samples`] renders what a workflow sends for sample contacts,
//! [`behaviour`] reads what contacts are assumed to do in a simulation, [`campaign_test`] the tests of campaigns,
//! [`pace`] warns of what time makes of a workflow, [`document`] fits any other file to a schema, and [`json_schema`] describes all of them for editors. Nothing here does
//! I/O; what a workflow may refer to comes in with the [`Environment`].

pub mod behaviour;
pub mod calls;
pub mod campaign_test;
mod code;
mod config;
mod diagnostic;
pub mod document;
mod experiment;
pub mod fields;
mod flow;
pub mod holidays;
pub mod json_schema;
mod marks;
pub mod pace;
mod parallel;
mod policies;
mod read;
pub mod samples;
mod scalar;
pub mod schedule;
mod schema;
pub mod scores;
pub mod segments;
mod source;
mod step_reader;
mod steps;
pub mod teams;
mod templates;
mod triggers;
mod wait_for;
mod ways;
mod workflow;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use dripline_expression::Scope;
use dripline_model::{Digest, Manifest, batch::ColumnType, field::Fields, manifest::Grant, program::Program};
use jiff::Timestamp;

pub use code::{Code, codes, explain};
pub use config::{PluginConfig, plugin_problem};
pub use diagnostic::{Diagnostic, Severity};
pub use source::Source;
pub use workflow::check;

/// What a workflow may refer to.
#[derive(Debug, Clone, Copy)]
pub struct Environment<'a> {
    /// The installed plugins by name.
    pub plugins: &'a BTreeMap<String, PluginInfo>,
    /// The workspace's templates.
    pub templates: &'a dripline_template::Templates,
    /// Keys of the teams.
    pub teams: &'a BTreeSet<String>,
    /// Names of the segments that have a rule, into which no step puts anybody.
    pub dynamic_segments: &'a BTreeSet<String>,
    /// The workspace's own calendars of holidays.
    pub calendars: &'a holidays::Calendars,
    /// What is known of contacts' attributes, topics and segments; `None` where nothing is, and then any is accepted.
    pub attributes: Option<&'a Fields>,
    /// Time zone of a schedule that names none; an IANA name.
    pub default_time_zone: &'a str,
    /// With what the workflow is called; [`check`] itself reads that from the file.
    pub inputs: Option<&'a BTreeMap<String, ColumnType>>,
    /// When the check is made, so that a date can be said to have passed; without it none has.
    pub now: Option<Timestamp>,
}

/// An installed plugin.
#[derive(Debug, Clone)]
pub struct PluginInfo {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Digest of its code.
    pub digest: Digest,
    /// What the operator granted.
    pub grant: Grant,
}

/// What [`check`] found.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The program; none if there is any error.
    pub program: Option<Program>,
    /// Complaints, in the order of their places; at most 100.
    pub diagnostics: Vec<Diagnostic>,
    /// The configuration of each plugin step in which no error was found, for the plugin's own check; its answers
    /// become diagnostics with [`plugin_problem`].
    pub configs: Vec<PluginConfig>,
    /// The steps that call other workflows, for [`calls::check`] over all files.
    pub calls: Vec<calls::CallPlace>,
}

impl<'a> Environment<'a> {
    /// What expressions of steps may name.
    pub(crate) fn scope(&self) -> Scope<'a> {
        Scope { attributes: self.attributes, event: false, inputs: self.inputs }
    }

    /// Whether the workflow is called with something of this name.
    pub(crate) fn has_input(&self, name: &str) -> bool {
        self.inputs.is_some_and(|inputs| inputs.contains_key(name))
    }

    /// What would help where it is not.
    pub(crate) fn input_help(&self, name: &str) -> String {
        let known = self.inputs.into_iter().flat_map(|inputs| inputs.keys().map(String::as_str));
        match dripline_model::suggest::closest(name, known) {
            Some(near) => format!("did you mean `input.{near}`?"),
            None => format!("declare it at the top of the workflow: inputs: {{{name}: text}}"),
        }
    }
}
