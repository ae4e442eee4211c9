//! A hash table that is ordered by hash, grows in steps of a few cache lines and stays four fifths full.
//!
//! # Idea
//!
//! The space of 64-bit hashes is cut into *groups*, each a prefix of the hash. A group is a block of
//! 1 to 16 *buckets*; a bucket is one cache line of eight slots. Within a group the 16 hash bits
//! after the prefix, the *tag*, decide the bucket: `home = tag * buckets >> 16`, so buckets are in
//! hash order too. A slot packs the tag, the pointer and three flag bits into 8 bytes.
//!
//! ```text
//! hash: | root bits | page bits | … depth bits in all | tag (16) | unused …
//!          │            │
//!        root[ ] ──► page[ ] ──► group word ──► block: bucket 0 … bucket n-1
//!                                (pointer, buckets, entries, depth)      8 slots each
//! slot: | tag (16) | pointer (45) << 3 | flags (3) |
//! ```
//!
//! A key whose home bucket is full goes to the next bucket of its group, and a look-up goes on for as
//! long as buckets are full. When a group is 7/8 full, its block is rebuilt one bucket longer from
//! the tags alone, without touching an entry; at 16 buckets it splits in two by the next hash bit,
//! which is the only time that entries are hashed again. So no step moves more than 128 slots, no
//! two groups need to grow at the same time, and the load does not depend on how close the number
//! of keys is to a power of two.
//!
//! Groups are found through a two-level directory, an extendible hash of pages of at most 1024
//! words: at a million keys it is 100 KB. Because everything is in hash order, a position in the
//! hash space is a cursor that survives growing and shrinking: what lies before it has been seen
//! ([`Table::scan`]).
//!
//! The table knows nothing of keys: callers compare and hash entries through closures.
//!
//! # Safety
//!
//! Pages and blocks belong to the table, live in its slab or in boxes, and are reached only through
//! it. A [`Found`] is valid until the next insert, remove or clear; functions that take one are
//! unsafe for that reason. The slab passed in must always be the same one.

mod bucket;

use crate::slab::Slab;
use bucket::{Bucket, SLOTS};
use std::ptr::NonNull;

/// Buckets at which a group splits.
const MAX_BUCKETS: usize = 16;
/// log2 of the largest directory page.
const PAGE_BITS: u32 = 10;
/// Prefixes are at most this long, so that a tag fits behind them.
const MAX_DEPTH: u32 = 47;
/// Draws of [`Table::random`] before it counts instead. A table of usual load needs about 20.
const RANDOM_TRIES: usize = 400;
/// Buckets of a group that cannot split any more.
const HARD_MAX_BUCKETS: usize = 63;

/// Slot flag: the entry has an expiry. Lets the expiry sweep pass others by without a cache miss.
pub const VOLATILE: u64 = 1;

const POINTER: u64 = 0x0000_ffff_ffff_fff8;
const FLAGS: u64 = 7;

/// A position in hash order, and a SCAN cursor: the top 40 bits of a hash.
pub const CURSOR_BITS: u32 = 40;

/// A group word, unpacked.
#[derive(Clone, Copy)]
struct Group {
    block: *mut Bucket,
    buckets: usize,
    len: usize,
    depth: u32,
}

impl Group {
    #[inline]
    fn unpack(word: u64) -> Group {
        Group {
            block: std::ptr::with_exposed_provenance_mut((word & 0x0000_ffff_ffff_ffc0) as usize),
            buckets: (word >> 58) as usize,
            len: (word >> 48 & 0x3ff) as usize,
            depth: (word & 63) as u32,
        }
    }

    #[inline]
    fn pack(self) -> u64 {
        let block = self.block.expose_provenance() as u64;
        block | (self.buckets as u64) << 58 | (self.len as u64) << 48 | u64::from(self.depth)
    }

    #[inline]
    fn tag(&self, hash: u64) -> u64 {
        (hash << self.depth) >> 48
    }

    #[inline]
    fn home(&self, tag: u64) -> usize {
        ((tag * self.buckets as u64) >> 16) as usize
    }

    #[inline]
    fn bucket(&self, i: usize) -> *mut Bucket {
        debug_assert!(i < self.buckets);
        // SAFETY: the block is `buckets` long.
        unsafe { self.block.add(i) }
    }

