//! Neighbours in a sorted set: their scores in one array, their members one behind the other.
//!
//! ```text
//! scores   s0 s1 s2 …            in order, and under the same score by member
//! starts    0  5 11 …            where each member begins in the bytes
//! tags     t0 t1 t2 …            a byte of each member's mark
//! bytes    alphaboblia…
//! ```
//!
//! So a search by score reads little but scores, and one by member compares tags eight at a time before it
//! compares bytes. A member of more than [`LONG_MIN`] bytes has an allocation of its own; its place in the
//! bytes has the number of that.

use super::members::Mark;
use super::slots::Slots;
use crate::thin::Thin;

/// Elements of a full leaf: as many as make it 768 bytes, which is a size that allocators have.
pub(super) const FULL: usize = 68;

/// Members of as many bytes have an allocation of their own.
const LONG_MIN: usize = 256;
/// In a start: the bytes there are the number of a long member.
const LONG: u16 = 1 << 15;

pub(super) type Longs = Slots<Box<[u8]>>;

/// The byte of a mark that leaves keep: the highest, as the lowest bits choose the bucket.
#[inline]
fn tag(mark: Mark) -> u8 {
    (mark >> 24) as u8
}

#[derive(Clone)]
pub(super) struct Leaf {
    scores: [f64; FULL],
    starts: [u16; FULL],
    tags: [u8; FULL],
    len: u8,
    bytes: Thin,
}

impl Leaf {
    pub(super) fn new() -> Box<Leaf> {
        const { assert!(size_of::<Leaf>() <= 768) };
        Box::new(Leaf {
            scores: [0.0; FULL],
            starts: [0; FULL],
            tags: [0; FULL],
            len: 0,
            bytes: Thin::new(),
        })
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    #[inline]
    pub(super) fn scores(&self) -> &[f64] {
        &self.scores[..self.len()]
    }

    #[inline]
    pub(super) fn score(&self, at: usize) -> f64 {
        self.scores()[at]
    }

    /// Where the bytes of the element at a place begin: the end of all if it is the place behind the last.
    #[inline]
    fn start(&self, at: usize) -> usize {
        if at < self.len() {
            usize::from(self.starts[at] & !LONG)
        } else {
            self.bytes.len()
        }
    }

    #[inline]
    fn is_long(&self, at: usize) -> bool {
        self.starts[at] & LONG != 0
    }

    /// The number of the long member at a place.
    fn long(&self, at: usize) -> Option<u32> {
        let bytes = &self.bytes.bytes()[self.start(at)..];
        let number = bytes.first_chunk().filter(|_| self.is_long(at))?;
        Some(u32::from_le_bytes(*number))
    }

    #[inline]
    pub(super) fn member<'a>(&'a self, at: usize, longs: &'a Longs) -> &'a [u8] {
        match self.long(at) {
            Some(number) => longs.get(number),
            None => &self.bytes.bytes()[self.start(at)..self.start(at + 1)],
        }
    }

    /// The first place whose element is not before this one.
    #[inline]
    pub(super) fn place(&self, score: f64, member: &[u8], longs: &Longs) -> usize {
        let scores = self.scores();
        let mut low = scores.partition_point(|s| *s < score);
        if scores.get(low) != Some(&score) {
            return low;
        }
        let mut high = low + scores[low..].partition_point(|s| *s == score);
        while low < high {
            let middle = low.midpoint(high);
            if self.member(middle, longs) < member {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The first place whose element is not before a boundary.
    pub(super) fn boundary(&self, longs: &Longs, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if before(self.score(middle), self.member(middle, longs)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The places of members that may have a mark.
    #[inline]
    pub(super) fn marked(&self, mark: Mark) -> impl Iterator<Item = usize> {
        memchr::memchr_iter(tag(mark), &self.tags[..self.len()])
    }

    /// The place of a member.
    #[inline]
    pub(super) fn find(&self, member: &[u8], mark: Mark, longs: &Longs) -> Option<usize> {
        self.marked(mark)
            .find(|at| self.member(*at, longs) == member)
    }

    /// Puts an element at its place, in a leaf that is not full.
    pub(super) fn insert(
        &mut self,
        at: usize,
        score: f64,
        member: &[u8],
        mark: Mark,
        longs: &mut Longs,
    ) {
        let number;
        let (bytes, long) = if member.len() < LONG_MIN {
            (member, 0)
        } else {
            number = longs.put(member.into()).to_le_bytes();
            (&number[..], LONG)
        };
        let start = self.start(at);
        let (len, end) = (self.len(), self.len() + 1);
        self.scores.copy_within(at..len, at + 1);
        self.scores[at] = score;
        self.tags.copy_within(at..len, at + 1);
        self.tags[at] = tag(mark);
        self.starts.copy_within(at..len, at + 1);
        self.starts[at] = start as u16 | long;
        for later in &mut self.starts[at + 1..end] {
            *later += bytes.len() as u16;
        }
        self.bytes.splice(start, 0, bytes);
        self.len += 1;
    }

    /// Sets a score that does not change the order.
    pub(super) fn set_score(&mut self, at: usize, score: f64) {
        self.scores[at] = score;
    }

    /// Removes `n` elements from a place on.
    pub(super) fn remove(&mut self, at: usize, n: usize, longs: &mut Longs) {
        for i in at..at + n {
            if let Some(number) = self.long(i) {
                longs.take(number);
            }
        }
        self.cut_out(at, n);
    }

    fn cut_out(&mut self, at: usize, n: usize) {
        let (len, behind) = (self.len(), at + n);
        let (start, end) = (self.start(at), self.start(behind));
        self.scores.copy_within(behind..len, at);
        self.tags.copy_within(behind..len, at);
        self.starts.copy_within(behind..len, at);
        for later in &mut self.starts[at..len - n] {
            *later -= (end - start) as u16;
        }
        self.bytes.open(start, end - start, 0);
        self.len -= n as u8;
    }

    /// Moves the elements from a place on to the end of another leaf, which has room for them.
    pub(super) fn move_to(&mut self, from: usize, to: &mut Leaf) {
        let (len, n) = (self.len(), self.len() - from);
        let (at, start) = (to.len(), self.start(from));
        to.scores[at..at + n].copy_from_slice(&self.scores[from..len]);
        to.tags[at..at + n].copy_from_slice(&self.tags[from..len]);
        let by = (to.bytes.len() as u16).wrapping_sub(start as u16);
        for (new, old) in to.starts[at..at + n]
            .iter_mut()
            .zip(&self.starts[from..len])
        {
            // The sum of two starts stays below the bit.
            *new = (old & !LONG).wrapping_add(by) | old & LONG;
        }
        to.bytes
            .splice(to.bytes.len(), 0, &self.bytes.bytes()[start..]);
        to.len += n as u8;
        self.cut_out(from, n);
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Leaf>() + self.bytes.memory()
    }
}
