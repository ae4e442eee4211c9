//! Integers in order, all of the width that the widest has needed: 2, 4 or 8 bytes, little endian, as in
//! Redis's intset, so that dumping one is a copy.
//!
//! The width is not stored; it is the bytes over the number of integers. Redis wraps both in eight bytes
//! before the integers, which are made for the dump.

use crate::listpack::Corrupt;
use crate::thin::Thin;

/// Bytes before the integers in Redis: width (4), number (4).
const HEADER: usize = 8;

/// The note of its bytes is the number of integers.
#[derive(Clone, Default)]
pub struct Intset(pub(crate) Thin);

/// Bytes that an integer needs.
#[inline]
fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

/// An integer of `W` bytes.
#[inline]
fn read<const W: usize>(bytes: &[u8]) -> i64 {
    let mut wide = [0; 8];
    wide[8 - W..].copy_from_slice(&bytes[..W]);
    i64::from_le_bytes(wide) >> (64 - 8 * W)
}

/// Integer `index` of those with the width.
#[inline]
fn get(bytes: &[u8], width: usize, index: usize) -> i64 {
    let bytes = &bytes[index * width..];
    match width {
        2 => read::<2>(bytes),
        4 => read::<4>(bytes),
        _ => read::<8>(bytes),
    }
}

/// Where a value is, or where it belongs.
fn search<const W: usize>(bytes: &[u8], value: i64) -> Result<usize, usize> {
    let at = |index: usize| read::<W>(&bytes[index * W..]);
    let (mut low, mut high) = (0, bytes.len() / W);
    // What is added is often the highest.
    if high > 0 && at(high - 1) < value {
        return Err(high);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match at(middle).cmp(&value) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Ok(middle),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Err(low)
}

impl Intset {
    pub fn new() -> Intset {
        Intset::default()
    }

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

    /// Bytes that Redis's has.
    pub fn bytes_len(&self) -> usize {
        HEADER + self.0.len()
    }

    #[inline]
    fn width(&self) -> usize {
        match self.len() {
            0 => 2,
            len => self.0.len() / len,
        }
    }

    /// Integer `index` in order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        (index < self.len()).then(|| get(self.0.bytes(), self.width(), index))
    }

    #[inline]
    fn find(&self, value: i64) -> Result<usize, usize> {
        let bytes = self.0.bytes();
        match self.width() {
            2 => search::<2>(bytes, value),
            4 => search::<4>(bytes, value),
            _ => search::<8>(bytes, value),
        }
    }

    #[inline]
    pub fn contains(&self, value: i64) -> bool {
        self.find(value).is_ok()
    }

    /// Adds an integer; false if it is there.
    pub fn insert(&mut self, value: i64) -> bool {
        let width = self.width().max(width_of(value));
        let at = if width > self.width() {
            self.widen(width);
            // It is lower or higher than all that fit in fewer bytes.
            if value < 0 { 0 } else { self.len() }
        } else {
            match self.find(value) {
                Ok(_) => return false,
                Err(at) => at,
            }
        };
        let len = self.0.note() + 1;
        let bytes = value.to_le_bytes();
        self.0.splice(at * width, 0, &bytes[..width]);
        self.0.set_note(len);
        true
    }

    /// Gives each integer more bytes.
    fn widen(&mut self, width: usize) {
        let (old, len) = (self.width(), self.len());
        let size = self.0.len();
        self.0.open(size, 0, len * (width - old));
        let bytes = self.0.bytes_mut();
        // From the last one on, so that none is overwritten before it has moved.
        for index in (0..len).rev() {
            let value = get(bytes, old, index).to_le_bytes();
            bytes[index * width..][..width].copy_from_slice(&value[..width]);
        }
    }

    /// Takes an integer out; false if there is none.
    pub fn remove(&mut self, value: i64) -> bool {
        match self.find(value) {
            Ok(index) => {
                self.remove_at(index);
                true
            }
            Err(_) => false,
        }
    }

    /// Takes out integer `index`.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn remove_at(&mut self, index: usize) {
        let (len, width) = (self.len(), self.width());
        assert!(index < len);
        if len == 1 {
            self.0 = Thin::new();
            return;
        }
        self.0.splice(index * width, width, &[]);
        self.0.set_note(len as u32 - 1);
    }

    /// The integers in order.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            bytes: self.0.bytes(),
            width: self.width(),
        }
    }

    /// Reads what Redis calls an intset, from bytes that may be anything.
    pub fn from_redis(bytes: &[u8]) -> Result<Intset, Corrupt> {
        let (width, rest) = bytes.split_first_chunk::<4>().ok_or(Corrupt)?;
        let (len, rest) = rest.split_first_chunk::<4>().ok_or(Corrupt)?;
        let width = u32::from_le_bytes(*width) as usize;
        let len = u32::from_le_bytes(*len);
        let is_width = matches!(width, 2 | 4 | 8);
        let size = (len as usize).checked_mul(width);
        if !is_width || size != Some(rest.len()) || len == 0 || rest.len() > Thin::MAX {
            return Err(Corrupt);
        }
        let mut set = Intset::new();
        set.0.splice(0, 0, rest);
        set.0.set_note(len);
        if set.iter().is_sorted_by(|a, b| a < b) {
            Ok(set)
        } else {
            Err(Corrupt)
        }
    }

    /// The bytes that Redis calls an intset.
    pub fn to_redis(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes_len());
        self.append_redis_to(&mut bytes);
        bytes
    }

    /// The same behind other bytes.
    pub fn append_redis_to(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&(self.width() as u32).to_le_bytes());
        to.extend_from_slice(&self.0.note().to_le_bytes());
        to.extend_from_slice(self.0.bytes());
    }
}