    fn is_crowded(&self) -> bool {
        self.len >= self.buckets * 7
    }
}

/// Buckets for `len` entries with some room to grow.
fn buckets_for(len: usize) -> usize {
    (len * 5 / 32 + 1).min(HARD_MAX_BUCKETS)
}

/// A directory page: words of groups, each repeated if its prefix is shorter than the page's.
struct Page {
    words: Box<[u64]>,
    /// Hash bits before the page's own.
    prefix: u32,
}

impl Page {
    fn bits(&self) -> u32 {
        self.words.len().trailing_zeros()
    }
}

/// An occupied slot.
#[derive(Clone, Copy)]
pub struct Found {
    slot: NonNull<u64>,
}

pub struct Table {
    /// Index into `pages`, one word per prefix of `root_bits`: a pointer to the page's words and
    /// their geometry, so that a look-up needs no further hop.
    root: Vec<RootWord>,
    pages: Vec<Page>,
    root_bits: u32,
    len: usize,
    buckets: usize,
}

#[derive(Clone, Copy)]
struct RootWord {
    words: *mut u64,
    page: u32,
    prefix: u8,
    bits: u8,
}

// SAFETY: blocks and pages are reached through this value only.
unsafe impl Send for Table {}

/// `hash` without its first `skip` bits, cut to the next `bits`.
#[inline]
fn bits_after(hash: u64, skip: u32, bits: u32) -> usize {
    // Two shifts, because `bits` may be 0.
    (((hash << skip) >> 1) >> (63 - bits)) as usize
}

#[inline]
fn pointer(slot: u64) -> NonNull<u8> {
    let p = std::ptr::with_exposed_provenance_mut::<u8>((slot & POINTER) as usize);
    // SAFETY: occupied slots hold a pointer that was not null.
    unsafe { NonNull::new_unchecked(p) }
}

#[inline]
fn pack_slot(tag: u64, entry: NonNull<u8>, flags: u64) -> u64 {
    let address = entry.as_ptr().expose_provenance() as u64;
    debug_assert!(address & !POINTER == 0 && flags <= FLAGS && tag >> 16 == 0);
    tag << 48 | address | flags
}

#[inline]
fn prefetch<T>(p: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch has no effect on memory, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = p;
}

impl Default for Table {
    fn default() -> Table {
        Table::new()
    }
}

impl Table {
    /// An empty table. Allocates nothing until the first insert.
    pub fn new() -> Table {
        Table {
            root: Vec::new(),
            pages: Vec::new(),
            root_bits: 0,
            len: 0,
            buckets: 0,
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

    /// Slots, used or not.
    pub fn capacity(&self) -> usize {
        self.buckets * SLOTS
    }

    /// Bytes of blocks and directory.
    pub fn memory(&self) -> usize {
        let pages: usize = self.pages.iter().map(|p| p.words.len() * 8).sum();
        self.buckets * size_of::<Bucket>() + pages + self.root.len() * size_of::<RootWord>()
    }

    /// Where the word of the group for `hash` is. The table has been used.
    #[inline]
    fn word(&self, hash: u64) -> *mut u64 {
        let root = &self.root[bits_after(hash, 0, self.root_bits)];
        let index = bits_after(hash, root.prefix.into(), root.bits.into());
        // SAFETY: `index` has as many bits as the page has words.
        unsafe { root.words.add(index) }
    }

    #[inline]
    fn group(&self, hash: u64) -> Group {
        // SAFETY: `word` points into a live page.
        Group::unpack(unsafe { *self.word(hash) })
    }

    // Three steps of a look-up, each starting the memory access that the next one needs.

    /// Starts loading the directory word for `hash`.
    #[inline]
    pub fn prefetch_word(&self, hash: u64) {
        if !self.root.is_empty() {
            prefetch(self.word(hash));
        }
    }

    /// Starts loading the home bucket for `hash`.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        if !self.root.is_empty() {
            let group = self.group(hash);
            prefetch(group.bucket(group.home(group.tag(hash))));
        }
    }

