//! Bits of byte strings: reading, counting, finding and combining them, a word at a time where
//! there are many. Bit 0 is the highest of byte 0, so words are read big-endian.

use std::ops::RangeInclusive;

/// What the numbers of a range count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Byte,
    Bit,
}

impl Unit {
    /// How many units a string of `bytes` bytes has.
    pub fn of(self, bytes: usize) -> u64 {
        match self {
            Unit::Byte => bytes as u64,
            Unit::Bit => bytes as u64 * 8,
        }
    }

    pub fn first_bit(self, index: u64) -> u64 {
        match self {
            Unit::Byte => index * 8,
            Unit::Bit => index,
        }
    }

    pub fn last_bit(self, index: u64) -> u64 {
        match self {
            Unit::Byte => index * 8 + 7,
            Unit::Bit => index,
        }
    }
}

/// The bit at an offset; clear beyond the end.
pub fn get(bytes: &[u8], offset: u64) -> bool {
    let byte = bytes.get((offset >> 3) as usize).copied().unwrap_or(0);
    byte >> (7 - (offset & 7)) & 1 == 1
}

/// Sets the bit at an offset within the bytes.
pub fn set(bytes: &mut [u8], offset: u64, bit: bool) {
    let byte = &mut bytes[(offset >> 3) as usize];
    let place = 7 - (offset & 7);
    *byte = *byte & !(1 << place) | u8::from(bit) << place;
}

/// The unsigned number in `width` bits, at most 64, from an offset on; zeros follow the bytes.
pub fn read(bytes: &[u8], offset: u64, width: u32) -> u64 {
    let (first, count, below) = span(offset, width);
    let tail = bytes.get(first..).unwrap_or(&[]);
    let byte = |i| u128::from(tail.get(i).copied().unwrap_or(0));
    let wide = (0..count).fold(0, |wide, i| wide << 8 | byte(i));
    (wide >> below & ones(width)) as u64
}

/// Writes the lower `width` bits, at most 64, of a number; all of them lie within the bytes.
pub fn write(bytes: &mut [u8], offset: u64, width: u32, value: u64) {
    let (first, count, below) = span(offset, width);
    let place = &mut bytes[first..first + count];
    let wide = place.iter().fold(0, |wide, b| wide << 8 | u128::from(*b));
    let mask = ones(width) << below;
    let wide = wide & !mask | u128::from(value) << below & mask;
    let wide = wide.to_be_bytes();
    place.copy_from_slice(&wide[wide.len() - count..]);
}

/// The first of the bytes that hold a number, how many they are, and how many bits of the last of
/// them do not belong to it.
fn span(offset: u64, width: u32) -> (usize, usize, u32) {
    let end = (offset & 7) as u32 + width;
    let count = end.div_ceil(8);
    ((offset >> 3) as usize, count as usize, count * 8 - end)
}

fn ones(width: u32) -> u128 {
    (1 << width) - 1
}

/// The bytes that hold the bits from `first` to `last`, and masks of those bits in the first and in
/// the last of them.
fn cover(first: u64, last: u64) -> (RangeInclusive<usize>, u8, u8) {
    let head = 0xff >> (first & 7);
    let tail = 0xff << (7 - (last & 7));
    ((first >> 3) as usize..=(last >> 3) as usize, head, tail)
}

/// How many bits from `first` to `last`, both within the bytes, are set.
pub fn count(bytes: &[u8], first: u64, last: u64) -> u64 {
    let (range, head, tail) = cover(first, last);
    match &bytes[range] {
        [] => 0,
        [only] => u64::from((only & head & tail).count_ones()),
        [start, middle @ .., end] => {
            let edges = (start & head).count_ones() + (end & tail).count_ones();
            u64::from(edges) + count_all(middle)
        }
    }
}

/// Words that are counted side by side, which the compiler turns into wide instructions.
const LANES: usize = 4;
type Lanes = [u64; LANES];

/// Counts by the method of Harley and Seal (see Muła, Kurz and Lemire, "Faster population counts
/// using AVX2 instructions", 2016): eight words are added up as bits of equal weight, so that one
/// word of eights is counted instead of eight words. That needs no instruction of its own, which
/// not every processor that we run on has.
fn count_all(bytes: &[u8]) -> u64 {
    const BLOCK: usize = 8 * 8 * LANES;
    let ones_in = |lanes: Lanes| -> u64 { lanes.iter().map(|l| u64::from(l.count_ones())).sum() };
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let (mut ones, mut twos, mut fours) = ([0; LANES], [0; LANES], [0; LANES]);
    let mut eights = 0;
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        let lanes = |i: usize| -> Lanes {
            std::array::from_fn(|lane| u64::from_ne_bytes(words[i * LANES + lane]))
        };
        let a = add_bits(&mut ones, lanes(0), lanes(1));
        let b = add_bits(&mut ones, lanes(2), lanes(3));
        let c = add_bits(&mut twos, a, b);
        let a = add_bits(&mut ones, lanes(4), lanes(5));
        let b = add_bits(&mut ones, lanes(6), lanes(7));
        let d = add_bits(&mut twos, a, b);
        eights += ones_in(add_bits(&mut fours, c, d));
    }
    let (words, rest) = rest.as_chunks::<8>();
    let words = words.iter().map(|w| u64::from_ne_bytes(*w).count_ones());
    let rest = words.chain(rest.iter().map(|b| b.count_ones()));
    let rest: u64 = rest.map(u64::from).sum();
    8 * eights + 4 * ones_in(fours) + 2 * ones_in(twos) + ones_in(ones) + rest
}

