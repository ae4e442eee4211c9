//! Memory for entries and table blocks: size classes of 8 bytes, per shard.
//!
//! General allocators round 40 bytes to 48; with a hundred million small entries that is the
//! difference between our memory target and missing it. So a shard carves its small allocations out
//! of 64 KiB pages, each for one size; pages come from 2 MiB chunks, which are huge pages where that
//! keeps nobody waiting (see the module `chunks`): a server without fork can afford them, and they
//! save most TLB misses of random look-ups.
//!
//! ```text
//! chunk (2 MiB, mapped) = 32 pages
//! page  (64 KiB)        = header (64 B) | cell | cell | cell …      all cells of one class
//! ```
//!
//! Blocks of the table come in many sizes, each of which is much used at some time and hardly at
//! another; with a class for each, a third of their pages would be holes. They share pages whose 64-byte
//! lines are handed out in runs, the fullest pages first; see the module `lines`.
//!
//! A page's header is found by masking a cell's address. Classes keep their pages with free cells
//! in a list; an empty page goes back to the shard for any class, an empty chunk to the system.
//!
//! With the feature `checked-alloc` every cell is an allocation of its own, so that a sanitizer sees
//! where each begins and ends and which have been freed.
//!
//! # Safety
//!
//! A cell is owned by whoever got it from [`Slab::alloc`] until it is given to [`Slab::free`] of the
//! same slab with the same size; that is the contract of the two unsafe-to-misuse functions. Headers
//! are reached only from cells and lists of this slab, on the one thread that owns it.

mod chunks;
mod lines;

use std::ptr::{NonNull, null_mut};

/// Largest size served, in bytes.
pub const MAX: usize = 1024;

/// Largest size that pages are carved for.
const CARVED_MAX: usize = if cfg!(feature = "checked-alloc") {
    0
} else {
    MAX
};

const PAGE: usize = 64 * 1024;
const CHUNK: usize = 2 * 1024 * 1024;
const PAGES: u32 = (CHUNK / PAGE) as u32;
const HEADER: usize = 64;
/// A cache line.
const LINE: usize = 64;
const CLASSES: usize = MAX / 8 + 1;
/// Empty pages kept for reuse before whole chunks go back to the system.
const SPARE_PAGES: usize = 2 * PAGES as usize;

/// Chunks of a slab from which on the next is made ready: what lies ready is memory that holds nothing.
const AHEAD_CHUNKS: usize = 8;

/// Empty pages left when the next chunk is made ready, in a slab of so many chunks. Four are some
/// 10 ms of inserts at full speed.
fn ahead(chunks: usize) -> usize {
    (chunks / 8).clamp(4, PAGES as usize)
}

#[repr(C, align(64))]
struct Page {
    /// Freed cells, linked through their first word.
    free: *mut u8,
    next: *mut Page,
    prev: *mut Page,
    /// Offset of the first cell that was never used.
    fresh: u32,
    /// Cells in use.
    used: u32,
    /// Size of a cell, in bytes; 0 while the page belongs to no class.
    size: u32,
    /// Index of the chunk in the slab.
    chunk: u32,
}

const _: () = assert!(size_of::<Page>() == HEADER);

impl Page {
    fn capacity(&self) -> u32 {
        ((PAGE - HEADER) / self.size as usize) as u32
    }
}

struct Chunk {
    base: *mut u8,
    /// Pages that belong to no class.
    empty: u32,
}

/// The pages of a chunk from `next` on. They count as empty, but are not in the list of those, which
/// would mean to touch them all at once.
struct Unused {
    chunk: u32,
    next: u32,
}

/// Figures of a slab, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlabStats {
    /// Cells in use.
    pub allocated: usize,
    /// Pages that hold at least one cell.
    pub active: usize,
    /// Chunks mapped.
    pub mapped: usize,
    /// Cells that come from the global allocator, part of each of the above.
    pub large: usize,
}

pub struct Slab {
    /// Per class, a doubly linked list of pages with room.
    partial: [*mut Page; CLASSES],
    /// Pages without a class, singly linked.
    empty: *mut Page,
    empty_pages: usize,
    chunks: Vec<Chunk>,
    free_chunks: Vec<u32>,
    /// The newest chunk, if it has pages that were never used.
    unused: Option<Unused>,
    allocated: usize,
    large: usize,
    lines: lines::Lists,
}

