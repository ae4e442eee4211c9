//! A page: the buckets of one prefix of the hash, in hash order.
//!
//! With `n` buckets, let `base` be the largest power of two that is not above it. The hashes of the page
//! are cut into `base` equal ranges, and the first `n - base` of these are cut in two once more. So one
//! more bucket means to cut the next range in two, one bucket less to join the last two halves.
//!
//! ```text
//! n = 6: | ½ | ½ | ½ | ½ |   1   |   1   |        base = 4, of which 2 are cut
//! ```

use super::CURSOR_BITS;
use super::bucket::Bucket;
use super::long::Longs;
use crate::shared::Shared;

/// Elements for each bucket at which one more is made.
const LOAD: usize = 12;
/// Elements for each bucket at which there will be one less.
const LEAST_LOAD: usize = 8;
/// Buckets at which a page becomes two.
const MOST: usize = 256;
/// Buckets at which two pages become one.
const LEAST: usize = 32;

#[derive(Clone)]
pub struct Page {
    /// Copies of the dictionary share it.
    rows: Shared<Rows>,
    len: usize,
    /// Length of the prefix.
    depth: u32,
    /// First hash.
    prefix: u64,
}

#[derive(Clone, Default)]
struct Rows {
    buckets: Vec<Bucket>,
    /// Elements of each bucket.
    counts: Vec<u16>,
}

