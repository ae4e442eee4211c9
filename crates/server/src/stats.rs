//! Counters behind INFO.

use crate::histogram::Histogram;
use std::collections::BTreeMap;
use std::time::Instant;

/// Time as cheaply as the processor tells it.
#[derive(Clone, Copy, Debug)]
pub struct Ticks(u64);

impl Ticks {
    #[inline]
    pub fn now() -> Ticks {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: reads a counter.
        return Ticks(unsafe { std::arch::x86_64::_rdtsc() });
        #[cfg(not(target_arch = "x86_64"))]
        return Ticks({
            static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
            START.elapsed().as_nanos() as u64
        });
    }

    #[inline]
    pub fn since(self, earlier: Ticks) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What one tick is worth, found by comparing with the system's clock since the start.
#[derive(Clone, Copy, Debug)]
pub struct TickRate {
    ticks: Ticks,
    clock: Instant,
}

impl Default for TickRate {
    fn default() -> TickRate {
        TickRate {
            ticks: Ticks::now(),
            clock: Instant::now(),
        }
    }
}

impl TickRate {
    /// Ticks as microseconds.
    pub fn micros(&self, ticks: u64) -> f64 {
        let passed = Ticks::now().since(self.ticks).max(1) as f64;
        let nanos = self.clock.elapsed().as_nanos() as f64;
        ticks as f64 * nanos / passed / 1000.0
    }
}

/// Per command.
#[derive(Clone, Debug, Default)]
pub struct CommandStats {
    pub calls: u64,
    pub ticks: u64,
    /// Ticks per call, while `latency-tracking` is on.
    pub latency: Option<Box<Histogram>>,
    /// Calls refused before they ran.
    pub rejected: u64,
    /// Calls that ran and answered an error.
    pub failed: u64,
}

/// Distinct error codes that are counted; the rest is counted under one name, as in Valkey.
const ERROR_CODES_MAX: usize = 128;
const OTHER_CODES: &str = "ERRORSTATS_OVERFLOW";

/// Bytes within which an error's first word must end to be taken for its code.
const ERROR_CODE_BYTES_MAX: usize = 31;

#[derive(Default)]
pub struct Stats {
    pub commands: Vec<CommandStats>,
    /// Error replies by code.
    pub errors: BTreeMap<String, u64>,
    pub error_replies: u64,
    pub connections: u64,
    pub rejected_connections: u64,
    pub commands_processed: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub reads: u64,
    pub writes: u64,
    pub query_buffer_disconnections: u64,
    pub output_buffer_disconnections: u64,
    pub auth_denied: u64,
    pub loops: u64,
    pub loop_ticks: u64,
    pub command_ticks: u64,
    pub peak_memory: usize,
    pub expire_ticks: u64,
    pub expire_time_cap_reached: u64,
    /// Estimate of the share of keys with an expiry that are due, in percent.
    pub stale_percent: f64,
    /// Passes of the loop by duration: entry `i` counts those of less than 2^i microseconds.
    pub pass_histogram: [u64; 32],
    pub rate: TickRate,
    /// Batches of clients that had commands for other shards.
    pub flights: u64,
    /// Commands on keys of several shards.
    pub transactions: u64,
    /// Commands that ran aside.
    pub asides: u64,
    /// `latency-tracking`.
    pub tracks_latency: bool,
}

impl Stats {
    pub fn new(commands: usize) -> Stats {
        Stats {
            commands: vec![CommandStats::default(); commands],
            ..Stats::default()
        }
    }

    /// Notes that a command was called `calls` times in a row, which took `ticks` together.
    #[inline]
    pub fn note_calls(&mut self, command: usize, calls: u64, ticks: u64) {
        let stats = &mut self.commands[command];
        stats.calls += calls;
        stats.ticks += ticks;
        self.commands_processed += calls;
        if self.tracks_latency {
            let latency = stats.latency.get_or_insert_default();
            latency.add(ticks / calls.max(1), calls);
        }
    }

    /// Notes a command that several shards have executed; they have noted its time themselves.
    pub fn note_shared_call(&mut self, command: usize, ticks: u64) {
        let stats = &mut self.commands[command];
        stats.calls += 1;
        self.commands_processed += 1;
        if self.tracks_latency {
            stats.latency.get_or_insert_default().add(ticks, 1);
        }
    }

    /// Counts an error reply, under its first word.
    pub fn count_error(&mut self, text: &str) {
        self.error_replies += 1;
        let code = match text.split_once(' ') {
            Some((code, _)) if code.len() < ERROR_CODE_BYTES_MAX => code,
            _ => "ERR",
        };
        let is_new = !self.errors.contains_key(code);
        let code = if is_new && self.errors.len() >= ERROR_CODES_MAX {
            OTHER_CODES
        } else {
            code
        };
        match self.errors.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(self.errors.insert(code.to_owned(), 1)),
        }
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&mut self) {
        *self = Stats {
            rate: self.rate,
            peak_memory: self.peak_memory,
            tracks_latency: self.tracks_latency,
            ..Stats::new(self.commands.len())
        };
    }
}
