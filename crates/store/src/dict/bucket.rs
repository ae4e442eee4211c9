//! A bucket: some elements in one allocation.
//!
//! ```text
//! tags (1 each, room for a multiple of 8) | sizes (as many) | record | record | …
//! ```
//!
//! A tag is eight bits of the hash, and eight of them are compared at once. A size byte has the bytes of
//! the record below its highest bit, so that records are found by adding sizes, eight at a time too.
//! The highest bit says what the record is:
//!
//! ```text
//! 0: key                                        an element without payload, as all of a set are
//! 1: key length (1) | key | payload
//! 1: 255 | id (4)                               it stands outside, see `long`
//! ```

use super::long::Longs;
use crate::hashing::hash;
use crate::thin::Thin;

/// Tags that are compared at once.
const GROUP: usize = 8;
/// The bit of a size byte.
const PAIR: u8 = 0x80;
/// Longest record.
const RECORD_MAX: usize = 0x7f;
/// In the place of a key's length.
const LONG: u8 = 255;

const LOW: u64 = 0x0101_0101_0101_0101;
const SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;

#[derive(Clone, Default)]
pub struct Bucket(Thin);

/// Where a record is in its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    index: u32,
    offset: u32,
}

#[derive(Clone, Copy)]
pub enum Record<'a> {
    Inline { key: &'a [u8], payload: &'a [u8] },
    Long(u32),
}

impl Record<'_> {
    fn hash(self, longs: &Longs) -> u64 {
        match self {
            Record::Inline { key, .. } => hash(key),
            Record::Long(id) => hash(longs.key(id)),
        }
    }
}

#[inline]
fn room(len: usize) -> usize {
    len.next_multiple_of(GROUP)
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|b| b.first_chunk()) {
        Some(word) => u64::from_le_bytes(*word),
        None => 0,
    }
}

/// The sum of the records' sizes among eight size bytes.
#[inline]
fn sum(sizes: u64) -> usize {
    const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
    let sizes = sizes & SEVEN;
    let pairs = (sizes & EVEN) + (sizes >> 8 & EVEN);
    (pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48) as usize
}

/// The record that `bytes` are, by the highest bit of its size.
#[inline]
fn decode(bytes: &[u8], size: u8) -> Record<'_> {
    if size & PAIR == 0 {
        return Record::Inline {
            key: bytes,
            payload: &[],
        };
    }
    match bytes {
        [LONG, a, b, c, d] => Record::Long(u32::from_le_bytes([*a, *b, *c, *d])),
        [len, rest @ ..] => {
            let (key, payload) = rest.split_at(usize::from(*len));
            Record::Inline { key, payload }
        }
        [] => unreachable!("such a record has a first byte"),
    }
}

impl Bucket {
    /// Whether an element may stand in a bucket.
    #[inline]
    pub fn takes(key: &[u8], payload: &[u8]) -> bool {
        let size = key.len() + payload.len() + usize::from(!payload.is_empty());
        size <= RECORD_MAX
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.0.note() as usize
    }

    pub fn memory(&self) -> usize {
        self.0.memory()
    }

    /// Where record `index` is.
    #[inline]
    pub fn place(&self, index: usize) -> Place {
        let bytes = self.0.bytes();
        let room = room(self.len());
        let mut offset = 2 * room;
        let mut at = room;
        let mut left = index;
        while left >= GROUP {
            offset += sum(word(bytes, at));
            at += GROUP;
            left -= GROUP;
        }
        let below = (1u64 << (8 * left)) - 1;
        offset += sum(word(bytes, at) & below);
        Place {
            index: index as u32,
            offset: offset as u32,
        }
    }

    /// The size byte of a record.
    #[inline]
    fn size(&self, index: usize) -> u8 {
        self.0.bytes()[room(self.len()) + index]
    }

