//! A plugin that breaks every rule hurts nobody but the turns that make it do so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use dripline_model::{
    Directive, FailureKind,
    batch::{Batch, BatchTurn, Column, ColumnData},
    id::{ContactId, RunId},
};
use dripline_plugin_host::{CallError, CallErrorKind, Host, HostConfig, Limits, Plugin};
use proptest::prelude::*;

async fn load(limits: Limits) -> Plugin {
    // Compiled once for all tests and runs.
    let cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
    let host = Host::new(HostConfig { cache_dir, limits }).unwrap();
    host.load(dripline_bundled::MISBEHAVING).await.unwrap()
}

fn config(deed: &str) -> String {
    format!(r#"{{"do": "{deed}", "trap_at": 0}}"#)
}

/// A batch in which the turns of `poison` are 1 in the column that `trap_at` names.
fn batch(poison: &[bool]) -> Batch {
    let turn = |index| BatchTurn { run: RunId(index), contact: ContactId(index), seed: index.unsigned_abs() };
    Batch {
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        turns: (0..).take(poison.len()).map(turn).collect(),
        columns: vec![Column {
            name: "/trap_at".into(),
            present: poison.iter().map(|_| true).collect(),
            data: ColumnData::Integer(poison.iter().copied().map(i64::from).collect()),
        }],
        state: None,
    }
}

fn turns(count: usize) -> Batch {
    batch(&vec![false; count])
}

async fn failure(plugin: &Plugin, deed: &str, turns: usize) -> CallError {
    plugin.call(&config(deed), &self::turns(turns)).await.unwrap_err()
}

#[tokio::test]
async fn every_breach_of_the_contract_is_told() {
    let plugin = load(Limits::default()).await;
    let mut said = Vec::new();
    for deed in ["too_few", "email", "many_effects", "error"] {
        let error = failure(&plugin, deed, 3).await;
        said.push(format!("{}: {error}", error.kind.failure_kind().name()));
    }
    insta::assert_snapshot!(said.join("\n"), @"
    bad_output: plugin `misbehaving` failed: its answer does not fit: 2 directives for 3 turns
    denied: plugin `misbehaving` failed: it emitted the effect `email`, for which its manifest does not ask
    bad_output: plugin `misbehaving` failed: its answer does not fit: turn 0 has more than 64 effects
    permanent: plugin `misbehaving` failed: the plugin does not feel like it
    ");
    // The same plugin does its work as if nothing had been.
    assert_eq!(plugin.call(&config("nothing"), &turns(3)).await.unwrap().outcomes.len(), 3);
}

#[tokio::test]
async fn a_trap_shows_its_first_line() {
    let plugin = load(Limits::default()).await;
    let error = plugin.call(&config("trap"), &batch(&[true])).await.unwrap_err();
    assert!(matches!(error.kind, CallErrorKind::Trap(_)));
    insta::assert_snapshot!(error, @"plugin `misbehaving` failed: its code trapped: wasm `unreachable` instruction executed");
}

#[tokio::test]
async fn one_poisonous_contact_in_a_thousand_fails_alone() {
    let plugin = load(Limits::default()).await;
    let mut poison = vec![false; 1_000];
    poison[617] = true;
    let answer = plugin.run(&config("trap"), batch(&poison)).await;
    assert_eq!(answer.outcomes.len(), 1_000);
    for (index, outcome) in answer.outcomes.iter().enumerate() {
        match &outcome.directive {
            Directive::Fail(failure) => assert_eq!((index, failure.kind), (617, FailureKind::Trap)),
            other => assert_eq!((index != 617, other), (true, &Directive::Continue)),
        }
    }
}

#[tokio::test]
async fn a_guest_that_never_ends_is_ended_and_blocks_nobody() {
    let plugin = load(Limits { call_timeout_ms: 200, ..Limits::default() }).await;
    let began = Instant::now();
    let call = plugin.call(r#"{"do": "loop"}"#, &turns(1)).await;
    assert!(matches!(call.unwrap_err().kind, CallErrorKind::Time { limit_ms: 200 }));
    assert!(began.elapsed() < Duration::from_secs(5));

    // On a runtime of one thread: what else runs there gets its share while the guest spins.
    let config = config("loop");
    let batch = turns(1);
    let mut passes = 0;
    let other = async {
        loop {
            passes += 1;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        call = plugin.call(&config, &batch) => assert!(call.is_err()),
        () = other => {}
    }
    assert!(passes >= 2, "{passes}");
}

#[tokio::test]
async fn memory_is_limited_and_told_from_a_trap_with_the_last_words() {
    let plugin = load(Limits::default()).await;
    let error = failure(&plugin, "allocate", 1).await;
    assert!(
        matches!(error.kind, CallErrorKind::Memory { limit_bytes } if limit_bytes == 64 << 20),
        "{error}"
    );
    insta::assert_snapshot!(error.log, @"memory allocation of 1048576 bytes failed");
}

#[tokio::test]
async fn an_answer_is_limited() {
    let plugin = load(Limits { output_bytes: 64 << 10, ..Limits::default() }).await;
    insta::assert_snapshot!(failure(&plugin, "many_effects", 10).await, @"plugin `misbehaving` failed: its answer does not fit: it hands over more than 65536 bytes at once");
}

#[tokio::test]
async fn there_are_no_files_no_network_and_no_environment() {
    let plugin = load(Limits::default()).await;
    let answer = plugin.call(&config("escape"), &turns(1)).await.unwrap();
    insta::assert_snapshot!(answer.outcomes[0].reason, @"file Err(NotFound), network Err(PermissionDenied), environment 0");
}

#[tokio::test]
async fn nothing_leaks_from_one_call_into_the_next_but_state_that_is_handed_on() {
    let plugin = load(Limits::default()).await;
    let first = plugin.call(&config("count"), &turns(2)).await.unwrap();
    let again = plugin.call(&config("count"), &turns(2)).await.unwrap();
    assert_eq!(first, again);
    let next = Batch { state: first.state, ..turns(1) };
    assert_eq!(plugin.call(&config("count"), &next).await.unwrap().outcomes[0].reason, "2 before");
}

#[tokio::test]
async fn state_goes_through_the_halves_in_order() {
    // So tight that the whole batch has to be halved until its parts fit.
    let plugin = load(Limits { output_bytes: 8 << 10, ..Limits::default() }).await;
    assert!(plugin.call(&config("count"), &turns(1_000)).await.is_err());
    let answer = plugin.run(&config("count"), turns(1_000)).await;
    for (index, outcome) in answer.outcomes.iter().enumerate() {
        assert_eq!(outcome.reason, format!("{index} before"));
    }
    assert_eq!(answer.state.as_deref(), Some(&b"1000"[..]));
}

#[test]
fn calls_are_futures_that_any_runtime_thread_may_drive() {
    fn is_send<T: Send>(_: impl Fn(Plugin) -> T) {}
    is_send(|plugin| async move {
        let _ = plugin.check("").await;
        plugin.run("", turns(1)).await
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn halving_gives_what_a_call_for_each_turn_gives(poison in prop::collection::vec(prop::bool::weighted(0.1), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let plugin = shared().await;
            let config = config("trap");
            let halved = plugin.run(&config, batch(&poison)).await;
            for (index, outcome) in halved.outcomes.iter().enumerate() {
                let alone = batch(&poison).slice(index..index + 1, None);
                match plugin.call(&config, &alone).await {
                    Ok(answer) => assert_eq!(answer.outcomes[0], *outcome),
                    Err(error) => match &outcome.directive {
                        Directive::Fail(failure) => assert_eq!(failure.kind, error.kind.failure_kind()),
                        other => panic!("{error}, but in the batch {other:?}"),
                    },
                }
            }
        });
    }
}

/// One plugin for all cases; compiling it for each would take most of the time.
async fn shared() -> &'static Plugin {
    static PLUGIN: tokio::sync::OnceCell<Plugin> = tokio::sync::OnceCell::const_new();
    PLUGIN.get_or_init(|| load(Limits::default())).await
}
