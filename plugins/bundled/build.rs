//! Compiles the built-in plugins to components.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const PLUGINS: &[&str] = &["assign", "email", "score", "segment", "wait"];
const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    // Asked when run, not when compiled: checkouts that share a target folder share the compiled script.
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let workspace = here.ancestors().nth(2).ok_or("no workspace")?;
    let mut plugins = PLUGINS.to_vec();
    if env::var_os("CARGO_FEATURE_MISBEHAVING").is_some() {
        plugins.push("misbehaving");
    }

    // From this package on, so that a checkout which shares a target folder with another watches its own files.
    for folder in plugins.iter().chain(&["sdk"]) {
        watch(&format!("../{folder}/Cargo.toml"));
        watch(&format!("../{folder}/src"));
    }
    ["../wit", "../../Cargo.toml", "../../Cargo.lock"].into_iter().for_each(watch);

    let target = target_dir(workspace);
    compile(&plugins, workspace, &target)?;
    for plugin in plugins {
        let built = target.join(TARGET).join(PROFILE).join(format!("dripline_plugin_{plugin}.wasm"));
        fs::copy(&built, out.join(format!("{plugin}.wasm")))
            .map_err(|error| format!("failed to copy {}: {error}", built.display()))?;
    }
    Ok(())
}

/// A folder of the plugins' own, so that this cargo and the one that runs us never wait for each other's lock, and one
/// folder for every way of building the workspace (profiles, features, clippy, coverage), so that they compile once.
fn target_dir(workspace: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from).join("plugins")
}

fn compile(plugins: &[&str], workspace: &Path, target: &Path) -> Result<(), String> {
    let mut cargo = Command::new(env::var_os("CARGO").ok_or("CARGO is not set")?);
    cargo.current_dir(workspace);
    // The lock file is up to date, or we would not run; a build script has no business writing to it.
    cargo
        .args(["build", "--locked", "--target", TARGET, "--profile", PROFILE])
        .arg("--target-dir")
        .arg(target);
    for plugin in plugins {
        cargo.arg("--package").arg(format!("dripline-plugin-{plugin}"));
    }
    // What is meant for the host (coverage flags, clippy in rustc's place) does not suit components.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if matches!(
            &*name,
            "RUSTFLAGS" | "RUSTC_WRAPPER" | "RUSTC_WORKSPACE_WRAPPER" | "CARGO_ENCODED_RUSTFLAGS"
        ) || name.starts_with("CARGO_BUILD_")
            || name.starts_with("CARGO_PROFILE_")
            || name.starts_with("LLVM_PROFILE_")
        {
            cargo.env_remove(&*name);
        }
    }
    let output = cargo.output().map_err(|error| format!("failed to run cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("can't find crate for `core`") || said.contains("target may not be installed") {
        return Err(format!("the plugins are WebAssembly components; run `rustup target add {TARGET}`"));
    }
    Err(format!("failed to compile the plugins:\n{said}"))
}

fn watch(path: &str) {
    println!("cargo::rerun-if-changed={path}");
}
