//! The checksum of Redis's dumps: CRC-64 with the polynomial of Jones, reflected, without inversion at
//! either end.
//!
//! Sixteen bytes are taken at a time, each with a table of its own (Kounavis and Berry, "A Systematic Approach
//! to Building High Performance Software-Based CRC Generators", 2005). Since nothing is inverted, the
//! checksum is linear, and that of two pieces follows from those of each ([`combine`]).

const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
/// Bytes that are taken at a time.
const SLICES: usize = 16;
static TABLES: [[u64; 256]; SLICES] = tables();

/// Divides by x.
const fn step(crc: u64) -> u64 {
    if crc & 1 == 1 {
        (crc >> 1) ^ POLYNOMIAL
    } else {
        crc >> 1
    }
}

const fn tables() -> [[u64; 256]; SLICES] {
    let mut tables = [[0; 256]; SLICES];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = step(crc);
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut slice = 1;
    while slice < SLICES {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[slice - 1][byte];
            tables[slice][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        slice += 1;
    }
    tables
}

/// The checksum of what had the checksum `crc`, 0 at first, with `bytes` behind it.
pub fn update(crc: u64, bytes: &[u8]) -> u64 {
    let mut crc = crc;
    let (slices, rest) = bytes.as_chunks::<SLICES>();
    for slice in slices {
        let whole = u128::from_le_bytes(*slice) ^ u128::from(crc);
        crc = 0;
        for (i, byte) in whole.to_le_bytes().iter().enumerate() {
            crc ^= TABLES[SLICES - 1 - i][usize::from(*byte)];
        }
    }
    for byte in rest {
        crc = (crc >> 8) ^ TABLES[0][usize::from(crc as u8 ^ byte)];
    }
    crc
}

/// The checksum of two pieces, one behind the other, of which the checksums are `a` and `b`; the second has
/// `len_b` bytes.
pub fn combine(a: u64, b: u64, len_b: u64) -> u64 {
    /// The polynomial x⁸: the highest bit stands for 1.
    const BYTE: u64 = 1 << (63 - 8);
    let (mut shifted, mut power, mut left) = (a, BYTE, len_b);
    while left > 0 {
        if left & 1 == 1 {
            shifted = times(shifted, power);
        }
        power = times(power, power);
        left >>= 1;
    }
    shifted ^ b
}

/// The product of two polynomials, modulo that of the checksum.
fn times(a: u64, b: u64) -> u64 {
    let (mut product, mut b) = (0, b);
    for bit in (0..64).rev() {
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        b = step(b);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The check value that Redis's own test has.
    #[test]
    fn the_checksum_is_redis_s() {
        assert_eq!(update(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(update(0, b""), 0);
    }

    proptest! {
        #[test]
        fn pieces_add_up(bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<usize>()) {
            let (a, b) = bytes.split_at(at % (bytes.len() + 1));
            let whole = update(0, &bytes);
            prop_assert_eq!(update(update(0, a), b), whole);
            prop_assert_eq!(combine(update(0, a), update(0, b), b.len() as u64), whole);
            let bytewise = bytes.iter().fold(0, |crc, byte| update(crc, &[*byte]));
            prop_assert_eq!(bytewise, whole);
        }
    }
}
