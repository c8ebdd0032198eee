//! The bundled components load into the sandbox and run there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use dripline_bundled::PLUGINS;
use dripline_model::{
    batch::{Batch, BatchTurn, Column, ColumnData, TextColumn},
    id::{ContactId, RunId},
};
use dripline_plugin_host::{Host, HostConfig, Plugin};

async fn load(name: &str) -> Plugin {
    // Compiled once for all tests and runs.
    let cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
    let host = Host::new(HostConfig { cache_dir, ..HostConfig::default() }).unwrap();
    host.load(PLUGINS.iter().find(|plugin| plugin.name == name).unwrap().wasm).await.unwrap()
}

fn batch(turns: usize, columns: Vec<Column>) -> Batch {
    let turn = |index| BatchTurn { run: RunId(index), contact: ContactId(index), seed: 0 };
    Batch {
        now: "2024-03-01T09:00:00Z".parse().unwrap(),
        turns: (0..).take(turns).map(turn).collect(),
        columns,
        state: None,
    }
}

fn column(name: &str, turns: usize, data: ColumnData) -> Column {
    Column { name: name.into(), present: (0..turns).map(|_| true).collect(), data }
}

#[tokio::test]
async fn every_plugin_describes_itself_under_its_name_and_this_version() {
    for bundled in PLUGINS {
        let plugin = load(bundled.name).await;
        let manifest = plugin.manifest();
        assert_eq!(
            (manifest.name.as_str(), manifest.version.as_str()),
            (bundled.name, env!("CARGO_PKG_VERSION"))
        );
    }
}

#[tokio::test]
async fn a_plugin_checks_a_configuration_in_the_sandbox() {
    let problems = load("wait").await.check(r#"{"for": "soon"}"#).await.unwrap();
    assert_eq!((problems.len(), problems[0].pointer.as_str()), (1, "/for"));
}

#[tokio::test]
async fn the_time_zones_are_inside_the_component() {
    let mut zones = TextColumn::default();
    zones.push("America/New_York");
    let batch = batch(1, vec![column("contact.time_zone", 1, ColumnData::Text(zones))]);
    let answer = load("wait").await.call(r#"{"for": "3d"}"#, &batch).await.unwrap();
    assert_eq!(answer.outcomes[0].reason, "waits 3 days, until 2024-03-04 04:00 America/New_York");
}
