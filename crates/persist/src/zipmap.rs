//! Reads zipmaps, the small hashes of Redis before 2.6.
//!
//! ```text
//! fields (1) | length | field | length | free (1) | value | free bytes | … | 0xff
//! ```
//!
//! A length is a byte, or 0xfe and four bytes in little endian. 254 fields or more are not counted.

use crate::error::{Error, corrupt};

const END: u8 = 0xff;
const MANY: usize = 254;

/// Fields and values in turn, which were found to be valid.
pub struct Zipmap<'a>(&'a [u8]);

type Pair<'a> = (&'a [u8], &'a [u8]);

fn text(bytes: &[u8], has_free: bool) -> Option<Pair<'_>> {
    let (&first, rest) = bytes.split_first()?;
    let (len, rest) = match first {
        END => return None,
        0xfe => {
            let (len, rest) = rest.split_first_chunk()?;
            (u32::from_le_bytes(*len) as usize, rest)
        }
        short => (usize::from(short), rest),
    };
    let (free, rest) = match has_free {
        true => rest
            .split_first()
            .map(|(free, rest)| (usize::from(*free), rest))?,
        false => (0, rest),
    };
    let (text, rest) = rest.split_at_checked(len)?;
    Some((text, rest.get(free..)?))
}

/// A field with its value, and the bytes behind them.
fn pair(bytes: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let (field, rest) = text(bytes, false)?;
    let (value, rest) = text(rest, true)?;
    Some(((field, value), rest))
}

impl<'a> Zipmap<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Zipmap<'a>, Error> {
        check(bytes).ok_or_else(|| corrupt("a zipmap"))
    }
}

fn check(bytes: &[u8]) -> Option<Zipmap<'_>> {
    let (&said, rest) = bytes.split_first()?;
    let (mut left, mut len) = (rest, 0);
    while left != [END] {
        left = pair(left)?.1;
        len += 1;
    }
    let said = usize::from(said);
    (said >= MANY || said == len).then_some(Zipmap(&rest[..rest.len() - 1]))
}

impl<'a> Iterator for Zipmap<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let (pair, rest) = pair(self.0)?;
        self.0 = rest;
        Some(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two fields, of which the second's value has two free bytes behind it.
    const MAP: &[u8] = b"\x02\x01a\x03\0one\x02bb\x01\x02x--\xff";

    #[test]
    fn fields_are_read_in_order() {
        let pairs: Vec<_> = Zipmap::new(MAP).expect("it is valid").collect();
        assert_eq!(pairs, [(&b"a"[..], &b"one"[..]), (b"bb", b"x")]);
        assert_eq!(Zipmap::new(b"\0\xff").expect("it is empty").count(), 0);
        let long = [&b"\xfe\xfe\x05\0\0\0abcde\xfe\x01\0\0\0\0v\xff"[..]].concat();
        let pairs: Vec<_> = Zipmap::new(&long).expect("it is valid").collect();
        assert_eq!(pairs, [(&b"abcde"[..], &b"v"[..])]);
    }

    #[test]
    fn what_is_no_zipmap_is_refused() {
        for len in 0..MAP.len() {
            assert!(Zipmap::new(&MAP[..len]).is_err(), "{len}");
        }
        let changes = [
            (0, 1),
            (0, 3),
            (1, 0),
            (1, 200),
            (4, 1),
            (8, 9),
            (12, 3),
            (12, 1),
        ];
        for (at, byte) in changes {
            let mut bad = MAP.to_vec();
            bad[at] = byte;
            assert!(Zipmap::new(&bad).is_err(), "{at}");
        }
        assert!(Zipmap::new(&[MAP, b"x"].concat()).is_err());
    }
}
