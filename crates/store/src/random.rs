//! Random numbers for drawing elements: fast, seeded, not for secrets.

/// A generator (xorshift64*, Vigna 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub(crate) fn stir(&mut self, salt: u64) {
        self.0 ^= salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 |= 1;
    }

    #[inline]
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`, each with the same chance to within 2⁻⁶⁴ · n.
    ///
    /// # Panics
    /// If `n` is 0.
    #[inline]
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0);
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}