    /// Starts loading the entries that may be the one for `hash`.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if self.root.is_empty() {
            return;
        }
        let group = self.group(hash);
        let tag = group.tag(hash);
        // SAFETY: `home` is a bucket of the group.
        let bucket = unsafe { &*group.bucket(group.home(tag)) };
        for i in bucket.tagged(tag) {
            // An empty slot is address 0, which may be prefetched like any other.
            let p = std::ptr::without_provenance::<u8>((bucket.0[i] & POINTER) as usize);
            prefetch(p);
            if p.addr() & 63 > 24 {
                prefetch(p.wrapping_add(63));
            }
        }
    }

    /// The entry with this hash for which `is_it` answers true.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(NonNull<u8>) -> bool) -> Option<Found> {
        if self.root.is_empty() {
            return None;
        }
        let group = self.group(hash);
        let tag = group.tag(hash);
        let mut at = group.home(tag);
        for _ in 0..group.buckets {
            // SAFETY: `at` is a bucket of the group.
            let bucket = unsafe { &mut *group.bucket(at) };
            for i in bucket.tagged(tag) {
                let slot = &mut bucket.0[i];
                if *slot != 0 && is_it(pointer(*slot)) {
                    return Some(Found {
                        slot: NonNull::from(slot),
                    });
                }
            }
            if !bucket.is_full() {
                return None;
            }
            at = if at + 1 == group.buckets { 0 } else { at + 1 };
        }
        None
    }

    /// The entry behind a slot.
    ///
    /// # Safety
    /// `found` is valid.
    #[inline]
    pub unsafe fn entry(&self, found: Found) -> NonNull<u8> {
        // SAFETY: by the contract.
        pointer(unsafe { *found.slot.as_ptr() })
    }

    /// Puts another entry with the same hash into the slot.
    ///
    /// # Safety
    /// `found` is valid.
    #[inline]
    pub unsafe fn replace(&mut self, found: Found, entry: NonNull<u8>, flags: u64) {
        // SAFETY: by the contract.
        unsafe {
            let slot = found.slot.as_ptr();
            *slot = pack_slot(*slot >> 48, entry, flags);
        }
    }

    /// Adds an entry. No entry of the same key is there; `hash_of` hashes any entry of the table.
    pub fn insert(
        &mut self,
        slab: &mut Slab,
        hash: u64,
        entry: NonNull<u8>,
        flags: u64,
        hash_of: impl Fn(NonNull<u8>) -> u64,
    ) {
        if self.root.is_empty() {
            self.start(slab);
        }
        let mut group = self.group(hash);
        while group.is_crowded() {
            self.grow(slab, hash, group, &hash_of);
            group = self.group(hash);
        }
        let tag = group.tag(hash);
        // SAFETY: the group is live and not full.
        unsafe { place(group, pack_slot(tag, entry, flags)) };
        group.len += 1;
        self.len += 1;
        self.set_word(hash, group);
    }

    /// Removes an entry that was found under `hash`; answers it.
    ///
    /// # Safety
    /// `found` is valid and was found under `hash`.
    pub unsafe fn remove(&mut self, slab: &mut Slab, hash: u64, found: Found) -> NonNull<u8> {
        let mut group = self.group(hash);
        // SAFETY: by the contract the slot lies in this group's block.
        let entry = unsafe {
            let entry = self.entry(found);
            let at = (found.slot.as_ptr().addr() - group.block.addr()) / size_of::<Bucket>();
            vacate(group, at, found.slot.as_ptr());
            entry
        };
        group.len -= 1;
        self.len -= 1;
        self.set_word(hash, group);
        if group.len < group.buckets * 3 {
            self.shrink(slab, hash, group);
        }
        entry
    }

    /// The first group, with one bucket.
    #[cold]
    fn start(&mut self, slab: &mut Slab) {
        let group = Group {
            block: new_block(slab, 1),
            buckets: 1,
            len: 0,
            depth: 0,
        };
        self.buckets = 1;
        self.pages.push(Page {
            words: vec![group.pack()].into(),
            prefix: 0,
        });
        self.root.push(RootWord {
            words: std::ptr::null_mut(),
            page: 0,
            prefix: 0,
            bits: 0,
        });
        self.refresh_root(0);
    }

    /// Writes a group's word at each of its places in the directory.
    #[inline]
    fn set_word(&mut self, hash: u64, group: Group) {
        let root = self.root[bits_after(hash, 0, self.root_bits)];
        let (prefix, bits) = (u32::from(root.prefix), u32::from(root.bits));
        let index = bits_after(hash, prefix, bits);
        debug_assert!(group.depth >= prefix);
        let repeats = 1usize << (prefix + bits - group.depth);
        let from = index & !(repeats - 1);
        for i in from..from + repeats {
            // SAFETY: `i` is below the number of words of the page.
            unsafe { *root.words.add(i) = group.pack() };
        }
    }

    /// Rebuilds a group with other buckets, or splits it.
    #[cold]
    fn grow(
        &mut self,
        slab: &mut Slab,
        hash: u64,
        group: Group,
        hash_of: &impl Fn(NonNull<u8>) -> u64,
    ) {
        if group.buckets < MAX_BUCKETS || group.depth >= MAX_DEPTH {
            assert!(
                group.buckets < HARD_MAX_BUCKETS,
                "more equal hashes than a group can hold"
            );
            self.rebuild(slab, hash, group, group.buckets + 1);
        } else {
            self.split(slab, hash, group, hash_of);
        }
    }

    fn rebuild(&mut self, slab: &mut Slab, hash: u64, group: Group, buckets: usize) {
        let next = Group {
            block: new_block(slab, buckets),
            buckets,
            ..group
        };
        for_each_slot(group, |slot| {
            // SAFETY: the new block has room for all entries of the old one.
            unsafe { place(next, slot) };
        });
        self.drop_block(slab, group);
        self.buckets += buckets;
        self.set_word(hash, next);
    }

    /// Splits a group by the next bit of its entries' hashes.
    fn split(
        &mut self,
        slab: &mut Slab,
        hash: u64,
        group: Group,
        hash_of: &impl Fn(NonNull<u8>) -> u64,
    ) {
        let mut counts = [0usize; 2];
        for_each_slot(group, |slot| {
            prefetch(pointer(slot).as_ptr());
            counts[(slot >> 63) as usize] += 1;
        });
        let depth = group.depth + 1;
        let halves = counts.map(|len| {
            let buckets = buckets_for(len);
            Group {
                block: new_block(slab, buckets),
                buckets,
                len,
                depth,
            }
        });
        for_each_slot(group, |slot| {
            let half = halves[(slot >> 63) as usize];
            let tag = half.tag(hash_of(pointer(slot)));
            // SAFETY: the half was sized for its entries.
            unsafe { place(half, pack_slot(tag, pointer(slot), slot & FLAGS)) };
        });
        self.drop_block(slab, group);
        self.buckets += halves[0].buckets + halves[1].buckets;
        self.deepen(hash, depth);
        let bit = 1u64 << (64 - depth);
        self.set_word(hash & !bit, halves[0]);
        self.set_word(hash | bit, halves[1]);
    }

    /// Makes the directory tell prefixes of `depth` bits apart around `hash`.
    fn deepen(&mut self, hash: u64, depth: u32) {
        loop {
            let root = self.root[bits_after(hash, 0, self.root_bits)];
            let (prefix, bits) = (u32::from(root.prefix), u32::from(root.bits));
            if depth <= prefix + bits {
                return;
            }
            let page = root.page as usize;
            if bits < PAGE_BITS {
                let old = &self.pages[page].words;
                let words = old.iter().flat_map(|w| [*w, *w]).collect();
                self.pages[page].words = words;
            } else {
                if prefix == self.root_bits {
                    self.root = self.root.iter().flat_map(|w| [*w, *w]).collect();
                    self.root_bits += 1;
                }
                self.split_page(hash, page);
            }
            self.refresh_root(hash);
        }
    }

    /// Cuts a directory page in two halves with a prefix one bit longer.
    fn split_page(&mut self, hash: u64, page: usize) {
        let prefix = self.pages[page].prefix;
        let words = std::mem::take(&mut self.pages[page].words);
        let (low, high) = words.split_at(words.len() / 2);
        self.pages[page] = Page {
            words: low.into(),
            prefix: prefix + 1,
        };
        let second = self.pages.len() as u32;
        self.pages.push(Page {
            words: high.into(),
            prefix: prefix + 1,
        });
        // The root words of the old page: the second half of them goes to the new one.
        let repeats = 1usize << (self.root_bits - prefix);
        let from = bits_after(hash, 0, self.root_bits) & !(repeats - 1);
        for i in from..from + repeats {
            let upper = i >= from + repeats / 2;
            self.root[i].page = if upper { second } else { page as u32 };
            self.root[i].prefix = prefix as u8 + 1;
        }
        self.refresh_page(second as usize);
        self.refresh_page(page);
    }

    /// Makes the root words of the page around `hash` agree with it.
    fn refresh_root(&mut self, hash: u64) {
        let page = self.root[bits_after(hash, 0, self.root_bits)].page;
        self.refresh_page(page as usize);
    }

    fn refresh_page(&mut self, page: usize) {
        let p = &mut self.pages[page];
        let word = RootWord {
            words: p.words.as_mut_ptr(),
            page: page as u32,
            prefix: p.prefix as u8,
            bits: p.bits() as u8,
        };
        let at = self.root.iter().position(|w| w.page == page as u32);
        let repeats = 1usize << (self.root_bits - p.prefix);
        let from = at.expect("every page has a root word");
        for w in &mut self.root[from..from + repeats] {
            *w = word;
        }
    }

    /// Gives memory back after a removal: joins the group with its neighbour, and what comes of that
    /// with the next one, as long as they are small. Keys are often deleted in hash order, by SCAN or
    /// when they expire, and a group would stay behind that did not follow when its neighbour, split
    /// deeper at first, has become small.
    #[cold]
    fn shrink(&mut self, slab: &mut Slab, hash: u64, group: Group) {
        let mut group = group;
        while let Some(joined) = self.merge(slab, hash, group) {
            group = joined;
        }
        let buckets = buckets_for(group.len);
        if buckets < group.buckets {
            self.rebuild(slab, hash, group, buckets);
        }
    }

    /// Joins a group and its neighbour into the one they were split from, if they are small enough.
    /// The bit that told them apart becomes the first bit of the tag again.
    fn merge(&mut self, slab: &mut Slab, hash: u64, group: Group) -> Option<Group> {
        let root = self.root[bits_after(hash, 0, self.root_bits)];
        // A directory page never joins another, so no group may be wider than its page.
        if group.depth <= u32::from(root.prefix) {
            return None;
        }
        let bit = 1u64 << (64 - group.depth);
        let buddy = self.group(hash ^ bit);
        let len = group.len + buddy.len;
        if buddy.depth != group.depth || len > MAX_BUCKETS * 3 {
            return None;
        }
        let (low, high) = if hash & bit == 0 {
            (group, buddy)
        } else {
            (buddy, group)
        };
        let buckets = buckets_for(len);
        let joined = Group {
            block: new_block(slab, buckets),
            buckets,
            len,
            depth: group.depth - 1,
        };
        for (group, top) in [(low, 0), (high, 1u64 << 15)] {
            for_each_slot(group, |slot| {
                let tag = top | slot >> 49;
                // SAFETY: the block was sized for both.
                unsafe { place(joined, pack_slot(tag, pointer(slot), slot & FLAGS)) };
            });
            self.drop_block(slab, group);
        }
        self.buckets += buckets;
        self.set_word(hash, joined);
        Some(joined)
    }

    fn drop_block(&mut self, slab: &mut Slab, group: Group) {
        self.buckets -= group.buckets;
        let block = NonNull::new(group.block.cast()).expect("groups have a block");
        // SAFETY: the block came from `new_block` with this many buckets and is used no more.
        unsafe { slab.free_lines(block, group.buckets) };
    }

    /// Calls `visit` with the entries of the next bucket at or after `cursor` and answers the cursor
    /// behind it, 0 at the end. Entries present during a whole iteration are visited, however the
    /// table grows and shrinks meanwhile, and only once, unless groups merge at the cursor: an entry
    /// is then met again if its shorter tag is the cursor's.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(NonNull<u8>, u64)) -> u64 {
        if self.root.is_empty() {
            return 0;
        }
        let mut hash = cursor << (64 - CURSOR_BITS);
        loop {
            let group = self.group(hash);
            let first = group.tag(hash);
            let home = group.home(first);
            // All of a bucket's entries are on their way while the first is visited.
            for_each_homed(group, home, |slot| {
                let entry = pointer(slot).as_ptr();
                prefetch(entry);
                prefetch(entry.wrapping_add(64));
            });
            for_each_homed(group, home, |slot| {
                if slot >> 48 >= first {
                    visit(pointer(slot), slot & FLAGS);
                }
            });
            let next = if home + 1 < group.buckets {
                // The smallest tag whose home is the next bucket.
                let tag = ((home as u64 + 1) << 16).div_ceil(group.buckets as u64);
                let prefix = hash & !(u64::MAX >> group.depth);
                prefix | (tag << 48) >> group.depth
            } else if group.depth == 0 {
                0
            } else {
                let size = 1u64 << (64 - group.depth);
                (hash & !(size - 1)).wrapping_add(size)
            };
            // Only prefixes of more than 24 bits make steps finer than a cursor.
            if next.trailing_zeros() >= 64 - CURSOR_BITS {
                return next >> (64 - CURSOR_BITS);
            }
            hash = next;
        }
    }

    /// An entry chosen with equal chance for each; `random` yields uniform 64-bit numbers.
    pub fn random(&self, mut random: impl FnMut() -> u64) -> Option<NonNull<u8>> {
        if self.len == 0 {
            return None;
        }
        let deepest = self.pages.iter().map(|p| p.prefix + p.bits()).max()?;
        for _ in 0..RANDOM_TRIES {
            // A group is drawn by the share of the hash space that it covers and kept with a
            // chance that makes up for it; then every slot of every group is equally likely.
            let group = self.group(random());
            let draw = random();
            let over = deepest - group.depth;
            if over > 32 || draw >> 32 & ((1u64 << over) - 1) != 0 {
                continue;
            }
            let slots = (HARD_MAX_BUCKETS + 1) * SLOTS;
            let at = (draw as u32 as usize * slots) >> 32;
            if at / SLOTS >= group.buckets {
                continue;
            }
            // SAFETY: the bucket is one of the group's.
            let slot = unsafe { (*group.bucket(at / SLOTS)).0[at % SLOTS] };
            if slot != 0 {
                return Some(pointer(slot));
            }
        }
        // A table that has shrunk is too sparse for drawing: count instead.
        let mut rank = (random() % self.len as u64) as usize;
        let mut drawn = None;
        self.for_each_group(|group| {
            if drawn.is_none() && rank < group.len {
                for_each_slot(group, |slot| {
                    if rank == 0 && drawn.is_none() {
                        drawn = Some(pointer(slot));
                    }
                    rank = rank.wrapping_sub(1);
                });
            } else if drawn.is_none() {
                rank -= group.len;
            }
        });
        drawn
    }

    /// Takes entries out, a group at a time, until about `limit` were given to `release` or the table
    /// is empty. For freeing a table in slices; it may be used for nothing else afterwards.
    pub fn drain(
        &mut self,
        slab: &mut Slab,
        limit: usize,
        mut release: impl FnMut(&mut Slab, NonNull<u8>),
    ) {
        let mut released = 0;
        while let Some(page) = self.pages.last_mut() {
            // Once draining has begun nobody looks anything up.
            self.root.clear();
            let mut words = std::mem::take(&mut page.words).into_vec();
            while let Some(word) = words.pop() {
                if word == 0 {
                    continue;
                }
                let group = Group::unpack(word);
                while words.last() == Some(&word) {
                    words.pop();
                }
                for_each_slot(group, |slot| release(slab, pointer(slot)));
                released += group.len + 1;
                self.len -= group.len;
                self.drop_block(slab, group);
                if released >= limit {
                    break;
                }
            }
            if words.is_empty() {
                self.pages.pop();
            } else {
                self.pages.last_mut().expect("taken above").words = words.into();
            }
            if released >= limit {
                return;
            }
        }
    }

    /// Whether [`Table::drain`] has come to its end.
    pub fn is_drained(&self) -> bool {
        self.pages.is_empty()
    }

    /// How many buckets there are with 0, 1, … 8 used slots, and how many entries are not at home.
    pub fn histogram(&self) -> ([usize; SLOTS + 1], usize) {
        let mut fill = [0; SLOTS + 1];
        let mut strays = 0;
        self.for_each_group(|group| {
            for i in 0..group.buckets {
                // SAFETY: `i` is one of the group's buckets.
                let bucket = unsafe { &*group.bucket(i) };
                fill[bucket.0.iter().filter(|s| **s != 0).count()] += 1;
                let used = bucket.0.iter().filter(|s| **s != 0);
                strays += used.filter(|s| group.home(**s >> 48) != i).count();
            }
        });
        (fill, strays)
    }

    /// Groups, and directory bits in front of the deepest.
    pub fn shape(&self) -> (usize, u32) {
        let mut groups = 0;
        let mut depth = 0;
        self.for_each_group(|g| {
            groups += 1;
            depth = depth.max(g.depth);
        });
        (groups, depth)
    }

    fn for_each_group(&self, mut visit: impl FnMut(Group)) {
        for page in &self.pages {
            let mut last = 0;
            for word in &page.words {
                if *word != last {
                    visit(Group::unpack(*word));
                }
                last = *word;
            }
        }
    }
}

