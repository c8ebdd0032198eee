//! The price of the sandbox: the score plugin against the same logic in the engine itself, by the size of the batch.
//!
//! `cargo bench -p dripline-plugin-host`; divide by the number of turns, or read the column of items a second.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::{collections::BTreeMap, sync::Arc};

use divan::{Bencher, counter::ItemsCount};
use dripline_model::{
    Directive, Effect, Outcome,
    batch::{Batch, BatchTurn, Bits, Column, ColumnData},
    id::{ContactId, RunId},
};
use dripline_plugin_host::{Answer, Host, HostConfig, Plugin};
use tokio::runtime::{Builder, Runtime};

const SIZES: &[usize] = &[1, 10, 100, 1_000, 10_000];
const RULES: usize = 10;
const POINTS: i64 = 5;

fn main() {
    divan::main();
}

/// Every third rule holds for a contact.
fn batch(turns: usize) -> Batch {
    let conditions = |rule: usize| (0..turns).map(move |turn| (turn + rule).is_multiple_of(3));
    let column = |rule| Column {
        name: format!("/rules/{rule}/if"),
        present: (0..turns).map(|_| true).collect(),
        data: ColumnData::Boolean(conditions(rule).collect()),
    };
    let turn = |index| BatchTurn { run: RunId(index), contact: ContactId(index), seed: index.unsigned_abs() };
    Batch {
        now: jiff::Timestamp::UNIX_EPOCH,
        turns: (0..).take(turns).map(turn).collect(),
        columns: (0..RULES).map(column).collect(),
        state: None,
    }
}

fn config() -> String {
    let rules: Vec<String> = (0..RULES)
        .map(|rule| format!(r#"{{"if": {rule}, "add": {POINTS}, "because": "rule {rule}"}}"#))
        .collect();
    format!(r#"{{"name": "fit", "rules": [{}]}}"#, rules.join(", "))
}

fn sandbox() -> (Runtime, Plugin) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let wasm =
        dripline_bundled::PLUGINS.iter().find(|plugin| plugin.name == "score").expect("it is bundled").wasm;
    let plugin = runtime.block_on(Host::new(HostConfig::default()).unwrap().load(wasm)).unwrap();
    (runtime, plugin)
}

#[divan::bench(args = SIZES)]
fn sandboxed(bencher: Bencher<'_, '_>, turns: usize) {
    let ((runtime, plugin), config, batch) = (sandbox(), config(), batch(turns));
    assert_eq!(runtime.block_on(plugin.call(&config, &batch)).unwrap(), score(&batch), "both do the same");
    bencher
        .counter(ItemsCount::new(turns))
        .bench_local(|| runtime.block_on(plugin.call(&config, &batch)).unwrap());
}

#[divan::bench(args = SIZES)]
fn native(bencher: Bencher<'_, '_>, turns: usize) {
    let batch = batch(turns);
    bencher.counter(ItemsCount::new(turns)).bench_local(|| score(&batch));
}

/// What the score plugin does, without a border to cross.
fn score(batch: &Batch) -> Answer {
    let columns: Vec<(&Bits, &Bits)> = batch
        .columns
        .iter()
        .filter_map(|column| match &column.data {
            ColumnData::Boolean(bits) => Some((&column.present, bits)),
            _ => None,
        })
        .collect();
    let add = |rule| Effect::AddScore {
        score: "fit".into(),
        points: POINTS,
        because: format!("rule {rule}"),
        min: None,
        max: None,
        at_most: None,
    };
    let clear = Arc::new(Effect::ClearScore("fit".into()));
    let rules: Vec<(String, Arc<Effect>)> =
        (0..RULES).map(|rule| (format!("rule {rule} {POINTS:+}"), Arc::new(add(rule)))).collect();
    let mut reasons = BTreeMap::new();
    let outcome = |turn| {
        let mut held = 0_u64;
        let mut effects = vec![Arc::clone(&clear)];
        for (rule, ((present, bits), (_, add))) in columns.iter().zip(&rules).enumerate() {
            if present.get(turn) && bits.get(turn) {
                held |= 1 << rule;
                effects.push(Arc::clone(add));
            }
        }
        let reason: &String = reasons.entry(held).or_insert_with(|| reason(&rules, held));
        Outcome { directive: Directive::Continue, effects, reason: reason.clone() }
    };
    Answer { outcomes: (0..batch.turns.len()).map(outcome).collect(), state: None }
}

fn reason(rules: &[(String, Arc<Effect>)], held: u64) -> String {
    let (mut total, mut sentence) = (0, String::new());
    for (_, (phrase, _)) in rules.iter().enumerate().filter(|(rule, _)| held & (1 << rule) != 0) {
        total += POINTS;
        sentence.push_str(if sentence.is_empty() { ": " } else { ", " });
        sentence.push_str(phrase);
    }
    format!("fit {total}{sentence}")
}
