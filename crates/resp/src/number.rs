//! Integers in decimal, exactly as strict as Redis reads them and exactly as it writes them.

/// Longest text of an `i64`, sign included.
pub const I64_DIGITS: usize = 20;

/// A signed decimal integer: no leading zeros, no plus sign, no spaces, in range; the form that
/// Redis stores as an integer. `-0` is refused.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    if digits[0] == b'0' {
        return (digits.len() == 1 && !negative).then_some(0);
    }
    let mut value: u64 = 0;
    for &d in digits {
        let d = d.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        // 19 digits stay below 10^19, which a u64 holds.
        value = value * 10 + u64::from(d);
    }
    if negative {
        (value <= 1 << 63).then(|| (value as i64).wrapping_neg())
    } else {
        i64::try_from(value).ok()
    }
}

/// An unsigned decimal integer under the same rules.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    let mut value: u64 = 0;
    for &d in text {
        let d = d.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(d))?;
    }
    Some(value)
}

/// An unsigned integer as Redis reads cursors and ids of streams, as a C string: one in canonical form
/// unless it is negative, otherwise what `strtoull` makes of all of it, spaces in front and signs
/// included.
pub fn parse_u64_loose(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
    let text = &text[..end];
    if let Some(value) = parse_i64(text) {
        return u64::try_from(value).ok();
    }
    let is_space = |b: &&u8| matches!(b, b' ' | b'\t'..=b'\r');
    let text = &text[text.iter().take_while(is_space).count()..];
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for d in digits {
        let d = d.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(d.into())?;
    }
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// Decimal text of an integer on the stack, with room for a line's first byte before it and the
/// line's end behind it, so that a reply takes all of them in one go.
pub struct Decimal {
    text: [u8; END + 2],
    start: u8,
}

/// Where the digits end.
const END: usize = 1 + I64_DIGITS;

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

impl Decimal {
    #[inline]
    pub fn signed(value: i64) -> Decimal {
        let mut d = Decimal::unsigned(value.unsigned_abs());
        if value < 0 {
            d.start -= 1;
            d.text[usize::from(d.start)] = b'-';
        }
        d
    }

    /// Decimal text of `value`. Two digits at a time, from the end.
    #[inline]
    pub fn unsigned(mut value: u64) -> Decimal {
        let mut text = [0u8; END + 2];
        text[END..].copy_from_slice(b"\r\n");
        let mut at = END;
        while value >= 100 {
            let pair = (value % 100) as usize * 2;
            value /= 100;
            at -= 2;
            text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        }
        if value >= 10 {
            let pair = value as usize * 2;
            at -= 2;
            text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        } else {
            at -= 1;
            text[at] = b'0' + value as u8;
        }
        Decimal {
            text,
            start: at as u8,
        }
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[usize::from(self.start)..END]
    }

    /// The digits between `first` and a line end.
    #[inline]
    pub fn as_line(&mut self, first: u8) -> &[u8] {
        let start = usize::from(self.start) - 1;
        self.text[start] = first;
        &self.text[start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_are_read() {
        for (text, want) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("-0", None),
            ("01", None),
            ("+1", None),
            ("", None),
            ("-", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn decimal_text_is_what_the_standard_library_writes() {
        for v in [0, 7, 10, 42, 99, 100, 12345, i64::MAX, i64::MIN, -1, -100] {
            assert_eq!(Decimal::signed(v).as_bytes(), v.to_string().as_bytes());
        }
        assert_eq!(
            Decimal::unsigned(u64::MAX).as_bytes(),
            u64::MAX.to_string().as_bytes()
        );
    }

    proptest::proptest! {
        #[test]
        fn integers_round_trip(v: i64, u: u64) {
            assert_eq!(parse_i64(Decimal::signed(v).as_bytes()), Some(v));
            assert_eq!(parse_u64(Decimal::unsigned(u).as_bytes()), Some(u));
        }
    }
}
