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
    buckets: Shared<Vec<Bucket>>,
    /// Elements of each bucket.
    counts: Vec<u16>,
    len: usize,
    /// Length of the prefix.
    depth: u32,
    /// First hash.
    prefix: u64,
}

impl Page {
    pub fn new(depth: u32, prefix: u64) -> Page {
        Page {
            buckets: Shared::new(vec![Bucket::default()]),
            counts: vec![0],
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
        &self.buckets
    }

    #[inline]
    pub fn bucket_mut(&mut self, at: usize) -> &mut Bucket {
        &mut self.buckets.own()[at]
    }

    /// Bytes of the page itself.
    pub fn memory(&self) -> usize {
        size_of::<Page>() + self.buckets.capacity() * 8 + self.counts.capacity() * 2
    }

    /// log2 of `base`, and how many ranges are cut.
    #[inline]
    fn shape(&self) -> (u32, usize) {
        let n = self.buckets.len();
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
        self.counts[at] = count(&self.buckets[at]);
    }

    #[inline]
    pub fn note_remove(&mut self, at: usize) {
        self.len -= 1;
        self.counts[at] = count(&self.buckets[at]);
    }

    #[inline]
    pub fn is_crowded(&self) -> bool {
        self.len > self.buckets.len() * LOAD
    }

    pub fn is_full(&self) -> bool {
        self.buckets.len() >= MOST
    }

    /// Whether it has more buckets than it needs.
    #[inline]
    pub fn is_sparse(&self) -> bool {
        let n = self.buckets.len();
        self.len < n * LEAST_LOAD && n > if self.depth == 0 { 1 } else { LEAST }
    }

    /// Whether it is as small as pages are that have neighbours.
    pub fn is_least(&self) -> bool {
        self.buckets.len() == LEAST
    }

    /// Cuts the next bucket in two.
    pub fn split_bucket(&mut self, longs: &Longs) {
        let (bits, cut) = self.shape();
        if self.depth + bits >= CURSOR_BITS {
            return;
        }
        let low = 2 * cut;
        let buckets = self.buckets.own();
        let upper = buckets[low].split(self.depth + bits, longs);
        reserve(buckets);
        reserve(&mut self.counts);
        self.counts[low] = count(&buckets[low]);
        self.counts.insert(low + 1, count(&upper));
        buckets.insert(low + 1, upper);
    }

    /// Joins the two buckets that were one last.
    pub fn merge_buckets(&mut self) {
        let n = self.buckets.len();
        let cut = n - 1 - (1 << (n - 1).ilog2());
        let buckets = self.buckets.own();
        let upper = buckets.remove(2 * cut + 1);
        self.counts.remove(2 * cut + 1);
        buckets[2 * cut].join(upper);
        self.counts[2 * cut] = count(&buckets[2 * cut]);
        if n * 2 < buckets.capacity() {
            buckets.shrink_to(n);
            self.counts.shrink_to(n);
        }
    }

    /// Leaves the lower half of a full page and answers the upper one.
    pub fn split(&mut self) -> Page {
        let half = self.buckets.len() / 2;
        self.depth += 1;
        let buckets = self.buckets.own();
        let upper = Page {
            buckets: Shared::new(buckets.split_off(half)),
            counts: self.counts.split_off(half),
            len: 0,
            depth: self.depth,
            prefix: self.prefix | 1 << (64 - self.depth),
        };
        let len: usize = upper.buckets.iter().map(Bucket::len).sum();
        self.len -= len;
        buckets.shrink_to(half + half / 4);
        self.counts.shrink_to(half + half / 4);
        Page { len, ..upper }
    }

    /// Takes in the upper half of what becomes one page; both are [least](Page::is_least).
    pub fn join(&mut self, upper: Page) {
        self.depth -= 1;
        self.len += upper.len;
        self.buckets.own().extend(upper.buckets.into_inner());
        self.counts.extend(upper.counts);
    }

    /// Bucket and index of the element that `n` others stand before.
    pub fn nth(&self, mut n: usize) -> (usize, usize) {
        const STRIDE: usize = 16;
        let mut at = 0;
        for counts in self.counts.chunks_exact(STRIDE) {
            let sum: u16 = counts.iter().fold(0, |sum, c| sum.saturating_add(*c));
            if n < usize::from(sum) {
                break;
            }
            n -= usize::from(sum);
            at += STRIDE;
        }
        for count in &self.counts[at..] {
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
        self.buckets.shed(budget)
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
