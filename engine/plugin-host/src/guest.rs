//! What one call of a plugin may know and use: the store's data.

use std::{convert::Infallible, time::Duration};

use dripline_model::random;
use jiff::Timestamp;
use rand_core::TryRng;
use wasmtime::{ResourceLimiter, component::ResourceTable};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use crate::log::Log;

/// Handles (streams, pollables, …) that a guest may hold at a time.
const HANDLES: usize = 1_024;
/// Bytes of randomness that a guest may ask for at a time.
const RANDOM_BYTES: u64 = 1 << 16;
/// Core instances, memories and tables of one component. A component made from Rust has fewer than ten.
const PARTS: usize = 64;

/// One guest's world: an empty WASI, the engine's clock, seeded randomness, a limit on memory.
pub(crate) struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    /// Its memory.
    pub(crate) memory: MemoryLimit,
    /// Its standard error.
    pub(crate) log: Log,
}

impl Guest {
    /// A guest for which it is always `now`, and whose randomness follows from `seed` alone.
    pub(crate) fn new(now: Timestamp, seed: u64, memory_bytes: usize) -> Self {
        let mut randomness = SplitMix64(seed);
        let clock = StoppedClock(Duration::from_millis(u64::try_from(now.as_millisecond()).unwrap_or(0)));
        let log = Log::default();
        // Everything that is not named here stays as the builder has it: no files, no arguments, no environment,
        // a closed standard input, an output that goes nowhere, and no address that may be connected to.
        let wasi = WasiCtx::builder()
            .stderr(log.clone())
            .wall_clock(clock)
            .monotonic_clock(clock)
            .insecure_random_seed(u128::from(randomness.next()))
            .insecure_random(SplitMix64(randomness.next()))
            .secure_random(SplitMix64(randomness.next()))
            .max_random_size(RANDOM_BYTES)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self { wasi, table, memory: MemoryLimit { limit: memory_bytes, used: 0, denied: false }, log }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Counts the memories and tables of a call together and remembers whether it refused more.
pub(crate) struct MemoryLimit {
    /// Bytes that may be used.
    pub(crate) limit: usize,
    used: usize,
    /// Whether more was asked for.
    pub(crate) denied: bool,
}

impl MemoryLimit {
    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.denied = true;
            return false;
        }
        self.used = used;
        true
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Above the memory's own maximum the growth fails whatever is answered here, so it does not count.
        Ok(maximum.is_some_and(|maximum| desired > maximum) || self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(size_of::<usize>());
        Ok(maximum.is_some_and(|maximum| desired > maximum) || self.grow(bytes(current), bytes(desired)))
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

/// A clock that shows the batch's instant, however long the call takes: time is an input.
#[derive(Clone, Copy)]
struct StoppedClock(Duration);

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The generator around [`random::mix`]: the same sequence in every version of Dripline, which library generators do
/// not promise.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(random::GAMMA);
        random::mix(self.0)
    }
}

impl TryRng for SplitMix64 {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        // The upper half, as a number of 32 bits.
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next().to_le_bytes();
            chunk.iter_mut().zip(random).for_each(|(byte, random)| *byte = random);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn randomness_is_the_published_sequence() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limit = MemoryLimit { limit: 100, used: 0, denied: false };
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(limit.table_growing(0, 5, None).unwrap());
        assert!(!limit.denied);
        assert!(!limit.memory_growing(60, 61, None).unwrap());
        assert!(limit.denied);
    }
}
