//! Runs of 64-byte lines out of shared pages.
//!
//! A page has a bitmap of its lines. Pages with room stand in lists by how many lines are free, and
//! a run is looked for in the fullest first, first fit.

use super::{CARVED_MAX, LINE, PAGE, Page, Slab};
use std::ptr::{NonNull, null_mut};

/// Lines of a page, header included.
const LINES: usize = PAGE / LINE;
const WORDS: usize = LINES / 64;
/// Pages of one list that are searched before the next list.
const SEARCHED: usize = 4;

/// The start of a page that is handed out in runs.
#[repr(C, align(64))]
struct LinePage {
    page: Page,
    /// A set bit is a line in use.
    used: [u64; WORDS],
}

const HEADER_LINES: usize = size_of::<LinePage>() / LINE;

/// Pages with room: fewer than 64 free lines, fewer than 256, more.
pub(super) struct Lists([*mut Page; 3]);

impl Default for Lists {
    fn default() -> Lists {
        Lists([null_mut(); 3])
    }
}

/// The list for a page with so many free lines.
fn list_of(free: u32) -> u32 {
    match free {
        0..64 => 0,
        64..256 => 1,
        _ => 2,
    }
}

impl LinePage {
    fn free_lines(&self) -> u32 {
        LINES as u32 - self.page.used
    }

    /// The first of `n` free lines in a row, `n` below 64.
    fn find(&self, n: usize) -> Option<usize> {
        let mut run = 0;
        for (w, word) in self.used.iter().enumerate() {
            let mut bit = 0;
            while bit < 64 {
                let rest = word >> bit;
                if rest & 1 == 1 {
                    bit += (!rest).trailing_zeros() as usize;
                    run = 0;
                    continue;
                }
                let free = (rest.trailing_zeros() as usize).min(64 - bit);
                bit += free;
                run += free;
                if run >= n {
                    return Some(w * 64 + bit - run);
                }
            }
        }
        None
    }

    /// Turns the bits of `n` lines over.
    fn flip(&mut self, first: usize, n: usize) {
        for line in first..first + n {
            self.used[line / 64] ^= 1 << (line % 64);
        }
    }
}

impl Slab {
    /// A run of `lines` lines.
    pub fn alloc_lines(&mut self, lines: usize) -> NonNull<u8> {
        if CARVED_MAX == 0 {
            return self.alloc_large(lines * LINE);
        }
        debug_assert!(lines < 64);
        let (page, first) = self.find_run(lines);
        // SAFETY: the page is one of ours with that run free.
        unsafe {
            (*page).flip(first, lines);
            (*page).page.used += lines as u32;
            self.allocated += lines * LINE;
            self.relink(page);
            NonNull::new_unchecked(page.cast::<u8>().add(first * LINE))
        }
    }

    /// Takes back a run.
    ///
    /// # Safety
    /// `run` came from [`Slab::alloc_lines`] of this slab with the same length, and is not used again.
    pub unsafe fn free_lines(&mut self, run: NonNull<u8>, lines: usize) {
        if CARVED_MAX == 0 {
            // SAFETY: by the contract.
            return unsafe { self.free_large(run, lines * LINE) };
        }
        // SAFETY: the run lies in a live page of this slab; see the contract.
        unsafe {
            let page = run
                .as_ptr()
                .map_addr(|a| a & !(PAGE - 1))
                .cast::<LinePage>();
            let first = (run.as_ptr().addr() & (PAGE - 1)) / LINE;
            (*page).flip(first, lines);
            (*page).page.used -= lines as u32;
            self.allocated -= lines * LINE;
            if (*page).page.used as usize == HEADER_LINES {
                self.unlist(page);
                self.release_page(page.cast());
            } else {
                self.relink(page);
            }
        }
    }

    /// A page with `n` free lines in a row, and the first of them.
    fn find_run(&mut self, n: usize) -> (*mut LinePage, usize) {
        for list in self.lines.0 {
            let mut page = list;
            for _ in 0..SEARCHED {
                if page.is_null() {
                    break;
                }
                // SAFETY: list members are live pages.
                unsafe {
                    let next = (*page).next;
                    if let Some(first) = (*page.cast::<LinePage>()).find(n) {
                        return (page.cast(), first);
                    }
                    // It comes back to the lists when a run of it is freed.
                    self.unlist(page.cast());
                    page = next;
                }
            }
        }
        let page = self.take_page().cast::<LinePage>();
        // SAFETY: the page is mapped and unused.
        unsafe {
            (*page).page.size = LINE as u32;
            (*page).page.used = HEADER_LINES as u32;
            (*page).page.fresh = UNLISTED;
            (*page).used = [0; WORDS];
            (*page).flip(0, HEADER_LINES);
        }
        (page, HEADER_LINES)
    }

    /// Puts a page into the list for its free lines.
    ///
    /// SAFETY: the page is live.
    unsafe fn relink(&mut self, page: *mut LinePage) {
        // SAFETY: list members are live pages.
        unsafe {
            let p = &mut (*page).page;
            let free = LINES as u32 - p.used;
            let list = list_of(free);
            if p.fresh == list {
                return;
            }
            self.unlist(page);
            if (*page).free_lines() == 0 {
                return;
            }
            let head = self.lines.0[list as usize];
            let p = &mut (*page).page;
            p.fresh = list;
            p.prev = null_mut();
            p.next = head;
            if !head.is_null() {
                (*head).prev = page.cast();
            }
            self.lines.0[list as usize] = page.cast();
        }
    }

    /// Takes a page out of its list, if it is in one.
    ///
    /// SAFETY: the page is live.
    unsafe fn unlist(&mut self, page: *mut LinePage) {
        // SAFETY: list members are live pages.
        unsafe {
            let p = &mut (*page).page;
            if p.fresh == UNLISTED {
                return;
            }
            if p.prev.is_null() {
                self.lines.0[p.fresh as usize] = p.next;
            } else {
                (*p.prev).next = p.next;
            }
            if !p.next.is_null() {
                (*p.next).prev = p.prev;
            }
            p.fresh = UNLISTED;
        }
    }
}

/// `fresh`, which line pages use for the number of their list, of a page in none.
const UNLISTED: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_do_not_overlap_and_come_back() {
        let mut slab = Slab::new();
        let mut live: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
        let mut seed = 7u64;
        for i in 0..if cfg!(miri) { 2_000 } else { 100_000 } {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let r = (seed >> 33) as usize;
            if live.len() > 3_000 || (r.is_multiple_of(3) && !live.is_empty()) {
                let (run, lines, fill) = live.swap_remove(r % live.len());
                // SAFETY: the run is live and `lines` long.
                unsafe {
                    let bytes = std::slice::from_raw_parts(run.as_ptr(), lines * LINE);
                    assert!(bytes.iter().all(|b| *b == fill));
                    slab.free_lines(run, lines);
                }
            } else {
                let lines = 1 + r % 17;
                let run = slab.alloc_lines(lines);
                assert_eq!(run.as_ptr().addr() % LINE, 0);
                // SAFETY: the run is ours and `lines` long.
                unsafe { run.as_ptr().write_bytes(i as u8, lines * LINE) };
                live.push((run, lines, i as u8));
            }
        }
        let held: usize = live.iter().map(|(_, lines, _)| lines * LINE).sum();
        assert_eq!(slab.stats().allocated, held);
        for (run, lines, _) in live {
            // SAFETY: the run is live.
            unsafe { slab.free_lines(run, lines) };
        }
        assert_eq!(slab.stats().allocated, 0);
        assert_eq!(slab.stats().active, 0);
    }
}
