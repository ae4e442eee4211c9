//! Which leaf a member is in: a hash table that holds no members.
//!
//! An entry is eight bytes, 32 bits of the member's hash and the leaf's number. Whoever looks for a member
//! gets the leaves that entries with its hash name, which is nearly always one, and looks there.
//!
//! A bucket is an allocation of just its entries. The table grows by linear hashing: one bucket at a time
//! is cut in two, by the next bit of the hashes. The lowest bits choose the bucket, so with the bits in
//! reverse, each bucket is a range of hashes, and cutting one keeps the order of the ranges. That makes a
//! reversed hash a cursor: what is before it was seen, whatever was cut or joined since.

use super::slots::Slots;
use crate::hashing;
use crate::thin::Thin;

/// Entries per bucket when the table grows.
const FULL: usize = 16;
/// Entries per bucket when it shrinks.
const SPARSE: usize = 6;

const ENTRY: usize = 8;

/// What the table knows of a member: a part of the hash of its bytes.
pub(super) type Mark = u32;

#[inline]
pub(super) fn mark(member: &[u8]) -> Mark {
    (hashing::hash(member) >> 32) as Mark
}

#[derive(Clone)]
pub(super) struct Members {
    buckets: Slots<Thin>,
    /// 2^`level` buckets, and one more for each of the first `cut` of them.
    level: u32,
    cut: usize,
    len: usize,
}

fn entry(mark: Mark, leaf: u32) -> [u8; ENTRY] {
    (u64::from(leaf) << 32 | u64::from(mark)).to_le_bytes()
}

fn entries(bucket: &Thin) -> impl DoubleEndedIterator<Item = (Mark, u32)> + ExactSizeIterator {
    bucket.bytes().chunks_exact(ENTRY).map(|bytes| {
        let mut word = [0; ENTRY];
        word.copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        (word as u32, (word >> 32) as u32)
    })
}

fn push(bucket: &mut Thin, mark: Mark, leaf: u32) {
    bucket.splice(bucket.len(), 0, &entry(mark, leaf));
}

impl Members {
    pub(super) fn new() -> Members {
        let mut buckets = Slots::new();
        buckets.put(Thin::new());
        Members {
            buckets,
            level: 0,
            cut: 0,
            len: 0,
        }
    }

    /// Buckets.
    pub(super) fn count(&self) -> usize {
        (1 << self.level) + self.cut
    }

    /// The bucket of a hash, and how many of its bits chose it.
    #[inline]
    fn bucket(&self, mark: Mark) -> (u32, u32) {
        let low = mark as usize & ((1 << self.level) - 1);
        if low < self.cut {
            let bits = self.level + 1;
            (mark & (((1u64 << bits) - 1) as u32), bits)
        } else {
            (low as u32, self.level)
        }
    }

    /// The leaves that may have a member with this hash.
    #[inline]
    pub(super) fn leaves(&self, mark: Mark) -> impl Iterator<Item = u32> {
        entries(self.buckets.get(self.bucket(mark).0))
            .filter(move |(other, _)| *other == mark)
            .map(|(_, leaf)| leaf)
    }

    pub(super) fn insert(&mut self, mark: Mark, leaf: u32) {
        let (bucket, _) = self.bucket(mark);
        push(self.buckets.get_mut(bucket), mark, leaf);
        self.len += 1;
        // Hashes of 32 bits tell no more buckets apart.
        if self.len > self.count() * FULL && self.level < 31 {
            self.grow();
        }
    }

    fn position(&self, bucket: u32, mark: Mark, leaf: u32) -> usize {
        let at = entries(self.buckets.get(bucket)).position(|found| found == (mark, leaf));
        at.expect("every member has its entry") * ENTRY
    }

    /// Says that a member has moved to another leaf.
    #[inline]
    pub(super) fn relocate(&mut self, mark: Mark, from: u32, to: u32) {
        let (bucket, _) = self.bucket(mark);
        let at = self.position(bucket, mark, from);
        let bytes = self.buckets.get_mut(bucket).bytes_mut();
        bytes[at..at + ENTRY].copy_from_slice(&entry(mark, to));
    }

