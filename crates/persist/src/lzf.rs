//! LZF, the compression of strings in dumps (Marc Lehmann, liblzf).
//!
//! ```text
//! 000lllll                     l + 1 bytes follow as they are
//! lllooooo oooooooo            l + 2 bytes as they stood o + 1 bytes ago, l from 1 to 6
//! 111ooooo llllllll oooooooo   the same with l + 9 bytes
//! ```
//!
//! Any split into literals and references is valid, so what is written here need not be the bytes that
//! liblzf writes.

use crate::error::{Error, corrupt};

const LITERAL_MAX: usize = 32;
const MATCH_MAX: usize = 264;
const OFFSET_MAX: usize = 1 << 13;
/// Shorter strings are not tried, as in Redis.
pub const MIN: usize = 21;
/// Bytes that a string has to become shorter by.
const GAIN: usize = 4;

const HASH_BITS: u32 = 14;

/// Compresses strings. It remembers where three bytes stood last, and keeps the table from one string to
/// the next: positions count on, so those of earlier strings are too far away to be used.
pub struct Compressor {
    places: Box<[u32]>,
    base: u32,
}

impl Default for Compressor {
    fn default() -> Compressor {
        Compressor {
            places: vec![0; 1 << HASH_BITS].into(),
            base: 1,
        }
    }
}

/// Output of a limited length.
struct Out<'a> {
    to: &'a mut Vec<u8>,
    max: usize,
}

impl Out<'_> {
    /// Puts bytes as they are; nothing if there is no room.
    fn literals(&mut self, bytes: &[u8]) -> Option<()> {
        for run in bytes.chunks(LITERAL_MAX) {
            if self.to.len() + 1 + run.len() > self.max {
                return None;
            }
            self.to.push(run.len() as u8 - 1);
            self.to.extend_from_slice(run);
        }
        Some(())
    }

    /// Puts a reference to `len` bytes, `offset` bytes ago.
    fn reference(&mut self, len: usize, offset: usize) -> Option<()> {
        const SHORT: usize = 9;
        if self.to.len() + 3 > self.max {
            return None;
        }
        let far = offset - 1;
        let high = (far >> 8) as u8;
        if len < SHORT {
            self.to.push((len as u8 - 2) << 5 | high);
        } else {
            self.to.extend([7 << 5 | high, (len - SHORT) as u8]);
        }
        self.to.push(far as u8);
        Some(())
    }
}

#[inline]
fn slot(three: [u8; 3]) -> usize {
    const SPREAD: u32 = 0x9e37_79b1;
    let value = u32::from_le_bytes([three[0], three[1], three[2], 0]);
    (value.wrapping_mul(SPREAD) >> (32 - HASH_BITS)) as usize
}

impl Compressor {
    /// Appends the compressed bytes if that saves enough; otherwise leaves the output as it was.
    pub fn compress(&mut self, from: &[u8], to: &mut Vec<u8>) -> bool {
        let start = to.len();
        if from.len() < MIN || u32::try_from(from.len()).is_err() {
            return false;
        }
        let next = self.base.checked_add(from.len() as u32 + 1);
        if next.is_none() {
            self.places.fill(0);
            self.base = 1;
        }
        let max = start + from.len() - GAIN;
        let done = self.run(from, &mut Out { to, max });
        self.base = self.base.saturating_add(from.len() as u32 + 1);
        if done.is_none() {
            to.truncate(start);
        }
        done.is_some()
    }

    fn run(&mut self, from: &[u8], out: &mut Out<'_>) -> Option<()> {
        let (mut at, mut pending) = (0, 0);
        while let Some(three) = from.get(at..).and_then(|rest| rest.first_chunk::<3>()) {
            let place = &mut self.places[slot(*three)];
            let candidate = place.checked_sub(self.base).map(|seen| seen as usize);
            *place = self.base + at as u32;
            let Some(seen) = candidate.filter(|seen| {
                *seen < at && at - seen <= OFFSET_MAX && from[*seen..].starts_with(three)
            }) else {
                at += 1;
                continue;
            };
            let longest = MATCH_MAX.min(from.len() - at);
            let same = from[seen..].iter().zip(&from[at..at + longest]);
            let len = same.take_while(|(a, b)| a == b).count();
            out.literals(&from[pending..at])?;
            out.reference(len, at - seen)?;
            at += len;
            pending = at;
        }
        out.literals(&from[pending..])
    }
}

