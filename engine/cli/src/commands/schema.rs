//! `dripline schema`

use std::collections::BTreeMap;

use dripline_workflow::{PluginInfo, json_schema};

use crate::{
    args::Global,
    output::{Out, json},
    problem::{Exit, Problem},
    workspace::{Settings, Workspace, samples_schema},
};

/// Print the JSON Schema of a file, for completion and checking in editors
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Write it down, and name it in the first line of a workflow:
  dripline schema workflow > workflow.schema.json
  # yaml-language-server: $schema=../workflow.schema.json")]
pub(crate) struct Args {
    /// Which file: a workflow (with the configuration of every installed plugin), fields.yaml, scores.yaml, teams.yaml,
    /// holidays.yaml, dripline.yaml or samples.yaml
    #[arg(value_enum, default_value_t = File::Workflow, value_name = "FILE")]
    file: File,
}

/// The files that have a schema.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum File {
    Workflow,
    Fields,
    Scores,
    Teams,
    Holidays,
    Settings,
    Samples,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let schema = match args.file {
        File::Fields => json_schema::fields(),
        File::Scores => json_schema::scores(),
        File::Teams => json_schema::teams(),
        File::Holidays => json_schema::holidays(),
        File::Settings => Settings::schema(),
        File::Samples => samples_schema(),
        File::Workflow => {
            let (workspace, _) = Workspace::find_to_check(global.workspace.as_deref())?;
            let plugins = workspace.plugins(&workspace.host()?).await?;
            let infos: BTreeMap<String, PluginInfo> =
                plugins.iter().map(|(name, loaded)| (name.clone(), loaded.info())).collect();
            json_schema::workflow(&infos)
        }
    };
    json(out, &schema)?;
    Ok(Exit::Success)
}
