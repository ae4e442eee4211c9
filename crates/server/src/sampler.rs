//! Rates for INFO: how much of something happened lately.

/// Samples that an average is taken over: 1.6 seconds at ten a second.
const SAMPLES: usize = 16;

/// The rate of one counter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    last_value: u64,
    last_us: i64,
    samples: [u64; SAMPLES],
    next: usize,
}

impl Rate {
    /// Notes the counter's value at a time.
    pub fn sample(&mut self, value: u64, now_us: i64) {
        let passed = (now_us - self.last_us).max(1) as u64;
        if self.last_us != 0 {
            let grown = value.saturating_sub(self.last_value);
            self.samples[self.next] = grown.saturating_mul(1_000_000) / passed;
            self.next = (self.next + 1) % SAMPLES;
        }
        self.last_value = value;
        self.last_us = now_us;
    }

    pub fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / SAMPLES as u64
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Sampler {
    pub commands: Rate,
    pub bytes_in: Rate,
    pub bytes_out: Rate,
    pub loops: Rate,
    pub loop_ticks: Rate,
}
