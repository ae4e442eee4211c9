//! The floating point of INCRBYFLOAT: reading, adding and writing numbers as Redis does with C's
//! `long double` on x86, digit for digit.
//!
//! That is a sign, a mantissa of 64 bits and an exponent of 15, rounded to nearest, ties to even.
//! Rust has no such type, so the arithmetic is done in integers: text becomes an exact fraction of
//! big integers before it is rounded once, a sum is formed in 128 bits, and a number is written
//! exactly as `%.17Lf` would, after which the zeros at the end go.

use std::cmp::Ordering;

/// Exponent of the lowest bit of a denormal.
const EXPONENT_MIN: i32 = -16445;
/// Exponent of the lowest bit of the largest finite number.
const EXPONENT_MAX: i32 = 16383 - 63;
/// Redis reads text of fewer bytes than this as a number.
const TEXT_MAX: usize = 5 * 1024;

/// A number that x86's extended precision can hold: `mantissa` × 2^`exponent`. The mantissa's top
/// bit is set unless the exponent is the lowest, so of two numbers the one with the larger exponent
/// is larger. An infinity has an exponent above the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

impl From<i64> for Extended {
    fn from(value: i64) -> Extended {
        round(value < 0, value.unsigned_abs().into(), 0, false)
    }
}

impl Extended {
    pub const ZERO: Extended = Extended::zero(false);

    const fn zero(negative: bool) -> Extended {
        Extended {
            negative,
            mantissa: 0,
            exponent: EXPONENT_MIN,
        }
    }

    const fn infinite(negative: bool) -> Extended {
        Extended {
            negative,
            mantissa: 1 << 63,
            exponent: EXPONENT_MAX + 1,
        }
    }

    pub fn is_finite(self) -> bool {
        self.exponent <= EXPONENT_MAX
    }

    /// Reads decimal or hexadecimal text, or an infinity. `None` for what Redis refuses: spaces,
    /// anything left over, `nan`, and numbers beyond the range at either end.
    pub fn parse(text: &[u8]) -> Option<Extended> {
        if text.len() >= TEXT_MAX {
            return None;
        }
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
            return Some(Extended::infinite(negative));
        }
        match digits {
            [b'0', b'x' | b'X', rest @ ..] => parse_hexadecimal(negative, rest),
            _ => parse_decimal(negative, digits),
        }
    }

    /// The sum, or `None` if it is not finite.
    pub fn checked_add(self, other: Extended) -> Option<Extended> {
        if !self.is_finite() || !other.is_finite() {
            return None;
        }
        let (mut big, mut small) = (self, other);
        if (big.exponent, big.mantissa) < (small.exponent, small.mantissa) {
            (big, small) = (small, big);
        }
        // One bit above for a carry, 62 below. What falls out below counts as one last bit, which is
        // enough to round by: a difference of numbers whose exponents are that far apart cancels at
        // most one bit.
        const ROOM: u32 = 62;
        let wide = u128::from(big.mantissa) << ROOM;
        let narrow = u128::from(small.mantissa) << ROOM;
        let by = (big.exponent - small.exponent).unsigned_abs();
        let kept = narrow.checked_shr(by).unwrap_or(0);
        let lost = kept.checked_shl(by).unwrap_or(0) != narrow;
        let kept = kept | u128::from(lost);
        let (negative, sum) = if big.negative == small.negative {
            (big.negative, wide + kept)
        } else {
            (big.negative && wide != kept, wide - kept)
        };
        let sum = round(negative, sum, big.exponent - ROOM as i32, false);
        sum.is_finite().then_some(sum)
    }

    /// The decimal text of a finite number: at most 17 digits after the point, none of them a zero
    /// at the end, no exponent.
    pub fn to_text(self) -> Vec<u8> {
        assert!(self.is_finite());
        let by = self.exponent.unsigned_abs();
        let mut text = if self.exponent < 0 {
            fraction_text(self.mantissa, by)
        } else {
            let mut whole = Big::from(self.mantissa);
            whole.shift_left(by);
            whole.into_decimal()
        };
        if self.negative && text != b"0" {
            text.insert(0, b'-');
        }
        text
    }
}

