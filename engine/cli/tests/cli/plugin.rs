//! `dripline plugin`

use insta::assert_snapshot;

use crate::support::{TestWorkspace, steady};

#[test]
fn the_built_in_plugins_are_listed_and_shown() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    let plugins = workspace.json(&["plugin", "list"]);
    let names: Vec<_> =
        plugins.as_array().into_iter().flatten().map(|plugin| plugin["manifest"]["name"].clone()).collect();
    assert_eq!(names, ["assign", "email", "score", "segment", "wait"]);
    let shown = workspace.run(&["plugin", "show", "assign"]);
    assert!(shown.out.contains("Asks for") && shown.out.contains("(granted)"), "{}", shown.out);
    assert_snapshot!(workspace.run(&["plugin", "show", "scroe"]).shown(), @"
    [exit 1]
    error: there is no plugin `scroe`, and no such file
    help: did you mean `score`?
    ");
}

#[test]
fn nothing_is_installed_without_a_grant() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("strange.wasm", dripline_bundled::MISBEHAVING);
    let answer = workspace.run(&["plugin", "add", "strange.wasm"]);
    assert_eq!(answer.code, 1);
    assert!(answer.out.contains("Asks for"), "{}", answer.out);
    assert_snapshot!(answer.err, @"
    error: nothing was granted, and nothing installed
    help: to grant what is listed above: dripline plugin add strange.wasm --grant all
    ");
    assert!(!workspace.path("plugins").exists() && !workspace.path("plugins.lock").exists());
}

#[test]
fn an_installed_plugin_is_pinned_by_its_digest() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("strange.wasm", dripline_bundled::MISBEHAVING);
    let added = workspace.run(&["plugin", "add", "strange.wasm", "--grant", "all"]);
    assert_eq!(added.code, 0, "{}", added.err);
    assert_eq!(workspace.json(&["plugin", "list"]).as_array().map(Vec::len), Some(6));
    let lock: serde_yaml::Value = serde_yaml::from_str(&workspace.read("plugins.lock")).unwrap();
    let file = lock["plugins"][0]["file"].as_str().unwrap();
    workspace.write(file, b"\0asm, but another");
    assert_snapshot!(workspace.run(&["check"]).shown(), @"
    [exit 1]
    error: plugins/misbehaving-0.1.0.wasm is not the file that was installed as plugin `misbehaving`: its digest is [digest], plugins.lock has [digest]
    help: put back the file that was installed, or add the plugin anew from where you trust it
    ");
}

#[test]
fn files_that_are_no_plugins_are_refused() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write("text.wasm", "hello");
    workspace.write("wait.wasm", dripline_bundled::PLUGINS[4].wasm);
    let said = ["text.wasm", "wait.wasm", "none.wasm"]
        .map(|file| workspace.run(&["plugin", "add", file, "--grant", "all"]).err);
    assert_snapshot!(said.join("\n"), @"
    error: text.wasm: this is not WebAssembly

    error: `wait` is the name of a built-in plugin
    help: a plugin of your own needs another name in its manifest

    error: failed to read none.wasm: No such file or directory (os error 2)
    ");
}
