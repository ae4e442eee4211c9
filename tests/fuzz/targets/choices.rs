//! Decisions read off a fuzzer's bytes.

#![allow(dead_code, reason = "each target uses its part")]

/// The bytes that are left. They become zeros when they run out.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    /// Up to `max` bytes as they are.
    pub fn bytes(&mut self, max: usize) -> Vec<u8> {
        let n = self.below(max + 1).min(self.0.len());
        let (bytes, rest) = self.0.split_at(n);
        self.0 = rest;
        bytes.to_vec()
    }

    /// All that is left, with runs unfolded: `0xfe n c` stands for `2 n²` times `c`, so that a short
    /// input reaches the limits that lie at tens of kilobytes.
    pub fn unfolded(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !self.is_empty() {
            match self.byte() {
                0xfe => {
                    let n = usize::from(self.byte());
                    let fill = self.byte();
                    bytes.resize(bytes.len() + 2 * n * n, fill);
                }
                c => bytes.push(c),
            }
        }
        bytes
    }
}
