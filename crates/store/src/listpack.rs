//! Short elements one behind the other in one allocation, each in the bytes in which Redis's listpack
//! has it, so that dumping one is a copy.
//!
//! An entry is its head, which says kind and length, the bytes of a string, and at the end the length
//! of both, written so that it can be read backwards:
//!
//! ```text
//! 0vvvvvvv                      integer from 0 to 127
//! 10llllll bytes                string of up to 63 bytes
//! 110vvvvv v                    integer of 13 bits with its sign
//! 1110llll l bytes              string of up to 4095 bytes
//! 11110000 llll bytes           string of up to 2³² bytes, length in little endian
//! 111100nn v…                   integer of 16, 24, 32 or 64 bits for nnn 001 to 100, little endian
//! ```
//!
//! A text that is an integer's is kept as that integer. Redis wraps the entries in six bytes before and
//! one behind; those are made for the dump, and not kept.
//!
//! A position is the offset of an entry's first byte. It is good until the pack changes before it.

#[cfg(test)]
mod tests;

use crate::element::{Element, integer};
use crate::thin::Thin;

/// The offset of an element's entry.
pub type Pos = u32;

/// Bytes that say that they are a listpack and are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Bytes before the entries in Redis: all bytes (4), elements (2).
const HEADER: usize = 6;
/// Bytes around the entries in Redis.
const FRAME: usize = HEADER + 1;
const END: u8 = 0xff;
/// The header's count if it does not fit.
const MANY: usize = 0xffff;

/// Bytes of the length behind an entry of `len` bytes. The bounds are Redis's, one short of what the
/// bytes could hold.
#[inline]
fn tail_len(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Writes the length behind an entry: seven bits a byte, the highest first, all but the first marked.
fn write_tail(tail: &mut [u8], len: usize) {
    let mut left = len;
    for (i, byte) in tail.iter_mut().enumerate().rev() {
        let mark = if i == 0 { 0 } else { 0x80 };
        *byte = (left & 0x7f) as u8 | mark;
        left >>= 7;
    }
}

/// The length that ends with these bytes.
#[inline]
fn read_tail(bytes: &[u8]) -> Option<usize> {
    let mut len = 0;
    for (i, byte) in bytes.iter().rev().take(5).enumerate() {
        len |= ((byte & 0x7f) as usize) << (7 * i);
        if byte & 0x80 == 0 {
            return Some(len);
        }
    }
    None
}

/// An element, and the bytes of its entry without the length behind it, from the start of `bytes`.
#[inline]
fn read(bytes: &[u8]) -> Option<(Element<'_>, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let (head, len) = match first {
        0..=0x7f => return Some((Element::Int(i64::from(first)), 1)),
        0x80..=0xbf => (1, (first & 0x3f) as usize),
        0xc0..=0xdf => {
            let value = u16::from(first & 0x1f) << 8 | u16::from(*rest.first()?);
            // The sign is the highest of thirteen bits.
            let value = (value << 3) as i16 >> 3;
            return Some((Element::Int(i64::from(value)), 2));
        }
        0xe0..=0xef => (2, (first as usize & 0x0f) << 8 | *rest.first()? as usize),
        0xf0 => (5, u32::from_le_bytes(*rest.first_chunk()?) as usize),
        _ => return read_wide(first, rest),
    };
    let text = bytes.get(head..)?.get(..len)?;
    Some((Element::Bytes(text), head + len))
}

/// [`read`] for integers of whole bytes.
fn read_wide(first: u8, rest: &[u8]) -> Option<(Element<'_>, usize)> {
    let width = match first {
        0xf1..=0xf3 => (first - 0xf1) as usize + 2,
        0xf4 => 8,
        _ => return None,
    };
    let mut wide = [0; 8];
    wide[8 - width..].copy_from_slice(rest.get(..width)?);
    let value = i64::from_le_bytes(wide) >> (64 - 8 * width);
    Some((Element::Int(value), 1 + width))
}

/// An element as it will be written.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    head: [u8; 9],
    head_len: usize,
    text: &'a [u8],
}

