//! The slot of a short key by carry-less multiplication: some twenty instructions for 16 bytes.
//!
//! A key of at most 16 bytes is one polynomial of 128 bits, whose first byte is the highest; zeros in
//! front change nothing, because the sum starts at 0. It is reduced modulo x^16 + x^12 + x^5 + 1, times
//! x^16 as the definition asks:
//!
//! ```text
//!   (high · x^64 + low) · x^16  =  high · (x^80 mod P) + low · x^16        80 bits
//!   its upper 16 bits · (x^64 mod P) + its lower 64 bits                   64 bits
//!   Barrett: minus P · ⌊⌊v / x^16⌋ · ⌊x^64 / P⌋ / x^48⌋                     16 bits
//! ```
//!
//! # Safety
//!
//! The functions with `target_feature` are called where [`is_here`] has answered yes: that is all that
//! they require.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m128i, _mm_clmulepi64_si128, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_movemask_epi8,
    _mm_set_epi64x, _mm_set1_epi8, _mm_srli_epi64, _mm_srli_si128, _mm_xor_si128,
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

/// The quotient of x^64 by [`P`].
const fn quotient() -> i64 {
    let mut rest = 1u128 << 64;
    let mut quotient = 0u128;
    let mut bit = 64;
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
    is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("sse4.1")
}

/// The sum of a key of at most 16 bytes; none if the key is longer or has a `{` in it.
#[inline]
pub fn short_sum(key: &[u8]) -> Option<u16> {
    let (high, low) = words(key)?;
    // SAFETY: the caller has found the processor to be able to.
    unsafe { sum(high, low) }
}

/// The polynomial of a key of at most 16 bytes.
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

#[target_feature(enable = "pclmulqdq,sse4.1")]
unsafe fn sum(high: u64, low: u64) -> Option<u16> {
    let key = _mm_set_epi64x(high as i64, low as i64);
    let braces = _mm_cmpeq_epi8(key, _mm_set1_epi8(b'{' as i8));
    if _mm_movemask_epi8(braces) != 0 {
        return None;
    }
    Some(reduce(key))
}

#[inline]
#[target_feature(enable = "pclmulqdq,sse4.1")]
fn reduce(key: __m128i) -> u16 {
    let folds = _mm_set_epi64x(const { power(80) }, 1 << 16);
    let high = _mm_clmulepi64_si128::<0x11>(key, folds);
    let low = _mm_clmulepi64_si128::<0x00>(key, folds);
    let v80 = _mm_xor_si128(high, low);
    let ends = _mm_set_epi64x(const { quotient() }, const { power(64) });
    let v = _mm_xor_si128(v80, _mm_clmulepi64_si128::<0x01>(v80, ends));
    let q = _mm_clmulepi64_si128::<0x10>(_mm_srli_epi64::<16>(v), ends);
    let q = _mm_srli_si128::<6>(q);
    let r = _mm_clmulepi64_si128::<0x00>(q, _mm_set_epi64x(0, P as i64));
    _mm_cvtsi128_si64(_mm_xor_si128(v, r)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

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
                assert_eq!(short_sum(key), Some(super::super::crc16(key)), "{key:?}");
            }
        }
        assert_eq!(short_sum(&bytes[..17]), None);
        for at in 0..16 {
            let mut key = [b'x'; 16];
            key[at] = b'{';
            assert_eq!(short_sum(&key), None);
        }
    }
}
