//! Everything that a workspace publishes, checked together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use dripline_model::{
    Clock, Contact, SystemClock,
    field::{Fields, ValueTypes},
    policy::Cap,
    program::Program,
    score::Scores,
    team::{Representative, Team},
};
use dripline_store::NewSegment;
use dripline_template::Templates;
use dripline_workflow::{
    Code, Diagnostic, Environment, PluginConfig, PluginInfo, Severity, Source,
    calls::{self, Signature},
    document::Document,
    fields,
    holidays::{self, Calendars},
    pace, scores,
    segments::{self, SegmentFile},
    teams,
};

use super::{CheckedTests, Experience, LoadedPlugin, Workspace, samples, tests::is_test};
use crate::{output::plural, problem::Problem};

/// A workspace's files, checked.
#[derive(Debug, Clone)]
pub(crate) struct CheckedWorkspace {
    /// The workflows in the order of their files' names.
    pub(crate) workflows: Vec<CheckedFile>,
    /// The templates.
    pub(crate) templates: Templates,
    /// The representatives.
    pub(crate) representatives: Vec<Representative>,
    /// The teams.
    pub(crate) teams: Vec<Team>,
    /// What is known of contacts' attributes, if anything is.
    pub(crate) fields: Option<Fields>,
    /// The tests of campaigns, as far as they were asked for.
    pub(crate) tests: Vec<CheckedTests>,
    /// The segments, in the order of their files' names.
    pub(crate) segments: Vec<SegmentFile>,
    /// The declared scores.
    pub(crate) scores: Scores,
    /// Complaints about all of that.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// One workflow file.
#[derive(Debug, Clone)]
pub(crate) struct CheckedFile {
    /// The file.
    pub(crate) source: Source,
    /// What it means; nothing if there is an error in it.
    pub(crate) program: Option<Program>,
}

impl CheckedWorkspace {
    /// The workflows without errors, each with its file.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (&Source, &Program)> {
        self.workflows.iter().filter_map(|workflow| Some((&workflow.source, workflow.program.as_ref()?)))
    }

    /// The segments without errors, each with its file.
    pub(crate) fn new_segments(&self) -> Vec<NewSegment<'_>> {
        self.segments
            .iter()
            .filter_map(|file| {
                Some(NewSegment { segment: file.segment.as_ref()?, source: &file.source.text })
            })
            .collect()
    }

    /// How many complaints of this severity there are.
    pub(crate) fn count(&self, severity: Severity) -> u64 {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count() as u64
    }
}