impl<'a> Entry<'a> {
    #[inline]
    pub(crate) fn of(bytes: &'a [u8]) -> Entry<'a> {
        match integer(bytes) {
            Some(value) => Entry::int(value),
            None => Entry::text(bytes),
        }
    }

    fn text(text: &'a [u8]) -> Entry<'a> {
        let mut head = [0; 9];
        let len = text.len();
        let head_len = if len < 64 {
            head[0] = 0x80 | len as u8;
            1
        } else if len < 4096 {
            head[0] = 0xe0 | (len >> 8) as u8;
            head[1] = len as u8;
            2
        } else {
            head[0] = 0xf0;
            head[1..5].copy_from_slice(&(len as u32).to_le_bytes());
            5
        };
        Entry {
            head,
            head_len,
            text,
        }
    }

    #[inline]
    pub(crate) fn int(value: i64) -> Entry<'a> {
        let mut head = [0; 9];
        let head_len = if (0..128).contains(&value) {
            head[0] = value as u8;
            1
        } else if (-4096..4096).contains(&value) {
            head[0] = 0xc0 | (value >> 8) as u8 & 0x1f;
            head[1] = value as u8;
            2
        } else {
            let bits = 65 - (value ^ value >> 63).leading_zeros();
            let (kind, width) = match bits {
                0..=16 => (0xf1, 2),
                17..=24 => (0xf2, 3),
                25..=32 => (0xf3, 4),
                _ => (0xf4, 8),
            };
            head[0] = kind;
            head[1..].copy_from_slice(&value.to_le_bytes());
            1 + width
        };
        Entry {
            head,
            head_len,
            text: &[],
        }
    }

    /// Bytes with the length behind it.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let len = self.head_len + self.text.len();
        len + tail_len(len)
    }

    /// Writes it to a place that is as long as it.
    #[inline]
    pub(crate) fn write(&self, to: &mut [u8]) {
        let len = self.head_len + self.text.len();
        match self.head_len {
            1 => to[0] = self.head[0],
            n => to[..n].copy_from_slice(&self.head[..n]),
        }
        to[self.head_len..len].copy_from_slice(self.text);
        match &mut to[len..] {
            [byte] => *byte = len as u8,
            tail => write_tail(tail, len),
        }
    }
}

/// Entries wherever they are: all that can be asked of them. They are valid, so what the readers do
/// with others, which is to see an end, does not matter.
#[derive(Clone, Copy)]
pub(crate) struct Entries<'a>(pub(crate) &'a [u8]);

impl<'a> Entries<'a> {
    /// The element at a position, and the one behind it.
    #[inline]
    pub(crate) fn step(self, pos: usize) -> Option<(Element<'a>, usize)> {
        let (element, len) = read(self.0.get(pos..)?)?;
        Some((element, pos + len + tail_len(len)))
    }

    /// The position before another.
    #[inline]
    pub(crate) fn before(self, pos: usize) -> Option<usize> {
        let len = read_tail(self.0.get(..pos)?)?;
        pos.checked_sub(len + tail_len(len))
    }

    /// The position behind that of an element; the end if it is the last.
    #[inline]
    pub(crate) fn behind(self, pos: usize) -> usize {
        self.step(pos).map_or(self.0.len(), |(_, next)| next)
    }

    /// The position `n` elements behind another; the end if there are fewer.
    pub(crate) fn skip(self, pos: usize, n: usize) -> usize {
        let mut at = pos;
        for _ in 0..n {
            if at >= self.0.len() {
                break;
            }
            at = self.behind(at);
        }
        at
    }

    /// The position `n` elements before another, if there are as many.
    pub(crate) fn skip_back(self, pos: usize, n: usize) -> Option<usize> {
        (0..n).try_fold(pos, |at, _| self.before(at))
    }

    /// Elements from a position to the end.
    fn count(self, from: usize) -> usize {
        self.between(from, self.0.len()).count()
    }

    /// The element with an index below `len`, which is the number of all, from the closer end.
    #[inline]
    pub(crate) fn nth(self, index: usize, len: usize) -> usize {
        if index <= len / 2 {
            return self.skip(0, index);
        }
        self.skip_back(self.0.len(), len - index).unwrap_or(0)
    }

    #[inline]
    pub(crate) fn get(self, pos: usize) -> Element<'a> {
        match self.step(pos) {
            Some((element, _)) => element,
            None => Element::Bytes(&[]),
        }
    }

    #[inline]
    pub(crate) fn between(self, from: usize, to: usize) -> Iter<'a> {
        Iter {
            entries: self,
            from,
            to,
        }
    }
}

