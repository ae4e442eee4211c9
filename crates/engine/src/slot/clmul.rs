//! The slot of a short key by carry-less multiplication: some twenty instructions for 16 bytes.
//!
//! A key of at most 16 bytes is one polynomial of 128 bits, whose first byte is the highest; zeros in
//! front change nothing, because the sum starts at 0. Times x^16, as the definition asks, it is
//! reduced modulo P = x^16 + x^12 + x^5 + 1:
//!
//! ```text
//!   high · (x^64 mod P) + low                                80 bits
//!   its upper 16 bits · (x^64 mod P) + its lower 64 bits     64 bits: n
//!   q = ⌊n · ⌊x^80 / P⌋ / x^64⌋, and n · x^16 - q · P        16 bits (Barrett)
//! ```
//!
//! # Safety
//!
//! The functions with `target_feature` are called where [`is_here`] has answered yes: that is all that
//! they require.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m128i, _mm_clmulepi64_si128, _mm_cmpeq_epi8, _mm_cvtsi128_si32, _mm_loadu_si128,
    _mm_movemask_epi8, _mm_set_epi8, _mm_set_epi64x, _mm_set1_epi8, _mm_shuffle_epi8,
    _mm_srli_si128, _mm_xor_si128,
};

/// x^16 + x^12 + x^5 + 1.
const P: u128 = 0x1_1021;

/// x^n modulo [`P`].
const fn power(n: u32) -> i64 {
    let mut value = 1u128;
    let mut i = 0;
    while i < n {
        value <<= 1;
        if value & 0x1_0000 != 0 {
            value ^= P;
        }
        i += 1;
    }
    value as i64
}

/// The quotient of x^80 by [`P`], without its highest term, x^64.
const fn quotient() -> i64 {
    let mut rest = 1u128 << 80;
    let mut quotient = 0u128;
    let mut bit = 80;
    while bit >= 16 {
        if rest >> bit & 1 != 0 {
            rest ^= P << (bit - 16);
            quotient |= 1 << (bit - 16);
        }
        bit -= 1;
    }
    quotient as i64
}

/// Whether the processor can.
pub fn is_here() -> bool {
    is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("ssse3")
}

/// [`short_sum`] of a key that is longer, or has a `{` in it.
pub const NONE: u32 = u32::MAX;

/// The sum of a key of at most 16 bytes without a `{`.
///
/// # Safety
///
/// [`is_here`] has answered yes.
#[target_feature(enable = "pclmulqdq,ssse3")]
pub unsafe fn short_sum(key: &[u8]) -> u32 {
    let polynomial = if let Ok(all) = <&[u8; 16]>::try_from(key) {
        // SAFETY: there are 16 bytes, and their alignment does not matter.
        let bytes = unsafe { _mm_loadu_si128(all.as_ptr().cast()) };
        let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        _mm_shuffle_epi8(bytes, order)
    } else {
        let Some((high, low)) = words(key) else {
            return NONE;
        };
        _mm_set_epi64x(high as i64, low as i64)
    };
    let braces = _mm_cmpeq_epi8(polynomial, _mm_set1_epi8(b'{' as i8));
    if _mm_movemask_epi8(braces) != 0 {
        return NONE;
    }
    reduce(polynomial)
}

/// The polynomial of a key of fewer than 16 bytes.
#[inline]
fn words(key: &[u8]) -> Option<(u64, u64)> {
    if let (Some(first), Some(last)) = (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        if key.len() > 16 {
            return None;
        }
        let first = u64::from_be_bytes(*first);
        let high = first.checked_shr(8 * (16 - key.len()) as u32).unwrap_or(0);
        return Some((high, u64::from_be_bytes(*last)));
    }
    Some((
        0,
        key.iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    ))
}

#[inline]
#[target_feature(enable = "pclmulqdq,ssse3")]
fn reduce(polynomial: __m128i) -> u32 {
    let constants = _mm_set_epi64x(const { quotient() }, const { power(64) });
    // Only the lower halves of sums are right, and used, but for the upper half of `high` itself.
    let high = _mm_clmulepi64_si128::<0x01>(polynomial, constants);
    let folded = _mm_clmulepi64_si128::<0x01>(high, constants);
    let n = _mm_xor_si128(_mm_xor_si128(polynomial, high), folded);
    let product = _mm_clmulepi64_si128::<0x10>(n, constants);
    let q = _mm_xor_si128(_mm_srli_si128::<8>(product), n);
    let sum = _mm_clmulepi64_si128::<0x00>(q, _mm_set_epi64x(0, P as i64));
    _mm_cvtsi128_si32(sum) as u32 & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(key: &[u8]) -> u32 {
        // SAFETY: asked before.
        unsafe { short_sum(key) }
    }

    #[test]
    fn the_sums_are_those_by_table() {
        if !is_here() {
            return;
        }
        let bytes: Vec<u8> = (0..4000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .map(|b| if b == b'{' { 0 } else { b })
            .collect();
        for from in 0..bytes.len() - 17 {
            for len in 0..=16 {
                let key = &bytes[from..from + len];
                assert_eq!(sum(key), u32::from(super::super::crc16(key)), "{key:?}");
            }
        }
        assert_eq!(sum(&bytes[..17]), NONE);
        for at in 0..16 {
            let mut key = [b'x'; 16];
            key[at] = b'{';
            assert_eq!(sum(&key), NONE);
        }
    }
}
