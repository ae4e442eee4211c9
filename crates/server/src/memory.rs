//! The process's allocator, and how much it has given out.
//!
//! Entries and table blocks are the slabs' and not counted here; `used_memory` is the sum of both.

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

/// mimalloc, counting bytes.
pub struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to mimalloc; the counter has no influence on what it returns.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract.
        unsafe { MiMalloc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { MiMalloc.realloc(at, layout, size) }
    }
}

/// A thread's share is put into the common counter when it has grown to this many bytes either way.
const BATCH: isize = 64 * 1024;

thread_local! {
    static PENDING: std::cell::Cell<isize> = const { std::cell::Cell::new(0) };
}

#[inline]
fn count(bytes: isize) {
    let _ = PENDING.try_with(|pending| {
        let sum = pending.get() + bytes;
        if sum.abs() < BATCH {
            pending.set(sum);
        } else {
            pending.set(0);
            // Wraps on a negative sum, as it should.
            ALLOCATED.fetch_add(sum as usize, Ordering::Relaxed);
        }
    });
}

/// Bytes given out by the allocator, up to 64 KiB per thread wrong.
pub fn allocated() -> usize {
    let own = PENDING.try_with(std::cell::Cell::get).unwrap_or(0);
    ALLOCATED.load(Ordering::Relaxed).wrapping_add_signed(own)
}