/// What many elements are compared with.
pub struct Needle<'a> {
    text: &'a [u8],
    value: Option<i64>,
}

impl<'a> Needle<'a> {
    pub fn new(text: &'a [u8]) -> Needle<'a> {
        let value = integer(text);
        Needle { text, value }
    }

    #[inline]
    pub fn is(&self, element: Element<'_>) -> bool {
        match element {
            Element::Int(value) => self.value == Some(value),
            Element::Bytes(bytes) => self.text == bytes,
        }
    }
}

/// The elements of a range, from both ends.
#[derive(Clone)]
pub struct Iter<'a> {
    entries: Entries<'a>,
    from: usize,
    to: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if self.from >= self.to {
            return None;
        }
        let (element, next) = self.entries.step(self.from)?;
        self.from = next;
        Some(element)
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    #[inline]
    fn next_back(&mut self) -> Option<Element<'a>> {
        if self.from >= self.to {
            return None;
        }
        self.to = self.entries.before(self.to)?;
        Some(self.entries.get(self.to))
    }
}

/// The note of its bytes is the number of elements.
#[derive(Clone, Default)]
pub struct Listpack(pub(crate) Thin);

impl Listpack {
    pub fn new() -> Listpack {
        Listpack::default()
    }

    /// Elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.note() as usize
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        self.0.memory()
    }

    /// Bytes that Redis's has, which is what limits are about.
    #[inline]
    pub fn bytes_len(&self) -> usize {
        self.0.len() + FRAME
    }

    #[inline]
    pub(crate) fn entries(&self) -> Entries<'_> {
        Entries(self.0.bytes())
    }

    /// A position, if it is that of an element.
    #[inline]
    fn inside(&self, pos: usize) -> Option<Pos> {
        (pos < self.0.len()).then_some(pos as Pos)
    }

    pub fn first(&self) -> Option<Pos> {
        self.inside(0)
    }

    pub fn last(&self) -> Option<Pos> {
        Some(self.entries().before(self.0.len())? as Pos)
    }

    /// The position of the element behind.
    #[inline]
    pub fn next(&self, pos: Pos) -> Option<Pos> {
        self.inside(self.entries().behind(pos as usize))
    }

    /// The position of the element before.
    #[inline]
    pub fn prev(&self, pos: Pos) -> Option<Pos> {
        Some(self.entries().before(pos as usize)? as Pos)
    }

    /// The position of the element with an index, which counts from the end if it is negative.
    pub fn seek(&self, index: i64) -> Option<Pos> {
        let len = self.len();
        let index = if index < 0 {
            len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
        } else {
            usize::try_from(index).ok()?
        };
        (index < len).then(|| self.entries().nth(index, len) as Pos)
    }

    /// The element at a position.
    #[inline]
    pub fn get(&self, pos: Pos) -> Element<'_> {
        self.entries().get(pos as usize)
    }

    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// The elements from a position to the end.
    #[inline]
    pub fn iter_from(&self, pos: Pos) -> Iter<'_> {
        self.entries().between(pos as usize, self.0.len())
    }

    /// The elements before a position.
    pub fn iter_before(&self, pos: Pos) -> Iter<'_> {
        self.entries().between(0, pos as usize)
    }

    /// Bytes that an element adds.
    pub fn encoded_len(bytes: &[u8]) -> usize {
        Entry::of(bytes).len()
    }

    #[inline]
    pub fn push_back(&mut self, bytes: &[u8]) {
        self.put(self.0.len(), 0, bytes);
        self.grow(1);
    }

    /// Puts several elements behind at once. They are told twice: to be measured and to be written.
    #[inline]
    pub(crate) fn push_all<'e>(&mut self, elements: impl Iterator<Item = Entry<'e>> + Clone) {
        let len = elements.clone().map(|e| e.len()).sum();
        let mut gap = self.0.open(self.0.len(), 0, len);
        let mut added = 0;
        for element in elements {
            let (place, rest) = gap.split_at_mut(element.len());
            element.write(place);
            gap = rest;
            added += 1;
        }
        self.grow(added);
    }

    /// Puts an integer into a position.
    #[inline]
    pub(crate) fn replace_int(&mut self, pos: usize, value: i64) {
        let entry = Entry::int(value);
        let behind = self.entries().behind(pos);
        entry.write(self.0.open(pos, behind - pos, entry.len()));
    }

    #[inline]
    pub fn push_front(&mut self, bytes: &[u8]) {
        self.insert_before(0, bytes);
    }

    /// Removes the first element and hands it to `then`.
    #[inline]
    pub fn pop_front<R>(&mut self, then: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let (element, next) = self.entries().step(0)?;
        let result = then(element);
        self.0.open(0, next, 0);
        self.0.set_note(self.0.note() - 1);
        Some(result)
    }

    /// Removes the last element and hands it to `then`.
    #[inline]
    pub fn pop_back<R>(&mut self, then: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let entries = self.entries();
        let pos = entries.before(entries.0.len())?;
        let result = then(entries.get(pos));
        self.truncate(pos as Pos, self.len() - 1);
        Some(result)
    }

    /// Inserts before the element at a position, which is then that of the new one.
    pub fn insert_before(&mut self, pos: Pos, bytes: &[u8]) {
        self.put(pos as usize, 0, bytes);
        self.grow(1);
    }

    /// Inserts behind the element at a position.
    pub fn insert_after(&mut self, pos: Pos, bytes: &[u8]) {
        let behind = self.entries().behind(pos as usize);
        self.put(behind, 0, bytes);
        self.grow(1);
    }

    /// Puts another element into a position.
    pub fn replace(&mut self, pos: Pos, bytes: &[u8]) -> Pos {
        let behind = self.entries().behind(pos as usize);
        self.put(pos as usize, behind - pos as usize, bytes);
        pos
    }

    /// Removes the element at a position, which is then that of the one behind it, or the end.
    pub fn remove(&mut self, pos: Pos) {
        self.delete_at(pos, 1);
    }

    /// Removes `n` elements, or as many as there are, from an index on, which counts from the end if it
    /// is negative.
    pub fn remove_range(&mut self, index: i64, n: usize) {
        if let Some(pos) = self.seek(index) {
            self.delete_at(pos, n);
        }
    }

    /// Removes `n` elements, or as many as there are, from a position on.
    pub fn delete_at(&mut self, pos: Pos, n: usize) {
        let mut end = pos as usize;
        let mut removed = 0;
        while removed < n && end < self.0.len() {
            end = self.entries().behind(end);
            removed += 1;
        }
        self.0.open(pos as usize, end - pos as usize, 0);
        self.0.set_note(self.0.note() - removed as u32);
    }

    /// Keeps the elements that `keep` says, which it is asked about in order; answers how many it
    /// removed.
    pub fn retain(&mut self, mut keep: impl FnMut(Element<'_>) -> bool) -> usize {
        let len = self.0.len();
        let (mut from, mut to, mut removed) = (0, 0, 0);
        while let Some((element, next)) = self.entries().step(from) {
            if keep(element) {
                if from != to {
                    self.0.bytes_mut().copy_within(from..next, to);
                }
                to += next - from;
            } else {
                removed += 1;
            }
            from = next;
        }
        self.0.open(to, len - to, 0);
        self.0.set_note(self.0.note() - removed);
        removed as usize
    }

    /// A pack of `len` entries that stand elsewhere.
    pub(crate) fn of_entries(entries: Entries<'_>, len: usize) -> Listpack {
        let mut pack = Listpack::new();
        pack.0.splice(0, 0, entries.0);
        pack.0.set_note(len as u32);
        pack
    }

    /// Cuts all from a position, or the end, on away, which leaves `len` elements.
    pub(crate) fn truncate(&mut self, pos: Pos, len: usize) {
        self.0.open(pos as usize, self.0.len() - pos as usize, 0);
        self.0.set_note(len as u32);
    }

    /// Puts all elements of another one behind.
    pub fn append(&mut self, other: &Listpack) {
        self.0.splice(self.0.len(), 0, other.0.bytes());
        self.grow(other.0.note());
    }

    /// Cuts off the elements from a position on.
    pub fn split_off(&mut self, pos: Pos) -> Listpack {
        let at = pos as usize;
        let mut rest = Listpack::new();
        let moved = self.entries().count(at) as u32;
        rest.0.splice(0, 0, &self.0.bytes()[at..]);
        rest.0.set_note(moved);
        self.0.open(at, self.0.len() - at, 0);
        self.0.set_note(self.0.note() - moved);
        rest
    }

    /// The first element with these bytes among the one at `from` and each `step`th behind it.
    pub fn find(&self, bytes: &[u8], from: Pos, step: usize) -> Option<Pos> {
        let needle = Needle::new(bytes);
        let entries = self.entries();
        let mut at = from as usize;
        while let Some((element, next)) = entries.step(at) {
            if needle.is(element) {
                return Some(at as Pos);
            }
            at = entries.skip(next, step.saturating_sub(1));
        }
        None
    }

    #[inline]
    fn put(&mut self, at: usize, removed: usize, bytes: &[u8]) {
        let entry = Entry::of(bytes);
        entry.write(self.0.open(at, removed, entry.len()));
    }

    #[inline]
    fn grow(&mut self, by: u32) {
        self.0.set_note(self.0.note() + by);
    }

    /// Reads what Redis calls a listpack, from bytes that may be anything.
    pub fn from_redis(bytes: &[u8]) -> Result<Listpack, Corrupt> {
        let (total, rest) = bytes.split_first_chunk::<4>().ok_or(Corrupt)?;
        let (count, rest) = rest.split_first_chunk::<2>().ok_or(Corrupt)?;
        let (&end, entries) = rest.split_last().ok_or(Corrupt)?;
        if u32::from_le_bytes(*total) as usize != bytes.len() || end != END {
            return Err(Corrupt);
        }
        let found = validate(entries)?;
        let count = u16::from_le_bytes(*count) as usize;
        if (count != found && count != MANY) || entries.len() > Thin::MAX {
            return Err(Corrupt);
        }
        let mut pack = Listpack::new();
        pack.0.splice(0, 0, entries);
        pack.0.set_note(found as u32);
        Ok(pack)
    }

    /// The bytes that Redis calls a listpack.
    pub fn to_redis(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes_len());
        self.append_redis_to(&mut bytes);
        bytes
    }

    /// The same behind other bytes.
    pub fn append_redis_to(&self, to: &mut Vec<u8>) {
        append_redis(self.0.bytes(), self.len(), to);
    }
}