/// Adds three bits in each place: the lower bit of the sum goes to `a`, the upper one is the result.
#[inline]
fn add_bits(a: &mut Lanes, b: Lanes, c: Lanes) -> Lanes {
    let mut carry = [0; LANES];
    for lane in 0..LANES {
        let either = a[lane] ^ b[lane];
        carry[lane] = a[lane] & b[lane] | either & c[lane];
        a[lane] = either ^ c[lane];
    }
    carry
}

/// The offset of the first bit equal to `bit` from `first` to `last`, both within the bytes.
pub fn find(bytes: &[u8], bit: bool, first: u64, last: u64) -> Option<u64> {
    let (range, head, tail) = cover(first, last);
    let start = *range.start();
    // Inverted if need be, the bit to find is a set one.
    let flip = if bit { 0 } else { 0xff };
    let at = |i: usize, byte: u8| (start + i) as u64 * 8 + u64::from(byte.leading_zeros());
    match &bytes[range] {
        [] => None,
        [only] => {
            let byte = (only ^ flip) & head & tail;
            (byte != 0).then(|| at(0, byte))
        }
        [start, middle @ .., end] => {
            let byte = (start ^ flip) & head;
            if byte != 0 {
                return Some(at(0, byte));
            }
            const STEP: usize = 64;
            let (blocks, _) = middle.as_chunks::<STEP>();
            let none = |block: &&[u8; STEP]| block.iter().fold(0, |all, b| all | b ^ flip) == 0;
            let skipped = blocks.iter().take_while(none);
            let mut rest = middle.iter().enumerate().skip(skipped.count() * STEP);
            if let Some((i, byte)) = rest.find(|(_, byte)| **byte ^ flip != 0) {
                return Some(at(1 + i, byte ^ flip));
            }
            let byte = (end ^ flip) & tail;
            (byte != 0).then(|| at(1 + middle.len(), byte))
        }
    }
}

/// How BITOP combines its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    And,
    Or,
    Xor,
    Not,
    /// Set in the first source and in no other.
    Diff,
    /// Set in another source and not in the first.
    Diff1,
    /// Set in the first source and in another.
    AndOr,
    /// Set in exactly one source.
    One,
}

/// Bytes of each source that are combined before the next bytes are, so that they stay cached.
const BLOCK: usize = 4096;

impl Operator {
    const ALL: [Operator; 8] = [
        Operator::And,
        Operator::Or,
        Operator::Xor,
        Operator::Not,
        Operator::Diff,
        Operator::Diff1,
        Operator::AndOr,
        Operator::One,
    ];

    pub fn named(word: &[u8]) -> Option<Operator> {
        let is = |o: &Operator| word.eq_ignore_ascii_case(o.name().as_bytes());
        Operator::ALL.into_iter().find(is)
    }

    pub fn name(self) -> &'static str {
        match self {
            Operator::And => "AND",
            Operator::Or => "OR",
            Operator::Xor => "XOR",
            Operator::Not => "NOT",
            Operator::Diff => "DIFF",
            Operator::Diff1 => "DIFF1",
            Operator::AndOr => "ANDOR",
            Operator::One => "ONE",
        }
    }

    /// Whether the first source plays another part than the others, of which there must be one.
    pub fn has_main_source(self) -> bool {
        matches!(self, Operator::Diff | Operator::Diff1 | Operator::AndOr)
    }

    /// The result, as long as the longest source; shorter ones end in zeros. There is at least one
    /// source.
    pub fn combine(self, sources: &[&[u8]]) -> Vec<u8> {
        let len = sources.iter().map(|s| s.len()).max().unwrap_or(0);
        let [first, others @ ..] = sources else {
            return Vec::new();
        };
        let mut result = Vec::with_capacity(len);
        result.extend_from_slice(first);
        result.resize(len, 0);
        for (i, block) in result.chunks_mut(BLOCK).enumerate() {
            let from = i * BLOCK;
            let parts = others.iter().map(|other| other.get(from..).unwrap_or(&[]));
            self.combine_block(block, parts);
        }
        result
    }

    /// Combines `result`, which is of the first source, with what the others have from there on.
    fn combine_block<'s>(self, result: &mut [u8], others: impl Iterator<Item = &'s [u8]>) {
        let mut scratch = [0; BLOCK];
        let scratch = &mut scratch[..result.len()];
        match self {
            Operator::And => others.for_each(|other| {
                each(result, other, |a, b| a & b);
                result.iter_mut().skip(other.len()).for_each(|a| *a = 0);
            }),
            Operator::Or => others.for_each(|other| each(result, other, |a, b| a | b)),
            Operator::Xor => others.for_each(|other| each(result, other, |a, b| a ^ b)),
            Operator::Not => result.iter_mut().for_each(|a| *a = !*a),
            Operator::Diff => others.for_each(|other| each(result, other, |a, b| a & !b)),
            Operator::Diff1 => {
                others.for_each(|other| each(scratch, other, |a, b| a | b));
                each(result, scratch, |a, b| !a & b);
            }
            Operator::AndOr => {
                others.for_each(|other| each(scratch, other, |a, b| a | b));
                each(result, scratch, |a, b| a & b);
            }
            Operator::One => {
                // The scratch holds the bits that are set in two sources or more.
                for other in others {
                    for ((many, any), b) in scratch.iter_mut().zip(&mut *result).zip(other) {
                        *many |= *any & b;
                        *any |= b;
                    }
                }
                each(result, scratch, |a, b| a & !b);
            }
        }
    }
}