/// Most bytes that a compressed one can stand for.
const EXPANSION_MAX: usize = MATCH_MAX / 3;

/// Appends what was compressed, which has to be `len` bytes.
pub fn decompress(from: &[u8], len: usize, to: &mut Vec<u8>) -> Result<(), Error> {
    let bad = || corrupt("a compressed string");
    if len > from.len().saturating_mul(EXPANSION_MAX) {
        return Err(bad());
    }
    let start = to.len();
    let end = start + len;
    to.reserve(len);
    let mut left = from;
    while let Some((&control, rest)) = left.split_first() {
        left = rest;
        if control < 32 {
            let (run, rest) = left
                .split_at_checked(usize::from(control) + 1)
                .ok_or_else(bad)?;
            left = rest;
            if to.len() + run.len() > end {
                return Err(bad());
            }
            to.extend_from_slice(run);
            continue;
        }
        let mut count = usize::from(control >> 5) + 2;
        if count == 9 {
            count += usize::from(*left.split_off_first().ok_or_else(bad)?);
        }
        let low = usize::from(*left.split_off_first().ok_or_else(bad)?);
        let offset = (usize::from(control & 0x1f) << 8 | low) + 1;
        if offset > to.len() - start || to.len() + count > end {
            return Err(bad());
        }
        repeat(to, offset, count);
    }
    if to.len() == end { Ok(()) } else { Err(bad()) }
}

/// Appends `count` bytes as they stood `offset` bytes ago, which may be some of those appended.
#[inline]
fn repeat(to: &mut Vec<u8>, offset: usize, count: usize) {
    let mut left = count;
    while left > 0 {
        let run = left.min(offset);
        let from = to.len() - offset;
        to.extend_from_within(from..from + run);
        left -= run;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(compressor: &mut Compressor, text: &[u8]) -> Option<usize> {
        let mut packed = b"before".to_vec();
        if !compressor.compress(text, &mut packed) {
            assert_eq!(packed, b"before");
            return None;
        }
        let mut unpacked = b"also".to_vec();
        decompress(&packed[6..], text.len(), &mut unpacked).expect("it is valid");
        assert_eq!(&unpacked[4..], text);
        Some(packed.len() - 6)
    }

    #[test]
    fn what_repeats_becomes_short() {
        let mut c = Compressor::default();
        for len in [21, 22, 100, 264, 265, 300, 10_000, 100_000] {
            let packed = there_and_back(&mut c, &vec![b'x'; len]).expect("it repeats");
            assert!(packed <= 8 + len / 80, "{len} {packed}");
        }
        assert_eq!(there_and_back(&mut c, &[b'x'; 20]), None);
        let far: Vec<u8> = (0..40_000u32).map(|i| (i / 7 % 251) as u8).collect();
        there_and_back(&mut c, &far).expect("it repeats");
    }

    #[test]
    fn the_table_survives_its_counter() {
        let mut c = Compressor::default();
        let text = b"abcabcabcabcabcabcabcabc";
        c.base = u32::MAX - 30;
        for _ in 0..5 {
            there_and_back(&mut c, text).expect("it repeats");
        }
        assert!(c.base < 1000);
    }

    /// The bytes that Redis 8 has written for 70 times `v`.
    #[test]
    fn redis_s_bytes_are_read() {
        let mut text = Vec::new();
        decompress(b"\x01vv\xe09\x00\x01vv", 70, &mut text).expect("it is valid");
        assert_eq!(text, [b'v'; 70]);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(texts in prop::collection::vec(
            prop::collection::vec(0..4u8, 0..600), 1..6), noise in any::<Vec<u8>>()
        ) {
            let mut c = Compressor::default();
            for mut text in texts {
                there_and_back(&mut c, &text);
                text.extend(&noise);
                there_and_back(&mut c, &text);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..60), len in 0..2000usize,
        ) {
            let mut text = Vec::new();
            if decompress(&bytes, len, &mut text).is_ok() {
                prop_assert_eq!(text.len(), len);
            }
            prop_assert!(text.len() <= len);
        }
    }

    #[test]
    fn a_promise_that_cannot_be_kept_costs_nothing() {
        let mut text = Vec::new();
        assert!(decompress(&[0, 0], 1 << 40, &mut text).is_err());
        assert_eq!(text.capacity(), 0);
    }
}
