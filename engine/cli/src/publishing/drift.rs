//! Whether the files are what is published.

use std::collections::BTreeMap;

use dripline_store::Store;
use dripline_workflow::Severity;

use super::changes::{Catalog, Changes, Choice, Files};
use crate::{
    problem::Problem,
    workspace::{Experience, LoadedPlugin, PublishSetting, Workspace, summarise},
};

/// How the files and what is published compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Drift {
    /// They are the same.
    None,
    /// There are no files at all here.
    NoFiles,
    /// The files have mistakes, so that they cannot be compared.
    Mistakes(String),
    /// Nothing was published yet.
    NothingPublished,
    /// They differ in this.
    Differs(String),
}

impl Drift {
    /// Compares checked files with what is published.
    pub(crate) async fn of(store: &dyn Store, files: &Files) -> Result<Self, Problem> {
        if let (Some(what), 1..) =
            (summarise(files.checked.count(Severity::Error), 0), files.checked.count(Severity::Error))
        {
            return Ok(Self::Mistakes(what));
        }
        let catalog = Catalog::read(store).await?;
        let changes = Changes::between(files, &catalog, &Choice::default())?;
        if changes.is_empty() {
            return Ok(Self::None);
        }
        let is_first = catalog.programs.is_empty() && catalog.fields.is_none();
        Ok(if is_first { Self::NothingPublished } else { Self::Differs(changes.summary()) })
    }

    /// Checks the workspace's files and compares them. On a machine that has none there is nothing to compare.
    pub(crate) async fn look(
        workspace: &Workspace,
        store: &dyn Store,
        plugins: &BTreeMap<String, LoadedPlugin>,
    ) -> Result<Self, Problem> {
        let paths = workspace.workflow_files()?;
        if paths.is_empty() {
            return Ok(Self::NoFiles);
        }
        let experience = Experience::of(store).await?;
        let checked = workspace.check_knowing(&paths, plugins, experience).await?;
        let files = Files { checked, plugins: plugins.clone(), fields: workspace.fields_text()? };
        Self::of(store, &files).await
    }

    /// What to tell who starts to run what is published; nothing where all is as it should be.
    pub(crate) fn note(&self) -> Option<String> {
        match self {
            Self::None | Self::NoFiles => None,
            Self::Mistakes(what) => Some(format!("the files have {what}: dripline check")),
            Self::NothingPublished => {
                Some("nothing is published yet: dripline plan, dripline publish".to_owned())
            }
            Self::Differs(what) => Some(format!(
                "the files differ from what is published ({what}): dripline plan, dripline publish"
            )),
        }
    }
}

impl PublishSetting {
    /// The command that publishes the files.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::AtStart => "dripline run",
            Self::ByHand => "dripline publish",
        }
    }
}