/// `mantissa` / 2^`shift`, rounded to 17 decimal places.
fn fraction_text(mantissa: u64, shift: u32) -> Vec<u8> {
    const PLACES: usize = 17;
    const ONE: u128 = 10u128.pow(PLACES as u32);
    // At most 64 + 57 bits.
    let scaled = u128::from(mantissa) * ONE;
    let Some(mut rounded) = scaled.checked_shr(shift) else {
        return b"0".to_vec();
    };
    let rest = scaled - (rounded << shift);
    let half = 1 << (shift - 1);
    if rest > half || (rest == half && rounded & 1 == 1) {
        rounded += 1;
    }
    let mut text = format!("{}.{:0PLACES$}", rounded / ONE, rounded % ONE).into_bytes();
    while text.last() == Some(&b'0') {
        text.pop();
    }
    if text.last() == Some(&b'.') {
        text.pop();
    }
    text
}

/// The number nearest to `bits` × 2^`exponent`, plus less than one unit of that if `more`. With
/// `more`, there are at least 66 bits.
fn round(negative: bool, bits: u128, exponent: i32, more: bool) -> Extended {
    let width = (u128::BITS - bits.leading_zeros()) as i32;
    let shift = (width - 64).max(EXPONENT_MIN - exponent);
    if bits == 0 || shift > width {
        return Extended::zero(negative);
    }
    let mut exponent = exponent + shift;
    let by = shift.unsigned_abs();
    let mantissa = if shift <= 0 {
        debug_assert!(!more);
        (bits << by) as u64
    } else {
        let kept = bits.checked_shr(by).unwrap_or(0);
        let rest = bits - kept.checked_shl(by).unwrap_or(0);
        let half = 1 << (by - 1);
        let up = rest > half || (rest == half && (more || kept & 1 == 1));
        let rounded = kept + u128::from(up);
        if rounded >> 64 != 0 {
            exponent += 1;
            1 << 63
        } else {
            rounded as u64
        }
    };
    if exponent > EXPONENT_MAX {
        return Extended::infinite(negative);
    }
    Extended {
        negative,
        mantissa,
        exponent,
    }
}

/// A result that Redis accepts: neither overflown, nor zero for want of range.
fn in_range(number: Extended) -> Option<Extended> {
    (number.is_finite() && number.mantissa != 0).then_some(number)
}

/// Digits before and after a point, at least one of them, and what follows.
fn mantissa_digits(text: &[u8], is_digit: fn(&u8) -> bool) -> Option<(&[u8], &[u8], &[u8])> {
    let count = |text: &[u8]| text.iter().take_while(|c| is_digit(c)).count();
    let (whole, rest) = text.split_at(count(text));
    let (fraction, rest) = match rest {
        [b'.', after @ ..] => after.split_at(count(after)),
        _ => (&rest[..0], rest),
    };
    (whole.len() + fraction.len() > 0).then_some((whole, fraction, rest))
}

/// An exponent after one of `marks`, which must be all that is left; 0 if nothing is. A value too
/// large to matter stops growing.
fn exponent_value(text: &[u8], marks: [u8; 2]) -> Option<i64> {
    const ENOUGH: i64 = 1 << 40;
    let [mark, rest @ ..] = text else {
        return Some(0);
    };
    if !marks.contains(mark) {
        return None;
    }
    let (negative, digits) = match rest {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0, |v: i64, d| (v * 10 + i64::from(d - b'0')).min(ENOUGH));
    Some(if negative { -value } else { value })
}

