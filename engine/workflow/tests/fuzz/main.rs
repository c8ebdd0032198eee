//! Whatever is in a file: no panic, no hang, bounded memory.
//!
//! Inputs are made from right files and from what once found something (`corpus/TARGET-*.txt`), by edits that a careless
//! or a hostile author could make. Without more, a few thousand inputs are tried; `DRIPLINE_FUZZ_SECONDS=3600` goes on for
//! that long, from another beginning each time (`DRIPLINE_FUZZ_SEED` repeats one). An input that makes a target panic is
//! written into `corpus/`, to stay there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod files;
mod mutate;
mod targets;
mod watch;

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use mutate::Mutator;
use targets::{TARGETS, Target};
use watch::Watch;

/// Inputs for each target, where no time is set.
const INPUTS: u32 = 300;

/// Most memory that the process may ever take.
const MOST_MEMORY_MIB: u64 = 1_500;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// What once found something.
fn found(target: &Target) -> Vec<String> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(&format!("{}-", target.name))
    });
    paths.sort();
    paths.iter().map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()).collect()
}

#[test]
fn what_once_found_something_is_answered() {
    for target in TARGETS {
        for input in found(target) {
            (target.run)(&input);
        }
    }
}

#[test]
fn right_files_are_right() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has nothing to begin with", target.name);
        seeds.iter().for_each(|seed| (target.run)(seed));
    }
}

#[test]
fn mutated_files_are_answered() {
    let seconds: Option<u64> =
        env::var("DRIPLINE_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let given: Option<u64> = env::var("DRIPLINE_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let by_time =
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = given.unwrap_or_else(|| if seconds.is_some() { by_time() } else { 1 });
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let watch = Watch::start();
    let mut panics = Vec::new();
    let mut inputs = 0_u64;
    let mut corpora: Vec<(&Target, Mutator)> = TARGETS
        .iter()
        .map(|target| {
            let seeds = [(target.seeds)(), found(target)].concat();
            (target, Mutator::new(seed, seeds, target.pieces))
        })
        .collect();
    loop {
        for (target, mutator) in &mut corpora {
            for _ in 0..INPUTS {
                let input = mutator.next_input();
                watch.begin(target.name, &input);
                if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
                    panics.push(keep(target, &input));
                }
                inputs += 1;
            }
        }
        watch.end();
        let most = watch::most_memory_mib();
        assert!(most.is_none_or(|most| most < MOST_MEMORY_MIB), "{most:?} MiB were taken, seed {seed}");
        if until.is_none_or(|until| Instant::now() > until) || panics.len() > 20 {
            break;
        }
    }
    assert!(panics.is_empty(), "{inputs} inputs, seed {seed}: these make a target panic: {panics:#?}");
    if seconds.is_some() {
        println!("{inputs} inputs, seed {seed}, at most {:?} MiB", watch::most_memory_mib());
    }
}

/// Writes an input down, and tells where.
fn keep(target: &Target, input: &str) -> PathBuf {
    let digest = dripline_model::Digest::of(input.as_bytes()).to_string();
    let name: String = digest.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    let path = folder().join(format!("{}-{name}.txt", target.name));
    fs::write(&path, input).unwrap();
    path
}
