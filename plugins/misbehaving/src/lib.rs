//! A plugin that does whatever its configuration says, however wrong: for tests that such a plugin hurts nobody.

use dripline_sdk::{
    Batch, EffectKind, Integer, Manifest, Outcomes, Problem, StateScope, Step,
    bindings::{
        self, Guest,
        dripline::step::types::{Directive, Effect},
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Does as told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Misbehaving {
    /// What to do.
    #[serde(rename = "do")]
    deed: Deed,
    /// Traps for a turn whose value here is 1, if `do` is `trap`.
    trap_at: Option<Integer>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Deed {
    /// Goes on like a good plugin.
    Nothing,
    /// Never ends.
    Loop,
    /// Asks for memory without end.
    Allocate,
    /// Traps where `trap_at` is 1.
    Trap,
    /// Returns an error for the whole batch.
    Error,
    /// Returns a directive too few.
    TooFew,
    /// Refers to a text that it does not send.
    BadText,
    /// Takes an output that its manifest does not name.
    BadOutput,
    /// Gives an effect to a turn that is not in the batch.
    BadTurn,
    /// Sends texts that are not UTF-8.
    BadUtf8,
    /// Sends an email, for which its manifest does not ask.
    Email,
    /// Sends 8 MiB of reasons.
    Large,
    /// Sends a thousand effects for each turn.
    ManyEffects,
    /// Counts its turns in its state and says how many there were before.
    Count,
    /// Reads a file, the environment and the network, and says what it got.
    Escape,
}

impl Step for Misbehaving {
    const NAME: &'static str = "misbehaving";
    const SUMMARY: &'static str = "Breaks the rules that its configuration names.";

    fn describe(manifest: Manifest) -> Manifest {
        manifest.effect(EffectKind::Tag, "to have something to overdo").state(StateScope::Step)
    }

    fn run(&self, batch: &Batch, out: &mut Outcomes) -> Result<(), String> {
        match self.deed {
            Deed::Loop => spin(),
            Deed::Allocate => allocate(),
            Deed::Error => return Err("the plugin does not feel like it".to_owned()),
            _ => {}
        }
        let mut count: u64 = batch.state_json().unwrap_or_default();
        for turn in batch.turns() {
            match self.deed {
                Deed::Trap if self.trap_at.and_then(|column| column.of(turn)) == Some(1) => panic(),
                Deed::Email => out.send_email(
                    turn,
                    dripline_sdk::Email {
                        template: "spam",
                        subject: "Hello",
                        topic: None,
                        transactional: true,
                    },
                ),
                Deed::ManyEffects => (0..1_000).for_each(|_| out.add_tag(turn, "more")),
                _ => {}
            }
            match self.deed {
                Deed::Large => {
                    let size = (8 << 20) / batch.len();
                    out.proceed(turn, format_args!("{:size$}", turn.index()));
                }
                Deed::Count => {
                    out.proceed(turn, format_args!("{count} before"));
                    count += 1;
                }
                Deed::Escape => out.proceed(turn, escape()),
                _ => out.proceed(turn, "did nothing"),
            }
        }
        if self.deed == Deed::Count {
            out.set_state_json(&count)?;
        }
        Ok(())
    }
}

#[expect(clippy::panic, reason = "that is the deed")]
fn panic() {
    panic!("this contact is poison");
}

fn spin() -> ! {
    loop {
        std::hint::black_box(());
    }
}

fn allocate() -> ! {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}

fn escape() -> String {
    let file = std::fs::read_dir("/").map(|_| ()).map_err(|error| error.kind());
    let network = std::net::TcpStream::connect("127.0.0.1:1").map(|_| ()).map_err(|error| error.kind());
    format!("file {file:?}, network {network:?}, environment {}", std::env::vars().count())
}

/// The exports. The SDK would not let a step break the contract, so that is done to its answer.
#[derive(Debug)]
pub struct Exported;

impl Guest for Exported {
    fn describe() -> Manifest {
        dripline_sdk::guest::describe::<Misbehaving>(env!("CARGO_PKG_VERSION"))
    }

    fn check(config: String) -> Vec<Problem> {
        dripline_sdk::guest::check::<Misbehaving>(&config)
    }

    fn run(config: String, batch: bindings::Batch) -> Result<bindings::Outcomes, String> {
        let mut answer = dripline_sdk::guest::run::<Misbehaving>(&config, batch)?;
        let told = serde_json::from_str::<Misbehaving>(&config).map_err(|error| error.to_string())?;
        match told.deed {
            Deed::TooFew => drop(answer.directives.pop()),
            Deed::BadText => answer.reasons.fill(1_000_000),
            Deed::BadOutput => answer.directives.fill(Directive::Output(7)),
            Deed::BadTurn => {
                answer.effects.push(Effect::AddTag(0));
                answer.wanted.turns.push(1_000_000);
                answer.wanted.effects.push(0);
            }
            Deed::BadUtf8 => answer.strings.bytes.fill(0xff),
            _ => {}
        }
        Ok(answer)
    }
}

#[cfg(target_family = "wasm")]
bindings::export!(Exported with_types_in bindings);