impl Page {
    pub fn new(depth: u32, prefix: u64) -> Page {
        Page {
            rows: Shared::new(Rows {
                buckets: vec![Bucket::default()],
                counts: vec![0],
            }),
            len: 0,
            depth,
            prefix,
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn depth(&self) -> u32 {
        self.depth
    }

    pub fn prefix(&self) -> u64 {
        self.prefix
    }

    #[inline]
    pub fn buckets(&self) -> &[Bucket] {
        &self.rows.buckets
    }

    #[inline]
    pub fn bucket_mut(&mut self, at: usize) -> &mut Bucket {
        &mut self.rows.own().buckets[at]
    }

    /// Bytes of the page itself.
    pub fn memory(&self) -> usize {
        size_of::<Page>() + self.rows.buckets.capacity() * 8 + self.rows.counts.capacity() * 2
    }

    /// log2 of `base`, and how many ranges are cut.
    #[inline]
    fn shape(&self) -> (u32, usize) {
        let n = self.buckets().len();
        let bits = n.ilog2();
        (bits, n - (1 << bits))
    }

    /// The bucket of a hash that begins with the page's prefix.
    #[inline]
    pub fn home(&self, hash: u64) -> usize {
        let (bits, cut) = self.shape();
        let half = ((hash << self.depth) >> (63 - bits)) as usize;
        let range = half >> 1;
        if range < cut { half } else { range + cut }
    }

    /// First hash behind a bucket; `None` behind the last of all.
    pub fn end(&self, at: usize) -> Option<u64> {
        let (bits, cut) = self.shape();
        let (range, bits) = if at < 2 * cut {
            (at, bits + 1)
        } else {
            (at - cut, bits)
        };
        let width = 1u128 << (64 - self.depth - bits);
        let end = u128::from(self.prefix) + (range as u128 + 1) * width;
        u64::try_from(end).ok()
    }

    #[inline]
    pub fn note_insert(&mut self, at: usize) {
        self.len += 1;
        self.rows.own().note(at);
    }

    #[inline]
    pub fn note_remove(&mut self, at: usize) {
        self.len -= 1;
        self.rows.own().note(at);
    }

    #[inline]
    pub fn is_crowded(&self) -> bool {
        self.len > self.buckets().len() * LOAD
    }

    pub fn is_full(&self) -> bool {
        self.buckets().len() >= MOST
    }

    /// Whether it has more buckets than it needs.
    #[inline]
    pub fn is_sparse(&self) -> bool {
        let n = self.buckets().len();
        self.len < n * LEAST_LOAD && n > if self.depth == 0 { 1 } else { LEAST }
    }

    /// Whether it is as small as pages are that have neighbours.
    pub fn is_least(&self) -> bool {
        self.buckets().len() == LEAST
    }

    /// Cuts the next bucket in two.
    pub fn split_bucket(&mut self, longs: &Longs) {
        let (bits, cut) = self.shape();
        if self.depth + bits >= CURSOR_BITS {
            return;
        }
        let low = 2 * cut;
        let rows = self.rows.own();
        let upper = rows.buckets[low].split(self.depth + bits, longs);
        reserve(&mut rows.buckets);
        reserve(&mut rows.counts);
        rows.note(low);
        rows.counts.insert(low + 1, count(&upper));
        rows.buckets.insert(low + 1, upper);
    }

    /// Joins the two buckets that were one last.
    pub fn merge_buckets(&mut self) {
        let rows = self.rows.own();
        let n = rows.buckets.len();
        let cut = n - 1 - (1 << (n - 1).ilog2());
        let upper = rows.buckets.remove(2 * cut + 1);
        rows.counts.remove(2 * cut + 1);
        rows.buckets[2 * cut].join(upper);
        rows.note(2 * cut);
        if n * 2 < rows.buckets.capacity() {
            rows.shrink_to(n);
        }
    }

    /// Leaves the lower half of a full page and answers the upper one.
    pub fn split(&mut self) -> Page {
        self.depth += 1;
        let rows = self.rows.own();
        let half = rows.buckets.len() / 2;
        let upper = Rows {
            buckets: rows.buckets.split_off(half),
            counts: rows.counts.split_off(half),
        };
        rows.shrink_to(half + half / 4);
        let len = upper.buckets.iter().map(Bucket::len).sum();
        self.len -= len;
        Page {
            rows: Shared::new(upper),
            len,
            depth: self.depth,
            prefix: self.prefix | 1 << (64 - self.depth),
        }
    }

    /// Takes in the upper half of what becomes one page; both are [least](Page::is_least).
    pub fn join(&mut self, upper: Page) {
        self.depth -= 1;
        self.len += upper.len;
        let (rows, upper) = (self.rows.own(), upper.rows.into_inner());
        rows.buckets.extend(upper.buckets);
        rows.counts.extend(upper.counts);
    }

    /// Bucket and index of the element that `n` others stand before.
    pub fn nth(&self, mut n: usize) -> (usize, usize) {
        const STRIDE: usize = 16;
        let mut at = 0;
        for counts in self.rows.counts.chunks_exact(STRIDE) {
            let sum: u16 = counts.iter().fold(0, |sum, c| sum.saturating_add(*c));
            if n < usize::from(sum) {
                break;
            }
            n -= usize::from(sum);
            at += STRIDE;
        }
        for count in &self.rows.counts[at..] {
            if n < usize::from(*count) {
                return (at, n);
            }
            n -= usize::from(*count);
            at += 1;
        }
        unreachable!("the page has more than n elements")
    }

    /// Drops some buckets; answers how many.
    pub fn free_some(&mut self, budget: usize) -> usize {
        if self.rows.is_shared() {
            self.rows = Shared::default();
            return 1;
        }
        let dropped = budget.min(self.buckets().len());
        let left = self.buckets().len() - dropped;
        self.rows.own().buckets.truncate(left);
        dropped
    }
}

impl Rows {
    /// Counts the elements of a bucket.
    #[inline]
    fn note(&mut self, at: usize) {
        self.counts[at] = count(&self.buckets[at]);
    }

    fn shrink_to(&mut self, n: usize) {
        self.buckets.shrink_to(n);
        self.counts.shrink_to(n);
    }
}

/// Makes room for another element, and for not many more.
fn reserve<T>(elements: &mut Vec<T>) {
    let n = elements.len();
    if elements.capacity() == n {
        elements.reserve_exact(n / 4 + 1);
    }
}

/// Elements of a bucket, for `counts`. No bucket comes near to the limit unless hashes are alike.
#[inline]
fn count(bucket: &Bucket) -> u16 {
    u16::try_from(bucket.len()).unwrap_or(u16::MAX)
}
