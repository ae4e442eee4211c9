//! The 24 bits that say how recently or how often a key was used, as Redis keeps them.
//!
//! Under an LRU policy they are the clock in seconds; under LFU 16 bits of minutes, when the
//! counter was last decayed, and 8 bits of a logarithmic counter.

/// A new key's counter, so that it is not evicted before it had a chance.
const LFU_INIT: u32 = 5;
const CLOCK_MASK: u32 = (1 << 24) - 1;

/// How accesses are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Lru,
    /// `log_factor`: the larger, the slower the counter grows; `decay_minutes` per decrement.
    Lfu {
        log_factor: u32,
        decay_minutes: u32,
    },
}

/// How a key was used, apart from clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Seconds since the last time.
    Idle(u64),
    Frequency(u8),
}

/// The clock that accesses are stamped with.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub mode: Mode,
    seconds: u32,
    minutes: u32,
}

impl Stamp {
    pub fn new(mode: Mode, now_ms: i64) -> Stamp {
        Stamp {
            mode,
            seconds: (now_ms / 1000) as u32 & CLOCK_MASK,
            minutes: (now_ms / 60_000) as u32 & 0xffff,
        }
    }

    /// The bits of a key that has just been made.
    #[inline]
    pub fn fresh(&self) -> u32 {
        match self.mode {
            Mode::Lru => self.seconds,
            Mode::Lfu { .. } => self.minutes << 8 | LFU_INIT,
        }
    }

    /// The bits after one more access; `random` is uniform.
    #[inline]
    pub fn touched(&self, access: u32, random: impl FnOnce() -> u64) -> u32 {
        match self.mode {
            Mode::Lru => self.seconds,
            Mode::Lfu { log_factor, .. } => {
                let count = self.frequency(access);
                let over = f64::from(count.saturating_sub(LFU_INIT));
                let chance = 1.0 / (over * f64::from(log_factor) + 1.0);
                let draw = (random() >> 11) as f64 / (1u64 << 53) as f64;
                let grown = if count < 255 && draw < chance {
                    count + 1
                } else {
                    count
                };
                self.minutes << 8 | grown
            }
        }
    }

    /// Whole seconds since the last access.
    pub fn idle_seconds(&self, access: u32) -> u64 {
        u64::from(self.seconds.wrapping_sub(access) & CLOCK_MASK)
    }

    /// The bits of a key last used some seconds ago, or used with this frequency, if this is what the mode
    /// records.
    pub fn restored(&self, access: Access) -> Option<u32> {
        match (self.mode, access) {
            (Mode::Lru, Access::Idle(seconds)) => {
                let seconds = seconds.min(u64::from(CLOCK_MASK)) as u32;
                Some(self.seconds.wrapping_sub(seconds) & CLOCK_MASK)
            }
            (Mode::Lfu { .. }, Access::Frequency(count)) => {
                Some(self.minutes << 8 | u32::from(count))
            }
            _ => None,
        }
    }

    /// What a dump says about a key with these bits.
    pub fn told(&self, access: u32) -> Access {
        match self.mode {
            Mode::Lru => Access::Idle(self.idle_seconds(access)),
            Mode::Lfu { .. } => Access::Frequency(self.frequency(access) as u8),
        }
    }

    /// The counter after the decay that is due.
    pub fn frequency(&self, access: u32) -> u32 {
        let Mode::Lfu { decay_minutes, .. } = self.mode else {
            return access & 0xff;
        };
        let elapsed = self.minutes.wrapping_sub(access >> 8) & 0xffff;
        let periods = elapsed.checked_div(decay_minutes).unwrap_or(0);
        (access & 0xff).saturating_sub(periods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_survives_the_wrap_of_the_clock() {
        let before = Stamp::new(Mode::Lru, i64::from(CLOCK_MASK) * 1000);
        let after = Stamp::new(Mode::Lru, (i64::from(CLOCK_MASK) + 5) * 1000);
        assert_eq!(after.idle_seconds(before.fresh()), 5);
    }

    #[test]
    fn what_a_dump_tells_is_restored_in_the_mode_that_it_is_of() {
        let lru = Stamp::new(Mode::Lru, 5_000_000);
        let mode = Mode::Lfu {
            log_factor: 10,
            decay_minutes: 1,
        };
        let lfu = Stamp::new(mode, 5_000_000);
        let restored = |stamp: Stamp, access| stamp.restored(access).map(|bits| stamp.told(bits));
        for access in [Access::Idle(0), Access::Idle(70_000), Access::Frequency(9)] {
            let is_idle = matches!(access, Access::Idle(_));
            assert_eq!(restored(lru, access), is_idle.then_some(access));
            assert_eq!(restored(lfu, access), (!is_idle).then_some(access));
        }
    }

    #[test]
    fn a_counter_grows_by_chance_and_decays_by_time() {
        let mode = Mode::Lfu {
            log_factor: 10,
            decay_minutes: 1,
        };
        let now = Stamp::new(mode, 0);
        assert_eq!(now.frequency(now.fresh()), 5);
        assert_eq!(now.frequency(now.touched(now.fresh(), || 0)), 6);
        assert_eq!(now.frequency(now.touched(6, || u64::MAX)), 6);
        let later = Stamp::new(mode, 3 * 60_000);
        assert_eq!(later.frequency(now.fresh()), 2);
    }
}
