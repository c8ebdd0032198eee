//! What may go wrong with a machine goes wrong, and the checker proves that nothing was lost and nothing done twice.
//!
//! The short form runs in CI. `DRIPLINE_CRASH_ROUNDS=300` asks for so many kills, and for every commit as a place to
//! crash; `DRIPLINE_CRASH_SEED` repeats the random moments of a run, which prints its seed.

mod campaign;
mod clocks;
mod damage;
mod full;
mod hang_up;
mod kills;
mod points;
mod upgrade;
mod workers;

/// How many kills were asked for; `None` is the short form.
fn rounds() -> Option<u32> {
    let rounds = std::env::var("DRIPLINE_CRASH_ROUNDS").ok()?;
    Some(rounds.parse().expect("DRIPLINE_CRASH_ROUNDS is a number"))
}

/// Random numbers that a seed repeats.
struct Random(u64);

impl Random {
    /// Seeded by `DRIPLINE_CRASH_SEED`, else by the time; says by what.
    fn seeded() -> Self {
        let seed = match std::env::var("DRIPLINE_CRASH_SEED") {
            Ok(seed) => seed.parse().expect("DRIPLINE_CRASH_SEED is a number"),
            Err(_) => std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64,
        };
        eprintln!("DRIPLINE_CRASH_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(dripline_model::random::GAMMA);
        dripline_model::random::mix(self.0) % bound
    }
}