// SAFETY: the pages are reached through this value only; moving it moves them all.
unsafe impl Send for Slab {}

impl Default for Slab {
    fn default() -> Slab {
        Slab::new()
    }
}

/// The size in bytes that a request of `size` occupies.
#[inline]
pub fn rounded(size: usize) -> usize {
    (size + 7) & !7
}

impl Slab {
    pub fn new() -> Slab {
        Slab {
            partial: [null_mut(); CLASSES],
            empty: null_mut(),
            empty_pages: 0,
            chunks: Vec::new(),
            free_chunks: Vec::new(),
            unused: None,
            allocated: 0,
            large: 0,
            lines: lines::Lists::default(),
        }
    }

    /// `size` bytes, aligned to 8, and to 64 if `size` is a multiple of 64. Sizes above [`MAX`] come
    /// from the global allocator.
    #[inline]
    pub fn alloc(&mut self, size: usize) -> NonNull<u8> {
        debug_assert!(size >= 8);
        if size > CARVED_MAX {
            return self.alloc_large(size);
        }
        let class = size.div_ceil(8);
        let mut page = self.partial[class];
        if page.is_null() {
            page = self.add_page(class);
        }
        // SAFETY: pages in a class's list are valid, of this class, and have a free cell.
        unsafe {
            let p = &mut *page;
            let cell = if p.free.is_null() {
                let cell = page.cast::<u8>().add(p.fresh as usize);
                p.fresh += p.size;
                cell
            } else {
                let cell = p.free;
                p.free = cell.cast::<*mut u8>().read();
                cell
            };
            p.used += 1;
            self.allocated += p.size as usize;
            if p.free.is_null() && p.fresh as usize + p.size as usize > PAGE {
                self.unlink(page, class);
            }
            NonNull::new_unchecked(cell)
        }
    }

    /// Takes back a cell.
    ///
    /// # Safety
    /// `cell` came from [`Slab::alloc`] of this slab with a `size` of the same rounding, and is not
    /// used again.
    #[inline]
    pub unsafe fn free(&mut self, cell: NonNull<u8>, size: usize) {
        if size > CARVED_MAX {
            // SAFETY: large cells came from the global allocator with this layout.
            unsafe { self.free_large(cell, size) };
            return;
        }
        let class = size.div_ceil(8);
        // SAFETY: the cell lies in a live page of this slab; see the contract.
        unsafe {
            let page = cell.as_ptr().map_addr(|a| a & !(PAGE - 1)).cast::<Page>();
            let p = &mut *page;
            debug_assert_eq!(p.size as usize, class * 8);
            let was_full = p.used == p.capacity();
            cell.as_ptr().cast::<*mut u8>().write(p.free);
            p.free = cell.as_ptr();
            p.used -= 1;
            self.allocated -= p.size as usize;
            if p.used == 0 {
                if !was_full {
                    self.unlink(page, class);
                }
                self.release_page(page);
            } else if was_full {
                self.link(page, class);
            }
        }
    }

    pub fn stats(&self) -> SlabStats {
        let mapped = (self.chunks.len() - self.free_chunks.len()) * CHUNK;
        SlabStats {
            allocated: self.allocated + self.large,
            active: mapped - self.empty_pages * PAGE + self.large,
            mapped: mapped + self.large,
            large: self.large,
        }
    }

    #[cold]
    fn alloc_large(&mut self, size: usize) -> NonNull<u8> {
        let layout = large_layout(size);
        // SAFETY: the layout is not empty.
        let cell = unsafe { std::alloc::alloc(layout) };
        self.large += layout.size();
        NonNull::new(cell).unwrap_or_else(|| std::alloc::handle_alloc_error(layout))
    }

    #[cold]
    unsafe fn free_large(&mut self, cell: NonNull<u8>, size: usize) {
        let layout = large_layout(size);
        self.large -= layout.size();
        // SAFETY: by the contract of `free`.
        unsafe { std::alloc::dealloc(cell.as_ptr(), layout) };
    }