/// The elements of entries.
pub fn elements(entries: &[u8]) -> Iter<'_> {
    Entries(entries).between(0, entries.len())
}

/// Puts `len` entries behind other bytes, as what Redis calls a listpack.
pub fn append_redis(entries: &[u8], len: usize, to: &mut Vec<u8>) {
    to.extend_from_slice(&((entries.len() + FRAME) as u32).to_le_bytes());
    to.extend_from_slice(&(len.min(MANY) as u16).to_le_bytes());
    to.extend_from_slice(entries);
    to.push(END);
}

/// Counts entries, all of whose lengths must be right from both sides.
fn validate(entries: &[u8]) -> Result<usize, Corrupt> {
    let mut left = entries;
    let mut found = 0;
    while !left.is_empty() {
        let (_, len) = read(left).ok_or(Corrupt)?;
        let tail = tail_len(len);
        let mut expected = [0; 5];
        write_tail(&mut expected[..tail], len);
        if left.get(len..len + tail) != Some(&expected[..tail]) {
            return Err(Corrupt);
        }
        left = &left[len + tail..];
        found += 1;
    }
    Ok(found)
}

impl PartialEq for Listpack {
    /// Whether the elements are the same ones, in whatever form.
    fn eq(&self, other: &Listpack) -> bool {
        self.len() == other.len()
            && (self.0.bytes() == other.0.bytes()
                || self
                    .iter()
                    .zip(other.iter())
                    .all(|(a, b)| a.with(|a| b.is(a))))
    }
}

impl Eq for Listpack {}

impl std::fmt::Debug for Listpack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |element: Element<'_>| String::from_utf8_lossy(&element.text()).into_owned();
        f.debug_list().entries(self.iter().map(text)).finish()
    }
}

impl<'a> Extend<&'a [u8]> for Listpack {
    fn extend<I: IntoIterator<Item = &'a [u8]>>(&mut self, elements: I) {
        elements.into_iter().for_each(|bytes| self.push_back(bytes));
    }
}
