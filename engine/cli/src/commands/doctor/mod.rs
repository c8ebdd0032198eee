//! `dripline doctor`

mod finding;
mod mail;
mod plugins;
mod processes;
mod server;
mod store;
mod work;
mod workflows;

use std::io::Write;

use dripline_store::Store;
use serde_json::json;

use self::finding::{Findings, Grade};
use crate::{
    args::{Format, Global},
    output::{Out, json},
    problem::{Exit, Problem},
    workspace::{Experience, Workspace},
};

/// Find out what is wrong with the settings, the store, the mail servers and the plugins, and what mends it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Changes nothing but what opening the store does, sends nothing, and may be used beside processes that run. \
Ends with 1 if there is any error; warnings alone end with 0.")]
pub(crate) struct Args {
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let mut findings = Findings::default();
    match Workspace::find(global.workspace.as_deref()) {
        Ok(workspace) => {
            findings.ok("settings", "dripline.yaml can be read");
            examine(&workspace, &mut findings).await;
        }
        Err(problem) => findings.problem("settings", problem),
    }
    let (errors, warnings) = (findings.count(Grade::Error), findings.count(Grade::Warning));
    if args.format.json {
        json(out, &json!({"errors": errors, "warnings": warnings, "checks": findings.all()}))?;
    } else {
        findings.print(out)?;
    }
    out.flush()?;
    Ok(if errors > 0 { Exit::Problems } else { Exit::Success })
}

/// All checks, one after the other; what one finds never keeps another from looking.
async fn examine(workspace: &Workspace, findings: &mut Findings) {
    let store = store::open(workspace, findings).await;
    if let Some(store) = &store {
        if let Some(condition) = store::condition(store.as_ref(), findings).await {
            store::schema(&condition, findings);
            store::indexes(workspace, &condition, findings);
            store::disk(workspace, findings);
            server::check(workspace, &condition, findings);
            processes::check(workspace, store.as_ref(), &condition, findings).await;
        }
        work::check(store.as_ref(), findings).await;
    }
    mail::check(workspace, store.as_ref(), findings).await;
    let loaded = plugins::installed(workspace, findings).await;
    if let (Some(store), Some(loaded)) = (&store, &loaded) {
        plugins::published(workspace, store.as_ref(), loaded, findings).await;
    }
    if let Some(loaded) = &loaded {
        let experience = experience(store.as_deref()).await;
        let files = workflows::check(workspace, loaded, experience, findings).await;
        if let (Some(store), Some(files)) = (&store, &files) {
            workflows::drift(workspace, store.as_ref(), files, findings).await;
        }
    }
}

/// What contacts are like; nothing is known of them where the store cannot say.
async fn experience(store: Option<&dyn Store>) -> Experience {
    match store {
        Some(store) => Experience::of(store).await.unwrap_or_default(),
        None => Experience::default(),
    }
}