    /// A page that belongs to no class, in no list.
    #[cold]
    fn take_page(&mut self) -> *mut Page {
        let page = if self.empty.is_null() {
            self.take_unused()
        } else {
            let page = self.empty;
            // SAFETY: pages in the list of empty ones are mapped and unused.
            unsafe { self.unlist_empty(page) };
            page
        };
        self.empty_pages -= 1;
        // SAFETY: the page is mapped and has a header.
        let chunk = unsafe { (*page).chunk };
        self.chunks[chunk as usize].empty -= 1;
        let chunks = self.chunks.len() - self.free_chunks.len();
        if chunks >= AHEAD_CHUNKS && self.empty_pages <= ahead(chunks) {
            chunks::prepare();
        }
        page
    }

    /// The next page of the newest chunk, or the first of one newer still.
    fn take_unused(&mut self) -> *mut Page {
        let Unused { chunk, next } = match self.unused.take() {
            Some(unused) => unused,
            None => self.add_chunk(),
        };
        if next + 1 < PAGES {
            self.unused = Some(Unused {
                chunk,
                next: next + 1,
            });
        }
        let base = self.chunks[chunk as usize].base;
        // SAFETY: the chunk is mapped and PAGES pages long.
        unsafe {
            let page = base.add(next as usize * PAGE).cast::<Page>();
            page.write(Page {
                free: null_mut(),
                next: null_mut(),
                prev: null_mut(),
                fresh: 0,
                used: 0,
                size: 0,
                chunk,
            });
            page
        }
    }

    /// A fresh page for `class`, first in its list.
    #[cold]
    fn add_page(&mut self, class: usize) -> *mut Page {
        let page = self.take_page();
        // SAFETY: the page is mapped and unused.
        unsafe {
            let p = &mut *page;
            p.free = null_mut();
            p.fresh = HEADER as u32;
            p.used = 0;
            p.size = (class * 8) as u32;
            self.link(page, class);
        }
        page
    }

    /// SAFETY: `page` is live, of `class`, and in no list.
    unsafe fn link(&mut self, page: *mut Page, class: usize) {
        let head = self.partial[class];
        // SAFETY: list members are live pages.
        unsafe {
            (*page).next = head;
            (*page).prev = null_mut();
            if !head.is_null() {
                (*head).prev = page;
            }
        }
        self.partial[class] = page;
    }

    /// SAFETY: `page` is in the list of `class`.
    unsafe fn unlink(&mut self, page: *mut Page, class: usize) {
        // SAFETY: list members are live pages.
        unsafe {
            let (next, prev) = ((*page).next, (*page).prev);
            if prev.is_null() {
                self.partial[class] = next;
            } else {
                (*prev).next = next;
            }
            if !next.is_null() {
                (*next).prev = prev;
            }
        }
    }

    /// SAFETY: `page` has no cell in use and is in no list.
    #[cold]
    unsafe fn release_page(&mut self, page: *mut Page) {
        // SAFETY: see the contract; list members are live pages.
        unsafe {
            (*page).size = 0;
            self.push_empty(page);
            let chunk = (*page).chunk;
            self.chunks[chunk as usize].empty += 1;
            if self.chunks[chunk as usize].empty == PAGES && self.empty_pages > SPARE_PAGES {
                self.release_chunk(chunk);
            }
        }
    }

    /// SAFETY: `page` is mapped and in no list.
    unsafe fn push_empty(&mut self, page: *mut Page) {
        // SAFETY: list members are live pages.
        unsafe {
            (*page).next = self.empty;
            (*page).prev = null_mut();
            if !self.empty.is_null() {
                (*self.empty).prev = page;
            }
        }
        self.empty = page;
        self.empty_pages += 1;
    }

    /// SAFETY: `page` is in the list of empty ones.
    unsafe fn unlist_empty(&mut self, page: *mut Page) {
        // SAFETY: list members are live pages.
        unsafe {
            let (next, prev) = ((*page).next, (*page).prev);
            if prev.is_null() {
                self.empty = next;
            } else {
                (*prev).next = next;
            }
            if !next.is_null() {
                (*next).prev = prev;
            }
        }
    }

    #[cold]
    fn add_chunk(&mut self) -> Unused {
        let base = chunks::map();
        let index = self.free_chunks.pop().unwrap_or(self.chunks.len() as u32);
        let chunk = Chunk { base, empty: PAGES };
        if index as usize == self.chunks.len() {
            self.chunks.push(chunk);
        } else {
            self.chunks[index as usize] = chunk;
        }
        self.empty_pages += PAGES as usize;
        Unused {
            chunk: index,
            next: 0,
        }
    }