    #[inline]
    pub fn record(&self, place: Place) -> Record<'_> {
        let size = self.size(place.index as usize);
        let from = place.offset as usize;
        decode(&self.0.bytes()[from..][..usize::from(size & !PAIR)], size)
    }

    /// The record with this tag that `is_it` knows.
    #[inline]
    pub fn find(&self, tag: u8, mut is_it: impl FnMut(Record<'_>) -> bool) -> Option<Place> {
        let bytes = self.0.bytes();
        let len = self.len();
        let tags = LOW * u64::from(tag);
        let mut from = 0;
        while from < len {
            let differ = word(bytes, from) ^ tags;
            // The highest bit of each byte that is zero: no carry leaves a byte.
            let mut same = !(((differ & SEVEN) + SEVEN) | differ | SEVEN);
            while same != 0 {
                let index = from + same.trailing_zeros() as usize / 8;
                if index >= len {
                    return None;
                }
                let place = self.place(index);
                if is_it(self.record(place)) {
                    return Some(place);
                }
                same &= same - 1;
            }
            from += GROUP;
        }
        None
    }

    /// Adds an element that the bucket [takes](Bucket::takes).
    #[inline]
    pub fn push(&mut self, tag: u8, key: &[u8], payload: &[u8]) {
        if payload.is_empty() {
            self.open(tag, 0, key.len()).copy_from_slice(key);
            return;
        }
        let gap = self.open(tag, PAIR, 1 + key.len() + payload.len());
        gap[0] = key.len() as u8;
        let (first, second) = gap[1..].split_at_mut(key.len());
        first.copy_from_slice(key);
        second.copy_from_slice(payload);
    }

    pub fn push_long(&mut self, tag: u8, id: u32) {
        let gap = self.open(tag, PAIR, 5);
        gap[0] = LONG;
        gap[1..].copy_from_slice(&id.to_le_bytes());
    }

    /// Makes room for a record of `size` bytes behind the others.
    #[inline]
    fn open(&mut self, tag: u8, flag: u8, size: usize) -> &mut [u8] {
        debug_assert!(size <= RECORD_MAX);
        let len = self.len();
        let old = self.0.len();
        let mut room = room(len);
        if room == len {
            self.0.open(old, 0, size + 2 * GROUP);
            let bytes = self.0.bytes_mut();
            bytes.copy_within(2 * room..old, 2 * (room + GROUP));
            bytes.copy_within(room..2 * room, room + GROUP);
            bytes[room..room + GROUP].fill(0);
            bytes[2 * room + GROUP..2 * (room + GROUP)].fill(0);
            room += GROUP;
        } else {
            self.0.open(old, 0, size);
        }
        self.0.set_note(len as u32 + 1);
        let bytes = self.0.bytes_mut();
        bytes[len] = tag;
        bytes[room + len] = flag | size as u8;
        let from = bytes.len() - size;
        &mut bytes[from..]
    }

    /// The payload of a record that is not a long one.
    pub fn payload_mut(&mut self, place: Place) -> &mut [u8] {
        let size = self.size(place.index as usize);
        let from = place.offset as usize;
        let record = &mut self.0.bytes_mut()[from..][..usize::from(size & !PAIR)];
        if size & PAIR == 0 {
            return &mut [];
        }
        let skip = 1 + usize::from(record[0]);
        &mut record[skip..]
    }

    /// Takes a record out; what a long one has outside is left.
    pub fn remove(&mut self, place: Place) {
        let (len, old) = (self.len(), self.0.len());
        if len == 1 {
            self.0 = Thin::new();
            return;
        }
        let index = place.index as usize;
        let offset = place.offset as usize;
        let size = usize::from(self.size(index) & !PAIR);
        let (before, after) = (room(len), room(len - 1));
        let bytes = self.0.bytes_mut();
        bytes.copy_within(index + 1..len, index);
        bytes[len - 1] = 0;
        bytes.copy_within(before + index + 1..before + len, before + index);
        bytes[before + len - 1] = 0;
        bytes.copy_within(offset + size..old, offset);
        let mut new = old - size;
        if after < before {
            bytes.copy_within(before..before + after, after);
            bytes.copy_within(2 * before..new, 2 * after);
            new -= 2 * GROUP;
        }
        self.0.open(new, old - new, 0);
        self.0.set_note(len as u32 - 1);
    }

    /// All records, in order.
    pub fn records(&self) -> Records<'_> {
        let bytes = self.0.bytes();
        let room = room(self.len());
        let (head, rest) = bytes.split_at(2 * room);
        Records {
            sizes: &head[room..][..self.len()],
            rest,
        }
    }

    /// Leaves the records whose hash has a 0 at `bit`, counted from the top, and answers a bucket of
    /// the others.
    pub fn split(&mut self, bit: u32, longs: &Longs) -> Bucket {
        let upper: Vec<bool> = self
            .records()
            .map(|record| record.hash(longs) << bit >> 63 == 1)
            .collect();
        let high = self.gather(|i| upper[i]);
        *self = self.gather(|i| !upper[i]);
        high
    }

    /// A bucket of the records that `pick` names, by index.
    fn gather(&self, pick: impl Fn(usize) -> bool) -> Bucket {
        let old = self.0.bytes();
        let old_room = room(self.len());
        let sizes = &old[old_room..][..self.len()];
        let (mut len, mut size) = (0, 0);
        for (i, s) in sizes.iter().enumerate().filter(|(i, _)| pick(*i)) {
            debug_assert!(i < self.len());
            len += 1;
            size += usize::from(s & !PAIR);
        }
        if len == 0 {
            return Bucket::default();
        }
        let mut thin = Thin::new();
        let room = room(len);
        let bytes = thin.open(0, 0, 2 * room + size);
        let (mut n, mut from, mut to) = (0, 2 * old_room, 2 * room);
        for (i, s) in sizes.iter().enumerate() {
            let size = usize::from(s & !PAIR);
            if pick(i) {
                bytes[n] = old[i];
                bytes[room + n] = *s;
                bytes[to..to + size].copy_from_slice(&old[from..from + size]);
                n += 1;
                to += size;
            }
            from += size;
        }
        thin.set_note(len as u32);
        Bucket(thin)
    }

    /// Adds the records of another bucket behind its own.
    pub fn join(&mut self, other: Bucket) {
        if other.len() == 0 {
            return;
        }
        if self.len() == 0 {
            *self = other;
            return;
        }
        let parts = [&*self, &other];
        let len: usize = parts.iter().map(|b| b.len()).sum();
        let size: usize = parts.iter().map(|b| b.0.len() - 2 * room(b.len())).sum();
        let room_now = room(len);
        let mut thin = Thin::new();
        let bytes = thin.open(0, 0, 2 * room_now + size);
        let (mut n, mut to) = (0, 2 * room_now);
        for part in parts {
            let (head, records) = part.0.bytes().split_at(2 * room(part.len()));
            let (tags, sizes) = head.split_at(room(part.len()));
            bytes[n..n + part.len()].copy_from_slice(&tags[..part.len()]);
            bytes[room_now + n..][..part.len()].copy_from_slice(&sizes[..part.len()]);
            bytes[to..to + records.len()].copy_from_slice(records);
            n += part.len();
            to += records.len();
        }
        thin.set_note(len as u32);
        self.0 = thin;
    }
}

/// The records of a bucket.
#[derive(Clone, Default)]
pub struct Records<'a> {
    sizes: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        let (size, sizes) = self.sizes.split_first()?;
        let (record, rest) = self.rest.split_at(usize::from(size & !PAIR));
        (self.sizes, self.rest) = (sizes, rest);
        Some(decode(record, *size))
    }
}
