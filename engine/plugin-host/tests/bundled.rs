//! The plugins that come along keep to the contract.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use dripline_model::Digest;
use dripline_plugin_host::{ConfigProblem, Host, HostConfig};

fn host() -> Host {
    // Compiled once for all tests and runs.
    let cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
    Host::new(HostConfig { cache_dir, ..HostConfig::default() }).unwrap()
}

#[tokio::test]
async fn each_loads_under_its_name() {
    let host = host();
    for bundled in dripline_bundled::PLUGINS {
        let plugin = host.load(bundled.wasm).await.unwrap();
        assert_eq!(plugin.manifest().name, bundled.name);
        assert_eq!(plugin.digest(), &Digest::of(bundled.wasm));
    }
}

#[tokio::test]
async fn what_a_plugin_finds_wrong_with_a_configuration_comes_back() {
    let bundled = dripline_bundled::PLUGINS.iter().find(|bundled| bundled.name == "score").unwrap();
    let plugin = host().load(bundled.wasm).await.unwrap();
    assert_eq!(plugin.check(r#"{"name": "fit", "add": 1}"#).await.unwrap(), []);
    let problems = plugin.check(r#"{"name": "fit", "add": 1, "min": 2, "max": 1}"#).await.unwrap();
    assert!(matches!(&problems[..], [ConfigProblem { pointer, .. }] if pointer == "/min"), "{problems:?}");
}
