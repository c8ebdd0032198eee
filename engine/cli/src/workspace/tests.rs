//! The tests of campaigns among a workspace's files.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use dripline_model::program::Program;
use dripline_workflow::{
    Environment, Severity, Source,
    behaviour::{self, Behaviour, Known},
    campaign_test::{self, TestEnvironment, TestFile},
};
use jiff::tz::TimeZone;

use super::{CheckedWorkspace, Workspace};
use crate::problem::Problem;

/// A file of tests.
#[derive(Debug, Clone)]
pub(crate) struct CheckedTests {
    /// The file.
    pub(crate) source: Source,
    /// What it says; nothing if there is an error in it, or in any workflow.
    pub(crate) file: Option<TestFile>,
}

/// Whether a file holds tests.
pub(super) fn is_test(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(campaign_test::is_test_file)
}

impl Workspace {
    /// The workspace's zone.
    pub(crate) fn zone(&self) -> Result<TimeZone, Problem> {
        TimeZone::get(&self.settings().time_zone).map_err(Problem::input)
    }

    /// Reads files of tests. While a workflow has errors nobody can know which steps and workflows they may name, so
    /// they are looked at once that is mended.
    pub(super) fn check_tests(
        &self,
        files: &[&PathBuf],
        environment: &Environment<'_>,
        checked: &mut CheckedWorkspace,
    ) -> Result<(), Problem> {
        if files.is_empty() {
            return Ok(());
        }
        let others = self.other_programs(environment, checked)?;
        let is_broken = checked.workflows.iter().any(|workflow| workflow.program.is_none());
        let programs: Vec<&Program> = checked.programs().map(|(_, program)| program).chain(&others).collect();
        let templates = checked.templates.email_names();
        let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
        let representatives: BTreeSet<String> =
            checked.representatives.iter().map(|representative| representative.key.clone()).collect();
        let zone = self.zone()?;
        let fields = environment.attributes;
        let environment = TestEnvironment {
            programs: &programs,
            templates: &templates,
            representatives: &representatives,
            time_zone: &zone,
            fields,
        };
        let mut tests = Vec::with_capacity(files.len());
        let mut diagnostics = Vec::new();
        for path in files {
            let source = self.read_source(path)?;
            let file = if is_broken {
                None
            } else {
                campaign_test::parse(&source, &environment)
                    .inspect_err(|complaints| diagnostics.extend(complaints.iter().cloned()))
                    .ok()
            };
            tests.push(CheckedTests { source, file });
        }
        checked.tests = tests;
        checked.diagnostics.append(&mut diagnostics);
        Ok(())
    }

    /// The workflows of the workspace that were not asked for: tests may name them.
    fn other_programs(
        &self,
        environment: &Environment<'_>,
        checked: &CheckedWorkspace,
    ) -> Result<Vec<Program>, Problem> {
        let mut programs = Vec::new();
        for path in self.workflow_files()? {
            let source = self.read_source(&path)?;
            if checked.workflows.iter().all(|workflow| workflow.source.path != source.path) {
                programs.extend(dripline_workflow::check(&source, environment).program);
            }
        }
        Ok(programs)
    }

    /// Reads a behaviour's file.
    pub(crate) fn read_behaviour(
        &self,
        path: &Path,
        checked: &CheckedWorkspace,
    ) -> Result<Result<Behaviour, String>, Problem> {
        let source = self.read_source(path)?;
        let programs: Vec<&Program> = checked.programs().map(|(_, program)| program).collect();
        let templates = checked.templates.email_names();
        let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
        let known = Known { programs: &programs, templates: &templates, fields: checked.fields.as_ref() };
        Ok(behaviour::parse(&source, &known).map_err(|complaints| {
            let errors = complaints.iter().filter(|complaint| complaint.severity == Severity::Error);
            errors.map(|complaint| format!("{}\n", complaint.render())).collect()
        }))
    }
}
