//! Every benchmark still runs to its end, with sizes so small that nothing is measured.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use dripline_test_postgres::Server;
use serde_json::Value;

/// The program whose start is measured; it is there when the whole workspace is tested.
fn dripline() -> Option<PathBuf> {
    let name = format!("dripline{}", std::env::consts::EXE_SUFFIX);
    let beside = Path::new(env!("CARGO_BIN_EXE_dripline-bench")).with_file_name(name);
    beside.is_file().then_some(beside)
}

#[test]
fn every_benchmark_runs_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("results.json");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_dripline-bench"));
    bench.args(["all", "--smoke", "--json"]).arg(&json).arg("--dir").arg(std::env::temp_dir());
    match dripline() {
        Some(binary) => bench.arg("--binary").arg(binary),
        None => bench.args(["--without", "startup,authoring"]),
    };
    let server = Server::shared();
    if let Some(server) = server {
        bench.args(["--store", "sqlite,postgres"]).env("TEST_DATABASE_URL", server.url("postgres"));
    }
    let output = bench.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let results: Vec<Value> = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let names: Vec<&str> = results.iter().map(|result| result["benchmark"].as_str().unwrap()).collect();
    let mut expected =
        vec!["startup", "authoring", "memory", "memory", "sleeping", "mail", "segments", "latency", "steps"];
    if server.is_none() {
        expected.remove(2);
    }
    if dripline().is_none() {
        expected.drain(..2);
    }
    assert_eq!(names, expected);
    for result in &results {
        assert!(!result["rows"].as_array().unwrap().is_empty(), "{result}");
        assert!(result["machine"]["cores"].as_u64().unwrap() > 0, "{result}");
    }
}