fn parse_decimal(negative: bool, text: &[u8]) -> Option<Extended> {
    let (whole, fraction, rest) = mantissa_digits(text, u8::is_ascii_digit)?;
    let exponent = exponent_value(rest, [b'e', b'E'])?;
    let mut digits: Vec<u8> = whole.iter().chain(fraction).map(|d| d - b'0').collect();
    let mut scale = exponent - fraction.len() as i64;
    while digits.last() == Some(&0) {
        digits.pop();
        scale += 1;
    }
    let zeros = digits.iter().take_while(|d| **d == 0).count();
    let digits = &digits[zeros..];
    if digits.is_empty() {
        return Some(Extended::zero(negative));
    }
    // The value is below 10^(digits + scale). The largest number is 1.19e4932, half of the smallest
    // one 1.8e-4951.
    if !(-4951..=4933).contains(&(digits.len() as i64 + scale)) {
        return None;
    }
    let mut value = Big::from_digits(digits);
    let power = Big::power_of_5(scale.unsigned_abs() as u32);
    let exponent = scale as i32;
    if scale >= 0 {
        value = value.times(&power);
        let (top, dropped, more) = value.top();
        return in_range(round(negative, top, exponent + dropped as i32, more));
    }
    let (quotient, by, more) = value.divided_by(power);
    in_range(round(negative, quotient, exponent + by, more))
}

fn parse_hexadecimal(negative: bool, text: &[u8]) -> Option<Extended> {
    let (whole, fraction, rest) = mantissa_digits(text, u8::is_ascii_hexdigit)?;
    let mut exponent = exponent_value(rest, [b'p', b'P'])? - 4 * fraction.len() as i64;
    let mut bits: u128 = 0;
    let mut more = false;
    for c in whole.iter().chain(fraction) {
        let digit = (*c as char).to_digit(16).unwrap_or(0);
        if bits >> 124 == 0 {
            bits = bits << 4 | u128::from(digit);
        } else {
            more |= digit != 0;
            exponent += 4;
        }
    }
    let exponent = exponent.clamp(-40_000, 40_000) as i32;
    let number = round(negative, bits, exponent, more);
    if bits == 0 {
        return Some(number);
    }
    in_range(number)
}

/// A natural number; the lowest 32 bits first, no zero at the end.
#[derive(Clone)]
struct Big(Vec<u32>);

impl From<u64> for Big {
    fn from(value: u64) -> Big {
        let mut big = Big(vec![value as u32, (value >> 32) as u32]);
        big.trim();
        big
    }
}

impl Big {
    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn from_digits(digits: &[u8]) -> Big {
        let mut big = Big(Vec::new());
        for nine in digits.chunks(9) {
            let value = nine.iter().fold(0, |v, d| v * 10 + u32::from(*d));
            big.multiply_add(10u32.pow(nine.len() as u32), value);
        }
        big
    }

    fn power_of_5(exponent: u32) -> Big {
        /// The largest power of 5 in 32 bits.
        const STEP: u32 = 13;
        let mut big = Big::from(1);
        for _ in 0..exponent / STEP {
            big.multiply_add(5u32.pow(STEP), 0);
        }
        big.multiply_add(5u32.pow(exponent % STEP), 0);
        big
    }