    /// SAFETY: every page of the chunk is empty.
    unsafe fn release_chunk(&mut self, index: u32) {
        let base = self.chunks[index as usize].base;
        let listed = match self.unused.take_if(|unused| unused.chunk == index) {
            Some(unused) => unused.next,
            None => PAGES,
        };
        for i in 0..listed as usize {
            // SAFETY: the page is in the list of empty pages.
            unsafe { self.unlist_empty(base.add(i * PAGE).cast::<Page>()) };
        }
        self.empty_pages -= PAGES as usize;
        self.chunks[index as usize].base = null_mut();
        self.free_chunks.push(index);
        chunks::unmap(base);
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            if !chunk.base.is_null() {
                chunks::unmap(chunk.base);
            }
        }
    }
}

fn large_layout(size: usize) -> std::alloc::Layout {
    let size = rounded(size);
    let align = if size.is_multiple_of(64) { 64 } else { 8 };
    std::alloc::Layout::from_size_align(size, align).expect("size is an entry's")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_do_not_overlap_and_come_back() {
        let mut slab = Slab::new();
        let mut live: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
        let mut seed = 1u64;
        let rounds = if cfg!(miri) { 3_000 } else { 200_000 };
        for i in 0..rounds {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let r = (seed >> 33) as usize;
            if live.len() > 500 || (r.is_multiple_of(3) && !live.is_empty()) {
                let (cell, size, fill) = live.swap_remove(r % live.len());
                // SAFETY: the cell is live and `size` long.
                unsafe {
                    let bytes = std::slice::from_raw_parts(cell.as_ptr(), size);
                    assert!(bytes.iter().all(|b| *b == fill));
                    slab.free(cell, size);
                }
            } else {
                let size = 8 + r % 1100;
                let cell = slab.alloc(size);
                assert_eq!(
                    cell.as_ptr().addr()
                        % if size.is_multiple_of(64) && size <= MAX {
                            64
                        } else {
                            8
                        },
                    0
                );
                // SAFETY: the cell is ours and `size` long.
                unsafe { cell.as_ptr().write_bytes(i as u8, size) };
                live.push((cell, size, i as u8));
            }
        }
        let held: usize = live.iter().map(|(_, size, _)| rounded(*size)).sum();
        assert_eq!(slab.stats().allocated, held);
        for (cell, size, _) in live {
            // SAFETY: the cell is live.
            unsafe { slab.free(cell, size) };
        }
        assert_eq!(slab.stats().allocated, 0);
        assert!(slab.stats().mapped <= (SPARE_PAGES + PAGES as usize) * PAGE);
    }

    /// The widest cells, of which pages hold the fewest.
    const WIDE: usize = MAX;

    /// Takes cells until the slab has `chunks` chunks, the last with one page in use.
    fn fill(slab: &mut Slab, chunks: usize) -> Vec<NonNull<u8>> {
        let mut cells = Vec::new();
        while slab.stats().mapped < chunks * CHUNK {
            cells.push(slab.alloc(WIDE));
        }
        cells
    }

    #[test]
    #[cfg_attr(feature = "checked-alloc", ignore = "there are no chunks")]
    fn chunks_come_and_go_with_pages_that_were_never_used() {
        let mut slab = Slab::new();
        for _ in 0..3 {
            let mut cells = fill(&mut slab, 5);
            assert!(slab.unused.is_some());
            assert_eq!(slab.empty_pages, PAGES as usize - 1);
            // The newest chunk first: it goes back although most of its pages are in no list.
            while let Some(cell) = cells.pop() {
                // SAFETY: the cell is live.
                unsafe { slab.free(cell, WIDE) };
            }
            let stats = slab.stats();
            assert_eq!((stats.allocated, stats.active), (0, 0));
            assert!(stats.mapped <= SPARE_PAGES * PAGE, "{stats:?}");
            let chunks = slab.chunks.iter().filter(|c| !c.base.is_null());
            let empty: u32 = chunks.map(|c| c.empty).sum();
            assert_eq!(empty as usize, slab.empty_pages);
        }
    }
}
