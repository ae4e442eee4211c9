//! A table of byte strings, each with a payload: what big sets, hashes and the members of sorted sets
//! are kept in.
//!
//! # Idea
//!
//! The elements are in *buckets*, about a dozen in each, ordered by hash. A bucket is one allocation, just
//! as long as its elements need, so there are no empty slots to pay for, and no pointer for each
//! element ([`bucket`]). Up to 256 buckets make a *page*, which is the hashes of one prefix and grows by
//! linear hashing: each time its elements exceed the usual load, its next bucket is cut in two, in hash
//! order ([`page`]). A page of 256 buckets becomes two. Pages are found by an array of all prefixes.
//!
//! ```text
//! hash: | root bits | … page's prefix | bucket | …                 | tag (8) |
//!          │
//!        root[ ] ──► page: bucket 0 … bucket n-1 ──► tags | sizes | record | record | …
//! ```
//!
//! So an insert moves a few hundred bytes, and now and then cuts one bucket or one page; nothing is
//! ever rebuilt as a whole. Because everything is in hash order, a position among the hashes is a
//! cursor that survives growing and shrinking: what lies before it has been seen ([`Dict::scan`]).
//!
//! Elements of more than a hundred or so bytes stand outside of their buckets ([`long`]).

mod bucket;
mod iter;
mod long;
mod page;
#[cfg(test)]
mod tests;

use crate::hashing::hash;
use crate::random::Random;
use bucket::{Bucket, Place, Record};
pub use iter::{Drain, Iter};
use long::Longs;
use page::Page;

/// Bits of a cursor: the top of a position among the hashes.
pub const CURSOR_BITS: u32 = 48;

/// Pages have prefixes of at most this length.
const MAX_DEPTH: u32 = 38;

/// Elements that no page exceeds, unless hashes are not what they should be.
const PAGE_MAX: usize = 4096;

/// See the module.
#[derive(Clone)]
pub struct Dict {
    /// The page of each prefix of `root_bits`.
    root: Vec<u32>,
    root_bits: u32,
    pages: Vec<Page>,
    len: usize,
    longs: Longs,
}

/// Where an element is, until the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    page: u32,
    bucket: u32,
    place: Place,
}

impl Default for Dict {
    fn default() -> Dict {
        Dict::new()
    }
}

/// The first `bits` of a hash.
#[inline]
fn top(hash: u64, bits: u32) -> usize {
    // Two shifts, because `bits` may be 0.
    ((hash >> 1) >> (63 - bits)) as usize
}

#[inline]
fn tag(hash: u64) -> u8 {
    hash as u8
}

impl Dict {
    pub fn new() -> Dict {
        Dict {
            root: vec![0],
            root_bits: 0,
            pages: vec![Page::new(0, 0)],
            len: 0,
            longs: Longs::default(),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes allocated, those of buckets estimated by some of them.
    pub fn memory(&self) -> usize {
        const SAMPLE: usize = 256;
        let (mut seen, mut sampled, mut buckets, mut pages) = (0, 0, 0, 0);
        for page in &self.pages {
            if seen < SAMPLE {
                seen += page.buckets().len();
                sampled += page.buckets().iter().map(Bucket::memory).sum::<usize>();
            }
            buckets += page.buckets().len();
            pages += page.memory();
        }
        let records = (sampled as u128 * buckets as u128 / seen.max(1) as u128) as usize;
        size_of::<Dict>() + self.root.capacity() * 4 + pages + records + self.longs.memory()
    }

    /// The page and the bucket of a hash.
    #[inline]
    fn home(&self, hash: u64) -> (usize, usize) {
        let page = self.root[top(hash, self.root_bits)] as usize;
        (page, self.pages[page].home(hash))
    }

    #[inline]
    fn bucket(&self, page: usize, bucket: usize) -> &Bucket {
        &self.pages[page].buckets()[bucket]
    }

    #[inline]
    fn find_in(&self, bucket: &Bucket, hash: u64, key: &[u8]) -> Option<Place> {
        bucket.find(tag(hash), |record| match record {
            Record::Inline { key: own, .. } => own == key,
            Record::Long(id) => self.longs.key(id) == key,
        })
    }

    /// The payload of a record.
    #[inline]
    fn payload<'a>(&'a self, record: Record<'a>) -> &'a [u8] {
        match record {
            Record::Inline { payload, .. } => payload,
            Record::Long(id) => self.longs.payload(id),
        }
    }

    #[inline]
    fn pair<'a>(&'a self, record: Record<'a>) -> (&'a [u8], &'a [u8]) {
        self.longs.pair(record)
    }

    /// The payload of an element.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.get_hashed(hash(key), key)
    }

