//! What is no plugin is told for what it is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use dripline_plugin_host::{Host, HostConfig, Limits, LoadErrorKind};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

const WIT: &str = include_str!("../../../plugins/wit/step.wit");

/// The refusal without the digest in front of it.
async fn refused(limits: Limits, wasm: &[u8]) -> LoadErrorKind {
    let host = Host::new(HostConfig { limits, ..HostConfig::default() }).unwrap();
    let error = host.load(wasm).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot load plugin {}: ", error.digest.short())));
    error.kind
}

async fn refused_wat(wat: &str) -> String {
    refused(Limits::default(), &wat::parse_str(wat).unwrap()).await.to_string()
}

/// A component of the world `step` of this WIT; `core` makes its module, else every function is `unreachable`.
fn component(wit: &str, core: Option<&str>) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("step.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("step")).unwrap();
    let mut module = match core {
        Some(wat) => wat::parse_str(wat).unwrap(),
        None => wit_component::dummy_module(
            &resolve,
            world,
            ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync),
        ),
    };
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// The world's functions over a memory of zeros, with this body of `describe`.
fn describing(body: &str) -> String {
    format!(
        r#"(module
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "describe") (result i32) {body})
            (func (export "check") (param i32 i32) (result i32) unreachable)
            (func (export "run") (param i32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable))"#
    )
}

#[tokio::test]
async fn other_files_are_told_for_what_they_are() {
    let limits = Limits::default();
    let whole = component(WIT, None);
    let kinds = [
        refused(limits, b"name: trial-nurture").await,
        refused(limits, &whole[..whole.len() / 2]).await,
        refused(limits, &wat::parse_str("(module)").unwrap()).await,
        refused(Limits { component_bytes: 1_000, ..limits }, &whole).await,
        refused(limits, b"\0asm\x0d\0\x01\0\x07\x02\x01\x00").await,
    ];
    insta::assert_snapshot!(kinds.map(|kind| kind.to_string()).join("\n"), @"
    this is not WebAssembly
    the file is cut off after 1235 bytes; download or build it again
    this is a core WebAssembly module; build with --target wasm32-wasip2
    the component has 2471 bytes, the limit is 1000
    the component is not valid: invalid leading byte (0x0) for component defined type (at offset 0xb)
    ");
}

#[tokio::test]
async fn imports_that_nobody_grants_are_named() {
    insta::assert_snapshot!(
        refused_wat(r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)))"#).await,
        @"the component imports `wasi:http/outgoing-handler@0.2.0`, which the sandbox does not offer"
    );
    insta::assert_snapshot!(
        refused_wat(r#"(component (import "wasi:sockets/types@0.3.0" (instance)))"#).await,
        @"the component imports `wasi:sockets/types@0.3.0`, which the sandbox does not offer"
    );
    insta::assert_snapshot!(
        refused_wat(r#"(component (import "wasi:cli/environment@0.2.0" (instance (export "root" (func)))))"#).await,
        @"the component cannot be linked: component imports instance `wasi:cli/environment@0.2.0`, but a matching implementation was not found in the linker: instance export `root` has the wrong type: function implementation is missing"
    );
}

#[tokio::test]
async fn components_of_another_world_are_told_by_what_is_missing() {
    insta::assert_snapshot!(refused_wat("(component)").await, @"the component does not export `describe`; a plugin exports `describe`, `check` and `run` of dripline:step");
    let newer = component(&WIT.replace("dripline:step@0.1.0", "dripline:step@0.2.0"), None);
    insta::assert_snapshot!(refused(Limits::default(), &newer).await, @"the component was built for dripline:step@0.2.0; this engine speaks dripline:step@0.1.0");
    let other = component(&WIT.replace("now-ms: s64", "now-ms: u64"), None);
    insta::assert_snapshot!(refused(Limits::default(), &other).await, @"the component's exports do not fit dripline:step@0.1.0: type-checking export func `run`: type mismatch for field now-ms: expected `s64` found `u64`");
}

#[tokio::test]
async fn a_plugin_that_cannot_say_what_it_is_is_refused() {
    let limits = Limits { call_timeout_ms: 300, memory_bytes: 1 << 20, ..Limits::default() };
    let mut kinds = Vec::new();
    for body in [
        "unreachable",
        "(loop br 0) unreachable",
        "(memory.grow (i32.const 100)) drop unreachable",
        "i32.const -1",
        "i32.const 0",
    ] {
        kinds.push(refused(limits, &component(WIT, Some(&describing(body)))).await.to_string());
    }
    insta::assert_snapshot!(kinds.join("\n"), @"
    `describe` failed: its code trapped: wasm `unreachable` instruction executed
    `describe` failed: it did not end within 300 ms
    `describe` failed: it wanted more than 1048576 bytes of memory
    `describe` failed: its answer does not fit: return pointer not aligned
    the manifest's name `` is not made of a-z, 0-9, _ and -, at most 64 of them
    ");
}

#[tokio::test]
async fn compiling_has_its_time() {
    let limits = Limits { compile_timeout_ms: 0, ..Limits::default() };
    insta::assert_snapshot!(refused(limits, &component(WIT, None)).await, @"compiling took longer than 0 ms");
}
