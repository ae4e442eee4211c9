//! Scores and the ends of ranges, as Redis 8 reads them.

use store::zset::{Between, End};

/// A score: decimal or hexadecimal, or an infinity. `None` for what is no number, and for numbers out of
/// range at either end.
#[inline]
pub(crate) fn score(text: &[u8]) -> Option<f64> {
    /// Integers below this are doubles.
    const EXACT: u64 = 1 << 53;
    if let Some(value) = store::element::integer(text)
        && value.unsigned_abs() < EXACT
    {
        return Some(value as f64);
    }
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+', rest @ ..] => (1.0, rest),
        _ => (1.0, text),
    };
    if let [b'0', b'x' | b'X', digits @ ..] = digits {
        return Some(sign * hexadecimal(digits)?);
    }
    let value = decimal(text)?;
    let mantissa = digits.split(|b| matches!(b, b'e' | b'E')).next();
    let is_zero = mantissa.is_some_and(|m| !m.iter().any(|b| matches!(b, b'1'..=b'9')));
    let is_named = matches!(digits.first(), Some(b'i' | b'I'));
    let in_range = (value != 0.0 || is_zero) && (value.is_finite() || is_named);
    in_range.then_some(value)
}

/// A decimal number or an infinity; what is out of range is infinite, or zero.
fn decimal(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Digits behind `0x`, with a point and an exponent of two if they have them.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let (mut bits, mut exponent): (u64, i64) = (0, 0);
    let (mut digits, mut after_point) = (0, false);
    let mut rest = text;
    while let [c, behind @ ..] = rest {
        match (*c as char).to_digit(16) {
            Some(digit) if bits >> 60 == 0 => bits = bits << 4 | u64::from(digit),
            // What does not fit can only break a tie.
            Some(digit) => {
                bits |= u64::from(digit != 0);
                exponent += 4;
            }
            None if *c == b'.' && !after_point => {
                after_point = true;
                rest = behind;
                continue;
            }
            None => break,
        }
        digits += 1;
        exponent -= i64::from(after_point) * 4;
        rest = behind;
    }
    if digits == 0 {
        return None;
    }
    if let [b'p' | b'P', power @ ..] = rest {
        let power = power.strip_prefix(b"+").unwrap_or(power);
        let (negative, power) = match power {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, power),
        };
        if power.is_empty() || !power.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let value = power
            .iter()
            .fold(0i64, |v, d| (v * 10 + i64::from(d - b'0')).min(1 << 40));
        exponent += if negative { -value } else { value };
    } else if !rest.is_empty() {
        return None;
    }
    let mut value = bits as f64;
    // In steps, as a power itself may be out of range.
    let mut left = exponent.clamp(-4000, 4000) as i32;
    while left != 0 {
        let step = left.clamp(-500, 500);
        value *= 2f64.powi(step);
        left -= step;
    }
    (value.is_finite() && (value != 0.0 || bits == 0)).then_some(value)
}

/// One end of a range of scores: a number, after `(` if it is not to be in the range itself. A number
/// ends at the first zero byte, and none is 0.
fn score_end(text: &[u8]) -> Option<End<f64>> {
    let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
    let number = |text: &[u8]| match text {
        [] => Some(0.0),
        text => decimal(text),
    };
    match &text[..end] {
        [b'(', text @ ..] => number(text).map(End::Excluded),
        text => number(text).map(End::Included),
    }
}

pub(super) fn scores(min: &[u8], max: &[u8]) -> Option<Between<f64>> {
    Some(Between {
        min: score_end(min)?,
        max: score_end(max)?,
    })
}

/// One end of a range of members; `open` is the sign of the side that this end opens.
fn member_end(text: &[u8], open: u8) -> Option<End<&[u8]>> {
    match text {
        [b'[', member @ ..] => Some(End::Included(member)),
        [b'(', member @ ..] => Some(End::Excluded(member)),
        [sign] if *sign == open => Some(End::Open),
        b"+" | b"-" => Some(End::Shut),
        _ => None,
    }
}

pub(super) fn members<'a>(min: &'a [u8], max: &'a [u8]) -> Option<Between<&'a [u8]>> {
    Some(Between {
        min: member_end(min, b'-')?,
        max: member_end(max, b'+')?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Redis 8.0 makes of ZADD's scores.
    #[test]
    fn scores_are_read_as_by_redis() {
        for (text, want) in [
            ("5", Some(5.0)),
            ("+5", Some(5.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e+5", Some(1e5)),
            ("-0", Some(0.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e-320", Some(1e-320)),
            ("0e99999", Some(0.0)),
            ("0x10", Some(16.0)),
            ("0x1p3", Some(8.0)),
            ("-0X.8", Some(-0.5)),
            ("0x0p99999", Some(0.0)),
            ("0x1fffffffffffff8000000001", Some(9.903520314283042e27)),
            ("9007199254740993", Some(9_007_199_254_740_992.0)),
            ("1e400", None),
            ("1e-400", None),
            ("0x1p99999", None),
            ("0x", None),
            ("0x1g", None),
            ("0x1p", None),
            ("nan", None),
            ("", None),
            (" 1", None),
            ("1 ", None),
            ("1_0", None),
            ("1e", None),
            (".", None),
            ("--1", None),
            ("inf\0", None),
        ] {
            assert_eq!(score(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn ends_are_read_as_by_redis() {
        let end = |text: &str| score_end(text.as_bytes());
        assert_eq!(end("1"), Some(End::Included(1.0)));
        assert_eq!(end("(1"), Some(End::Excluded(1.0)));
        assert_eq!(end(""), Some(End::Included(0.0)));
        assert_eq!(end("1\0x"), Some(End::Included(1.0)));
        assert_eq!(end("1e400"), Some(End::Included(f64::INFINITY)));
        for text in ["nan", "0x10", " 1", "((1", "1x"] {
            assert_eq!(end(text), None, "{text}");
        }
        assert_eq!(member_end(b"-", b'-'), Some(End::Open));
        assert_eq!(member_end(b"+", b'-'), Some(End::Shut));
        assert_eq!(member_end(b"[", b'-'), Some(End::Included(&b""[..])));
        assert_eq!(member_end(b"a", b'-'), None);
        assert_eq!(member_end(b"", b'-'), None);
        assert_eq!(member_end(b"-x", b'-'), None);
    }
}