/// Integers in order.
#[derive(Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl Iterator for Iter<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        let (_, rest) = self.bytes.split_at_checked(self.width)?;
        let value = get(self.bytes, self.width, 0);
        self.bytes = rest;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn value() -> impl Strategy<Value = i64> {
        prop_oneof![
            4 => -5..5i64,
            1 => any::<i16>().prop_map(i64::from),
            1 => any::<i32>().prop_map(i64::from),
            1 => any::<i64>(),
            1 => prop::sample::select(vec![
                i64::MIN, i64::MAX, -1 << 31, (1 << 31) - 1, 1 << 31, -32768, 32767, 32768, -32769,
            ]),
        ]
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_set(
            values in prop::collection::vec((value(), any::<bool>()), 0..200),
            seldom_wide in any::<bool>(),
        ) {
            let (mut set, mut model) = (Intset::new(), BTreeSet::new());
            for (value, insert) in values {
                let value = if seldom_wide && value % 16 != 0 { value % 100 } else { value };
                if insert {
                    prop_assert_eq!(set.insert(value), model.insert(value));
                } else {
                    prop_assert_eq!(set.remove(value), model.remove(&value));
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.contains(value), insert);
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
            for (index, value) in model.iter().enumerate() {
                prop_assert_eq!(set.get(index), Some(*value));
            }
            prop_assert_eq!(set.get(model.len()), None);
            if !model.is_empty() {
                let copy = Intset::from_redis(&set.to_redis()).expect("it is valid");
                prop_assert_eq!(copy.to_redis(), set.to_redis());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..64),
            width in prop::sample::select(vec![0u8, 2, 4, 8]),
            len in 0..8u8,
        ) {
            if bytes.len() >= 8 && width > 0 {
                bytes[..8].copy_from_slice(&[width, 0, 0, 0, len, 0, 0, 0]);
                bytes.truncate(8 + usize::from(width * len));
            }
            if let Ok(set) = Intset::from_redis(&bytes) {
                prop_assert_eq!(set.to_redis(), bytes);
                prop_assert!(set.iter().all(|v| set.contains(v)));
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_redis() {
        let mut set = Intset::new();
        for value in [3, -1, 200] {
            set.insert(value);
        }
        let narrow = [2, 0, 0, 0, 3, 0, 0, 0, 0xff, 0xff, 3, 0, 200, 0];
        assert_eq!(set.to_redis(), narrow);
        set.insert(70_000);
        assert_eq!(
            set.to_redis()[..12],
            [4, 0, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255]
        );
        // It does not become narrower again.
        set.remove(70_000);
        assert_eq!(set.to_redis()[0], 4);
    }

    #[test]
    fn what_is_no_intset_is_refused() {
        let good = [2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 2, 0];
        assert!(Intset::from_redis(&good).is_ok());
        for (at, byte) in [(0, 3), (0, 4), (4, 1), (4, 3), (7, 1), (8, 2), (8, 3)] {
            let mut bad = good;
            bad[at] = byte;
            assert!(Intset::from_redis(&bad).is_err(), "{at}");
        }
        assert!(Intset::from_redis(&good[..11]).is_err());
        assert!(Intset::from_redis(&[2, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
