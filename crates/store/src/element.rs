//! An element of a collection: bytes, or an integer that stands for its decimal text.

use std::borrow::Cow;

/// One element. Packed encodings keep the canonical text of an integer as that integer, so two
/// elements with the same bytes can be of different kinds only if one was built by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

/// The text of an integer, on the stack.
pub struct Digits {
    text: [u8; 20],
    from: usize,
}

impl Digits {
    pub fn of(value: i64) -> Digits {
        let mut text = [0; 20];
        let mut from = text.len();
        let mut left = value.unsigned_abs();
        loop {
            from -= 1;
            text[from] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if value < 0 {
            from -= 1;
            text[from] = b'-';
        }
        Digits { text, from }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.text[self.from..]
    }
}

/// The integer whose canonical text `bytes` is.
#[inline]
pub fn integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: u64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Nineteen digits fit.
        value = value * 10 + u64::from(digit);
    }
    if negative {
        0i64.checked_sub_unsigned(value)
    } else {
        i64::try_from(value).ok()
    }
}

impl<'a> Element<'a> {
    /// The element that packed encodings make of bytes.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Element<'a> {
        match integer(bytes) {
            Some(value) => Element::Int(value),
            None => Element::Bytes(bytes),
        }
    }

    pub fn text(&self) -> Cow<'a, [u8]> {
        match self {
            Element::Int(value) => Cow::Owned(Digits::of(*value).bytes().to_vec()),
            Element::Bytes(bytes) => Cow::Borrowed(bytes),
        }
    }

    /// Calls `f` with the bytes.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Element::Int(value) => f(Digits::of(*value).bytes()),
            Element::Bytes(bytes) => f(bytes),
        }
    }

    /// Length of the bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.with(|bytes| bytes.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the bytes are these.
    #[inline]
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.with(|own| own == bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_texts_are_integers_and_back() {
        for value in [0, 1, -1, 9, 10, -10, i64::MAX, i64::MIN, 1 << 40] {
            let text = value.to_string();
            let digits = Digits::of(value);
            assert_eq!(digits.bytes(), text.as_bytes());
            assert_eq!(integer(text.as_bytes()), Some(value));
        }
        for text in [
            "",
            "-",
            "-0",
            "00",
            "01",
            "+1",
            " 1",
            "1 ",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "1a",
        ] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }
}