/// `1 error, 2 warnings`, or nothing.
pub(crate) fn summarise(errors: u64, warnings: u64) -> Option<String> {
    let mut parts = Vec::new();
    if errors > 0 {
        parts.push(plural(errors, "error"));
    }
    if warnings > 0 {
        parts.push(plural(warnings, "warning"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

impl Workspace {
    /// Checks the teams, and these workflow files with what they use, where contacts are as a store knows them.
    pub(crate) async fn check_knowing(
        &self,
        files: &[PathBuf],
        plugins: &BTreeMap<String, LoadedPlugin>,
        experience: Experience,
    ) -> Result<CheckedWorkspace, Problem> {
        let mut diagnostics = Vec::new();
        let (representatives, teams) = self.read_teams(&mut diagnostics)?;
        let templates = self.read_templates()?;
        let infos: BTreeMap<String, PluginInfo> =
            plugins.iter().map(|(name, loaded)| (name.clone(), loaded.info())).collect();
        let scores = self.declared_scores(&mut diagnostics)?;
        let fields = self.known_fields(experience.attributes, scores.as_ref(), &infos, &mut diagnostics)?;
        let (segments, complaints) = segments::check(self.read_segments()?, fields.as_ref());
        diagnostics.extend(complaints);
        let dynamic =
            segments.iter().filter_map(|file| file.segment.as_ref()).filter(|segment| segment.rule.is_some());
        let dynamic: BTreeSet<String> = dynamic.map(|segment| segment.name.clone()).collect();
        let calendars = self.read_calendars(&mut diagnostics)?;
        let samples = self.read_samples(fields.as_ref(), &mut diagnostics)?.unwrap_or(experience.contacts);
        let environment = Environment {
            plugins: &infos,
            templates: &templates,
            teams: &teams.iter().map(|team| team.key.clone()).collect::<BTreeSet<_>>(),
            dynamic_segments: &dynamic,
            calendars: &calendars,
            attributes: fields.as_ref(),
            inputs: None,
            default_time_zone: &self.settings().time_zone,
            now: Some(experience.begins.unwrap_or_else(|| SystemClock.now())),
        };
        let caps: Vec<Cap> = self.settings().caps.iter().map(|cap| cap.cap()).collect();
        let mut workflows: Vec<CheckedFile> = Vec::with_capacity(files.len());
        let mut signatures: Option<Vec<Signature>> = None;
        let segments_folder = self.path("segments");
        let (test_files, files): (Vec<&PathBuf>, Vec<&PathBuf>) =
            files.iter().partition(|file| is_test(file));
        // All segments are checked anyhow, because they depend on each other.
        for file in files.into_iter().filter(|file| !is_below(file, &segments_folder)) {
            let source = self.read_source(file)?;
            let mut checked = dripline_workflow::check(&source, &environment);
            for config in &checked.configs {
                checked.diagnostics.extend(ask_plugin(&source, config, plugins).await);
            }
            let rendered =
                dripline_workflow::samples::check(&source, &checked.configs, &environment, &samples);
            checked.diagnostics.extend(rendered);
            if let Some(program) = checked.program.as_ref().filter(|_| !checked.calls.is_empty()) {
                let all = match &mut signatures {
                    Some(all) => all,
                    unread => unread.insert(self.signatures()?),
                };
                let found = calls::check(&source, program, &checked.calls, all, &environment);
                checked.diagnostics.extend(found);
            }
            if let Some(program) = &checked.program {
                let of_time = pace::check(&source, program, &checked.configs, &infos, &caps);
                checked.diagnostics.extend(of_time);
                checked.diagnostics.extend(twin(&workflows, &source, program));
            }
            if checked.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
                checked.program = None;
            }
            // Two workflows may send one template.
            for diagnostic in checked.diagnostics {
                if !diagnostics.contains(&diagnostic) {
                    diagnostics.push(diagnostic);
                }
            }
            workflows.push(CheckedFile { source, program: checked.program });
        }
        let mut checked = CheckedWorkspace {
            workflows,
            templates: templates.clone(),
            representatives,
            fields: fields.clone(),
            teams,
            segments,
            scores: scores.unwrap_or_default(),
            tests: Vec::new(),
            diagnostics,
        };
        self.check_tests(&test_files, &environment, &mut checked)?;
        Ok(checked)
    }

    /// What all workflows of the workspace say to who calls them.
    fn signatures(&self) -> Result<Vec<Signature>, Problem> {
        let mut all = Vec::new();
        for file in self.workflow_files()? {
            all.extend(calls::signature(&self.read_source(&file)?));
        }
        Ok(all)
    }

    /// What is known of contacts: what `fields.yaml` declares, what the store has seen, and the segments that there are.
    /// Nothing where there is neither a file nor a contact, and then any name goes.
    fn known_fields(
        &self,
        seen: Vec<(String, ValueTypes)>,
        scores: Option<&Scores>,
        plugins: &BTreeMap<String, PluginInfo>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Option<Fields>, Problem> {
        let declared = match self.declared_fields()? {
            Ok(declared) => declared,
            Err(complaints) => {
                // What was meant to be declared is not known now.
                diagnostics.extend(complaints);
                return Ok(None);
            }
        };
        let with_scores = |fields: Fields| match scores {
            Some(scores) => fields.with_scores(scores.clone()),
            None => fields,
        };
        if declared.is_none() && seen.is_empty() {
            return Ok(scores.map(|_| with_scores(Fields::anything())));
        }
        let mut segments = BTreeSet::new();
        for file in self.workflow_files()? {
            // Of a file that cannot be read, the check itself complains.
            if let Ok(source) = self.read_source(&file) {
                segments.extend(dripline_workflow::segments::filled_by(&source, plugins));
            }
        }
        let mut definitions = Vec::new();
        collect_yaml(&self.path("segments"), &mut definitions)?;
        for file in definitions {
            let Ok(source) = self.read_source(&file) else { continue };
            let named = Document::parse(&source).ok().map(|document| document.value());
            let named = named.and_then(|value| value.get("name")?.as_str().map(str::to_owned));
            segments.extend(named.or_else(|| Some(file.file_stem()?.to_str()?.to_owned())));
        }
        Ok(Some(with_scores(declared.unwrap_or_default().learning(seen).with_segments(segments))))
    }

    /// What `scores.yaml` declares, if there is one. Where it has mistakes, nothing is known of scores.
    fn declared_scores(&self, diagnostics: &mut Vec<Diagnostic>) -> Result<Option<Scores>, Problem> {
        let path = self.path(scores::FILE);
        if !path.exists() {
            return Ok(None);
        }
        Ok(match scores::parse(&self.read_source(&path)?) {
            Ok(scores) => Some(scores),
            Err(complaints) => {
                diagnostics.extend(complaints);
                None
            }
        })
    }

    /// What `fields.yaml` declares, if there is one; or what is wrong with it.
    pub(crate) fn declared_fields(&self) -> Result<Result<Option<Fields>, Vec<Diagnostic>>, Problem> {
        let path = self.path(fields::FILE);
        if !path.exists() {
            return Ok(Ok(None));
        }
        Ok(fields::parse(&self.read_source(&path)?).map(Some))
    }

    /// The calendars of `holidays.yaml`: none without the file, or with mistakes in it.
    fn read_calendars(&self, diagnostics: &mut Vec<Diagnostic>) -> Result<Calendars, Problem> {
        let path = self.path(holidays::FILE);
        if !path.exists() {
            return Ok(Calendars::new());
        }
        Ok(holidays::parse(&self.read_source(&path)?).unwrap_or_else(|complaints| {
            diagnostics.extend(complaints);
            Calendars::new()
        }))
    }

    /// The contacts of `samples.yaml`, if there is one.
    fn read_samples(
        &self,
        fields: Option<&Fields>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Option<Vec<Contact>>, Problem> {
        let path = self.path(samples::FILE);
        if !path.exists() {
            return Ok(None);
        }
        let contacts = samples::parse(&self.read_source(&path)?, fields).unwrap_or_else(|complaints| {
            diagnostics.extend(complaints);
            Vec::new()
        });
        Ok(Some(contacts))
    }

    /// The workflow files in `workflows/`, folders within it included, in the order of their names.
    pub(crate) fn workflow_files(&self) -> Result<Vec<PathBuf>, Problem> {
        self.yaml_files(|file| !is_test(file))
    }

    /// The files of tests there.
    pub(crate) fn test_files(&self) -> Result<Vec<PathBuf>, Problem> {
        self.yaml_files(is_test)
    }

    /// The workflow files, and then those of tests.
    pub(crate) fn all_files(&self) -> Result<Vec<PathBuf>, Problem> {
        let mut files = self.workflow_files()?;
        files.extend(self.test_files()?);
        Ok(files)
    }

    fn yaml_files(&self, is_wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Problem> {
        let mut files = Vec::new();
        collect_yaml(&self.path("workflows"), &mut files)?;
        files.retain(|file| is_wanted(file));
        files.sort();
        Ok(files)
    }

    /// The files in `segments/`, folders within it included, in the order of their names.
    fn read_segments(&self) -> Result<Vec<Source>, Problem> {
        let mut files = Vec::new();
        collect_yaml(&self.path("segments"), &mut files)?;
        files.sort();
        files.iter().map(|file| self.read_source(file)).collect()
    }

    /// A file as the checker wants it.
    pub(crate) fn read_source(&self, path: &Path) -> Result<Source, Problem> {
        let bytes = fs::read(path).map_err(|error| Problem::io("read", path, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
            Problem::input(format!("{}:{line}: the file is not UTF-8", self.shown(path)))
                .with_help(format!("convert it: iconv -f latin1 -t utf-8 {}", self.shown(path)))
        })?;
        Ok(Source { path: self.shown(path), text })
    }

    /// Who receives leads: nobody in a workspace without `teams.yaml`, or with mistakes in it.
    fn read_teams(
        &self,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(Vec<Representative>, Vec<Team>), Problem> {
        let path = self.path("teams.yaml");
        if !path.exists() {
            return Ok(Default::default());
        }
        Ok(teams::parse(&self.read_source(&path)?).unwrap_or_else(|complaints| {
            diagnostics.extend(complaints);
            Default::default()
        }))
    }

    fn read_templates(&self) -> Result<Templates, Problem> {
        let folder = self.path("templates");
        if folder.is_dir() {
            Templates::load(&folder).map_err(Problem::input)
        } else {
            Ok(Templates::default())
        }
    }
}

/// What the plugin itself says about a step's configuration.
async fn ask_plugin(
    source: &Source,
    config: &PluginConfig,
    plugins: &BTreeMap<String, LoadedPlugin>,
) -> Vec<Diagnostic> {
    let Some(loaded) = plugins.get(&config.plugin) else { return Vec::new() };
    match loaded.plugin.check(&config.config.to_string()).await {
        Ok(problems) => problems
            .iter()
            .map(|problem| {
                let help = problem.help.as_deref();
                dripline_workflow::plugin_problem(source, config, &problem.pointer, &problem.message, help)
            })
            .collect(),
        Err(error) => {
            let message = format!("the plugin's check failed: {error}");
            vec![dripline_workflow::plugin_problem(source, config, "", &message, None)]
        }
    }
}

/// Two files of one name would be two versions of one workflow, each undoing the other.
fn twin(workflows: &[CheckedFile], source: &Source, program: &Program) -> Option<Diagnostic> {
    let is_twin =
        |other: &&CheckedFile| other.program.as_ref().is_some_and(|known| known.name == program.name);
    let twin = workflows.iter().find(is_twin)?;
    let message = format!("{} defines the workflow `{}` too", twin.source.path, program.name);
    let document = Document::parse(source).ok()?;
    Some(document.complaint(Code::Twins, "/name", &message, Some("give one of them another `name`")))
}

/// Whether a file is in a folder, however its path is written.
fn is_below(file: &Path, folder: &Path) -> bool {
    match (fs::canonicalize(file), fs::canonicalize(folder)) {
        (Ok(file), Ok(folder)) => file.starts_with(folder),
        _ => false,
    }
}

fn collect_yaml(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Problem> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|error| Problem::io("read", folder, &error))?,
    };
    for entry in entries {
        let path = entry.map_err(|error| Problem::io("read", folder, &error))?.path();
        if path.is_dir() {
            collect_yaml(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    Ok(())
}