fn new_block(slab: &mut Slab, buckets: usize) -> *mut Bucket {
    let size = buckets * size_of::<Bucket>();
    let block = slab.alloc_lines(buckets).as_ptr();
    // SAFETY: the block is `size` long. A zero slot is an empty one.
    unsafe { block.write_bytes(0, size) };
    block.cast()
}

/// Puts a slot into the first free place at or after its home.
///
/// # Safety
/// The group is live and has a free slot.
#[inline]
unsafe fn place(group: Group, slot: u64) {
    let mut at = group.home(slot >> 48);
    loop {
        // SAFETY: `at` is a bucket of the group.
        let bucket = unsafe { &mut *group.bucket(at) };
        if let Some(free) = bucket.0.iter_mut().find(|s| **s == 0) {
            *free = slot;
            return;
        }
        at = if at + 1 == group.buckets { 0 } else { at + 1 };
    }
}

/// Empties a slot of bucket `at`, and moves strays back so that no look-up stops too early.
///
/// # Safety
/// The group is live and `slot` lies in its bucket `at`.
unsafe fn vacate(group: Group, mut at: usize, mut slot: *mut u64) {
    loop {
        // SAFETY: `at` and `next` are buckets of the group, `slot` lies in bucket `at`.
        unsafe {
            let was_full = (*group.bucket(at)).is_full();
            *slot = 0;
            if !was_full {
                return;
            }
            let mut next = at;
            let mut hole_moved = false;
            for distance in 1..group.buckets {
                next = if next + 1 == group.buckets {
                    0
                } else {
                    next + 1
                };
                let bucket = &mut *group.bucket(next);
                let stray = bucket.0.iter_mut().find(|s| {
                    let home = group.home(**s >> 48);
                    let travelled = (next + group.buckets - home) % group.buckets;
                    **s != 0 && travelled >= distance
                });
                if let Some(stray) = stray {
                    *slot = *stray;
                    slot = stray;
                    at = next;
                    hole_moved = true;
                    break;
                }
                if !bucket.is_full() {
                    return;
                }
            }
            if !hole_moved {
                return;
            }
        }
    }
}

fn for_each_slot(group: Group, mut visit: impl FnMut(u64)) {
    for i in 0..group.buckets {
        // SAFETY: `i` is one of the group's buckets.
        for slot in unsafe { (*group.bucket(i)).0 } {
            if slot != 0 {
                visit(slot);
            }
        }
    }
}

/// Visits the slots whose home is bucket `home`, wherever they are.
fn for_each_homed(group: Group, home: usize, mut visit: impl FnMut(u64)) {
    let mut at = home;
    for _ in 0..group.buckets {
        // SAFETY: `at` is one of the group's buckets.
        let bucket = unsafe { &*group.bucket(at) };
        for slot in bucket.0 {
            if slot != 0 && group.home(slot >> 48) == home {
                visit(slot);
            }
        }
        if !bucket.is_full() {
            return;
        }
        at = if at + 1 == group.buckets { 0 } else { at + 1 };
    }
}
