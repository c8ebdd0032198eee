//! The store: whether it opens, how old it is, and whether it is whole.

use std::{path::Path, sync::Arc};

use dripline_model::SystemClock;
use dripline_store::{Condition, Database, Store};

use super::finding::Findings;
use crate::{output::count, workspace::Workspace};

/// The name of these checks.
const STORE: &str = "store";

/// Less room than that will soon be none.
const LITTLE_ROOM: u64 = 512 << 20;

/// With less room than that, the next batch may fail.
const NO_ROOM: u64 = 32 << 20;

/// Opens the store; none where that fails, or where there is none yet.
pub(super) async fn open(workspace: &Workspace, findings: &mut Findings) -> Option<Arc<dyn Store>> {
    if workspace.is_store_missing() {
        findings.ok(STORE, "there is none yet; the first import or run makes it");
        return None;
    }
    match workspace.open_store().await {
        Ok(store) => Some(store),
        Err(problem) => {
            findings.problem(STORE, problem);
            None
        }
    }
}

/// Asks the store how it is, and says whether it is whole.
pub(super) async fn condition(store: &dyn Store, findings: &mut Findings) -> Option<Condition> {
    let condition = match store.health(&SystemClock).await {
        Ok(condition) => condition,
        Err(error) => {
            findings.problem(STORE, error.into());
            return None;
        }
    };
    match &condition.database {
        Database::File { damage } if damage.is_empty() => {
            findings.ok(STORE, "it opens, and every page of the file is whole");
        }
        Database::File { damage } => {
            let first = damage.first().map(String::as_str).unwrap_or_default();
            let more = match damage.len() {
                1 => String::new(),
                faults => format!(" and {} more", faults - 1),
            };
            findings.error(
                STORE,
                format!("the file is damaged: {first}{more}"),
                "stop dripline and put a backup in its place; `sqlite3 FILE .recover` saves what can be read",
            );
        }
        Database::Server(_) => findings.ok(STORE, "the database answers"),
    }
    Some(condition)
}

/// How old the schema is. One that is too old or too new does not open.
pub(super) fn schema(condition: &Condition, findings: &mut Findings) {
    let Condition { version, known, .. } = condition;
    if version > known {
        let what = format!("version {version} is newer than this program's {known}, and still serves it");
        findings.warning("schema", what, "install the newer dripline here too");
    } else if version < known {
        let what = format!("version {version} is older than this program's {known}");
        findings.error("schema", what, "dripline migrate");
    } else {
        findings.ok("schema", format!("version {version} is up to date"));
    }
}

/// Whether the indexes are there: without one, Dripline works, and slower from day to day.
pub(super) fn indexes(workspace: &Workspace, condition: &Condition, findings: &mut Findings) {
    for fault in &condition.index_faults {
        let what = if fault.is_there { "is there, and not usable" } else { "is missing" };
        let tool = match workspace.store_file() {
            Some(file) => format!("sqlite3 {}", workspace.shown(&file)),
            None => "psql \"$DATABASE_URL\"".to_owned(),
        };
        let mend = match &condition.database {
            Database::File { .. } => format!("{tool} \"{}\"", one_line(&fault.mend)),
            Database::Server(_) => format!("{tool} -c '{}'", one_line(&fault.mend)),
        };
        findings.error("indexes", format!("the index {} {what}", fault.name), mend);
    }
    if condition.index_faults.is_empty() {
        findings.ok("indexes", "all are there");
    }
}

fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How much room there is beside the file.
pub(super) fn disk(workspace: &Workspace, findings: &mut Findings) {
    let Some(file) = workspace.store_file() else { return };
    let Some(free) = free_bytes(&file) else { return };
    let what = format!("{} MiB free beside {}", count(free >> 20), workspace.shown(&file));
    let help = "make room on the disk, or let `store` in dripline.yaml name a file on another one";
    match free {
        free if free < NO_ROOM => findings.error("disk", what, help),
        free if free < LITTLE_ROOM => findings.warning("disk", what, help),
        _ => findings.ok("disk", what),
    }
}

/// What may still be written there; none where the system does not say.
#[cfg(unix)]
fn free_bytes(file: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(file).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_file: &Path) -> Option<u64> {
    None
}
