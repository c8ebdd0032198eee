//! `dripline plugin`

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use dripline_model::{
    Manifest,
    manifest::{Grant, StateScope},
};
use dripline_plugin_host::Host;
use serde_json::{Value, json};

use crate::{
    args::{Format, Global},
    output::{GOOD, HEADING, Out, cell, clean, json, table, write_table},
    problem::{Exit, Problem},
    workspace::{Lock, LockedPlugin, Origin, Workspace, load_file},
};

/// See the plugins, what they may do, and install more
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the plugins: the built-in ones and those that were installed
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Show what a plugin is, how a step is written, what it reads and what it may do
    Show {
        /// An installed plugin's name, or a .wasm file
        #[arg(value_name = "NAME_or_FILE")]
        plugin: String,
        #[command(flatten)]
        format: Format,
    },
    /// Install a plugin into the workspace
    #[command(after_help = "\
A plugin may only do what it asks for and you grant. Without --grant you are asked on the terminal; \
where there is none, nothing is installed. The file is copied to plugins/ and pinned by its digest \
in plugins.lock.")]
    Add {
        /// The .wasm file
        file: PathBuf,
        /// Grant what the plugin asks for, without asking
        #[arg(long, value_name = "WHAT")]
        grant: Option<GrantArg>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum GrantArg {
    /// Everything that it asks for.
    All,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let host = workspace.host()?;
    match &args.command {
        Command::List { format } => list(&workspace, &host, *format, out).await?,
        Command::Show { plugin, format } => show(&workspace, &host, plugin, *format, out).await?,
        Command::Add { file, grant } => add(&workspace, &host, file, *grant, out).await?,
    }
    Ok(Exit::Success)
}

async fn list(workspace: &Workspace, host: &Host, format: Format, out: &mut Out) -> Result<(), Problem> {
    let plugins = workspace.plugins(host).await?;
    if format.json {
        let all = plugins.values().map(|loaded| {
            plugin_json(loaded.plugin.manifest(), loaded.plugin.digest().as_str(), Some(&loaded.grant))
        });
        return Ok(json(out, &all.collect::<Vec<_>>())?);
    }
    let mut rows = table(["plugin", "version", "from", "does", "may"]);
    for loaded in plugins.values() {
        let manifest = loaded.plugin.manifest();
        rows.add_row([
            cell(&manifest.name),
            cell(&manifest.version),
            cell(match &loaded.origin {
                Origin::BuiltIn => "built in".to_owned(),
                Origin::Installed(file) => file.display().to_string(),
            }),
            cell(&manifest.summary),
            cell(loaded.grant.effects.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")),
        ]);
    }
    write_table(out, &rows)?;
    for stray in workspace.stray_plugins()? {
        let stray = workspace.shown(&stray);
        writeln!(out, "{stray} is not installed: dripline plugin add {stray}")?;
    }
    Ok(())
}

async fn show(
    workspace: &Workspace,
    host: &Host,
    named: &str,
    format: Format,
    out: &mut Out,
) -> Result<(), Problem> {
    let plugins = workspace.plugins(host).await?;
    let (plugin, grant) = match plugins.get(named) {
        Some(loaded) => (loaded.plugin.clone(), Some(loaded.grant.clone())),
        None if Path::new(named).exists() => (load_file(host, Path::new(named)).await?.0, None),
        None => {
            let problem = Problem::input(format!("there is no plugin `{named}`, and no such file"));
            return Err(match dripline_model::suggest::closest(named, plugins.keys().map(String::as_str)) {
                Some(near) => problem.with_help(format!("did you mean `{near}`?")),
                None => problem.with_help("`dripline plugin list` shows the plugins"),
            });
        }
    };
    let manifest = plugin.manifest();
    if format.json {
        return Ok(json(out, &plugin_json(manifest, plugin.digest().as_str(), grant.as_ref()))?);
    }
    print_manifest(manifest, plugin.digest().short(), out)?;
    print_config(manifest, out)?;
    print_powers(manifest, grant.as_ref(), out)
}

async fn add(
    workspace: &Workspace,
    host: &Host,
    file: &Path,
    grant: Option<GrantArg>,
    out: &mut Out,
) -> Result<(), Problem> {
    let (plugin, wasm) = load_file(host, file).await?;
    let manifest = plugin.manifest();
    if dripline_bundled::PLUGINS.iter().any(|bundled| bundled.name == manifest.name) {
        return Err(Problem::input(format!("`{}` is the name of a built-in plugin", manifest.name))
            .with_help("a plugin of your own needs another name in its manifest"));
    }
    print_manifest(manifest, plugin.digest().short(), out)?;
    print_powers(manifest, None, out)?;
    let asks = Grant::all_of(manifest);
    if asks != Grant::default() && grant.is_none() {
        confirm(file, out)?;
    }
    let lock = Lock::read(workspace)?;
    let relative = PathBuf::from("plugins").join(format!("{}-{}.wasm", manifest.name, manifest.version));
    let target = workspace.path(&relative);
    fs::create_dir_all(workspace.path("plugins"))
        .and_then(|()| fs::write(&target, &wasm))
        .map_err(|error| Problem::io("write", &target, &error))?;
    let (name, version) = (manifest.name.clone(), manifest.version.clone());
    let done = format!("{GOOD}{name} {version} is installed{GOOD:#}, in {}", workspace.shown(&target));
    let digest = plugin.digest().clone();
    lock.put(workspace, LockedPlugin { name, version, digest, file: relative, grant: asks })?;
    writeln!(out, "\n{done}")?;
    Ok(())
}

/// Asks the operator whether to grant what was shown.
fn confirm(file: &Path, out: &mut Out) -> Result<(), Problem> {
    let refused = Problem::input("nothing was granted, and nothing installed").with_help(format!(
        "to grant what is listed above: dripline plugin add {} --grant all",
        file.display()
    ));
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        out.flush()?;
        return Err(refused);
    }
    write!(out, "\nGrant all of this and install it? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(refused) }
}

fn print_manifest(manifest: &Manifest, digest: &str, out: &mut Out) -> Result<(), Problem> {
    let (name, version) = (clean(&manifest.name), clean(&manifest.version));
    writeln!(out, "{HEADING}{name}{HEADING:#} {version} ({digest})")?;
    writeln!(out, "  {}", clean(&manifest.summary))?;
    Ok(())
}

fn print_config(manifest: &Manifest, out: &mut Out) -> Result<(), Problem> {
    let schema = &manifest.config_schema;
    let required: Vec<_> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        writeln!(out, "\n{HEADING}Fields{HEADING:#}")?;
        let width = fields.keys().map(String::len).max().unwrap_or_default();
        for (name, field) in fields {
            let text =
                field.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
            let need = if required.contains(&name.as_str()) { " (required)" } else { "" };
            writeln!(out, "  {:<width$}  {}{need}", clean(name), clean(&text))?;
        }
    }
    if !manifest.outputs.is_empty() {
        writeln!(out, "\n{HEADING}Outputs for `paths`{HEADING:#}")?;
        for output in &manifest.outputs {
            writeln!(out, "  {}: {}", clean(&output.name), clean(&output.summary))?;
        }
    }
    Ok(())
}

/// What the plugin asks for, each with why; and where there is a grant, what of it is granted.
fn print_powers(manifest: &Manifest, grant: Option<&Grant>, out: &mut Out) -> Result<(), Problem> {
    let mark = |granted: bool| match (grant, granted) {
        (None, _) => "",
        (_, true) => " (granted)",
        (_, false) => " (not granted)",
    };
    writeln!(out, "\n{HEADING}Asks for{HEADING:#}")?;
    for read in &manifest.reads {
        let granted = grant.is_some_and(|grant| grant.reads.contains(&read.field));
        writeln!(out, "  read {}: {}{}", clean(&read.field), clean(&read.why), mark(granted))?;
    }
    for effect in &manifest.effects {
        let granted = grant.is_some_and(|grant| grant.effects.contains(&effect.kind));
        writeln!(out, "  {}: {}{}", effect.kind.name(), clean(&effect.why), mark(granted))?;
    }
    if manifest.reads.is_empty() && manifest.effects.is_empty() {
        writeln!(out, "  nothing beyond the values that a step hands to it")?;
    }
    if manifest.state != StateScope::None {
        writeln!(out, "  keeps a small state of its own")?;
    }
    Ok(())
}

fn plugin_json(manifest: &Manifest, digest: &str, grant: Option<&Grant>) -> Value {
    json!({"manifest": manifest, "digest": digest, "grant": grant})
}
