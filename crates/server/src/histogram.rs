//! A histogram of durations: cheap to add to, exact to a sixteenth of the value.
//!
//! Buckets are log-linear: each power of two is cut into sixteen equal parts, so that a bucket's
//! bounds are at most 6.25 % apart, whatever the unit. Values below sixteen have a bucket each.

/// Buckets per power of two.
const PARTS: usize = 16;
const PART_BITS: u32 = PARTS.trailing_zeros();

/// Powers of two that are told apart; longer durations count as the longest.
const OCTAVES: usize = 36;

const BUCKETS: usize = PARTS * (OCTAVES + 1);

#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    total: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: [0; BUCKETS],
            total: 0,
        }
    }
}

impl Histogram {
    /// Adds `times` observations of one value.
    #[inline]
    pub fn add(&mut self, value: u64, times: u64) {
        self.buckets[bucket(value)] += times;
        self.total += times;
    }

    /// Adds the observations of another one.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The last value of each bucket that has observations, and how many.
    pub fn counted(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let buckets = self.buckets.iter().enumerate();
        buckets
            .filter(|(_, n)| **n > 0)
            .map(|(i, n)| (upper_bound(i), *n))
    }

    /// The value that `percent` of the observations do not exceed, rounded up to its bucket's end;
    /// 0 without observations.
    pub fn percentile(&self, percent: f64) -> u64 {
        let rank = (percent / 100.0 * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return upper_bound(i);
            }
        }
        0
    }
}

#[inline]
fn bucket(value: u64) -> usize {
    let top = u64::BITS - (value | (PARTS as u64 - 1)).leading_zeros();
    let shift = top - PART_BITS;
    if shift == 0 {
        return value as usize;
    }
    // Between PARTS and twice as many.
    let mantissa = (value >> (shift - 1)) as usize;
    (PARTS * (shift as usize - 1) + mantissa).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    if bucket < 2 * PARTS {
        return bucket as u64;
    }
    let shift = bucket / PARTS - 1;
    let mantissa = bucket % PARTS + PARTS;
    ((mantissa as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_close_and_in_order() {
        let mut last = 0;
        for exponent in 0..40 {
            for step in 0..64u64 {
                let value = (64 + step) << exponent >> 6;
                let at = bucket(value);
                assert!(at >= last, "{value}");
                last = at;
                if at == BUCKETS - 1 {
                    continue;
                }
                let bound = upper_bound(at);
                assert!(bound >= value, "{value} {bound}");
                assert!(bound - value <= value / 16, "{value} {bound}");
                assert_eq!(bucket(bound), at);
                assert_eq!(bucket(bound + 1), at + 1);
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_name_the_observation_of_their_rank() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), 0);
        histogram.add(3, 98);
        histogram.add(10, 1);
        histogram.add(15, 1);
        assert_eq!(histogram.percentile(0.0), 3);
        assert_eq!(histogram.percentile(50.0), 3);
        assert_eq!(histogram.percentile(98.0), 3);
        assert_eq!(histogram.percentile(99.0), 10);
        assert_eq!(histogram.percentile(99.9), 15);
        assert_eq!(histogram.percentile(100.0), 15);
    }
}