    pub(super) fn remove(&mut self, mark: Mark, leaf: u32) {
        let (bucket, _) = self.bucket(mark);
        let at = self.position(bucket, mark, leaf);
        let bucket = self.buckets.get_mut(bucket);
        let last = bucket.len() - ENTRY;
        bucket.bytes_mut().copy_within(last.., at);
        bucket.open(last, ENTRY, 0);
        self.len -= 1;
        if self.len < self.count() * SPARSE && self.count() > 1 {
            self.shrink();
        }
    }

    /// Cuts the next bucket in two.
    fn grow(&mut self) {
        let old = self.cut as u32;
        let whole = std::mem::take(self.buckets.get_mut(old));
        let (mut low, mut high) = (Thin::new(), Thin::new());
        let mut split = [Vec::new(), Vec::new()];
        for (mark, leaf) in entries(&whole) {
            split[(mark >> self.level & 1) as usize].extend_from_slice(&entry(mark, leaf));
        }
        low.splice(0, 0, &split[0]);
        high.splice(0, 0, &split[1]);
        *self.buckets.get_mut(old) = low;
        self.buckets.put(high);
        self.cut += 1;
        if self.cut == 1 << self.level {
            self.level += 1;
            self.cut = 0;
        }
    }

    /// Joins the bucket that was cut last.
    fn shrink(&mut self) {
        if self.cut == 0 {
            self.level -= 1;
            self.cut = 1 << self.level;
        }
        self.cut -= 1;
        let last = self.buckets.take(self.count() as u32);
        let rest = self.buckets.get_mut(self.cut as u32);
        rest.splice(rest.len(), 0, last.bytes());
    }

    /// Calls `found` with the entries of the bucket at a cursor, which is at first 0, and answers where to
    /// go on: 0 at the end.
    pub(super) fn scan(&self, cursor: u32, mut found: impl FnMut(Mark, u32)) -> u32 {
        let (bucket, bits) = self.bucket(cursor.reverse_bits());
        entries(self.buckets.get(bucket)).for_each(|(mark, leaf)| found(mark, leaf));
        let width = 1u64 << (32 - bits);
        let next = (u64::from(cursor) / width + 1) * width;
        u32::try_from(next).unwrap_or(0)
    }

    pub(super) fn memory(&self) -> usize {
        self.buckets.memory(Thin::memory)
    }

    /// Drops buckets; what is left of the table is of no use.
    pub(super) fn drop_some(&mut self, budget: usize) -> usize {
        self.buckets.drop_some(budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use std::collections::HashSet;

    #[test]
    fn entries_are_found_moved_and_removed() {
        let mut table = Members::new();
        let marks: Vec<u32> = {
            let mut random = Random::new(3);
            (0..5000).map(|_| random.next() as u32).collect()
        };
        for (i, mark) in marks.iter().enumerate() {
            table.insert(*mark, i as u32);
        }
        for (i, mark) in marks.iter().enumerate() {
            table.relocate(*mark, i as u32, i as u32 + 1);
        }
        for (i, mark) in marks.iter().enumerate() {
            assert!(table.leaves(*mark).any(|leaf| leaf == i as u32 + 1));
        }
        for (i, mark) in marks.iter().enumerate() {
            table.remove(*mark, i as u32 + 1);
            assert!(table.leaves(*mark).all(|leaf| leaf != i as u32 + 1));
        }
        assert_eq!((table.len, table.count()), (0, 1));
    }

    /// Everything that is there all the time is seen, while the table grows and shrinks.
    #[test]
    fn a_scan_misses_nothing() {
        for seed in 1..20 {
            let mut random = Random::new(seed);
            let mut table = Members::new();
            let steady: Vec<u32> = (0..300).map(|_| random.next() as u32).collect();
            let mut others = Vec::new();
            steady.iter().for_each(|mark| table.insert(*mark, 1));
            let mut seen = HashSet::new();
            let mut cursor = 0;
            loop {
                cursor = table.scan(cursor, |mark, _| {
                    seen.insert(mark);
                });
                if cursor == 0 {
                    break;
                }
                for _ in 0..random.below(400) {
                    let mark = random.next() as u32;
                    table.insert(mark, 2);
                    others.push(mark);
                }
                for _ in 0..random.below(500).min(others.len()) {
                    let at = random.below(others.len());
                    table.remove(others.swap_remove(at), 2);
                }
            }
            assert!(steady.iter().all(|mark| seen.contains(mark)), "seed {seed}");
        }
    }
}
