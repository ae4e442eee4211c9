//! Reads ziplists, which Redis wrote before it had listpacks.
//!
//! ```text
//! bytes (4) | last entry (4) | entries (2) | entry … | 0xff
//!
//! entry: length of the one before (1, or 0xfe and 4) | head | bytes
//!
//! 00llllll                    string of up to 63 bytes
//! 01llllll l                  string of up to 16383 bytes
//! 10...... llll               string, length in big endian
//! 11000000 11010000 11100000  integer of 2, 4, 8 bytes, little endian
//! 11110000 11111110           integer of 3 bytes, of 1
//! 1111vvvv                    integer from 0 to 12, one less than the four bits
//! ```

use crate::error::{Error, corrupt};
use store::Element;

const HEADER: usize = 10;
const END: u8 = 0xff;
/// The number of entries if it does not fit.
const MANY: usize = 0xffff;

/// Entries that were found to be valid.
#[derive(Clone)]
pub struct Ziplist<'a> {
    entries: &'a [u8],
    len: usize,
}

/// An entry: the length it says that the one before has, what it holds, and the bytes behind it.
struct Entry<'a> {
    before: usize,
    element: Element<'a>,
    rest: &'a [u8],
}

fn entry(bytes: &[u8]) -> Option<Entry<'_>> {
    let (&before, rest) = bytes.split_first()?;
    let (before, rest) = match before {
        0xff => return None,
        0xfe => {
            let (before, rest) = rest.split_first_chunk()?;
            (u32::from_le_bytes(*before) as usize, rest)
        }
        short => (usize::from(short), rest),
    };
    let (&head, rest) = rest.split_first()?;
    let (len, rest) = match head >> 6 {
        0 => (usize::from(head), rest),
        1 => {
            let (&low, rest) = rest.split_first()?;
            (usize::from(head & 0x3f) << 8 | usize::from(low), rest)
        }
        2 => {
            let (len, rest) = rest.split_first_chunk()?;
            (u32::from_be_bytes(*len) as usize, rest)
        }
        _ => {
            let (value, rest) = integer(head, rest)?;
            let element = Element::Int(value);
            return Some(Entry {
                before,
                element,
                rest,
            });
        }
    };
    let (text, rest) = rest.split_at_checked(len)?;
    let element = Element::Bytes(text);
    Some(Entry {
        before,
        element,
        rest,
    })
}

fn integer(head: u8, rest: &[u8]) -> Option<(i64, &[u8])> {
    let width = match head {
        0xc0 => 2,
        0xd0 => 4,
        0xe0 => 8,
        0xf0 => 3,
        0xfe => 1,
        0xf1..=0xfd => return Some((i64::from(head & 0x0f) - 1, rest)),
        _ => return None,
    };
    let (bytes, rest) = rest.split_at_checked(width)?;
    let mut wide = [0; 8];
    wide[8 - width..].copy_from_slice(bytes);
    Some((i64::from_le_bytes(wide) >> (64 - 8 * width), rest))
}

impl<'a> Ziplist<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Ziplist<'a>, Error> {
        check(bytes).ok_or_else(|| corrupt("a ziplist"))
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

/// Walks over everything; nothing if something is not as it must be.
fn check(bytes: &[u8]) -> Option<Ziplist<'_>> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let (&end, entries) = rest.split_last()?;
    let word = |at: usize| header[at..].first_chunk().map(|b| u32::from_le_bytes(*b));
    if word(0)? as usize != bytes.len() || end != END {
        return None;
    }
    let (mut left, mut len, mut before, mut last) = (entries, 0, 0, HEADER);
    while !left.is_empty() {
        let found = entry(left)?;
        if found.before != before {
            return None;
        }
        last = HEADER + entries.len() - left.len();
        before = left.len() - found.rest.len();
        left = found.rest;
        len += 1;
    }
    let said = usize::from(u16::from_le_bytes([header[8], header[9]]));
    let as_said = said == MANY || said == len;
    (word(4)? as usize == last && as_said).then_some(Ziplist { entries, len })
}

impl<'a> Iterator for Ziplist<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        if self.entries.is_empty() {
            return None;
        }
        let found = entry(self.entries)?;
        self.entries = found.rest;
        self.len = self.len.saturating_sub(1);
        Some(found.element)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A ziplist of these elements, each with its head.
    pub(crate) fn build(elements: &[&[u8]]) -> Vec<u8> {
        let (mut entries, mut before) = (Vec::new(), 0);
        let mut last = HEADER;
        for element in elements {
            last = HEADER + entries.len();
            let from = entries.len();
            match before {
                0..254 => entries.push(before as u8),
                _ => {
                    entries.push(0xfe);
                    entries.extend((before as u32).to_le_bytes());
                }
            }
            entries.extend_from_slice(element);
            before = entries.len() - from;
        }
        let mut bytes = Vec::new();
        bytes.extend((entries.len() as u32 + 11).to_le_bytes());
        bytes.extend((last as u32).to_le_bytes());
        bytes.extend((elements.len() as u16).to_le_bytes());
        bytes.extend(entries);
        bytes.push(END);
        bytes
    }

    /// A string with its head.
    pub(crate) fn text(bytes: &[u8]) -> Vec<u8> {
        let len = bytes.len();
        let head = match len {
            0..64 => vec![len as u8],
            64..16384 => vec![0x40 | (len >> 8) as u8, len as u8],
            _ => [&[0x80][..], &(len as u32).to_be_bytes()].concat(),
        };
        [&head, bytes].concat()
    }

    #[test]
    fn every_kind_of_entry_is_read() {
        let long = vec![b'l'; 300];
        let longer = vec![b'm'; 20_000];
        let elements = [
            text(b""),
            text(b"hello"),
            text(&long),
            text(&longer),
            vec![0xf1],
            vec![0xfd],
            vec![0xfe, 0x80],
            vec![0xc0, 0xff, 0x7f],
            vec![0xf0, 0xff, 0xff, 0xff],
            vec![0xd0, 0, 0, 0, 0x80],
            vec![0xe0, 1, 0, 0, 0, 0, 0, 0, 0x80],
        ];
        let bytes = build(&elements.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let list = Ziplist::new(&bytes).expect("it is valid");
        assert_eq!(list.len(), elements.len());
        let found: Vec<_> = list.collect();
        let want = [
            Element::Bytes(b""),
            Element::Bytes(b"hello"),
            Element::Bytes(&long),
            Element::Bytes(&longer),
            Element::Int(0),
            Element::Int(12),
            Element::Int(-128),
            Element::Int(32767),
            Element::Int(-1),
            Element::Int(-(1 << 31)),
            Element::Int(i64::MIN + 1),
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn what_is_no_ziplist_is_refused() {
        let good = build(&[&text(b"ab"), &text(b"c")]);
        assert!(Ziplist::new(&good).is_ok());
        assert!(Ziplist::new(&build(&[])).is_ok());
        for at in 0..good.len() {
            // The text itself, and what counts as "too many to count".
            if (12..14).contains(&at) || at == 16 {
                continue;
            }
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Ziplist::new(&bad).is_err(), "{at}");
            assert!(Ziplist::new(&good[..at]).is_err(), "{at}");
        }
    }
}