/// Combines `a` with `b` byte by byte as far as both go, which compiles to wide instructions.
#[inline]
fn each(a: &mut [u8], b: &[u8], with: impl Fn(u8, u8) -> u8) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = with(*a, *b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn naive(bytes: &[u8]) -> Vec<bool> {
        let bits = 0..bytes.len() as u64 * 8;
        bits.map(|i| get(bytes, i)).collect()
    }

    /// Bytes that are mostly alike, so that words are skipped.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![40 => Just(0u8), 1 => any::<u8>()];
        let flip = prop_oneof![Just(0), Just(0xff)];
        (vec(byte, 1..700), flip).prop_map(|(v, flip)| v.iter().map(|b| b ^ flip).collect())
    }

    proptest! {
        #[test]
        fn bits_are_counted_and_found(bytes in bytes(), a: u64, b: u64, bit: bool) {
            let len = bytes.len() as u64 * 8;
            let (first, last) = ((a % len).min(b % len), (a % len).max(b % len));
            let bits = naive(&bytes);
            let range = &bits[first as usize..=last as usize];
            let set = range.iter().filter(|b| **b).count() as u64;
            prop_assert_eq!(count(&bytes, first, last), set);
            let found = range.iter().position(|b| *b == bit);
            prop_assert_eq!(find(&bytes, bit, first, last), found.map(|i| first + i as u64));
        }

        #[test]
        fn numbers_stay_where_they_are_written(
            bytes in vec(any::<u8>(), 17..30), offset in 0u64..64, width in 1u32..=64, value: u64,
        ) {
            let mut changed = bytes.clone();
            write(&mut changed, offset, width, value);
            let mask = u64::MAX >> (64 - width);
            prop_assert_eq!(read(&changed, offset, width), value & mask);
            let field = offset..offset + u64::from(width);
            for i in (0..bytes.len() as u64 * 8).filter(|i| !field.contains(i)) {
                prop_assert_eq!(get(&changed, i), get(&bytes, i));
            }
        }

        #[test]
        fn sources_of_any_length_are_combined(
            lengths in vec(prop_oneof![0..20usize, 4000..9000usize], 2..4), seed: u8,
        ) {
            let source = |(i, len): (usize, &usize)| -> Vec<u8> {
                (0..*len).map(|j| (j * (i + 3)) as u8 ^ seed).collect()
            };
            let sources: Vec<Vec<u8>> = lengths.iter().enumerate().map(source).collect();
            let slices: Vec<&[u8]> = sources.iter().map(|s| s.as_slice()).collect();
            let len = lengths.iter().copied().max().unwrap_or(0);
            for operator in Operator::ALL.into_iter().filter(|o| *o != Operator::Not) {
                let result = operator.combine(&slices);
                prop_assert_eq!(result.len(), len);
                for i in (0..len).step_by(7) {
                    let at = |s: &Vec<u8>| s.get(i).copied().unwrap_or(0);
                    let (x, rest) = (at(&sources[0]), &sources[1..]);
                    let any = rest.iter().map(at).fold(0, |a, b| a | b);
                    let all = sources.iter().map(at);
                    let want = match operator {
                        Operator::And => all.fold(0xff, |a, b| a & b),
                        Operator::Or => x | any,
                        Operator::Xor => all.fold(0, |a, b| a ^ b),
                        Operator::Not => unreachable!(),
                        Operator::Diff => x & !any,
                        Operator::Diff1 => !x & any,
                        Operator::AndOr => x & any,
                        Operator::One => (0..8)
                            .map(|bit| 1u8 << bit)
                            .filter(|bit| sources.iter().filter(|s| at(s) & bit != 0).count() == 1)
                            .sum(),
                    };
                    prop_assert_eq!(result[i], want, "{} at {}", operator.name(), i);
                }
            }
        }
    }
}