    fn multiply_add(&mut self, factor: u32, add: u32) {
        let mut carry = u64::from(add);
        for limb in &mut self.0 {
            let value = u64::from(*limb) * u64::from(factor) + carry;
            *limb = value as u32;
            carry = value >> 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    fn times(&self, other: &Big) -> Big {
        let mut product = vec![0u32; self.0.len() + other.0.len()];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0;
            let row = product[i..].iter_mut();
            for (place, b) in row.zip(other.0.iter().chain(std::iter::once(&0))) {
                let value = u64::from(*a) * u64::from(*b) + u64::from(*place) + carry;
                *place = value as u32;
                carry = value >> 32;
            }
        }
        let mut product = Big(product);
        product.trim();
        product
    }

    /// How many bits the number has.
    fn width(&self) -> u32 {
        let last = self.0.last().map_or(0, |limb| limb.leading_zeros());
        self.0.len() as u32 * 32 - last
    }

    fn shift_left(&mut self, by: u32) {
        let (limbs, bits) = (by / 32, by % 32);
        if bits > 0 {
            self.multiply_add(1 << bits, 0);
        }
        self.0.splice(0..0, std::iter::repeat_n(0, limbs as usize));
    }

    fn double(&mut self) {
        self.multiply_add(2, 0);
    }

    /// The highest 128 bits (the whole number if it is shorter), how many bits are below them,
    /// and whether one of those is set.
    fn top(&self) -> (u128, u32, bool) {
        let dropped = self.width().saturating_sub(128);
        let (limbs, bits) = ((dropped / 32) as usize, dropped % 32);
        let mut top = 0;
        for (i, limb) in self.0[limbs..].iter().enumerate() {
            let place = i as i32 * 32 - bits as i32;
            let limb = u128::from(*limb);
            top |= if place < 0 {
                limb >> place.unsigned_abs()
            } else {
                limb << place
            };
        }
        let below = self.0.get(limbs).map_or(0, |l| l & ((1 << bits) - 1));
        let more = below != 0 || self.0[..limbs].iter().any(|l| *l != 0);
        (top, dropped, more)
    }

    fn is_at_least(&self, other: &Big) -> bool {
        let order = self.0.len().cmp(&other.0.len());
        let order = order.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()));
        order != Ordering::Less
    }

    /// Takes away `other`, which is not larger.
    fn subtract(&mut self, other: &Big) {
        let mut borrow = 0;
        for (i, limb) in self.0.iter_mut().enumerate() {
            let take = i64::from(other.0.get(i).copied().unwrap_or(0)) + borrow;
            let value = i64::from(*limb) - take;
            *limb = value as u32;
            borrow = i64::from(value < 0);
        }
        debug_assert_eq!(borrow, 0);
        self.trim();
    }

    /// The quotient to 67 bits or more, as (bits, exponent), and whether something is left.
    fn divided_by(mut self, mut divisor: Big) -> (u128, i32, bool) {
        const BITS: i32 = 68;
        let wider = self.width() as i32 - divisor.width() as i32;
        if wider >= 0 {
            divisor.shift_left(wider.unsigned_abs());
        } else {
            self.shift_left(wider.unsigned_abs());
        }
        // Now the ratio is between 1/2 and 2: one bit of it per step, from the highest.
        let mut quotient = 0;
        for _ in 0..BITS {
            quotient <<= 1;
            if self.is_at_least(&divisor) {
                self.subtract(&divisor);
                quotient |= 1;
            }
            self.double();
        }
        (quotient, wider - (BITS - 1), !self.0.is_empty())
    }

    fn into_decimal(mut self) -> Vec<u8> {
        const NINE: u64 = 1_000_000_000;
        let mut groups = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0;
            for limb in self.0.iter_mut().rev() {
                let value = rest << 32 | u64::from(*limb);
                *limb = (value / NINE) as u32;
                rest = value % NINE;
            }
            self.trim();
            groups.push(rest);
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        for group in groups.iter().rev() {
            text.push_str(&format!("{group:09}"));
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: &str) -> Option<String> {
        let number = Extended::parse(number.as_bytes())?;
        Some(String::from_utf8(number.to_text()).expect("digits"))
    }

    #[test]
    fn numbers_are_written_without_needless_digits() {
        for (number, want) in [
            ("0", "0"),
            ("-0", "0"),
            ("3", "3"),
            ("3.0e3", "3000"),
            ("+.5", "0.5"),
            ("5.", "5"),
            ("0.1", "0.1"),
            ("-0.1", "-0.1"),
            ("0x10", "16"),
            ("0X1.8P-1", "0.75"),
            ("1e-17", "0.00000000000000001"),
            ("0.000000000000000004", "0"),
            ("-1e-30", "0"),
            ("3.6e-4951", "0"),
            // Halves go to the even neighbour, of the 64 bits as of the 17 places.
            ("18446744073709551617", "18446744073709551616"),
            ("18446744073709551619", "18446744073709551620"),
            ("0.000003814697265625", "0.00000381469726562"),
            ("123456789.123456789", "123456789.12345678899873747"),
        ] {
            assert_eq!(text(number).as_deref(), Some(want), "{number}");
        }
    }

    #[test]
    fn the_largest_number_is_written_in_full() {
        let largest = text("1.18973149535723176502e4932").expect("within range");
        assert_eq!(largest.len(), 4933);
        assert!(largest.starts_with("1189731495357231765021263853030970205169"));
        assert!(
            largest.ends_with("662444156604419552086811989770240"),
            "{}",
            &largest[4900..]
        );
        assert_eq!(text("1.18973149535723176509e4932"), None);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for number in [
            "",
            " 1",
            "1 ",
            "+",
            "-",
            ".",
            "e5",
            "1e",
            "1e+",
            "1x",
            "0x",
            "0x.",
            "0x1p",
            "1e5.5",
            "nan",
            "-nan",
            "infin",
            "1\0",
            "--1",
            "1_0",
            "1e4933",
            "1e-4952",
            "1e99999999999999999",
        ] {
            assert_eq!(Extended::parse(number.as_bytes()), None, "{number:?}");
        }
        let long = "0".repeat(TEXT_MAX - 1);
        assert!(Extended::parse(long.as_bytes()).is_some());
        assert_eq!(Extended::parse(format!("{long}0").as_bytes()), None);
    }

    #[test]
    fn infinities_are_read_and_never_a_sum() {
        for number in ["inf", "-INF", "+Infinity"] {
            let number = Extended::parse(number.as_bytes()).expect("an infinity");
            assert!(!number.is_finite());
            assert_eq!(Extended::ZERO.checked_add(number), None);
        }
        let large = Extended::parse(b"1e4932").expect("within range");
        assert_eq!(large.checked_add(large), None);
    }

    #[test]
    fn sums_are_rounded_once() {
        for (a, b, want) in [
            ("0.1", "0.2", "0.3"),
            ("10.5", "0.1", "10.6"),
            ("3.0e3", "200", "3200"),
            ("9223372036854775807", "0.5", "9223372036854775807.5"),
            ("18446744073709551615", "0.5", "18446744073709551616"),
            ("18446744073709551614", "0.5", "18446744073709551614"),
            (
                "18446744073709551614",
                "0.50000000001",
                "18446744073709551615",
            ),
            ("18446744073709551616", "-0.5", "18446744073709551616"),
            (
                "18446744073709551616",
                "-0.50000000001",
                "18446744073709551615",
            ),
            ("1e30", "-1e30", "0"),
            ("-0", "-0", "0"),
            ("1", "-1e-40", "1"),
        ] {
            let [x, y] = [a, b].map(|n| Extended::parse(n.as_bytes()).expect("a number"));
            for sum in [x.checked_add(y), y.checked_add(x)] {
                let sum = sum.expect("finite").to_text();
                assert_eq!(String::from_utf8_lossy(&sum), want, "{a} + {b}");
            }
        }
    }

    #[test]
    fn doubles_are_read_as_the_standard_library_reads_them() {
        // A double is exact in extended precision, so its exact text reads back as itself.
        let mut state = 1u64;
        for _ in 0..2000 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let value = f64::from_bits(state);
            if !value.is_finite() || value == 0.0 {
                continue;
            }
            let number = Extended::parse(format!("{value:.1100}").as_bytes()).expect("a number");
            let mantissa = (value.to_bits() << 12 >> 12 | 1 << 52) << 11;
            if value.is_normal() {
                assert_eq!(number.mantissa, mantissa, "{value:e}");
                let exponent = (value.to_bits() >> 52 & 0x7ff) as i32 - 1075 - 11;
                assert_eq!(number.exponent, exponent, "{value:e}");
            }
        }
    }
}
