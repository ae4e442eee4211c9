//! Registers of six bits side by side: register 0 is the low bits of byte 0, and what does not fit
//! goes on in the low bits of the next byte.

use super::estimate::Histogram;
use super::sketch::REGISTERS;

/// Bytes of all registers.
pub const SIZE: usize = REGISTERS * 6 / 8;

const MASK: u8 = 63;

/// The value of a register.
pub fn get(registers: &[u8; SIZE], index: usize) -> u8 {
    let at = index * 6;
    let low = u16::from(registers[at / 8]);
    let high = u16::from(*registers.get(at / 8 + 1).unwrap_or(&0));
    ((high << 8 | low) >> (at % 8)) as u8 & MASK
}

pub fn set(registers: &mut [u8; SIZE], index: usize, value: u8) {
    let (at, shift) = (index * 6 / 8, index * 6 % 8);
    let mask = u16::from(MASK) << shift;
    let value = u16::from(value & MASK) << shift;
    registers[at] = registers[at] & !(mask as u8) | value as u8;
    if shift > 2 {
        let high = &mut registers[at + 1];
        *high = *high & !((mask >> 8) as u8) | (value >> 8) as u8;
    }
}

/// Lets a register grow to `value`; false if it is not smaller.
pub fn raise(registers: &mut [u8; SIZE], index: usize, value: u8) -> bool {
    let grows = get(registers, index) < value;
    if grows {
        set(registers, index, value);
    }
    grows
}

/// Four registers out of three bytes.
#[inline]
fn unpack(bytes: &[u8; 3]) -> [u8; 4] {
    let [a, b, c] = *bytes;
    [
        a & MASK,
        (a >> 6 | b << 2) & MASK,
        (b >> 4 | c << 4) & MASK,
        c >> 2,
    ]
}

fn groups(registers: &[u8; SIZE]) -> impl Iterator<Item = [u8; 4]> + '_ {
    registers.as_chunks::<3>().0.iter().map(unpack)
}

pub fn histogram(registers: &[u8; SIZE]) -> Histogram {
    // Neighbours often have the same value. Four counts apart need not wait for one another.
    let mut counts = [[0u32; 64]; 4];
    for group in groups(registers) {
        for (counts, value) in counts.iter_mut().zip(group) {
            counts[usize::from(value & MASK)] += 1;
        }
    }
    std::array::from_fn(|value| counts.iter().map(|c| c[value]).sum())
}

/// Lets each of `max` grow to the register of its place.
pub fn merge(registers: &[u8; SIZE], max: &mut [u8; REGISTERS]) {
    for (max, group) in max.as_chunks_mut::<4>().0.iter_mut().zip(groups(registers)) {
        for (max, value) in max.iter_mut().zip(group) {
            *max = (*max).max(value);
        }
    }
}

/// Makes the registers those of `values`.
pub fn fill(registers: &mut [u8; SIZE], values: &[u8; REGISTERS]) {
    let groups = registers.as_chunks_mut::<3>().0.iter_mut();
    for (bytes, [a, b, c, d]) in groups.zip(values.as_chunks::<4>().0) {
        *bytes = [a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_register_has_its_bits(values in prop::collection::vec((0..REGISTERS, 0u8..64), 0..200)) {
            let mut registers = [0; SIZE];
            let mut model = [0; REGISTERS];
            for (index, value) in values {
                set(&mut registers, index, value);
                model[index] = value;
            }
            for (index, value) in model.iter().enumerate() {
                prop_assert_eq!(get(&registers, index), *value);
            }
            let mut filled = [0xff; SIZE];
            fill(&mut filled, &model);
            prop_assert_eq!(filled, registers);
            let mut max = [0; REGISTERS];
            merge(&registers, &mut max);
            prop_assert_eq!(max, model);
            let histogram = histogram(&registers);
            for value in 0..64 {
                let count = model.iter().filter(|v| **v == value).count();
                prop_assert_eq!(histogram[usize::from(value)] as usize, count);
            }
        }
    }

    #[test]
    fn the_last_register_is_within_the_bytes() {
        let mut registers = [0; SIZE];
        assert!(raise(&mut registers, REGISTERS - 1, 63));
        assert!(!raise(&mut registers, REGISTERS - 1, 62));
        assert_eq!(registers[SIZE - 1], 0xfc);
        assert_eq!(get(&registers, REGISTERS - 1), 63);
    }
}
