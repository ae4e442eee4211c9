//! One cache line of slots, and which of them have a tag.

/// Slots of a bucket.
pub const SLOTS: usize = 8;

/// Eight slots; 0 is an empty one. The top 16 bits of a slot are its tag.
#[repr(C, align(64))]
pub struct Bucket(pub [u64; SLOTS]);

impl Bucket {
    #[inline]
    pub fn is_full(&self) -> bool {
        self.0.iter().all(|s| *s != 0)
    }

    /// The slots that have `tag`; for tag 0 the empty ones too.
    #[inline]
    pub fn tagged(&self, tag: u64) -> Tagged {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        return Tagged(self.compare(tag));
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        {
            let mut mask = 0;
            for (i, slot) in self.0.iter().enumerate() {
                mask |= u32::from(slot >> 48 == tag) << place(i);
            }
            Tagged(mask)
        }
    }

    /// Two slots at a time: all their 16-bit lanes are compared, and of each slot the answer of the
    /// highest lane is kept. SSE2 is part of x86-64.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[inline]
    fn compare(&self, tag: u64) -> u32 {
        use std::arch::x86_64::{
            __m128i, _mm_cmpeq_epi16, _mm_load_si128, _mm_movemask_epi8, _mm_set1_epi16,
        };
        let line = (&raw const self.0).cast::<__m128i>();
        let mut mask = 0;
        for pair in 0..SLOTS / 2 {
            // SAFETY: the bucket is 64 bytes long and aligned to 64.
            let equal = unsafe {
                let slots = _mm_load_si128(line.add(pair));
                _mm_cmpeq_epi16(slots, _mm_set1_epi16(tag as i16))
            };
            // SAFETY: SSE2 is always there.
            let bytes = unsafe { _mm_movemask_epi8(equal) } as u32;
            mask |= (bytes & 0x8080) >> pair;
        }
        mask
    }
}

/// The bit of slot `i` in a [`Tagged`]: 7 and 15 for the first two slots, 6 and 14 for the next.
#[cfg(any(not(target_arch = "x86_64"), miri, test))]
fn place(i: usize) -> usize {
    7 + 8 * (i % 2) - i / 2
}

/// A set of slots.
#[derive(Clone, Copy)]
pub struct Tagged(u32);

impl Iterator for Tagged {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(2 * (7 - bit % 8) + bit / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_wherever_they_are() {
        for wanted in 0..1u32 << SLOTS {
            let mut bucket = Bucket([0; SLOTS]);
            for (i, slot) in bucket.0.iter_mut().enumerate() {
                // The other lanes of a slot must not count.
                let tag = if wanted >> i & 1 == 1 { 0x1234 } else { 0x1235 };
                *slot = tag << 48 | 0x1234_1234_1234;
            }
            let mut found: Vec<usize> = bucket.tagged(0x1234).collect();
            found.sort_unstable();
            let want: Vec<usize> = (0..SLOTS).filter(|i| wanted >> i & 1 == 1).collect();
            assert_eq!(found, want);
        }
        let mut places: Vec<usize> = (0..SLOTS).map(place).collect();
        places.sort_unstable();
        assert_eq!(places, [4, 5, 6, 7, 12, 13, 14, 15]);
    }
}