    /// The same for who knows the hash already.
    #[inline]
    pub fn get_hashed(&self, hash: u64, key: &[u8]) -> Option<&[u8]> {
        let (page, at) = self.home(hash);
        let bucket = self.bucket(page, at);
        let place = self.find_in(bucket, hash, key)?;
        Some(self.payload(bucket.record(place)))
    }

    #[inline]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.contains_hashed(hash(key), key)
    }

    #[inline]
    pub fn contains_hashed(&self, hash: u64, key: &[u8]) -> bool {
        let (page, at) = self.home(hash);
        self.find_in(self.bucket(page, at), hash, key).is_some()
    }

    /// Puts an element in, or replaces its payload; true if it is new.
    #[inline]
    pub fn insert(&mut self, key: &[u8], payload: &[u8]) -> bool {
        self.insert_hashed(hash(key), key, payload)
    }

    #[inline]
    pub fn insert_hashed(&mut self, hash: u64, key: &[u8], payload: &[u8]) -> bool {
        let (page, at) = self.home(hash);
        if let Some(place) = self.find_in(self.bucket(page, at), hash, key) {
            self.replace(page, at, place, (hash, key, payload));
            return false;
        }
        self.push(page, at, hash, key, payload);
        self.len += 1;
        let page_now = &mut self.pages[page];
        page_now.note_insert(at);
        if page_now.is_crowded() {
            page_now.split_bucket(&self.longs);
            if page_now.is_full() && page_now.depth() < MAX_DEPTH {
                self.split_page(page);
            }
        }
        true
    }

    /// Adds a record to a bucket, without counting it.
    #[inline]
    fn push(&mut self, page: usize, at: usize, hash: u64, key: &[u8], payload: &[u8]) {
        let bucket = self.pages[page].bucket_mut(at);
        if Bucket::takes(key, payload) {
            bucket.push(tag(hash), key, payload);
        } else {
            let id = self.longs.add(key, payload);
            bucket.push_long(tag(hash), id);
        }
    }

    fn replace(&mut self, page: usize, at: usize, place: Place, new: (u64, &[u8], &[u8])) {
        let (hash, key, payload) = new;
        let bucket = self.pages[page].bucket_mut(at);
        match bucket.record(place) {
            Record::Inline { payload: old, .. } if old.len() == payload.len() => {
                bucket.payload_mut(place).copy_from_slice(payload);
                return;
            }
            Record::Inline { .. } => {}
            Record::Long(id) if !Bucket::takes(key, payload) => {
                self.longs.set_payload(id, payload);
                return;
            }
            Record::Long(id) => self.longs.remove(id),
        }
        bucket.remove(place);
        self.push(page, at, hash, key, payload);
    }

    /// Takes an element out; false if there is none.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        match self.position(key) {
            Some(position) => {
                self.remove_at(position);
                true
            }
            None => false,
        }
    }

    /// Where an element is.
    #[inline]
    pub fn position(&self, key: &[u8]) -> Option<Position> {
        let hash = hash(key);
        let (page, at) = self.home(hash);
        let place = self.find_in(self.bucket(page, at), hash, key)?;
        Some(Position {
            page: page as u32,
            bucket: at as u32,
            place,
        })
    }

    /// The element at a position, with its payload.
    ///
    /// # Panics
    /// If the dictionary has changed since the position was found, maybe.
    #[inline]
    pub fn at(&self, position: Position) -> (&[u8], &[u8]) {
        let bucket = self.bucket(position.page as usize, position.bucket as usize);
        self.pair(bucket.record(position.place))
    }

    /// Takes out the element at a position.
    ///
    /// # Panics
    /// As [`Dict::at`].
    pub fn remove_at(&mut self, position: Position) {
        let page = position.page as usize;
        let at = position.bucket as usize;
        let now = &mut self.pages[page];
        let bucket = now.bucket_mut(at);
        if let Record::Long(id) = bucket.record(position.place) {
            self.longs.remove(id);
        }
        bucket.remove(position.place);
        now.note_remove(at);
        self.len -= 1;
        if now.is_sparse() {
            now.merge_buckets();
            if now.is_least() {
                self.merge_page(page);
            }
        }
    }

    /// The entries of `root` that belong to a page.
    fn span(&self, page: &Page) -> std::ops::Range<usize> {
        let from = top(page.prefix(), self.root_bits);
        from..from + (1 << (self.root_bits - page.depth()))
    }

    fn split_page(&mut self, page: usize) {
        let upper = self.pages[page].split();
        if upper.depth() > self.root_bits {
            self.root = self.root.iter().flat_map(|p| [*p, *p]).collect();
            self.root_bits += 1;
        }
        let span = self.span(&upper);
        self.root[span].fill(self.pages.len() as u32);
        self.pages.push(upper);
    }

    /// Joins a page that has become small with its neighbour, if that is small too.
    fn merge_page(&mut self, page: usize) {
        let depth = self.pages[page].depth();
        if depth == 0 {
            return;
        }
        let prefix = self.pages[page].prefix();
        let other = self.root[top(prefix ^ 1 << (64 - depth), self.root_bits)] as usize;
        let neighbour = &self.pages[other];
        if neighbour.depth() != depth || !neighbour.is_least() {
            return;
        }
        let (low, high) = if prefix < neighbour.prefix() {
            (page, other)
        } else {
            (other, page)
        };
        let upper = std::mem::replace(&mut self.pages[high], Page::new(0, 0));
        self.pages[low].join(upper);
        let span = self.span(&self.pages[low]);
        self.root[span].fill(low as u32);
        self.pages.swap_remove(high);
        if let Some(moved) = self.pages.get(high) {
            let span = self.span(moved);
            self.root[span].fill(high as u32);
        }
        self.shrink_root();
    }

    /// Shortens the root once it is much longer than the pages need, which is rare.
    fn shrink_root(&mut self) {
        if self.root.len() < self.pages.len() * 16 && self.pages.len() > 1 {
            return;
        }
        let deepest = self.pages.iter().map(Page::depth).max().unwrap_or(0);
        let step = 1 << (self.root_bits - deepest);
        if step > 1 {
            self.root = self.root.iter().copied().step_by(step).collect();
            self.root_bits = deepest;
        }
    }

    /// All elements with their payloads.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(self)
    }

    /// All elements, a page at a time, each of which goes when it has been visited.
    pub fn drain(self) -> Drain {
        Drain {
            pages: self.pages.into_iter(),
            longs: self.longs,
        }
    }

    /// Visits the elements of the bucket at `cursor` and answers the next cursor, 0 at the end. An
    /// element that is there during a whole walk is visited, and seldom twice.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        const SHIFT: u32 = 64 - CURSOR_BITS;
        let cursor = cursor & (u64::MAX >> SHIFT);
        let (page, at) = self.home(cursor << SHIFT);
        let page = &self.pages[page];
        for record in page.buckets()[at].records() {
            let (key, payload) = self.pair(record);
            visit(key, payload);
        }
        match page.end(at) {
            None => 0,
            Some(end) => (end >> SHIFT).max(cursor + 1) & (u64::MAX >> SHIFT),
        }
    }

    /// An element, drawn with the same chance for each.
    pub fn random(&self, random: &mut Random) -> Option<(&[u8], &[u8])> {
        self.random_position(random).map(|at| self.at(at))
    }

    /// Where an element is, drawn with the same chance for each.
    ///
    /// Pages are drawn until one is taken, with a chance in proportion to its elements. In it, one of
    /// the elements is counted out.
    pub fn random_position(&self, random: &mut Random) -> Option<Position> {
        if self.len == 0 {
            return None;
        }
        let page = match self.pages.len() {
            1 => 0,
            n => loop {
                let page = random.below(n);
                if random.below(PAGE_MAX) < self.pages[page].len() {
                    break page;
                }
            },
        };
        let nth = random.below(self.pages[page].len());
        let (at, index) = self.pages[page].nth(nth);
        Some(Position {
            page: page as u32,
            bucket: at as u32,
            place: self.bucket(page, at).place(index),
        })
    }

    /// About how many allocations there are to free.
    pub fn weight(&self) -> usize {
        let buckets: usize = self.pages.iter().map(|p| p.buckets().len()).sum();
        buckets + self.longs.len()
    }

    /// Frees about `budget` allocations; true when the rest can be dropped at once. Nobody may read
    /// the dictionary afterwards.
    pub fn free_some(&mut self, mut budget: usize) -> bool {
        while let Some(page) = self.pages.last_mut() {
            if budget == 0 {
                return false;
            }
            budget -= page.free_some(budget);
            if page.buckets().is_empty() {
                self.pages.pop();
            }
        }
        self.longs.free_some(budget)
    }
}
